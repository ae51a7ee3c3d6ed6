"""What lies below: a satellite's path over the ground, where stations see it from, where it is night.

All places are latitude and longitude in degrees, as a map takes them; a closed line is not closed by a repeated point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter
from qanat.orbits.earth import (
    EQUATOR_KM,
    MEAN_KM,
    Floats,
    below,
    direction,
    sidereal_angle_rad,
    to_earth_fixed,
)
from qanat.orbits.propagation import Orbit
from qanat.orbits.stations import Station
from qanat.orbits.sun import light_at, sun_elevation_deg, sun_place_km

NUM_POINTS: Final = 180
"""Of a circle on the ground."""


@dataclass(frozen=True, slots=True)
class GroundTrack:
    """One satellite over the ground; arrays of shape (n,), an entry per moment, elevations (n, k) for k stations."""

    satellite: str
    utc_s: Floats
    latitude_deg: Floats
    longitude_deg: Floats
    """-180 to 180."""
    height_km: Floats
    """Above the ellipsoid."""
    light: NDArray[np.int8]
    """``sun.Light``: what the satellite sees of the Sun."""
    elevation_deg: Floats
    """Of the satellite at each station; below zero where it is below the horizon."""
    sun_elevation_deg: Floats
    """Of the Sun at each station, shape (n, k)."""


def ground_track(
    orbit: Orbit, stations: Sequence[Station], utc_s: Floats, *, ut1_minus_utc_s: float = 0.0
) -> GroundTrack:
    """Return where a satellite is over the ground at moments of shape (n,), and how stations see it."""
    places, _ = orbit.inertial(utc_s)
    fixed = to_earth_fixed(places, sidereal_angle_rad(utc_s, ut1_minus_utc_s=ut1_minus_utc_s))
    latitude_deg, longitude_deg, height_km = below(fixed)
    shape = (utc_s.size, len(stations))
    elevations, suns = np.empty(shape), np.empty(shape)
    for number, station in enumerate(stations):
        elevations[:, number] = direction(fixed - station.fixed_km, station.axes)[1]
        suns[:, number] = sun_elevation_deg(station, utc_s)
    return GroundTrack(
        satellite=orbit.name,
        utc_s=utc_s,
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        height_km=height_km,
        light=light_at(places, utc_s),
        elevation_deg=elevations,
        sun_elevation_deg=suns,
    )


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where a satellite stands at one elevation over a station: the rim of the cone of its coverage.

    radius_km: of the satellite, from the middle of the Earth. range_km: along the slant, to the rim, the mean of all
    directions (the ellipsoid makes them differ by parts of a thousand). ground_km: from the station to below the rim.
    """

    station: str
    elevation_deg: float
    radius_km: float
    range_km: float
    ground_km: float
    latitude_deg: Floats
    longitude_deg: Floats


def coverage(station: Station, *, radius_km: float, elevation_deg: float, num_points: int = NUM_POINTS) -> Coverage:
    """Return the places below a satellite that a station sees at an elevation, in all directions from north by east.

    Exact for the station on the ellipsoid and satellites at one distance from the middle of the Earth. Raises
    BadParameter for an elevation that is none, and for satellites that are not above the station.
    """
    if not 0 <= elevation_deg < 90:
        raise BadParameter(
            f"a cone of coverage at {elevation_deg:g} degrees of elevation",
            remedy="give an elevation from 0 to below 90 degrees; 5 to 20 are usual",
        )
    out_km = float(np.linalg.norm(station.fixed_km))
    if not radius_km > out_km:
        raise BadParameter(
            f"satellites {radius_km:g} km from the middle of the Earth are not above station {station.name}",
            remedy=f"give more than {EQUATOR_KM:,.0f} km and the station's height",
        )
    azimuth, elevation = np.linspace(0, 2 * np.pi, num_points, endpoint=False), math.radians(elevation_deg)
    rays = np.stack(
        (
            math.cos(elevation) * np.sin(azimuth),
            math.cos(elevation) * np.cos(azimuth),
            np.full(num_points, math.sin(elevation)),
        ),
        axis=-1,
    )
    rays = rays @ station.axes
    along = rays @ station.fixed_km
    ranges = np.sqrt(along**2 + radius_km**2 - out_km**2) - along
    rim = station.fixed_km + ranges[:, None] * rays
    latitude_deg, longitude_deg, _ = below(rim)
    angles = np.arccos(np.clip(rim @ station.fixed_km / (radius_km * out_km), -1, 1))
    return Coverage(
        station=station.name,
        elevation_deg=elevation_deg,
        radius_km=radius_km,
        range_km=float(ranges.mean()),
        ground_km=float(angles.mean() * MEAN_KM),
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
    )


def sun_above(utc_s: float) -> tuple[float, float]:
    """Return latitude and longitude (degrees) of the place that has the Sun overhead."""
    moment = np.array([utc_s])
    (x, y, z), *_ = to_earth_fixed(sun_place_km(moment), sidereal_angle_rad(moment))
    # The Sun is so far away that its direction is the vertical: the latitude is geodetic.
    return math.degrees(math.atan2(z, math.hypot(x, y))), math.degrees(math.atan2(y, x))


def night_rim(utc_s: float, *, depression_deg: float, num_points: int = 2 * NUM_POINTS) -> tuple[Floats, Floats]:
    """Return latitudes and longitudes of the line beyond which the Sun is lower than a depression; shape (n,) each."""
    latitude_deg, longitude_deg = sun_above(utc_s)
    return circle_about(-latitude_deg, longitude_deg + 180, radius_deg=90 - depression_deg, num_points=num_points)


def circle_about(
    latitude_deg: float, longitude_deg: float, *, radius_deg: float, num_points: int = NUM_POINTS
) -> tuple[Floats, Floats]:
    """Return latitudes and longitudes (-180 to 180) of a circle on the sphere, from north by east; shape (n,) each."""
    latitude, radius = math.radians(latitude_deg), math.radians(radius_deg)
    azimuth = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    sine = math.sin(latitude) * math.cos(radius) + math.cos(latitude) * math.sin(radius) * np.cos(azimuth)
    rim = np.arcsin(np.clip(sine, -1, 1))
    east = np.arctan2(
        np.sin(azimuth) * math.sin(radius) * math.cos(latitude), math.cos(radius) - math.sin(latitude) * sine
    )
    return np.degrees(rim), (longitude_deg + np.degrees(east) + 180) % 360 - 180
