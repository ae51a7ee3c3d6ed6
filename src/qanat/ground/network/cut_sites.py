"""Sites that hold a network together: without one of them it falls apart."""

from __future__ import annotations

import networkx as nx

from qanat.ground.identifiers import NodeId
from qanat.ground.network.description import Network


def sites_that_part(network: Network) -> set[NodeId]:
    """Return the sites without which the rest of a network is in more pieces; links of satellites count as others."""
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links])
    return set(nx.articulation_points(graph))
