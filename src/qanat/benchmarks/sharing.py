"""How much of the optimum fair sharing reaches on 100 sites at full load, beside what plain shortest paths reach."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import networkx as nx
import numpy as np

from qanat.benchmarks.rows import Row
from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.routing import shortest
from qanat.control.sharing import Demand, Sharing
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import LinkId, NodeId

NAME: Final = "share-optimum"
SITES: Final = 100
RATE_BITS_PER_S: Final = 10_000.0
GOAL: Final = 0.98


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark when it is among the names."""
    if NAME in names:
        yield optimum_row()


def optimum_row() -> Row:
    """Share six graphs of equal links among all pairs, proportionally; the worst proof counts."""
    proven, plain, told = [], [], []
    for kind, drawn in _families().items():
        graph = _graph_of(drawn)
        demands = [Demand(f"{one}-{other}", one, other) for one, other in combinations(graph.nodes, 2)]
        sharing = share(graph, demands, alpha=1.0, tolerance=0.5 * (1 - GOAL))
        proven.append(1 - sharing.gap)
        plain.append(_over_shortest_paths(graph, demands) / sharing.bound_bits_per_s)
        told.append(f"{kind} {_told(sharing)}")
    return Row(
        name=NAME,
        rate=min(proven),
        unit="of the optimum",
        goal=GOAL,
        reference_name="each demand over its shortest path, as much as its fullest link has for each",
        reference_rate=min(plain),
        note=f"{SITES} sites, equal links of 10 kbit/s, all pairs, geometric mean: {'; '.join(told)}",
    )


def _told(sharing: Sharing) -> str:
    total_kbit_per_s = sharing.total_bits_per_s / 1000
    return f"{1 - sharing.gap:.2%} (Jain index {sharing.jain_index:.2f}, {total_kbit_per_s:.0f} kbit/s in all)"


def _families() -> dict[str, nx.Graph[int]]:
    radius = 1.4 * math.sqrt(math.log(SITES) / (math.pi * SITES))
    geometric = (nx.random_geometric_graph(SITES, radius, seed=seed) for seed in range(1000))
    return {
        "line": nx.path_graph(SITES),
        "ring": nx.cycle_graph(SITES),
        "star": nx.star_graph(SITES - 1),
        "tree": nx.random_labeled_tree(SITES, seed=1),
        "grid": nx.convert_node_labels_to_integers(nx.grid_2d_graph(math.isqrt(SITES), math.isqrt(SITES))),
        "geometric": next(graph for graph in geometric if nx.is_connected(graph)),
    }


def _graph_of(plain: nx.Graph[int]) -> RouteGraph:
    names = {place: NodeId(f"site-{place:03d}") for place in plain.nodes}
    links = [GraphLink(LinkId(f"{one}-{other}"), (names[one], names[other])) for one, other in plain.edges]
    graph = RouteGraph(links, relays=names.values())
    for link in links:
        graph.set_link(link.link_id, width=RATE_BITS_PER_S)
    return graph


def _over_shortest_paths(graph: RouteGraph, demands: Sequence[Demand]) -> float:
    """Return the geometric mean in bit/s when every link is cut into equal parts for the paths that pass it."""
    ways = []
    for demand in demands:
        route = shortest(graph, demand.source, demand.target)
        assert route is not None, "all sites are joined"
        ways.append([graph.link_number[link_id] for link_id in graph.links_along(route)])
    passing = np.bincount(np.concatenate(ways), minlength=len(graph.links))
    return math.exp(float(np.mean([math.log(RATE_BITS_PER_S / passing[way].max()) for way in ways])))
