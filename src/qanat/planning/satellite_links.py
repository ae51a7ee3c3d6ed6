"""The link of a satellite to each station of a plan, and how many users a week's key serves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

from qanat.ground.errors import BadParameter
from qanat.orbits.downlink import LINK_TERMS, Downlink, link_budget
from qanat.orbits.nature2021 import one_moment
from qanat.orbits.stations import Station, packaged_stations
from qanat.physics.atmosphere import Air
from qanat.physics.micius import FITTED, FittedNumbers, micius_system
from qanat.physics.source_modes import THIS_WORK, SourceMode
from qanat.physics.telescope import GROUND_TELESCOPES, JITTER_URAD, NANSHAN, GroundTelescope, SpaceTelescope
from qanat.planning.pass_keys import StationLink

PAPER_WEEK_BITS: Final = 36e6
"""Nature 589, 214 (2021), main text: "typically ... about 36 Mbit per week"."""
PAPER_USERS: Final = 6_000
"""The same place: about as many users does that support."""
WEEK_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What is common to all links of a plan. The telescope of a station that has none of its own is Nanshan's, as wide
    as ``telescope_m``."""

    mode: SourceMode = THIS_WORK
    sender: SpaceTelescope = field(default_factory=SpaceTelescope)
    fitted: FittedNumbers = FITTED
    telescope_m: float = NANSHAN.diameter_m


def station_link(station: Station, options: LinkOptions) -> StationLink:
    """Return the link of a station: the budget and the system of ``qanat pass``, by the fitted air, without the
    tracking camera. Raises ConfigurationError for a telescope that is none."""
    ground = _telescope(station, options.telescope_m)
    fitted = options.fitted
    return StationLink(
        downlink=Downlink(
            sender=options.sender,
            ground=ground,
            air=Air(rule="fitted", fitted_db=fitted.air_db, origin="fitted" if fitted == FITTED else "input"),
            constant_db=fitted.constant_db,
            camera=None,
        ),
        system=micius_system(options.mode, ground, fitted=fitted),
    )


def has_telescope(station: Station) -> bool:
    """Return whether a station has a telescope of its own: what a plan says of those without is nothing to it."""
    return station.telescope_m is not None or station.name in GROUND_TELESCOPES


def sender_of(*, divergence_urad: float, jitter_urad: float | None) -> SpaceTelescope:
    """Return Micius' telescope with another beam or jitter (rms about each axis; None: its own). A narrower beam does
    not point better: what the jitter leaves of it is worked out. Raises ConfigurationError for what is none."""
    usual = SpaceTelescope()
    if jitter_urad is None and divergence_urad == usual.divergence_urad:
        return usual
    changed = replace(usual, divergence_urad=divergence_urad)
    return changed.jittering(JITTER_URAD if jitter_urad is None else jitter_urad)


def losses_at(link: StationLink, *, range_km: float, elevation_deg: float) -> dict[str, float]:
    """Return what the terms of a link take (dB) with the satellite in one place, the greatest first."""
    budget = link_budget(one_moment(range_km=range_km, elevation_deg=elevation_deg), link.downlink, link.system)
    found = {name: float(budget.terms_db[name][0]) for name in LINK_TERMS}
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def _telescope(station: Station, telescope_m: float) -> GroundTelescope:
    packaged = GROUND_TELESCOPES.get(station.name)
    has_own = station.telescope_m is not None or station.z_share is not None
    if packaged is not None and (not has_own or station == packaged_stations().get(station.name)):
        return packaged
    if packaged is not None:
        telescope_m = packaged.diameter_m
    diameter_m = telescope_m if station.telescope_m is None else station.telescope_m
    z_share = NANSHAN.p_rectilinear if station.z_share is None else station.z_share
    if not 0 < z_share < 1:
        raise BadParameter(f"{station.name}: a splitter of {z_share:g}", remedy="give a z_share between 0 and 1")
    told = {
        **NANSHAN.provenance,
        "diameter_m": "assumption: the command" if station.telescope_m is None else "input: the station's file",
        "p_rectilinear": "assumption: Nanshan's" if station.z_share is None else "input: the station's file",
    }
    return replace(NANSHAN, name=station.name, diameter_m=diameter_m, p_rectilinear=z_share, provenance=told)


@dataclass(frozen=True, slots=True)
class Refresh:
    """What a user takes: by default 64 seeds of 128 bits every ten days, as the paper counts."""

    key_bits: int = 64 * 128
    every_days: float = 10.0

    def __post_init__(self) -> None:
        if not (self.key_bits >= 1 and 0 < self.every_days < math.inf):
            raise BadParameter(
                f"{self.key_bits} bits every {self.every_days:g} days", remedy="give one bit or more, days above 0"
            )


def users_of(week_bits: float, refresh: Refresh) -> int:
    """Return how many users so much key a week serves, a whole number."""
    if not (math.isfinite(week_bits) and week_bits >= 0):
        raise BadParameter(f"{week_bits:g} bits a week", remedy="give a number, zero or more")
    per_day = Fraction(str(round(week_bits, 3))) / WEEK_DAYS
    return math.floor(per_day * Fraction(str(refresh.every_days)) / refresh.key_bits)
