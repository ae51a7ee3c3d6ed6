"""The way by satellite: its passes, what the satellite announced, and how far the keys went, beside the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from qanat.apps.report.result import Provenance, Transfer
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network

BACKBONE = "backbone"
STATIONS_PAPER_KM = 2_600.0
"""Between the two stations: "about 2,600 km" (Nature 589, 214 (2021), main text and Fig. 1)."""
BACKBONE_PAPER_KM = 2_000.0
"""Of the backbone: "over 2,000 km" (the same, Fig. 1)."""
TITLE_KM = 4_600.0
"""The title's."""


@dataclass(frozen=True, slots=True)
class PassResult:
    """A pass that made key. Expected: by the model; the rest is of this run, at photon level.

    waited_s: what would have been waited for it, and was left out; took_s: how long it took here. light_share: how much
    of the pass's light was used; 1: all.
    """

    link_id: str
    satellite: str
    station: str
    rise_utc_s: float
    set_utc_s: float
    max_elevation_deg: float
    min_range_km: float
    loss_db: tuple[float, float]
    light_s: float
    light_share: float
    sifted_bits: int
    qber: float
    f_ec: float
    secret_bits: int
    expected_sifted_bits: float
    expected_qber: float
    expected_secret_bits: float
    eps_total: float
    keys_identical: bool
    waited_s: float
    took_s: float
    air: str


@dataclass(frozen=True, slots=True)
class AnnouncedKey:
    """What a satellite has announced once: key for two stations, for as much of both downlinks' and the tags."""

    block_id: str
    route: tuple[str, ...]
    num_bits: int
    authentication_bits: int
    qkd_bits: int
    opened_at: tuple[str, ...]
    stored_at: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether each of the two stations has opened and stored it, once."""
        ends = {self.route[0], self.route[-1]}
        return set(self.opened_at) == set(self.stored_at) == ends and len(self.opened_at) == len(self.stored_at) == 2

    @property
    def is_balanced(self) -> bool:
        return self.qkd_bits == (len(self.route) - 1) * self.num_bits + self.authentication_bits


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of the way: ours in km and what it is, and what the paper prints; None: nothing."""

    name: str
    length_km: float
    kind: Provenance
    paper_km: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class SpaceResult:
    """All that went by satellite in a run."""

    passes: tuple[PassResult, ...]
    announced: tuple[AnnouncedKey, ...]
    transfer: Transfer
    legs: tuple[Leg, ...]
    """Parts of the way from end to end."""
    title: tuple[Leg, ...]
    """The two parts that the paper's title counts, and their sum."""

    @property
    def total_km(self) -> float:
        return sum(leg.length_km for leg in self.legs)


def legs_of(network: Network, route: Sequence[str]) -> tuple[Leg, ...]:
    """Return the parts of a way that names its satellites: fibre by headings, and from station to station."""
    return tuple(_joined(list(_hops(network, route))))


def title_legs(network: Network, legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """Return what the title of the paper sums up, ours beside the paper's, and the sum; tuned to neither."""
    by_satellite = sum(leg.length_km for leg in legs if leg.note)
    backbone_km = sum(link.length_km for link in network.described_links if link.counted_as == BACKBONE)
    return (
        Leg("from station to station, along the ground", by_satellite, "input", STATIONS_PAPER_KM),
        Leg("the backbone's fibre", backbone_km, "input", BACKBONE_PAPER_KM),
        Leg("sum", by_satellite + backbone_km, "input", TITLE_KM),
    )


def _hops(network: Network, route: Sequence[str]) -> Iterator[Leg]:
    nodes, aloft = [NodeId(node) for node in route], {site.node for site in network.satellites}
    for place, (here, there) in enumerate(pairwise(nodes)):
        if there in aloft:
            after = nodes[place + 2]
            km = _announced_between(network, here, after).length_km
            yield Leg(
                f"{here} to {after} by {there}", km, "input", STATIONS_PAPER_KM, "great circle of the coordinates"
            )
        elif here not in aloft:
            link = network.link_between(here, there)
            heading = "backbone" if link.counted_as == BACKBONE else "access and joints"
            yield Leg(heading, link.length_km, "input", BACKBONE_PAPER_KM if heading == "backbone" else None)


def _announced_between(network: Network, one: NodeId, other: NodeId) -> Link:
    return next(link for link in network.links_of(one) if link.kind == "announced" and link.peer_of(one) == other)


def _joined(legs: Sequence[Leg]) -> Iterator[Leg]:
    """Yield neighbours of one name as one."""
    last: Leg | None = None
    for leg in legs:
        if last is not None and last.name == leg.name:
            last = Leg(last.name, last.length_km + leg.length_km, last.kind, last.paper_km, last.note)
            continue
        if last is not None:
            yield last
        last = leg
    if last is not None:
        yield last
