"""Conferences as their caller holds them: who is called, who is in it, and who is told what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from qanat.ground.errors import ChannelClosed, ChannelError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.ground.ports import Entropy
from qanat.services.call import LONGEST_S, LOST_S
from qanat.services.ciphers import RecordKind
from qanat.services.conference import GONE, LEFT, Absence, Joining, KeysOf, Round, RoundKeys, Seat
from qanat.services.conference_ends import OVER, Ending, Parting, Tally
from qanat.services.conversation import Conversation, Terms, refusing
from qanat.services.directory import Contact
from qanat.services.lines import Line
from qanat.users.call_line import LAST_WORD_S, say_last
from qanat.users.conference import ConferenceEnd
from qanat.users.notices import Notices, Say
from qanat.users.people import People

TRY_AGAIN_S = 3.0
"""Between two tries to reach somebody who is not in the conference yet, or was lost."""
TOGETHER_S = 0.2
"""Who comes and goes within so long makes one round."""
LOOK_EVERY_S = 0.5
PARTING_S = 1.0
"""So long at most who ends is kept until the others have told what they had sent it."""
LOST, CLOSED = GONE["lost"], GONE["broke"]
HUNG_UP = "it had no sign of life from here, and hung up"

LineTo = Callable[[Contact, Terms], contextlib.AbstractAsyncContextManager[Line]]


class _Lost(ChannelClosed):
    """Nothing is heard of a member any more, whose line may stand."""


@dataclass(slots=True)
class _Member:
    """Somebody who is in the conference, at the caller's."""

    seat: Seat
    talk: Conversation
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False
    is_told_end: bool = False
    """Whether the caller's last word was said to it."""
    last: Ending | None = None
    """What it said last."""
    told: set[SaeId] = field(default_factory=set)
    """What these had sent it, it knows."""
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def tell(self, word: Mapping[str, Json], *, is_last: bool = False) -> None:
        """Say a word, but not to who has left; a line that is gone is noticed by who listens to it."""
        async with self.turn:
            if self.is_gone:  # while a round was made ready in which it still has a seat
                return
            with contextlib.suppress(ChannelError):
                await self.talk.transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)

    async def tell_tally(self, of: SaeId, tally: Tally) -> None:
        """Say what another had sent it in all."""
        await self.tell(Parting(of, tally).word_of())
        self.told.add(of)
        self.news.set()

    async def has_told(self, others: Set[SaeId]) -> None:
        """Return once it knows what all of these had sent it."""
        while not others <= self.told:
            self.news.clear()
            await self.news.wait()


class Convener:
    """The caller's side: calls all, tells who is in it at each change, and passes on the ids of their keys."""

    def __init__(
        self,
        people: People,
        line_to: LineTo,
        end: ConferenceEnd,
        make_call: Callable[[Line, SaeId], Conversation],
        *,
        say: Say,
    ) -> None:
        """``make_call``: ``calling`` with the caller's party, service and terms. ``say``: is told who comes and goes,
        and why."""
        self.absent: dict[SaeId, Absence] = {}
        self._people, self._line_to, self._end, self._make_call = people, line_to, end, make_call
        self._members: dict[SaeId, _Member] = {}
        self._round = Round(0, ())
        self._gone: dict[SaeId, str] = {}
        """How members went, by a key of ``GONE``, until the others are told."""
        self._changed, self._over = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._say, self._notices = say, Notices(self._tell)
        self._early: list[str] | None = []
        """What is not told before somebody came: where nobody comes the fault names all reasons."""

    def away(self) -> tuple[Absence, ...]:
        """Return who was called and is not in it, and why."""
        return tuple(one for one in self.absent.values() if one.reason)

    async def run(self, contacts: Sequence[Contact], over: Callable[[], bool]) -> None:
        """Hold the conference until ``over`` says so, or all have left.

        Raises ChannelClosed when nobody can be reached, and what kept this end from having keys.
        """
        self._end.is_ending = over
        tried = [asyncio.Event() for _ in contacts]
        pairs = zip(contacts, tried, strict=True)
        calls = {one.sae: asyncio.create_task(self._attend(one, first)) for one, first in pairs}
        trying = [asyncio.create_task(first.wait()) for first in tried]
        rounds: asyncio.Task[None] | None = None
        try:
            while not over() and not all(one.done() for one in trying):
                await asyncio.wait(trying, timeout=LOOK_EVERY_S)
            if not self._members:
                if not all(one.done() for one in trying):
                    raise ChannelClosed("hung up before anybody came to the conference")
                told = "; ".join(f"{one.name}: {one.reason}" for one in self.absent.values())
                raise ChannelClosed(f"nobody came to the conference: {told}", remedy="call when they receive")
            rounds = asyncio.create_task(self._keep_rounds())
            while not self._has_stood_still() and not over() and not all(call.done() for call in calls.values()):
                await asyncio.sleep(LOOK_EVERY_S)
                self._look_for_lost()
                for task in (rounds, *calls.values(), *self._tasks):
                    if task.done():
                        task.result()
                self._tasks = {task for task in self._tasks if not task.done()}
            rounds.cancel()
            await self._close(calls)
        finally:
            tasks: set[asyncio.Task[Any]] = {*trying, *calls.values(), *self._tasks}
            tasks |= set() if rounds is None else {rounds}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _has_stood_still(self) -> bool:
        """Return whether this program stood still for so long that the others have given it up, and tell so."""
        if (still_s := self._end.stood_still_s) <= LOST_S:
            return False
        self._tell(
            f"this program stood still for {still_s:.0f} s: the others take it for gone after {LOST_S:g} s, "
            "and the conference is over"
        )
        return True

    async def _close(self, calls: Mapping[SaeId, asyncio.Task[None]]) -> None:
        """Tell all who are here that it is over, and hear what they had sent each other and this end; who does not
        answer may not know of the end, and is reported so."""
        self._end.stop()
        self._over.set()
        here = dict(self._members)
        if here:
            await asyncio.wait([calls[sae] for sae in here], timeout=LAST_WORD_S + PARTING_S)
        for sae in (sae for sae, member in here.items() if member.last is None):
            self._end.note_gone(sae, "unanswered")
        for sae, how in self._gone.items():  # there was no round since
            self._end.note_gone(sae, how)
        await self._end.hear_out()

    # --- one contact ---

    async def _attend(self, contact: Contact, first: asyncio.Event) -> None:
        """Call somebody until it has been in the conference and left of its own, or does not want to come."""
        while True:
            try:
                async with self._line_to(self._people.contact_of(contact.sae), self._end.terms) as line:
                    last = await self._seat(contact, line, first)
                if last is not None and last.lost:
                    if self._is_over_for(contact, HUNG_UP):
                        return
                    self._note_absence(contact, HUNG_UP)
                else:
                    if not self._over.is_set():
                        self.absent[contact.sae] = Absence(contact.name, LEFT)
                        self._say(f"{contact.name} left the conference")
                    return
            except ChannelError as fault:
                if self._over.is_set() or self._is_over_for(contact, CLOSED):
                    return
                is_lost = isinstance(fault, _Lost)
                self._note_absence(contact, LOST if is_lost else CLOSED if self._was_here(contact) else fault.message)
            except QanatError as fault:
                self._note_absence(contact, fault.message, is_called_again=False)
                return
            finally:
                first.set()
            await asyncio.sleep(TRY_AGAIN_S)

    def _tell(self, words: str) -> None:
        if self._early is None:
            self._say(words)
        else:
            self._early.append(words)

    def _is_over_for(self, contact: Contact, reason: str) -> bool:
        """Return whether somebody who went for ``reason`` is not called again, as the conference is over: this program
        stood still for so long that the others have given it up."""
        is_over = self._over.is_set() or self._end.stood_still_s > LOST_S
        if is_over:
            self.absent[contact.sae] = Absence(contact.name, reason)
        return is_over

    def _was_here(self, contact: Contact) -> bool:
        return contact.sae in self.absent and not self.absent[contact.sae].reason

    def _note_absence(self, contact: Contact, reason: str, *, is_called_again: bool = True) -> None:
        """Tell it once, until somebody is here again, or was refused for good."""
        any_more = " any more" if self._was_here(contact) else ""
        self.absent[contact.sae] = Absence(contact.name, reason)
        words = f"{contact.name} is not in the conference{any_more}: {reason}; "
        if is_called_again:
            self._notices.tell(contact.sae, f"{words}it is called again")
        else:
            self._tell(f"{words}it is not called again")

    def _note_presence(self, contact: Contact) -> None:
        """Tell that somebody came; who comes again and is still not heard is told when it is."""
        early, self._early = self._early or [], None
        for words in early:
            self._say(words)
        was_lost = contact.sae in self.absent and self.absent[contact.sae].reason == LOST
        self.absent[contact.sae] = Absence(contact.name, "")
        if not was_lost:
            self._notices.over(contact.sae)
            self._say(f"{contact.name} is in the conference")

    async def _seat(self, contact: Contact, line: Line, first: asyncio.Event) -> Ending | None:
        """Have somebody in the conference until it leaves, or it is over; returns its last word, and raises what takes
        it away otherwise."""
        talk = self._make_call(line, contact.sae)
        async with refusing(talk):
            await talk.greet()
            await talk.say(self._end.joining(is_caller=True).word())
            theirs = Joining.parse(await talk.hear())
            talk.terms = replace(talk.terms, silence_s=LONGEST_S)
            found = self._people.contact_of(contact.sae).address
            seat = Seat(contact.sae, found[0] if found else "", theirs.port, theirs.audio, theirs.video)
            member = self._members[contact.sae] = _Member(seat, talk)
            self._gone.pop(contact.sae, None)
            self._note_presence(contact)
            self._changed.set()
            first.set()
            try:
                await self._listen(member)
            except asyncio.CancelledError:  # this end has a fault
                await say_last(member.tell(self._ending(member).word(), is_last=True))
                raise
            except QanatError:
                self._gone.setdefault(contact.sae, "broke")
                raise
            finally:
                member.is_gone = True
                del self._members[contact.sae]
                self._changed.set()
            return member.last

    async def _listen(self, member: _Member) -> None:
        """Pass on what a member says of its keys, until it leaves or all is over; raises _Lost when nothing is heard of
        it."""
        ends = {asyncio.create_task(member.lost.wait()), asyncio.create_task(self._over.wait())}
        hearing = asyncio.create_task(self._hear(member))
        try:
            await asyncio.wait({*ends, hearing}, return_when=asyncio.FIRST_COMPLETED)
            is_lost = not hearing.done() and not self._over.is_set()
            if is_lost:
                self._gone.setdefault(member.seat.sae, "lost")
            if not hearing.done():  # one that is lost may hear well, and not know that nobody hears it
                await say_last(self._end_with(member, hearing, lost=is_lost))
            if member.last is not None:
                await self._part(member)
            if is_lost:
                raise _Lost(LOST)
            if hearing.done():
                hearing.result()
        finally:
            for task in (*ends, hearing):
                task.cancel()
            await asyncio.gather(*ends, hearing, return_exceptions=True)

    def _ending(self, member: _Member, *, lost: bool = False) -> Ending:
        sae = member.seat.sae
        return Ending(lost, {sae: self._end.tally(sae)})

    async def _end_with(self, member: _Member, hearing: asyncio.Task[None], *, lost: bool) -> None:
        """Say the last word to a member, and hear its own."""
        member.is_told_end = True
        await member.tell(self._ending(member, lost=lost).word())
        await asyncio.wait({hearing})

    async def _part(self, member: _Member) -> None:
        """Tell a member that has said its last word what all others had sent it."""
        sae = member.seat.sae
        if not member.is_told_end:
            await say_last(member.tell(self._ending(member).word()))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_S):
                await member.has_told(self._members.keys() - {sae})
        await say_last(member.tell(OVER, is_last=True))

    async def _hear(self, member: _Member) -> None:
        """Do as a member says until it has said its last word."""
        sae = member.seat.sae
        while "end" not in (word := await member.talk.hear()):
            if "silent" in word:
                self._tasks.add(asyncio.create_task(member.tell({"here": True})))
            elif "to" in word:
                await self._pass_tally(sae, Parting.parse(word))
            else:
                await self._pass_on(RoundKeys.parse(word), by=sae)
        member.last = last = Ending.parse(word)
        if not self._over.is_set():
            self._gone.setdefault(sae, "gave_up" if last.lost else "left")
        self._end.note_last(sae, last.to.get(self._people.me.sae), lost=last.lost)
        await asyncio.gather(*(self._pass_tally(sae, Parting(to, tally)) for to, tally in last.to.items()))

    async def _pass_tally(self, of: SaeId, parting: Parting) -> None:
        """Tell a member what another had sent it."""
        if (member := self._members.get(parting.other)) is not None and parting.other != of:
            await member.tell_tally(of, parting.tally)

    def _look_for_lost(self) -> None:
        for sae, member in self._members.items():
            if self._end.silent_s(sae) > LOST_S:
                member.lost.set()
            elif self._end.hears(sae):
                name, here_s = self.absent[sae].name, self._end.here_s(sae)
                self._notices.over(
                    sae, f"{name} is in the conference again: it came {here_s:.1f} s ago, and is heard now"
                )

    # --- rounds ---

    async def _keep_rounds(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(TOGETHER_S)
            self._changed.clear()
            here = [one for one in self._members.values() if one.last is None]
            own = self._end.joining()
            seats = (Seat(self._people.me.sae, "", own.port, own.audio, own.video), *(one.seat for one in here))
            gone = {sae: how for sae, how in self._gone.items() if all(seat.sae != sae for seat in seats)}
            self._gone = {sae: how for sae, how in self._gone.items() if sae not in gone}
            self._round = new = Round(self._round.number + 1, seats, gone)
            await self._end.admit(new)
            if here:
                await asyncio.gather(*(one.tell(new.word()) for one in here))
                self._tasks.add(asyncio.create_task(self._take_keys(new)))

    async def _take_keys(self, new: Round) -> None:
        await self._pass_on(await self._end.take_keys(new), by=self._people.me.sae)

    async def _pass_on(self, keys: RoundKeys, *, by: SaeId) -> None:
        """Tell all others of somebody's keys; those of a round that is over are of no use to anybody."""
        if keys.number != self._round.number:
            return
        if by != self._people.me.sae:
            told = KeysOf.parse(keys.told_to(self._people.me.sae, by=by))
            self._tasks.add(asyncio.create_task(self._end.learn(told)))
        others = [one for sae, one in self._members.items() if sae != by]
        await asyncio.gather(*(one.tell(keys.told_to(one.seat.sae, by=by)) for one in others))


def new_conference(entropy: Entropy) -> str:
    """Return a name that no conference had before."""
    return entropy.public_bytes(16).hex()
