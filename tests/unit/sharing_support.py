"""Graphs of known kinds, and the optimum of sharing by an independent authority: linear programs that HiGHS solves.

The programs know no paths: they have a flow per source and arc, with conservation at every site.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import networkx as nx
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, vstack

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.sharing import MAX_MIN, Demand, Sharing
from qanat.ground.identifiers import LinkId, NodeId

MOST_CUTS = 60
KINDS = ("line", "ring", "star", "tree", "grid", "geometric")


def node(place: int) -> NodeId:
    return NodeId(f"n{place:04d}")


def plain_graph(kind: str, size: int, *, seed: int = 0) -> nx.Graph:
    match kind:
        case "line":
            return nx.path_graph(size)
        case "ring":
            return nx.cycle_graph(size)
        case "star":
            return nx.star_graph(size - 1)
        case "tree":
            return nx.random_labeled_tree(size, seed=seed)
        case "grid":
            return nx.convert_node_labels_to_integers(nx.grid_2d_graph(math.isqrt(size), math.isqrt(size)))
        case _:
            radius = 1.4 * math.sqrt(math.log(size) / (math.pi * size))
            drawn = (nx.random_geometric_graph(size, radius, seed=seed + draw) for draw in range(1000))
            return next(graph for graph in drawn if nx.is_connected(graph))


def graph_of(plain: nx.Graph, *, seed: int | None = 0, users: Sequence[int] = ()) -> RouteGraph:
    """Return a graph with rates of 10 kbit/s (``seed`` None), or drawn about that."""
    rates = np.random.default_rng(seed).lognormal(0, 0.7, plain.number_of_edges()) if seed is not None else None
    links = [GraphLink(LinkId(f"{one}-{other}"), (node(one), node(other))) for one, other in plain.edges]
    relays = [node(place) for place in plain.nodes if place not in users]
    graph = RouteGraph(links, relays=relays, others=map(node, users))
    for place, link in enumerate(graph.links):
        graph.set_link(link.link_id, width=1e4 * (1.0 if rates is None else float(rates[place])))
    return graph


def all_pairs(graph: RouteGraph) -> list[Demand]:
    return [Demand(f"{one}-{other}", one, other) for one, other in combinations(graph.nodes, 2)]


def check_it_can_be_carried(graph: RouteGraph, demands: Sequence[Demand], sharing: Sharing) -> None:
    """Assert that all rates are carried by routes that exist, pass relays only, and together overload no link."""
    loads = dict.fromkeys((link.link_id for link in graph.links), 0.0)
    assert [share.demand_id for share in sharing.shares] == [demand.demand_id for demand in demands]
    for demand, share in zip(demands, sharing.shares, strict=True):
        for route, rate in share.routes:
            assert (route[0], route[-1]) == (demand.source, demand.target)
            assert len(set(route)) == len(route)
            passes = graph.passes(demand.policy, graph.number[demand.source])
            assert all(passes[graph.number[site]] for site in route[1:-1])
            for link_id in graph.links_along(route):
                loads[link_id] += rate
        assert math.isclose(share.rate_bits_per_s, sum(rate for _, rate in share.routes), abs_tol=1e-9)
        assert share.rate_bits_per_s <= demand.cap_bits_per_s * (1 + 1e-9)
        assert share.rate_bits_per_s >= demand.guaranteed_bits_per_s * (1 - 1e-5)
    for link, rate in zip(graph.links, graph.width, strict=True):
        assert loads[link.link_id] <= rate * (1 + 1e-9)


class Programs:
    """Linear programs over a graph's arcs: what all rates together can be. Rates are in units of 10 kbit/s."""

    def __init__(self, graph: RouteGraph, demands: Sequence[Demand]) -> None:
        self.demands = demands
        self.weight = np.array([demand.weight for demand in demands])
        arcs = [(here, there, link) for here, peers in enumerate(graph.hops) for there, link in peers]
        sources = sorted({demand.source for demand in demands})
        num_flows, num_sites = len(sources) * len(arcs), len(graph.nodes)
        self.num_flows, num_rates = num_flows, len(demands)
        keeps, uses, shut = [], [], []
        for row, source in enumerate(sources):
            start = graph.number[source]
            passes = graph.passes(demands[0].policy, start)
            for place, (here, there, link) in enumerate(arcs):
                column = row * len(arcs) + place
                keeps += [(row * num_sites + here, column, -1.0), (row * num_sites + there, column, 1.0)]
                uses.append((link, column, 1.0))
                shut += [column] if not passes[here] and here != start else []
        ends = []
        for place, demand in enumerate(demands):
            row = sources.index(demand.source) * num_sites
            ends += [
                (row + graph.number[demand.source], num_flows + place, 1.0),
                (row + graph.number[demand.target], num_flows + place, -1.0),
            ]
        width = num_flows + num_rates
        self.conserved = matrix(keeps + ends, (len(sources) * num_sites, width))
        self.used = matrix(uses, (len(graph.links), width))
        self.capacity = np.array(graph.width) / 1e4
        self.bounds = [(0.0, 0.0 if place in set(shut) else None) for place in range(num_flows)]

    def best(
        self,
        goal: NDArray[np.float64],
        *,
        lows: Sequence[float],
        highs: Sequence[float | None],
        more: csr_array | None = None,
        at_most: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
        """Return the rates (and what follows them) that make the most of ``goal``, its value, and the prices of
        ``more``: rows over rates and further unknowns, kept ``at_most``."""
        extra = len(goal) - len(self.demands)
        used = hstack([self.used, csr_array((self.used.shape[0], extra))])
        limits = self.capacity
        if more is not None:
            used = vstack([used, hstack([csr_array((more.shape[0], self.num_flows)), more])])
            limits = np.concatenate([limits, at_most])
        found = linprog(
            np.concatenate([np.zeros(self.num_flows), -goal]),
            A_ub=used,
            b_ub=limits,
            A_eq=hstack([self.conserved, csr_array((self.conserved.shape[0], extra))]),
            b_eq=np.zeros(self.conserved.shape[0]),
            bounds=[*self.bounds, *zip(lows, highs, strict=True)],
            method="highs",
        )
        assert found.status == 0, found.message
        return found.x[self.num_flows :], -found.fun, -found.ineqlin.marginals[len(self.capacity) :]

    def fair_mean_bound(self, alpha: float) -> float:
        """Return the best fair mean in bit/s, from above: utilities are replaced by tangents, ever closer (Kelley)."""
        count = len(self.demands)
        caps = [None if math.isinf(one.cap_bits_per_s) else one.cap_bits_per_s / 1e4 for one in self.demands]
        floors = [one.guaranteed_bits_per_s / 1e4 for one in self.demands]
        if alpha == 0:
            _, total, _ = self.best(np.ones(count), lows=floors, highs=caps)
            return 1e4 * total / self.weight.sum()
        lowest = -5 if any(floors) else -2  # beside guarantees there may be little for the others
        rates = [np.full(count, 10.0**power) * self.weight for power in range(lowest, 2)]
        for _ in range(MOST_CUTS):
            cuts, limits = zip(*(self._tangents(points, alpha) for points in rates), strict=True)
            found, value, _ = self.best(
                np.concatenate([np.zeros(count), np.ones(count)]),
                lows=floors + [-1e12] * count,
                highs=caps + [None] * count,
                more=vstack(cuts),
                at_most=np.concatenate(limits),
            )
            bound = self.mean_of_utility(value, alpha)
            rates.append(np.maximum(found[:count], 10.0 ** (lowest - 1) * self.weight))
            if fair_mean(rates[-1], self.weight, alpha) > bound * (1 - 3e-5):
                return 1e4 * bound
        raise AssertionError("the tangents do not close in on the utilities")

    def _tangents(self, rates: NDArray[np.float64], alpha: float) -> tuple[csr_array, NDArray[np.float64]]:
        """Return rows u_k - slope x_k <= height: utilities lie below their tangents."""
        count, each = len(rates), rates / self.weight
        slope = each**-alpha
        utility = self.weight * (np.log(each) if alpha == 1 else each ** (1 - alpha) / (1 - alpha))
        rows = hstack([csr_array(np.diag(-slope)), csr_array(np.eye(count))])
        return rows, utility - slope * rates

    def mean_of_utility(self, total: float, alpha: float) -> float:
        if alpha == 1:
            return math.exp(total / self.weight.sum())
        return ((1 - alpha) * total / self.weight.sum()) ** (1 / (1 - alpha))

    def lexicographic(self) -> NDArray[np.float64]:
        """Return the max-min rates in bit/s: level by level, those with a price settled."""
        count = len(self.demands)
        settled: dict[int, float] = {}
        while len(settled) < count:
            free = [place for place in range(count) if place not in settled]
            rows = matrix(
                [(row, place, -1.0) for row, place in enumerate(free)]
                + [(row, count, self.weight[place]) for row, place in enumerate(free)],
                (len(free), count + 1),
            )
            lows = [settled.get(place, 0.0) * (1 - 1e-9) for place in range(count)]
            found, _, prices = self.best(
                np.concatenate([np.zeros(count), [1.0]]),
                lows=[*lows, 0.0],
                highs=[None] * (count + 1),
                more=rows,
                at_most=np.zeros(len(free)),
            )
            settled |= {
                place: self.weight[place] * found[count]
                for place, price in zip(free, prices, strict=True)
                if price * self.weight[place] > 1e-7
            }
        return 1e4 * np.array([settled[place] for place in range(count)])


def fair_mean(rates: NDArray[np.float64], weight: NDArray[np.float64], alpha: float) -> float:
    """Return the power mean of degree 1 - alpha by its definition."""
    if alpha == 1:
        return float(np.exp(np.average(np.log(rates / weight), weights=weight)))
    return float(np.average((rates / weight) ** (1 - alpha), weights=weight) ** (1 / (1 - alpha)))


def matrix(entries: Sequence[tuple[int, int, float]], shape: tuple[int, int]) -> csr_array:
    rows, columns, values = zip(*entries, strict=True)
    return csr_array((np.array(values), (np.array(rows), np.array(columns))), shape=shape)


__all__ = [
    "KINDS",
    "MAX_MIN",
    "Programs",
    "all_pairs",
    "check_it_can_be_carried",
    "graph_of",
    "node",
    "plain_graph",
]
