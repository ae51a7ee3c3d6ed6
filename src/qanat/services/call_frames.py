"""Frames of calls in datagrams: cut so that each fits a packet of the network, and put together again in order.

'    content of a data record = medium flags place parts size number at_ms sent_us part
    medium = u8: 0 audio, 1 video;  flags = u8: 1 key frame;  place, parts = u16;  size = u32, of the whole frame;
    number = u32, of the frame in its medium;  at_ms = u32 since the call began;  sent_us = u64, the sender's UTC;
    all big-endian

The parts of a frame have one length, the last padded by zeros. To every four of them, or what is left, there is a sum
(XOR), at the places after the last part: of each such group any one may be lost.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from qanat.ground.errors import FrameError

FRAGMENT_BYTES = 1150
"""With seal and headers it fits the 1,280 bytes that every line of IPv6 carries (RFC 8200, section 5)."""
PATIENCE_FRAMES = 3
"""A frame counts as lost when one that is so much newer has begun to come."""
MOST_FRAMES_AHEAD = 36_000
GROUP_PARTS = 4
_HEAD: Final = struct.Struct(">BBHHIIIQ")
_KEY = 1


class Medium(enum.IntEnum):
    """What a frame is of."""

    AUDIO = 0
    VIDEO = 1


@dataclass(frozen=True, slots=True)
class MediaFrame:
    """One encoded frame: 20 ms of Opus, or a picture of VP8. ``is_key``: it can be decoded without those before it."""

    medium: Medium
    number: int
    data: bytes = field(repr=False)
    is_key: bool
    at_ms: int
    sent_us: int = 0


def cut_frame(frame: MediaFrame) -> list[bytes]:
    """Return the contents of a frame's datagrams."""
    count = max(1, -(-len(frame.data) // FRAGMENT_BYTES))
    size = -(-len(frame.data) // count)
    parts = [frame.data[place * size : (place + 1) * size].ljust(size, b"\0") for place in range(count)]
    parts += [_sum(parts[start : start + GROUP_PARTS]) for start in range(0, count, GROUP_PARTS)]
    flags = _KEY if frame.is_key else 0
    told = (len(frame.data), frame.number, frame.at_ms, frame.sent_us)
    return [_HEAD.pack(frame.medium, flags, place, count, *told) + part for place, part in enumerate(parts)]


def _sum(parts: Sequence[bytes]) -> bytes:
    """Return the XOR of parts of one length."""
    total = 0
    for part in parts:
        total ^= int.from_bytes(part, "big")
    return total.to_bytes(len(parts[0]), "big")


@dataclass(slots=True)
class _Coming:
    """A frame of ``count`` parts, of which ``parts`` are here, sums among them."""

    count: int
    size_bytes: int
    is_key: bool
    at_ms: int
    sent_us: int
    parts: dict[int, bytes] = field(default_factory=dict)

    def add(self, place: int, part: bytes) -> None:
        """Take a part or a sum, and work out what its group still lacks, if that is one."""
        self.parts[place] = part
        group = place // GROUP_PARTS if place < self.count else place - self.count
        members = [*range(group * GROUP_PARTS, min((group + 1) * GROUP_PARTS, self.count)), self.count + group]
        missing = [member for member in members if member not in self.parts]
        if len(missing) == 1:
            self.parts[missing[0]] = _sum([self.parts[member] for member in members if member != missing[0]])

    def data(self) -> bytes | None:
        """Return the frame's data once it is whole."""
        if any(place not in self.parts for place in range(self.count)):
            return None
        return b"".join(self.parts[place] for place in range(self.count))[: self.size_bytes]


class Assembler:
    """Puts the frames of one medium together, in order, each once; one that stays away is given up.

    ``begins_anywhere``: the first frame that is heard of begins it; those before it are not missed.
    """

    def __init__(self, medium: Medium, *, begins_anywhere: bool = False) -> None:
        self.num_whole = 0
        self.num_lost = 0
        self._medium = medium
        self._next = 0
        self._newest = -1
        self._is_to_begin = begins_anywhere
        self._coming: dict[int, _Coming] = {}

    def add(self, content: bytes) -> list[MediaFrame]:
        """Take what a datagram carried and return the frames that are due now; raises FrameError."""
        _, flags, place, count, size_bytes, number, at_ms, sent_us = _HEAD.unpack_from(content)
        if self._is_to_begin:
            self._next, self._is_to_begin = number, False
        if number < self._next:
            return []
        part = content[_HEAD.size :]
        places = count + -(-count // GROUP_PARTS)
        is_sized = count and -(-size_bytes // count) == len(part) <= FRAGMENT_BYTES
        if place >= places or not is_sized or number - self._next > MOST_FRAMES_AHEAD:
            raise FrameError("a part of a frame that there cannot be", remedy="update the sender")
        fresh = _Coming(count, size_bytes, bool(flags & _KEY), at_ms, sent_us)
        coming = self._coming.setdefault(number, fresh)
        if (coming.count, coming.size_bytes) != (count, size_bytes):
            raise FrameError("parts of a frame that do not fit each other", remedy="update the sender")
        coming.add(place, part)
        self._newest = max(self._newest, number)
        return self._due()

    def finish(self, num_sent: int) -> list[MediaFrame]:
        """Return what is whole of the frames that still waited for one before; all others of ``num_sent`` are lost."""
        waiting, whole = sorted(number for number in self._coming if number < num_sent), list[MediaFrame]()
        for number in waiting:
            coming = self._coming.pop(number)
            if (data := coming.data()) is not None:
                whole.append(MediaFrame(self._medium, number, data, coming.is_key, coming.at_ms, coming.sent_us))
        self.num_whole += len(whole)
        self.num_lost += max(num_sent - self._next, 0) - len(whole)
        self._next = max(self._next, num_sent)
        return whole

    def finish_all(self, num_sent: int) -> list[MediaFrame]:
        """The same where frames were sent from some number on, not known here, and ``num_sent`` is how many."""
        whole = self.finish(max(self._newest + 1, self._next))
        self.num_lost = max(num_sent - self.num_whole, 0)
        return whole

    def _due(self) -> list[MediaFrame]:
        due: list[MediaFrame] = []
        while self._next <= self._newest:
            coming = self._coming.get(self._next)
            if coming is not None and (data := coming.data()) is not None:
                self.num_whole += 1
                due.append(MediaFrame(self._medium, self._next, data, coming.is_key, coming.at_ms, coming.sent_us))
            elif self._newest - self._next < PATIENCE_FRAMES:
                break
            else:
                self.num_lost += 1
            self._coming.pop(self._next, None)
            self._next += 1
        return due


def medium_of(content: bytes) -> Medium:
    """Return what a datagram's content is of; raises FrameError."""
    if len(content) < _HEAD.size or content[0] not in tuple(Medium):
        raise FrameError("this is no part of a frame of a call", remedy="update the sender")
    return Medium(content[0])


def begins_frame(content: bytes) -> bool:
    """Return whether a datagram's content is the first part of a frame; raises FrameError."""
    medium_of(content)
    return int(_HEAD.unpack_from(content)[2]) == 0


def is_of_key_frame(content: bytes) -> bool:
    """Return whether a datagram's content is of a frame that can be decoded by itself; raises FrameError."""
    medium_of(content)
    return bool(content[1] & _KEY)


class Delays:
    """How long datagrams were on their way, in ms: the last ``most`` of them. Clocks of both ends enter."""

    def __init__(self, *, most: int = 100_000) -> None:
        self._ms: deque[float] = deque(maxlen=most)

    def add(self, delay_ms: float) -> None:
        """Note one."""
        self._ms.append(delay_ms)

    def share(self, part: float) -> float:
        """Return the delay that ``part`` of all stay below; 0 when there were none."""
        told = sorted(self._ms)
        return told[min(len(told) - 1, int(part * len(told)))] if told else 0.0
