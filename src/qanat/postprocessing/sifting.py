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
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError
from qanat.ground.ports import Entropy
from qanat.postprocessing.records import ByteArray, Detections, Preparations, SlotArray
from qanat.postprocessing.wire import BitReader, pack_bits
from qanat.protocols.decoy import DECOY, DIAGONAL, SIGNAL, VACUUM, BasisCounts, DecoyCounts

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
    gaps = np.diff(detections.slots, prepend=np.uint64(detections.first_slot)).astype("<u8")
    widest = int(gaps.max()) if gaps.size else 0
    width = max(1, (widest.bit_length() + 7) // 8)
    return width, gaps.view(np.uint8).reshape(-1, 8)[:, :width].tobytes()


def decode_slots(body: bytes, *, width: int, num_events: int, first_slot: int, num_slots: int) -> SlotArray:
    """Return announced slots (uint64, strictly increasing, inside the chunk); raises FrameError on anything else."""
    if len(body) != width * num_events:
        raise FrameError(f"{num_events} slots of {width} bytes do not fill {len(body)} bytes")
    padded = np.zeros((num_events, 8), dtype=np.uint8)
    padded[:, :width] = np.frombuffer(body, dtype=np.uint8).reshape(num_events, width)
    gaps = padded.view("<u8").reshape(num_events).astype(np.uint64, copy=False)
    if num_events and gaps[1:].size and not gaps[1:].all():
        raise FrameError("the same slot was announced twice")
    slots = np.cumsum(gaps, dtype=np.uint64)
    if num_events and int(slots[-1]) >= num_slots:
        raise FrameError("a slot outside the chunk was announced")
    return slots + np.uint64(first_slot)


@dataclass(slots=True)
class SiftedChunk:
    """The matching events of a chunk, in order of time: what both parties know of them.

    bases, intensities: uint8, shape (num_matched,). is_told: bool, events whose bits are disclosed.
    bits: this party's own, uint8, shape (num_matched,), secret where not told.
    """

    bases: ByteArray
    intensities: ByteArray
    is_told: NDArray[np.bool_]
    bits: ByteArray

    @property
    def told_bits(self) -> ByteArray:
        return self.bits[self.is_told]

    @property
    def num_told(self) -> int:
        return int(np.count_nonzero(self.is_told))


@dataclass(frozen=True, slots=True)
class SiftedMessage:
    """What SIFTED carries: numbers for its header, and its body."""

    num_used: int
    num_matched: int
    num_signal: int
    num_told: int
    body: bytes


def sift(
    preparations: Preparations, bases: ByteArray, *, p_disclosed: float, max_key_bits: int, entropy: Entropy
) -> tuple[SiftedChunk, SiftedMessage]:
    """Alice's part: compare bases, choose what to disclose, and stop at ``max_key_bits`` undisclosed signal bits.

    bases: Bob's, uint8, shape (n,). Events after the one that fills the key are not used and nothing is told of them.
    """
    matches = preparations.bases == bases
    (places,) = np.nonzero(matches)
    intensities = preparations.intensities[places]
    is_told = intensities != SIGNAL
    (signal,) = np.nonzero(~is_told)
    is_told[signal] = _choose(signal.size, p_disclosed, entropy)
    (key,) = np.nonzero(~is_told)
    num_used = bases.size
    if key.size >= max_key_bits:
        num_matched = int(key[max_key_bits - 1]) + 1
        num_used = int(places[num_matched - 1]) + 1
        places, intensities, is_told = places[:num_matched], intensities[:num_matched], is_told[:num_matched]
    chunk = SiftedChunk(bases[places], intensities, is_told, preparations.bits[places])
    return chunk, _describe(chunk, matches[:num_used].view(np.uint8))


def _choose(num_events: int, probability: float, entropy: Entropy) -> NDArray[np.bool_]:
    """Choose each of ``num_events`` with ``probability``, to the nearest 2^-16."""
    draws = np.frombuffer(entropy.public_bytes(2 * num_events), dtype="<u2")
    return draws < round(probability * 2**16)


def _describe(chunk: SiftedChunk, matches: ByteArray) -> SiftedMessage:
    is_signal = chunk.intensities == SIGNAL
    told = chunk.told_bits
    sections = (
        matches,
        is_signal,
        chunk.intensities[~is_signal] == DECOY,
        chunk.is_told[is_signal],
        told,
    )
    body = b"".join(pack_bits(section) for section in sections)
    return SiftedMessage(matches.size, is_signal.size, int(np.count_nonzero(is_signal)), told.size, body)


def read_sifted(message: SiftedMessage, detections: Detections) -> tuple[SiftedChunk, ByteArray]:
    """Bob's part: read what Alice told of his detections.

    Returns his matching events, and Alice's bits of those that are told. Raises FrameError when the message does not
    fit itself.
    """
    reader = BitReader(message.body)
    (places,) = np.nonzero(reader.bits(message.num_used))
    if places.size != message.num_matched:
        raise FrameError(f"{places.size} bases agree, {message.num_matched} were announced")
    is_signal = reader.bits(message.num_matched).view(np.bool_)
    if int(np.count_nonzero(is_signal)) != message.num_signal:
        raise FrameError("the number of signal events is not the announced one")
    intensities = np.full(message.num_matched, SIGNAL, dtype=np.uint8)
    is_decoy = reader.bits(message.num_matched - message.num_signal)
    intensities[~is_signal] = np.where(is_decoy, np.uint8(DECOY), np.uint8(VACUUM))
    is_told = ~is_signal
    is_told[is_signal] = reader.bits(message.num_signal)
    told = reader.bits(message.num_told)
    reader.end()
    chunk = SiftedChunk(detections.bases[places], intensities, is_told, detections.bits[places])
    if chunk.num_told != message.num_told:
        raise FrameError("the number of disclosed events is not the announced one")
    return chunk, told


@dataclass(slots=True)
class SiftedKey:
    """What a party has sifted so far: counts per basis and intensity, and the undisclosed signal bits.

    ``clicks[b, k]`` and ``told_errors[b, k]``: int64, shape (2, 3); errors of disclosed events only.
    """

    clicks: NDArray[np.int64] = field(default_factory=lambda: np.zeros((NUM_BASES, NUM_INTENSITIES), np.int64))
    told: NDArray[np.int64] = field(default_factory=lambda: np.zeros((NUM_BASES, NUM_INTENSITIES), np.int64))
    told_errors: NDArray[np.int64] = field(default_factory=lambda: np.zeros((NUM_BASES, NUM_INTENSITIES), np.int64))
    num_bits: int = 0
    _bits: list[ByteArray] = field(default_factory=list, repr=False)
    _bases: list[ByteArray] = field(default_factory=list, repr=False)

    def add(self, chunk: SiftedChunk, other_told: ByteArray) -> None:
        """Take a chunk and the other party's bits of its told events (uint8, shape (num_told,))."""
        cells = chunk.bases * NUM_INTENSITIES + chunk.intensities
        told_cells = cells[chunk.is_told]
        self.clicks += _count_cells(cells)
        self.told += _count_cells(told_cells)
        self.told_errors += _count_cells(told_cells[chunk.told_bits != other_told])
        is_key = ~chunk.is_told
        self._bits.append(chunk.bits[is_key])
        self._bases.append(chunk.bases[is_key])
        self.num_bits += self._bits[-1].size

    @property
    def sample_qber(self) -> float:
        """The error rate of the disclosed signal of both bases; 0 when none was disclosed."""
        told = int(self.told[:, SIGNAL].sum())
        return int(self.told_errors[:, SIGNAL].sum()) / told if told else 0.0

    def packed(self) -> tuple[bytes, bytes]:
        """Return the key bits and their bases (1: diagonal), packed in order of time; forgets the bits."""
        bits, bases = pack_bits(np.concatenate(self._bits)), pack_bits(np.concatenate(self._bases))
        self.wipe()
        return bits, bases

    def wipe(self) -> None:
        """Overwrite and forget the key bits."""
        for part in self._bits:
            part.fill(0)
        self._bits.clear()
        self._bases.clear()

    def counts(self, *, key_errors: tuple[int, int], diagonal_bits: int) -> DecoyCounts:
        """Return what a proof needs, with the exact numbers of errors that error correction found per basis."""
        key_bits = (self.num_bits - diagonal_bits, diagonal_bits)
        bases = []
        for basis in range(NUM_BASES):
            errors = [int(count) for count in self.told_errors[basis]]
            errors[SIGNAL] += key_errors[basis]
            clicks = [int(count) for count in self.clicks[basis]]
            bases.append(BasisCounts((*clicks,), (*errors,), key_bits[basis]))  # type: ignore[arg-type]
        return DecoyCounts(bases[0], bases[DIAGONAL])


def _count_cells(cells: ByteArray) -> NDArray[np.int64]:
    counted = np.bincount(cells, minlength=NUM_BASES * NUM_INTENSITIES)
    return counted.reshape(NUM_BASES, NUM_INTENSITIES).astype(np.int64)
