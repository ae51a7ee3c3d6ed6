"""How soon a route is found in the paper's network and on 10,000 sites, and all shares for 1,000 demands at once.

Times are of the processor: machines are shared.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeAlias

import networkx as nx
import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array
from scipy.spatial import cKDTree

from qanat.benchmarks.rows import Row
from qanat.control.graph import GraphLink, Route, RouteGraph
from qanat.control.routing import cheapest, freshest, widest
from qanat.control.sharing import MAX_MIN, Demand
from qanat.control.solvers.shares import share
from qanat.ground.data import read_text
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import parse_network

NETWORK: Final = "nature2021"
BACKBONE: Final = "beijing-shanghai"
GOALS_PER_S: Final = {"route-paper": 1000.0, "route-10000": 20.0}
NUM_DEMANDS: Final = 1000
LARGE: Final = 10_000
LINKS_PER_SITE: Final = 4
Search: TypeAlias = Callable[[RouteGraph, NodeId, NodeId], Route | None]


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks named and yield their rows."""
    if "route-paper" in names:
        yield _route_row("route-paper", paper_graph(), pairs=400)
    if "route-10000" in names:
        yield _route_row("route-10000", _large_graph(), pairs=40)
    if "share-1000" in names:
        yield _share_row()
    if "max-min-1000" in names:
        yield _max_min_row()


def paper_graph(name: str = NETWORK) -> RouteGraph:
    """Return the graph of the paper's whole network, or of its backbone, with drawn rates, ages and costs of links."""
    return _with_states(RouteGraph.of_keys(parse_network(read_text("networks", f"{name}.yaml"), source=name)))


def _large_graph() -> RouteGraph:
    """Return 10,000 sites in a square, near ones joined: about four links a site."""
    points = np.random.default_rng(1).random((LARGE, 2))
    radius = math.sqrt(2 * LINKS_PER_SITE / (math.pi * LARGE))
    names = [NodeId(f"site-{place:05d}") for place in range(LARGE)]
    pairs = sorted(map(tuple, cKDTree(points).query_pairs(radius, output_type="ndarray").tolist()))
    links = [GraphLink(LinkId(f"{one}-{other}"), (names[one], names[other])) for one, other in pairs]
    return _with_states(RouteGraph(links, relays=names))


def _with_states(graph: RouteGraph) -> RouteGraph:
    draw = np.random.default_rng(2)
    for link, rate in zip(graph.links, draw.lognormal(10, 0.7, len(graph.links)), strict=True):
        graph.set_link(
            link.link_id, width=float(rate), age_s=float(draw.exponential(600)), cost=int(draw.integers(1, 9))
        )
    return graph


def _route_row(name: str, graph: RouteGraph, *, pairs: int) -> Row:
    """Time three searches and networkx over the same pairs; the slowest of ours counts."""
    draw = np.random.default_rng(3)
    ends = [
        tuple(graph.nodes[place] for place in draw.choice(len(graph.nodes), 2, replace=False)) for _ in range(pairs)
    ]
    searches: dict[str, Search] = {"widest": widest, "freshest": freshest, "cheapest": cheapest}
    times_s = {word: [_seconds(search, graph, *pair) for pair in ends] for word, search in searches.items()}
    means_s = {word: float(np.mean(times)) for word, times in times_s.items()}
    slowest = max(means_s, key=lambda word: means_s[word])
    plain: nx.Graph[NodeId] = nx.Graph()
    plain.add_nodes_from(graph.nodes)  # a satellite among them, which no link that keys go over ends at
    for link, cost in zip(graph.links, graph.cost, strict=True):
        plain.add_edge(*link.ends, cost=cost)
    reference_s = float(np.mean([_seconds(_by_networkx, plain, *pair) for pair in ends]))
    told = ", ".join(
        f"{word} {1e3 * means_s[word]:.3g} ms (at most {1e3 * max(times):.3g})" for word, times in times_s.items()
    )
    return Row(
        name=name,
        rate=1 / means_s[slowest],
        unit="routes/s",
        goal=GOALS_PER_S[name],
        reference_name="networkx, cheapest",
        reference_rate=1 / reference_s,
        note=f"{len(graph.nodes):,} sites, {len(graph.links):,} links; {told}",
    )


def _by_networkx(plain: nx.Graph[NodeId], source: NodeId, target: NodeId) -> None:
    """Look for a way once, as ours do, and find none where there is none."""
    with contextlib.suppress(nx.NetworkXNoPath):
        nx.bidirectional_dijkstra(plain, source, target, weight="cost")


def _seconds(search: Callable[..., object], *arguments: object) -> float:
    begin_s = time.process_time()
    search(*arguments)
    return time.process_time() - begin_s


def _share_row() -> Row:
    """Solve all shares of 1,000 demands, proportionally fair, in the paper's whole network."""
    return _row_of_shares("share-1000", "proportional", 1.0)


def _max_min_row() -> Row:
    """Settle all levels of 1,000 demands, max-min fair, in the paper's whole network."""
    return _row_of_shares("max-min-1000", "max-min", MAX_MIN)


def _row_of_shares(name: str, word: str, alpha: float) -> Row:
    """Return how often a second all shares are solved, beside one program over all arcs."""
    graph, backbone = paper_graph(), paper_graph(BACKBONE)
    demands, of_backbone = _demands(graph), _demands(backbone)
    solve = partial(share, alpha=alpha)
    sharing, beside = solve(graph, demands), solve(backbone, of_backbone)
    elapsed_s, backbone_s = (
        statistics.median(_seconds(solve, *asked) for _ in range(5))
        for asked in ((graph, demands), (backbone, of_backbone))
    )
    return Row(
        name=name,
        rate=1 / elapsed_s,
        unit="solutions/s",
        goal=1.0,
        reference_name="HiGHS over arcs, throughput alone",
        reference_rate=1 / _seconds(_most_throughput, graph, demands),
        note=(
            f"{len(graph.nodes)} sites, {len(graph.links)} links; {word} {elapsed_s:.2f} s (gap {sharing.gap:.1e}),"
            f" on the backbone alone {backbone_s:.2f} s (gap {beside.gap:.1e})"
        ),
    )


def _demands(graph: RouteGraph) -> list[Demand]:
    draw = np.random.default_rng(4)
    pairs = [draw.choice(len(graph.nodes), 2, replace=False) for _ in range(NUM_DEMANDS)]
    return [
        Demand(f"demand-{place}", graph.nodes[one], graph.nodes[other], weight=float(draw.integers(1, 4)))
        for place, (one, other) in enumerate(pairs)
    ]


def _most_throughput(graph: RouteGraph, demands: Sequence[Demand]) -> None:
    """Solve the linear program of the largest sum: a flow per source and arc, conservation at every site."""
    arcs = [(here, there, link) for here, peers in enumerate(graph.hops) for there, link in peers]
    sources = sorted({graph.number[one.source] for one in demands})
    flows, sites = len(sources) * len(arcs), len(graph.nodes)
    rows, columns, signs = [], [], []
    for place, (row, (here, there, _)) in enumerate((row, arc) for row in range(len(sources)) for arc in arcs):
        rows += [row * sites + here, row * sites + there]
        columns += [place, place]
        signs += [-1.0, 1.0]
    for place, one in enumerate(demands):
        first = sources.index(graph.number[one.source]) * sites
        rows += [first + graph.number[one.source], first + graph.number[one.target]]
        columns += [flows + place, flows + place]
        signs += [1.0, -1.0]
    uses = np.tile([link for _, _, link in arcs], len(sources))
    goal = np.zeros(flows + len(demands))
    goal[flows:] = -1.0
    linprog(
        goal,
        A_ub=coo_array((np.ones(flows), (uses, np.arange(flows))), shape=(len(graph.links), len(goal))),
        b_ub=np.array(graph.width),
        A_eq=coo_array((signs, (rows, columns)), shape=(len(sources) * sites, len(goal))),
        b_eq=np.zeros(len(sources) * sites),
        method="highs",
    )
