"""Cascade as two parties: Alice answers questions about parities, Bob asks and corrects.

All frames of a key go through the same pass at the same time, and every round trip carries the questions of all of
them. Three passes have a permutation and blocks of k1, 2 or 4 k1, and 4,096 bits. A last one
compares the parities of NUM_HALVES random halves of each frame; a frame with errors left passes each with odds of one
half.

f_EC and round trips, from 0.3 to 6 % of errors: 1.05 to 1.08 and 110 to 200 with 64 frames of 2^16 bits; 1.06 to 1.10
and 40 to 110 with four.

Source: block sizes after Martinez-Mateo, Pacher, Peev, Ciurana, Martin, Quantum Inf. Comput. 15, 453 (2015), whose
best variant has k1 = 2^ceil(log2(1/Q) - 1/2) and a second pass of some 2^9; ours are smaller because every odd block is
searched at the same time: more leak, and a third of the round trips or fewer.

**Leak.** Each parity of Alice's is one bit. Bob's questions tell where errors are: they follow from Alice's parities
and the positions of errors, which the proof grants the eavesdropper (Tupkary, Luetkenhaus, arXiv:2307.00576), and so
does the exact number of errors.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.kernels import bitarrays, cascade, parity_trees

WordArray = NDArray[np.uint64]
IndexArray = NDArray[np.uint32]

NUM_PERMUTED_PASSES = cascade.HALVES
HALVES_PASS = NUM_PERMUTED_PASSES
NUM_PASSES = NUM_PERMUTED_PASSES + 1
NUM_HALVES = 20
"""A frame in fifty has an error left by then, and passes with odds of 2^-20: keys of 64 frames fail once in 10^6."""
SEED_BYTES = 32
MIN_QBER = 1e-4
"""Below this the blocks grow no further."""
LARGEST_LOG_BLOCK = 12
MOST_ERRORS = 1.25
"""Errors that a block of the first pass has at most, on average. Twice as many double the round trips and save nothing;
half as many cost up to a tenth of the leak."""
ROOMY_ERRORS = 0.85
"""With fewer than so many, and frames enough, blocks of the second pass are four times as long and not twice."""
FEW_FRAMES = 8
"""With at most so many frames a message carries so little that round trips cost more than a percent or two of leak."""
LOOK_AHEAD = (4, 1)
"""Searches left per frame, FEW_FRAMES counted at most, at or below which one level more is asked about at once."""
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
        return self.num_frames * (self.num_blocks(number) - (number > 0))

    def num_blocks(self, number: int) -> int:
        """Return how many blocks a frame has in a permuted pass."""
        return self.frame_bits >> self.log_blocks[number]

    def words(self, number: int, count: int) -> list[int]:
        """Return public random words of a pass, 64 bits each: SHAKE-256 of seed and number."""
        drawn = hashlib.shake_256(self.seed + number.to_bytes(2, "big")).digest(8 * count)
        return [int.from_bytes(drawn[at : at + 8], "little") for at in range(0, 8 * count, 8)]

    def factors(self, number: int) -> list[int]:
        """Return the odd numbers that make the order of a permuted pass."""
        return [word % self.frame_bits | 1 for word in self.words(number, parity_trees.ROUNDS)]

    def halves(self) -> WordArray:
        """Return which places the random halves compare: uint64, shape (NUM_HALVES, frame_bits / 64)."""
        masks = np.empty((NUM_HALVES, self.frame_bits // 64), dtype=np.uint64)
        parity_trees.random_words(np.uint64(self.words(HALVES_PASS, 1)[0]), masks.reshape(-1))
        return masks


def choose_log_blocks(qber: float, *, frame_bits: int, num_frames: int = FEW_FRAMES + 1) -> tuple[int, int, int]:
    """Return the base-2 logarithms of the block sizes for an expected error rate."""
    expected = max(qber, MIN_QBER)
    largest = min(LARGEST_LOG_BLOCK, frame_bits.bit_length() - 2)
    first = max(1, math.floor(math.log2(MOST_ERRORS / expected)))
    is_roomy = num_frames > FEW_FRAMES and expected * 2**first < ROOMY_ERRORS
    second = first + (2 if is_roomy else 1)
    return min(first, largest), min(second, largest), largest


class _Frames:
    """What both parties keep: their bits side by side, and how to permute them."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        self.plan = plan
        places = plan.frame_bits
        num_groups = -(-plan.num_frames // bitarrays.LANES)
        self.lanes = np.empty((num_groups, places), dtype=np.uint8)
        self.factors = np.zeros((NUM_PERMUTED_PASSES, parity_trees.ROUNDS), dtype=np.int64)
        self.inverses = np.zeros_like(self.factors)
        self.halves = plan.halves()
        self.num_parities = 0
        """Parities told or heard so far."""
        bitarrays.spread_frames(_stream(key), plan.num_frames, self.lanes)

    def gather(self, number: int) -> NDArray[np.uint8]:
        """Return the frames in the order of a pass as they are now: uint8, packed, shape (num_frames, n / 8)."""
        leaves = np.empty((self.plan.num_frames, self.plan.frame_bits // 8), dtype=np.uint8)
        if number == HALVES_PASS:
            parity_trees.set_apart(self.lanes, leaves)
            return leaves
        factors = self.plan.factors(number)
        self.factors[number], self.inverses[number] = factors, [pow(f, -1, self.plan.frame_bits) for f in factors]
        parity_trees.gather(self.lanes, self.factors[number], leaves)
        return leaves

    def note_parities(self, count: int) -> None:
        """Count parities; raises PeerProtocolError when more were told than the key has bits."""
        self.num_parities += count
        if self.num_parities > self.plan.num_frames * self.plan.frame_bits:
            raise PeerProtocolError("error correction told more than the key holds, and has not ended")

    def wipe(self) -> None:
        """Overwrite the key."""
        self.lanes.fill(0)


class CascadeAnswerer:
    """Alice's side: she tells parities of her bits and changes none."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        """``key``: packed bits, ``plan.num_frames * plan.frame_bits`` of them. Secret."""
        self._state = _Frames(key, plan)
        self._trees = np.empty((plan.num_frames, cascade.SLOTS, plan.frame_bits // 32), dtype=np.uint64)
        self._leaves: WordArray = self._trees[:, cascade.HALVES, plan.frame_bits // 64 :]
        self._next_pass = 0
        self._half = -1
        self._is_wiped = False
        self._has_half = np.zeros(plan.num_frames, dtype=np.bool_)

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
        told = _zeros(count)
        if number == HALVES_PASS:
            self._leaves = self._state.gather(number).view(np.uint64)
            parity_trees.half_parities(self._leaves, self._state.halves, told)
        else:
            self._trees[:, number, plan.frame_bits // 64 :] = self._state.gather(number).view(np.uint64)
            parity_trees.grow_all(self._trees, number)
            parity_trees.block_parities(self._trees, number, plan.num_blocks(number), count // plan.num_frames, told)
        self._state.note_parities(count)
        return _bytes_of(told, count)

    def answer(self, questions: Questions) -> bytes:
        """Return the packed answers; raises PeerProtocolError on questions that no pass so far allows, or that
        are not as many as they say."""
        has_half = questions.half >= 0 and self._next_pass == NUM_PASSES
        if has_half:
            self._prepare(questions)
        count = questions.nodes.size
        self._state.note_parities(count)
        answers = np.zeros((count + 7) // 8, dtype=np.uint8)
        arguments = (self._trees, self._next_pass, has_half, questions.nodes, questions.counts, answers)
        if not cascade.answer(*arguments):
            raise PeerProtocolError("a parity was asked for that no pass has, or fewer or more than announced")
        return answers.tobytes()

    def _prepare(self, questions: Questions) -> None:
        """Sum up the half that is asked about in the frames that are."""
        if questions.half != self._half:
            self._half = questions.half
            self._has_half[:] = False
        for frame in np.nonzero((questions.counts > 0) & ~self._has_half)[0]:
            mask = self._state.halves[self._half]
            parity_trees.grow_half(self._leaves[frame], mask, self._trees[frame, cascade.HALVES])
            self._has_half[frame] = True

    def wipe(self) -> None:
        """Overwrite what was kept of the key; once."""
        if self._is_wiped:
            return
        self._is_wiped = True
        self._state.wipe()
        self._trees.fill(0)
        self._leaves = self._trees[:, cascade.HALVES, self._state.plan.frame_bits // 64 :]


class Questions(NamedTuple):
    """Nodes of which the parity of the left half is wanted, by frame.

    counts: uint32, shape (num_frames,): how many each frame has. nodes: uint32, shape (sum of counts,).
    half: which random half the nodes of slot HALVES are about, -1 before that pass.
    """

    counts: IndexArray
    nodes: IndexArray
    half: int = -1

    def encode(self) -> bytes:
        return self.counts.tobytes() + self.nodes.tobytes()

    @classmethod
    def decode(cls, body: bytes, *, num_frames: int, half: int = -1) -> Questions:
        """Read what ``encode`` wrote, bounded in length but not checked further; raises FrameError."""
        if len(body) % 4 or not num_frames * 4 < len(body) <= (num_frames + MAX_QUESTIONS) * 4:
            raise FrameError("questions of error correction are cut short, none, or too many")
        words = np.frombuffer(body, dtype=np.uint32)
        return cls(words[:num_frames], words[num_frames:], half)


class CascadeCorrector:
    """Bob's side: begins passes, asks, and corrects until no parity differs."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        """``key``: packed bits, ``plan.num_frames * plan.frame_bits`` of them. Secret."""
        self._state = _Frames(key, plan)
        self._key = key
        self._pass = -1
        places = plan.frame_bits
        self._num_blocks = np.zeros(cascade.SLOTS, dtype=np.int64)
        self._tree = np.empty((plan.num_frames, 1, places // 32), dtype=np.uint64)
        self._states = np.empty((plan.num_frames, cascade.SLOTS, places // 8), dtype=np.uint64)
        self._queue = np.empty(cascade.SLOTS * places, dtype=np.uint32)
        room = min(plan.num_frames * places // 4, MAX_QUESTIONS)
        self._asked, self._next, self._more = (np.empty(room, dtype=np.uint32) for _ in range(3))
        self._asked_counts, self._next_counts, self._more_counts = (
            np.zeros(plan.num_frames, dtype=np.uint32) for _ in range(3)
        )
        self._num_asked = 0
        self._their_halves: WordArray = np.empty(0, dtype=np.uint64)
        self._half = -1
        self._is_wiped = False
        self._look_ahead = [limit * min(plan.num_frames, FEW_FRAMES) for limit in LOOK_AHEAD]

    @property
    def num_parities(self) -> int:
        """Parities heard so far: the leak."""
        return self._state.num_parities

    def begin_pass(self) -> int | None:
        """Begin the next pass and return its number, or None when all are done."""
        self._pass += 1
        if self._pass >= NUM_PASSES:
            return None
        if self._pass < HALVES_PASS:
            self._tree[:, 0, self._tree.shape[2] // 2 :] = self._state.gather(self._pass).view(np.uint64)
            parity_trees.grow_all(self._tree, 0)
            cascade.note_all(self._tree[:, 0], self._pass, self._states)
        return self._pass

    def hear_parities(self, body: bytes) -> Questions | None:
        """Take Alice's block parities; return the first questions, or None when no block differs."""
        plan = self._state.plan
        count = plan.num_parities(self._pass)
        self._state.note_parities(count)
        if len(body) != (count + 7) // 8:
            raise FrameError(f"{count} parities were expected, {len(body)} bytes came")
        theirs = _stream(body)
        if self._pass == HALVES_PASS:
            self._their_halves = theirs
            return self._search_next_half()
        num_blocks = plan.num_blocks(self._pass)
        self._num_blocks[self._pass] = num_blocks
        arguments = (theirs, count // plan.num_frames, self._pass, num_blocks, self._states)
        return self._ask(cascade.open_pass(*arguments, self._next, self._next_counts))

    def _search_next_half(self) -> Questions | None:
        """Ask about the first half whose parity differs in some frame, or return None when none does."""
        plan, halves = self._state.plan, self._state.halves
        leaves = self._state.gather(cascade.HALVES).view(np.uint64)
        ours = _zeros(plan.num_parities(HALVES_PASS))
        parity_trees.half_parities(leaves, halves, ours)
        differing = (ours ^ self._their_halves[: ours.size]).view(np.uint8)
        bits = np.unpackbits(differing, count=plan.num_parities(HALVES_PASS), bitorder="little")
        odd = bits.reshape(plan.num_frames, NUM_HALVES)
        if not odd.any():
            return None
        self._half = int(np.nonzero(odd.any(axis=0))[0][0])
        self._num_blocks[cascade.HALVES] = 1
        frames = np.nonzero(odd[:, self._half])[0]
        for frame in frames:
            parity_trees.grow_half(leaves[frame], halves[self._half], self._tree[frame, 0])
            cascade.note_own(self._tree[frame, 0], self._states[frame, cascade.HALVES])
        return self._ask(cascade.open_half(self._states, frames, self._next, self._next_counts))

    def hear_answers(self, body: bytes) -> Questions | None:
        """Take the answers to the last questions; return the next, or None when no parity differs any more."""
        asked = self._num_asked
        if len(body) != (asked + 7) // 8:
            raise FrameError(f"{asked} parities were asked for, {len(body)} bytes of answers came")
        self._state.note_parities(asked)
        state = self._state
        questions = self._ask(
            cascade.absorb(
                *(state.lanes, state.factors, state.inverses, self._num_blocks),
                *(state.halves[max(self._half, 0)], self._states, self._asked, self._asked_counts),
                np.frombuffer(body, dtype=np.uint8),
                *(self._queue, self._next, self._next_counts),
            )
        )
        if questions is None and self._pass == HALVES_PASS:
            return self._search_next_half()
        return questions

    def _ask(self, outcome: int) -> Questions | None:
        """Turn what a kernel found to ask, or what it says went wrong, into questions."""
        depth = self._depth(outcome)
        if outcome > 0 and depth > 1:
            arguments = (self._next, self._next_counts, depth, self._state.plan.frame_bits)
            outcome = cascade.look_ahead(*arguments, self._more, self._more_counts)
            self._next, self._more = self._more, self._next
            self._next_counts, self._more_counts = self._more_counts, self._next_counts
        if outcome < 0:
            raise PeerProtocolError(
                "the parities of error correction contradict each other: answers were altered on the way",
                remedy="look for who alters the classical channel; the block was dropped",
            )
        self._asked, self._next = self._next, self._asked
        self._asked_counts, self._next_counts = self._next_counts, self._asked_counts
        self._num_asked = outcome
        return Questions(self._asked_counts, self._asked[:outcome], self._half) if outcome else None

    def _depth(self, num_questions: int) -> int:
        """Return how many levels of the trees to ask about at once: more than one when few searches are left."""
        depth = 1
        for limit in self._look_ahead:
            depth += num_questions <= limit
        return depth

    def corrected(self) -> tuple[bytes, bytes]:
        """Return the corrected key and the map of corrected bits, both packed; forget the rest."""
        plan = self._state.plan
        num_bits = plan.num_frames * plan.frame_bits
        stream = _zeros(num_bits)
        bitarrays.join_frames(self._state.lanes, plan.num_frames, stream)
        after = _bytes_of(stream, num_bits)
        errors = np.bitwise_xor(np.frombuffer(self._key, np.uint8), np.frombuffer(after, np.uint8)).tobytes()
        self.wipe()
        return after, errors

    def wipe(self) -> None:
        """Overwrite what was kept of the key; once."""
        if self._is_wiped:
            return
        self._is_wiped, self._key = True, b""
        self._state.wipe()
        self._tree.fill(0)
        self._states[:, : cascade.SLOTS if self._half >= 0 else cascade.HALVES].fill(0)


def _zeros(num_bits: int) -> WordArray:
    """Return so many bits and a spare word, all zero."""
    return np.zeros((num_bits + 63) // 64 + 1, dtype=np.uint64)


def _stream(packed: bytes) -> WordArray:
    """Return packed bits as words, filled up with zeros, and a spare word."""
    stream = _zeros(8 * len(packed))
    stream.view(np.uint8)[: len(packed)] = np.frombuffer(packed, dtype=np.uint8)
    return stream


def _bytes_of(stream: WordArray, num_bits: int) -> bytes:
    """Return the bits of a stream, packed."""
    return stream.view(np.uint8)[: (num_bits + 7) // 8].tobytes()
