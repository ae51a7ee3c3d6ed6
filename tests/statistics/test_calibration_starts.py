"""Calibration from seeded starts: 20 in the normal tests, 1,000 in the campaign; losses from 5 to 27 dB in turn."""

from __future__ import annotations

import pytest

from unit.calibration_support import check_start


@pytest.mark.slow
def test_twenty_starts_end_within_a_step_at_100_to_1_and_within_a_bin() -> None:
    for seed in range(20):
        check_start(seed)


@pytest.mark.campaign
@pytest.mark.parametrize("block", range(10))
def test_a_thousand_starts_end_so(block: int) -> None:
    for seed in range(1000 + 100 * block, 1100 + 100 * block):
        check_start(seed)
