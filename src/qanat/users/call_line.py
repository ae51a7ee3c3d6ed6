"""The conversation of a call of two: how it is agreed on, its signs of life where no datagram comes, its last words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, TypeVar

from qanat.adapters.datagrams import ip_of
from qanat.ground.errors import ChannelClosed, ChannelTimeout, FrameError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.ports import Clock
from qanat.services.call import LONGEST_S, LOST_S, SERVICE, SILENCE_TOLD_S, CallReport, CallWord, LastWord
from qanat.services.ciphers import RecordKind
from qanat.services.conversation import Conversation, Party, Terms, calling, refusing
from qanat.services.directory import Contact
from qanat.services.lines import Line
from qanat.users.call import CallEnd, Wire
from qanat.users.notices import STOOD_STILL_S, Flow, Notices, Say
from qanat.users.speaking import CallMedia

T = TypeVar("T")
Over = Callable[[], Coroutine[Any, Any, object]]

LAST_WORD_S = 2.0
"""So long at most it takes to say a last word, and to hear the other's."""
ASK_EVERY_S = 2.0
"""Between two questions to an end of which nothing comes."""
LOOK_EVERY_S = 0.25
AGAIN_AFTER_S = 1.0
"""Words that this end hears nothing come one after the other; all at once where this end stood still, and by then
datagrams flow again."""
MOST_WORDS_WAITING = 4
IN, KEY, OUT, LIFE = "in", "key", "out", "life"
"""What notices are about: datagrams from the other, its key, those to it, and any sign of life."""


class CallLine:
    """One end's side of the conversation, from when both have said what they send."""

    def __init__(self, talk: Conversation, end: CallEnd, *, clock: Clock, name: str, say: Say) -> None:
        """``name``: the other's. ``say``: is told of each outage of each way once, and of its end, while the call goes
        on."""
        self._ended = "unsaid"
        self._talk, self._end, self._clock, self._name = talk, end, clock, name
        self._alive_s = clock.monotonic_s()
        self._last: LastWord | None = None
        self._unheard_since_s: float | None = None
        self._to_say: asyncio.Queue[dict[str, Json]] = asyncio.Queue(MOST_WORDS_WAITING)
        self._notices, self._flow, self._life = Notices(say), Flow(clock), Flow(clock)
        self._has_asked = False
        """Whether the other was told that nothing of it comes, and not yet that it comes again."""

    async def hold(self, theirs: CallWord, over: Over) -> CallReport:
        """Talk until ``over`` ends, the other hangs up or gives no sign of life any more; returns what was seen.

        Raises what ``CallEnd.talk`` and ``Conversation.hear`` raise, but for the end of the line.
        """
        self._talk.terms = replace(self._talk.terms, silence_s=LONGEST_S)
        await self._end.talk(theirs, lambda: self._keep(over))
        return self._end.report(self._name, ended=self._ended)

    async def _keep(self, over: Over) -> None:
        self._alive_s = self._clock.monotonic_s()
        hearing, hung_up, watching = map(asyncio.create_task, (self._hear(), over(), self._watch()))
        speaking = asyncio.create_task(self._speak())
        tasks = {hearing, hung_up, watching, speaking}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            self._notices.close()
            is_lost = done == {watching}
            last = self._end.end(lost=is_lost)
            speaking.cancel()  # so that no word that waits for a key keeps the last one back
            await asyncio.gather(speaking, return_exceptions=True)
            if not hearing.done() or self._last is not None:
                await say_last(self._end_with(last, None if is_lost else hearing))
            if hearing.done():
                hearing.result()
            self._ended = self._how(hung_up_here=hung_up.done(), is_lost=is_lost)
            if self._last is not None:
                await self._end.hear_out(self._last)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _how(self, *, hung_up_here: bool, is_lost: bool) -> str:
        if self._last is not None and self._last.lost:
            return "unheard"
        if hung_up_here:
            return "unanswered" if self._last is None else "here"
        if self._last is not None:
            return "there"
        return "silent" if is_lost else "unsaid"

    async def _end_with(self, last: LastWord, answer: asyncio.Task[Any] | None) -> None:
        await self._tell(last.word(), is_last=True)
        if answer is not None:
            await asyncio.wait({answer})

    async def _hear(self) -> None:
        """Hear words until the last one, or the end of the line."""
        with contextlib.suppress(ChannelClosed):
            while self._last is None:
                try:
                    word = await self._talk.hear()
                except ChannelTimeout:  # of a call that lasts for a day
                    continue
                self._alive_s = self._clock.monotonic_s()
                self._heard(word)

    def _heard(self, word: dict[str, Json]) -> None:
        match word:
            case {"end": True}:
                self._last = LastWord.parse(word)
            case {"silent": True}:
                self._due({"here": True})
                self._note_unheard()
            case {"heard": True}:
                self._unheard_since_s = None
                self._notices.over(OUT, f"{self._name} hears this end again")
            case {"here": True}:
                if self._end.silent_s > SILENCE_TOLD_S:
                    self._note_silence()
            case _:
                raise FrameError("this is no word of a call", remedy="update the older side")

    def _note_silence(self) -> None:
        """Tell that no datagram comes, though the other has just said that it is there."""
        topic, remedy = (
            (IN, "let UDP through between the two") if self._end.has_key else (KEY, "the key for them is not here yet")
        )
        words = f"no datagram comes from {self._name}, though its line stands: {remedy}; the call goes on"
        self._notices.tell(topic, words)

    def _note_flow(self) -> None:
        """Tell that datagrams come again, here and to the other, once they do so steadily."""
        if self._flow.look(self._end.silent_s):
            self._notices.over(KEY, f"datagrams come from {self._name} now" if self._end.has_key else "")
            self._notices.over(IN, f"datagrams come from {self._name} again")
            if self._has_asked and self._due({"heard": True}):
                self._has_asked = False

    def _note_unheard(self) -> None:
        """Tell that the other hears nothing of this end when it says so again."""
        now_s = self._clock.monotonic_s()
        if self._unheard_since_s is None or now_s > self._unheard_since_s + LOST_S:
            self._unheard_since_s = now_s
        elif now_s > self._unheard_since_s + AGAIN_AFTER_S:
            words = f"{self._name} hears nothing of this end: let UDP through between the two; the call goes on"
            self._notices.tell(OUT, words)

    async def _watch(self) -> None:
        """Return when the other has given no sign of life for too long; ask it for one before."""
        looked_s = self._clock.monotonic_s()
        asked_s = looked_s - ASK_EVERY_S
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            now_s = self._clock.monotonic_s()
            if now_s - looked_s > STOOD_STILL_S:
                self._alive_s = now_s
                self._notices.over(LIFE)
            looked_s = now_s
            self._note_flow()
            lifeless_s = min(self._end.silent_s, now_s - self._alive_s)
            lives = self._life.look(lifeless_s, longest_s=SILENCE_TOLD_S)  # what comes first may be a last word
            if lifeless_s > LOST_S:
                return
            if lifeless_s > LOST_S / 2:
                self._notices.tell(
                    LIFE, f"no sign of life of {self._name} for {LOST_S / 2:g} s; after {LOST_S:g} s the call ends"
                )
            elif lives:
                self._notices.over(LIFE, f"{self._name} gives signs of life again; the call goes on")
            if self._end.silent_s > SILENCE_TOLD_S and now_s >= asked_s + ASK_EVERY_S:
                asked_s = now_s
                self._has_asked |= self._due({"silent": True})

    def _due(self, word: dict[str, Json]) -> bool:
        """Have a word said; returns False where the line takes none: who hears and watches says what of it."""
        if self._to_say.full():
            return False
        self._to_say.put_nowait(word)
        return True

    async def _speak(self) -> None:
        while True:
            word = await self._to_say.get()
            with contextlib.suppress(QanatError):  # without a key, or a line: the media, or who hears, says so
                await self._tell(word)

    async def _tell(self, word: dict[str, Json], *, is_last: bool = False) -> None:
        await self._talk.transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)


async def place_call(
    party: Party,
    line: Line,
    wire: Wire,
    contact: Contact,
    media: CallMedia,
    *,
    terms: Terms,
    seconds_s: float | None,
    stop: asyncio.Event,
    say: Say,
) -> CallReport:
    """Call a contact that has an address, for ``seconds_s`` or until ``stop`` is set; see ``UserServices.call``."""
    talk = calling(party, line, contact.sae, service=SERVICE, terms=terms)
    context = talk.hello.context
    end = CallEnd(party, wire, media, out=context, back=context.back(contact.sae), terms=terms)

    async def agree() -> CallWord:
        await talk.greet()
        await talk.say((await end.word()).word())
        return CallWord.parse(await talk.hear())

    async with refusing(talk):
        theirs = await unless(stop, agree(), told=f"hung up before {contact.name} answered")
        assert contact.address is not None
        end.peer_address = (await ip_of(contact.address[0]), theirs.port)

        async def over() -> None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LONGEST_S if seconds_s is None else seconds_s):
                    await stop.wait()

        return await CallLine(talk, end, clock=party.clock, name=contact.name, say=say).hold(theirs, over)


async def take_call(
    party: Party,
    talk: Conversation,
    wire: Wire,
    media: CallMedia,
    *,
    name: str,
    hang_up: asyncio.Event,
    begun: Callable[[], None],
    say: Say,
) -> CallReport:
    """Answer a call of ``name``, until it is over or ``hang_up`` is set; see ``UserServices.answer_call``."""
    context = talk.hello.context
    async with refusing(talk):
        theirs = CallWord.parse(await talk.hear())
        end = CallEnd(party, wire, media, out=context.back(party.sae), back=context, terms=talk.terms)
        await talk.say((await end.word()).word())
        begun()
        return await CallLine(talk, end, clock=party.clock, name=name, say=say).hold(theirs, hang_up.wait)


async def say_last(saying: Coroutine[Any, Any, None]) -> None:
    """Say a last word, and hear the other's, for ``LAST_WORD_S`` at most; whether it can be said changes nothing any
    more."""
    with contextlib.suppress(QanatError, TimeoutError):
        async with asyncio.timeout(LAST_WORD_S):
            await saying


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, T], *, told: str) -> T:
    """Return what ``work`` does; raises ChannelClosed with these words when ``stop`` is set before."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ChannelClosed(told)
        return working.result()
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
