"""One end of a conference: it speaks to all others at once, and hears each by itself.

The members form a mesh: each sends its datagrams to each other. Nobody in the middle has to carry everybody's media, or
can hold them back, and none is a hop slower than a call of two. See ``services.conference`` for rounds and keys.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from qanat.adapters.datagrams import ip_of
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.media import CONFERENCE_QUALITY, MediaSink
from qanat.ground.errors import ChannelError, FrameError, QanatError
from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import SaeId
from qanat.services.call import HERE_EVERY_S, LOST_S, SILENCE_TOLD_S, CallReport
from qanat.services.call_frames import Medium
from qanat.services.ciphers import FrameSealer, NotForUs, RecordKind, StreamContext
from qanat.services.ciphers.layout import MARK_BYTES, key_id_bytes, key_id_text, read_header
from qanat.services.ciphers.origin import PAIR_KEY_BITS, OriginKey, digest_of, record_and_tag
from qanat.services.ciphers.sender_keys import keys_with_patience
from qanat.services.conference import Absence, ConferenceReport, Joining, KeysOf, Round, RoundKeys, Seat
from qanat.services.conference_ends import Tally
from qanat.services.conversation import Party, Terms, sender_keys
from qanat.users.call import Wire, work_until
from qanat.users.heard_member import HeardMember
from qanat.users.hearing import HeardStream, Hearing
from qanat.users.mixing import Mixing
from qanat.users.notices import Flow, Notices, Pulse, Say
from qanat.users.speaking import CallMedia, Speaking, renew

SWITCH_S = 0.3
"""From telling one's key of a new round to sealing by it: so the others have it at hand."""
OVERRUN_S = 20.0
"""A key of all cannot be had while one of them has none; until that one is given up the present key seals on."""
OVERLAP_S = 10.0
"""So long after a new round began, what was sealed in the one before is still opened."""
LOOK_EVERY_S = 0.5
MIX_NAME = "mix.webm"


class ConferenceEnd:
    """One end, for one conference. Raises what ``CallMedia`` leads to."""

    def __init__(
        self,
        party: Party,
        wire: Wire,
        media: CallMedia,
        *,
        conference: str,
        terms: Terms,
        key_life_s: float,
        name_of: Callable[[SaeId], str],
        say: Say,
    ) -> None:
        """``say``: is told of each outage of each member once, and of its end, while the conference goes on."""
        self.fault: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.terms = terms
        self._party, self._wire, self._record, self._play = party, wire, media.record, media.play
        self._conference, self._key_life_s, self.name_of = conference, key_life_s, name_of
        self._speaking = Speaking(party.clock, media, send=self._send, quality=CONFERENCE_QUALITY)
        self._members: dict[SaeId, HeardMember] = {}
        self._marks: dict[bytes, tuple[SaeId, int]] = {}
        self._number = 0
        self._sealed_round = 0
        self._sealer: FrameSealer | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._switching: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        self._spoke_at_s: float | None = None
        self._num_keys_before = self._num_tag_keys = 0
        self._refused: Counter[str] = Counter()
        self._gone: list[CallReport] = []
        self._dropping: list[asyncio.Task[None]] = []
        self._mix: Mixing | None = None
        self._mix_path: str | None = None
        self._is_over = False
        self._began_s = party.clock.monotonic_s()
        self.is_ending: Callable[[], bool] = lambda: False
        """Whether its end was asked for: no outage is told any more."""
        self._pulse = Pulse(party.clock)
        self._notices = Notices(say)

    def joining(self, *, is_caller: bool = False) -> Joining:
        """Return what this end says of itself."""
        sources = self._speaking.sources
        name = self._conference if is_caller else ""
        return Joining(Medium.AUDIO in sources, Medium.VIDEO in sources, self._wire.port, name)

    async def admit(self, new: Round) -> None:
        """Be ready to hear those of a new round, and drop who is not in it. Raises FrameError."""
        if new.number <= self._number:
            raise FrameError("a round of a conference came after a newer one", remedy="update the older side")
        self._number = new.number
        others = {seat.sae: seat for seat in new.others(self._party.sae)}
        for sae, member in list(self._members.items()):
            if others.get(sae) != member.seat:  # also who left and came again meanwhile
                self.note_gone(sae, new.gone.get(sae, ""))
                await self.drop(sae)
        for sae, seat in others.items():
            if sae not in self._members:
                self._members[sae] = await self._meet(seat, new.number)
            context = self._context(new, sae)
            self._members[sae].streams[new.number] = HeardStream(self._party, context)
            self._marks[context.digest()[:MARK_BYTES]] = (sae, new.number)

    async def take_keys(self, new: Round) -> RoundKeys:
        """Return this end's keys in a round that it was admitted to, for the others; soon it seals by them.

        Raises KeyShortage and what the supply raises; then the round before goes on.
        """
        context = self._context(new, self._party.sae)
        keys = sender_keys(self._party, context, self.terms)
        sealer = FrameSealer(context, keys, overrun_s=OVERRUN_S)
        others = [seat.sae for seat in new.others(self._party.sae)]
        fresh = [sae for sae in others if sae in self._members and self._members[sae].our_tag_key is None]
        _, each = await asyncio.gather(sealer.prepare(), asyncio.gather(*map(self._take_tag_key, fresh)))
        if new.number == self._number:
            if self._switching is not None:
                self._switching.cancel()
            self._switching = asyncio.create_task(self._switch(sealer, new.number))
        else:
            sealer.forget()
        return RoundKeys(new.number, keys.key_id, dict(zip(fresh, each, strict=True)))

    async def learn(self, keys: KeysOf) -> None:
        """Take note of another member's keys; a tag key that cannot be had is counted as refused."""
        member = self._members.get(keys.of)
        if member is None or keys.number not in member.streams:
            return  # of a round that is over, or of one who has left
        member.streams[keys.number].expect(keys.media)
        if member.told_s is None:
            member.told_s = self._party.clock.monotonic_s()
        if keys.tags:
            try:
                (key,) = await self._party.supply.get_keys_by_id(keys.of, [key_id_text(keys.tags)])
                member.tag_key = OriginKey(key)
            except QanatError as fault:
                member.hearing.refused[type(fault).__name__] += 1

    async def drop(self, sae: SaeId) -> None:
        """Hear and tell a member no more, once what is on its way is here; what was heard of it stays in the report."""
        if (member := self._members.get(sae)) is None:
            return
        await member.hear_out()
        if self._members.get(sae) is not member:  # another drops it too
            return
        del self._members[sae]
        self._marks = {mark: of for mark, of in self._marks.items() if of[0] != sae}
        self._dropping.append(asyncio.create_task(self._drop(member)))
        await asyncio.shield(self._dropping[-1])  # who is told to end meanwhile still has its report and recording

    async def _drop(self, member: HeardMember) -> None:
        for task in member.tasks:
            task.cancel()
        await asyncio.gather(*member.tasks, return_exceptions=True)
        self._gone.append(member.report(keys_sent=self._keys_sent, speaking_s=self.speaking_s()))
        for stream in member.streams.values():
            await stream.close()
        await asyncio.to_thread(member.sink.close)
        if self._mix is not None:
            self._mix.leave(member.seat.sae)

    def speaking_s(self) -> float:
        """Return for how long this end has been speaking: nobody does before the first keys are there."""
        return 0.0 if self._spoke_at_s is None else self._party.clock.monotonic_s() - self._spoke_at_s

    def silent_s(self, sae: SaeId) -> float:
        """Return how long nothing genuine has come from a member, while this end did not stand still itself; 0 for who
        is none."""
        member, since_s = self._members.get(sae), self._pulse.beat()
        return 0.0 if member is None else self._party.clock.monotonic_s() - max(member.hearing.heard_at_s, since_s)

    @property
    def stood_still_s(self) -> float:
        """For how long this program stood still, at most; after more than ``LOST_S`` it sends nothing any more."""
        self._pulse.beat()
        return self._pulse.longest_s

    def has(self, sae: SaeId) -> bool:
        """Return whether somebody is a member, as far as this end was told."""
        return sae in self._members

    def hears(self, sae: SaeId) -> bool:
        """Return whether datagrams of a member come, and not only now and then."""
        return (member := self._members.get(sae)) is not None and member.flow.look(self.silent_s(sae))

    def here_s(self, sae: SaeId) -> float:
        """Return for how long somebody has been a member; its figures begin then."""
        member = self._members.get(sae)
        return 0.0 if member is None else self._party.clock.monotonic_s() - member.hearing.began_s

    def stop(self) -> None:
        """Send nothing more; what comes is still heard."""
        self._is_over = True
        self._notices.close()
        for sae in self._members:
            self.tally(sae)

    def tally(self, sae: SaeId) -> Tally:
        """Send a member nothing more, and return what is to be said last to it."""
        if (member := self._members.get(sae)) is None:
            return Tally()
        return member.end(min(self.silent_s(sae), member.since_told_s()))  # nothing can come before its keys are known

    def tallies(self) -> dict[SaeId, Tally]:
        """Return what is to be said last to each member, who are sent nothing more."""
        return {sae: self.tally(sae) for sae in self._members}

    def note_last(self, sae: SaeId, last: Tally | None, *, lost: bool = False) -> None:
        """Take note of a member's last word, for the report."""
        if (member := self._members.get(sae)) is not None and last is not None:
            member.note_last(last, lost=lost)

    def note_gone(self, sae: SaeId, ended: str) -> None:
        """Take note of how a member went, for the report: see ``CallReport``; what was noted first holds."""
        if (member := self._members.get(sae)) is not None:
            member.ended = member.ended or ended

    async def hear_out(self) -> None:
        """Wait a moment for datagrams that are still on their way; after it, what has not come is lost."""
        await asyncio.gather(*(member.hear_out() for member in self._members.values()))

    async def talk(self, until: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Send and hear until ``until`` ends. Raises what it raises, and KeyShortage when no key comes in time."""
        self._mix = await asyncio.to_thread(self._make_mix)
        works: list[Coroutine[Any, Any, None]] = [self._listen(), self._say_here(), self._watch(), self._fail()]
        works += map(self._speak, self._speaking.sources)
        if self._mix is not None:
            works.append(self._mix.keep())
        try:
            await work_until(until(), tuple(works))
        finally:
            tasks = [task for task in (self._switching, self._renewing) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for sae in list(self._members):
                await self.drop(sae)
            await asyncio.gather(*self._dropping)
            if self._sealer is not None:
                self._num_keys_before += self._sealer.num_keys
                self._sealer.forget()
            if self._mix is not None:
                await self._mix.close()

    def report(self, absent: tuple[Absence, ...] = (), *, caller: str = "") -> ConferenceReport:
        """Return what this end saw, after ``talk``; ``caller``: see ``ConferenceReport``."""
        return ConferenceReport(
            conference=self._conference,
            duration_s=self._party.clock.monotonic_s() - self._began_s,
            rounds=self._number,
            keys_sent=self._num_keys_before,
            tag_keys=self._num_tag_keys,
            members=tuple(self._gone),
            absent=absent,
            refused=dict(self._refused),
            mix=self._mix_path,
            caller=caller,
        )

    # --- rounds ---

    def _context(self, new: Round, sae: SaeId) -> StreamContext:
        return new.stream_of(sae, conference=self._conference, suite=self.terms.suite, key_life_s=self._key_life_s)

    async def _meet(self, seat: Seat, number: int) -> HeardMember:
        """Return a new member's place; its datagrams are opened and shown from now on."""
        name = self.name_of(seat.sae)
        path = self._recording_of(name)
        sink = await asyncio.to_thread(
            MediaSink,
            audio=seat.audio,
            video=seat.video,
            record=path,
            quality=CONFERENCE_QUALITY,
            on_sound=None if self._mix is None else self._mix.hear(seat.sae),
            now_ms=None if self._mix is None else self._mix.now_ms,
        )
        hearing = Hearing(self._party.clock, say=lambda word: self._say_to(seat.sae, word), begins_anywhere=True)
        clock, recording = self._party.clock, None if path is None else str(path)
        member = HeardMember(seat, name, number, clock, hearing, sink, recording, Flow(clock))
        if seat.host:
            with contextlib.suppress(ChannelError):  # its first genuine datagram says where it is
                member.address = (await ip_of(seat.host), seat.port)
        member.keys_sent_before = self._keys_sent
        member.tasks = [asyncio.create_task(self._hear(member)), asyncio.create_task(hearing.show(sink))]
        for task in member.tasks:
            task.add_done_callback(self._failed)
        return member

    async def _take_tag_key(self, sae: SaeId) -> bytes:
        """Take a key for the tags to one other; returns its id."""
        (key,) = await keys_with_patience(
            self._party.supply,
            sae,
            count=1,
            size_bits=PAIR_KEY_BITS,
            clock=self._party.clock,
            patience_s=self.terms.patience_s,
        )
        if (member := self._members.get(sae)) is not None:
            member.our_tag_key = OriginKey(key)
            self._num_tag_keys += 1
        return key_id_bytes(key.key_id)

    async def _switch(self, sealer: FrameSealer, number: int) -> None:
        """Seal by a new round's keys, once the others know of them; the round before is over soon."""
        try:
            await asyncio.sleep(SWITCH_S)
        except asyncio.CancelledError:  # a newer round came
            sealer.forget()
            raise
        before, self._sealer = self._sealer, sealer
        self._sealed_round = number
        if self._renewing is not None:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(renew(sealer, say=self._say, refused=self._refused))
        self._renewing.add_done_callback(self._failed)
        if self._spoke_at_s is None:
            self._spoke_at_s = self._party.clock.monotonic_s()
        self._ready.set()
        if before is not None:
            self._num_keys_before += before.num_keys
            before.forget()
        await asyncio.sleep(OVERLAP_S)
        for member in list(self._members.values()):
            await member.forget_before(number)
        self._marks = {mark: of for mark, of in self._marks.items() if of[1] >= number}

    def _failed(self, task: asyncio.Task[None]) -> None:
        """Let a fault of a task that belongs to a member or a round end the conference here."""
        if not task.cancelled() and (fault := task.exception()) is not None and not self.fault.done():
            self.fault.set_exception(fault)

    async def _fail(self) -> None:
        await self.fault

    # --- what goes out ---

    @property
    def _keys_sent(self) -> int:
        return self._num_keys_before + (0 if self._sealer is None else self._sealer.num_keys)

    async def _speak(self, medium: Medium) -> None:
        await self._ready.wait()
        await self._speaking.speak(medium)

    async def _say_here(self) -> None:
        await self._ready.wait()
        while True:
            self._say({"here": True})
            await asyncio.sleep(HERE_EVERY_S)

    def _say(self, word: Mapping[str, str | bool]) -> None:
        self._send(canonical_json(dict(word)), kind=RecordKind.CONTROL)

    def _say_to(self, sae: SaeId, word: Mapping[str, str | bool]) -> None:
        """Say something that one member alone is meant by; all could open it."""
        if self._sealer is not None and (member := self._members.get(sae)) is not None:
            self._send_to([member], canonical_json(dict(word)), RecordKind.CONTROL)

    def _send(self, content: bytes, *, kind: RecordKind = RecordKind.DATA) -> None:
        self._send_to(list(self._members.values()), content, kind)

    def _send_to(self, members: list[HeardMember], content: bytes, kind: RecordKind) -> None:
        """Seal once, and send it to each who holds the key of all, with a tag of its own."""
        self._pulse.beat()
        if self._sealer is None or self._is_over or self._pulse.longest_s > LOST_S:  # the others have given it up
            return
        record = self._sealer.seal(content, kind=kind)
        digest = digest_of(record)
        for member in members:
            if member.is_over or member.since_round > self._sealed_round:
                continue
            if member.address is None or member.our_tag_key is None:
                continue
            if member.sends(content, kind):
                tag = member.our_tag_key.tag(record, digest, round_number=self._sealed_round)
                self._wire.send(record + tag, member.address)
            else:
                self._speaking.ask_for_key()

    # --- what comes in ---

    async def _listen(self) -> None:
        """Hand each datagram to the member that it is said to be of; those of nobody are counted."""
        while True:
            datagram, address = await self._wire.receive()
            try:
                record, _ = record_and_tag(datagram)
                found = self._marks.get(read_header(record).mark)
                if found is None:
                    raise NotForUs("a datagram of no member of this round")
            except QanatError as fault:
                self._refused[type(fault).__name__] += 1
                continue
            member = self._members[found[0]]
            if member.came.full():
                member.hearing.refused["Overrun"] += 1
            else:
                member.came.put_nowait((datagram, address, found[1]))

    async def _hear(self, member: HeardMember) -> None:
        """Open what comes of one member; what cannot be opened is counted by reason."""
        while True:
            datagram, address, number = await member.came.get()
            try:
                word = await member.take(datagram, number)
            except QanatError as fault:
                member.hearing.refused[type(fault).__name__] += 1
                continue
            if word.get("key_frame") is True:
                self._speaking.ask_for_key()
            member.address = address  # only what proved genuine moves it

    async def _watch(self) -> None:
        """Tell of each member whose datagrams do not come, though its keys were told; and when they come again."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.is_ending():
                continue
            for sae, member in self._members.items():
                if self.hears(sae):
                    for topic in (sae, _keys_of(sae)):
                        self._notices.over(topic, f"datagrams come from {member.name} in the conference again")
                elif min(self.silent_s(sae), member.since_told_s()) > SILENCE_TOLD_S:
                    self._note_silence(member)

    def _note_silence(self, member: HeardMember) -> None:
        has_key = member.tag_key is not None and any(stream.num_keys for stream in member.streams.values())
        topic, remedy = (
            (member.seat.sae, "let UDP through between the two")
            if has_key
            else (_keys_of(member.seat.sae), "the keys for them are not here yet")
        )
        words = f"no datagram comes from {member.name} in the conference: {remedy}; the conference goes on"
        self._notices.tell(topic, words)

    # --- what is kept ---

    def _make_mix(self) -> Mixing | None:
        if self._record is None and self._play is None:
            return None
        path = None
        if self._record is not None:
            with machine_faults_named(self._record, elsewhere="record into another folder"):
                self._record.mkdir(parents=True, exist_ok=True)
            path = _new_path(self._record, MIX_NAME)
            self._mix_path = str(path)
        return Mixing(self._party.clock, file=path, loudspeaker=self._play)

    def _recording_of(self, name: str) -> Path | None:
        if self._record is None:
            return None
        return _new_path(self._record, f"{name.replace('/', '_').replace(':', '_')}.webm")


def _keys_of(sae: SaeId) -> str:
    """Return the topic of a silence for want of keys."""
    return f"keys of {sae}"


def _new_path(folder: Path, name: str) -> Path:
    """Return a path that is not there yet: ``name``, or the same with a number."""
    path, count = folder / name, 1
    while path.exists():
        count += 1
        path = (folder / name).with_stem(f"{Path(name).stem}-{count}")
    return path
