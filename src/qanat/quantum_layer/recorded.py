"""Recorded light: sources for the two parties' sessions that read arrays in place of a device or its twin.

Raw records have slots, bases, bits, and Alice's intensities. Sifted records have bits that both parties hold already,
and perhaps their bases: place i of the record is slot i, both parties name the same basis there, and all is signal. The
session runs unchanged on them: it discloses a random part, corrects, verifies and amplifies.

**What was told once is not told again.** A source moves forward only, and calls ``on_taken`` with the first slot that
was not given out, *before* it gives out any: whoever keeps that number durably can start again after a crash, and
nothing of the record is used in two sessions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError, QuantumLayerError
from qanat.postprocessing.config import MAX_CHUNK_EVENTS
from qanat.postprocessing.records import ByteArray, Detections, Preparations, SlotArray
from qanat.protocols.decoy import DecoyCounts, DecoyProtocol, SecretLength, SecurityParameters
from qanat.protocols.finite_key import correctness_cost_bits

CHUNK_EVENTS: Final = MAX_CHUNK_EVENTS
"""Events in one chunk unless the caller says otherwise."""
MAX_RECORD_SLOTS: Final = 2**62
MAX_SLOTS_OF_CHUNK: Final = 2**40 - 1

OnTaken = Callable[[int], None]
ChunkSize = Callable[[], int]
FirstFree = Callable[[], int]


def _ignore(_slot: int) -> None:
    """For callers who start no second time."""


def _most() -> int:
    return CHUNK_EVENTS


def _none_taken() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class RawDetections:
    """Bob's record: slots (uint64, strictly increasing, below ``num_slots``), bases and bits (uint8, 0 or 1), (n,).

    Raises ConfigurationError when the columns are no such record.
    """

    slots: SlotArray
    bases: ByteArray
    bits: ByteArray
    num_slots: int

    def __post_init__(self) -> None:
        _check_slots(self.slots, self.num_slots)
        for name, column in (("bases", self.bases), ("bits", self.bits)):
            _check_column(name, column, size=self.slots.size, highest=1)

    @property
    def num_events(self) -> int:
        return int(self.slots.size)

    def events_from(self, slot: int) -> int:
        """Return how many events are left from a slot on."""
        return self.num_events - int(np.searchsorted(self.slots, np.uint64(slot)))

    def part(self, start: int, stop: int) -> tuple[SlotArray, ByteArray, ByteArray]:
        """Return slots, bases and bits of the events ``start`` to ``stop``."""
        return self.slots[start:stop], self.bases[start:stop], self.bits[start:stop]


@dataclass(frozen=True, slots=True)
class RawPreparations:
    """Alice's record: bases, bits (uint8, 0 or 1) and intensities (uint8, 0 signal, 1 decoy, 2 vacuum), shape (n,).

    With ``slots`` (uint64, strictly increasing, shape (n,)) the record is of these slots only; without, row i is slot
    i. Raises ConfigurationError when the columns are no such record.
    """

    bases: ByteArray
    bits: ByteArray
    intensities: ByteArray
    num_slots: int
    slots: SlotArray | None = None

    def __post_init__(self) -> None:
        size = self.num_slots if self.slots is None else int(self.slots.size)
        if self.slots is not None:
            _check_slots(self.slots, self.num_slots)
        columns = (("bases", self.bases, 1), ("bits", self.bits, 1), ("intensities", self.intensities, 2))
        for name, column, highest in columns:
            _check_column(name, column, size=size, highest=highest)

    def rows(self, slots: SlotArray) -> NDArray[np.intp]:
        """Return the rows of some slots; raises QuantumLayerError when one is not in the record."""
        if self.slots is None:
            found = slots.astype(np.intp)
            fits = slots < np.uint64(self.num_slots)
        else:
            found = np.searchsorted(self.slots, slots)
            fits = self.slots[np.minimum(found, self.slots.size - 1)] == slots if self.slots.size else slots != slots
        if not fits.all():
            missing = int(slots[np.argmin(fits)])
            raise QuantumLayerError(
                f"the other party names slot {missing}, which is not in this party's record of {self.num_slots} slots",
                remedy="give both parties the records of the same run, with slots counted from the same pulse",
            )
        return found

    def reveal(self, slots: SlotArray) -> Preparations:
        """Return what was sent in some slots."""
        rows = self.rows(slots)
        return Preparations(self.bases[rows], self.bits[rows], self.intensities[rows])


@dataclass(frozen=True, slots=True)
class SiftedBits:
    """Bits that both parties hold, uint8, 0 or 1, shape (n,), and the bases that they agree on, if recorded.

    The record of either party: Alice's as preparations, all signal; Bob's as detections, one in each slot.
    """

    bits: ByteArray
    bases: ByteArray | None = None

    def __post_init__(self) -> None:
        _check_column("bits", self.bits, size=self.num_slots, highest=1)
        if self.bases is not None:
            _check_column("bases", self.bases, size=self.num_slots, highest=1)

    @property
    def num_slots(self) -> int:
        return int(self.bits.size)

    def events_from(self, slot: int) -> int:
        """Return how many bits are left from a place on."""
        return max(0, self.num_slots - slot)

    def before(self, stop: int) -> SiftedBits:
        """Return the record up to a place; places keep their numbers."""
        return SiftedBits(self.bits[:stop], None if self.bases is None else self.bases[:stop])

    def part(self, start: int, stop: int) -> tuple[SlotArray, ByteArray, ByteArray]:
        """Return places, bases and bits of the bits ``start`` to ``stop``."""
        bits = self.bits[start:stop]
        bases = np.zeros_like(bits) if self.bases is None else self.bases[start:stop]
        return np.arange(start, start + bits.size, dtype=np.uint64), bases, bits

    def reveal(self, slots: SlotArray) -> Preparations:
        """Return the bits of some places as preparations; raises QuantumLayerError outside the record."""
        if slots.size and int(slots[-1]) >= self.num_slots:
            raise QuantumLayerError(
                f"the other party has more than the {self.num_slots} bits of this record",
                remedy="give both parties the records of the same run",
            )
        rows = slots.astype(np.intp)
        bases = np.zeros(rows.size, dtype=np.uint8) if self.bases is None else self.bases[rows]
        return Preparations(bases, self.bits[rows], np.zeros(rows.size, dtype=np.uint8))


class RecordedDetections:
    """Bob's record as a DetectionSource, from ``first_slot`` on."""

    def __init__(
        self,
        record: RawDetections | SiftedBits,
        *,
        first_slot: int = 0,
        chunk_events: ChunkSize = _most,
        first_free: FirstFree = _none_taken,
        on_taken: OnTaken = _ignore,
    ) -> None:
        """``chunk_events``: asked before each chunk how many events it may have, 1 or more. ``first_free``: asked
        before each chunk for the first slot that no other source was given, where several read one record in turn."""
        self._record = record
        self._chunk_events = chunk_events
        self._first_free = first_free
        self._on_taken = on_taken
        self.next_slot = first_slot
        self.num_given = 0
        """Events given out so far."""

    def next_chunk(self) -> Detections:
        """Return the next events; raises QuantumLayerError when the record is over."""
        record, first = self._record, max(self.next_slot, self._first_free())
        left = record.events_from(first)
        if first >= record.num_slots or not left:
            raise QuantumLayerError(
                "the record is over before the block is full",
                remedy="take smaller blocks with --block-bits, or record longer",
            )
        total = record.events_from(0)
        start = total - left
        slots, bases, bits = record.part(start, min(total, start + max(1, self._chunk_events())))
        first = start_near(record, first)
        slots = slots[: int(np.searchsorted(slots, np.uint64(first + MAX_SLOTS_OF_CHUNK)))]
        stop = int(slots[-1]) + 1
        self._on_taken(stop)
        self.next_slot = stop
        self.num_given += slots.size
        return Detections(first, stop - first, slots, bases[: slots.size], bits[: slots.size])


def start_near(record: RawDetections | SiftedBits, slot: int) -> int:
    """Return where to begin, from a slot on: a gap that no message can announce is passed over, for it is empty."""
    left = record.events_from(slot)
    if not left:
        return slot
    total = record.events_from(0)
    slots, _, _ = record.part(total - left, total - left + 1)
    return max(slot, int(slots[0]) - MAX_SLOTS_OF_CHUNK // 2)


class RecordedPreparations:
    """Alice's record as a PreparationSource, from ``first_slot`` on: she looks up each slot once, in order."""

    def __init__(
        self, record: RawPreparations | SiftedBits, *, first_slot: int = 0, on_taken: OnTaken = _ignore
    ) -> None:
        self._record = record
        self._on_taken = on_taken
        self.next_slot = first_slot

    def reveal(self, slots: SlotArray, /) -> Preparations:
        """Return her preparations; raises QuantumLayerError for slots that do not increase, or were passed already."""
        if not slots.size:
            return self._record.reveal(slots)
        if int(slots[0]) < self.next_slot or not (slots[1:] > slots[:-1]).all():
            raise QuantumLayerError(
                f"preparations were asked for slot {int(slots[0])}; those before {self.next_slot} were told already",
                remedy="the announcement is wrong or repeated: the block is lost, start the next one",
            )
        found = self._record.reveal(slots)
        self.next_slot = int(slots[-1]) + 1
        self._on_taken(self.next_slot)
        return found


@dataclass(frozen=True, slots=True)
class StatedEntropy:
    """A stand-in for a proof where no decoy counts exist: a SecretLengthProof from a figure that the user states.

    ``bits_per_bit``: what a proof of the user's grants as smooth min-entropy, in bits per undisclosed sifted bit,
    given all that an eavesdropper knows before error correction. From it the leak of error correction, verification
    (``log2(2 / eps_cor)``) and hashing (``2 log2(1 / (2 eps_sec))``, leftover hash lemma; Tomamichel, Schaffner, Smith,
    Renner, IEEE Trans. Inf. Theory 57, 5524 (2011)) are taken. The smoothing of the statement adds to ``eps_sec``.

    Nothing of it is proven here, and the name of the proof in every result says so.
    """

    bits_per_bit: float

    def __call__(
        self,
        counts: DecoyCounts,
        protocol: DecoyProtocol,  # noqa: ARG002 - a statement does not ask how the light was made
        security: SecurityParameters,
        /,
        *,
        leaked_bits: int,
    ) -> SecretLength:
        """Return the length; 0 when nothing is left."""
        key_bits = counts.rectilinear.key_bits + counts.diagonal.key_bits
        terms = {
            "stated_entropy": self.bits_per_bit * key_bits,
            "leaked": float(leaked_bits),
            "correctness": correctness_cost_bits(security.eps_cor),
            "hashing": max(0.0, 2 * math.log2(1 / (2 * security.eps_sec))),
        }
        length = terms["stated_entropy"] - terms["leaked"] - terms["correctness"] - terms["hashing"]
        return SecretLength(max(0, math.floor(length)), self.name, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), terms)

    @property
    def name(self) -> str:
        return f"stated, not proven: {self.bits_per_bit:g} bits of min-entropy per sifted bit"


def _check_slots(slots: SlotArray, num_slots: int) -> None:
    if not 0 < num_slots <= MAX_RECORD_SLOTS:
        raise _no_record(f"num_slots is {num_slots}")
    if slots.ndim != 1 or slots.dtype != np.uint64:
        raise _no_record("slots is no column of uint64")
    if slots.size and (int(slots[-1]) >= num_slots or not (slots[1:] > slots[:-1]).all()):
        raise _no_record(f"slots do not increase, or reach beyond num_slots = {num_slots}")


def _check_column(name: str, column: ByteArray, *, size: int, highest: int) -> None:
    if column.ndim != 1 or column.dtype != np.uint8 or column.size != size:
        raise _no_record(f"{name} is no column of {size} uint8")
    if column.size and int(column.max()) > highest:
        raise _no_record(f"{name} has values above {highest}")


def _no_record(what: str) -> ConfigurationError:
    return ConfigurationError(f"this is no record: {what}", remedy="docs/formats/records.md says what a record holds")
