"""Passes beside skyfield's search, which shares SGP4 with ours and nothing else: own frames, own search, own roots."""

from __future__ import annotations

import numpy as np
import pytest
from skyfield.api import EarthSatellite, Timescale, load, wgs84

from qanat.ground.data import read_text
from qanat.orbits.earth import utc_s_of
from qanat.orbits.elements import packaged_elements
from qanat.orbits.passes import PassTable, Span, find_passes
from qanat.orbits.propagation import Sgp4Orbit
from qanat.orbits.stations import Station, packaged_stations
from qanat.orbits.track import follow

START_UTC_S = utc_s_of("2016-12-17")
SPAN = Span(START_UTC_S, START_UTC_S + 5 * 86_400)
MASK_DEG = 5.0
RISES, SETS = 0, 2


@pytest.fixture(scope="module")
def timescale() -> Timescale:
    return load.timescale(builtin=True)


@pytest.fixture(scope="module")
def satellite(timescale: Timescale) -> EarthSatellite:
    lines = [line for line in read_text("orbits", "micius.tle").splitlines() if line[:2] in ("1 ", "2 ")]
    return EarthSatellite(*lines, "MICIUS", timescale)


def utc_s(times: list[object]) -> np.ndarray:
    return np.array([time.utc_datetime().timestamp() for time in times])  # type: ignore[attr-defined]


def events(satellite: EarthSatellite, timescale: Timescale, station: Station, kind: int) -> np.ndarray:
    place = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.altitude_m)
    begin = timescale.utc(2016, 12, 17)
    times, kinds = satellite.find_events(place, begin, timescale.utc(2016, 12, 22), altitude_degrees=MASK_DEG)
    return utc_s([time for time, found in zip(times, kinds, strict=True) if found == kind])


def ours(station: Station, *, ut1_minus_utc_s: float = 0.0) -> PassTable:
    orbit = Sgp4Orbit(packaged_elements("micius"))
    return find_passes([orbit], [station], SPAN, min_elevation_deg=MASK_DEG, ut1_minus_utc_s=ut1_minus_utc_s)


def elevation_deg(
    satellite: EarthSatellite, timescale: Timescale, station: Station, moments_utc_s: np.ndarray
) -> np.ndarray:
    """Return what skyfield sees at moments of the span."""
    place = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.altitude_m)
    times = timescale.utc(2016, 12, 17, 0, 0, moments_utc_s - START_UTC_S)
    return np.asarray((satellite - place).at(times).altaz()[0].degrees)


def refined(satellite: EarthSatellite, timescale: Timescale, station: Station, kind: int) -> np.ndarray:
    """Return skyfield's rises or sets, halved down to a millisecond: it stops at half a second."""
    near = events(satellite, timescale, station, kind)
    low, high = near - 1.0, near + 1.0
    for _ in range(11):
        middle = 0.5 * (low + high)
        is_before = (elevation_deg(satellite, timescale, station, middle) < MASK_DEG) == (kind == RISES)
        low, high = np.where(is_before, middle, low), np.where(is_before, high, middle)
    return 0.5 * (low + high)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nanshan", "xinglong"])
def test_rise_and_set_are_those_of_skyfield(name: str, satellite: EarthSatellite, timescale: Timescale) -> None:
    station = packaged_stations()[name]
    rises, sets = (refined(satellite, timescale, station, kind) for kind in (RISES, SETS))
    without = ours(station)
    with_ut1 = ours(station, ut1_minus_utc_s=float(timescale.utc(2016, 12, 19).dut1))
    assert len(without) == len(with_ut1) == len(rises) == len(sets) > 15
    assert abs(without.rise_utc_s - rises).max() < 0.3, "without UT1 - UTC, which was -0.4 s"
    assert abs(without.set_utc_s - sets).max() < 0.3
    assert abs(with_ut1.rise_utc_s - rises).max() < 0.01
    assert abs(with_ut1.set_utc_s - sets).max() < 0.01


@pytest.mark.slow
def test_nothing_is_higher_than_the_culmination(satellite: EarthSatellite, timescale: Timescale) -> None:
    station = packaged_stations()["nanshan"]
    table = ours(station, ut1_minus_utc_s=float(timescale.utc(2016, 12, 19).dut1))
    around = table.culmination_utc_s[:, None] + np.linspace(-30, 30, 61)
    seen = elevation_deg(satellite, timescale, station, around.ravel()).reshape(around.shape)
    assert seen.max(axis=1) == pytest.approx(table.max_elevation_deg, abs=0.003)
    assert np.all(seen.argmax(axis=1) == 30)


def test_a_track_has_skyfields_ranges_and_directions(satellite: EarthSatellite, timescale: Timescale) -> None:
    station = packaged_stations()["xinglong"]
    begin_utc_s = utc_s_of("2016-12-19T16:48")
    dut1_s = float(timescale.utc(2016, 12, 19).dut1)
    track = follow(
        Sgp4Orbit(packaged_elements("micius")),
        station,
        start_utc_s=begin_utc_s,
        end_utc_s=begin_utc_s + 500,
        step_s=10.0,
        ut1_minus_utc_s=dut1_s,
    )
    place = wgs84.latlon(station.latitude_deg, station.longitude_deg, station.altitude_m)
    seen = (satellite - place).at(timescale.utc(2016, 12, 19, 16, 48, track.utc_s - begin_utc_s))
    elevation, azimuth, distance, _, _, range_rate = seen.frame_latlon_and_rates(place)
    assert abs(track.range_km - distance.km).max() < 0.02
    assert abs(track.elevation_deg - elevation.degrees).max() < 0.002
    assert abs((track.azimuth_deg - azimuth.degrees + 180) % 360 - 180).max() < 0.004
    assert abs(track.range_rate_km_per_s - range_rate.km_per_s).max() < 1e-4


def test_over_xinglong_in_the_night_of_2016_12_19_the_least_range_is_the_published_645_km() -> None:
    """Nature 549, 43 (2017): ranges from 645 to 1,200 km; the paper quotes them. 272 s lie within 1,200 km."""
    station, orbit = packaged_stations()["xinglong"], Sgp4Orbit(packaged_elements("micius"))
    night = Span(utc_s_of("2016-12-19T10:00"), utc_s_of("2016-12-19T23:00"))
    table = find_passes([orbit], [station], night, min_elevation_deg=10.0)
    assert len(table) == 1
    assert table.min_range_km[0] == pytest.approx(645.0, abs=0.5)
    track = follow(orbit, station, start_utc_s=table.rise_utc_s[0], end_utc_s=table.set_utc_s[0], step_s=0.1)
    assert 0.1 * np.count_nonzero(track.range_km <= 1200.0) == pytest.approx(272, abs=1.5)
