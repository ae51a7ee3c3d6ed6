"""The Sun: where it stands, when it is dark at a station, and whether a satellite is in the shadow of the Earth.

The place is by the Astronomical Almanac's low-precision formulas (page C5): within 0.014 degree of ERFA's from 1980 to
2048, by which dusk is off by some seconds. Depressions are of the Sun's middle, without refraction, as twilight is.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter
from qanat.orbits.earth import (
    DAY_S,
    EQUATOR_KM,
    FLATTENING,
    J2000_JD,
    POSIX_JD,
    Floats,
    sidereal_angle_rad,
    to_earth_fixed,
)
from qanat.orbits.stations import Station

ASTRONOMICAL_UNIT_KM: Final = 149_597_870.7
"""Exact by definition (IAU 2012)."""
SUN_RADIUS_KM: Final = 695_700.0
"""Nominal (IAU 2015)."""
GRID_S: Final = 600.0
"""Darkness shorter than this, around a white night's midnight, may be overlooked."""
HALVINGS: Final = 24
"""Of that grid, until dusk and dawn are known to 0.04 ms."""


class Light(IntEnum):
    """What a satellite sees of the Sun's disc."""

    SUNLIT = 0
    PENUMBRA = 1
    UMBRA = 2


def sun_place_km(utc_s: Floats) -> Floats:
    """Return the Sun's place from the middle of the Earth, true equator and equinox of the date, shape (n, 3)."""
    days = np.asarray(utc_s, dtype=np.float64) / DAY_S + (POSIX_JD - J2000_JD)
    anomaly = np.radians(357.528 + 0.985_600_3 * days)
    longitude = np.radians(280.460 + 0.985_647_4 * days + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 4e-7 * days)
    distance_km = ASTRONOMICAL_UNIT_KM * (1.000_14 - 0.016_71 * np.cos(anomaly) - 0.000_14 * np.cos(2 * anomaly))
    sin = np.sin(longitude)
    place = np.stack((np.cos(longitude), np.cos(obliquity) * sin, np.sin(obliquity) * sin), axis=-1)
    return np.asarray(distance_km[..., None] * place, dtype=np.float64)


def sun_elevation_deg(station: Station, utc_s: Floats) -> Floats:
    """Return the elevation of the Sun's middle, without refraction, at moments of shape (n,)."""
    fixed = to_earth_fixed(sun_place_km(utc_s), sidereal_angle_rad(utc_s)) - station.fixed_km
    sine: Floats = fixed @ station.axes[2] / np.linalg.norm(fixed, axis=-1)
    return np.degrees(np.arcsin(sine))


def nights(station: Station, *, start_utc_s: float, end_utc_s: float, depression_deg: float) -> Floats:
    """Return when the Sun is below a depression within a span: begins and ends in order, shape (k, 2).

    Raises BadParameter for a depression that is none.
    """
    check_depression(depression_deg)
    count = max(2, int(np.ceil((end_utc_s - start_utc_s) / GRID_S)) + 1)
    moments = np.linspace(start_utc_s, end_utc_s, count)
    dark = sun_elevation_deg(station, moments) < -depression_deg
    change = np.flatnonzero(dark[1:] != dark[:-1])
    low, high = moments[change], moments[change + 1]
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        is_before = (sun_elevation_deg(station, middle) < -depression_deg) == dark[change]
        low, high = np.where(is_before, middle, low), np.where(is_before, high, middle)
    edges = [0.5 * (low + high)]
    if dark[0]:
        edges.insert(0, moments[:1])
    if dark[-1]:
        edges.append(moments[-1:])
    return np.concatenate(edges).reshape(-1, 2)


def check_depression(depression_deg: float) -> None:
    """Raise BadParameter unless a depression is from 0 to 90 degrees."""
    if not 0 <= depression_deg <= 90:
        raise BadParameter(
            f"the Sun does not stand {depression_deg:g} degrees below the horizon",
            remedy="give 0 to 90: 6 is civil, 12 nautical, 18 astronomical darkness",
        )


def parts_within(spans: Floats, *, start_utc_s: float, end_utc_s: float) -> list[tuple[float, float]]:
    """Return what of a stretch of time lies in spans (k, 2)."""
    first = int(np.searchsorted(spans[:, 1], start_utc_s, side="right"))
    last = int(np.searchsorted(spans[:, 0], end_utc_s, side="left"))
    return [(max(start_utc_s, float(begin)), min(end_utc_s, float(end))) for begin, end in spans[first:last]]


def light_at(inertial_km: Floats, utc_s: Floats) -> NDArray[np.int8]:
    """Return the ``Light`` of satellites at places (n, 3) in the frame of SGP4, shape (n,).

    Discs of Sun and Earth as seen from the satellite; lengths along the axis are stretched so that the Earth is round.
    The air, which bends some sunlight into the umbra, is left out.
    """
    stretch = np.array([1.0, 1.0, 1.0 / (1.0 - FLATTENING)])
    place = inertial_km * stretch
    sun = sun_place_km(utc_s) * stretch - place
    radius, distance = np.linalg.norm(place, axis=-1), np.linalg.norm(sun, axis=-1)
    between = np.arccos(np.clip(-np.sum(place * sun, axis=-1) / (radius * distance), -1.0, 1.0))
    earth, disc = np.arcsin(np.minimum(1.0, EQUATOR_KM / radius)), np.arcsin(SUN_RADIUS_KM / distance)
    light = np.where(between < earth + disc, Light.PENUMBRA, Light.SUNLIT)
    return np.where(between <= earth - disc, Light.UMBRA, light).astype(np.int8)
