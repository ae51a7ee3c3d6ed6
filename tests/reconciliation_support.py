"""Two parties of a method of error correction against each other, and a spy who reads what they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from qanat.postprocessing.reconciliation.methods import METHODS
from qanat.postprocessing.reconciliation.port import Disclosed, FrameShape, Message, MethodName
from qanat.postprocessing.wire import Kind
from qanat.protocols.entropy import binary_entropy

SEED = bytes(range(32))
METHOD_NAMES: tuple[MethodName, ...] = ("cascade", "winnow", "ldpc")

Meddle = Callable[[int, Message], Message]


def noisy_keys(
    seed: int, shape: FrameShape, *, qber: float, burst_bits: int = 0, p_burst: float = 0.5
) -> tuple[bytes, bytes]:
    """Return Alice's key and Bob's, packed; the first ``burst_bits`` have errors at ``p_burst``."""
    draw = np.random.default_rng(seed)
    alice = draw.integers(0, 2, shape.key_bits, dtype=np.uint8)
    p_wrong = np.full(shape.key_bits, qber)
    p_wrong[:burst_bits] = p_burst
    bob = alice ^ (draw.random(shape.key_bits) < p_wrong)
    first, second = (np.packbits(bits, bitorder="little").tobytes() for bits in (alice, bob))
    return first, second


@dataclass
class Run:
    """One key corrected: what was said, and what came of it. ``meddle`` alters message by message."""

    method: MethodName
    alice: bytes
    bob: bytes
    shape: FrameShape
    qber: float
    meddle: Meddle = lambda _, message: message
    said: list[Message] = field(default_factory=list)
    round_trips: int = 0
    key: bytes = b""
    errors: bytes = b""
    disclosed: Disclosed = field(default_factory=Disclosed)

    def __post_init__(self) -> None:
        method = METHODS[self.method]
        answerer = method.answerer(self.alice, self.shape)
        corrector = method.corrector(self.bob, self.shape, qber=self.qber, seed=SEED)
        questions = self._carry(corrector.start())
        while corrector.expects:
            answers = []
            for question in questions:
                assert question.kind in answerer.expects
                answers += self._carry(answerer.receive(question))
            self.round_trips += 1
            questions = []
            for answer in answers:
                assert answer.kind in corrector.expects
                questions += self._carry(corrector.receive(answer))
        assert Kind.CORRECTED in answerer.expects
        assert answerer.disclosed == corrector.disclosed
        self.disclosed = corrector.disclosed
        self.key, self.errors = corrector.corrected()
        answerer.wipe()

    def _carry(self, messages: object) -> list[Message]:
        arriving = []
        for message in list(messages):  # type: ignore[call-overload]
            self.said.append(message)
            arriving.append(self.meddle(len(self.said) - 1, message))
        return arriving

    @property
    def efficiency(self) -> float:
        """Bits told over the Shannon limit of the errors there were."""
        wrong = int.from_bytes(self.alice, "little") ^ int.from_bytes(self.bob, "little")
        limit = self.shape.key_bits * binary_entropy(wrong.bit_count() / self.shape.key_bits)
        return self.disclosed.told_bits / limit


def ones(body: bytes) -> int:
    return int.from_bytes(body, "little").bit_count()


def heard_by_a_spy(method: MethodName, said: list[Message], shape: FrameShape) -> tuple[int, int]:
    """Return the bits of Alice's and of Bob's comparisons, by the words of docs/formats/distillation-wire.md alone."""
    return {"cascade": _spy_cascade, "winnow": _spy_winnow, "ldpc": _spy_ldpc}[method](said, shape)


def _integer(message: Message, name: str) -> int:
    value = message.header[name]
    assert isinstance(value, int)
    return value


def _spy_cascade(said: list[Message], shape: FrameShape) -> tuple[int, int]:
    told = number = asked = 0
    logs: list[int] = []
    for message in said:
        if message.kind == Kind.RECONCILE:
            logs = [_integer(message, f"log_k{i}") for i in (1, 2, 3)]
        elif message.kind == Kind.PASS:
            number = _integer(message, "pass")
        elif message.kind == Kind.PARITIES:
            per_frame = (shape.frame_bits >> logs[number]) - (number > 0) if number < 3 else 20
            assert len(message.body) == (per_frame * shape.num_frames + 7) // 8
            told += per_frame * shape.num_frames
        elif message.kind == Kind.QUESTIONS:
            asked = len(message.body) // 4 - shape.num_frames
        elif message.kind == Kind.ANSWERS:
            assert len(message.body) == (asked + 7) // 8
            told += asked
    return told, told


def _spy_winnow(said: list[Message], shape: FrameShape) -> tuple[int, int]:
    told = log_block = chosen = 0
    for message in said:
        if message.kind == Kind.PASS:
            log_block = _integer(message, "log_block")
        elif message.kind == Kind.PARITIES:
            num_bits = shape.key_bits >> log_block if log_block else 16 * shape.num_frames
            assert len(message.body) == (num_bits + 7) // 8
            told += num_bits
        elif message.kind == Kind.QUESTIONS:
            chosen = ones(message.body)
        elif message.kind == Kind.ANSWERS:
            assert len(message.body) == (chosen * log_block + 7) // 8
            told += chosen * log_block
    return told, told


def _spy_ldpc(said: list[Message], shape: FrameShape) -> tuple[int, int]:
    told = replied = 0
    for message in said:
        if message.kind == Kind.RECONCILE:
            replied = shape.num_frames // _integer(message, "joined")
        elif message.kind in {Kind.PARITIES, Kind.ANSWERS}:
            told += 8 * len(message.body)
        elif message.kind == Kind.QUESTIONS:
            replied += ones(message.body)
    return told, replied
