"""Key sift and basis sift: from detections to bits that both parties have, and the counts of a proof.

Source: Methods of the paper, "Key sift and basis sift". Per chunk of detections:

    Bob    SLOTS      where he had detections (not authenticated)
    Alice  COMMIT     a fresh random number
    Bob    BASES      his bases, and a fresh random number
    Alice  SIFTED     which bases agree; of those the intensities, a random choice of the signal to disclose, her bits
    Bob    DISCLOSED  his bits of the same

Order is part of the security. The slots need no tag because whoever alters them only permutes pulses, which he could
do on the fibre, *as long as he does it before he knows a basis*. Somebody who keeps Alice's pulses in a memory and
hears Bob's bases could otherwise measure them without error and pair them with detections of his own making. Alice's
COMMIT is authenticated and cannot be guessed, so it proves that she had the slots when Bob told his bases; Bob's random
number proves likewise that his detections were over when Alice told hers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError
from qanat.ground.ports import Entropy
from qanat.kernels import bitarrays
from qanat.kernels import sifting as kernel
from qanat.postprocessing.disclosure import SignalChoice, choose_signal
from qanat.postprocessing.planes import (
    WordArray,
    clear_from,
    packed_bytes,
    plane_of_bytes,
    plane_of_column,
    plane_of_equal,
    planes_of_zeros,
)
from qanat.postprocessing.records import ByteArray, Detections, Preparations, SlotArray
from qanat.postprocessing.wire import PlaneReader
from qanat.protocols.decoy import DECOY, SIGNAL, BasisCounts, DecoyCounts

NUM_BASES, NUM_INTENSITIES = 2, 3
NONCE_BYTES = 16
MAX_DELTA_BYTES = 5
"""2^23 gaps of 5 bytes cannot overflow 64 bits."""
MAX_CHUNK_SLOTS = 2 ** (8 * MAX_DELTA_BYTES) - 1
WHOLE_WIDTHS = (1, 2, 4)
"""Widths of gaps, in bytes, that are a machine's integers."""


def cut_detections(detections: Detections, *, max_events: int) -> Iterator[Detections]:
    """Yield the detections in pieces of at most ``max_events``, which together cover the same slots."""
    first_slot, end_slot = detections.first_slot, detections.first_slot + detections.num_slots
    for start in range(0, max(1, detections.slots.size), max_events):
        part = slice(start, start + max_events)
        is_last = start + max_events >= detections.slots.size
        stop_slot = end_slot if is_last else int(detections.slots[part][-1]) + 1
        yield Detections(
            first_slot,
            stop_slot - first_slot,
            detections.slots[part],
            detections.bases[part],
            detections.bits[part],
        )
        first_slot = stop_slot


def encode_slots(detections: Detections) -> tuple[int, memoryview]:
    """Return the width in bytes and the gaps between detections, little-endian; the first counts from the chunk's
    first slot."""
    slots = np.require(detections.slots, np.uint64, ["C", "W"])
    numbers, widest = np.empty(0, dtype=np.uint16), 0
    for width in (2, 4, 8):  # two bytes are the rule
        numbers = np.empty(slots.size, dtype=_number_type(width))
        widest = kernel.gaps_as_numbers(slots, detections.first_slot, numbers)
        if widest < 1 << 8 * width:
            break
    width = max(1, (widest.bit_length() + 7) // 8)
    body = numbers.view(np.uint8)
    if width != numbers.itemsize:
        body = np.ascontiguousarray(body.reshape(slots.size, numbers.itemsize)[:, :width]).reshape(-1)
    return width, body.data


def decode_slots(
    body: bytes | memoryview, *, width: int, num_events: int, first_slot: int, num_slots: int
) -> SlotArray:
    """Return announced slots (uint64, strictly increasing, inside the chunk); raises FrameError on anything else."""
    if len(body) != width * num_events:
        raise FrameError(f"{num_events} slots of {width} bytes do not fill {len(body)} bytes")
    numbers = np.frombuffer(body, dtype=_number_type(width) if width in WHOLE_WIDTHS else np.uint8)
    if width not in WHOLE_WIDTHS:
        wide = np.zeros((num_events, _number_type(width).itemsize), dtype=np.uint8)
        wide[:, :width] = numbers.reshape(num_events, width)
        numbers = wide.view(_number_type(width)).reshape(-1)
    slots = np.empty(num_events, dtype=np.uint64)
    if not kernel.slots_of_numbers(_read_only(numbers), first_slot, num_slots, slots):
        raise FrameError("a slot was announced twice, or lies outside the chunk")
    return slots


class SiftedKey:
    """What a party has sifted so far: counts per basis and intensity, and the undisclosed signal bits.

    ``clicks[b, k]``, ``told[b, k]``, ``told_errors[b, k]``: int64, shape (2, 3); all matching events, those that were
    disclosed, and differing bits among these.
    """

    def __init__(self, *, max_bits: int) -> None:
        """``max_bits``: what the key will have when it is full."""
        self.max_bits = max_bits
        self.num_bits = 0
        self._clicks = np.zeros(kernel.NUM_CELLS, dtype=np.int64)
        self._told = np.zeros(kernel.NUM_CELLS, dtype=np.int64)
        self._told_errors = np.zeros(kernel.NUM_CELLS, dtype=np.int64)
        self._key = planes_of_zeros(2, max_bits)

    @property
    def clicks(self) -> NDArray[np.int64]:
        return self._clicks.reshape(NUM_BASES, NUM_INTENSITIES)

    @property
    def told(self) -> NDArray[np.int64]:
        return self._told.reshape(NUM_BASES, NUM_INTENSITIES)

    @property
    def told_errors(self) -> NDArray[np.int64]:
        return self._told_errors.reshape(NUM_BASES, NUM_INTENSITIES)

    @property
    def is_full(self) -> bool:
        return self.num_bits == self.max_bits

    @property
    def sample_qber(self) -> float:
        """The error rate of the disclosed signal of both bases; 0 when none was disclosed."""
        told = int(self.told[:, SIGNAL].sum())
        return int(self.told_errors[:, SIGNAL].sum()) / told if told else 0.0

    def sift(
        self,
        preparations: Preparations,
        bases: ByteArray,
        *,
        p_disclosed: float,
        entropy: Entropy,
        choose: SignalChoice = choose_signal,
    ) -> tuple[SiftedMessage, Told]:
        """Alice's part: compare bases, choose what to disclose, and stop when the key is full.

        bases: Bob's, a plane. Events after the one that fills the key are not used and nothing is told of them.
        Returns the message, and what the two parties tell each other of.
        """
        num_events = preparations.bases.size
        own, theirs = plane_of_column(preparations.bases), plane_of_bytes(bases)
        is_signal, is_decoy = (
            plane_of_equal(preparations.intensities, SIGNAL),
            plane_of_equal(preparations.intensities, DECOY),
        )
        chosen = choose(kernel.count_matched(own, theirs, is_signal), p_disclosed=p_disclosed, entropy=entropy)
        planes, told = planes_of_zeros(3, num_events), planes_of_zeros(4, num_events)
        used, matched, signal, num_told, self.num_bits = kernel.sift_events(
            num_events,
            own,
            plane_of_column(preparations.bits),
            is_signal,
            is_decoy,
            theirs,
            chosen,
            planes[0],
            planes[1],
            planes[2],
            told,
            self._key,
            self.num_bits,
            self.max_bits,
            self._clicks,
        )
        clear_from(chosen, signal)
        sizes = ((planes[0], used), (planes[1], matched), (planes[2], matched - signal), (chosen, signal))
        body = b"".join(packed_bytes(plane, size) for plane, size in (*sizes, (told[kernel.BIT], num_told)))
        return SiftedMessage(used, matched, signal, num_told, body), Told(num_told, told)

    def read_sifted(self, message: SiftedMessage, detections: Detections) -> tuple[Told, ByteArray]:
        """Bob's part: sort his detections by what Alice told.

        Returns what the two parties tell each other of, and Alice's bits of that, a plane. Raises FrameError when the
        message does not fit itself, or tells of more key than is wanted.
        """
        others = message.num_matched - message.num_signal
        reader = PlaneReader(message.body)
        matches = reader.plane(message.num_used, ones=message.num_matched)
        signals = reader.plane(message.num_matched, ones=message.num_signal)
        decoys = reader.plane(others)
        chosen = reader.plane(message.num_signal, ones=message.num_told - others)
        theirs = reader.plane(message.num_told)
        reader.end()
        if message.num_matched - message.num_told > self.max_bits - self.num_bits:
            raise FrameError("more key was sifted than the session wants")
        told = planes_of_zeros(4, message.num_told)
        self.num_bits = kernel.read_events(
            message.num_used,
            plane_of_column(detections.bases),
            plane_of_column(detections.bits),
            plane_of_bytes(matches),
            plane_of_bytes(signals),
            plane_of_bytes(decoys),
            plane_of_bytes(chosen),
            told,
            self._key,
            self.num_bits,
            self._clicks,
        )
        return Told(message.num_told, told), theirs

    def compare(self, told: Told, theirs: ByteArray) -> None:
        """Count disclosed events, and errors among them. theirs: the other party's bits of them, a plane."""
        kernel.count_told(told.num_events, told.planes, plane_of_bytes(theirs), self._told, self._told_errors)

    def packed(self) -> tuple[bytes, bytes]:
        """Return the key bits and their bases (1: diagonal), packed in order of time; forgets the bits."""
        bits, bases = (
            packed_bytes(self._key[kernel.BIT], self.num_bits),
            packed_bytes(self._key[kernel.BASIS], self.num_bits),
        )
        self.wipe()
        return bits, bases

    def wipe(self) -> None:
        """Overwrite the key bits."""
        self._key[kernel.BIT].fill(0)

    def counts(self, *, key_errors: tuple[int, int], diagonal_bits: int) -> DecoyCounts:
        """Return what a proof needs, with the exact numbers of errors that error correction found per basis."""
        key_bits = (self.num_bits - diagonal_bits, diagonal_bits)
        bases = []
        for basis in range(NUM_BASES):
            signal, decoy, vacuum = (int(count) for count in self.clicks[basis])
            signal_errors, decoy_errors, vacuum_errors = (int(count) for count in self.told_errors[basis])
            errors = (signal_errors + key_errors[basis], decoy_errors, vacuum_errors)
            bases.append(BasisCounts((signal, decoy, vacuum), errors, key_bits[basis]))
        rectilinear, diagonal = bases
        return DecoyCounts(rectilinear, diagonal)


@dataclass(frozen=True, slots=True)
class Told:
    """Events whose bits the parties tell each other. planes: the kernel's four, this party's own bits among them."""

    num_events: int
    planes: WordArray

    def packed(self) -> bytes:
        """Return this party's bits, packed."""
        return packed_bytes(self.planes[kernel.BIT], self.num_events)


@dataclass(frozen=True, slots=True)
class SiftedMessage:
    """What SIFTED carries: numbers for its header, and its body."""

    num_used: int
    num_matched: int
    num_signal: int
    num_told: int
    body: bytes


def count_ones(packed: bytes) -> int:
    """Return how many of the packed bits are one."""
    return int(bitarrays.count_ones(np.frombuffer(packed, dtype=np.uint8)))


def _number_type(width: int) -> np.dtype[Any]:
    """Return the unsigned integer that holds ``width`` bytes."""
    return np.dtype({1: np.uint8, 2: np.uint16, 3: np.uint32, 4: np.uint32}.get(width, np.uint64))


def _read_only(column: NDArray[Any]) -> NDArray[Any]:
    """Return a column that cannot be written, so that its kernel is compiled once per kind of number."""
    view = column.view()
    view.flags.writeable = False
    return view
