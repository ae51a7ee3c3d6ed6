"""Routes: the widest for keys, the shortest for messages.

A key route passes trusted relays only, and its width is that of its weakest link (the expected secret key rate). The
search settles each node once, by width, then by number of links, then by name. Messages need no trust on their way.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from typing import TypeAlias

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.units import transmittance

Route: TypeAlias = tuple[NodeId, ...]


def key_routes(network: Network, source: NodeId, *, rates_bits_per_s: Mapping[LinkId, float]) -> dict[NodeId, Route]:
    """Return the widest route from ``source`` to every node that trusted relays can reach, ends included.

    rates_bits_per_s: expected secret key rate per link. Where a link has none, all links are compared by their
    transmittance instead, so that like is compared with like.
    """
    if all(rates_bits_per_s.get(link.link_id, 0.0) > 0 for link in network.links):
        return _best(network, source, lambda link: rates_bits_per_s[link.link_id], only_trusted=True)
    return _best(network, source, lambda link: transmittance(loss_db=link.loss_db), only_trusted=True)


def classical_routes(network: Network, source: NodeId) -> dict[NodeId, Route]:
    """Return the route with the fewest links from ``source`` to every node, ends included."""
    return _best(network, source, lambda _: 1.0, only_trusted=False)


def _best(
    network: Network, source: NodeId, width: Callable[[Link], float], *, only_trusted: bool
) -> dict[NodeId, Route]:
    """Widest-path form of Dijkstra's algorithm; ties by number of hops, then by names."""
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
            if there not in best:
                heapq.heappush(queue, (max(narrowness, -width(link)), hops + 1, (*route, there)))
    del best[source]
    return best
