"""Orbits from a few numbers: circles, the geostationary place, the Sun's follower, Walker constellations."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.ground.errors import BadParameter
from qanat.orbits.analytic import (
    CircularOrbit,
    geostationary,
    geostationary_altitude_km,
    sun_synchronous_inclination_deg,
)
from qanat.orbits.circular import circular_track
from qanat.orbits.constellations import orbits_typed, walker
from qanat.orbits.earth import EQUATOR_KM, MEAN_KM, below, coverage_angle_deg, utc_s_of
from qanat.orbits.elements import packaged_elements
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import earth_fixed
from qanat.orbits.stations import Station

START_UTC_S = utc_s_of("2020-01-01")
DAY = START_UTC_S + np.arange(0.0, 86_400.0, 600.0)


def orbit(**changes: float) -> CircularOrbit:
    numbers = {"altitude_km": 500.0, "inclination_deg": 97.4, "node_deg": 10.0, "phase_deg": 20.0}
    return CircularOrbit(name="o", start_utc_s=START_UTC_S, **{**numbers, **changes})


def test_it_is_a_circle_of_the_height_and_inclination_asked_for() -> None:
    places, velocities = orbit().inertial(DAY)
    assert np.linalg.norm(places, axis=1) == pytest.approx(EQUATOR_KM + 500)
    assert abs(np.sum(places * velocities, axis=1)).max() < 1e-6
    axis = np.cross(places, velocities)
    tilt = np.degrees(np.arccos(axis[:, 2] / np.linalg.norm(axis, axis=1)))
    assert tilt == pytest.approx(97.4, abs=0.02)


def test_velocities_are_how_places_change() -> None:
    places, velocities = orbit().inertial(START_UTC_S + np.array([99.5, 100.0, 100.5]))
    assert places[2] - places[0] == pytest.approx(velocities[1], abs=1e-5)


def test_the_node_turns_as_sgp4_has_it() -> None:
    """SGP4's secular rates of Micius: its node and its argument of latitude, with higher terms, within a percent."""
    satrec = packaged_elements("micius").satrec
    same = orbit(altitude_km=satrec.a * 6378.135 - EQUATOR_KM, inclination_deg=math.degrees(satrec.inclo))
    assert same.node_rate_rad_per_s * 60 == pytest.approx(satrec.nodedot, rel=0.01)
    assert same.phase_rate_rad_per_s * 60 == pytest.approx(satrec.mdot + satrec.argpdot, rel=1e-4)


def test_the_suns_follower_at_500_km_is_inclined_as_micius_is() -> None:
    assert sun_synchronous_inclination_deg(500) == pytest.approx(97.4, abs=0.05)
    follower = orbit(inclination_deg=sun_synchronous_inclination_deg(500))
    assert follower.node_rate_rad_per_s * 86_400 * 365.2422 == pytest.approx(2 * math.pi, rel=1e-6)
    with pytest.raises(BadParameter, match="no orbit follows the Sun"):
        sun_synchronous_inclination_deg(7000)


def test_a_geostationary_satellite_stands_still() -> None:
    assert geostationary_altitude_km() == pytest.approx(35_786, abs=3)
    places, velocities = earth_fixed(geostationary("g", longitude_deg=110.0, start_utc_s=START_UTC_S), DAY)
    latitude, longitude, _ = below(places)
    assert abs(latitude).max() < 1e-9
    assert longitude == pytest.approx(110.0, abs=1e-3)
    assert abs(velocities).max() < 1e-5


def test_walker_delta_spreads_planes_and_phases() -> None:
    found = walker(
        "w",
        pattern="delta",
        altitude_km=1200,
        inclination_deg=53,
        num_satellites=12,
        num_planes=3,
        phasing=1,
        start_utc_s=START_UTC_S,
    )
    assert [one.node_deg for one in found] == [0] * 4 + [120] * 4 + [240] * 4
    assert [one.phase_deg for one in found[:4]] == [0, 90, 180, 270]
    assert [one.phase_deg for one in found[4:6]] == [30, 120]
    assert len({one.name for one in found}) == 12


def test_walker_star_spreads_planes_over_half_the_equator() -> None:
    found = orbits_typed("walker-star:780,86.4,66/6/2", start_utc_s=START_UTC_S)
    assert len(found) == 66
    assert sorted({one.node_deg for one in found}) == [0, 30, 60, 90, 120, 150]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("walker-delta:1200,53,10/3/1", "10 satellites cannot be spread over 3 planes"),
        ("walker-delta:1200,53,12/3/3", "a phasing of 3"),
        ("walker-delta:1200,53", "is no orbit"),
        ("circular:50,53", "a height of 50 km is no orbit"),
        ("circular:500,190", "an inclination of 190"),
        ("circular:500", "is no orbit"),
        ("circular:nan,53", "a height of nan km"),
        ("geo:x", "is no orbit"),
        ("geo:500", "a longitude of 500"),
    ],
)
def test_what_is_no_orbit_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadParameter, match=words) as told:
        orbits_typed(text, start_utc_s=START_UTC_S)
    assert told.value.remedy


def test_coverage_angles_are_the_papers() -> None:
    """Nature 589, 214 (2021), Fig. 3b: about 140 degrees (1,200 km) and about 170 degrees (2,000 km)."""
    assert coverage_angle_deg(20) == 140
    assert coverage_angle_deg(5) == 170


def test_the_pass_on_a_ball_that_stands_still_is_that_of_the_circle_the_earth_turns_under() -> None:
    """At the pole the Earth's turning moves nothing. What is left is the ellipsoid, whose pole is 14 km lower."""
    pole = Station("pole", 90.0, 0.0)
    altitude_km = 500 + MEAN_KM - EQUATOR_KM
    above = CircularOrbit("o", altitude_km, 90.0, 0.0, 45.0, START_UTC_S)
    table = find_passes([above], [pole], Span(START_UTC_S, START_UTC_S + 5_000), min_elevation_deg=5.0)
    assert len(table) == 1
    still = circular_track(altitude_km=500, max_elevation_deg=float(table.max_elevation_deg[0]))
    duration_s = float(table.set_utc_s[0] - table.rise_utc_s[0])
    assert len(still) == pytest.approx(duration_s, rel=0.02)
    assert still.range_km.min() == pytest.approx(float(table.min_range_km[0]), abs=15)
    assert still.range_km.max() == pytest.approx(2_078, rel=0.005), "acos(R cos e / r) - e by hand"
