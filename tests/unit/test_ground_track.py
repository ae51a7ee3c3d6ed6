"""Below a satellite: its track, the rim of a station's coverage, the line between day and night."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.ground.errors import BadParameter
from qanat.orbits.analytic import geostationary
from qanat.orbits.earth import EQUATOR_KM, MEAN_KM, below, direction, geodetic_to_fixed, utc_s_of
from qanat.orbits.elements import packaged_elements
from qanat.orbits.ground_track import circle_about, coverage, ground_track, night_rim, sun_above
from qanat.orbits.propagation import Sgp4Orbit, earth_fixed
from qanat.orbits.stations import Station, packaged_stations
from qanat.orbits.sun import sun_elevation_deg
from qanat.orbits.track import follow

START_UTC_S = utc_s_of("2016-12-19T16:00")
XINGLONG = packaged_stations()["xinglong"]
MICIUS = Sgp4Orbit(packaged_elements("micius"))


def test_the_track_is_below_the_satellite_and_has_what_stations_see() -> None:
    utc_s = START_UTC_S + np.arange(0.0, 6_000.0, 60.0)
    found = ground_track(MICIUS, [XINGLONG], utc_s)
    latitude_deg, longitude_deg, height_km = below(earth_fixed(MICIUS, utc_s)[0])
    assert found.latitude_deg == pytest.approx(latitude_deg)
    assert found.longitude_deg == pytest.approx(longitude_deg)
    assert found.height_km == pytest.approx(height_km)
    seen = follow(MICIUS, XINGLONG, start_utc_s=float(utc_s[0]), end_utc_s=float(utc_s[-1]), step_s=60.0)
    assert found.elevation_deg[:, 0] == pytest.approx(seen.elevation_deg, abs=1e-9)
    assert found.sun_elevation_deg[:, 0] == pytest.approx(sun_elevation_deg(XINGLONG, utc_s))
    assert abs(found.latitude_deg).max() == pytest.approx(180 - 97.37, abs=0.3), "as far from the equator as inclined"


@pytest.mark.parametrize("elevation_deg", [0.0, 5.0, 20.0, 80.0])
@pytest.mark.parametrize(("latitude_deg", "longitude_deg"), [(40.0, 117.0), (89.9, 0.0), (-90.0, 0.0), (0.0, 180.0)])
def test_a_satellite_on_the_rim_is_seen_at_the_elevation_of_the_cone(
    latitude_deg: float, longitude_deg: float, elevation_deg: float
) -> None:
    """The rim is put back to a place at the satellite's distance, and looked at from the station."""
    station = Station("s", latitude_deg, longitude_deg, 500.0)
    radius_km = EQUATOR_KM + 500
    rim = coverage(station, radius_km=radius_km, elevation_deg=elevation_deg)
    for latitude, longitude in zip(rim.latitude_deg[::20], rim.longitude_deg[::20], strict=True):
        place = at_radius(float(latitude), float(longitude), radius_km)
        _, elevation, range_km = direction(place - station.fixed_km, station.axes)
        assert elevation == pytest.approx(elevation_deg, abs=1e-3)
        assert range_km == pytest.approx(rim.range_km, rel=0.03)


def at_radius(latitude_deg: float, longitude_deg: float, radius_km: float) -> np.ndarray:
    """Return the place above a geodetic latitude and longitude that is so far from the middle of the Earth."""
    low, high = 0.0, 2e6
    for _ in range(60):
        middle = 0.5 * (low + high)
        if np.linalg.norm(geodetic_to_fixed(latitude_deg, longitude_deg, middle)) < radius_km:
            low = middle
        else:
            high = middle
    return np.asarray(geodetic_to_fixed(latitude_deg, longitude_deg, middle))


def test_the_papers_cones_reach_1200_and_2000_km() -> None:
    """Nature 589, 214 (2021), Fig. 3b: coverage angles of about 140 and 170 degrees, 1,200 and 2,000 km."""
    for elevation_deg, paper_km in ((20.0, 1_200.0), (5.0, 2_000.0)):
        rim = coverage(packaged_stations()["nanshan"], radius_km=MEAN_KM + 500, elevation_deg=elevation_deg)
        assert rim.range_km == pytest.approx(paper_km, rel=0.05)
        # On a ball: the angle at the middle of the Earth is acos(R cos e / r) - e.
        angle = math.acos(MEAN_KM * math.cos(math.radians(elevation_deg)) / rim.radius_km)
        ground_km = MEAN_KM * (angle - math.radians(elevation_deg))
        assert rim.ground_km == pytest.approx(ground_km, rel=0.01)


def test_what_has_no_cone_is_refused() -> None:
    for elevation_deg, radius_km, words in ((90.0, 7_000.0, "at 90 degrees"), (5.0, 6_000.0, "are not above station")):
        with pytest.raises(BadParameter, match=words):
            coverage(XINGLONG, radius_km=radius_km, elevation_deg=elevation_deg)


def test_the_sun_stands_overhead_where_it_is_said_to() -> None:
    latitude_deg, longitude_deg = sun_above(utc_s_of("2016-12-21T10:44"))
    assert latitude_deg == pytest.approx(-23.437, abs=0.01), "the solstice"
    there = Station("s", latitude_deg, longitude_deg)
    assert sun_elevation_deg(there, np.array([utc_s_of("2016-12-21T10:44")]))[0] == pytest.approx(90.0, abs=0.05)
    # The equation of time of the Astronomical Almanac on 2016-12-21 is +1.9 minutes.
    assert longitude_deg == pytest.approx((12 - 10 - 44 / 60) * 15 - 1.9 / 4, abs=0.1)


@pytest.mark.parametrize("depression_deg", [0.0, 12.0, 18.0])
@pytest.mark.parametrize("moment", ["2016-12-19T16:00", "2017-03-20T10:29", "2017-06-21T00:00"])
def test_on_the_rim_of_the_night_the_sun_is_as_low_as_asked(moment: str, depression_deg: float) -> None:
    utc_s = utc_s_of(moment)
    latitudes, longitudes = night_rim(utc_s, depression_deg=depression_deg)
    for latitude, longitude in zip(latitudes[::30], longitudes[::30], strict=True):
        sun = sun_elevation_deg(Station("s", float(latitude), float(longitude)), np.array([utc_s]))[0]
        assert sun == pytest.approx(-depression_deg, abs=0.01)


def test_a_circle_has_the_same_distance_everywhere() -> None:
    latitudes, longitudes = np.radians(circle_about(80.0, 170.0, radius_deg=25.0))
    cosine = math.sin(math.radians(80)) * np.sin(latitudes) + math.cos(math.radians(80)) * np.cos(latitudes) * np.cos(
        longitudes - math.radians(170)
    )
    assert np.degrees(np.arccos(cosine)) == pytest.approx(25.0)


def test_a_geostationary_track_is_a_point() -> None:
    orbit = geostationary("g", longitude_deg=110.0, start_utc_s=START_UTC_S)
    found = ground_track(orbit, [], START_UTC_S + np.arange(0.0, 86_400.0, 3_600.0))
    assert found.longitude_deg == pytest.approx(110.0, abs=1e-3)
    assert found.elevation_deg.shape == (24, 0)
