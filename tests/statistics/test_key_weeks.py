"""Key by week over draws of the weather, beside exact means. Seeds are fixed; bounds are 5 sigma (6e-7 each)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.ground.errors import BadParameter
from qanat.ground.randomness import SeededChance
from qanat.orbits.earth import DAY_S
from qanat.orbits.passes import Span
from qanat.orbits.weather import Sky, Weather
from qanat.planning.key_weeks import DrawnKeys
from qanat.planning.pair_keys import Demand
from qanat.planning.pass_keys import PassKeys
from unit.satellite_planning_support import keys_of

START_UTC_S = 1_600_000_000.0
SPAN = Span(START_UTC_S, START_UTC_S + 31 * DAY_S)
NUM_DRAWS = 4_000


def nightly(stations: int = 2, bits: float = 1e6) -> PassKeys:
    """A pass a day over each station, two satellites in turn."""
    rows = [
        (
            day % 2,
            station,
            START_UTC_S + day * DAY_S + 3600 * station,
            START_UTC_S + day * DAY_S + 3600 * station + 300,
            bits,
        )
        for day in range(31)
        for station in range(stations)
    ]
    return keys_of(rows, num_satellites=2, num_stations=stations)


def drawn(keys: PassKeys, weather: Weather, *, num_draws: int = NUM_DRAWS) -> DrawnKeys:
    every = np.arange(len(keys))
    return DrawnKeys(keys, every, weather, SPAN, chance=SeededChance(4), num_draws=num_draws)


def test_means_of_draws_are_the_exact_means_and_their_spread_is_that_of_the_chain() -> None:
    weather = Weather(Sky((0.4,), 30.0))
    found = drawn(nightly(), weather).of_station(0)
    assert found.span.exact_mean == pytest.approx(0.4 * 31e6)
    assert found.week is not None
    assert found.week.exact_mean == pytest.approx(0.4 * 7e6)
    memory_h = 30.0 * 0.6
    days = np.arange(31)
    correlation = np.exp(-24 * np.abs(days[:, None] - days) / memory_h)
    deviation = 1e6 * math.sqrt(0.4 * 0.6 * correlation.sum())
    assert found.span.mean_error == pytest.approx(
        deviation / math.sqrt(NUM_DRAWS), rel=5 / math.sqrt(2 * NUM_DRAWS) + 0.02
    )
    for spread in (found.span, found.week):
        assert spread.exact_mean is not None
        assert abs(spread.mean - spread.exact_mean) <= 5 * spread.mean_error


def test_percentiles_of_a_week_are_those_of_the_binomial_law_where_nights_do_not_remember() -> None:
    found = drawn(nightly(), Weather(Sky((0.5,), 0.01))).of_station(1)
    assert found.week is not None
    # of seven fair coins: P(<= 1) = 0.0625, P(<= 2) = 0.2266; P(<= 4) = 0.7734, P(<= 5) = 0.9375
    assert found.week.percentiles == (2e6, pytest.approx(3.5e6, abs=0.5e6), 5e6)


def test_a_demand_of_one_station_has_an_exact_mean_by_its_part_of_that_stations_key() -> None:
    keys = drawn(nightly(), Weather(Sky((0.4,), 30.0)))
    demands, shares = [Demand((0,), 1e6), Demand((0, 1), 1e6)], np.array([[4e6, 12e6], [15e6, 0.0]])
    alone, pair = keys.of_demands(demands, shares)
    assert alone.span.exact_mean == pytest.approx(0.4 * (16e6 * 4 / 16 + 15e6))
    assert abs(alone.span.mean - alone.span.exact_mean) <= 5 * alone.span.mean_error
    assert alone.week is not None
    assert alone.week.exact_mean is not None
    assert abs(alone.week.mean - alone.week.exact_mean) <= 5 * alone.week.mean_error
    assert pair.span.exact_mean is None


def test_a_pair_gets_all_where_it_is_always_clear_and_the_lesser_of_two_otherwise() -> None:
    demand, shares = [Demand((0, 1), 1e6)], np.array([[16e6], [15e6]])
    always = drawn(nightly(), Weather(Sky((1.0,), 30.0)), num_draws=3).of_demands(demand, shares)[0]
    assert always.span.percentiles == (31e6, 31e6, 31e6)
    weather = Weather(Sky((0.5,), 24.0), skies={"st-1": Sky((0.3,), 24.0)})
    both = drawn(nightly(), weather)
    pair, one, other = both.of_demands(demand, shares)[0], both.of_station(0), both.of_station(1)
    assert pair.span.exact_mean is None
    assert one.span.exact_mean is not None
    assert other.span.exact_mean is not None
    assert 0.5 * other.span.exact_mean < pair.span.mean < min(one.span.exact_mean, other.span.exact_mean)


def test_what_one_station_has_too_much_waits_for_the_other() -> None:
    """One station has its passes in the first week, the other in the second: the pair's key comes in the second."""
    rows = [(0, 0, START_UTC_S + day * DAY_S, START_UTC_S + day * DAY_S + 300, 1e6) for day in range(7)]
    rows += [(0, 1, START_UTC_S + day * DAY_S, START_UTC_S + day * DAY_S + 300, 2e6) for day in range(7, 14)]
    keys = keys_of(rows, num_satellites=1, num_stations=2)
    found = drawn(keys, Weather(Sky((1.0,), 30.0)), num_draws=2).of_demands([Demand((0, 1), 1e6)], np.array([[7e6]]))[0]
    assert found.week is not None
    assert found.week.percentiles == (0.0, 0.0, 7e6)
    assert (found.week.mean, found.span.mean) == (7e6 / 4, 7e6)


def test_pairs_that_share_a_station_share_its_key_as_planned() -> None:
    demands = [Demand((0, 1), 1e6), Demand((1, 2), 1e6)]
    shares = np.array([[4e6, 12e6], [0.0, 0.0]])
    found = drawn(nightly(3), Weather(Sky((1.0,), 30.0)), num_draws=2).of_demands(demands, shares)
    assert [one.span.mean for one in found] == pytest.approx([4e6, 12e6])


def test_a_span_without_a_whole_week_has_no_weeks_and_no_draws_are_refused() -> None:
    keys = nightly()
    short = Span(START_UTC_S, START_UTC_S + 5 * DAY_S)
    few = np.flatnonzero(keys.start_utc_s < short.end_utc_s)
    found = DrawnKeys(keys, few, Weather(Sky((0.5,), 24.0)), short, chance=SeededChance(1), num_draws=10).of_station(0)
    assert found.week is None
    assert found.span.exact_mean == pytest.approx(2.5e6)
    with pytest.raises(BadParameter, match="0 draws of the weather"):
        drawn(keys, Weather(Sky((0.5,), 24.0)), num_draws=0)
