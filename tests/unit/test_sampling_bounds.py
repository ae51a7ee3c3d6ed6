"""What the bounds of newer proofs allow for, against exact laws: binomial, Poisson, hypergeometric (SciPy)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom, poisson

from qanat.protocols.deviation import Deviation
from qanat.protocols.finite_key import NUM_ERROR_TERMS_PLAIN
from qanat.protocols.one_decoy_fixed_length import serfling_allowance
from qanat.protocols.recipe import sampling_excess
from qanat.protocols.tight_bounds import (
    NUM_ERROR_TERMS,
    count_lower,
    count_upper,
    mean_lower,
    mean_upper,
    sampling_allowance,
)

EPS = 1e-9 / NUM_ERROR_TERMS
LOG_ODDS = math.log(1 / EPS)
NUM_TEST = (1_000, 20_000, 900_000, 20_000_000)
SHARES = (0.2, 0.4, 0.8, 1.25, 2.0, 5.0)


def allowance_2020(errors: int, *, num_test: int, num_key: int) -> float:
    rate = errors / num_test
    return float(sampling_allowance(rate, num_test=num_test, num_key=num_key, log_odds=LOG_ODDS))


def hidden_errors(allowance: float, errors: int, *, num_test: int, num_key: int) -> int:
    """The fewest errors in the key that lie above the bound."""
    return math.floor((errors / num_test + allowance) * num_key) + 1


def log_odds_of(allowance: float, errors: int, *, num_test: int, num_key: int) -> float:
    """ln of the odds that a sample shows so few errors, or fewer, when the key's errors exceed the bound.

    Sampling without replacement from a population of any fixed number of errors: that number is the worst one.
    """
    hidden = hidden_errors(allowance, errors, num_test=num_test, num_key=num_key)
    if hidden > num_key:
        return -math.inf
    return float(hypergeom.logcdf(errors, num_key + num_test, errors + hidden, num_test))


def log_odds_of_one(allowance: float, errors: int, *, num_test: int, num_key: int) -> float:
    """ln of the odds that a sample shows exactly so many errors."""
    hidden = hidden_errors(allowance, errors, num_test=num_test, num_key=num_key)
    return float(hypergeom.logpmf(errors, num_key + num_test, errors + hidden, num_test))


def sizes(*, most: int = NUM_TEST[-1]) -> list[tuple[int, int]]:
    return [(num_test, round(share * num_test)) for num_test in NUM_TEST if num_test <= most for share in SHARES]


@pytest.mark.parametrize("mean", [0.3, 5.0, 40.0, 3_000.0, 250_000.0])
def test_closed_chernoff_forms_fail_no_more_often_than_paid_for_on_poisson_counts(mean: float) -> None:
    for eps in (1e-2, 1e-4, 1e-9):
        log_odds = math.log(1 / eps)
        x = np.arange(math.floor(mean + 12 * math.sqrt(mean) + 60), dtype=float)
        odds = poisson.pmf(x, mean)
        assert odds[mean_lower(x, log_odds) > mean].sum() <= eps
        assert odds[mean_upper(x, log_odds) < mean].sum() <= eps
        assert poisson.cdf(np.ceil(count_lower(mean, log_odds)) - 1, mean) <= eps
        assert poisson.sf(np.floor(count_upper(mean, log_odds)), mean) <= eps


@pytest.mark.parametrize("num_trials", [200, 10_000])
@pytest.mark.parametrize("p", [0.001, 0.03, 0.3, 0.5, 0.9, 0.99])
def test_closed_chernoff_forms_fail_no_more_often_than_paid_for_on_binomial_counts(num_trials: int, p: float) -> None:
    log_odds, mean = math.log(1e4), num_trials * p
    x = np.arange(num_trials + 1, dtype=float)
    odds = binom.pmf(x, num_trials, p)
    assert odds[mean_lower(x, log_odds) > mean + 1e-9].sum() <= 1e-4
    assert odds[mean_upper(x, log_odds) < mean - 1e-9].sum() <= 1e-4
    assert binom.cdf(np.ceil(count_lower(mean, log_odds)) - 1, num_trials, p) <= 1e-4
    assert binom.sf(np.floor(count_upper(mean, log_odds)), num_trials, p) <= 1e-4


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(1, 1e8), st.floats(1, 60))
def test_each_closed_form_solves_its_tail_odds(x: float, log_odds: float) -> None:
    """exp(-(E - x)^2 / 2E) below a mean E, exp(-(x - E)^2 / (x + E)) above; a mean's lower bound lies lower still."""
    mean = float(mean_upper(x, log_odds))
    assert (mean - x) ** 2 / (2 * mean) == pytest.approx(log_odds, rel=1e-6)
    count = float(count_upper(x, log_odds))
    assert (count - x) ** 2 / (count + x) == pytest.approx(log_odds, rel=1e-6)
    count = float(count_lower(x, log_odds))
    assert count == 0 or (count - x) ** 2 / (2 * x) == pytest.approx(log_odds, rel=1e-6)
    mean = float(mean_lower(x, log_odds))
    assert mean == 0 or (x - mean - log_odds) ** 2 / (x + mean + log_odds) == pytest.approx(log_odds, rel=1e-6)


def test_without_odds_to_pay_for_counts_are_means() -> None:
    for bound in (mean_lower, mean_upper, count_lower, count_upper):
        assert float(bound(123.0, 0.0)) == 123.0
    assert float(serfling_allowance(num_test=10, num_key=10, log_odds=0.0)) == 0.0


@pytest.mark.parametrize(("num_test", "num_key"), sizes())
def test_the_sampling_bound_of_2020_holds_for_a_hundred_errors_and_for_every_single_outcome(
    num_test: int, num_key: int
) -> None:
    for errors in (1, 3, 10, 30, 60, 100, 300, 1_000, 4_000, 20_000, 100_000, 400_000, 2_000_000):
        if errors > 0.12 * num_test:
            continue
        allowance = allowance_2020(errors, num_test=num_test, num_key=num_key)
        if errors <= 100:
            assert log_odds_of(allowance, errors, num_test=num_test, num_key=num_key) <= -LOG_ODDS
        if errors / num_test + allowance < 0.5:
            assert log_odds_of_one(allowance, errors, num_test=num_test, num_key=num_key) <= -LOG_ODDS


@pytest.mark.parametrize(
    ("errors", "least", "most"),
    [(4_000, 5, 8), (100_000, 30, 50), (400_000, 60, 100), pytest.param(2_000_000, 130, 220, marks=pytest.mark.slow)],
)
def test_the_sampling_bound_of_2020_falls_short_of_the_tail_for_many_errors(
    errors: int, least: float, most: float
) -> None:
    """So its label says: the odds of this outcome or a worse one exceed what is paid for, the more the more errors."""
    for share in (0.8, 1.25, 2.0, 5.0):
        num_test, num_key = 20_000_000, round(share * 20_000_000)
        allowance = allowance_2020(errors, num_test=num_test, num_key=num_key)
        excess = log_odds_of(allowance, errors, num_test=num_test, num_key=num_key) + LOG_ODDS
        assert least < math.exp(excess) < most


@pytest.mark.parametrize(("num_test", "num_key"), sizes(most=900_000))
def test_serflings_bound_holds_at_the_square_of_what_is_paid_for(num_test: int, num_key: int) -> None:
    allowance = float(serfling_allowance(num_test=num_test, num_key=num_key, log_odds=LOG_ODDS))
    for errors in (0, 1, 10, 100, num_test // 100, num_test // 20, num_test // 5):
        assert log_odds_of(allowance, errors, num_test=num_test, num_key=num_key) <= -2 * LOG_ODDS


def test_serflings_bound_is_near_the_tail_for_an_even_population() -> None:
    """So it cannot be half as wide: with half of all events wrong it allows little more than needed."""
    num_test = num_key = 20_000
    allowance = float(serfling_allowance(num_test=num_test, num_key=num_key, log_odds=LOG_ODDS))
    errors = round(num_test * (0.5 - allowance / 2))
    assert log_odds_of(allowance, errors, num_test=num_test, num_key=num_key) > -2.2 * LOG_ODDS


@pytest.mark.parametrize(("num_test", "num_key"), [size for size in sizes() if size[1] >= 0.4 * size[0]])
def test_the_sampling_term_of_2014_allows_eps_and_not_its_square(num_test: int, num_key: int) -> None:
    """From its fewest errors on. A smoothing of eps would ask for the square: docs/explanation/proofs.md."""
    deviation = Deviation(1e-9 / NUM_ERROR_TERMS_PLAIN)
    log_odds = math.log(1 / deviation.eps_term)
    for errors in (math.ceil(deviation.min_errors()), 100, 1_000, 20_000, 100_000):
        if errors <= 0.12 * num_test:
            allowance = float(
                deviation.random_sampling(error_rate=errors / num_test, num_key=num_key, num_test=num_test)
            )
            assert -2 * log_odds < log_odds_of(allowance, errors, num_test=num_test, num_key=num_key) <= -log_odds


@pytest.mark.parametrize(("num_test", "num_key"), [(20_000, 16_000), (900_000, 720_000), (900_000, 1_800_000)])
def test_the_sampling_bound_of_2010_holds_for_every_single_outcome(num_test: int, num_key: int) -> None:
    """It is Stirling's bound on one outcome; its tail is in test_deviation.py."""
    for errors in (10, 100, 1_000, 4_000, 100_000):
        if errors < 0.12 * num_test:
            theta = float(sampling_excess(errors / num_test, num_test=num_test, num_key=num_key, eps_term=EPS))
            assert log_odds_of_one(theta, errors, num_test=num_test, num_key=num_key) <= -LOG_ODDS
