"""Where a satellite is: what every orbit can be asked, and SGP4's answer to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from qanat.ground.errors import BadParameter, RequestError
from qanat.orbits.earth import (
    DAY_S,
    EQUATOR_KM,
    POSIX_JD,
    Floats,
    sidereal_angle_rad,
    to_earth_fixed,
    utc_text,
    velocity_to_earth_fixed,
)
from qanat.orbits.elements import ElementSet

STALE_DAYS: Final = 7.0
"""Older elements are warned of: SGP4 drifts along a low orbit by some 1 to 3 km a day (Vallado and Crawford, AIAA
2008-6770), so by then a pass may be seconds off."""
REFUSED_DAYS: Final = 30.0
"""Beyond this from their epoch elements are refused unless asked: a low satellite may be minutes off."""
NEVER_DAYS: Final = 1_500.0
"""Beyond this they are refused in any case: not even how often and how high would be right."""
LOWEST_KM: Final = 100.0
"""No satellite stays in orbit below this height."""

SGP4_ERRORS: Final[Mapping[int, str]] = {
    1: "its mean eccentricity left 0 to 1",
    2: "its mean motion fell below zero",
    3: "its perturbed eccentricity left 0 to 1",
    4: "its semi-latus rectum fell below zero",
    6: "it has decayed",
}
"""What the error codes of SGP4 mean (Vallado et al., AIAA 2006-6753, and the text of the package sgp4)."""


class Orbit(Protocol):
    """A satellite that moves."""

    @property
    def name(self) -> str: ...

    @property
    def epoch_utc_s(self) -> float | None:
        """Of elements that age; None where they do not."""

    def inertial(self, utc_s: Floats) -> tuple[Floats, Floats]:
        """Return positions (km) and velocities (km/s), shape (n, 3) each, for moments of shape (n,).

        The frame is that of SGP4: true equator, mean equinox, so that mean sidereal time turns it to the Earth.
        Raises RequestError where there is no orbit any more.
        """


@dataclass(frozen=True, slots=True)
class Sgp4Orbit:
    """An element set carried on by SGP4."""

    elements: ElementSet

    @property
    def name(self) -> str:
        return self.elements.name

    @property
    def epoch_utc_s(self) -> float | None:
        return self.elements.epoch_utc_s

    def inertial(self, utc_s: Floats) -> tuple[Floats, Floats]:
        whole = np.floor(utc_s / DAY_S)
        errors, places, velocities = self.elements.satrec.sgp4_array(whole + POSIX_JD, utc_s / DAY_S - whole)
        if errors.any():
            first = int(np.argmax(errors != 0))
            self._tell(int(errors[first]), float(utc_s[first]))
        return places, velocities

    def _tell(self, code: int, utc_s: float) -> None:
        """Raise what SGP4's code means. It holds at the epoch, else the elements were refused as they were read: where
        it gives up later, its theory has the satellite come down."""
        epoch_utc_s = self.elements.epoch_utc_s
        where, epoch = f"no orbit at {utc_text(utc_s, digits=0)}", utc_text(epoch_utc_s, digits=0)
        why = f"error {code} of SGP4: {SGP4_ERRORS.get(code, 'its elements cannot be carried so far')}"
        days = f"{abs(utc_s - epoch_utc_s) / DAY_S:,.1f} days"
        if utc_s > epoch_utc_s:
            raise RequestError(
                f"{self.name}: decayed: {where}: by its elements it has come down by then, {days} after their epoch, "
                f"or they do not hold so far ({why})",
                remedy="fetch a newer element set; where there is none it has come down: choose another satellite, "
                f"or a span nearer to the epoch, {epoch}",
            )
        raise RequestError(
            f"{self.name}: {where}: its elements do not hold {days} before their epoch, {epoch} ({why})",
            remedy="ask for a span nearer to the epoch of the elements, fetch newer ones, or check them",
        )


def earth_fixed(orbit: Orbit, utc_s: Floats, *, ut1_minus_utc_s: float = 0.0) -> tuple[Floats, Floats]:
    """Return positions (km) and velocities (km/s) in the Earth-fixed frame, shape (n, 3) each."""
    place, velocity = orbit.inertial(utc_s)
    angle = sidereal_angle_rad(utc_s, ut1_minus_utc_s=ut1_minus_utc_s)
    fixed = to_earth_fixed(place, angle)
    return fixed, velocity_to_earth_fixed(fixed, to_earth_fixed(velocity, angle))


def check_height(orbit: Orbit, least_radius_km: float) -> None:
    """Raise RequestError where an orbit comes down to where there is none."""
    if least_radius_km < EQUATOR_KM + LOWEST_KM:
        raise RequestError(
            f"{orbit.name}: decayed: it comes down to {least_radius_km - EQUATOR_KM:,.0f} km",
            remedy=f"below {LOWEST_KM:g} km there is no orbit: choose another satellite, or an earlier span",
        )


def age_days(orbit: Orbit, *, start_utc_s: float, end_utc_s: float) -> float:
    """Return how far the span reaches from the epoch of the elements, either way; 0 for orbits that do not age."""
    if orbit.epoch_utc_s is None:
        return 0.0
    return max(abs(start_utc_s - orbit.epoch_utc_s), abs(end_utc_s - orbit.epoch_utc_s)) / DAY_S


def check_age(orbit: Orbit, *, start_utc_s: float, end_utc_s: float, accept_stale: bool = False) -> str | None:
    """Return a warning for stale elements, None for fresh ones; raises BadParameter beyond ``REFUSED_DAYS``.

    ``accept_stale``: warn only, up to ``NEVER_DAYS``: for plans that ask how often, not when.
    """
    age = age_days(orbit, start_utc_s=start_utc_s, end_utc_s=end_utc_s)
    if age <= STALE_DAYS:
        return None
    epoch_utc_s = orbit.epoch_utc_s
    assert epoch_utc_s is not None, "only elements age"
    epoch = utc_text(epoch_utc_s, digits=0)
    fault = f"{orbit.name}: stale elements: the span reaches {age:,.1f} days from their epoch, {epoch}"
    if age > NEVER_DAYS:
        raise BadParameter(
            fault,
            remedy=f"more than {NEVER_DAYS:,.0f} days are refused in any case, since not even the height is known "
            "then: fetch newer elements, or type an orbit (circular:ALTITUDE_KM,INCLINATION)",
        )
    if age > REFUSED_DAYS and not accept_stale:
        raise BadParameter(
            fault,
            remedy=f"more than {REFUSED_DAYS:g} days are refused: fetch newer elements, ask for a nearer span, or "
            "accept with --accept-stale that times are wrong by minutes",
        )
    if age > REFUSED_DAYS:
        return f"{fault}; how often and how high may be right, the times are wrong by minutes to hours"
    return f"{fault}; times may be off by seconds, after weeks by minutes"
