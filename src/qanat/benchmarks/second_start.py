"""How soon a machine that has started once has its first key again: a fresh process, its kernels compiled before.

The process imports what distillation takes, draws detections, and distils one block of 2^18 bits at both ends. The time
is the clock's, from the start of the interpreter to its end; the best of seven counts.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from qanat.benchmarks.rows import Row

NAME: Final = "second-start"
STARTS: Final = 7
GOAL_S: Final = 1.0
PROGRAM: Final = """
from qanat.benchmarks.block import RecordedLight, distil_block
distil_block(RecordedLight.draw(0.01))
"""
REFERENCE: Final = "import numpy, numba"
_PAIR: Final = (PROGRAM, REFERENCE)


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark when it is among the names."""
    if NAME in names:
        yield second_start_row()


def second_start_row() -> Row:
    """Start a process that distils one block beside one that imports two libraries; both compile nothing."""
    _start_s(PROGRAM)  # compiles, where nobody has yet
    own_s, reference_s = (
        min(times) for times in zip(*((_start_s(p) for p in _PAIR) for _ in range(STARTS)), strict=True)
    )
    return Row(
        name=NAME,
        rate=1 / own_s,
        unit="1/s",
        goal=1 / GOAL_S,
        reference_name=f"python -c '{REFERENCE}'",
        reference_rate=1 / reference_s,
        note=f"{own_s:.2f} s by the clock from the start of a process to the end of one with its first secret key",
    )


def _start_s(program: str) -> float:
    """Return the seconds that a fresh interpreter takes for a program of our own."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own program
    return time.perf_counter() - start
