"""Conferences as their caller and their members hold them: who is called, who is in it, and who is told what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qanat.ground.errors import ChannelClosed, ChannelError, FrameError, QanatError
from qanat.ground.events import Json
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.ground.ports import Entropy
from qanat.services.call import LONGEST_S, LOST_S, media_context
from qanat.services.ciphers import RecordKind
from qanat.services.conference import LEFT, Absence, ConferenceReport, Ending, Joining, KeysOf, Round, RoundKeys, Seat
from qanat.services.conversation import Conversation, Terms, refusing
from qanat.services.directory import Contact
from qanat.services.lines import Line
from qanat.users.call_line import say_last
from qanat.users.conference import ConferenceEnd
from qanat.users.notices import Notices, Say
from qanat.users.people import People

TRY_AGAIN_S = 3.0
"""Between two tries to reach somebody who is not in the conference yet, or was lost."""
TOGETHER_S = 0.2
"""Who comes and goes within so long makes one round."""
LOOK_EVERY_S = 0.5
LOST = "nothing was heard of it any more"
CLOSED = "its line closed without a last word: its program was ended, or the line broke"

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

    async def tell(self, word: Mapping[str, Json], *, is_last: bool = False) -> None:
        """Say a word, but not to who has left; a line that is gone is noticed by who listens to it."""
        async with self.turn:
            if self.is_gone:  # while a round was made ready in which it still has a seat
                return
            with contextlib.suppress(ChannelError):
                await self.talk.transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)


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
        self._changed = asyncio.Event()
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
        tried = [asyncio.Event() for _ in contacts]
        pairs = zip(contacts, tried, strict=True)
        calls = [asyncio.create_task(self._attend(contact, first)) for contact, first in pairs]
        trying = [asyncio.create_task(first.wait()) for first in tried]
        try:
            while not over() and not all(one.done() for one in trying):
                await asyncio.wait(trying, timeout=LOOK_EVERY_S)
            if not self._members:
                if not all(one.done() for one in trying):
                    raise ChannelClosed("hung up before anybody came to the conference")
                told = "; ".join(f"{one.name}: {one.reason}" for one in self.absent.values())
                raise ChannelClosed(f"nobody came to the conference: {told}", remedy="call when they receive")
            rounds = asyncio.create_task(self._keep_rounds())
            calls.append(rounds)
            while not over() and not all(call.done() for call in calls if call is not rounds):
                await asyncio.sleep(LOOK_EVERY_S)
                self._look_for_lost()
                for call in (*calls, *self._tasks):
                    if call.done():
                        call.result()
                self._tasks = {task for task in self._tasks if not task.done()}
        finally:
            for task in (*trying, *calls, *self._tasks):
                task.cancel()
            await asyncio.gather(*trying, *calls, *self._tasks, return_exceptions=True)

    # --- one contact ---

    async def _attend(self, contact: Contact, first: asyncio.Event) -> None:
        """Call somebody until it has been in the conference and left of its own, or does not want to come."""
        while True:
            try:
                async with self._line_to(self._people.contact_of(contact.sae), self._end.terms) as line:
                    await self._seat(contact, line, first)
                self.absent[contact.sae] = Absence(contact.name, LEFT)
                self._say(f"{contact.name} left the conference")
                return
            except ChannelError as fault:
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

    async def _seat(self, contact: Contact, line: Line, first: asyncio.Event) -> None:
        """Have somebody in the conference until it leaves; raises what takes it away otherwise."""
        talk = self._make_call(line, contact.sae)
        async with refusing(talk):
            await talk.greet()
            await talk.say(self._end.joining(is_caller=True).word())
            theirs = Joining.parse(await talk.hear())
            talk.terms = replace(talk.terms, silence_s=LONGEST_S)
            found = self._people.contact_of(contact.sae).address
            seat = Seat(contact.sae, found[0] if found else "", theirs.port, theirs.audio, theirs.video)
            member = self._members[contact.sae] = _Member(seat, talk)
            self._note_presence(contact)
            self._changed.set()
            first.set()
            try:
                await self._listen(member)
            except asyncio.CancelledError:  # the conference is over
                await say_last(member.tell(self._end.ending(contact.sae).word(), is_last=True))
                raise
            except _Lost:  # it may hear well, and not know that nobody hears it
                await say_last(member.tell(self._end.ending(contact.sae, lost=True).word(), is_last=True))
                raise
            finally:
                member.is_gone = True
                del self._members[contact.sae]
                self._changed.set()

    async def _listen(self, member: _Member) -> None:
        """Pass on what a member says of its keys, until it leaves; raises _Lost when nothing is heard of it."""
        lost = asyncio.create_task(member.lost.wait())
        hearing = asyncio.create_task(self._hear(member))
        try:
            await asyncio.wait({lost, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                raise _Lost(LOST)
            hearing.result()
        finally:
            lost.cancel()
            hearing.cancel()
            await asyncio.gather(lost, hearing, return_exceptions=True)

    async def _hear(self, member: _Member) -> None:
        while "end" not in (word := await member.talk.hear()):
            await self._pass_on(RoundKeys.parse(word), by=member.seat.sae)
        self._end.note_ending(member.seat.sae, Ending.parse(word))

    def _look_for_lost(self) -> None:
        for sae, member in self._members.items():
            if self._end.silent_s(sae) > LOST_S:
                member.lost.set()
            elif self._end.hears(sae):
                self._notices.over(sae, f"{self.absent[sae].name} is in the conference again")

    # --- rounds ---

    async def _keep_rounds(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(TOGETHER_S)
            self._changed.clear()
            here = list(self._members.values())
            own = self._end.joining()
            seats = (Seat(self._people.me.sae, "", own.port, own.audio, own.video), *(one.seat for one in here))
            self._round = new = Round(self._round.number + 1, seats)
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


async def attend(
    talk: Conversation,
    end_of: Callable[[str], ConferenceEnd],
    *,
    me: SaeId,
    leave: asyncio.Event,
    begun: Callable[[], None],
    name: str,
    say: Say,
) -> ConferenceReport:
    """Be a member until the caller ends it, or ``leave`` is set: ``talk`` is with a caller of conferences.

    ``end_of``: makes this end of a conference of this name. ``begun``: is called once it has joined. ``name``: the
    caller's. ``say``: is told that the caller took this end out of it. Raises what ``Conversation.next`` raises,
    KeyShortage.
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
        attending = _Attending(talk, end, me)
        await end.talk(lambda: attending.run(leave))
        if attending.last.lost:
            say(
                f"{name} had heard nothing of this program for {attending.last.silent_s:.1f} s and took it out of the "
                "conference: it is not heard, let UDP through from here"
            )
        return end.report()


class _Attending:
    """A member's side of the conversation with the caller."""

    def __init__(self, talk: Conversation, end: ConferenceEnd, me: SaeId) -> None:
        self.last = Ending()
        """What the caller said last."""
        self._talk, self._end, self._me = talk, end, me
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, leave: asyncio.Event) -> None:
        """Do as the caller says until it ends the conference, or goes away, or ``leave`` is set."""
        ends = {asyncio.create_task(self._hear()), asyncio.create_task(self._leave(leave))}
        try:
            while not any(task.done() for task in ends):
                done, _ = await asyncio.wait(
                    {*ends, *self._tasks}, return_when=asyncio.FIRST_COMPLETED, timeout=LOOK_EVERY_S
                )
                self._tasks -= done
                for task in done:
                    task.result()
        finally:
            for task in (*ends, *self._tasks):
                task.cancel()
            await asyncio.gather(*ends, *self._tasks, return_exceptions=True)

    async def _leave(self, leave: asyncio.Event) -> None:
        await leave.wait()
        await say_last(self._tell(self._end.ending(self._talk.peer).word(), is_last=True))

    async def _hear(self) -> None:
        with contextlib.suppress(ChannelClosed):  # who hangs up need not say so
            while "end" not in (word := await self._talk.hear()):
                if "of" in word:
                    self._tasks.add(asyncio.create_task(self._end.learn(KeysOf.parse(word))))
                    continue
                new = Round.parse(word, me=self._me)
                if self._talk.peer not in {seat.sae for seat in new.seats}:
                    raise FrameError("a round of a conference without its caller", remedy="update the older side")
                await self._end.admit(new)
                self._tasks.add(asyncio.create_task(self._tell_keys(new)))
            self.last = Ending.parse(word)
            self._end.note_ending(self._talk.peer, self.last)

    async def _tell_keys(self, new: Round) -> None:
        await self._tell((await self._end.take_keys(new)).word())

    async def _tell(self, word: Mapping[str, Json], *, is_last: bool = False) -> None:
        async with self._turn:
            with contextlib.suppress(ChannelError):
                await self._talk.transmit(canonical_json(word), kind=RecordKind.CONTROL, is_last=is_last)
