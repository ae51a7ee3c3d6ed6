"""Calibration from seeded starts: 20 of each system in the normal tests, 1,000 over all systems in the campaign.

Each start takes one of the losses that the system's links have, in turn.
"""

from __future__ import annotations

import pytest

from qanat.physics.systems import SYSTEMS
from unit.calibration_support import LOSSES_DB, check_start

BLOCKS = 10


def test_every_system_is_started() -> None:
    assert set(LOSSES_DB) == set(SYSTEMS)


@pytest.mark.slow
@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_eight_starts_end_within_a_step_at_100_to_1_and_within_a_bin(system: str) -> None:
    for seed in range(8):
        check_start(system, seed)


@pytest.mark.campaign
@pytest.mark.parametrize("system", sorted(SYSTEMS))
@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_thousand_starts_end_so(system: str, block: int) -> None:
    per_block = 1000 // (BLOCKS * len(SYSTEMS))
    for seed in range(1000 + per_block * block, 1000 + per_block * (block + 1)):
        check_start(system, seed)
