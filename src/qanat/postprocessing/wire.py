"""The messages of a distillation session: kinds of frames, and readers that trust nothing.

The grammar with an example is in docs/formats/distillation-wire.md.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np

from qanat.ground.errors import (
    AuthenticationFailed,
    EntropyFailed,
    FrameError,
    NoSecretKey,
    PeerProtocolError,
    QanatError,
    QberTooHigh,
    VerificationFailed,
)
from qanat.ground.framing import Frame
from qanat.kernels.bitarrays import count_ones
from qanat.postprocessing.records import ByteArray


class Kind(enum.IntEnum):
    """What a frame is. A: sent by Alice, B: sent by Bob."""

    HELLO = 0x01
    """A, B: session id and digest of the parameters; A adds the block id."""
    SLOTS = 0x02
    """B: where he had detections. Not authenticated."""
    COMMIT = 0x03
    """A: a random number, as proof that she had the slots before the bases were told."""
    BASES = 0x04
    """B: his bases, and a random number that nobody can have guessed."""
    SIFTED = 0x05
    """A: which bases agree, intensities, which signal is disclosed, her bits of what is disclosed."""
    DISCLOSED = 0x06
    """B: his bits of what is disclosed."""
    TAG = 0x07
    """A, B: the tag over one phase of one direction."""
    RECONCILE = 0x08
    """B: block sizes and the seed of the permutations."""
    PASS = 0x09
    """B: asks for the block parities of a pass."""
    PARITIES = 0x0A
    """A: block parities."""
    QUESTIONS = 0x0B
    """B: nodes whose left half he wants the parity of."""
    ANSWERS = 0x0C
    """A: those parities."""
    CORRECTED = 0x0D
    """B: he has no differing parity left."""
    HASH = 0x0E
    """A: a fresh hash key and the hash of her key."""
    ERRORS = 0x0F
    """B: how many errors he corrected, per basis."""
    SEED = 0x10
    """A: a piece of the Toeplitz seed."""
    ABORT = 0x11
    """A, B: this party has stopped. Not authenticated: it can only stop the other one."""


UNAUTHENTICATED: Final = frozenset({Kind.SLOTS, Kind.TAG, Kind.ABORT})

_ABORT_CODES: Final[dict[str, type[QanatError]]] = {
    "authentication": AuthenticationFailed,
    "qber": QberTooHigh,
    "no-key": NoSecretKey,
    "verification": VerificationFailed,
    "entropy": EntropyFailed,
    "protocol": PeerProtocolError,
}


def abort_code(fault: QanatError | None) -> str:
    """Return the code that tells a peer why this party stopped."""
    for code, error in _ABORT_CODES.items():
        if isinstance(fault, error):
            return code
    return "protocol"


def aborted_by_peer(frame: Frame) -> QanatError:
    """Return the error that an ABORT frame stands for."""
    code = frame.header.get("reason")
    error = _ABORT_CODES.get(code) if isinstance(code, str) else None
    return (error or PeerProtocolError)(
        f"the other party stopped the session: {code if error else 'no known reason'}",
        remedy="its log has the details; anybody on the line can stop a session, nobody can make it accept",
    )


def read_int(frame: Frame, name: str, *, low: int, high: int) -> int:
    """Return an integer of the header between ``low`` and ``high``; raises FrameError."""
    value = frame.header.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise FrameError(f"frame {frame.kind}: {name!r} must be an integer from {low} to {high}")
    return value


def read_text(frame: Frame, name: str) -> str:
    """Return a string of the header; raises FrameError."""
    value = frame.header.get(name)
    if not isinstance(value, str):
        raise FrameError(f"frame {frame.kind}: {name!r} must be a string")
    return value


class PlaneReader:
    """Cuts a body into planes (packed bits, lowest first, one spare byte at the end) of known numbers of bits.

    Raises FrameError when the body is not just that long, when padding is not zero, or when a plane has another number
    of ones than announced.
    """

    def __init__(self, body: bytes) -> None:
        self._body = memoryview(body)
        self._place = 0

    def plane(self, num_bits: int, *, ones: int | None = None) -> ByteArray:
        """Return the next plane, uint8, shape (ceil(num_bits / 8) + 1,), writable."""
        num_bytes = (num_bits + 7) // 8
        section = np.zeros(num_bytes + 1, dtype=np.uint8)
        section[:num_bytes] = np.frombuffer(self.raw(num_bytes), dtype=np.uint8)
        if num_bits % 8 and section[-2] >> (num_bits % 8):
            raise FrameError("the padding of a packed section is not zero")
        if ones is not None and count_ones(section) != ones:
            raise FrameError(f"a packed section has not the {ones} ones that were announced")
        return section

    def raw(self, num_bytes: int) -> memoryview:
        """Return the next bytes as they are."""
        section = self._body[self._place : self._place + num_bytes]
        if len(section) < num_bytes:
            raise FrameError("a frame ends too soon")
        self._place += num_bytes
        return section

    def end(self) -> None:
        """Raise FrameError unless all was read."""
        if self._place != len(self._body):
            raise FrameError(f"{len(self._body) - self._place} bytes too many in a frame")
