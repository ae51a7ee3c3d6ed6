"""One pass by its greatest elevation, on a circle round a ball that does not turn: where only heights are known.

The satellite flies north along a great circle that passes the station in the east. An orbit that has a place in the sky
is one of ``analytic`` (a circle that the Earth turns under) or of elements; on low orbits the turning changes a pass's
length by a few per cent. Both circles have the same radius, law of motion and constants (``earth``).
"""

from __future__ import annotations

import math

import numpy as np

from qanat.ground.errors import RequestError
from qanat.orbits.earth import MEAN_KM, mean_motion_rad_per_s
from qanat.orbits.track import Track

LEAST_ALTITUDE_KM, MOST_ALTITUDE_KM = 150.0, 100_000.0


def circular_track(
    *,
    altitude_km: float,
    max_elevation_deg: float,
    least_elevation_deg: float = 5.0,
    duration_s: float | None = None,
    step_s: float = 1.0,
    start_utc_s: float = 0.0,
    satellite: str = "circular orbit",
    station: str = "station",
) -> Track:
    """Return a pass by its greatest elevation (degrees), each entry in the middle of a step of ``step_s`` seconds.

    It lasts while the satellite is above ``least_elevation_deg``, or for ``duration_s`` about the culmination. Raises
    RequestError where there is no such pass.
    """
    _check(altitude_km, max_elevation_deg, least_elevation_deg, step_s)
    radius = MEAN_KM + altitude_km
    turn_rad_per_s = mean_motion_rad_per_s(radius)
    aside = _central_angle(radius, max_elevation_deg)
    if duration_s is None:
        reach = math.acos(min(1.0, math.cos(_central_angle(radius, least_elevation_deg)) / math.cos(aside)))
        duration_s = 2 * reach / turn_rad_per_s
    num_steps = round(duration_s / step_s)
    if num_steps < 1:
        raise RequestError(
            f"a pass of {duration_s:g} s has no step of {step_s:g} s",
            remedy="ask for a higher pass, a longer one, or shorter steps",
        )
    since_s = (np.arange(num_steps) - (num_steps - 1) / 2) * step_s
    along = turn_rad_per_s * since_s
    east, north = radius * math.sin(aside) * np.cos(along), radius * np.sin(along)
    up = radius * math.cos(aside) * np.cos(along) - MEAN_KM
    range_km = np.sqrt(east**2 + north**2 + up**2)
    return Track(
        satellite=satellite,
        station=station,
        utc_s=start_utc_s + step_s * (np.arange(num_steps, dtype=np.float64) + 0.5),
        range_km=range_km,
        elevation_deg=np.degrees(np.arcsin(up / range_km)),
        azimuth_deg=np.degrees(np.arctan2(east, north)) % 360,
        range_rate_km_per_s=MEAN_KM * radius * math.cos(aside) * np.sin(along) * turn_rad_per_s / range_km,
        in_sunlight=np.zeros(num_steps, dtype=np.bool_),
    )


def elevation_at(*, altitude_km: float, range_km: float) -> float:
    """Return the elevation (degrees) at which a satellite of that altitude is so far away; raises RequestError."""
    radius = MEAN_KM + altitude_km
    sine = (radius**2 - MEAN_KM**2 - range_km**2) / (2 * MEAN_KM * range_km)
    if not 0 <= sine <= 1:
        raise RequestError(
            f"a satellite at {altitude_km:g} km is never {range_km:g} km away above the horizon",
            remedy="give a distance from the altitude up to that at the horizon",
        )
    return math.degrees(math.asin(sine))


def altitude_at(*, range_km: float, elevation_deg: float) -> float:
    """Return how high (km) a satellite flies that is so far away at that elevation (degrees)."""
    sine = math.sin(math.radians(elevation_deg))
    return math.sqrt(MEAN_KM**2 + range_km**2 + 2 * MEAN_KM * range_km * sine) - MEAN_KM


def _central_angle(radius_km: float, elevation_deg: float) -> float:
    """Angle at the Earth's middle between a station and the point below a satellite that it sees so high."""
    elevation = math.radians(elevation_deg)
    return math.acos(MEAN_KM / radius_km * math.cos(elevation)) - elevation


def _check(altitude_km: float, max_elevation_deg: float, least_elevation_deg: float, step_s: float) -> None:
    if not LEAST_ALTITUDE_KM <= altitude_km <= MOST_ALTITUDE_KM:
        raise RequestError(
            f"no satellite keeps to an orbit {altitude_km:g} km high",
            remedy=f"give an altitude from {LEAST_ALTITUDE_KM:g} to {MOST_ALTITUDE_KM:g} km",
        )
    if not 0 <= least_elevation_deg < 90:
        raise RequestError(
            f"a least elevation of {least_elevation_deg:g} degrees sees nothing",
            remedy="give degrees above the horizon, from 0 to below 90",
        )
    if not least_elevation_deg < max_elevation_deg <= 90:
        raise RequestError(
            f"a pass whose greatest elevation is {max_elevation_deg:g} degrees is none",
            remedy=f"give degrees above the least elevation ({least_elevation_deg:g}), up to 90",
        )
    if not step_s > 0:
        raise RequestError(f"a step of {step_s:g} s is none", remedy="give seconds above 0")
