"""A whole network at full load: what all pairs really get, beside the optimum of the declared objective."""

from __future__ import annotations

import pytest

from simulation.full_load import FAMILIES, Reached, full_load

GOAL = 0.98


def check(reached: Reached, *, least: float) -> None:
    """``least``: what the pair that got least has got, of the mean."""
    print(f"{reached.of_declared:.4f} of the declared optimum, {reached.of_whole:.4f} of all that links give")
    assert not reached.faults
    assert reached.of_declared >= GOAL
    assert min(reached.rates_bits_per_s.values()) > least * reached.mean_bits_per_s


@pytest.mark.campaign
@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize(("key_bits", "measured_s"), [(1024, 180.0), (4096, 720.0)])
def test_all_pairs_of_ten_sites_of_any_shape_get_98_percent_of_the_declared_optimum(
    kind: str, key_bits: int, measured_s: float
) -> None:
    """For many times as long as who is to get least needs for a key: one in 40 s of the large ones."""
    check(full_load(kind, 10, begin_s=90.0, measured_s=measured_s, key_bits=key_bits), least=0.1)
