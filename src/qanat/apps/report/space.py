"""The way by satellite: its passes, what the satellite announced, and how far the keys went, beside the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from qanat.apps.report.result import Leg
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network

BACKBONE = "backbone"
PAPER_STATIONS = frozenset({NodeId("nanshan"), NodeId("xinglong")})
STATIONS_PAPER_KM = 2_600.0
"""Between the two stations: "about 2,600 km" (Nature 589, 214 (2021), main text and Fig. 1)."""
BACKBONE_PAPER_KM = 2_000.0
"""Of the backbone: "over 2,000 km" (the same, Fig. 1)."""
TITLE_KM = 4_600.0
"""The title's."""


def legs_of(network: Network, route: Sequence[str]) -> tuple[Leg, ...]:
    """Return the parts of a way that names its satellites: fibre by headings, and from station to station."""
    return tuple(_joined(list(_hops(network, route))))


def title_legs(network: Network, legs: Sequence[Leg]) -> tuple[Leg, ...]:
    """Return what the title of the paper sums up, ours beside the paper's, and the sum; tuned to neither. Nothing for a
    network that is not the paper's: without a satellite over its two stations, or without a backbone."""
    by_satellite = sum(leg.length_km for leg in legs if leg.note)
    backbone_km = sum(link.length_km for link in network.described_links if link.counted_as == BACKBONE)
    if not backbone_km or not any(leg.paper_km == STATIONS_PAPER_KM for leg in legs):
        return ()
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
            km = network.span_km(_announced_between(network, here, after))
            paper_km = STATIONS_PAPER_KM if {here, after} == PAPER_STATIONS else None
            yield Leg(f"{here} to {after} by {there}", km, "input", paper_km, "great circle of the coordinates")
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
