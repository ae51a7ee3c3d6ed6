"""The passes that a network's satellites will have over its stations, with their light and the key to expect of it."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import RequestError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Downlink as DescribedDownlink
from qanat.ground.network import Network, Site
from qanat.ground.orders import PassForecast
from qanat.orbits.contention import Contact, taken
from qanat.orbits.described import Pass, describe
from qanat.orbits.downlink import Downlink, LinkBudget, link_budget
from qanat.orbits.network_file import ReadElements, element_set_of, telescope_of
from qanat.orbits.pass_light import PassLight, block_counts, block_length, expected_light
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit, Sgp4Orbit, check_age
from qanat.orbits.stations import Station
from qanat.orbits.track import Track, follow
from qanat.physics.atmosphere import Air
from qanat.physics.micius import FITTED, micius_system
from qanat.physics.source_modes import source_mode
from qanat.physics.system_record import QKDSystem
from qanat.physics.telescope import SpaceTelescope

SUN_BELOW_DEG: Final = 12.0
"""It is dark enough when the Sun is so far below the horizon: the end of nautical twilight."""
F_EC: Final = 1.1
PROOF: Final = "hoeffding"
STEP_S: Final = 1.0


@dataclass(frozen=True)
class PlannedPass:
    """A pass of a satellite over one of its stations, as it is foretold.

    link_id: of the downlink. told: its moments, directions, darkness. light_share: how much of its light is used, 1 for
    the whole pass.
    """

    link_id: LinkId
    satellite: NodeId
    station: NodeId
    told: Pass
    budget: LinkBudget
    light: PassLight
    light_share: float = 1.0

    @property
    def system(self) -> QKDSystem:
        return self.light.system

    @property
    def losses_db(self) -> NDArray[np.float64]:
        """Loss before the receiver's own (dB) of every second in which the telescopes see each other; shape (n,)."""
        return self.budget.link_loss_db(self.system)[self.budget.is_tracked]

    @functools.cached_property
    def expected_bits(self) -> int:
        """Secret bits to expect: by the model, and the proof that keys are made by."""
        if not self.light.sifted_bits:
            return 0
        return block_length(block_counts([self.light]), self.light.protocol, proof=PROOF, f_ec=F_EC).num_bits

    @property
    def forecast(self) -> PassForecast:
        """Return what the controller hears of it."""
        return PassForecast(self.station, self.satellite, self.told.rise_utc_s, self.told.set_utc_s, self.expected_bits)


def orbit_of(site: Site, *, read: ReadElements | None = None) -> Orbit:
    """Return a satellite's orbit; raises ConfigurationError for elements that are wrong, or not one satellite's.

    read: of files; without it, elements are lines or a packaged name.
    """
    return Sgp4Orbit(element_set_of(site, read=read))


def orbits_of(satellites: Sequence[Site], elements: Mapping[NodeId, str]) -> dict[NodeId, Orbit]:
    """Return the orbits of satellites; elements: texts of files, of those that name one. Raises as ``orbit_of``."""

    def orbit(site: Site) -> Orbit:
        return orbit_of(site, read=lambda _: elements[site.node])

    return {site.node: orbit(site) for site in satellites}


def station_of(site: Site, one: DescribedDownlink) -> Station:
    """Return a station's place; raises ConfigurationError for one that is not on the globe."""
    return Station(site.name, site.latitude_deg, site.longitude_deg, one.altitude_m, source="the network file")


def first_moment(orbits: Mapping[NodeId, Orbit]) -> float:
    """Return when a timetable without a date begins: at the latest epoch of the satellites' elements."""
    return max((orbit.epoch_utc_s or 0.0 for orbit in orbits.values()), default=0.0)


def timetable(
    network: Network, orbits: Mapping[NodeId, Orbit], *, start_utc_s: float, days: float, by_day: bool = False
) -> list[PlannedPass]:
    """Return the passes that are made of those that come (``coming_passes``): of such as exclude each other one
    (``contention``)."""
    return made_of(coming_passes(network, orbits, start_utc_s=start_utc_s, days=days, by_day=by_day))


def made_of(passes: Sequence[PlannedPass]) -> list[PlannedPass]:
    """Return the passes of which no two exclude each other, in the order of their rise."""
    return taken(passes, _contact)


def coming_passes(
    network: Network, orbits: Mapping[NodeId, Orbit], *, start_utc_s: float, days: float, by_day: bool = False
) -> list[PlannedPass]:
    """Return the passes over all downlinks' stations, by downlink: those that are dark, or all with ``by_day``.

    Those that the span cuts are left out. Raises
    ConfigurationError; BadParameter for stale elements.
    """
    span = Span(start_utc_s, start_utc_s + days * 86_400.0)
    return [one for down in network.downlinks for one in _of_downlink(network, orbits, down, span, by_day=by_day)]


def _contact(one: PlannedPass) -> Contact:
    return Contact(one.satellite, one.station, one.told.rise_utc_s, one.told.set_utc_s, one.expected_bits)


def scaled(one: PlannedPass, share: float) -> PlannedPass:
    """Return a pass of which only the light about its nearest moment is used, this share of its seconds."""
    if not 0 < share <= 1:
        raise RequestError(f"a share of {share:g} of a pass", remedy="give a share above 0, up to 1")
    track = one.budget.track
    num = max(2, round(share * len(track)))
    first = min(max(0, int(np.argmin(track.range_km)) - num // 2), len(track) - num)
    cut = _part(track, first, first + num)
    budget = link_budget(cut, one.budget.downlink, one.system)
    return replace(one, budget=budget, light=expected_light(one.system, budget), light_share=share * one.light_share)


def _of_downlink(
    network: Network, orbits: Mapping[NodeId, Orbit], one: DescribedDownlink, span: Span, *, by_day: bool
) -> Iterator[PlannedPass]:
    satellite, station = NodeId(one.satellite), NodeId(one.station)
    orbit, place = orbits[satellite], station_of(network.site(station), one)
    check_age(orbit, start_utc_s=span.start_utc_s, end_utc_s=span.end_utc_s)
    table = find_passes([orbit], [place], span, min_elevation_deg=one.least_elevation_deg)
    told: Sequence[Pass] = describe(table, [orbit], span, depression_deg=SUN_BELOW_DEG)
    ground = telescope_of(one)
    air_db = FITTED.air_db if one.air_db is None else one.air_db
    way = Downlink(
        sender=SpaceTelescope(),
        ground=ground,
        air=Air(rule="fitted", fitted_db=air_db, origin="fitted" if one.air_db is None else "input"),
        constant_db=FITTED.constant_db,
    )
    system = micius_system(source_mode(one.mode), ground)
    for each in told:
        if (each.dark or by_day) and not (each.up_at_start or each.up_at_end):
            track = follow(
                orbit,
                place,
                start_utc_s=each.rise_utc_s + STEP_S / 2,
                end_utc_s=each.set_utc_s - STEP_S / 2,
                step_s=STEP_S,
            )
            budget = link_budget(track, way, system)
            yield PlannedPass(one.link_id, satellite, station, each, budget, expected_light(system, budget))


def _part(track: Track, first: int, stop: int) -> Track:
    names = ("utc_s", "range_km", "elevation_deg", "azimuth_deg", "range_rate_km_per_s", "in_sunlight")
    return replace(track, **{name: getattr(track, name)[first:stop] for name in names})
