"""Whether the peer of a line that stands still says anything: it is asked when it does not.

A line may take bytes and give none, without an end: behind a switch or a wall that has forgotten it, or to a process
that stands still. TCP does not tell, since somebody's machine goes on acknowledging. So where something was said on a
line and nothing was heard since for PULSE_S, the peer is asked once; its reader answers by itself. Who says nothing
for LOST_S after that is not heard on this line until it says something, and is asked again meanwhile. The line is
kept: handshakes are dear, and what is let go on is not dialled anew.

Lines on which nothing is said, or everything answered, cost nothing. A standstill of this very process is nobody's
silence: the waiting begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from qanat.adapters.streams import FrameReader
from qanat.ground.framing import encode_frame
from qanat.ground.messages import PULSE_ANSWER_FRAME, PULSE_QUESTION_FRAME

PULSE_S = 1.0
LOST_S = 4.0
ASK_AGAIN_S = 2.0
LATE_S = 1.0
"""A look that comes so much later than it was due shows that this process stood still."""
MOST_WAITING_BYTES = 2**20
"""Who has not taken so much of what was said to it, is not answered besides."""

QUESTION = encode_frame(PULSE_QUESTION_FRAME)
ANSWER = encode_frame(PULSE_ANSWER_FRAME)


class LinePulse:
    """One line: all that is said on it goes by ``say``, and every frame that is heard by ``hears_message``."""

    __slots__ = ("_asked_s", "_clock", "_frames", "_num_read", "_since_s", "_writer", "is_lost", "is_taking_in")

    def __init__(self, writer: asyncio.StreamWriter, frames: FrameReader, clock: Callable[[], float]) -> None:
        self.is_lost = False
        """Whether the peer is not heard on this line."""
        self.is_taking_in = False
        """Whether what was heard last waits here for room: then nothing more is read."""
        self._writer = writer
        self._frames = frames
        self._clock = clock
        self._num_read = 0
        """So many bytes were frames, or are known to be a part of one."""
        self._since_s: float | None = None
        """Since when something has been said and nothing heard."""
        self._asked_s: float | None = None

    def say(self, frame: bytes) -> None:
        """Write a frame."""
        if self._since_s is None:
            self._since_s = self._clock()
        self._writer.write(frame)

    def hears_message(self, frame: bytes) -> bool:
        """Take note of a frame, and answer it if it asks; return whether it is anything else than a pulse.

        A question shows that the peer speaks, not that it hears: it is no sign of life where one is waited for.
        """
        if frame == QUESTION:
            self._num_read += len(QUESTION)
            if self._writer.transport.get_write_buffer_size() < MOST_WAITING_BYTES:
                self._writer.write(ANSWER)
            return False
        self._note_heard()
        return frame != ANSWER

    def look(self, now_s: float, *, was_late: bool) -> None:
        """Ask where it is time to, and see whether the peer is lost. ``was_late``: this process stood still."""
        if self._since_s is None:
            return
        if self._frames.num_bytes_read > self._num_read:  # a long frame has begun
            self._note_heard()
            self._begin_anew(now_s)
        elif was_late or self.is_taking_in:
            self._begin_anew(now_s)
        elif self._asked_s is None:
            if now_s - self._since_s >= PULSE_S:
                self._ask(now_s)
        elif self.is_lost:
            if now_s - self._asked_s >= ASK_AGAIN_S:
                self._ask(now_s)
        elif now_s - self._asked_s >= LOST_S:
            self.is_lost = True
            self._ask(now_s)

    def _ask(self, now_s: float) -> None:
        self._asked_s = now_s
        if not self._writer.is_closing():
            self._writer.write(QUESTION)

    def _begin_anew(self, now_s: float) -> None:
        self._since_s, self._asked_s = now_s, None

    def _note_heard(self) -> None:
        self._since_s = self._asked_s = None
        self._num_read = self._frames.num_bytes_read
        self.is_lost = False


class LinePulses:
    """Those of all lines of one transport. ``clock``: monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[asyncio.StreamWriter, LinePulse] = {}
        self._due_s: float | None = None

    def begin(self, writer: asyncio.StreamWriter, frames: FrameReader) -> LinePulse:
        """Return the pulse of a line that stands from now on."""
        self._of[writer] = LinePulse(writer, frames, self._clock)
        return self._of[writer]

    def end(self, writer: asyncio.StreamWriter) -> None:
        """Forget a line."""
        self._of.pop(writer, None)

    def of(self, writer: asyncio.StreamWriter) -> LinePulse:
        """Return the pulse of a line; raises KeyError for one that does not stand."""
        return self._of[writer]

    def look(self, *, again_in_s: float) -> None:
        """Look at all lines; to be called again after ``again_in_s``."""
        now_s = self._clock()
        was_late = self._due_s is not None and now_s - self._due_s > LATE_S
        self._due_s = now_s + again_in_s
        for pulse in self._of.values():
            pulse.look(now_s, was_late=was_late)
