"""What the two parties hold before they talk: Bob's detections, Alice's preparations, and where they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

ByteArray: TypeAlias = NDArray[np.uint8]
SlotArray: TypeAlias = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Detections:
    """What Bob's detectors gave in the slots ``first_slot`` to ``first_slot + num_slots``. One event per slot.

    slots: uint64, strictly increasing, shape (n,). Public.
    bases: uint8, 0 rectilinear, 1 diagonal, shape (n,). Public once told.
    bits: uint8, 0 or 1, shape (n,). Secret. Double clicks have their random bit already.

    Assumed: a basis is independent of all slots and of the events before. A receiver whose detectors sleep one by one
    gives events that keep to this only beyond a hold-off from each other (docs/decisions/0005).
    """

    first_slot: int
    num_slots: int
    slots: SlotArray
    bases: ByteArray
    bits: ByteArray


@dataclass(frozen=True, slots=True)
class Preparations:
    """What Alice sent in some slots.

    bases: uint8, shape (n,). bits: uint8, shape (n,), secret. intensities: uint8, 0 signal, 1 decoy, 2 vacuum, (n,).
    """

    bases: ByteArray
    bits: ByteArray
    intensities: ByteArray


class DetectionSource(Protocol):
    """Bob's receiver: hands out his detections in order, chunk by chunk."""

    def next_chunk(self) -> Detections: ...


class PreparationSource(Protocol):
    """Alice's record of what she sent; she looks up only slots that Bob has announced, each once."""

    def reveal(self, slots: SlotArray, /) -> Preparations:
        """Return her preparations in ``slots`` (uint64, shape (n,))."""
        ...
