"""The load that the door's benchmark puts on a door."""

from __future__ import annotations

import itertools

import pytest

from qanat.benchmarks.door_load import Load


def test_calls_at_a_rate_are_due_at_random_moments_drawn_beforehand() -> None:
    due_s = Load(b"", calls=10_000, calls_per_s=500.0).arrivals_s()
    gaps_s = [later - sooner for sooner, later in itertools.pairwise(due_s)]
    assert min(gaps_s) >= 0.0
    assert due_s[-1] == pytest.approx(20.0, rel=0.05)  # 5 standard deviations of a Poisson process
    # of an exponential law, 1 / e of the gaps are longer than the mean
    assert sum(gap_s > 0.002 for gap_s in gaps_s) / len(gaps_s) == pytest.approx(0.3679, abs=0.025)
    assert due_s == Load(b"", calls=10_000, calls_per_s=500.0).arrivals_s()


def test_the_share_that_a_percentile_names_is_not_exceeded() -> None:
    load = Load(b"", calls=4, latencies_s=[0.004, 0.001, 0.003, 0.002])
    assert load.percentile_s(0.5) == 0.003
    assert load.percentile_s(0.99) == 0.004
