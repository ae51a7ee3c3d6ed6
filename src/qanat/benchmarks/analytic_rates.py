"""How many links per second the rate functions can tell of: composable rate and asymptotic rate at a loss each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from qanat.benchmarks.rows import Row
from qanat.physics.systems import BACKBONE_625
from qanat.protocols.prediction import expected_rate
from qanat.protocols.rate_table import RateTable

GOAL_PER_S = 1e5
NUM_LINKS = 200_000
NUM_ONE_BY_ONE = 500
BLOCK_BITS = 100_000_000


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark and yield its row."""
    if "analytic-rates" not in names:
        return
    losses_db = np.linspace(0, 40, NUM_LINKS)
    begin_s = time.perf_counter()
    RateTable(BACKBONE_625).rates(losses_db, block_bits=BLOCK_BITS)
    elapsed_s = time.perf_counter() - begin_s
    begin_s = time.perf_counter()
    for loss_db in losses_db[:: NUM_LINKS // NUM_ONE_BY_ONE]:
        expected_rate(BACKBONE_625, loss_db=float(loss_db), block_bits=BLOCK_BITS)
    reference_s = time.perf_counter() - begin_s
    yield Row(
        name="analytic-rates",
        rate=NUM_LINKS / elapsed_s,
        unit="links/s",
        goal=GOAL_PER_S,
        reference_name="one link at a time",
        reference_rate=NUM_ONE_BY_ONE / reference_s,
        note=f"{BACKBONE_625.name}, both rates of {NUM_LINKS:,} losses, with the making of the table",
    )
