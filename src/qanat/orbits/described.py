"""What is told of each pass beside its moments: directions, darkness at the station, sunlight on the satellite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.orbits.earth import Floats, direction, sidereal_angle_rad, to_earth_fixed
from qanat.orbits.passes import PassTable, Span
from qanat.orbits.propagation import Orbit
from qanat.orbits.sun import Light, light_at, nights, parts_within, sun_elevation_deg


@dataclass(frozen=True, slots=True)
class Pass:
    """One satellite over one station, from rise to set; moments are seconds since 1970-01-01 00:00 UTC.

    Groups of three are those at rise, culmination and set.
    """

    satellite: str
    station: str
    rise_utc_s: float
    culmination_utc_s: float
    set_utc_s: float
    nearest_utc_s: float
    """When the range is least."""
    max_elevation_deg: float
    min_range_km: float
    azimuths_deg: tuple[float, float, float]
    light: tuple[Light, Light, Light]
    """What the satellite sees of the Sun."""
    sun_elevation_deg: float
    """At the station, at culmination."""
    dark_parts: tuple[tuple[float, float], ...]
    """When the Sun is below the chosen depression, within the pass: begins and ends."""
    up_at_start: bool
    """The span begins within the pass: what is called rise is the span's begin."""
    up_at_end: bool
    """The span ends within the pass: what is called set is the span's end."""

    @property
    def duration_s(self) -> float:
        return self.set_utc_s - self.rise_utc_s

    @property
    def dark_s(self) -> float:
        """Return how long it is dark, of the pass."""
        return sum(end - begin for begin, end in self.dark_parts)

    @property
    def dark(self) -> bool:
        """Return whether it is dark from rise to set."""
        return self.dark_parts == ((self.rise_utc_s, self.set_utc_s),)


def describe(table: PassTable, orbits: Sequence[Orbit], span: Span, *, depression_deg: float) -> list[Pass]:
    """Return all passes of a table in order of their rise; ``orbits`` are those that the table was made of.

    It is dark at a station where the Sun is ``depression_deg`` below the horizon, or lower.
    """
    moments = np.stack((table.rise_utc_s, table.culmination_utc_s, table.set_utc_s), axis=-1)
    azimuths, lights = np.empty(moments.shape), np.empty(moments.shape, dtype=np.int8)
    for number, orbit in enumerate(orbits):
        mine = table.satellite == number
        if mine.any():
            places, _ = orbit.inertial(moments[mine].ravel())
            lights[mine] = light_at(places, moments[mine].ravel()).reshape(-1, 3)
            azimuths[mine] = _azimuths(table, places.reshape(-1, 3, 3), moments, mine)
    darkness = [
        nights(station, start_utc_s=span.start_utc_s, end_utc_s=span.end_utc_s, depression_deg=depression_deg)
        for station in table.stations
    ]
    sun = np.empty(len(table))
    for number, station in enumerate(table.stations):
        mine = table.station == number
        sun[mine] = sun_elevation_deg(station, table.culmination_utc_s[mine])
    elevations, cut, until = table.max_elevation_deg, table.up_at_start, table.up_at_end
    station_numbers, nearest = table.station, table.nearest_utc_s
    order = np.lexsort((table.station, table.satellite, moments[:, 0]))
    return [
        Pass(
            satellite=table.satellites[table.satellite[i]],
            station=table.stations[station_numbers[i]].name,
            rise_utc_s=float(moments[i, 0]),
            culmination_utc_s=float(moments[i, 1]),
            set_utc_s=float(moments[i, 2]),
            nearest_utc_s=float(nearest[i]),
            max_elevation_deg=float(elevations[i]),
            min_range_km=float(table.min_range_km[i]),
            azimuths_deg=(float(azimuths[i, 0]), float(azimuths[i, 1]), float(azimuths[i, 2])),
            light=(Light(lights[i, 0]), Light(lights[i, 1]), Light(lights[i, 2])),
            sun_elevation_deg=float(sun[i]),
            dark_parts=tuple(
                parts_within(
                    darkness[station_numbers[i]], start_utc_s=float(moments[i, 0]), end_utc_s=float(moments[i, 2])
                )
            ),
            up_at_start=bool(cut[i]),
            up_at_end=bool(until[i]),
        )
        for i in order
    ]


def _azimuths(table: PassTable, places: Floats, moments: Floats, mine: NDArray[np.bool_]) -> Floats:
    """Return azimuths (m, 3) of the satellite's places (m, 3, 3), inertial, for the passes that are ``mine`` (n,)."""
    stations = [table.stations[number] for number in table.station[mine]]
    fixed = to_earth_fixed(places, sidereal_angle_rad(moments[mine]))
    seen = fixed - np.array([station.fixed_km for station in stations])[:, None, :]
    return direction(seen, np.array([station.axes for station in stations])[:, None, :, :])[0]
