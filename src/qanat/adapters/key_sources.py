"""Where one end of a link gets key that was made elsewhere: a device's own door, or files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from qanat.ground.errors import QuantumLayerError
from qanat.ground.identifiers import KeyID
from qanat.ground.keys import Origin, SecretBytes


@dataclass(frozen=True, slots=True)
class SourceKey:
    """A key of a source. Both ends know it by ``key_id``; ``eps_sec`` is claimed of the block that it is in."""

    key_id: KeyID
    secret: SecretBytes = field(repr=False)
    eps_sec: float


class SourceFault(QuantumLayerError):
    """A source failed. ``code`` is that of the alarm; ``passes``: it may be over in a moment, so waiting helps."""

    def __init__(self, message: str, *, code: str, remedy: str, passes: bool = False) -> None:
        super().__init__(message, remedy=remedy)
        self.code = code
        self.passes = passes


class SpentBefore(SourceFault):
    """A key that this end has used up already, and the other end offers again after a crash."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="key-spent-before", remedy="nothing: the other end destroys its copy")


class KeySource(Protocol):
    """One end. Which of the two ends leads is decided by the link's roles: the transmitter's end takes new keys, the
    receiver's the same by their ids."""

    origin: Origin
    protocol: str
    """``KeyBlock.protocol`` of what comes from it."""
    keys_per_block: int
    """So many keys make a block; where it is one, the block has the key's own id."""
    patience_s: float
    """So long an order waits for new keys before it ends with a fault."""
    slow_after_s: float
    """So long without a new key, while one is wanted, is worth an alarm."""
    hold_off_s: float
    """So long an order rests before it ends with a fault, since every try costs pads and perhaps keys."""

    async def look(self) -> None:
        """Raise SourceFault unless the source answers; takes no key."""

    async def take_new(self, count: int) -> Sequence[SourceKey]:
        """Return up to ``count`` keys that were never returned before, none when there are none yet. Raises
        SourceFault; a key in an answer that was lost is lost."""
        ...

    async def take_by_ids(self, key_ids: Sequence[KeyID]) -> Sequence[SourceKey]:
        """Return these keys, in this order, all or none; none of them can be had again. Raises SourceFault."""
        ...

    async def forget(self, key_ids: Sequence[KeyID]) -> None:
        """The keys are durable at both ends, or are to be destroyed: destroy what the source still has. Idempotent."""

    async def close(self) -> None:
        """Let go of connections and files. Idempotent."""
