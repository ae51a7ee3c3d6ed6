"""Sidereal time, the ellipsoid and the Sun beside ERFA, the free form of the IAU's SOFA routines."""

from __future__ import annotations

import erfa
import numpy as np
import pytest

from qanat.orbits.earth import POSIX_JD, below, geodetic_to_fixed, sidereal_angle_rad, utc_s_of
from qanat.orbits.stations import packaged_stations
from qanat.orbits.sun import ASTRONOMICAL_UNIT_KM, nights, sun_elevation_deg, sun_place_km

MOMENTS = utc_s_of("1980-01-01") + 86_400.0 * np.arange(0.0, 25_000.0, 17.3)


def test_sidereal_time_is_the_formula_of_1982() -> None:
    expected = erfa.gmst82(POSIX_JD, MOMENTS / 86_400)
    assert abs((sidereal_angle_rad(MOMENTS) - expected + np.pi) % (2 * np.pi) - np.pi).max() < 1e-9


@pytest.mark.parametrize(
    ("latitude", "longitude", "altitude"), [(43.47546, 87.17669, 2080), (-33.9, -70, 0), (90, 0, 10)]
)
def test_places_on_the_ellipsoid_are_erfas(latitude: float, longitude: float, altitude: float) -> None:
    expected_m = erfa.gd2gc(1, np.radians(longitude), np.radians(latitude), altitude)
    assert geodetic_to_fixed(latitude, longitude, altitude) * 1000 == pytest.approx(expected_m, abs=1e-4)


def test_the_ground_track_is_erfas() -> None:
    dice = np.random.default_rng(3)
    places_km = dice.normal(size=(200, 3))
    places_km *= (6_500 + dice.uniform(0, 36_000, 200) / np.linalg.norm(places_km, axis=1))[:, None]
    places_km = places_km[np.linalg.norm(places_km, axis=1) > 6_400]
    latitude, longitude, height_km = below(places_km)
    expected = erfa.gc2gd(1, places_km * 1000)
    assert abs(np.radians(longitude) - expected[0]).max() < 1e-9
    assert abs(np.radians(latitude) - expected[1]).max() < 1e-9
    assert abs(height_km * 1000 - expected[2]).max() < 0.01


def true_sun(utc_s: np.ndarray) -> np.ndarray:
    """Return unit vectors to the Sun as seen, in the true equator and equinox of the date."""
    days = utc_s / 86_400
    earth = erfa.epv00(POSIX_JD, days + 64.0 / 86_400)[0]["p"]  # terrestrial time is about a minute ahead
    sun = -earth / np.linalg.norm(earth, axis=-1, keepdims=True)
    seen = erfa.ab(
        sun, erfa.epv00(POSIX_JD, days)[0]["v"] / 173.144_632_7, np.linalg.norm(earth, axis=-1), np.ones(len(days))
    )
    return np.einsum("nij,nj->ni", erfa.pnm06a(POSIX_JD, days), seen)


def test_the_sun_is_where_erfa_has_it_to_a_sixtieth_of_a_degree() -> None:
    ours = sun_place_km(MOMENTS)
    distance_km = np.linalg.norm(ours, axis=-1)
    apart = np.degrees(np.linalg.norm(np.cross(ours / distance_km[:, None], true_sun(MOMENTS)), axis=-1))
    assert apart.max() < 0.015
    assert apart.mean() < 0.005
    earth = np.linalg.norm(erfa.epv00(POSIX_JD, MOMENTS / 86_400)[0]["p"], axis=-1)
    assert abs(distance_km / ASTRONOMICAL_UNIT_KM - earth).max() < 1e-4


def test_nights_begin_and_end_where_the_sun_passes_the_depression() -> None:
    station = packaged_stations()["nanshan"]
    begin = utc_s_of("2016-12-19")
    spans = nights(station, start_utc_s=begin, end_utc_s=begin + 3 * 86_400, depression_deg=12.0)
    assert len(spans) == 4, "two whole nights, and one cut at either end: midnight there is 18:11 UTC"
    inner = spans.ravel()[(spans.ravel() > begin) & (spans.ravel() < begin + 3 * 86_400)]
    assert sun_elevation_deg(station, inner) == pytest.approx(-12.0, abs=1e-6)
    assert sun_elevation_deg(station, spans.mean(axis=1)).max() < -12.0
