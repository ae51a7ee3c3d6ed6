"""Routes: the widest for keys, the shortest for messages.

A key route passes trusted relays only, and its width is that of its weakest link (the expected secret key rate). The
search settles each node once, by width, then by number of links, then by name. Messages need no trust on their way.

Besides the widest route, key managers hear of all others between nodes with applications: the most that share no relay,
for keys of which no relay may know anything, and detours round single relays, for the day when one of them is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import TypeAlias

from qanat.control.disjoint import DisjointRoutes, disjoint_routes
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.requirements import MAX_DISJOINT_ROUTES
from qanat.ground.units import transmittance
from qanat.key_management.wire import RouteChoices

Route: TypeAlias = tuple[NodeId, ...]
HOP_COST = 1000
"""In choosing disjoint routes, a hop more weighs as much as the difference of the widest link to a closed one."""


def key_routes(network: Network, source: NodeId, *, rates_bits_per_s: Mapping[LinkId, float]) -> dict[NodeId, Route]:
    """Return the widest route from ``source`` to every node that trusted relays can reach, ends included.

    rates_bits_per_s: expected secret key rate per link. Where a link has none, all links are compared by their
    transmittance instead, so that like is compared with like.
    """
    return _best(network, source, link_widths(network, rates_bits_per_s), only_trusted=True)


def link_widths(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> Callable[[Link], float]:
    """Return what links are compared by: their rates where all are known, else their transmittance."""
    if all(rates_bits_per_s.get(link.link_id, 0.0) > 0 for link in network.links):
        return lambda link: rates_bits_per_s[link.link_id]
    return lambda link: transmittance(loss_db=link.loss_db)


def classical_routes(network: Network, source: NodeId) -> dict[NodeId, Route]:
    """Return the route with the fewest links from ``source`` to every node, ends included."""
    return _best(network, source, lambda _: 1.0, only_trusted=False)


def route_choices(
    network: Network, source: NodeId, *, rates_bits_per_s: Mapping[LinkId, float]
) -> tuple[RouteChoices, ...]:
    """Return all ways from ``source`` to every other node with applications; none from a node that has none."""
    places = {app.site for app in network.applications}
    if source not in places:
        return ()
    finder = _Choices(network, source, link_widths(network, rates_bits_per_s))
    targets = [node for node in network.nodes if node in places and node != source]
    return tuple(finder.to(target) for target in targets if target in finder.widest)


class _Choices:
    """Finds the ways from one node."""

    def __init__(self, network: Network, source: NodeId, width: Callable[[Link], float]) -> None:
        self._network, self._source, self._width = network, source, width
        self._costs = _hop_costs(network, width)
        self._round: dict[NodeId, dict[NodeId, Route]] = {}
        self.widest = _best(network, source, width, only_trusted=True)

    def to(self, target: NodeId) -> RouteChoices:
        widest = self.widest[target]
        found = self._disjoint(target, widest)
        known, musts = list(dict.fromkeys((widest, *found.routes))), list[NodeId]()
        for relay in widest[1:-1]:
            if all(relay in route for route in known):
                detour = self._without(relay).get(target)
                known += [detour] if detour is not None else []
                musts += [relay] if detour is None else []
        cut = tuple(musts) if len(found.routes) == 1 else found.cut
        detours = tuple(route for route in known[1:] if route not in found.routes)
        return RouteChoices(target, found.routes, detours, cut)

    def _disjoint(self, target: NodeId, widest: Route) -> DisjointRoutes:
        if min(self._ways_out(self._source, target), self._ways_out(target, self._source)) == 1:
            return DisjointRoutes((widest,), ())  # a user on one access relay: most users, so no search for each
        graph = _passable(self._costs, self._network, self._source, target)
        return disjoint_routes(graph, self._source, target, at_most=MAX_DISJOINT_ROUTES)

    def _ways_out(self, node: NodeId, other: NodeId) -> int:
        """Return to how many nodes a key between the two may go from ``node``."""
        return sum(peer == other or self._network.site(peer).kind == "relay" for peer in self._costs[node])

    def _without(self, relay: NodeId) -> dict[NodeId, Route]:
        if relay not in self._round:
            self._round[relay] = _best(self._network, self._source, self._width, only_trusted=True, closed=relay)
        return self._round[relay]


def _hop_costs(network: Network, width: Callable[[Link], float]) -> dict[NodeId, dict[NodeId, int]]:
    """Return what each hop costs: a thousand for its length, up to a thousand more the narrower its link is."""
    widest = max(width(link) for link in network.links)
    costs: dict[NodeId, dict[NodeId, int]] = {}
    for node in sorted(network.nodes):
        for link in network.links_of(node):
            cost = HOP_COST + round(HOP_COST * (1 - width(link) / widest))
            costs.setdefault(node, {}).setdefault(link.peer_of(node), cost)
    return costs


def _passable(
    costs: Mapping[NodeId, Mapping[NodeId, int]], network: Network, source: NodeId, target: NodeId
) -> dict[NodeId, dict[NodeId, int]]:
    """Return the hops that a key from ``source`` to ``target`` may take: between relays, and from and to the ends."""
    may_pass = {node for node in costs if node in (source, target) or network.site(node).kind == "relay"}
    return {
        node: {peer: cost for peer, cost in sorted(peers.items()) if peer in may_pass and peer != source}
        for node, peers in costs.items()
        if node in may_pass and node != target
    }


def _best(
    network: Network,
    source: NodeId,
    width: Callable[[Link], float],
    *,
    only_trusted: bool,
    closed: NodeId | None = None,
) -> dict[NodeId, Route]:
    """Widest-path form of Dijkstra's algorithm; ties by number of hops, then by names. No route enters ``closed``."""
    best: dict[NodeId, Route] = {}
    queue: list[tuple[float, int, Route]] = [(float("-inf"), 0, (source,))]
    while queue:
        narrowness, hops, route = heapq.heappop(queue)
        here = route[-1]
        if here in best:
            continue
        best[here] = route
        if only_trusted and here != source and network.site(here).kind != "relay":
            continue
        for link in network.links_of(here):
            there = link.peer_of(here)
            if there not in best and there != closed:
                heapq.heappush(queue, (max(narrowness, -width(link)), hops + 1, (*route, there)))
    del best[source]
    return best
