"""Allowances for chance: exact inversion, exact tails as the outside authority, and their order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom, norm

from qanat.protocols.deviation import Deviation, Method, count_of_mean, mean_of_count
from qanat.protocols.recipe import sampling_excess, tag_bits

EPS = 2e-11
LOG_ODDS = math.log(1 / EPS)
BOUNDS = (Method.HOEFFDING, Method.CHERNOFF, Method.CHERNOFF_LITERAL)
counts = st.floats(0, 1e9).map(round)


def excess(x: float, mean: float) -> float:
    return (x * math.log(x / mean) if x else 0.0) + mean - x


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.floats(1, 1e7))
def test_the_multiplicative_bound_is_inverted_exactly(x: float) -> None:
    for upper in (False, True):
        mean = float(mean_of_count(x, LOG_ODDS, upper=upper))
        assert excess(x, mean) == pytest.approx(LOG_ODDS, rel=1e-7)
        assert (mean > x) is upper
        count = float(count_of_mean(x, LOG_ODDS, upper=upper))
        assert (count > x) is upper
        if count > 0:
            assert excess(count, x) == pytest.approx(LOG_ODDS, rel=1e-7)


def test_nothing_counted_bounds_the_mean_by_the_log_of_the_odds() -> None:
    assert float(mean_of_count(0, LOG_ODDS, upper=True)) == LOG_ODDS
    assert float(mean_of_count(0, LOG_ODDS, upper=False)) == 0
    assert float(count_of_mean(LOG_ODDS / 2, LOG_ODDS, upper=False)) == 0
    assert float(count_of_mean(0, LOG_ODDS, upper=True)) == 0


@pytest.mark.parametrize("method", BOUNDS)
@pytest.mark.parametrize("num_trials", [200, 10_000])
@pytest.mark.parametrize("p", [0.001, 0.03, 0.3, 0.5, 0.9, 0.99])
def test_a_bound_on_the_mean_fails_no_more_often_than_paid_for(method: Method, num_trials: int, p: float) -> None:
    """Against exact binomial tails: the odds of the counts whose bound excludes the true mean."""
    deviation, mean = Deviation(1e-4, method), num_trials * p
    x = np.arange(num_trials + 1, dtype=float)
    odds = binom.pmf(x, num_trials, p)
    assert odds[deviation.mean_lower(x, num_trials=num_trials) > mean + 1e-9].sum() <= 1e-4
    assert odds[deviation.mean_upper(x, num_trials=num_trials) < mean - 1e-9].sum() <= 1e-4
    assert binom.cdf(np.ceil(deviation.sample_lower(num_trials, share=p)) - 1, num_trials, p) <= 1e-4


@settings(derandomize=True, max_examples=100, deadline=None)
@given(counts, st.floats(0, 1))
def test_the_smaller_bound_lies_within_each(num_trials: int, share: float) -> None:
    x = round(num_trials * share)
    least = Deviation(EPS, Method.CHERNOFF)
    for method in (Method.HOEFFDING, Method.CHERNOFF_LITERAL):
        other = Deviation(EPS, method)
        for bound in ("mean_lower", "mean_upper"):
            near, far = (getattr(d, bound)(x, num_trials=num_trials) for d in (least, other))
            assert abs(near - x) <= abs(far - x) + 1e-6 * (1 + x)
        assert least.sample_lower(x, share=share) >= other.sample_lower(x, share=share)


def test_the_gaussian_quantile_is_that_of_the_normal_law() -> None:
    low = Deviation(EPS, Method.GAUSSIAN).mean_lower(10_000, num_trials=10**6)
    assert (10_000 - low) / 100 == pytest.approx(norm.isf(EPS), rel=1e-9)


def test_without_chance_every_count_is_its_mean() -> None:
    none = Deviation(EPS, Method.NONE)
    assert none.mean_lower(7, num_trials=10) == none.mean_upper(7, num_trials=10) == 7
    assert none.sample_lower(10, share=0.25) == 2.5
    assert none.random_sampling(error_rate=0.1, num_key=10, num_test=10) == 0
    assert none.min_errors() == 0


def odds_of_more(errors: int, *, num_test: int, num_key: int) -> float:
    """The exact odds (hypergeometric) of so few test errors when the key's error rate exceeds the bound of 2010."""
    theta = sampling_excess(errors / num_test, num_test=num_test, num_key=num_key, eps_term=EPS)
    hidden = math.floor((errors / num_test + float(theta)) * num_key) + 1
    return float(hypergeom.cdf(errors, num_key + num_test, errors + hidden, num_test))


@pytest.mark.parametrize("num_test", [20_000, 900_000])
@pytest.mark.parametrize("share", [0.4, 0.8, 2.0])
def test_the_sampling_bound_of_2010_against_the_exact_tail(num_test: int, share: float) -> None:
    """It holds for up to a hundred errors, and falls short by a factor below four for thousands; so its label says."""
    num_key = round(share * num_test)
    for errors in (40, 60, 100):
        assert odds_of_more(errors, num_test=num_test, num_key=num_key) <= EPS
    assert EPS < odds_of_more(4000, num_test=num_test, num_key=num_key) < 4 * EPS
    theta = sampling_excess(4000 / num_test, num_test=num_test, num_key=num_key, eps_term=EPS)
    gamma = Deviation(EPS).random_sampling(error_rate=4000 / num_test, num_key=num_key, num_test=num_test)
    assert theta / gamma == pytest.approx(math.log(2), rel=0.05)


def test_the_literal_chernoff_bound_is_the_wider_one_for_most_of_a_total() -> None:
    """It strays by sqrt(2 x ln(1/eps)), Hoeffding's by sqrt(n/2 ln(1/eps)): above x = n/4 that is more."""
    for x, is_wider in ((100_000, False), (240_000, False), (260_000, True), (900_000, True)):
        low, high = (
            Deviation(EPS, method).mean_lower(x, num_trials=10**6)
            for method in (Method.CHERNOFF_LITERAL, Method.HOEFFDING)
        )
        assert bool(low < high) is is_wider


def test_a_tag_has_as_many_bits_as_its_odds_ask_for() -> None:
    """n 2^(1 - k) <= eps, and not for one bit less."""
    bits = float(tag_bits(10**6, 1e-22))
    assert 10**6 * 2 ** (1 - bits) <= 1e-22 < 10**6 * 2 ** (2 - bits)
