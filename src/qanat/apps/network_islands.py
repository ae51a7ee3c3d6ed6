"""A network that no link holds together: the islands that it falls into, and the shortest link that would join two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product

import networkx as nx

from qanat.apps.network_concerns import Concern, listed
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.network.description import great_circle_km

MOST_WAYS_COMPARED = 100_000
"""Of larger parts the nearest two sites are not looked for: it would take seconds."""


def islands_of(network: Network) -> list[list[NodeId]]:
    """Return the islands: sites that links, or satellites between ground stations, join. The largest first."""
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links])
    graph.add_edges_from(pairwise(site.node for site in network.sites if site.ground_station))
    parts = [sorted(nodes) for nodes in nx.connected_components(graph)]
    return sorted(parts, key=lambda nodes: (-len(nodes), nodes))


def in_islands(network: Network) -> Iterator[Concern]:
    """Yield one warning when a network is in several parts; it names the largest two and a link between them."""
    parts = islands_of(network)
    if len(parts) < 2:
        return
    sizes = " and ".join(f"{len(nodes)} sites ({listed(nodes)})" for nodes in parts[:2])
    more = len(parts) - 2
    rest = f", and {more} smaller one{'' if more == 1 else 's'}" if more else ""
    one, other = _ends_of_a_link(network, parts[0], parts[1])
    yield Concern(
        "in-parts",
        f"the network is in {len(parts)} parts that no link joins: {sizes}{rest}; no key goes from one to another",
        f"add a link between two of them, such as {one} and {other}",
    )


def _ends_of_a_link(network: Network, one: Sequence[NodeId], other: Sequence[NodeId]) -> tuple[NodeId, NodeId]:
    """Return the nearest two sites, relays where both parts have some: a user's site relays nothing."""
    sites = {site.node: site for site in network.sites}
    one, other = ([node for node in part if sites[node].kind == "relay"] or part for part in (one, other))
    ways = product(one, other)
    if len(one) * len(other) > MOST_WAYS_COMPARED:
        return next(ways)
    return min(ways, key=lambda ends: (great_circle_km(sites[ends[0]], sites[ends[1]]), ends))
