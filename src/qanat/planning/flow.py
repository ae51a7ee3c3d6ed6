"""How much key can go through a network at once: between two sites, or between everybody, with a proof.

All demands rise together, each at its weight, until some limit is used up. The highest level is found by a linear
program over ways (HiGHS); at its prices of the limits the shortest ways are looked for, and those that are better than
all in use are taken up. The same prices bound every level whatever: a demand that gets x uses up at least x times the
length of its shortest way, and all limits together are used once at most. The method ends when the two meet.

Ways are kept by source: one column is the tree of the ways from a source to all its targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from qanat.ground.identifiers import LinkId, NodeId
from qanat.planning.limits import Carrier, Limit, Limited

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int32]
Demands: TypeAlias = Mapping[NodeId, Mapping[NodeId, float]]
"""Source -> target -> weight. A pair stands in one of the two ways only."""

TOLERANCE = 1e-7
MOST_ROUNDS = 200
LEAST_LENGTH = 1e-13
"""Of the longest link: none is for nothing, since a search sees no links of length zero."""
NOWHERE = -9999
"""What scipy's searches have in place of a predecessor where there is none."""


@dataclass(frozen=True, slots=True)
class Flow:
    """How high all demands can rise: a demand of weight w gets w times ``level_bits_per_s``.

    bound_bits_per_s: what no other way of sharing can exceed. loads_bits_per_s: what goes over each link. binding:
    limits that are used up and in the way, with the part of the bound that each is worth; they add up to one.
    """

    level_bits_per_s: float
    bound_bits_per_s: float
    loads_bits_per_s: Mapping[LinkId, float]
    binding: Mapping[Limit, float]

    @property
    def gap(self) -> float:
        """At most this part of the optimum is missing."""
        return max(0.0, 1 - self.level_bits_per_s / self.bound_bits_per_s) if self.bound_bits_per_s > 0 else 0.0


def most_between(network: Limited, one: NodeId, other: NodeId) -> Flow:
    """Return the most that can go between two sites over all ways through trusted relays, keys of both directions
    together; nothing where no way joins them."""
    return rise(network, {one: {other: 1.0}})


def cut_between(network: Limited, flow: Flow, source: NodeId) -> tuple[LinkId, ...]:
    """Return the links that part ``source`` from the other end of a flow: each in use to its whole, together no more
    than the flow. Empty where not links but ports or trunks of switches are in the way (see ``Flow.binding``)."""
    if not flow.binding or any(limit.kind != "link" for limit in flow.binding):
        return ()
    search = _Search(network)
    prices = np.array([flow.binding.get(limit, 0.0) for limit in network.limits])
    return tuple(carrier.link_id for carrier in search.crossing(search.inside(source, prices)))


def rise(network: Limited, demands: Demands) -> Flow:
    """Return how high demands can rise together. Pairs that no way joins are left out; nothing where no pair is left.

    ``demands``: weights above zero, between known sites, none to itself.
    """
    search = _Search(network)
    joined = search.joined(demands)
    if not joined:
        return Flow(0.0, 0.0, {}, {})
    columns = _Columns(network, joined)
    trees, _ = search.trees(joined, search.start)
    for tree in trees:
        columns.add(*tree)
    return columns.climb(search)


class _Search:
    """Shortest ways under prices of the limits. A site that passes nothing on is two vertices: one that ways begin at,
    and one that they end at."""

    def __init__(self, network: Limited) -> None:
        self._network = network
        self._size = len(network.nodes)
        number = {node: place for place, node in enumerate(network.nodes)}
        self._begin = number
        self._end = {node: place if node in network.relays else place + self._size for node, place in number.items()}
        arcs = [
            (self._begin[here], self._end[there], place)
            for place, carrier in enumerate(network.carriers)
            for here, there in (carrier.ends, carrier.ends[::-1])
        ]
        self._from, self._to, self._carrier = np.array(arcs, dtype=np.int64).reshape(-1, 3).T
        uses = [(place, limit, part) for place, one in enumerate(network.carriers) for limit, part in one.uses.items()]
        places, limits, parts = zip(*uses, strict=True) if uses else ((), (), ())
        self.uses = csr_array((parts, (places, limits)), shape=(len(network.carriers), len(network.limits)))
        self.start = np.ones(len(network.limits))

    def joined(self, demands: Demands) -> dict[NodeId, dict[NodeId, float]]:
        """Return the demands that some way joins."""
        if not self._network.carriers:
            return {}
        lengths, _, _ = self._lengths(list(demands), self.start)
        found = {
            source: {to: weight for to, weight in targets.items() if np.isfinite(lengths[row, self._end[to]])}
            for row, (source, targets) in enumerate(demands.items())
        }
        return {source: targets for source, targets in found.items() if targets}

    def trees(self, demands: Demands, prices: Floats) -> tuple[list[tuple[NodeId, Floats]], Floats]:
        """Return, for each source, what the shortest ways to its targets load each link with when the level is one;
        and what that costs at the prices, by source."""
        lengths, before, arcs = self._lengths(list(demands), prices)
        found, costs = [], []
        for row, (source, targets) in enumerate(demands.items()):
            ends = [self._end[to] for to in targets]
            costs.append(float(lengths[row, ends] @ np.array(list(targets.values()))))
            found.append(
                (source, self._loaded(lengths[row], before[row], arcs, dict(zip(ends, targets.values(), strict=True))))
            )
        return found, np.array(costs)

    def inside(self, source: NodeId, prices: Floats) -> set[int]:
        """Return the vertices that ways reach from a source without meeting a limit that has a price."""
        lengths, _, _ = self._lengths([source], prices)
        return set(np.nonzero(lengths[0] < 1e-9 * float(prices.max()))[0].tolist())

    def crossing(self, inside: set[int]) -> list[Carrier]:
        """Return the links that lead out of a set of vertices."""
        leading = zip(self._from.tolist(), self._to.tolist(), self._carrier.tolist(), strict=True)
        places = {place for here, there, place in leading if here in inside and there not in inside}
        return [self._network.carriers[place] for place in sorted(places)]

    def _lengths(self, sources: Sequence[NodeId], prices: Floats) -> tuple[Floats, Ints, dict[tuple[int, int], int]]:
        """Return lengths and predecessors by source and vertex, and the link of each arc in use: of several between the
        same sites the cheapest."""
        cost = np.asarray(self.uses @ prices)
        order = np.argsort(-cost[self._carrier], kind="stable")
        arcs: dict[tuple[int, int], int] = {}  # of the same arc the last one stays
        for here, there, place in np.array([self._from, self._to, self._carrier])[:, order].T.tolist():
            arcs[here, there] = place
        begins, ends = np.array(list(arcs), dtype=np.int64).T
        length = cost[list(arcs.values())] + LEAST_LENGTH * float(cost.max())
        graph = csr_array((length, (begins, ends)), shape=(2 * self._size, 2 * self._size))
        lengths, before = dijkstra(graph, indices=[self._begin[one] for one in sources], return_predecessors=True)
        return lengths, before, arcs

    def _loaded(
        self, lengths: Floats, before: Ints, arcs: Mapping[tuple[int, int], int], wanted: dict[int, float]
    ) -> Floats:
        """Return what goes over each link when each vertex of ``wanted`` gets so much: from the far ends back."""
        loads = np.zeros(len(self._network.carriers))
        through = dict(wanted)
        vertices = np.nonzero(np.isfinite(lengths))[0]
        for vertex in vertices[np.argsort(-lengths[vertices], kind="stable")].tolist():
            amount, previous = through.get(vertex), int(before[vertex])
            if amount is None or previous == NOWHERE:
                continue
            loads[arcs[previous, vertex]] += amount
            through[previous] = through.get(previous, 0.0) + amount
        return loads


class _Columns:
    """Trees in use, and the linear program over them."""

    def __init__(self, network: Limited, demands: Demands) -> None:
        self._network, self._demands = network, demands
        self._row = {source: place for place, source in enumerate(demands)}
        self._sources: list[int] = []
        self._loads: list[Floats] = []

    def add(self, source: NodeId, loads: Floats) -> None:
        self._sources.append(self._row[source])
        self._loads.append(loads)

    def climb(self, search: _Search) -> Flow:
        """Take up better trees until none is missing; return what is reached."""
        bound, prices = float("inf"), search.start
        for _ in range(MOST_ROUNDS):
            level, shares, duals, worth = self._solved(search)
            trees, costs = search.trees(self._demands, duals)
            if float(costs.sum()) > 0 and (found := float(duals.sum()) / float(costs.sum())) < bound:
                bound, prices = found, duals
            better = costs < worth * (1 - 1e-9)
            if 1 - level / bound <= TOLERANCE or not better.any():
                break
            for tree, is_better in zip(trees, better, strict=True):
                if is_better:
                    self.add(*tree)
        loads = shares @ np.array(self._loads)
        return self._told(level, max(level, bound), loads, prices)

    def _solved(self, search: _Search) -> tuple[float, Floats, Floats, Floats]:
        """Return the level, how much goes over each tree, the prices of the limits and those of the sources."""
        usage = search.uses.T @ np.array(self._loads).T
        first = np.zeros(len(self._sources), dtype=bool)
        first[: len(self._row)] = True
        unit = 1 / float(usage[:, first].sum(axis=1).max())  # the level that the first trees alone reach
        count, sources = len(self._sources), len(self._row)
        gets = np.zeros((sources, count))
        gets[self._sources, np.arange(count)] = -1.0
        found = linprog(
            np.concatenate([np.zeros(count), [-1.0]]),
            A_ub=np.block([[usage * unit, np.zeros((len(usage), 1))], [gets, np.ones((sources, 1))]]),
            b_ub=np.concatenate([np.ones(len(usage)), np.zeros(sources)]),
            method="highs",
        )
        duals = np.maximum(-found.ineqlin.marginals, 0.0)
        shares = np.maximum(found.x[:-1], 0.0)
        return float(found.x[-1]) * unit, shares * unit, duals[: len(usage)], duals[len(usage) :] / unit

    def _told(self, level: float, bound: float, loads: Floats, prices: Floats) -> Flow:
        worth = prices / float(prices.sum())
        binding = {limit: float(part) for limit, part in zip(self._network.limits, worth, strict=True) if part > 1e-6}
        return Flow(
            level,
            bound,
            {
                carrier.link_id: float(load)
                for carrier, load in zip(self._network.carriers, loads, strict=True)
                if load > 1e-9 * level
            },
            dict(sorted(binding.items(), key=lambda one: -one[1])),
        )
