"""How fast the photon level runs: pulses per second of one 625-MHz link at 16 dB on one core."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from qanat.benchmarks.rows import Row
from qanat.kernels.click_law import NUM_PREPARATIONS
from qanat.kernels.photon_sampling import ClickSampler
from qanat.kernels.reference.photon_sampling import sample_every_slot
from qanat.physics.clicks import cell_odds, dark_odds, detected_photons, preparation_odds
from qanat.physics.systems import BACKBONE_625

LOSS_DB = 16.0
GOAL_PULSES_PER_S = 2e10
NUM_PULSES = 2_000_000_000
NUM_REFERENCE_PULSES = 500_000
REPEATS = 5

_MEMORY = replace(BACKBONE_625.memory, p_afterpulse=(0.01,) * 4)
"""Hold-off as recorded, and after-pulses of 1 %: the record has none, and the law of a full detector is measured."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "photon-sampling" in names:
        yield photon_sampling()


def photon_sampling() -> Row:
    """Measure the compiled sampler and, in the same run, NumPy drawing every slot; medians."""
    sampler = ClickSampler(cell_odds(BACKBONE_625, loss_db=LOSS_DB), memory=_MEMORY, seed_words=(1,))
    sampler.sample(1000)  # compiles
    num_clicks = 0

    def sample() -> None:
        nonlocal num_clicks
        num_clicks = sampler.sample(NUM_PULSES)[0].size

    rate = NUM_PULSES / _median_s(sample)
    return Row(
        name="photon-sampling",
        rate=rate,
        unit="pulses/s",
        goal=GOAL_PULSES_PER_S,
        reference_name="NumPy, every slot",
        reference_rate=NUM_REFERENCE_PULSES / _median_s(_sample_every_slot),
        note=f"{rate * num_clicks / NUM_PULSES:.2e} detections/s at {LOSS_DB:g} dB, hold-off and 1 % after-pulses on",
    )


def _sample_every_slot() -> None:
    sample_every_slot(
        detected_photons(BACKBONE_625, loss_db=LOSS_DB).reshape(NUM_PREPARATIONS, -1),
        preparation_odds(BACKBONE_625).ravel(),
        p_dark=dark_odds(BACKBONE_625).tolist(),
        num_slots=NUM_REFERENCE_PULSES,
        memory=_MEMORY,
        generator=np.random.default_rng(1),
    )


def _median_s(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
