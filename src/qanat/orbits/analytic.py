"""Orbits from a few numbers: circles that the Earth's oblateness turns (two bodies and the secular part of J2).

For plans: of satellites that do not fly yet. The rates are first order in J2 (Kaula, Theory of Satellite Geodesy, 1966,
section 3.6); with e = 0 and n = sqrt(mu / a^3), p = 3/2 J2 (R / a)^2 n:

    node            -p cos i
    argument        n + p (4 cos^2 i - 1)     (perigee and mean anomaly together)

Left out: drag, the other harmonics, Moon and Sun. A satellite of a real fleet holds such an orbit by its engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.ground.errors import BadParameter
from qanat.orbits.earth import (
    EQUATOR_KM,
    J2,
    MU_KM3_PER_S2,
    TURN_RAD_PER_S,
    Floats,
    mean_motion_rad_per_s,
    sidereal_angle_rad,
)
from qanat.orbits.propagation import LOWEST_KM

HIGHEST_KM: Final = 400_000.0
"""About as far as the Moon."""
YEAR_DAYS: Final = 365.242_19
"""Tropical year."""


@dataclass(frozen=True, slots=True)
class CircularOrbit:
    """A circle at a height above the equator's radius. Node and phase (argument of latitude) are those at the epoch.

    The node is counted from SGP4's mean equinox; two satellites of one plane differ in phase alone.
    """

    name: str
    altitude_km: float
    inclination_deg: float
    node_deg: float
    phase_deg: float
    start_utc_s: float

    def __post_init__(self) -> None:
        if not LOWEST_KM <= self.altitude_km <= HIGHEST_KM:
            raise BadParameter(
                f"{self.name}: a height of {self.altitude_km:g} km is no orbit",
                remedy=f"give {LOWEST_KM:g} to {HIGHEST_KM:,.0f} km above the equator's radius",
            )
        if not 0 <= self.inclination_deg <= 180:
            raise BadParameter(
                f"{self.name}: an inclination of {self.inclination_deg:g} degrees", remedy="give 0 to 180 degrees"
            )
        if not (math.isfinite(self.node_deg) and math.isfinite(self.phase_deg)):
            raise BadParameter(f"{self.name}: node and phase are numbers of degrees", remedy="give 0 to 360")

    @property
    def epoch_utc_s(self) -> float | None:
        """Of elements that age: these do not."""
        return None

    @property
    def radius_km(self) -> float:
        return EQUATOR_KM + self.altitude_km

    @property
    def node_rate_rad_per_s(self) -> float:
        return -_oblate(self.radius_km) * math.cos(math.radians(self.inclination_deg))

    @property
    def phase_rate_rad_per_s(self) -> float:
        """From node to node."""
        cos = math.cos(math.radians(self.inclination_deg))
        return mean_motion_rad_per_s(self.radius_km) + _oblate(self.radius_km) * (4 * cos**2 - 1)

    def inertial(self, utc_s: Floats) -> tuple[Floats, Floats]:
        """Return positions (km) and velocities (km/s), shape (n, 3) each; see ``propagation.Orbit``."""
        elapsed_s = utc_s - self.start_utc_s
        node = math.radians(self.node_deg) + self.node_rate_rad_per_s * elapsed_s
        phase = math.radians(self.phase_deg) + self.phase_rate_rad_per_s * elapsed_s
        cos_i, sin_i = math.cos(math.radians(self.inclination_deg)), math.sin(math.radians(self.inclination_deg))
        to_node = np.stack((np.cos(node), np.sin(node), np.zeros_like(node)), axis=-1)
        across = np.stack((-cos_i * np.sin(node), cos_i * np.cos(node), np.full_like(node, sin_i)), axis=-1)
        cos, sin = np.cos(phase)[:, None], np.sin(phase)[:, None]
        place = self.radius_km * (cos * to_node + sin * across)
        velocity = self.radius_km * self.phase_rate_rad_per_s * (cos * across - sin * to_node)
        velocity[:, 0] -= self.node_rate_rad_per_s * place[:, 1]
        velocity[:, 1] += self.node_rate_rad_per_s * place[:, 0]
        return place, velocity


def geostationary(name: str, *, longitude_deg: float, start_utc_s: float) -> CircularOrbit:
    """Return a satellite that stands above a place of the equator."""
    above_deg = longitude_deg + math.degrees(float(sidereal_angle_rad(start_utc_s)))
    return CircularOrbit(name, geostationary_altitude_km(), 0.0, 0.0, above_deg % 360.0, start_utc_s)


def geostationary_altitude_km() -> float:
    """Return the height at which a satellite over the equator, with the oblateness, keeps up with the Earth."""
    radius_km: float = (MU_KM3_PER_S2 / TURN_RAD_PER_S**2) ** (1 / 3)
    for _ in range(20):  # node and phase together turn by n + 2 p, where cos i = 1; each pass gains five digits
        excess = (mean_motion_rad_per_s(radius_km) + 2 * _oblate(radius_km)) / TURN_RAD_PER_S
        radius_km *= excess ** (2 / 3)
    return radius_km - EQUATOR_KM


def sun_synchronous_inclination_deg(altitude_km: float) -> float:
    """Return the inclination whose node goes round once a year; raises BadParameter where there is none (6,000 km)."""
    cosine = -2 * math.pi / (YEAR_DAYS * 86_400.0) / _oblate(EQUATOR_KM + altitude_km)
    if not -1 <= cosine <= 0:
        raise BadParameter(f"at {altitude_km:g} km no orbit follows the Sun", remedy="give a height below 5,900 km")
    return math.degrees(math.acos(cosine))


def _oblate(radius_km: float) -> float:
    """Return p of the module's text, rad/s."""
    return 1.5 * J2 * (EQUATOR_KM / radius_km) ** 2 * mean_motion_rad_per_s(radius_km)
