"""Lanes: several conversations side by side on one channel. Pure: awaits its channel, and what the conversations await.

    LANE 0x74   {"lane"}   body: one frame of that lane; lanes are numbered from 1, and a number is used once

Each lane is a ``ClassicalChannel``, and its conversation a coroutine. ``Lanes.hear`` takes one frame off the channel
and lets its lane go on until that waits for the line again: one computes while the others' frames are under way.
Frames are taken in the order in which they came: no lane can hold another one up for longer than one frame's work.

Memory is bounded by the conversations: of a lane that is not waiting for a frame MOST_UNREAD may lie here. A lane's
``send`` waits where the channel's does, and nothing is heard meanwhile; so one of the two ends must never have more on
its way than the channel holds, or both may wait for each other: see ``apps.distil.in_flight``.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from qanat.ground.errors import FrameError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.ground.ports import ClassicalChannel, Clock

LANE_KIND: Final = 0x74
LANE_BYTES: Final = 64
"""What the envelope adds, at most."""
MOST_UNREAD: Final = 8
_MOST_LANES: Final = 2**62

Condition: TypeAlias = Callable[[], bool]
Conversation: TypeAlias = Coroutine[Any, Any, None]


def encode_lane(lane: int, frame: bytes) -> bytes:
    """Return a lane's frame in its envelope."""
    return encode_frame(LANE_KIND, {"lane": lane}, frame)


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame that no open lane is there for: of a lane that was closed or is new, or (``lane`` 0) of none."""

    lane: int
    data: bytes


def decode_lane(data: bytes) -> Heard:
    """Return number and frame of an envelope; number 0 for any other frame. Raises FrameError."""
    frame = decode_frame(data)
    if frame.kind != LANE_KIND:
        return Heard(0, data)
    lane = frame.header.get("lane")
    if not isinstance(lane, int) or isinstance(lane, bool) or not 1 <= lane <= _MOST_LANES:
        raise FrameError("the number of a lane is from 1 to 2^62")
    return Heard(lane, frame.body)


@dataclass(frozen=True, slots=True)
class _Waits:
    """What a conversation yields to the lanes, and to nobody else, when it can go on no further for now."""

    until: Condition


@types.coroutine
def _wait(until: Condition) -> Generator[_Waits, None, None]:
    yield _Waits(until)


class Lane:
    """One lane: a ClassicalChannel for the conversation that the lanes run, and for nobody else."""

    def __init__(self, number: int, channel: ClassicalChannel) -> None:
        self.number = number
        self.max_frame_bytes = channel.max_frame_bytes - LANE_BYTES
        self._channel = channel
        self._unread: deque[bytes] = deque()
        self.num_heard = 0

    async def send(self, frame: bytes, /) -> None:
        await self._channel.send(encode_lane(self.number, frame))

    async def receive(self, *, timeout_s: float) -> bytes:  # noqa: ARG002 - the lanes wait for all of them, and so long
        await self.until(lambda: bool(self._unread))
        return self._unread.popleft()

    async def until(self, condition: Condition) -> None:
        """Let the other lanes go on until ``condition`` holds; it is asked after each frame that any lane has had."""
        while not condition():
            await _wait(condition)

    async def close(self) -> None:
        self._unread.clear()

    def _put(self, frame: bytes) -> None:
        if len(self._unread) >= MOST_UNREAD:
            raise FrameError(f"{MOST_UNREAD} frames lie unread in lane {self.number}, which is another's turn")
        self._unread.append(frame)
        self.num_heard += 1


@dataclass(slots=True)
class _Running:
    lane: Lane
    work: Conversation
    until: Condition


class Lanes:
    """The lanes of one end of a channel. ``len``: how many conversations have not ended."""

    def __init__(self, channel: ClassicalChannel, *, timeout_s: float, clock: Clock) -> None:
        """``timeout_s``: how long all lanes together may hear nothing."""
        self._channel = channel
        self._timeout_s = timeout_s
        self._clock = clock
        self.waited_s = 0.0
        """How long nothing could be done but wait for the channel."""
        self._running: dict[int, _Running] = {}
        self.last_opened = 0

    def __len__(self) -> int:
        return len(self._running)

    async def open(self, work: Callable[[Lane], Conversation], *, first: bytes | None = None) -> None:
        """Open the next lane with its conversation, and let it go on as far as it can; ``first``: a frame that came.

        Raises what the conversation raises.
        """
        self.last_opened += 1
        lane = Lane(self.last_opened, self._channel)
        if first is not None:
            lane._put(first)
        self._running[lane.number] = _Running(lane, work(lane), lambda: True)
        await self._go_on()

    async def hear(self) -> Heard | None:
        """Take one frame; None when an open lane has had it, else the frame.

        Raises ChannelTimeout, ChannelClosed; FrameError for what is no frame of lanes; what a conversation raises.
        """
        since_s = self._clock.monotonic_s()
        data = await self._channel.receive(timeout_s=self._timeout_s)
        self.waited_s += self._clock.monotonic_s() - since_s
        heard = decode_lane(data)
        running = self._running.get(heard.lane)
        if running is None:
            return heard
        running.lane._put(heard.data)
        await self._go_on()
        return None

    def close(self) -> None:
        """End all conversations where they stand; idempotent."""
        while self._running:
            self._running.popitem()[1].work.close()

    async def _go_on(self) -> None:
        """Let every conversation go on that can, until none can."""
        while ready := [one for one in self._running.values() if one.until()]:
            for one in ready:
                await self._run(one)

    async def _run(self, one: _Running) -> None:
        waits: _Waits | None = None
        try:
            waits = await _until_it_waits(one.work)
        finally:
            if waits is None:
                self._running.pop(one.lane.number, None)
        if waits is not None:
            one.until = waits.until


@types.coroutine
def _until_it_waits(work: Conversation) -> Generator[Any, Any, _Waits | None]:
    """Run a conversation until it waits for the lanes; None when it has ended.

    What else it awaits goes on to whoever runs us, and the answer or the fault comes back.
    """
    step: Callable[[], Any] = partial(work.send, None)
    while True:
        try:
            asked = step()
        except StopIteration:
            return None
        if isinstance(asked, _Waits):
            return asked
        try:
            answer = yield asked
        except BaseException as fault:
            if isinstance(fault, GeneratorExit):  # we are closed
                work.close()
                raise
            step = partial(work.throw, fault)  # raised there, of whatever kind: a time limit's end is a cancellation
        else:
            step = partial(work.send, answer)
