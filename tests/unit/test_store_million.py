"""The benchmark of a million keys, with fewer: the store is killed while it writes, and opened again."""

from __future__ import annotations

import pytest

from qanat.benchmarks.rows import Row
from qanat.benchmarks.store_million import rows_for


@pytest.mark.slow
def test_a_killed_store_is_measured_and_has_all_that_was_acknowledged() -> None:
    disk, memory, opening = rows_for(2_000)
    assert 2_000 * 48 < 1e6 * disk.rate < 10e6
    assert 10 < memory.rate < 300
    assert opening.rate > 0
    assert all(row.is_limit for row in (disk, memory, opening))


def test_a_limit_is_kept_when_the_figure_is_below_it() -> None:
    assert Row("bytes", 150.0, "MB", 300.0, "", 1.0, is_limit=True).ratio == 2.0
    assert Row("speed", 150.0, "1/s", 300.0, "", 1.0).ratio == 0.5
