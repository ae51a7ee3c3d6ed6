"""The page that sets our distillation beside others': same results, and what was not installed is said."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.benchmarks import comparison
from qanat.benchmarks.comparison import Measured, page
from qanat.kernels.toeplitz import tiers


def test_the_ways_that_are_compared_give_the_same_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    key, seed, ours = comparison._toeplitz_input(1000)
    assert np.array_equal(ours(key, seed), comparison._by_scipy(key, seed))
    monkeypatch.setattr(comparison, "REPEATS", 1)
    wrong = comparison._checked("hash", "wrong", 1000, lambda: ours(key, seed) ^ 1, ours(key, seed))
    assert (wrong.rate_bits_per_s, wrong.note) == (None, "gives another result")


def test_what_is_not_installed_is_on_the_page_and_has_no_rate() -> None:
    missing = comparison._by_other("hash", "no_such_package", 8, lambda _: lambda: None, None)
    text = page([missing, Measured("hash", "Qanat", 2**18, 4e8)])
    assert "| hash | no_such_package | 8 | - | not measured: No module named 'no_such_package' |" in text
    assert "| hash | Qanat | 262,144 | 400 |  |" in text
    assert f"Qanat hashes by {tiers()[0].value}" in text, "the way that made the figures, not another that is there"
