"""Conferences as their members hold them: they do as the caller says, and watch whether it still lives."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from qanat.ground.errors import ChannelClosed, ChannelError, FrameError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.ground.ports import Clock
from qanat.services.call import LONGEST_S, LOST_S, SILENCE_TOLD_S, media_context
from qanat.services.ciphers import RecordKind
from qanat.services.conference import GONE, ConferenceReport, Joining, KeysOf, Round
from qanat.services.conference_ends import Ending, Parting
from qanat.services.conversation import Conversation, refusing
from qanat.users.call_line import ASK_EVERY_S, say_last
from qanat.users.conference import ConferenceEnd
from qanat.users.notices import Flow, Notices, Pulse, Say

LOOK_EVERY_S = 0.25


async def attend(
    talk: Conversation,
    end_of: Callable[[str], ConferenceEnd],
    *,
    me: SaeId,
    clock: Clock,
    leave: asyncio.Event,
    begun: Callable[[], None],
    name: str,
    say: Say,
) -> ConferenceReport:
    """Be a member until the caller ends it, or ``leave`` is set: ``talk`` is with a caller of conferences.

    ``end_of``: makes this end of a conference of this name. ``begun``: is called once it has joined. ``name``: the
    caller's. ``say``: is told who else comes and goes, that the caller took this end out of it, or is gone. Raises what
    ``Conversation.next`` raises, KeyShortage.
    """
    async with refusing(talk):
        media_context(talk.hello.context)  # no one-time pad
        invited = Joining.parse(await talk.hear())
        if not invited.conference:
            raise FrameError("an invitation to a conference without a name", remedy="update the older side")
        end = end_of(invited.conference)
        await talk.say(end.joining().word())
        begun()
        talk.terms = replace(talk.terms, silence_s=LONGEST_S)
        attending = _Attending(talk, end, me, clock=clock, name=name, say=say)
        await end.talk(lambda: attending.run(leave))
        attending.tell_end()
        return end.report(caller=name)


class _Attending:
    """A member's side of the conversation with the caller."""

    def __init__(self, talk: Conversation, end: ConferenceEnd, me: SaeId, *, clock: Clock, name: str, say: Say) -> None:
        """``name``: the caller's."""
        self._last: Ending | None = None
        """What the caller said last."""
        self._talk, self._end, self._me, self._clock, self._name = talk, end, me, clock, name
        self._how = ""
        """How the caller went, where it said no last word: "unsaid" or "silent"."""
        self._pulse, self._life, self._alive_s = Pulse(clock), Flow(clock), clock.monotonic_s()
        self._say, self._notices = say, Notices(say)
        self._others: set[SaeId] = set()
        """Who is in it besides the caller and this end."""
        self._lost: set[SaeId] = set()
        """Who was lost, and not heard since."""
        self._is_ended = False
        self._ended = asyncio.Event()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, leave: asyncio.Event) -> None:
        """Do as the caller says until it ends the conference, or goes away, or ``leave`` is set."""
        hearing, watching = asyncio.create_task(self._hear()), asyncio.create_task(self._watch())
        others = [asyncio.create_task(one.wait()) for one in (leave, self._ended)]
        ends = {hearing, watching, *others}
        try:
            while not any(task.done() for task in ends):
                done, _ = await asyncio.wait({*ends, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
                self._tasks -= done
                for task in done:
                    task.result()
            is_lost = watching.done() and not hearing.done() and not self._ended.is_set()
            self._how = "silent" if is_lost else "unsaid" if hearing.done() and self._last is None else ""
            await self._part(None if is_lost else hearing)
        finally:
            for task in (*ends, *self._tasks):
                task.cancel()
            await asyncio.gather(*ends, *self._tasks, return_exceptions=True)

    def tell_end(self) -> None:
        """Tell how the conference ended here, where that was not as it should be."""
        told = None if self._last is None else self._last.to.get(self._me)
        if self._how == "unsaid":
            self._say(
                f"the line to {self._name} closed without a last word: its program was ended, or the line broke; the "
                "conference is over here"
            )
        elif self._how == "silent":
            self._say(
                f"no sign of life of {self._name} for {LOST_S:g} s, neither a datagram nor a word on its line: the "
                "conference is over here"
            )
        elif self._last is not None and self._last.lost:
            still_s = self._end.stood_still_s
            why = (
                f"this program stood still for {still_s:.0f} s"
                if still_s > LOST_S / 2
                else ("it is not heard, let UDP through from here")
            )
            self._say(
                f"{self._name} had heard nothing of this program for {told.silent_s if told else 0.0:.1f} s and took "
                f"it out of the conference: {why}"
            )

    async def _part(self, hearing: asyncio.Task[None] | None) -> None:
        """Tell all others what was sent to them, and hear the same of them: not of a caller that is gone."""
        self._end.stop()
        self._notices.close()
        self._is_ended = True
        if self._how:
            self._end.note_gone(self._talk.peer, self._how)
        if self._how != "unsaid":
            await say_last(self._end_with(Ending(self._how == "silent", self._end.tallies()), hearing))
            if self._last is None:
                self._end.note_gone(self._talk.peer, "unanswered")
            await self._end.hear_out()

    async def _end_with(self, last: Ending, hearing: asyncio.Task[None] | None) -> None:
        await self._tell(last.word(), is_last=True)
        if hearing is not None:
            await asyncio.wait({hearing})

    async def _hear(self) -> None:
        """Hear words until nothing more is told, or the end of the line."""
        with contextlib.suppress(ChannelClosed):  # how the conference ended tells whether one was due
            while "over" not in (word := await self._talk.hear()):
                self._alive_s = self._clock.monotonic_s()
                await self._heard(word)

    async def _heard(self, word: dict[str, Json]) -> None:
        match word:
            case {"end": True}:
                self._last = last = Ending.parse(word)
                self._end.note_last(self._talk.peer, last.to.get(self._me), lost=last.lost)
                self._is_ended = True
                self._ended.set()
            case {"here": True}:
                pass
            case {"left": _}:
                parting = Parting.parse(word)
                self._end.note_last(parting.other, parting.tally)
                if not self._is_ended:
                    answer = Parting(parting.other, self._end.tally(parting.other))
                    self._tasks.add(asyncio.create_task(self._tell(answer.word_to())))
            case _ if self._is_ended:
                pass
            case {"of": _}:
                self._tasks.add(asyncio.create_task(self._end.learn(KeysOf.parse(word))))
            case _:
                new = Round.parse(word, me=self._me)
                if self._talk.peer not in {seat.sae for seat in new.seats}:
                    raise FrameError("a round of a conference without its caller", remedy="update the older side")
                self._tell_presence(new)
                await self._end.admit(new)
                self._tasks.add(asyncio.create_task(self._tell_keys(new)))

    def _tell_presence(self, new: Round) -> None:
        """Tell who went, and why, and who came."""
        here = {seat.sae for seat in new.others(self._me)} - {self._talk.peer}
        for sae in sorted(self._others - here):
            self._tell_gone(sae, new.gone.get(sae, ""))
        for sae in sorted(here - self._others - self._lost):
            name, topic = self._end.name_of(sae), f"seat of {sae}"
            if self._notices.has_told(topic):
                self._notices.over(topic, f"{name} is in the conference again")
            else:
                self._say(f"{name} is in the conference")
        self._others = here

    def _tell_gone(self, sae: SaeId, how: str) -> None:
        """One that comes again and is still not heard is told of when it is, as at the caller."""
        name, topic = self._end.name_of(sae), f"seat of {sae}"
        if how == "lost":
            self._lost.add(sae)
        else:
            self._lost.discard(sae)
            self._notices.over(topic)
        why = f": {GONE[how]}" if how else ""
        is_left = how == "left"
        self._notices.tell(
            topic, f"{name} left the conference" if is_left else f"{name} is not in the conference any more{why}"
        )

    def _look_for_heard(self) -> None:
        for sae in [one for one in self._lost if self._end.hears(one)]:
            self._lost.discard(sae)
            self._notices.over(f"seat of {sae}", f"{self._end.name_of(sae)} is in the conference again, and heard")

    async def _watch(self) -> None:
        """Return when the caller has given no sign of life for too long; ask it for one before."""
        asked_s, asking = self._clock.monotonic_s(), None
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._look_for_heard()
            now_s, peer = self._clock.monotonic_s(), self._talk.peer
            silent_s = self._end.silent_s(peer) if self._end.has(peer) else math.inf
            lifeless_s = min(silent_s, now_s - max(self._alive_s, self._pulse.beat()))
            lives = self._life.look(lifeless_s, longest_s=SILENCE_TOLD_S)  # what comes first may be a last word
            if lifeless_s > LOST_S:
                return
            if lifeless_s > LOST_S / 2:
                words = (
                    f"no sign of life of {self._name} for {LOST_S / 2:g} s; after {LOST_S:g} s the conference ends here"
                )
                self._notices.tell("life", words)
            elif lives:
                self._notices.over("life", f"{self._name} gives signs of life again; the conference goes on")
            if silent_s > SILENCE_TOLD_S and now_s >= asked_s + ASK_EVERY_S and (asking is None or asking.done()):
                asked_s, asking = now_s, asyncio.create_task(self._tell({"silent": True}))
                self._tasks.add(asking)

    async def _tell_keys(self, new: Round) -> None:
        await self._tell((await self._end.take_keys(new)).word())

    async def _tell(self, word: Mapping[str, Json], *, is_last: bool = False) -> None:
        async with self._turn:
            with contextlib.suppress(ChannelError):
                await self._talk.transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)
