"""The sky of stations as drawn, beside closed forms. Seeds are fixed; bounds are 5 sigma (6e-7 each, if seeds were
drawn anew)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.randomness import SeededChance
from qanat.orbits.earth import utc_s_of
from qanat.orbits.weather import Sky, Weather, weather_of

START_UTC_S = utc_s_of("2021-01-01T00:00")
HOUR_S = 3600.0
NUM_DRAWS = 20_000
CHANCE = SeededChance(11)


def hours(*values: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return START_UTC_S + HOUR_S * np.array(values)


def drawn(weather: Weather, stations: list[str], moments: np.ndarray) -> list[np.ndarray]:  # type: ignore[type-arg]
    return weather.draws(stations, [moments] * len(stations), CHANCE, NUM_DRAWS)


def within_5_sigma(mean: float, p: float) -> bool:
    return abs(mean - p) <= 5 * math.sqrt(p * (1 - p) / NUM_DRAWS)


def test_the_share_of_clear_skies_and_its_correlation_in_time_are_those_of_the_chain() -> None:
    sky = Sky((0.4,), mean_clear_h=20.0)
    tau_h = 20.0 * 0.6  # 1 / (1/20 + 1/20 x 0.4/0.6)
    assert sky.memory_h() == pytest.approx(tau_h)
    moments = hours(0, 1, 6, 24, 100)
    (clear,) = drawn(Weather(sky), ["any"], moments)
    assert all(within_5_sigma(mean, 0.4) for mean in clear.mean(axis=0))
    for place, after_h in enumerate((1, 6, 24, 100), start=1):
        both = 0.4 * (0.4 + 0.6 * math.exp(-after_h / tau_h))
        assert within_5_sigma(float((clear[:, 0] & clear[:, place]).mean()), both)
        assert Weather(sky).p_both_clear(("any", moments[0]), ("any", moments[place])) == pytest.approx(both)


def test_clear_spells_last_as_long_as_declared() -> None:
    """A clear sky is still clear, without a look in between, by the chain; looked at every 0.1 h it lasts 5 h in the
    mean (an exponential law, standard deviation 5 h, and half a look of bias)."""
    sky = Sky((0.5,), mean_clear_h=5.0)
    (clear,) = Weather(sky).draws(["any"], [hours(*np.arange(0, 200, 0.1))], CHANCE, 400)
    ends = (clear[:, :-1] & ~clear[:, 1:]).sum()
    mean_h = 0.1 * clear[:, :-1].sum() / ends
    assert abs(mean_h - 5.0) < 0.05 + 5 * 5.0 / math.sqrt(ends)


def test_months_change_the_odds_at_the_chains_own_pace() -> None:
    odds = (0.8, 0.2, *(0.5,) * 10)
    sky = Sky(odds, mean_clear_h=48.0)
    february_h = 31 * 24
    moments = hours(0, february_h, february_h + 12, february_h + 24 * 20)
    expected = Weather(sky).odds("any", moments)
    tau_h = 48.0 * 0.8  # in February: p 0.2
    assert expected == pytest.approx([0.8, 0.8, 0.2 + 0.6 * math.exp(-12 / tau_h), 0.2 + 0.6 * math.exp(-480 / tau_h)])
    (clear,) = drawn(Weather(sky), ["any"], moments)
    assert all(within_5_sigma(mean, p) for mean, p in zip(clear.mean(axis=0), expected, strict=True))


def test_stations_of_a_region_correlate_as_the_closed_form_says_and_others_do_not() -> None:
    weather = Weather(
        usual=Sky((0.5,), 24.0),
        skies={"a": Sky((0.5,), 24.0), "b": Sky((0.3,), 12.0)},
        regions={"plain": Sky((0.6,), 72.0)},
        region_of={"a": "plain", "b": "plain"},
    )
    a, b, far = drawn(weather, ["a", "b", "far"], hours(0, 10))
    for station, p in ((a, 0.5), (b, 0.3), (far, 0.5)):
        assert all(within_5_sigma(mean, p) for mean in station.mean(axis=0))
    assert within_5_sigma(float((a[:, 0] & b[:, 0]).mean()), 0.5 * 0.3 / 0.6)
    assert within_5_sigma(float((a[:, 0] & far[:, 0]).mean()), 0.25)
    later = weather.p_both_clear(("b", hours(10)[0]), ("a", hours(0)[0]))
    region_h = 72.0 * 0.4
    assert later == pytest.approx(0.6 * (0.6 + 0.4 * math.exp(-10 / region_h)) * (0.5 / 0.6) * (0.3 / 0.6))
    assert within_5_sigma(float((a[:, 0] & b[:, 1]).mean()), later)


def test_a_station_in_a_region_keeps_its_declared_spell() -> None:
    weather = Weather(Sky((0.5,), 24.0), regions={"plain": Sky((0.6,), 72.0)}, region_of={"a": "plain"})
    own = weather.own_part("a")
    assert own.p_clear[0] == pytest.approx(0.5 / 0.6)
    assert 1 / own.mean_clear_h + 1 / 72.0 == pytest.approx(1 / 24.0)


def test_always_and_never_clear_are_so() -> None:
    moments = hours(0, 5, 700, 2000)
    for p in (0.0, 1.0):
        (clear,) = drawn(Weather(Sky((p,), 10.0)), ["any"], moments)
        assert clear.mean() == p
    assert Weather(Sky((1.0,), 10.0)).odds("any", moments) == pytest.approx(1.0)


def test_draws_repeat_by_seed_and_do_not_depend_on_other_stations() -> None:
    weather, moments = Weather(Sky((0.5,), 24.0)), hours(*range(50))
    alone = weather.draws(["a"], [moments], CHANCE, 50)[0]
    beside = weather.draws(["b", "a"], [moments, moments], CHANCE, 50)
    assert np.array_equal(alone, beside[1])
    assert not np.array_equal(beside[0], beside[1])
    assert not np.array_equal(alone, weather.draws(["a"], [moments], SeededChance(12), 50)[0])


def test_what_is_no_weather_is_refused_with_its_remedy() -> None:
    with pytest.raises(BadParameter, match="no odds of a clear sky") as refusal:
        Sky((50.0,), 24.0)
    assert "from 0 to 1" in refusal.value.remedy
    with pytest.raises(BadParameter, match="clear spells of 0 hours"):
        Sky((0.5,), 0.0)
    with pytest.raises(BadParameter, match="clear more often"):
        Weather(Sky((0.7,), 24.0), regions={"plain": Sky((0.6,), 72.0)}, region_of={"a": "plain"})
    with pytest.raises(BadParameter, match="no region 'plain'"):
        Weather(Sky((0.7,), 24.0), region_of={"a": "plain"})


def test_weather_is_read_from_a_record_and_faults_name_the_entry() -> None:
    usual = Sky((0.5,), 24.0)
    record = {
        "stations": [{"station": "a", "p_clear": [0.5] * 12, "mean_clear_h": 20, "source": "a log", "region": "plain"}],
        "regions": [{"region": "plain", "p_clear": 0.6, "mean_clear_h": 72}],
    }
    weather = weather_of(record, usual=usual, source="weather.yaml")
    assert weather.sky("a").origin == "a log"
    assert weather.regions["plain"].origin == "assumption"
    assert weather.sky("b") == usual
    with pytest.raises(ConfigurationError, match=r"weather.yaml, station 1: needed are station, p_clear"):
        weather_of({"stations": [{"station": "a"}]}, usual=usual, source="weather.yaml")
    with pytest.raises(ConfigurationError, match="no weather"):
        weather_of([1], usual=usual, source="weather.yaml")
