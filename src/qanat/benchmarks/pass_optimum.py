"""How long the best intensities, odds and basis bias of a whole pass take, beside a general search for the same."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution

from qanat.benchmarks.rows import Row
from qanat.orbits.nature2021 import figure_3a
from qanat.orbits.pass_optimum import HIGHEST, LOWEST, moments_of, optimal_source, secret_lengths
from qanat.protocols.decoy import SecurityParameters
from qanat.protocols.deviation import Method

GOAL_S = 0.020
REPEATS = 5


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark and yield its row."""
    if "pass-optimum" not in names:
        return
    one = figure_3a()
    optimal_source(one.system, [one.budget])
    begin_s = time.perf_counter()
    for _ in range(REPEATS):
        found = optimal_source(one.system, [one.budget])
    elapsed_s = (time.perf_counter() - begin_s) / REPEATS
    moments = moments_of(one.system, [one.budget])

    def miss(points: NDArray[np.float64]) -> NDArray[np.float64]:
        lengths = secret_lengths(
            np.atleast_2d(points.T), moments, f_ec=1.1, security=SecurityParameters(), method=Method.HOEFFDING
        )
        return -lengths

    begin_s = time.perf_counter()
    bounds = list(zip(LOWEST, HIGHEST, strict=True))
    best = differential_evolution(miss, bounds, vectorized=True, updating="deferred", rng=1, tol=1e-9)
    reference_s = time.perf_counter() - begin_s
    yield Row(
        name="pass-optimum",
        rate=elapsed_s,
        unit="s",
        goal=GOAL_S,
        reference_name="differential evolution (scipy) on the same lengths",
        reference_rate=reference_s,
        note=f"{found.secret_bits:,} secret bits of the pass of Fig. 3a, {found.secret_bits / -float(best.fun):.4f} of "
        f"the reference's; {found.secret_bits_before:,} with the source as it flew",
        is_limit=True,
    )
