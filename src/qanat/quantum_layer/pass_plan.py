"""What a satellite's pass is to its link: when, through which losses, with whose optics, and what to expect of it.

Plain numbers, so that a process of doors can hold them: they are worked out in a worker, where the compiled loops are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.orders import PassForecast
from qanat.ground.ports import Chance
from qanat.physics.system_record import QKDSystem


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A pass that is to come. Moments are seconds since 1970-01-01 00:00 UTC.

    losses_db: loss before the receiver's own of every ``step_s`` seconds in which the telescopes see each other.
    total_loss_db: least and greatest, with the receiver's. system: source mode and station's optics. sifted_bits, qber:
    expected. expected_bits: secret bits of the block of ``block_bits`` verified ones; 0: none. light_share: how much of
    the pass's light is used. origins: where each term of the budget is from. p_clear: odds of a clear sky; all the rest
    is of a clear one.
    """

    link_id: LinkId
    satellite: NodeId
    station: NodeId
    rise_utc_s: float
    culmination_utc_s: float
    set_utc_s: float
    max_elevation_deg: float
    min_range_km: float
    total_loss_db: tuple[float, float]
    losses_db: tuple[float, ...]
    step_s: float
    system: QKDSystem
    sifted_bits: float
    qber: float
    expected_bits: int
    block_bits: int
    light_share: float = 1.0
    origins: Mapping[str, str] = field(default_factory=dict, compare=False)
    p_clear: float = 1.0

    @property
    def pass_id(self) -> str:
        return f"{self.link_id} {self.rise_utc_s:.0f}"

    @property
    def forecast(self) -> PassForecast:
        """Return what the controller hears of it: the mean over the weather."""
        mean_bits = math.floor(self.expected_bits * self.p_clear)
        return PassForecast(self.station, self.satellite, self.rise_utc_s, self.set_utc_s, mean_bits, self.p_clear)

    @property
    def when(self) -> tuple[NodeId, float]:
        """Station and moment by which the weather of the pass is drawn."""
        return self.station, self.rise_utc_s


@dataclass(frozen=True, slots=True)
class PassLight:
    """The light of one pass, for the worker that draws it."""

    system: QKDSystem
    losses_db: tuple[float, ...]
    step_s: float


def plan_passes(network: Network, elements: Mapping[NodeId, str], days: float, light_share: float) -> list[PassPlan]:
    """Return the dark passes of the days that follow the satellites' elements, in order; for a worker.

    elements: texts of files, of satellites that name one. Raises ConfigurationError, BadParameter.
    """
    from qanat.orbits.timetable import first_moment, orbits_of, scaled, timetable
    from qanat.quantum_layer.pass_run import block_bits_of
    from qanat.quantum_layer.pass_weather import odds_of_clear

    orbits = orbits_of(network.satellites, elements)
    found = timetable(network, orbits, start_utc_s=first_moment(orbits), days=days)
    if light_share < 1:
        found = [scaled(one, light_share) for one in found]
    odds = odds_of_clear(network, [(one.station, one.told.rise_utc_s) for one in found])
    return [
        PassPlan(
            link_id=one.link_id,
            satellite=one.satellite,
            station=one.station,
            rise_utc_s=one.told.rise_utc_s,
            culmination_utc_s=one.told.culmination_utc_s,
            set_utc_s=one.told.set_utc_s,
            max_elevation_deg=one.told.max_elevation_deg,
            min_range_km=one.told.min_range_km,
            total_loss_db=(float(one.budget.total_db.min()), float(one.budget.total_db.max())),
            losses_db=tuple(one.losses_db.tolist()),
            step_s=one.light.step_s,
            system=one.system,
            sifted_bits=one.light.sifted_bits,
            qber=one.light.qber,
            expected_bits=one.expected_bits,
            block_bits=block_bits_of(one.light),
            light_share=one.light_share,
            origins=dict(one.budget.origins),
            p_clear=p_clear,
        )
        for one, p_clear in zip(found, odds, strict=True)
    ]


def draw_skies(network: Network, plans: Sequence[PassPlan], chance: Chance) -> list[bool]:
    """Draw of each of a timetable's passes, in order of their rise, whether it is clear; for a worker."""
    from qanat.quantum_layer.pass_weather import draw_clear

    return draw_clear(network, [plan.when for plan in plans], chance)
