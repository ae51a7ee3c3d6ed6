"""Passes: found whole, exact, never missed; cut ones say so; darkness and shadow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sgp4.api import WGS72, Satrec

from qanat.ground.errors import BadParameter, ConfigurationError, RequestError
from qanat.orbits import passes as passes_module
from qanat.orbits.analytic import CircularOrbit, geostationary
from qanat.orbits.described import describe
from qanat.orbits.earth import EQUATOR_KM, utc_s_of, utc_text
from qanat.orbits.elements import ElementSet, packaged_elements
from qanat.orbits.passes import PassTable, Span, find_passes
from qanat.orbits.propagation import Orbit, Sgp4Orbit, earth_fixed
from qanat.orbits.stations import Station, packaged_stations, station_typed, stations_of
from qanat.orbits.sun import Light, light_at, nights, parts_within, sun_place_km
from qanat.orbits.track import Track, follow

START_UTC_S = utc_s_of("2016-12-19")
SLACK_S = 0.05
NANSHAN = packaged_stations()["nanshan"]
MICIUS = Sgp4Orbit(packaged_elements("micius"))


def span(days: float) -> Span:
    return Span(START_UTC_S, START_UTC_S + days * 86_400)


def elevations_deg(orbit: Orbit, station: Station, utc_s: np.ndarray) -> np.ndarray:
    """Return elevations by nothing but vectors: what the search is held against."""
    seen = earth_fixed(orbit, utc_s)[0] - station.fixed_km
    return np.degrees(np.arcsin(np.clip(seen @ station.axes[2] / np.linalg.norm(seen, axis=1), -1, 1)))


def eccentric(
    motion: float,
    eccentricity: float,
    inclination_deg: float,
    angles_deg: tuple[float, float, float],
    start_utc_s: float = START_UTC_S,
) -> Sgp4Orbit:
    satrec = Satrec()
    node, perigee, anomaly = np.radians(angles_deg)
    turn = 2 * math.pi * motion / 1440
    epoch_days = start_utc_s / 86_400 + 7_306.0  # SGP4 counts from 1949-12-31
    satrec.sgp4init(
        *(WGS72, "i", 1, epoch_days, 0.0, 0.0, 0.0, eccentricity, perigee, math.radians(inclination_deg)),
        *(anomaly, turn, node),
    )
    return Sgp4Orbit(ElementSet("drawn", "1", start_utc_s, satrec))


def check_against_brute_force(orbit: Orbit, station: Station, mask_deg: float, hours: float) -> int:
    """Compare with a look every second; return how many passes there were."""
    table = find_passes([orbit], [station], span(hours / 24), min_elevation_deg=mask_deg)
    utc_s = START_UTC_S + np.arange(0.0, hours * 3600 + 0.5)
    seen = elevations_deg(orbit, station, utc_s)
    is_up = np.concatenate(([False], seen >= mask_deg, [False]))
    begins, ends = (np.flatnonzero(is_up[1:] & ~is_up[:-1]), np.flatnonzero(is_up[:-1] & ~is_up[1:]) - 1)
    matched = set()
    for begin, end in zip(begins, ends, strict=True):
        inside = np.flatnonzero(
            (table.rise_utc_s <= utc_s[begin] + SLACK_S) & (table.set_utc_s >= utc_s[end] - SLACK_S)
        )
        top = seen[begin : end + 1].max()
        if not len(inside):
            assert top < mask_deg + 0.1, f"missed at {utc_text(utc_s[begin])}: {top} degrees"
            continue
        assert len(inside) == 1
        found = int(inside[0])
        matched.add(found)
        assert table.rise_utc_s[found] >= utc_s[begin] - 1 - SLACK_S
        assert table.set_utc_s[found] <= utc_s[end] + 1 + SLACK_S
        assert table.max_elevation_deg[found] >= top - 0.01
        assert table.min_range_km[found] <= follow_least(orbit, station, utc_s[begin : end + 1]) + 0.1
    for number in set(range(len(table))) - matched:
        assert table.set_utc_s[number] - table.rise_utc_s[number] < 1 + SLACK_S, "only what is shorter than a second"
    assert np.all(table.rise_utc_s[1:] > table.set_utc_s[:-1])
    return len(begins)


def follow_least(orbit: Orbit, station: Station, utc_s: np.ndarray) -> float:
    track = follow(orbit, station, start_utc_s=float(utc_s[0]), end_utc_s=float(utc_s[-1]))
    return float(track.range_km.min())


# 1,500 of each were tried once, without a fault; at a perigee of 400 km of a long ellipse the cubic is 50 m off
latitudes, longitudes, turns = st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 360)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.floats(250, 3000), st.floats(0, 180), turns, turns, latitudes, longitudes, st.floats(0, 85))
def test_no_pass_of_a_low_orbit_is_missed(
    altitude: float, inclination: float, node: float, phase: float, latitude: float, longitude: float, mask: float
) -> None:
    orbit = CircularOrbit("o", altitude, inclination, node, phase, START_UTC_S)
    check_against_brute_force(orbit, Station("s", latitude, longitude, 500.0), mask, hours=5.0)


@pytest.mark.campaign
@settings(max_examples=40, deadline=None)
@given(
    st.floats(1.0, 6.0),
    st.floats(0.0, 0.7),
    st.floats(0, 175),  # at 180 degrees SGP4 is singular: its velocities are 65 m/s off what its places do
    st.tuples(turns, turns, turns),
    latitudes,
    st.floats(0, 60),
)
def test_no_pass_of_an_eccentric_orbit_is_missed(
    motion: float,
    eccentricity: float,
    inclination: float,
    angles: tuple[float, float, float],
    latitude: float,
    mask: float,
) -> None:
    axis_km = (398_600.8 / (2 * math.pi * motion / 86_400) ** 2) ** (1 / 3)
    eccentricity = min(eccentricity, 1 - (EQUATOR_KM + 400) / axis_km)
    orbit = eccentric(motion, eccentricity, inclination, angles)
    check_against_brute_force(orbit, Station("s", latitude, 0.0), mask, hours=12.0)


PLACES = [(90.0, 0.0), (-90.0, 33.0), (0.0, 180.0), (65.0, -180.0), (-45.0, 179.999), (43.5, 87.2)]
FAMILIES = {
    "low": lambda start: eccentric(15.2, 0.001, 97.4, (268, 176, 309), start),
    "polar": lambda start: CircularOrbit("polar", 600, 90, 33, 0, start),
    "equatorial": lambda start: eccentric(14.0, 0.01, 0.05, (0, 0, 0), start),
    "retrograde": lambda start: CircularOrbit("back", 400, 144, 10, 50, start),
    "molniya": lambda start: eccentric(2.006, 0.74, 63.4, (100, 270, 10), start),
    "transfer": lambda start: eccentric(2.27, 0.73, 7.0, (200, 180, 0), start),
    "navigation": lambda start: CircularOrbit("mid", 20_200, 55, 10, 50, start),
    "figure of eight": lambda start: eccentric(1.002_74, 0.1, 60.0, (50, 270, 90), start),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["1965-07-01", "2016-12-19", "2057-03-01"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pass_a_tenth_of_a_degree_above_the_mask_is_found(family: str, moment: str) -> None:
    """Tops are looked for every second by vectors alone; then the mask is put 0.1 degree under each of them in turn."""
    start_utc_s = utc_s_of(moment)
    orbit: Orbit = FAMILIES[family](start_utc_s)
    utc_s = start_utc_s + np.arange(0.0, 86_400.5)
    whole = Span(start_utc_s, start_utc_s + 86_400)
    num_tops = 0
    for latitude_deg, longitude_deg in PLACES:
        station = Station("s", latitude_deg, longitude_deg, 100.0)
        seen = elevations_deg(orbit, station, utc_s)
        tops = 1 + np.flatnonzero((seen[1:-1] > seen[:-2]) & (seen[1:-1] >= seen[2:]) & (seen[1:-1] > 0.1))
        for top in tops.tolist():
            mask_deg = min(float(seen[top]) - 0.1, 89.8)
            table = find_passes([orbit], [station], whole, min_elevation_deg=mask_deg)
            around = (table.rise_utc_s < utc_s[top]) & (table.set_utc_s > utc_s[top])
            assert around.sum() == 1, f"{family} over {station}: {seen[top]} degrees at {utc_text(utc_s[top])}"
            assert table.max_elevation_deg[around][0] >= seen[top] - 1e-3
        num_tops += tops.size
    assert num_tops, "the case shows something"


def test_a_pass_that_exceeds_the_mask_for_a_few_seconds_is_found() -> None:
    """The mask is put a thousandth of a degree under each culmination, where no moment of the grid sees the pass."""
    whole = find_passes([MICIUS], [NANSHAN], span(3), min_elevation_deg=5.0)
    assert len(whole) == 12
    for number, highest_deg in enumerate(whole.max_elevation_deg):
        table = find_passes([MICIUS], [NANSHAN], span(3), min_elevation_deg=highest_deg - 0.001)
        near = abs(table.culmination_utc_s - whole.culmination_utc_s[number]) < 1.0
        assert near.sum() == 1
        assert (table.set_utc_s - table.rise_utc_s)[near][0] < 10.0


def test_the_cubic_between_moments_of_the_grid_costs_milliseconds() -> None:
    fine, usual = (
        find_passes([MICIUS], [NANSHAN], span(5), min_elevation_deg=5.0, step_s=step) for step in (5.0, 120.0)
    )
    assert abs(fine.rise_utc_s - usual.rise_utc_s).max() < 0.01
    assert abs(fine.set_utc_s - usual.set_utc_s).max() < 0.01
    assert abs(fine.min_range_km - usual.min_range_km).max() < 0.006


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_of_the_grid_change_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    orbits, stations = (
        [MICIUS, geostationary("g", longitude_deg=100.0, start_utc_s=START_UTC_S)],
        [NANSHAN, Station("s", 0, 90)],
    )
    whole = find_passes(orbits, stations, span(2), min_elevation_deg=5.0)
    monkeypatch.setattr(passes_module, "BLOCK", block)
    parts = find_passes(orbits, stations, span(2), min_elevation_deg=5.0)
    assert list(parts.satellite) == list(whole.satellite)
    moments = [0, 2, 3, 4, 5, 6, 7] if block else []
    low = whole.satellite == 0
    assert parts.rows[:, [0, 2, 4, 5, 6, 7]] == pytest.approx(whole.rows[:, [0, 2, 4, 5, 6, 7]], abs=1e-3)
    assert parts.rows[low][:, moments] == pytest.approx(whole.rows[low][:, moments], abs=1e-3)


def test_a_pass_that_the_span_cuts_says_so() -> None:
    whole = find_passes([MICIUS], [NANSHAN], span(1), min_elevation_deg=5.0)
    middle_utc_s = float(whole.culmination_utc_s[0])
    before = find_passes([MICIUS], [NANSHAN], Span(START_UTC_S, middle_utc_s), min_elevation_deg=5.0)
    after = find_passes([MICIUS], [NANSHAN], Span(middle_utc_s, START_UTC_S + 86_400), min_elevation_deg=5.0)
    assert not whole.up_at_start.any()
    assert not whole.up_at_end.any()
    assert (before.up_at_start[0], before.up_at_end[0]) == (False, True)
    assert before.set_utc_s[0] == middle_utc_s
    assert (after.up_at_start[0], after.up_at_end[0]) == (True, False)
    assert after.rise_utc_s[0] == middle_utc_s
    assert after.set_utc_s[0] == pytest.approx(whole.set_utc_s[0], abs=0.005)
    assert before.max_elevation_deg[0] == pytest.approx(whole.max_elevation_deg[0], abs=1e-3)


def test_a_geostationary_satellite_is_always_up_or_never() -> None:
    above, away = (geostationary(f"g{at}", longitude_deg=at, start_utc_s=START_UTC_S) for at in (87.17669, -90.0))
    table = find_passes([above, away], [NANSHAN], span(30), min_elevation_deg=20.0)
    assert len(table) == 1
    assert table.satellites[table.satellite[0]] == "g87.17669"
    assert (table.up_at_start[0], table.up_at_end[0]) == (True, True)
    assert table.set_utc_s[0] - table.rise_utc_s[0] == 30 * 86_400
    assert table.max_elevation_deg[0] == pytest.approx(40.0, abs=0.5), "at 43.5 degrees of latitude"


def test_the_order_is_satellite_station_time_and_each_is_as_if_alone() -> None:
    orbits = [MICIUS, CircularOrbit("o", 800, 60, 0, 0, START_UTC_S)]
    stations = list(packaged_stations().values())
    both = find_passes(orbits, stations, span(2), min_elevation_deg=[5.0, 20.0])
    alone: list[PassTable] = [
        find_passes([orbit], [station], span(2), min_elevation_deg=mask)
        for orbit in orbits
        for station, mask in zip(stations, (5.0, 20.0), strict=True)
    ]
    assert list(both.rise_utc_s) == [moment for table in alone for moment in table.rise_utc_s]
    assert list(zip(both.satellite, both.station, strict=True)) == sorted(
        zip(both.satellite, both.station, strict=True)
    )


def test_what_cannot_be_searched_is_refused() -> None:
    for mask_deg, words in ((90.0, "no satellite stands above 90"), (-1.0, "no mask"), (math.nan, "no mask")):
        with pytest.raises(BadParameter, match=words):
            find_passes([MICIUS], [NANSHAN], span(1), min_elevation_deg=mask_deg)
    for days in (0.0, -1.0, 5_000.0, math.nan):
        with pytest.raises(BadParameter, match="a span of"):
            span(days)
    low = eccentric(16.8, 0.0, 50.0, (0, 0, 0))
    with pytest.raises(RequestError, match=r"decayed: it comes down to \d+ km"):
        find_passes([low], [NANSHAN], span(1), min_elevation_deg=5.0)


def test_no_satellites_or_stations_give_no_passes() -> None:
    assert len(find_passes([], [NANSHAN], span(1), min_elevation_deg=5.0)) == 0
    assert len(find_passes([MICIUS], [], span(1), min_elevation_deg=[])) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("91,0,0", "latitude of 91"),
        ("0,361,0", "longitude of 361"),
        ("0,0,20000", "altitude of 20000"),
        ("1", "is no station"),
        ("a,b", "is no station"),
        ("nan,0,0", "latitude of nan"),
    ],
)
def test_a_station_off_the_globe_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as told:
        station_typed(text)
    assert told.value.remedy


def test_stations_come_from_records() -> None:
    record = {"name": "here", "latitude_deg": 1, "longitude_deg": 2.5, "altitude_m": 3}
    (found,) = stations_of([record], source="f")
    assert found == Station("here", 1.0, 2.5, 3.0)
    assert stations_of({"stations": [record]}, source="f") == stations_of(record, source="f") == [found]
    for wrong, words in (
        ({**record, "latitude_deg": "1"}, "latitude_deg: '1' is no number"),
        ({**record, "height": 1}, "height is not known"),
        ({"name": "here"}, "no latitude_deg, longitude_deg"),
        ("here", "no record"),
    ):
        with pytest.raises(ConfigurationError, match=f"f, station 1: {words}"):
            stations_of([wrong], source="f")
    with pytest.raises(ConfigurationError, match="no list of stations"):
        stations_of([], source="f")


def test_the_packaged_stations_are_the_papers() -> None:
    nanshan, xinglong = packaged_stations().values()
    assert (nanshan.telescope_m, nanshan.z_share) == (1.2, 0.9)
    assert (xinglong.telescope_m, xinglong.z_share) == (1.0, 0.5)
    apart_km = np.linalg.norm(nanshan.fixed_km - xinglong.fixed_km)
    assert apart_km == pytest.approx(2_480, rel=0.05), "the paper: about 2,600 km"


def test_darkness_within_a_pass_is_told_to_its_parts() -> None:
    spans = np.array([[10.0, 20.0], [30.0, 40.0]])
    assert parts_within(spans, start_utc_s=12, end_utc_s=18) == [(12, 18)]
    assert parts_within(spans, start_utc_s=15, end_utc_s=35) == [(15, 20), (30, 35)]
    assert parts_within(spans, start_utc_s=20, end_utc_s=30) == []
    above = geostationary("g", longitude_deg=87.0, start_utc_s=START_UTC_S)
    two_days = span(2)
    table = find_passes([above], [NANSHAN], two_days, min_elevation_deg=20.0)
    (one,) = describe(table, [above], two_days, depression_deg=18.0)
    expected = nights(NANSHAN, start_utc_s=START_UTC_S, end_utc_s=two_days.end_utc_s, depression_deg=18.0)
    assert not one.dark
    assert one.dark_parts == tuple(map(tuple, expected))
    assert len(one.dark_parts) == 2


def test_micius_at_local_midnight_is_in_the_umbra_and_at_noon_in_sunlight() -> None:
    day = span(1)
    found = describe(find_passes([MICIUS], [NANSHAN], day, min_elevation_deg=5.0), [MICIUS], day, depression_deg=12.0)
    assert [one.dark for one in found] == [one.sun_elevation_deg < -12 for one in found]
    assert {one.light for one in found if one.dark} == {(Light.UMBRA,) * 3}
    assert {one.light for one in found if not one.dark_parts} == {(Light.SUNLIT,) * 3}
    assert all(0 <= azimuth < 360 for one in found for azimuth in one.azimuths_deg)


def test_the_shadow_is_a_cone_with_a_rim_of_half_light() -> None:
    """Behind the Earth the half light is as wide as the Sun's disc of 0.53 degree appears there, about the Earth's
    radius from the middle."""
    moment = np.full(2001, START_UTC_S)
    sun = sun_place_km(moment[:1])[0]
    away = -sun / np.linalg.norm(sun)
    aside = np.cross(away, [0.0, 0.0, 1.0])
    aside /= np.linalg.norm(aside)
    off_km = np.linspace(6_000, 7_000, 2001)
    light = light_at(42_164 * away + off_km[:, None] * aside, moment)
    umbra_km, rim_km = (light == Light.UMBRA).sum() * 0.5 + 6_000, (light != Light.SUNLIT).sum() * 0.5 + 6_000
    assert rim_km - umbra_km == pytest.approx(2 * 42_164 * 0.00473, rel=0.03)
    assert 0.5 * (rim_km + umbra_km) == pytest.approx(EQUATOR_KM, abs=15)
    assert light_at(np.array([sun / np.linalg.norm(sun) * 7_000]), moment[:1])[0] == Light.SUNLIT


def test_a_track_runs_over_the_pass_at_the_step_asked_for() -> None:
    table = find_passes([MICIUS], [NANSHAN], span(1), min_elevation_deg=5.0)
    begin_utc_s, end_utc_s = float(table.rise_utc_s[0]), float(table.set_utc_s[0])
    track = follow(MICIUS, NANSHAN, start_utc_s=begin_utc_s, end_utc_s=end_utc_s)
    assert len(track) == int(end_utc_s - begin_utc_s) + 1
    assert np.diff(track.utc_s) == pytest.approx(1.0, abs=1e-6)
    assert track.elevation_deg[0] == pytest.approx(5.0, abs=1e-3)
    assert track.elevation_deg.max() == pytest.approx(table.max_elevation_deg[0], abs=0.02)
    assert track.range_rate_km_per_s[1:-1] == pytest.approx((track.range_km[2:] - track.range_km[:-2]) / 2, abs=1e-3)
    with pytest.raises(ValueError, match="forward in time"):
        follow(MICIUS, NANSHAN, start_utc_s=end_utc_s, end_utc_s=begin_utc_s)
    with pytest.raises(ValueError, match="one shape"):
        Track("a", "b", np.zeros(2), np.zeros(3), np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2, dtype=bool))


def test_moments_are_read_with_their_offset_and_written_rounded() -> None:
    assert utc_s_of("2016-12-20T00:00+08:00") == utc_s_of("2016-12-19T16:00Z") == utc_s_of("2016-12-19 16:00")
    assert utc_text(utc_s_of("2016-12-19T23:59:59.9996")) == "2016-12-20T00:00:00.000Z"
    assert utc_text(utc_s_of("2016-12-19"), digits=0) == "2016-12-19T00:00:00Z"
    with pytest.raises(BadParameter, match="is no moment of time"):
        utc_s_of("tomorrow")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"z_share": 1.5}, "z_share of 1.5"), ({"z_share": 0.0}, "z_share"), ({"telescope_m": -1.2}, "telescope")],
)
def test_a_station_whose_optics_cannot_be_is_refused_by_name(wrong: dict[str, float], named: str) -> None:
    """It was a detector with negative dark counts that was complained of, and by `qanat passes` nothing."""
    with pytest.raises(ConfigurationError, match=f"delingha.*{named}"):
        Station("delingha", 37.38, 97.73, 3150.0, **wrong)
