"""A line that outlives its connections: frames are numbered, and kept until the peer has them. Pure and synchronous.

    RESUME 0x70   {"line", "next"}   first on every connection, from both: the line's name, the next number expected
    DATA   0x71   {"number"}         body: one frame of the protocol above
    ACK    0x72   {"next"}           all frames below this number were taken
    BYE    0x73   {"reason"}         the line is over: "end", "busy" or "unknown"
    PING   0x75   {}                 "are you there?": the peer answers with ACK

A frame is sent again after a break, byte for byte, and handed up once: the session above never sees a break, so it
authenticates nothing twice, tells no parity twice and spends no second pad. Nothing here is authenticated. Whoever
alters a number stops the line or makes a frame come again; what a frame says is checked by the session above.

Memory is bounded: a sender waits while WINDOW_BYTES are not acknowledged, and frames are acknowledged when they are
taken, so what lies unread at the receiver is bounded too. docs/formats/resuming-line.md has the grammar.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.framing import MAX_FRAME_BYTES, Frame, decode_frame, encode_frame

WINDOW_BYTES: Final = 64 * 2**20
"""A sender waits when so much is on its way; one frame more may be."""
ENVELOPE_BYTES: Final = 64
"""What a DATA frame adds, at most."""
MAX_INNER_BYTES: Final = MAX_FRAME_BYTES - ENVELOPE_BYTES
LINE_NAME_BYTES: Final = 16
MAX_UNREAD_FRAMES: Final = 2**16
"""More frames than this never lie unread on an honest line."""
_MAX_NUMBER: Final = 2**62


class LineKind(enum.IntEnum):
    """What a frame of the line is."""

    RESUME = 0x70
    DATA = 0x71
    ACK = 0x72
    BYE = 0x73
    PING = 0x75


class NumberedLine:
    """One end's account of what it sent and heard. It does not know when a connection breaks, and need not."""

    def __init__(self, name: str) -> None:
        """``name``: 32 hexadecimal digits, drawn by the end that dials."""
        self.name = name
        self.end_reason = ""
        """Why the peer ended the line; empty while it has not."""
        self.was_asked = False
        """Whether the frame heard last asks for an answer: an ACK."""
        self._kept: deque[bytes] = deque()
        self._kept_bytes = 0
        self._first_kept = 0
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._next_heard = 0

    @property
    def next_number(self) -> int:
        """The number that the next frame kept will have."""
        return self._first_kept + len(self._kept)

    @property
    def next_heard(self) -> int:
        """The number of the next frame expected from the peer."""
        return self._next_heard

    @property
    def kept_bytes(self) -> int:
        """How much was sent, or is to be sent, that the peer has not acknowledged."""
        return self._kept_bytes

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be kept before the peer has acknowledged some."""
        return self._kept_bytes >= WINDOW_BYTES or len(self._kept) >= MAX_UNREAD_FRAMES

    def keep(self, frame: bytes) -> None:
        """Number a frame and keep it; raises ValueError when it is longer than MAX_INNER_BYTES."""
        if len(frame) > MAX_INNER_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes is too long for a line (at most {MAX_INNER_BYTES})")
        self._kept.append(frame)
        self._kept_bytes += len(frame)

    def data(self, number: int) -> bytes | None:
        """Return the DATA frame of a number; None when the peer has it, or nothing has that number yet."""
        place = number - self._first_kept
        if not 0 <= place < len(self._kept):
            return None
        return encode_frame(LineKind.DATA, {"number": number}, self._kept[place])

    def greeting(self) -> bytes:
        """Return the frame that begins a connection."""
        return encode_frame(LineKind.RESUME, {"line": self.name, "next": self._next_heard})

    def acknowledgement(self) -> bytes:
        """Return the frame that says what was taken."""
        return encode_frame(LineKind.ACK, {"next": self._next_heard - len(self._unread)})

    def resume(self, next_number: int) -> None:
        """Note what the peer expects next on a new connection; raises ChannelClosed when that is not kept any more."""
        if not self._first_kept <= next_number <= self.next_number:
            raise ChannelClosed(
                f"the peer goes on at frame {next_number}, this side has {self._first_kept} to {self.next_number}",
                remedy="the line is over and its block is lost; the next one begins with fresh pads",
            )
        self._forget(next_number)

    def hear(self, data: bytes) -> None:
        """Take one frame of the peer; raises FrameError when it is none of this line, or when frames are missing.

        After an error the connection is to be broken and the line taken up again: nothing was changed by the frame.
        """
        frame = decode_frame(data)
        self.was_asked = frame.kind == LineKind.PING
        if self.was_asked:
            return
        if frame.kind == LineKind.DATA:
            self._hear_data(frame)
        elif frame.kind == LineKind.ACK:
            number = read_number(frame, "next")
            if number > self.next_number:
                raise FrameError(f"frame {number} was acknowledged and never sent")
            self._forget(number)
        elif frame.kind == LineKind.BYE:
            self.end_reason = read_reason(frame)
        else:
            raise FrameError(f"a frame of kind {frame.kind} has no place on an open line")

    def take(self) -> bytes | None:
        """Return the next frame for the protocol above; None when none is there."""
        if not self._unread:
            return None
        frame = self._unread.popleft()
        self._unread_bytes -= len(frame)
        return frame

    def _hear_data(self, frame: Frame) -> None:
        number = read_number(frame, "number")
        if number < self._next_heard:
            return  # it came before, and was sent again because this end could not say so in time
        if number > self._next_heard:
            raise FrameError(f"frame {number} came, {self._next_heard} was expected: some are missing")
        if self._unread_bytes >= 2 * WINDOW_BYTES or len(self._unread) >= 2 * MAX_UNREAD_FRAMES:
            raise FrameError("the peer sends more than it may before it is answered")
        self._next_heard += 1
        self._unread.append(frame.body)
        self._unread_bytes += len(frame.body)

    def _forget(self, next_number: int) -> None:
        while self._first_kept < next_number:
            self._kept_bytes -= len(self._kept.popleft())
            self._first_kept += 1


def read_resume(data: bytes) -> tuple[str, int]:
    """Return name of the line and next number from a connection's first frame; raises FrameError, ChannelClosed."""
    frame = decode_frame(data)
    if frame.kind == LineKind.BYE:
        reason = read_reason(frame)
        raise ChannelClosed(f"the peer refused the connection: {REASONS[reason]}", remedy=REMEDIES[reason])
    name = frame.header.get("line")
    if frame.kind != LineKind.RESUME or frame.body or not isinstance(name, str) or not is_line_name(name):
        raise FrameError("a connection begins with RESUME and the name of a line")
    return name, read_number(frame, "next")


def is_line_name(text: str) -> bool:
    """Return whether ``text`` may name a line."""
    return len(text) == 2 * LINE_NAME_BYTES and set(text) <= set("0123456789abcdef")


REASONS: Final = {
    "end": "it has nothing more to say",
    "busy": "it speaks with another one",
    "unknown": "it does not know this line, because it was started anew",
}


REMEDIES: Final = {
    "end": "look at the other party's messages; when its run is over, start both parties again",
    "busy": "stop the other process that speaks with it; when that one's machine is gone, try again in a minute",
    "unknown": "start this party again: the block is lost, its pads stay spent, the next one begins behind it",
}


PING: Final = encode_frame(LineKind.PING)


def bye(reason: str) -> bytes:
    """Return the frame that ends a line for one of REASONS."""
    if reason not in REASONS:
        raise ValueError(f"no reason to end a line: {reason!r}")
    return encode_frame(LineKind.BYE, {"reason": reason})


def read_reason(frame: Frame) -> str:
    """Return the reason in a BYE frame; raises FrameError."""
    reason = frame.header.get("reason")
    if not isinstance(reason, str) or reason not in REASONS:
        raise FrameError("a line ended without a known reason")
    return reason


def read_number(frame: Frame, name: str) -> int:
    """Return a frame number of a header; raises FrameError."""
    value = frame.header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_NUMBER:
        raise FrameError(f"{name!r} must be a number from 0 to 2^62")
    return value
