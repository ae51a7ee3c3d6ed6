"""Winnow as two parties: block parities, and Hamming syndromes of the blocks whose parities differ.

Source: Buttler et al., Phys. Rev. A 67, 052303 (2003); the Methods of Nature 589, 214 (2021), "Error correction and
verification", describe it: sums of pieces, the Hamming code where they differ, a permutation, and again until there is
no error. Two things differ. There, Bob tells the Hamming code; here Alice does and Bob corrects, as in every method of
this room, which tells as many bits. In the source of 2003 a bit is thrown away for each bit told ("privacy
maintenance"). Here none is: told bits are counted and paid by privacy amplification, which takes the same length away
and leaves block sizes free. The syndrome is the extended Hamming code's: all ``2**k`` places of a block are in it.

Bob begins each pass and says with which blocks; its permutation comes from the seed. He plans block sizes by the
expected error rate, and anew after each pass by the share of blocks that differed. When none did, he asks for the
parities of NUM_TESTS random halves of each frame (two errors often share a large block, but half of the halves part
them), and ends when these agree.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.kernels import side_by_side, winnow
from qanat.postprocessing.reconciliation.frames import (
    WordArray,
    check_packed,
    difference,
    join,
    spread,
    spread_key,
    stream_of,
)
from qanat.postprocessing.reconciliation.port import (
    SEED_BYTES,
    Answerer,
    Corrector,
    Disclosed,
    FrameShape,
    Message,
)
from qanat.postprocessing.wire import Kind

METHOD = "winnow"
SMALLEST_LOG_BLOCK = 3
LARGEST_LOG_BLOCK = 12
MAX_PASSES = 64
NUM_TESTS = 16
TEST = 0
"""In place of the logarithm of a block size: a test by random halves."""
MAX_QBER = 0.2
"""Beyond, blocks of 2^3 hardly help."""
MOST_ODD = 0.45
"""Nearer to one half, the share of blocks that differ says little of the error rate."""
WORST_ODD = 0.3
"""A frame of which more blocks differ decides the next blocks alone."""
SPREAD = 4.0
"""Standard deviations by which the worst frame has more errors than the mean."""
ERROR_RATE_AT_END = 1e-12
"""What the plan aims at: 4 Mbit then hold an error once in 250,000 keys, and the clean passes look for it."""


def largest_log_block(shape: FrameShape) -> int:
    """Return the largest blocks of a pass; a sixteenth of a frame, so that two errors seldom share one twice."""
    return max(SMALLEST_LOG_BLOCK, min(LARGEST_LOG_BLOCK, shape.frame_bits.bit_length() - 5))


def error_rate_after(error_rate: float, log_block: int) -> tuple[float, float]:
    """Return the error rate after a pass and the bits told per bit, for errors independent of each other.

    A block with one error loses it; with three it gets a fourth; with an even number it keeps them. A block of more
    odd errors gets or loses one, by whether the place named is wrong.
    """
    size = 1 << log_block
    left, p_odd, p = 0.0, 0.0, (1 - error_rate) ** size
    for errors in range(1, min(size, 40) + 1):
        p *= (size - errors + 1) / errors * error_rate / (1 - error_rate)
        if errors % 2 == 0:
            left += p * errors
            continue
        p_odd += p
        if errors > 1:
            left += p * (errors + (1 if errors == 3 else 1 - 2 * errors / size))
    return left / size, (1 + p_odd * log_block) / size


def plan_blocks(qber: float, *, frame_bits: int, largest: int) -> tuple[int, ...]:
    """Return the base-2 logarithms of the block sizes that tell least until hardly an error is left."""
    rate = min(max(qber, ERROR_RATE_AT_END), MAX_QBER)
    return _plan(round(20 * math.log10(rate)), SMALLEST_LOG_BLOCK, largest, frame_bits)[1]


@functools.lru_cache(maxsize=20_000)
def _plan(log_rate: int, smallest: int, largest: int, frame_bits: int) -> tuple[float, tuple[int, ...]]:
    """Return cost and blocks from an error rate of ``10**(log_rate / 20)`` on, blocks never shrinking."""
    rate = 10 ** (log_rate / 20)
    if rate <= ERROR_RATE_AT_END:
        return 0.0, ()
    best: tuple[float, tuple[int, ...]] = (math.inf, ())
    for log_block in range(smallest, largest + 1):
        after, told = error_rate_after(rate, log_block)
        next_log = math.ceil(20 * math.log10(max(after, ERROR_RATE_AT_END)))
        if next_log >= log_rate or (log_block > smallest and not _helps_worst_frame(rate, log_block, frame_bits)):
            break
        cost, blocks = _plan(next_log, log_block, largest, frame_bits)
        if told + cost < best[0]:
            best = (told + cost, (log_block, *blocks))
    return best


def _helps_worst_frame(error_rate: float, log_block: int, frame_bits: int) -> bool:
    """Whether a pass helps a frame with unusually many errors too; with more than one a block it would add some."""
    errors = error_rate * frame_bits
    worst = min((errors + SPREAD * math.sqrt(errors)) / frame_bits, MAX_QBER)
    return error_rate_after(worst, log_block)[0] < 0.75 * worst


def error_rate_before(p_odd: float, log_block: int) -> float:
    """Return the error rate at which blocks differ with these odds."""
    rate = 0.5 * (1 - math.pow(1 - 2 * min(p_odd, MOST_ODD), 0.5**log_block))
    return min(rate, MAX_QBER)


class _Frames:
    """What both parties keep: their bits side by side, and parities and syndromes of the pass at hand."""

    def __init__(self, key: bytes, shape: FrameShape, seed: bytes) -> None:
        self.shape, self.seed = shape, seed
        self.frames = spread_key(key, shape)
        self.order = np.empty(shape.frame_bits, dtype=np.uint16)
        self.syndromes: WordArray = np.empty((0, 0, 0), dtype=np.uint64)
        self.told_bits = 0

    def begin(self, number: int, log_block: int) -> WordArray:
        """Compute a pass's syndromes; return its block parities, uint64, shape (num_groups, num_blocks)."""
        drawn = hashlib.shake_256(self.seed + number.to_bytes(2, "big")).digest(8)
        side_by_side.shuffle(np.uint64(int.from_bytes(drawn, "little")), self.order)
        num_blocks = self.shape.frame_bits >> log_block
        self.syndromes = np.empty((self.frames.shape[0], num_blocks, log_block + 1), dtype=np.uint64)
        winnow.block_syndromes(self.frames, self.order, log_block, self.syndromes)
        return np.ascontiguousarray(self.syndromes[:, :, log_block])

    def test(self, number: int) -> WordArray:
        """Return the parities of a test's random halves, uint64, shape (num_groups, NUM_TESTS)."""
        num_words = self.shape.frame_bits // 64
        drawn = hashlib.shake_256(self.seed + number.to_bytes(2, "big")).digest(8 * NUM_TESTS * num_words)
        parities = np.empty((self.frames.shape[0], NUM_TESTS), dtype=np.uint64)
        side_by_side.masked_parities(self.frames, stream_of(drawn).reshape(NUM_TESTS, num_words), parities)
        return parities

    @property
    def disclosed(self) -> Disclosed:
        """Bob's messages follow from hers and from his own parities and syndromes of the same blocks: as many bits."""
        return Disclosed(told_bits=self.told_bits, reply_bits=self.told_bits)

    def note(self, num_bits: int) -> None:
        self.told_bits += num_bits
        self.disclosed.check(self.shape)

    def wipe(self) -> None:
        self.frames.fill(0)
        self.syndromes.fill(0)


class _Alice:
    """``port.Answerer``."""

    def __init__(self, key: bytes, shape: FrameShape) -> None:
        self._key, self._shape = key, shape
        self._state: _Frames | None = None
        self._num_passes = self._log_block = 0
        self._may_ask = False

    @property
    def expects(self) -> frozenset[Kind]:
        if self._state is None:
            return frozenset({Kind.RECONCILE})
        return frozenset({Kind.PASS, Kind.CORRECTED} | ({Kind.QUESTIONS} if self._may_ask else set()))

    @property
    def disclosed(self) -> Disclosed:
        return Disclosed() if self._state is None else self._state.disclosed

    def receive(self, message: Message, /) -> Sequence[Message]:
        if self._state is None:
            self._state = _Frames(self._key, self._shape, _read_seed(message))
            self._key = b""
            return []
        if message.kind == Kind.PASS:
            message.check_header("log_block", "pass")
            message.check_body(0)
            return [Message(Kind.PARITIES, body=self._parities(self._state, message))]
        return [Message(Kind.ANSWERS, body=self._syndromes(self._state, message))]

    def _parities(self, state: _Frames, message: Message) -> bytes:
        log_block = message.integer("log_block", low=0, high=largest_log_block(self._shape))
        if TEST < log_block < SMALLEST_LOG_BLOCK:
            raise FrameError(f"blocks of 2^{log_block} bits are too small")
        self._log_block = log_block
        number = message.integer("pass", low=0, high=MAX_PASSES - 1)
        if number != self._num_passes:
            raise PeerProtocolError(f"pass {number} of error correction was begun, pass {self._num_passes} is next")
        self._num_passes += 1
        self._may_ask = log_block != TEST
        parities = state.test(number) if log_block == TEST else state.begin(number, log_block)
        state.note(self._shape.num_frames * parities.shape[1])
        return join(parities, self._shape.num_frames)

    def _syndromes(self, state: _Frames, message: Message) -> bytes:
        message.check_header()
        self._may_ask = False
        chosen = spread(message.body, self._shape.num_frames, state.syndromes.shape[1])
        num_bits = winnow.count_ones(chosen) * self._log_block
        if not num_bits:
            raise FrameError("error correction asked for no syndrome")
        state.note(num_bits)
        picked = np.zeros((num_bits + 7) // 8, dtype=np.uint8)
        winnow.pick_syndromes(state.syndromes, chosen, picked)
        return picked.tobytes()

    def wipe(self) -> None:
        self._key = b""
        if self._state is not None:
            self._state.wipe()


class _Bob:
    """``port.Corrector``."""

    def __init__(self, key: bytes, shape: FrameShape, *, qber: float, seed: bytes) -> None:
        self._key, self._shape = key, shape
        self._state = _Frames(key, shape, seed)
        self._largest = largest_log_block(shape)
        self._rate = qber
        """Expected error rate as the bits are now."""
        self._num_passes = self._log_block = 0
        self._own = self._differing = np.empty((0, 0), dtype=np.uint64)
        self._expected: frozenset[Kind] = frozenset()

    @property
    def expects(self) -> frozenset[Kind]:
        return self._expected

    @property
    def disclosed(self) -> Disclosed:
        return self._state.disclosed

    def start(self) -> Sequence[Message]:
        return [Message(Kind.RECONCILE, {"method": METHOD}, self._state.seed), *self._begin(self._choose_block())]

    def _choose_block(self) -> int:
        blocks = plan_blocks(self._rate, frame_bits=self._shape.frame_bits, largest=self._largest)
        return next(iter(blocks), self._largest)

    def _begin(self, log_block: int) -> Sequence[Message]:
        number = self._num_passes
        if number == MAX_PASSES:
            raise PeerProtocolError(f"errors are left after {MAX_PASSES} passes of error correction")
        self._num_passes += 1
        self._log_block = log_block
        self._own = self._state.test(number) if log_block == TEST else self._state.begin(number, log_block)
        self._expected = frozenset({Kind.PARITIES})
        return [Message(Kind.PASS, {"log_block": self._log_block, "pass": number})]

    def receive(self, message: Message, /) -> Sequence[Message]:
        message.check_header()
        if message.kind == Kind.PARITIES:
            return self._hear_parities(message.body)
        return self._hear_syndromes(message.body)

    def _hear_parities(self, body: bytes) -> Sequence[Message]:
        num_blocks = self._own.shape[1]
        self._state.note(self._shape.num_frames * num_blocks)
        self._differing = spread(body, self._shape.num_frames, num_blocks) ^ self._own
        if self._log_block == TEST:
            return self._begin(self._choose_block()) if self._differing.any() else self._end()
        body = join(self._differing, self._shape.num_frames)
        self._rate = self._rate_after_pass(body)
        if not any(body):
            return self._begin(TEST)
        self._expected = frozenset({Kind.ANSWERS})
        return [Message(Kind.QUESTIONS, body=body)]

    def _end(self) -> Sequence[Message]:
        self._expected = frozenset()
        return []

    def _rate_after_pass(self, differing: bytes) -> float:
        """Return the error rate to expect after this pass, by the blocks that differ."""
        num_blocks, num_frames = self._own.shape[1], self._shape.num_frames
        bits = np.unpackbits(np.frombuffer(differing, np.uint8), count=num_blocks * num_frames, bitorder="little")
        by_frame = bits.reshape(num_blocks, num_frames).sum(axis=0)
        p_odd, p_worst = (by_frame.sum() + 1) / bits.size, by_frame.max() / num_blocks
        if p_worst > WORST_ODD:
            p_odd = max(p_odd, p_worst)
        return error_rate_after(error_rate_before(float(p_odd), self._log_block), self._log_block)[0]

    def _hear_syndromes(self, body: bytes) -> Sequence[Message]:
        state = self._state
        num_bits = winnow.count_ones(self._differing) * self._log_block
        check_packed(body, num_bits)
        state.note(num_bits)
        picked: NDArray[np.uint8] = np.frombuffer(body, dtype=np.uint8)
        winnow.correct(state.frames, state.order, state.syndromes, self._differing, picked)
        return self._begin(self._choose_block())

    def corrected(self) -> tuple[bytes, bytes]:
        after = join(self._state.frames, self._shape.num_frames)
        errors = difference(self._key, after)
        self.wipe()
        return after, errors

    def wipe(self) -> None:
        self._key = b""
        self._state.wipe()


def _read_seed(message: Message) -> bytes:
    message.check_header("method")
    if message.header["method"] != METHOD:
        raise FrameError(f"the other party corrects errors by {message.header['method']!r}, not by {METHOD}")
    message.check_body(SEED_BYTES)
    return message.body


@dataclass(frozen=True, slots=True)
class Winnow:
    """``port.Method``."""

    def answerer(self, key: bytes, shape: FrameShape, /) -> Answerer:
        return _Alice(key, shape)

    def corrector(self, key: bytes, shape: FrameShape, /, *, qber: float, seed: bytes) -> Corrector:
        return _Bob(key, shape, qber=qber, seed=seed)
