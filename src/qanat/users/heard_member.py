"""Another member of a conference, at one end, for as long as it stays: what is heard of it, and what went to it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from qanat.adapters.datagrams import UdpAddress
from qanat.adapters.media import MediaSink
from qanat.ground.ports import Clock
from qanat.services.call import CallReport
from qanat.services.call_frames import Medium, begins_frame, is_of_key_frame, medium_of
from qanat.services.ciphers import KeyUnannounced, NotForUs, RecordKind
from qanat.services.ciphers.layout import read_header
from qanat.services.ciphers.origin import OriginKey, record_and_tag
from qanat.services.conference import Seat
from qanat.services.conference_ends import Tally
from qanat.users.call import LOOK_EVERY_S, ON_THEIR_WAY_S, TELLING_S
from qanat.users.hearing import HeardStream, Hearing, announced_key
from qanat.users.notices import Flow

MOST_WAITING = 1024


@dataclass(slots=True)
class HeardMember:
    """``since_round``: the first that it is in; it holds no key of those before."""

    seat: Seat
    name: str
    since_round: int
    clock: Clock
    hearing: Hearing
    sink: MediaSink
    recording: str | None
    flow: Flow
    address: UdpAddress | None = None
    streams: dict[int, HeardStream] = field(default_factory=dict)
    tag_key: OriginKey | None = None
    told_s: float | None = None
    """Since when its first keys are known: it sends by them soon."""
    our_tag_key: OriginKey | None = None
    came: asyncio.Queue[tuple[bytes, UdpAddress, int]] = field(default_factory=lambda: asyncio.Queue(MOST_WAITING))
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    num_keys_before: int = 0
    num_missing_before: int = 0
    keys_sent_before: int = 0
    sent: Counter[Medium] = field(default_factory=Counter)
    """Frames that went to it."""
    ended: str = ""
    """How its end here was, where it was no leave: see ``CallReport``."""
    is_over: bool = False
    """Nothing is sent to it any more."""
    last: Tally | None = None
    """What it had sent here in all."""
    last_at_s: float = 0.0
    _has_begun: bool = False
    """Whether a picture that stands by itself went to it: others are of no use before."""

    def sends(self, content: bytes, kind: RecordKind) -> bool:
        """Count a datagram that is to go to it, and return whether it may; False for pictures that build on one that
        never went to it."""
        if kind is RecordKind.DATA:
            medium = medium_of(content)
            self._has_begun |= medium is Medium.VIDEO and is_of_key_frame(content)
            if medium is Medium.VIDEO and not self._has_begun:
                return False
            self.sent[medium] += begins_frame(content)
        self.hearing.num_sent += 1
        return True

    async def take(self, datagram: bytes, number: int) -> Mapping[str, Any]:
        """Open a datagram of round ``number``, note a key that it tells, and return its word; raises what cannot be
        accepted."""
        stream = self.streams.get(number)
        if stream is None:
            raise NotForUs("a datagram of a round that is over")
        if self.tag_key is None:
            raise KeyUnannounced("a datagram of a member whose key for its tags was not told yet")
        record, tag = record_and_tag(datagram)
        self.tag_key.check(record, tag, round_number=number, sender=self.seat.sae)
        header = read_header(record)
        content = await stream.open(record, header)
        word = self.hearing.take(RecordKind(header.kind), content)
        if (key_id := announced_key(word)) is not None:
            stream.expect(key_id)
        return word

    async def forget_before(self, number: int) -> None:
        """Open nothing more of the rounds before ``number``."""
        for old in [one for one in self.streams if one < number]:
            stream = self.streams.pop(old)
            self.num_keys_before += stream.num_keys
            self.num_missing_before += stream.num_missing()
            await stream.close()

    def end(self, silent_s: float) -> Tally:
        """Send it nothing more, and return what went to it; ``silent_s``: for how long nothing of it has come."""
        self.is_over = True
        self.hearing.end()
        return Tally(self.hearing.num_sent, self.sent[Medium.AUDIO], self.sent[Medium.VIDEO], silent_s)

    def note_last(self, last: Tally, *, lost: bool = False) -> None:
        """Take note of what it told last; ``lost``: it had heard nothing of this end, and says so."""
        self.last, self.last_at_s = last, self.clock.monotonic_s()
        if lost:
            self.ended = "unheard"

    async def hear_out(self) -> None:
        """Wait a moment for datagrams that are on their way, and until what came is shown."""
        while self.last is not None and self.hearing.num_opened < self.last.datagrams:
            if self.clock.monotonic_s() > self.last_at_s + ON_THEIR_WAY_S:
                break
            await asyncio.sleep(LOOK_EVERY_S)
        self.is_over = True
        if self.last is not None:
            self.hearing.told_sent({Medium.AUDIO: self.last.audio, Medium.VIDEO: self.last.video})
        await self.hearing.all_shown()

    def since_told_s(self) -> float:
        """Return since when its keys are known; where they are not, for how long it has been in."""
        return self.clock.monotonic_s() - (self.hearing.began_s if self.told_s is None else self.told_s)

    def report(self, *, keys_sent: int, speaking_s: float) -> CallReport:
        """Return what was seen of it; ``keys_sent``: under which this end has sealed so far; ``speaking_s``: for how
        long it has been speaking."""
        missing = self.num_missing_before + sum(stream.num_missing() for stream in self.streams.values())
        if self.last is not None:
            missing = max(self.last.datagrams - self.hearing.num_opened, 0)
        report = self.hearing.report(
            self.name,
            sent=self.sent,
            num_missing=missing,
            keys_sent=keys_sent - self.keys_sent_before,
            keys_received=self.num_keys_before + sum(stream.num_keys for stream in self.streams.values()),
            recording=self.recording if self.sink.is_recorded else None,
        )
        waited_s = min(self.since_told_s(), speaking_s)  # it may learn from us where we are
        return replace(
            report,
            nothing_came=waited_s >= TELLING_S and not report.datagrams_opened,
            unheard_s=0.0 if self.last is None else self.last.silent_s,
            ended=self.ended,
        )
