"""What a satellite's pass is to its link: when, through which losses, with whose optics, and what to expect of it.

Plain numbers, so that a process of doors can hold them: they are worked out in a worker, where the compiled loops are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.orders import PassForecast
from qanat.physics.system_record import QKDSystem


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A pass that is to come. Moments are seconds since 1970-01-01 00:00 UTC.

    losses_db: loss before the receiver's own of every ``step_s`` seconds in which the telescopes see each other.
    total_loss_db: least and greatest, with the receiver's. system: source mode and station's optics. sifted_bits, qber:
    expected. expected_bits: secret bits of the block of ``block_bits`` verified ones; 0: none. light_share: how much of
    the pass's light is used. origins: where each term of the budget is from.
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

    @property
    def pass_id(self) -> str:
        return f"{self.link_id} {self.rise_utc_s:.0f}"

    @property
    def forecast(self) -> PassForecast:
        """Return what the controller hears of it."""
        return PassForecast(self.station, self.satellite, self.rise_utc_s, self.set_utc_s, self.expected_bits)


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
    from qanat.orbits.timetable import first_moment, orbit_of, scaled, timetable
    from qanat.quantum_layer.pass_run import block_bits_of

    orbits = {site.node: orbit_of(site, read=lambda _, node=site.node: elements[node]) for site in network.satellites}
    found = timetable(network, orbits, start_utc_s=first_moment(orbits), days=days)
    if light_share < 1:
        found = [scaled(one, light_share) for one in found]
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
        )
        for one in found
    ]
