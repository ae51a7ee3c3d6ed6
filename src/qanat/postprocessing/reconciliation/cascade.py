"""Cascade as two parties: Alice answers questions about parities, Bob asks and corrects.

All frames of a key go through the same pass at the same time, and every round trip carries the questions of all of
them. Three passes have a permutation and blocks of k1, 4 k1 and 4,096 bits. A last one compares the parities of
NUM_HALVES random halves of each frame; a frame with errors left passes each with odds of one half.

Source: block sizes after Martinez-Mateo, Pacher, Peev, Ciurana, Martin, Quantum Inf. Comput. 15, 453 (2015), whose
best variant has k1 = 2^ceil(log2(1/Q) - 1/2) and a second pass of some 2^9; ours are smaller because every odd block is
searched at the same time: about 2 % more leak, and a third of the round trips.

**Leak.** Each parity of Alice's is one bit. Bob's questions tell where errors are: they follow from Alice's parities
and the positions of errors, which the proof grants the eavesdropper (Tupkary, Luetkenhaus, arXiv:2307.00576), and so
does the exact number of errors.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.kernels import bitarrays, cascade

WordArray = NDArray[np.uint64]
IndexArray = NDArray[np.uint32]

NUM_PERMUTED_PASSES = cascade.HALVES
HALVES_PASS = NUM_PERMUTED_PASSES
NUM_PASSES = NUM_PERMUTED_PASSES + 1
NUM_HALVES = 14
SEED_BYTES = 32
MIN_QBER = 1e-4
"""Below this the blocks grow no further."""
LARGEST_LOG_BLOCK = 12
MAX_QUESTIONS = 2**23
"""Questions in one message, so that it stays far below the longest frame."""


@dataclass(frozen=True, slots=True)
class CascadePlan:
    """Public: ``log_blocks`` are the base-2 logarithms of the block sizes, ``seed`` draws permutations and halves."""

    num_frames: int
    frame_bits: int
    log_blocks: tuple[int, int, int]
    seed: bytes

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES or len(self.log_blocks) != NUM_PERMUTED_PASSES:
            raise ValueError("a plan has a seed of 32 bytes and three block sizes")
        if not all(1 <= log < self.log_frame for log in self.log_blocks):
            raise ValueError(f"blocks of 2^{self.log_blocks} bits do not fit frames of {self.frame_bits}")

    @property
    def log_frame(self) -> int:
        return self.frame_bits.bit_length() - 1

    def num_parities(self, number: int) -> int:
        """Return how many parities Alice tells at the beginning of pass ``number``, all frames together.

        The last block of a later permuted pass is left out: the parity of the whole frame is known by then.
        """
        if number == HALVES_PASS:
            return self.num_frames * NUM_HALVES
        num_blocks = self.frame_bits >> self.log_blocks[number]
        return self.num_frames * (num_blocks - (number > 0))

    def words(self, number: int, num_words: int) -> WordArray:
        """Return public random words of a pass (uint64, shape (num_words,)): SHAKE-256 of seed and number."""
        drawn = hashlib.shake_256(self.seed + number.to_bytes(2, "big")).digest(8 * num_words)
        return np.frombuffer(bytearray(drawn), dtype="<u8").astype(np.uint64, copy=False)


def choose_log_blocks(qber: float, *, frame_bits: int) -> tuple[int, int, int]:
    """Return the base-2 logarithms of the block sizes for an expected error rate."""
    expected = max(qber, MIN_QBER)
    largest = min(LARGEST_LOG_BLOCK, frame_bits.bit_length() - 2)
    first = max(1, round(math.log2(1 / expected) - 0.6))
    return min(first, largest), min(first + 2, largest), largest


class _Frames:
    """What both parties keep: their bits side by side, and prefix parities of the passes that have begun."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        self.plan = plan
        places = plan.frame_bits
        num_groups = -(-plan.num_frames // bitarrays.LANES)
        self.frames = np.empty((num_groups, places), dtype=np.uint64)
        self.prefixes = np.empty((cascade.SLOTS, num_groups, places + 1), dtype=np.uint64)
        self.orders = np.empty((cascade.SLOTS, places), dtype=np.uint16)
        self.inverses = np.empty((cascade.SLOTS, places), dtype=np.uint16)
        self.orders[cascade.HALVES] = self.inverses[cascade.HALVES] = np.arange(places)
        self.masks = plan.words(HALVES_PASS, NUM_HALVES * places // 64).reshape(NUM_HALVES, -1)
        self.num_parities = 0
        """Parities told or heard so far."""
        bitarrays.spread_frames(_stream(key), plan.num_frames, self.frames)

    def begin(self, number: int) -> WordArray:
        """Sum up this party's bits for a pass; return its block parities, uint64, side by side."""
        if number == HALVES_PASS:
            return self.half_parities()
        cascade.shuffle(self.plan.words(number, 1)[0], self.orders[number], self.inverses[number])
        prefix = self.prefixes[number]
        cascade.prefix_parities(self.frames, self.orders[number], prefix)
        size = 1 << self.plan.log_blocks[number]
        parities: WordArray = prefix[:, size::size] ^ prefix[:, :-1:size]
        return parities

    def half_parities(self) -> WordArray:
        """Return the parities of all halves as the bits are now, uint64, shape (num_groups, NUM_HALVES)."""
        parities = np.empty((self.frames.shape[0], NUM_HALVES), dtype=np.uint64)
        cascade.masked_parities(self.frames, self.masks, parities)
        return parities

    def search_half(self, half: int) -> None:
        """Prepare for questions about the places of one half."""
        cascade.masked_prefix_parities(self.frames, self.masks[half], self.prefixes[cascade.HALVES])

    def note_parities(self, count: int) -> None:
        """Count parities; raises PeerProtocolError when more were told than the key has bits."""
        self.num_parities += count
        if self.num_parities > self.plan.num_frames * self.plan.frame_bits:
            raise PeerProtocolError("error correction told more than the key holds, and has not ended")

    def wipe(self) -> None:
        """Overwrite all that depends on the key."""
        self.frames.fill(0)
        self.prefixes.fill(0)


class CascadeAnswerer:
    """Alice's side: she tells parities of her bits and changes none."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        """``key``: packed bits, ``plan.num_frames * plan.frame_bits`` of them. Secret."""
        self._state = _Frames(key, plan)
        self._next_pass = 0
        self._half = -1

    @property
    def num_parities(self) -> int:
        """Parities told so far: the leak."""
        return self._state.num_parities

    def block_parities(self, number: int) -> bytes:
        """Return the packed block parities of the next pass; raises PeerProtocolError when it is another's turn."""
        if number != self._next_pass:
            raise PeerProtocolError(f"pass {number} of error correction was begun, pass {self._next_pass} is next")
        self._next_pass += 1
        plan = self._state.plan
        count = plan.num_parities(number)
        blocks = self._state.begin(number)[:, : count // plan.num_frames]
        self._state.note_parities(count)
        return _joined(blocks, plan.num_frames)

    def answer(self, questions: Questions) -> bytes:
        """Return the packed answers; raises PeerProtocolError on questions that no pass so far allows."""
        slots, nodes = questions.nodes >> cascade.SLOT_SHIFT, questions.nodes & cascade.NODE_MASK
        begun = min(self._next_pass, NUM_PASSES if questions.half >= 0 else NUM_PERMUTED_PASSES)
        if not ((slots < begun) & (nodes >= 1) & (nodes < self._state.plan.frame_bits)).all():
            raise PeerProtocolError("a parity was asked for that no pass has")
        if questions.half not in (-1, self._half):
            self._half = questions.half
            self._state.search_half(self._half)
        self._state.note_parities(questions.nodes.size)
        answers = np.zeros((questions.nodes.size + 7) // 8, dtype=np.uint8)
        cascade.answer(self._state.prefixes, questions.nodes, questions.counts, answers)
        return answers.tobytes()

    def wipe(self) -> None:
        """Overwrite what was kept of the key."""
        self._state.wipe()


@dataclass(frozen=True, slots=True)
class Questions:
    """Nodes of which the parity of the left half is wanted, by frame.

    counts: uint32, shape (num_frames,): how many each frame has. nodes: uint32, shape (sum of counts,).
    half: which random half the nodes of slot HALVES are about, -1 before that pass.
    """

    counts: IndexArray
    nodes: IndexArray
    half: int = -1

    def encode(self) -> bytes:
        return self.counts.astype("<u4").tobytes() + self.nodes.astype("<u4").tobytes()

    @classmethod
    def decode(cls, body: bytes, *, num_frames: int, half: int = -1) -> Questions:
        """Read what ``encode`` wrote; raises FrameError."""
        if len(body) % 4 or not num_frames * 4 < len(body) <= (num_frames + MAX_QUESTIONS) * 4:
            raise FrameError("questions of error correction are cut short, none, or too many")
        words = np.frombuffer(bytearray(body), dtype="<u4").astype(np.uint32, copy=False)
        counts, nodes = words[:num_frames].copy(), words[num_frames:].copy()
        if int(counts.sum(dtype=np.uint64)) != nodes.size:
            raise FrameError("the questions of error correction are not as many as announced")
        return cls(counts, nodes, half)


class CascadeCorrector:
    """Bob's side: begins passes, asks, and corrects until no parity differs."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        """``key``: packed bits, ``plan.num_frames * plan.frame_bits`` of them. Secret."""
        self._state = _Frames(key, plan)
        self._key = key
        self._pass = -1
        places = plan.frame_bits
        self._num_blocks = np.zeros(cascade.SLOTS, dtype=np.int64)
        self._moved = np.zeros((plan.num_frames, cascade.SLOTS, places // 64), dtype=np.uint64)
        self._nodes = np.zeros((plan.num_frames, cascade.SLOTS, 2 * places), dtype=np.uint8)
        self._queue = np.empty(cascade.SLOTS * places, dtype=np.uint32)
        room = min(plan.num_frames * places // 4, MAX_QUESTIONS)
        self._asked = np.empty(room, dtype=np.uint32)
        self._next = np.empty(room, dtype=np.uint32)
        self._asked_counts = np.zeros(plan.num_frames, dtype=np.uint32)
        self._next_counts = np.zeros(plan.num_frames, dtype=np.uint32)
        self._own_blocks: WordArray = np.empty((0, 0), dtype=np.uint64)
        self._their_halves: WordArray = self._own_blocks
        self._half = -1

    @property
    def num_parities(self) -> int:
        """Parities heard so far: the leak."""
        return self._state.num_parities

    def begin_pass(self) -> int | None:
        """Begin the next pass and return its number, or None when all are done."""
        self._pass += 1
        if self._pass >= NUM_PASSES:
            return None
        self._own_blocks = self._state.begin(self._pass)
        return self._pass

    def hear_parities(self, body: bytes) -> Questions | None:
        """Take Alice's block parities; return the first questions, or None when no block differs."""
        plan = self._state.plan
        count = plan.num_parities(self._pass)
        self._state.note_parities(count)
        blocks = _spread(body, plan.num_frames, count // plan.num_frames)
        if self._pass == HALVES_PASS:
            self._their_halves = blocks
            return self._search_next_half()
        odd = blocks ^ self._own_blocks[:, : blocks.shape[1]]
        if blocks.shape[1] < self._own_blocks.shape[1]:
            last = np.bitwise_xor.reduce(odd, axis=1, keepdims=True)
            odd = np.concatenate((odd, last), axis=1)
        self._num_blocks[self._pass] = odd.shape[1]
        return self._ask(cascade.open_pass(odd, self._pass, self._nodes, self._next, self._next_counts))

    def _search_next_half(self) -> Questions | None:
        """Ask about the first half whose parity differs in some frame, or return None when none does."""
        odd = self._their_halves ^ self._state.half_parities()
        differing = np.nonzero(odd.any(axis=0))[0]
        if differing.size == 0:
            return None
        self._half = int(differing[0])
        self._state.search_half(self._half)
        self._num_blocks[cascade.HALVES] = 1
        self._moved[:, cascade.HALVES] = 0
        self._nodes[np.nonzero(self._nodes[:, cascade.HALVES, 1])[0], cascade.HALVES] = 0
        column = np.ascontiguousarray(odd[:, self._half : self._half + 1])
        return self._ask(cascade.open_pass(column, cascade.HALVES, self._nodes, self._next, self._next_counts))

    def hear_answers(self, body: bytes) -> Questions | None:
        """Take the answers to the last questions; return the next, or None when no parity differs any more."""
        asked = int(self._asked_counts.sum(dtype=np.uint64))
        if len(body) != (asked + 7) // 8:
            raise FrameError(f"{asked} parities were asked for, {len(body)} bytes of answers came")
        self._state.note_parities(asked)
        state = self._state
        questions = self._ask(
            cascade.absorb(
                *(state.frames, state.prefixes, state.orders, state.inverses, self._num_blocks),
                *(state.masks[max(self._half, 0)], self._moved, self._nodes, self._asked[:asked], self._asked_counts),
                np.frombuffer(bytearray(body), dtype=np.uint8),
                *(self._queue, self._next, self._next_counts),
            )
        )
        if questions is None and self._pass == HALVES_PASS:
            return self._search_next_half()
        return questions

    def _ask(self, outcome: int) -> Questions | None:
        if outcome != cascade.DONE:
            raise PeerProtocolError(
                "the parities of error correction contradict each other: answers were altered on the way",
                remedy="look for who alters the classical channel; the block was dropped",
            )
        self._asked, self._next = self._next, self._asked
        self._asked_counts, self._next_counts = self._next_counts, self._asked_counts
        asked = int(self._asked_counts.sum(dtype=np.uint64))
        return Questions(self._asked_counts, self._asked[:asked], self._half) if asked else None

    def corrected(self) -> tuple[bytes, bytes]:
        """Return the corrected key and the map of corrected bits, both packed; forget the rest."""
        after = _joined(self._state.frames, self._state.plan.num_frames)
        before = np.frombuffer(self._key, dtype=np.uint8)
        errors = (before ^ np.frombuffer(after, dtype=np.uint8)).tobytes()
        self.wipe()
        return after, errors

    def wipe(self) -> None:
        """Overwrite what was kept of the key."""
        self._key = b""
        self._state.wipe()


def _stream(packed: bytes) -> WordArray:
    """Return packed bits as words, filled up with zeros."""
    return np.frombuffer(bytearray(packed) + bytes(-len(packed) % 8), dtype="<u8").astype(np.uint64, copy=False)


def _joined(frames: WordArray, num_frames: int) -> bytes:
    """Pack bits that lie side by side, shape (num_groups, n), as one stream of ``n * num_frames`` bits."""
    num_bits = frames.shape[1] * num_frames
    stream = np.zeros((num_bits + 63) // 64, dtype=np.uint64)
    bitarrays.join_frames(np.ascontiguousarray(frames), num_frames, stream)
    return stream.astype("<u8", copy=False).tobytes()[: (num_bits + 7) // 8]


def _spread(body: bytes, num_frames: int, num_places: int) -> WordArray:
    """Undo ``_joined``; raises FrameError on a body of another length."""
    num_bits = num_places * num_frames
    if len(body) != (num_bits + 7) // 8:
        raise FrameError(f"{num_bits} parities were expected, {len(body)} bytes came")
    frames = np.empty((-(-num_frames // bitarrays.LANES), num_places), dtype=np.uint64)
    bitarrays.spread_frames(_stream(body), num_frames, frames)
    return frames
