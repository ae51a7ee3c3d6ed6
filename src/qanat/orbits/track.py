"""A pass as arrays over time: what a link budget, a picture and a simulated pass read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.orbits.earth import direction, sidereal_angle_rad, to_earth_fixed, velocity_to_earth_fixed
from qanat.orbits.propagation import Orbit
from qanat.orbits.stations import Station
from qanat.orbits.sun import Light, light_at


@dataclass(frozen=True, slots=True)
class Track:
    """One satellite as seen from one station; all arrays have the shape (n,), one entry per moment, in order.

    Directions are geometric: without refraction, which lifts the satellite by 0.16 degree at 5 degrees of elevation.
    """

    satellite: str
    station: str
    utc_s: NDArray[np.float64]
    """Moments: seconds since 1970-01-01 00:00 UTC, every day taken as 86,400 s (as POSIX counts)."""
    range_km: NDArray[np.float64]
    """Distance from the station to the satellite in a straight line."""
    elevation_deg: NDArray[np.float64]
    """Above the plane that is square to the ellipsoid's vertical at the station; -90 to 90."""
    azimuth_deg: NDArray[np.float64]
    """From north by east; 0 to 360."""
    range_rate_km_per_s: NDArray[np.float64]
    """Growth of the range; below zero while the satellite comes nearer."""
    in_sunlight: NDArray[np.bool_]
    """Whether any of the Sun's disc is seen from the satellite: False in the Earth's umbra."""

    def __post_init__(self) -> None:
        shapes = {array.shape for array in (self.utc_s, *self._columns())}
        if len(shapes) != 1 or self.utc_s.ndim != 1:
            raise ValueError(f"the arrays of a track have one shape (n,), not {sorted(shapes)}")

    def __len__(self) -> int:
        return self.utc_s.size

    def _columns(self) -> tuple[NDArray[np.float64] | NDArray[np.bool_], ...]:
        return (
            *(self.range_km, self.elevation_deg, self.azimuth_deg, self.range_rate_km_per_s),
            self.in_sunlight,
        )


def follow(
    orbit: Orbit,
    station: Station,
    *,
    start_utc_s: float,
    end_utc_s: float,
    step_s: float = 1.0,
    ut1_minus_utc_s: float = 0.0,
) -> Track:
    """Return a satellite as seen from a station, from start to end at every ``step_s``, whether it is up or not.

    The last moment is the last whole step not after the end. Raises RequestError where the orbit ends before.
    """
    if not (step_s > 0 and end_utc_s >= start_utc_s):
        raise ValueError(f"a track goes forward in time: from {start_utc_s} to {end_utc_s} in steps of {step_s} s")
    utc_s = start_utc_s + step_s * np.arange(int((end_utc_s - start_utc_s) / step_s + 1e-9) + 1, dtype=np.float64)
    place, velocity = orbit.inertial(utc_s)
    angle = sidereal_angle_rad(utc_s, ut1_minus_utc_s=ut1_minus_utc_s)
    fixed = to_earth_fixed(place, angle)
    seen = fixed - station.fixed_km
    azimuth_deg, elevation_deg, range_km = direction(seen, station.axes)
    moving = velocity_to_earth_fixed(fixed, to_earth_fixed(velocity, angle))
    return Track(
        satellite=orbit.name,
        station=station.name,
        utc_s=utc_s,
        range_km=range_km,
        elevation_deg=elevation_deg,
        azimuth_deg=azimuth_deg,
        range_rate_km_per_s=np.sum(seen * moving, axis=-1) / range_km,
        in_sunlight=light_at(place, utc_s) != Light.UMBRA,
    )
