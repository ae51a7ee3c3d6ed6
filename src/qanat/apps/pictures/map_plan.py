"""Where everything on a map stands, before anything is drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from qanat.apps.pictures.geography import Frame, Point, Projection
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network

CROWDED_FRAME = Frame(most_height=1000.0, margin_x=110.0, margin_y=48.0)
MOST_LINKS_WITH_FIGURES = 12
LEAST_UNITS_FOR_FIGURES = 205.0
"""Length of a line that has room for "10.3 dB, 41.1 km of fibre" between two marks."""
FIGURES_UNITS = 170.0
CLEAR_UNITS = 22.0
"""Length of the figures, and how far from their middle line they must be clear."""
LEAST_UNITS_OF_LINK = 20.0
PULLED_UNITS = 27.0
"""A user nearer to the relay than the first is drawn at the second distance, so that the link can be seen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A map's places. ``is_roomy``: figures stand along the links; else marks are small and links fall into classes.

    ``pulled``: users drawn farther from their relay than they are.
    """

    network: Network
    projection: Projection
    places: Mapping[NodeId, Point]
    pulled: frozenset[NodeId]
    is_roomy: bool
    rates_bits_per_s: Mapping[LinkId, float]
    switch_places: Mapping[str, Point] = field(default_factory=dict)

    @property
    def radius(self) -> float:
        """Half the size of a mark."""
        return 10.0 if self.is_roomy else 4.5 if len(self.network.sites) <= 150 else 3.0


def plan_of(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> Plan:
    """Return the plan of a network's map: a roomy one where the figures of all links have room."""
    if not network.switches:
        roomy = Projection.around(network.sites)
        places = {site.node: roomy.place(site) for site in network.sites}
        if _has_room_for_figures(network, places):
            return Plan(network, roomy, places, frozenset(), True, rates_bits_per_s)
    return crowded_plan(network, rates_bits_per_s, CROWDED_FRAME)


def crowded_plan(network: Network, rates_bits_per_s: Mapping[LinkId, float], frame: Frame) -> Plan:
    """Return a plan with small marks in a frame."""
    projection = Projection.around((*network.sites, *network.switches), frame)
    places = {site.node: projection.place(site) for site in network.sites}
    pulled = _pulled_apart(network, places)
    switches = {switch.name: projection.place(switch) for switch in network.switches}
    return Plan(network, projection, {**places, **pulled}, frozenset(pulled), False, rates_bits_per_s, switches)


def _has_room_for_figures(network: Network, places: Mapping[NodeId, Point]) -> bool:
    """Return whether figures along every link would touch no other link's, no other link and no mark."""
    if len(network.links) > MOST_LINKS_WITH_FIGURES:
        return False
    lines = [(places[link.ends[0]], places[link.ends[1]]) for link in network.links]
    if min(math.dist(*line) for line in lines) < LEAST_UNITS_FOR_FIGURES:
        return False
    figures = [_points_along(*line, reach=FIGURES_UNITS / 2, aside=18.0) for line in lines]
    ways = [_points_along(*line, reach=math.dist(*line) / 2, aside=0.0) for line in lines]
    for place, own in enumerate(figures):
        others = [
            point for rows in (figures, ways) for other, row in enumerate(rows) if other != place for point in row
        ]
        if (
            min((math.dist(one, other) for one in own for other in (*others, *places.values())), default=99)
            < CLEAR_UNITS
        ):
            return False
    return True


def _points_along(start: Point, stop: Point, *, reach: float, aside: float) -> list[Point]:
    """Return points beside the middle of a line, on its upper side, one for every few units of ``reach`` both ways."""
    length = math.dist(start, stop)
    east, south = (stop[0] - start[0]) / length, (stop[1] - start[1]) / length
    if east < 0:
        east, south = -east, -south
    x, y = (start[0] + stop[0]) / 2 + aside * south, (start[1] + stop[1]) / 2 - aside * east
    num = math.ceil(reach / 8)
    return [(x + reach * k / num * east, y + reach * k / num * south) for k in range(-num, num + 1)]


def _pulled_apart(network: Network, places: Mapping[NodeId, Point]) -> dict[NodeId, Point]:
    """Return places for users whose only link would be too short to be seen, around the relay that they hang on."""
    hanging: dict[NodeId, list[NodeId]] = {}
    for site in network.sites:
        links = network.links_of(site.node)
        if site.kind == "user" and len(links) == 1:
            peer = links[0].peer_of(site.node)
            if network.site(peer).kind == "relay" and math.dist(places[site.node], places[peer]) < LEAST_UNITS_OF_LINK:
                hanging.setdefault(peer, []).append(site.node)
    pulled: dict[NodeId, Point] = {}
    for relay, users in hanging.items():
        x, y = places[relay]
        reach = max(PULLED_UNITS, 12 * len(users) / (2 * math.pi))
        ways = {user: math.atan2(places[user][1] - y, places[user][0] - x) for user in users}
        start = ways[users[0]]
        for number, user in enumerate(sorted(users, key=lambda user: ((ways[user] - start) % (2 * math.pi), user))):
            way = start + 2 * math.pi * number / len(users)
            pulled[user] = (x + reach * math.cos(way), y + reach * math.sin(way))
    return pulled
