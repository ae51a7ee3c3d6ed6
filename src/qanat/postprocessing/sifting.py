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

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError
from qanat.ground.ports import Entropy
from qanat.kernels import sifting as kernel
from qanat.postprocessing.records import ByteArray, Detections, Preparations, SlotArray
from qanat.postprocessing.wire import PlaneReader
from qanat.protocols.decoy import SIGNAL, BasisCounts, DecoyCounts

NUM_BASES, NUM_INTENSITIES = 2, 3
NONCE_BYTES = 16
MAX_DELTA_BYTES = 5
"""2^22 gaps of 5 bytes cannot overflow 64 bits."""
MAX_CHUNK_SLOTS = 2 ** (8 * MAX_DELTA_BYTES) - 1


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


def encode_slots(detections: Detections) -> tuple[int, bytes]:
    """Return the width in bytes and the gaps between detections, little-endian; the first counts from the chunk's
    first slot."""
    slots = np.require(detections.slots, np.uint64, ["C", "W"])
    widest = kernel.widest_gap(slots, detections.first_slot)
    width = max(1, (widest.bit_length() + 7) // 8)
    body = np.empty(slots.size * width, dtype=np.uint8)
    kernel.pack_gaps(slots, detections.first_slot, width, body)
    return width, body.tobytes()


def decode_slots(body: bytes, *, width: int, num_events: int, first_slot: int, num_slots: int) -> SlotArray:
    """Return announced slots (uint64, strictly increasing, inside the chunk); raises FrameError on anything else."""
    if len(body) != width * num_events:
        raise FrameError(f"{num_events} slots of {width} bytes do not fill {len(body)} bytes")
    slots = np.empty(num_events, dtype=np.uint64)
    if not kernel.unpack_gaps(np.frombuffer(bytearray(body), np.uint8), width, first_slot, num_slots, slots):
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
        self._clicks = np.zeros(kernel.NUM_CELLS + 1, dtype=np.int64)
        self._told = np.zeros(kernel.NUM_CELLS, dtype=np.int64)
        self._told_errors = np.zeros(kernel.NUM_CELLS, dtype=np.int64)
        self._bits = np.zeros(max_bits // 8 + 1, dtype=np.uint8)
        self._bases = np.zeros(max_bits // 8 + 1, dtype=np.uint8)

    @property
    def clicks(self) -> NDArray[np.int64]:
        return self._clicks[:-1].reshape(NUM_BASES, NUM_INTENSITIES)

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
        self, preparations: Preparations, bases: ByteArray, *, p_disclosed: float, entropy: Entropy
    ) -> tuple[SiftedMessage, Told]:
        """Alice's part: compare bases, choose what to disclose, and stop when the key is full.

        bases: Bob's, a plane. Events after the one that fills the key are not used and nothing is told of them.
        Returns the message, and what the two parties tell each other of.
        """
        num_events = preparations.bases.size
        own = np.packbits(preparations.bases, bitorder="little")
        num_matched = num_events - count_ones((own ^ bases[: own.size]).tobytes())
        draws = np.frombuffer(bytearray(entropy.public_bytes(2 * num_matched + 2)), dtype="<u2")
        matches, signals, decoys, chosen, told_bits = (_plane(num_events) for _ in range(5))
        told_cells = np.empty(num_events + 1, dtype=np.uint8)
        used, matched, signal, told, self.num_bits = kernel.sift_events(
            _bytes(preparations.bases),
            _bytes(preparations.bits),
            _bytes(preparations.intensities),
            bases,
            draws.astype(np.uint16, copy=False),
            round(p_disclosed * 2**16),
            matches,
            signals,
            decoys,
            chosen,
            told_bits,
            told_cells,
            self._bits,
            self._bases,
            self.num_bits,
            self.max_bits,
            self._clicks,
        )
        sizes = ((matches, used), (signals, matched), (decoys, matched - signal), (chosen, signal), (told_bits, told))
        body = b"".join(plane[: (size + 7) // 8].tobytes() for plane, size in sizes)
        return SiftedMessage(used, matched, signal, told, body), Told(told_cells[:told], told_bits)

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
        told = Told(np.empty(message.num_told + 1, dtype=np.uint8), _plane(message.num_told))
        self.num_bits = kernel.read_events(
            _bytes(detections.bases),
            _bytes(detections.bits),
            message.num_used,
            matches,
            signals,
            decoys,
            chosen,
            told.bits,
            told.cells,
            self._bits,
            self._bases,
            self.num_bits,
            self._clicks,
        )
        told.cells = told.cells[:-1]
        return told, theirs

    def compare(self, told: Told, theirs: ByteArray) -> None:
        """Count disclosed events, and errors among them. theirs: the other party's bits of them, a plane."""
        self._told += np.bincount(told.cells, minlength=kernel.NUM_CELLS)
        kernel.count_errors(told.cells, told.bits, theirs, self._told_errors)

    def packed(self) -> tuple[bytes, bytes]:
        """Return the key bits and their bases (1: diagonal), packed in order of time; forgets the bits."""
        num_bytes = (self.num_bits + 7) // 8
        bits, bases = self._bits[:num_bytes].tobytes(), self._bases[:num_bytes].tobytes()
        self.wipe()
        return bits, bases

    def wipe(self) -> None:
        """Overwrite the key bits."""
        self._bits.fill(0)

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


@dataclass(slots=True)
class Told:
    """Events whose bits the parties tell each other. cells: uint8, 3 * basis + intensity, shape (n,). bits: this
    party's own, a plane."""

    cells: ByteArray
    bits: ByteArray

    @property
    def num_events(self) -> int:
        return self.cells.size

    def packed(self) -> bytes:
        """Return this party's bits, packed."""
        return self.bits[: (self.num_events + 7) // 8].tobytes()


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
    return int.from_bytes(packed, "little").bit_count()


def _plane(num_bits: int) -> ByteArray:
    return np.zeros(num_bits // 8 + 1, dtype=np.uint8)


def _bytes(column: ByteArray) -> ByteArray:
    """Return a column as the kernels take it: contiguous and writable."""
    return np.require(column, np.uint8, ["C", "W"])
