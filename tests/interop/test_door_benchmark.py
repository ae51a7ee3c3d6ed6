"""The door's benchmark, with a few calls: a site as an operator runs it is asked, and every row is made."""

from __future__ import annotations

import pytest

from qanat.benchmarks import door, registry
from qanat.benchmarks.rows import Row

pytestmark = pytest.mark.slow


def test_rates_and_the_latency_at_half_load_come_from_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    few = (door._Case("etsi014-single", goal=1, keys_per_call=3, calls=200, half_load_calls=50),)
    monkeypatch.setattr(door, "CASES", few)
    rows: list[Row] = list(registry.run(["etsi014-single", "etsi014-latency"]))
    rate, latency = rows
    assert (rate.name, rate.unit, latency.name, latency.unit) == ("etsi014-single", "keys/s", "etsi014-latency", "ms")
    assert rate.rate > 0
    assert latency.is_limit
    assert latency.rate > 0
    assert "guard, audit log and durable stock" in rate.note
    assert f"p99 {latency.rate:.1f} ms" in rate.note
