"""Cascade behind the port: its parties' calls as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qanat.ground.events import Json
from qanat.postprocessing.reconciliation.cascade import (
    LARGEST_LOG_BLOCK,
    NUM_HALVES,
    NUM_PASSES,
    SEED_BYTES,
    CascadeAnswerer,
    CascadeCorrector,
    CascadePlan,
    Questions,
    choose_log_blocks,
)
from qanat.postprocessing.reconciliation.port import Answerer, Corrector, Disclosed, FrameShape, Message
from qanat.postprocessing.wire import Kind

BEGIN = frozenset({Kind.RECONCILE})
ANSWERING = frozenset({Kind.PASS, Kind.QUESTIONS, Kind.CORRECTED})
HEARING_PARITIES = frozenset({Kind.PARITIES})
HEARING_ANSWERS = frozenset({Kind.ANSWERS})
DONE: frozenset[Kind] = frozenset()
_NO_HALF: Mapping[str, Json] = {}
_PASS, _PARITIES, _QUESTIONS, _ANSWERS = Kind.PASS, Kind.PARITIES, Kind.QUESTIONS, Kind.ANSWERS


def _disclosed(num_parities: int) -> Disclosed:
    """Bob's messages follow from Alice's parities and, for each, whether his own is the same: one bit."""
    return Disclosed(num_parities, num_parities)


class _Alice:
    """``port.Answerer``."""

    def __init__(self, key: bytes, shape: FrameShape) -> None:
        self._key, self._shape = key, shape
        self._answerer: CascadeAnswerer | None = None

    @property
    def expects(self) -> frozenset[Kind]:
        return BEGIN if self._answerer is None else ANSWERING

    @property
    def disclosed(self) -> Disclosed:
        return _disclosed(0 if self._answerer is None else self._answerer.num_parities)

    def receive(self, message: Message, /) -> Sequence[Message]:
        answerer = self._answerer
        if answerer is None:
            self._answerer = CascadeAnswerer(self._key, self._read_plan(message))
            self._key = b""
            return []
        if message.kind is _PASS:
            message.check_header("pass")
            message.check_body(0)
            number = message.integer("pass", low=0, high=NUM_PASSES - 1)
            return [Message(_PARITIES, body=answerer.block_parities(number))]
        half = -1
        if message.header:
            message.check_header("half")
            half = message.integer("half", low=0, high=NUM_HALVES - 1)
        questions = Questions.decode(message.body, num_frames=self._shape.num_frames, half=half)
        return [Message(_ANSWERS, body=answerer.answer(questions))]

    def _read_plan(self, message: Message) -> CascadePlan:
        message.check_header("log_k1", "log_k2", "log_k3")
        highest = min(LARGEST_LOG_BLOCK, self._shape.frame_bits.bit_length() - 2)
        first, second, third = (message.integer(f"log_k{i}", low=1, high=highest) for i in (1, 2, 3))
        message.check_body(SEED_BYTES)
        return CascadePlan(self._shape.num_frames, self._shape.frame_bits, (first, second, third), bytes(message.body))

    def wipe(self) -> None:
        self._key = b""
        if self._answerer is not None:
            self._answerer.wipe()


class _Bob:
    """``port.Corrector``."""

    def __init__(self, key: bytes, plan: CascadePlan) -> None:
        self._plan = plan
        self._corrector = CascadeCorrector(key, plan)
        self._expected = DONE

    @property
    def expects(self) -> frozenset[Kind]:
        return self._expected

    @property
    def disclosed(self) -> Disclosed:
        return _disclosed(self._corrector.num_parities)

    def start(self) -> Sequence[Message]:
        header = {f"log_k{i + 1}": log for i, log in enumerate(self._plan.log_blocks)}
        return [Message(Kind.RECONCILE, header, self._plan.seed), *self._next_pass()]

    def receive(self, message: Message, /) -> Sequence[Message]:
        if message.header:
            message.check_header()
        if message.kind is _PARITIES:
            return self._ask(self._corrector.hear_parities(message.body))
        return self._ask(self._corrector.hear_answers(message.body))

    def _next_pass(self) -> Sequence[Message]:
        number = self._corrector.begin_pass()
        self._expected = DONE if number is None else HEARING_PARITIES
        return [] if number is None else [Message(_PASS, {"pass": number})]

    def _ask(self, questions: Questions | None) -> Sequence[Message]:
        if questions is None:
            return self._next_pass()
        self._expected = HEARING_ANSWERS
        header = {"half": questions.half} if questions.half >= 0 else _NO_HALF
        return [Message(_QUESTIONS, header, questions.encode())]

    def corrected(self) -> tuple[bytes, bytes]:
        return self._corrector.corrected()

    def wipe(self) -> None:
        self._corrector.wipe()


@dataclass(frozen=True, slots=True)
class Cascade:
    """``port.Method``."""

    def answerer(self, key: bytes, shape: FrameShape, /) -> Answerer:
        return _Alice(key, shape)

    def corrector(self, key: bytes, shape: FrameShape, /, *, qber: float, seed: bytes) -> Corrector:
        log_blocks = choose_log_blocks(qber, frame_bits=shape.frame_bits, num_frames=shape.num_frames)
        return _Bob(key, CascadePlan(shape.num_frames, shape.frame_bits, log_blocks, seed))
