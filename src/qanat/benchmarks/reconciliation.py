"""How fast Winnow and sparse codes correct errors: both parties' work on one core, best of three, 64 frames of 2^16.

Every message is made and read as in a session, without frames and tags. Rates are per bit of reconciled key and second
of processor time, so that what else runs on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np

from qanat.benchmarks.rows import Row
from qanat.kernels.reference import ldpc as plain_ldpc
from qanat.kernels.reference import winnow as plain_winnow
from qanat.postprocessing.reconciliation.ldpc_codes import draw_code
from qanat.postprocessing.reconciliation.methods import METHODS
from qanat.postprocessing.reconciliation.port import SEED_BYTES, Disclosed, FrameShape, MethodName
from qanat.protocols.entropy import binary_entropy

REPEATS: Final = 3
SHAPE: Final = FrameShape(num_frames=64, frame_bits=2**16)
RUNS: Final[dict[str, tuple[MethodName, float, float]]] = {
    "winnow-1pct": ("winnow", 0.01, 150e6),
    "ldpc-1pct": ("ldpc", 0.01, 40e6),
    "ldpc-2pct": ("ldpc", 0.02, 40e6),
    "ldpc-3pct": ("ldpc", 0.03, 40e6),
}
"""Benchmark -> method, error rate, goal in bit/s (Winnow's is Cascade's)."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    for name in names:
        yield method_row(name)


def method_row(name: str) -> Row:
    """Reconcile 64 frames beside the plain twin."""
    method, qber, goal = RUNS[name]
    alice, bob = _noisy_keys(qber)
    disclosed, round_trips = _reconcile(method, alice, bob, qber)  # compiles, and draws the code
    rate = SHAPE.key_bits / min(_seconds(lambda: _reconcile(method, alice, bob, qber)) for _ in range(REPEATS))
    reference_name, reference_rate = _plain_ldpc() if method == "ldpc" else _plain_winnow()
    f_ec = disclosed.told_bits / (SHAPE.key_bits * binary_entropy(qber))
    return Row(
        name=name,
        rate=rate,
        unit="bit/s",
        goal=goal,
        reference_name=reference_name,
        reference_rate=reference_rate,
        note=f"f_EC {f_ec:.3f}, {round_trips} round trips, {SHAPE.num_frames} frames of 2^16 at a time",
    )


def _reconcile(method: MethodName, alice: bytes, bob: bytes, qber: float) -> tuple[Disclosed, int]:
    answerer = METHODS[method].answerer(alice, SHAPE)
    corrector = METHODS[method].corrector(bob, SHAPE, qber=qber, seed=bytes(SEED_BYTES))
    questions, round_trips = list(corrector.start()), 0
    while corrector.expects:
        answers = [answer for question in questions for answer in answerer.receive(question)]
        questions = [question for answer in answers for question in corrector.receive(answer)]
        round_trips += 1
    disclosed = corrector.disclosed
    if corrector.corrected()[0] != alice:
        raise ArithmeticError("the benchmark's keys differ after error correction")
    return disclosed, round_trips


def _noisy_keys(qber: float) -> tuple[bytes, bytes]:
    generator = np.random.default_rng(1)
    alice = generator.integers(0, 2, SHAPE.key_bits, dtype=np.uint8)
    wrong = np.zeros(SHAPE.key_bits, dtype=np.uint8)
    wrong[generator.permutation(SHAPE.key_bits)[: round(qber * SHAPE.key_bits)]] = 1
    first, second = (np.packbits(bits, bitorder="little").tobytes() for bits in (alice, alice ^ wrong))
    return first, second


def _plain_winnow() -> tuple[str, float]:
    generator = np.random.default_rng(1)
    alice = generator.integers(0, 2, 4096)
    bob = (alice ^ (generator.random(4096) < 0.01)).tolist()
    order = generator.permutation(4096).tolist()
    seconds = _seconds(lambda: plain_winnow.correct(alice.tolist(), bob, order, log_block=5))
    return "plain Python, first pass only", 4096 / seconds


def _plain_ldpc() -> tuple[str, float]:
    num_columns, num_rows = 12, 5
    code = draw_code(num_columns, num_rows)
    edges = list(zip(code.columns.tolist(), code.turns.tolist(), strict=True))
    starts = code.starts(0).tolist()
    rows = [edges[starts[row] : starts[row + 1]] for row in range(num_rows)]
    seconds = _seconds(lambda: plain_ldpc.decode([0] * 64 * num_rows, rows, num_columns, 5.0, 1))
    return "plain Python, one round of decoding only", 64 * num_columns / seconds


def _seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start
