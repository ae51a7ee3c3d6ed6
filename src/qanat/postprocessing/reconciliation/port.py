"""The port between a session and a method of error correction.

A method is two pure objects: Alice's *answerer* tells parities of her bits and changes none, Bob's *corrector* asks and
corrects. Both take messages and give messages; the session frames and authenticates them, carries ``disclosed`` into
its ledger after each, and ends error correction when the corrector is done.

**What is counted.** ``told_bits`` are the bits about her key in Alice's messages, over all attempts. ``reply_bits``
bound what Bob's messages tell beyond that: they are a function of Alice's messages and of so many bits of comparison.
docs/explanation/reconciliation.md says which of them a secret length has to pay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, Protocol

from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.ground.events import Json
from qanat.ground.framing import NO_HEADER

if TYPE_CHECKING:  # who asks for no more than the names of methods loads no compiled loops
    from qanat.postprocessing.wire import Kind

MethodName = Literal["cascade", "winnow", "ldpc"]

SEED_BYTES: Final = 32
"""Of the public seed that Bob draws for one key."""


class Message(NamedTuple):
    """One frame of error correction, as yet without its place in a transcript. A tuple as ``Frame`` is one."""

    kind: Kind
    header: Mapping[str, Json] = NO_HEADER
    body: bytes = b""

    def __repr__(self) -> str:
        return f"Message({self.kind!r}, header={self.header!r})"

    def check_header(self, *names: str) -> None:
        """Raise FrameError unless the header has just these entries."""
        if self.header.keys() != set(names):
            raise FrameError(
                f"a frame of error correction says {', '.join(sorted(self.header)) or 'nothing'} where"
                f" {', '.join(sorted(names)) or 'nothing'} was expected: another method, or an altered frame"
            )

    def check_body(self, num_bytes: int) -> None:
        """Raise FrameError unless the body has just so many bytes."""
        if len(self.body) != num_bytes:
            raise FrameError(f"a frame of error correction has {len(self.body)} bytes where {num_bytes} were expected")

    def integer(self, name: str, *, low: int, high: int) -> int:
        """Return an integer of the header between ``low`` and ``high``; raises FrameError."""
        value = self.header.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise FrameError(f"error correction: {name!r} must be an integer from {low} to {high}")
        return value


@dataclass(frozen=True, slots=True)
class FrameShape:
    """How a key is cut: frame f of ``num_frames`` holds every num_frames-th bit, from bit f on."""

    num_frames: int
    frame_bits: int

    @property
    def key_bits(self) -> int:
        return self.num_frames * self.frame_bits


class Disclosed(NamedTuple):
    """Bits disclosed so far; see the head of this module."""

    told_bits: int = 0
    reply_bits: int = 0

    def check(self, shape: FrameShape) -> None:
        """Raise PeerProtocolError when more was told than the key has bits."""
        if self.told_bits > shape.key_bits:
            raise PeerProtocolError("error correction told more than the key holds, and has not ended")


class Answerer(Protocol):
    """Alice's side."""

    @property
    def expects(self) -> frozenset[Kind]:
        """Kinds that may come next; CORRECTED among them when the key may be corrected by now."""

    @property
    def disclosed(self) -> Disclosed: ...

    def receive(self, message: Message, /) -> Sequence[Message]:
        """Answer; raises FrameError, PeerProtocolError. An answer that is returned counts as told."""

    def wipe(self) -> None:
        """Overwrite what was kept of the key."""


class Corrector(Protocol):
    """Bob's side."""

    @property
    def expects(self) -> frozenset[Kind]:
        """Kinds that may come next; none when he is done."""

    @property
    def disclosed(self) -> Disclosed: ...

    def start(self) -> Sequence[Message]:
        """Return the first messages, a RECONCILE among them."""

    def receive(self, message: Message, /) -> Sequence[Message]:
        """Take an answer and return what to ask next; raises FrameError, PeerProtocolError."""

    def corrected(self) -> tuple[bytes, bytes]:
        """Return the corrected key and the map of corrected bits, both packed; forget the rest. Once, when done."""

    def wipe(self) -> None:
        """Overwrite what was kept of the key."""


class Method(Protocol):
    """Makes the two sides. ``key``: packed bits, ``shape.key_bits`` of them, secret."""

    def answerer(self, key: bytes, shape: FrameShape, /) -> Answerer: ...

    def corrector(self, key: bytes, shape: FrameShape, /, *, qber: float, seed: bytes) -> Corrector:
        """``qber``: the expected error rate. ``seed``: SEED_BYTES public random bytes of this key."""
