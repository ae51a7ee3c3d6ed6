"""The turning Earth: moments, sidereal time, the WGS-84 ellipsoid, directions from a station.

Moments are seconds since 1970-01-01 00:00 UTC with days of 86,400 s (``utc_s``), as POSIX counts them. The Earth-fixed
frame is the inertial one turned by Greenwich mean sidereal time. Left out: polar motion (0.3 arc seconds at most, 10 m
on the ground) and, unless it is given, UT1 - UTC (0.9 s at most: the ground is then 420 m off at the equator).
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qanat.ground.errors import BadParameter

Floats = NDArray[np.float64]

DAY_S: Final = 86_400.0
POSIX_JD: Final = 2_440_587.5
"""Julian date of 1970-01-01 00:00."""
J2000_JD: Final = 2_451_545.0

EQUATOR_KM: Final = 6_378.137
"""Semi-major axis of WGS 84 (NIMA TR8350.2)."""
FLATTENING: Final = 1 / 298.257_223_563
"""Of WGS 84 (NIMA TR8350.2)."""
MEAN_KM: Final = EQUATOR_KM * (1 - FLATTENING / 3)
"""Mean radius (2 a + b) / 3 of the ellipsoid: 6,371.009 km; the Earth where it is taken for a ball."""
MU_KM3_PER_S2: Final = 398_600.441_8
"""Geocentric gravitational constant of WGS 84, atmosphere included (NIMA TR8350.2)."""
J2: Final = 1.082_629_82e-3
"""Of the gravity model EGM96, which WGS 84 uses."""
TURN_RAD_PER_S: Final = 7.292_115_855_3e-5
"""Rate of mean sidereal time: 1.002 737 909 35 turns a day of UT1 (Aoki et al., Astron. Astrophys. 105, 359, 1982)."""


def utc_s_of(text: str) -> float:
    """Return the moment of a text such as ``2016-12-19``, ``2016-12-19T16:00`` or ``2016-12-20T00:00:00+08:00``.

    Without an offset it is UTC. Raises BadParameter.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise BadParameter(
            f"{text!r} is no moment of time", remedy="write it as 2016-12-19T16:00:00Z; without an offset it is UTC"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def utc_text(utc_s: float, *, digits: int = 3) -> str:
    """Return a moment as ``2016-12-19T16:05:09.123Z``, rounded to ``digits`` of a second (0 to 6)."""
    parts = 10**digits
    whole, rest = divmod(round(utc_s * parts), parts)
    text = datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:0{digits}d}Z" if digits else f"{text}Z"


def utc_texts(utc_s: ArrayLike, *, digits: int = 3) -> list[str]:
    """Return what ``utc_text`` does, of many moments, shape (n,), with less work; digits: 0, 3 or 6."""
    units: dict[int, Literal["s", "ms", "us"]] = {0: "s", 3: "ms", 6: "us"}
    unit = units[digits]
    parts = np.rint(np.asarray(utc_s, dtype=np.float64) * 10**digits).astype(np.int64)
    return [f"{text}Z" for text in np.datetime_as_string(parts.astype(f"datetime64[{unit}]"), unit=unit).tolist()]


def sidereal_angle_rad(utc_s: ArrayLike, *, ut1_minus_utc_s: float = 0.0) -> Floats:
    """Return Greenwich mean sidereal time, 0 to 2 pi, by the formula of 1982, to which SGP4's frame belongs."""
    days = (np.asarray(utc_s, dtype=np.float64) + ut1_minus_utc_s) / DAY_S + (POSIX_JD - J2000_JD)
    centuries = days / 36_525.0
    seconds = 67_310.548_41 + centuries * (8_640_184.812_866 + centuries * (0.093_104 - 6.2e-6 * centuries))
    turns = (seconds / DAY_S) % 1.0 + (days % 1.0)  # 876,600 hours a century are whole days: only their rest counts
    angle: Floats = 2 * np.pi * (turns % 1.0)
    return angle


def to_earth_fixed(inertial_km: Floats, angle_rad: ArrayLike) -> Floats:
    """Return vectors of shape (..., 3), turned by the sidereal angle (shape ...) about the axis of the Earth."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    x, y, z = np.moveaxis(inertial_km, -1, 0)
    return np.stack((cos * x + sin * y, cos * y - sin * x, z + 0.0 * cos), axis=-1)


def velocity_to_earth_fixed(fixed_km: Floats, turned_km_per_s: Floats) -> Floats:
    """Return velocities (..., 3) seen from the turning Earth; ``turned``: the inertial ones in Earth-fixed axes."""
    velocity = turned_km_per_s.copy()
    velocity[..., 0] += TURN_RAD_PER_S * fixed_km[..., 1]
    velocity[..., 1] -= TURN_RAD_PER_S * fixed_km[..., 0]
    return velocity


def geodetic_to_fixed(latitude_deg: float, longitude_deg: float, altitude_m: float) -> Floats:
    """Return a place above the ellipsoid in the Earth-fixed frame, km, shape (3,)."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    squared = FLATTENING * (2 - FLATTENING)
    curvature_km = EQUATOR_KM / np.sqrt(1 - squared * np.sin(latitude) ** 2)
    altitude_km = altitude_m / 1000
    out = (curvature_km + altitude_km) * np.cos(latitude)
    polar = (curvature_km * (1 - squared) + altitude_km) * np.sin(latitude)
    return np.array([out * np.cos(longitude), out * np.sin(longitude), polar])


def local_axes(latitude_deg: float, longitude_deg: float) -> Floats:
    """Return the unit vectors to the east, north and up at a place, rows of a (3, 3) array, Earth-fixed."""
    latitude, longitude = np.radians(latitude_deg), np.radians(longitude_deg)
    sin_lat, cos_lat, sin_lon, cos_lon = np.sin(latitude), np.cos(latitude), np.sin(longitude), np.cos(longitude)
    return np.array(
        [
            [-sin_lon, cos_lon, 0.0],
            [-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat],
            [cos_lat * cos_lon, cos_lat * sin_lon, sin_lat],
        ]
    )


def mean_motion_rad_per_s(radius_km: float) -> float:
    """Return how fast a satellite goes round a ball on a circle: Kepler's third law."""
    return math.sqrt(MU_KM3_PER_S2 / radius_km**3)


def below(fixed_km: Floats) -> tuple[Floats, Floats, Floats]:
    """Return latitude and longitude (deg) and height (km) of points (..., 3) over the ellipsoid: the ground track.

    Bowring's formula (Survey Review 23, 323, 1976) with one pass: below 1 mm off up to geostationary heights.
    """
    x, y, z = np.moveaxis(fixed_km, -1, 0)
    squared = FLATTENING * (2 - FLATTENING)
    out = np.hypot(x, y)
    reduced = np.arctan2(z, out * (1 - FLATTENING) * (1 - squared * EQUATOR_KM / np.hypot(out, z)))
    for _ in range(2):
        latitude = np.arctan2(
            z + squared * (1 - FLATTENING) / (1 - squared) * EQUATOR_KM * np.sin(reduced) ** 3,
            out - squared * EQUATOR_KM * np.cos(reduced) ** 3,
        )
        reduced = np.arctan2((1 - FLATTENING) * np.sin(latitude), np.cos(latitude))
    curvature_km = EQUATOR_KM / np.sqrt(1 - squared * np.sin(latitude) ** 2)
    height_km = out * np.cos(latitude) + z * np.sin(latitude) - EQUATOR_KM**2 / curvature_km
    return np.degrees(latitude), np.degrees(np.arctan2(y, x)), height_km


def direction(seen_km: Floats, axes: Floats) -> tuple[Floats, Floats, Floats]:
    """Return azimuth (0 to 360) and elevation in degrees, and range (km), of vectors from a station, shape (..., 3).

    ``axes``: of ``local_axes``, shape (3, 3) or (..., 3, 3).
    """
    east, north, up = np.moveaxis(np.einsum("...ij,...j->...i", axes, seen_km), -1, 0)
    range_km = np.sqrt(east**2 + north**2 + up**2)
    azimuth = np.degrees(np.arctan2(east, north)) % 360.0
    return azimuth, np.degrees(np.arctan2(up, np.hypot(east, north))), range_km


def coverage_angle_deg(min_elevation_deg: float) -> float:
    """Return the angle of sky that is used: 180 - 2 x the least elevation; the paper's 140 at 20 degrees, 170 at 5."""
    return 180.0 - 2.0 * min_elevation_deg
