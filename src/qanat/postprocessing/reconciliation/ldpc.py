"""One-way error correction by sparse codes, with more told only when a frame asks for it.

Alice tells the syndrome of every frame in one message; Bob decodes the difference to his own. That is one trip, so it
suits satellites and long delays. A frame that does not decode asks for more: a *level* splits some more rows of its
code (``ldpc_codes``), and the last level tells the frame whole, so that it always ends. This is the blind protocol
(Martinez-Mateo, Elkouss, Martin, Quantum Inf. Comput. 12, 791, 2012) with rows split in place of punctured bits
revealed. Every bit of every level counts as told.

Where errors are few a frame has few checks, and a code of few checks is a poor one. So there Bob lets up to eight
frames be corrected as one (JOINED_BELOW), which is decoded as a frame of the code and told of as one.

A decoder may find another error pattern with the same checks (short frames have codewords of few ones). So Alice tells
NUM_TESTS parities of random halves of each frame as well, and a pattern that does not fit them counts as none.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.ground.errors import FrameError, PeerProtocolError
from qanat.ground.events import Json
from qanat.kernels import ldpc
from qanat.postprocessing.reconciliation.frames import (
    WordArray,
    check_packed,
    difference,
    join,
    spread_key,
    stream_of,
)
from qanat.postprocessing.reconciliation.ldpc_codes import MIN_ROWS, Code, draw_code
from qanat.postprocessing.reconciliation.port import SEED_BYTES, Answerer, Corrector, Disclosed, FrameShape, Message
from qanat.postprocessing.wire import Kind
from qanat.protocols.entropy import binary_entropy

METHOD = "ldpc"
WORD_BITS = 64
MIN_QBER: Final = 1e-4
BASE_EFFICIENCY: Final = 1.13
FLUCTUATION_SHARE: Final = 1.28
"""The first message holds ``(BASE_EFFICIENCY + FLUCTUATION_SHARE / sqrt(errors)) n h(Q)`` bits: a frame of n bits has
``errors = n Q`` of them and some sqrt of that more or less. Chosen by trial: most frames decode at once."""
SPLIT_SHARES: Final = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6, 1.0)
"""Share of the rows that is split at each level; one more level tells the frame whole."""
WHOLE_LEVEL: Final = len(SPLIT_SHARES)
MOST_ROUNDS: Final = 35
JOINED_BELOW: Final = ((0.0035, 8), (0.008, 4))
"""Below which error rate how many frames may be corrected as one."""
JOINED: Final = (8, 4, 2, 1)
LEAST_JOINED: Final = 4
NUM_TESTS: Final = 16


def choose_num_rows(qber: float, *, frame_bits: int) -> int:
    """Return the rows of the first message for an expected error rate."""
    expected = min(max(qber, MIN_QBER), 0.25)
    efficiency = BASE_EFFICIENCY + FLUCTUATION_SHARE / math.sqrt(frame_bits * expected)
    num_columns = frame_bits // WORD_BITS
    rows = math.ceil(efficiency * binary_entropy(expected) * num_columns)
    return min(max(rows, MIN_ROWS), num_columns // 2)


def choose_joined(qber: float, shape: FrameShape) -> int:
    """Return how many frames of a key are corrected as one for an expected error rate: 1, 2, 4 or 8, a divisor of all.

    LEAST_JOINED frames or more are left: the error rate of a short key is known so badly that many frames may not
    decode, and each that is told whole must be a small part of the key.
    """
    wished = next((joined for below, joined in JOINED_BELOW if qber < below), 1)
    most = max(1, min(wished, shape.num_frames // LEAST_JOINED))
    return next(joined for joined in JOINED if joined <= most and shape.num_frames % joined == 0)


def num_split(level: int, num_rows: int) -> int:
    """Return how many rows are split at a level: at least one more at each."""
    return min(num_rows, max(level, round(SPLIT_SHARES[level] * num_rows)))


def joined_shape(shape: FrameShape, joined: int) -> FrameShape:
    """Return how a key is cut whose frames are joined."""
    return FrameShape(shape.num_frames // joined, shape.frame_bits * joined)


class _Frames:
    """What both parties keep: words of each frame and the code; which frames are open, at which level."""

    def __init__(self, key: bytes, whole: FrameShape, num_rows: int, joined: int, seed: bytes) -> None:
        """``whole``: how the key is cut; ``joined``: how many of its frames are one frame of the code."""
        self._whole = whole
        self.shape = shape = joined_shape(whole, joined)
        self.code: Code = draw_code(shape.frame_bits // WORD_BITS, num_rows)
        words = np.empty((whole.num_frames, whole.frame_bits // WORD_BITS), dtype=np.uint64)
        ldpc.split_frames(spread_key(key, whole), words)
        self.frames = words.reshape(shape.num_frames, self.code.num_columns)
        self.halves = np.empty((shape.num_frames, 2 * num_rows), dtype=np.uint64)
        """Checks of half rows, by frame."""
        drawn = hashlib.shake_256(seed).digest(8 * NUM_TESTS * self.code.num_columns)
        self.masks = stream_of(drawn).reshape(NUM_TESTS, self.code.num_columns)
        self.tests = np.empty(shape.num_frames, dtype=np.uint16)
        """Parities of random halves, by frame."""
        for frame in range(shape.num_frames):
            self._compute(frame)
        self.open = np.ones(shape.num_frames, dtype=np.bool_)
        self.level = 0
        self._told_bits = self._reply_bits = 0

    def _compute(self, frame: int) -> None:
        code = self.code
        self.tests[frame] = ldpc.masked_parities(self.frames[frame], self.masks)
        ldpc.syndrome(self.frames[frame], code.half_starts, code.columns, code.turns, self.halves[frame])

    @property
    def whole_rows(self) -> WordArray:
        """Checks of whole rows, shape (num_frames, num_rows)."""
        rows: WordArray = self.halves[:, ::2] ^ self.halves[:, 1::2]
        return rows

    @property
    def words_per_frame(self) -> int:
        """Words that a level tells of each open frame."""
        if self.level == 0:
            return self.code.num_rows
        if self.level == WHOLE_LEVEL:
            return self.code.num_columns
        return num_split(self.level, self.code.num_rows) - num_split(self.level - 1, self.code.num_rows)

    def note_told(self) -> None:
        """Count a level. A reply says of each open frame whether it is corrected: one bit."""
        num_open = int(self.open.sum())
        self._told_bits += num_open * (self.words_per_frame * WORD_BITS + (NUM_TESTS if self.level == 0 else 0))
        self._reply_bits += num_open
        self.disclosed.check(self.shape)

    @property
    def disclosed(self) -> Disclosed:
        return Disclosed(told_bits=self._told_bits, reply_bits=self._reply_bits)

    def key(self) -> bytes:
        """Return the key as it is now, packed."""
        whole = self._whole
        spread = np.empty((-(-whole.num_frames // WORD_BITS), whole.frame_bits), dtype=np.uint64)
        ldpc.merge_frames(self.frames.reshape(whole.num_frames, -1), spread)
        return join(spread, whole.num_frames)

    def wipe(self) -> None:
        self.frames.fill(0)
        self.halves.fill(0)
        self.tests.fill(0)


class _Alice:
    """``port.Answerer``."""

    def __init__(self, key: bytes, shape: FrameShape) -> None:
        self._key, self._shape = key, shape
        self._state: _Frames | None = None

    @property
    def expects(self) -> frozenset[Kind]:
        return frozenset({Kind.RECONCILE} if self._state is None else {Kind.QUESTIONS, Kind.CORRECTED})

    @property
    def disclosed(self) -> Disclosed:
        return Disclosed() if self._state is None else self._state.disclosed

    def receive(self, message: Message, /) -> Sequence[Message]:
        if self._state is None:
            return [Message(Kind.PARITIES, body=self._begin(message))]
        return [Message(Kind.ANSWERS, body=self._tell_more(self._state, message))]

    def _begin(self, message: Message) -> bytes:
        message.check_header("joined", "method", "rows")
        if message.header["method"] != METHOD:
            raise FrameError(f"the other party corrects errors by {message.header['method']!r}, not by {METHOD}")
        message.check_body(SEED_BYTES)
        joined = message.integer("joined", low=1, high=max(JOINED))
        if joined not in JOINED or self._shape.num_frames % joined:
            raise FrameError(f"{self._shape.num_frames} frames cannot be joined by {joined}")
        most = joined_shape(self._shape, joined).frame_bits // WORD_BITS // 2
        rows = message.integer("rows", low=MIN_ROWS, high=most)
        self._state = _Frames(self._key, self._shape, rows, joined, message.body)
        self._key = b""
        self._state.note_told()
        return _encode(self._state.whole_rows) + self._state.tests.astype("<u2").tobytes()

    def _tell_more(self, state: _Frames, message: Message) -> bytes:
        message.check_header("level")
        if state.level == WHOLE_LEVEL:
            raise PeerProtocolError("more was asked for than the whole frames")
        state.level = message.integer("level", low=state.level + 1, high=state.level + 1)
        asked = _read_open(message.body, state.shape.num_frames)
        if not asked.any() or (asked & ~state.open).any():
            raise FrameError("error correction asked for no frame, or for one that was corrected already")
        state.open = asked
        state.note_told()
        if state.level == WHOLE_LEVEL:
            return _encode(state.frames[asked])
        first, stop = (num_split(level, state.code.num_rows) for level in (state.level - 1, state.level))
        return _encode(state.halves[asked, 2 * first : 2 * stop : 2])

    def wipe(self) -> None:
        self._key = b""
        if self._state is not None:
            self._state.wipe()


class _Bob:
    """``port.Corrector``."""

    def __init__(self, key: bytes, shape: FrameShape, *, qber: float, seed: bytes) -> None:
        self._key, self._seed = key, seed
        self._joined = choose_joined(qber, shape)
        rows = choose_num_rows(qber, frame_bits=shape.frame_bits * self._joined)
        self._state = _Frames(key, shape, rows, self._joined, seed)
        expected = min(max(qber, MIN_QBER), 0.25)
        self._belief = np.float32(math.log2((1 - expected) / expected))
        self._rows = np.zeros((self._state.shape.num_frames, self._state.code.num_rows), dtype=np.uint64)
        self._first_halves = np.zeros_like(self._rows)
        self._tests = np.zeros_like(self._state.tests)
        self._expected = frozenset({Kind.PARITIES})
        self._decoder = _Decoder(self._state.code)

    @property
    def expects(self) -> frozenset[Kind]:
        return self._expected

    @property
    def disclosed(self) -> Disclosed:
        return self._state.disclosed

    def start(self) -> Sequence[Message]:
        header: dict[str, Json] = {"joined": self._joined, "method": METHOD, "rows": self._state.code.num_rows}
        return [Message(Kind.RECONCILE, header, self._seed)]

    def receive(self, message: Message, /) -> Sequence[Message]:
        message.check_header()
        state = self._state
        body = self._take_tests(message.body) if state.level == 0 else message.body
        told = _decode(body, int(state.open.sum()), state.words_per_frame)
        state.note_told()
        if state.level == WHOLE_LEVEL:
            state.frames[state.open] = told
            state.open[:] = False
        else:
            self._take(told)
            self._correct_open()
        return self._ask()

    def _take_tests(self, body: bytes) -> bytes:
        """Keep the parities at a body's end, as differences to his own; return what is before them."""
        num_bytes = 2 * self._state.shape.num_frames
        at = max(0, len(body) - num_bytes)
        tests = body[at:]
        if len(tests) != num_bytes:
            raise FrameError("the parities of random halves are missing")
        self._tests[:] = np.frombuffer(tests, dtype="<u2") ^ self._state.tests
        return body[:at]

    def _take(self, told: WordArray) -> None:
        """Keep what Alice told of her checks, as differences to his own."""
        state = self._state
        if state.level == 0:
            self._rows[:] = told ^ state.whole_rows
            return
        first, stop = (num_split(level, state.code.num_rows) for level in (state.level - 1, state.level))
        self._first_halves[state.open, first:stop] = told ^ state.halves[state.open, 2 * first : 2 * stop : 2]

    def _correct_open(self) -> None:
        state = self._state
        count = num_split(state.level, state.code.num_rows)
        starts = state.code.starts(count)
        for frame in np.nonzero(state.open)[0]:
            first, rows = self._first_halves[frame, :count], self._rows[frame]
            split = np.stack((first, first ^ rows[:count]), axis=1).ravel()
            errors = self._decoder.decode(np.concatenate((split, rows[count:])), starts, self._belief)
            if errors is not None and ldpc.masked_parities(errors, state.masks) == self._tests[frame]:
                state.frames[frame] ^= errors
                state.open[frame] = False

    def _ask(self) -> Sequence[Message]:
        state = self._state
        if not state.open.any():
            self._expected = frozenset()
            return []
        state.level += 1
        self._expected = frozenset({Kind.ANSWERS})
        return [Message(Kind.QUESTIONS, {"level": state.level}, np.packbits(state.open, bitorder="little").tobytes())]

    def corrected(self) -> tuple[bytes, bytes]:
        after = self._state.key()
        errors = difference(self._key, after)
        self.wipe()
        return after, errors

    def wipe(self) -> None:
        self._key = b""
        self._state.wipe()
        self._decoder.wipe()


class _Decoder:
    """The decoder's working memory."""

    def __init__(self, code: Code) -> None:
        self._code = code
        self._beliefs = np.empty((code.num_columns, 2 * WORD_BITS), dtype=np.float32)
        self._messages = np.empty((code.columns.size, WORD_BITS), dtype=np.uint16)
        self._scratch = np.empty((code.most_edges, WORD_BITS), dtype=np.float32)

    def decode(self, checks: WordArray, starts: np.ndarray, belief: np.float32) -> WordArray | None:
        """Return the error pattern with these checks, uint64, shape (num_columns,), or None when none was found."""
        code = self._code
        errors = np.empty(code.num_columns, dtype=np.uint64)
        rounds = ldpc.decode(
            *(checks, starts, code.columns, code.turns, code.steps, belief, MOST_ROUNDS),
            *(self._beliefs, self._messages, self._scratch, errors),
        )
        return errors if rounds >= 0 else None

    def wipe(self) -> None:
        self._beliefs.fill(0)
        self._messages.fill(0)
        self._scratch.fill(0)


def _encode(words: WordArray) -> bytes:
    return words.astype("<u8", copy=False).tobytes()


def _decode(body: bytes, num_frames: int, num_words: int) -> WordArray:
    if len(body) != 8 * num_frames * num_words:
        raise FrameError(f"{8 * num_frames * num_words} bytes of parities were expected, {len(body)} came")
    return stream_of(body).reshape(num_frames, num_words)


def _read_open(body: bytes, num_frames: int) -> np.ndarray:
    check_packed(body, num_frames)
    bits = np.unpackbits(np.frombuffer(body, dtype=np.uint8), count=num_frames, bitorder="little")
    return bits.astype(np.bool_)


@dataclass(frozen=True, slots=True)
class Ldpc:
    """``port.Method``."""

    def answerer(self, key: bytes, shape: FrameShape, /) -> Answerer:
        return _Alice(key, shape)

    def corrector(self, key: bytes, shape: FrameShape, /, *, qber: float, seed: bytes) -> Corrector:
        return _Bob(key, shape, qber=qber, seed=seed)
