"""Passes: every time that a satellite stands above a mask at a station, exact to well under a second.

The orbit is asked once, on a grid; in between a cubic stands for it (``search``). Its error is at most (step x rate)^4
/ 384 of the radius: for a satellite at 500 km 6 m at two minutes, by which a rise is off by a millisecond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter
from qanat.orbits import search
from qanat.orbits.earth import DAY_S, TURN_RAD_PER_S, Floats, sidereal_angle_rad
from qanat.orbits.propagation import Orbit, check_height
from qanat.orbits.stations import Station

STEP_S: Final = 120.0
"""Half of SGP4's time at one minute, and still well within a hundredth of the 0.3 s that are wanted."""
BLOCK: Final = 4_096
"""Intervals of the grid that are searched at a time: half a megabyte, with what SGP4 gives."""
MOST_DAYS: Final = 1_100.0
"""Three years."""
FIRST_UTC_S: Final = -378_691_200.0
"""1958-01-01: before, nothing flew whose elements are kept."""
LAST_UTC_S: Final = 7_258_118_400.0
"""2200-01-01: later, the formulas for the Sun and the turning of the Earth are nobody's promise."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, from one moment to another."""

    start_utc_s: float
    end_utc_s: float

    def __post_init__(self) -> None:
        if not 0 < self.days <= MOST_DAYS:
            raise BadParameter(
                f"a span of {self.days:g} days", remedy=f"ask for more than 0 and at most {MOST_DAYS:,.0f} days"
            )
        if not FIRST_UTC_S <= self.start_utc_s < self.end_utc_s <= LAST_UTC_S:
            raise BadParameter("the span is not between the years 1958 and 2200", remedy="give a later or earlier date")

    @property
    def days(self) -> float:
        return (self.end_utc_s - self.start_utc_s) / DAY_S

    def grid(self, step_s: float) -> tuple[Floats, float]:
        """Return moments from start to end, equally far apart and ``step_s`` at most, and how far they are."""
        num_steps = max(1, math.ceil((self.end_utc_s - self.start_utc_s) / step_s - 1e-9))
        exact_s = (self.end_utc_s - self.start_utc_s) / num_steps
        return self.start_utc_s + exact_s * np.arange(num_steps + 1, dtype=np.float64), exact_s


@dataclass(frozen=True)
class PassTable:
    """All passes of several satellites over several stations, as columns of the length n.

    They stand satellite by satellite, of each station by station, in order of time. A pass that the span cuts begins or
    ends with the span and says so.
    """

    satellites: tuple[str, ...]
    stations: tuple[Station, ...]
    satellite: NDArray[np.int32]
    """Number of the satellite, shape (n,)."""
    start_utc_s: float
    rows: Floats
    """As ``search`` gives them, shape (n, COLUMNS)."""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def station(self) -> NDArray[np.int32]:
        """Number of the station, shape (n,)."""
        return self.rows[:, search.STATION].astype(np.int32)

    @property
    def up_at_start(self) -> NDArray[np.bool_]:
        """Up when the span begins: what is called rise is that moment."""
        return self.rows[:, search.CUT].astype(np.int8) & search.UP_AT_START > 0

    @property
    def up_at_end(self) -> NDArray[np.bool_]:
        """Still up when the span ends: what is called set is that moment."""
        return self.rows[:, search.CUT].astype(np.int8) & search.UP_AT_END > 0

    @property
    def rise_utc_s(self) -> Floats:
        return self.start_utc_s + self.rows[:, search.RISE]

    @property
    def culmination_utc_s(self) -> Floats:
        """Moments of the greatest elevation."""
        return self.start_utc_s + self.rows[:, search.CULMINATION]

    @property
    def set_utc_s(self) -> Floats:
        return self.start_utc_s + self.rows[:, search.SET]

    @property
    def nearest_utc_s(self) -> Floats:
        """Moments of the least range; over the ellipsoid it is not quite that of the greatest elevation."""
        return self.start_utc_s + self.rows[:, search.NEAREST]

    @property
    def min_range_km(self) -> Floats:
        return self.rows[:, search.LEAST_RANGE]

    @property
    def max_elevation_deg(self) -> Floats:
        return np.degrees(np.arcsin(np.minimum(self.rows[:, search.HIGHEST_SINE], 1.0)))  # rounding, at the zenith


def find_passes(
    orbits: Sequence[Orbit],
    stations: Sequence[Station],
    span: Span,
    *,
    min_elevation_deg: float | Sequence[float],
    step_s: float = STEP_S,
    ut1_minus_utc_s: float = 0.0,
) -> PassTable:
    """Return all passes above the least elevation: one for all stations, or one for each.

    A pass that exceeds the mask is found however shortly it does. Raises BadParameter for a mask that cannot be, and
    RequestError where an orbit ends within the span.
    """
    masks_deg = np.broadcast_to(np.asarray(min_elevation_deg, dtype=np.float64), (len(stations),))
    check_masks(masks_deg)
    utc_s, step = span.grid(step_s)
    sky = _Sky(utc_s, step, ut1_minus_utc_s)
    places = np.array([(*station.fixed_km, *station.axes[2]) for station in stations]).reshape(-1, 6)
    watching = np.column_stack((places, np.sin(np.radians(masks_deg))))
    found = [_of_orbit(orbit, watching, sky) for orbit in orbits]
    return PassTable(
        satellites=tuple(orbit.name for orbit in orbits),
        stations=tuple(stations),
        satellite=np.repeat(np.arange(len(orbits), dtype=np.int32), [len(rows) for rows in found]),
        start_utc_s=span.start_utc_s,
        rows=np.concatenate([np.empty((0, search.COLUMNS)), *found]),
    )


def check_masks(masks_deg: Floats) -> None:
    """Raise BadParameter unless each is from 0 to below 90 degrees."""
    for mask_deg in masks_deg:
        if not 0 <= mask_deg < 90:
            raise BadParameter(
                f"no satellite stands above {mask_deg:g} degrees of elevation"
                if mask_deg >= 90
                else f"a least elevation of {mask_deg:g} degrees is no mask above the horizon",
                remedy="give a least elevation from 0 to below 90 degrees; 5 to 20 are usual",
            )


class _Sky:
    """What all satellites of a search share: the grid, and how the Earth is turned on it."""

    def __init__(self, utc_s: Floats, step_s: float, ut1_minus_utc_s: float) -> None:
        angle = sidereal_angle_rad(utc_s, ut1_minus_utc_s=ut1_minus_utc_s)
        self.utc_s, self.step_s = utc_s, step_s
        self.cos, self.sin = np.cos(angle), np.sin(angle)


def _of_orbit(orbit: Orbit, watching: Floats, sky: _Sky) -> Floats:
    """Return the rows of one satellite: searched block by block of the grid, which stays in the processor's cache."""
    found, nearest_km, last = [], math.inf, sky.utc_s.size - 1
    for first in range(0, last, BLOCK):
        block = slice(first, min(first + BLOCK, last) + 1)  # neighbours share a moment
        places, velocities = orbit.inertial(sky.utc_s[block])
        state, bounds = search.turn(places, velocities, sky.cos[block], sky.sin[block], TURN_RAD_PER_S)
        nearest_km = min(nearest_km, float(bounds[0]))
        rows = search.search(state, bounds, sky.step_s, watching)
        rows[:, search.RISE : search.NEAREST + 1] += first * sky.step_s
        found.append(rows)
    check_height(orbit, nearest_km)
    return search.join(np.concatenate(found), len(watching), last * sky.step_s)
