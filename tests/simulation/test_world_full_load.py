"""A whole network at full load: what all pairs really get, beside the optimum of the declared objective."""

from __future__ import annotations

import pytest

from simulation.full_load import full_load

GOAL = 0.98


@pytest.mark.slow
def test_on_a_star_of_ten_sites_all_pairs_together_get_at_least_98_percent_of_the_declared_optimum() -> None:
    reached = full_load("star", 10)
    print(f"{reached.of_declared:.4f} of the declared optimum, {reached.of_whole:.4f} of all that links give")
    assert not reached.faults
    assert reached.of_declared >= GOAL
    assert min(reached.rates_bits_per_s.values()) > 0.5 * reached.mean_bits_per_s
