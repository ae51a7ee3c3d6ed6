"""Shortest ways through a network under prices of its limits, and what they load each link with."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from qanat.ground.identifiers import NodeId
from qanat.planning.limits import Carrier, Limited

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Demands: TypeAlias = Mapping[NodeId, Mapping[NodeId, float]]
"""Source -> target -> weight. A pair stands in one of the two ways only."""
Tree: TypeAlias = tuple[NodeId, Floats]
"""A source, and what the ways to all its targets load each link with when the level is one."""

LEAST_LENGTH = 1e-13
"""Of the longest link: none is for nothing, since a search sees no links of length zero."""
NOWHERE = -9999
"""What scipy's searches have in place of a predecessor where there is none."""


class WaySearch:
    """Searches in one network. A site that passes nothing on is two vertices: one that ways begin at, and one that they
    end at. Links between the same two sites make one arc, over the cheapest of them. ``uses``: link by limit."""

    def __init__(self, network: Limited) -> None:
        self._network = network
        self._size = len(network.nodes)
        number = {node: place for place, node in enumerate(network.nodes)}
        self._begin = number
        self._end = {node: place if node in network.relays else place + self._size for node, place in number.items()}
        self._lay_arcs()
        uses = [(place, limit, part) for place, one in enumerate(network.carriers) for limit, part in one.uses.items()]
        places, limits, parts = zip(*uses, strict=True) if uses else ((), (), ())
        self.uses = csr_array((parts, (places, limits)), shape=(len(network.carriers), len(network.limits)))

    def _lay_arcs(self) -> None:
        both = [
            (self._begin[here], self._end[there], place)
            for place, carrier in enumerate(self._network.carriers)
            for here, there in (carrier.ends, carrier.ends[::-1])
        ]
        begins, ends, carriers = np.array(both, dtype=np.int64).reshape(-1, 3).T
        order = np.lexsort((carriers, ends, begins))
        begins, ends, self._carrier = begins[order], ends[order], carriers[order]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (np.diff(begins) != 0) | (np.diff(ends) != 0)
        self._first = np.nonzero(is_first)[0]
        self._arc = np.cumsum(is_first) - 1
        self._ends = begins[self._first], ends[self._first]
        self._arcs = {
            pair: place for place, pair in enumerate(zip(*(side.tolist() for side in self._ends), strict=True))
        }

    def joined(self, demands: Demands) -> dict[NodeId, dict[NodeId, float]]:
        """Return the demands that some way joins."""
        if not self._network.carriers or not demands:
            return {}
        lengths, _, _ = self._lengths(list(demands), np.ones(len(self._network.limits)))
        found = {
            source: {to: weight for to, weight in targets.items() if np.isfinite(lengths[row, self._end[to]])}
            for row, (source, targets) in enumerate(demands.items())
        }
        return {source: targets for source, targets in found.items() if targets}

    def trees(self, demands: Demands, prices: Floats) -> tuple[list[Tree], Floats]:
        """Return the trees of shortest ways under prices of the limits, and what each costs at the prices."""
        lengths, before, carriers = self._lengths(list(demands), prices)
        found, costs = [], []
        for row, (source, targets) in enumerate(demands.items()):
            wanted = {self._end[to]: weight for to, weight in targets.items()}
            costs.append(float(lengths[row, list(wanted)] @ np.array(list(wanted.values()))))
            found.append((source, self._loaded(lengths[row], before[row], carriers, wanted)))
        return found, np.array(costs)

    def leaving(self, source: NodeId, prices: Floats) -> list[Carrier]:
        """Return the links that lead out of what ways reach from a source without meeting a limit that has a price."""
        lengths, _, _ = self._lengths([source], prices)
        inside = lengths[0] < 1e-6 * float((self.uses @ prices).max())
        begins, ends = self._ends
        crossing = (inside[begins] & ~inside[ends])[self._arc]
        return [self._network.carriers[place] for place in np.unique(self._carrier[crossing]).tolist()]

    def _lengths(self, sources: Sequence[NodeId], prices: Floats) -> tuple[Floats, Ints, list[int]]:
        """Return lengths and predecessors by source and vertex, and the link of each arc."""
        cost = np.asarray(self.uses @ prices)
        order = np.lexsort((cost[self._carrier], self._arc))
        chosen = self._carrier[order][self._first]
        length = cost[chosen] + LEAST_LENGTH * float(cost.max())
        graph = csr_array((length, self._ends), shape=(2 * self._size, 2 * self._size))
        lengths, before = dijkstra(graph, indices=[self._begin[one] for one in sources], return_predecessors=True)
        return lengths, before, chosen.tolist()

    def _loaded(self, lengths: Floats, before: Ints, carriers: Sequence[int], wanted: Mapping[int, float]) -> Floats:
        """Return what goes over each link when each vertex of ``wanted`` gets so much: from the far ends back."""
        loads = np.zeros(len(self._network.carriers))
        through = dict(wanted)
        queue = [(-float(lengths[vertex]), vertex) for vertex in wanted]
        heapq.heapify(queue)
        while queue:
            _, vertex = heapq.heappop(queue)
            previous, amount = int(before[vertex]), through[vertex]
            if previous == NOWHERE:
                continue
            loads[carriers[self._arcs[previous, vertex]]] += amount
            if previous not in through:
                heapq.heappush(queue, (-float(lengths[previous]), previous))
            through[previous] = through.get(previous, 0.0) + amount
        return loads
