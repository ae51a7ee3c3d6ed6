"""Shortest ways through a network under prices of its limits, and what they load each link with."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
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
Asker: TypeAlias = tuple[NodeId, frozenset[NodeId]]
"""A source, and the relays that its ways to some targets may not pass."""
Asks: TypeAlias = Mapping[Asker, Mapping[NodeId, float]]
"""Asker -> target -> weight."""
Barred: TypeAlias = Mapping[tuple[NodeId, NodeId], frozenset[NodeId]]
"""Source and target -> the relays that keys of the two may not pass, where there are any."""
Tree: TypeAlias = tuple[Asker, Floats]
"""Who asks, and what the ways to all its targets load each link with when the level is one."""

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

    def joined(self, demands: Demands, barred: Barred) -> dict[Asker, dict[NodeId, float]]:
        """Return the demands that some way joins, apart by the relays that they may not pass."""
        asks: dict[Asker, dict[NodeId, float]] = {}
        for source, targets in demands.items():
            for to, weight in targets.items():
                asks.setdefault((source, barred.get((source, to), frozenset())), {})[to] = weight
        if not self._network.carriers or not asks:
            return {}
        found: dict[Asker, dict[NodeId, float]] = {}
        for askers, lengths, _, _ in self._searched(asks, np.ones(len(self._network.limits))):
            for row, asker in enumerate(askers):
                reached = {to: weight for to, weight in asks[asker].items() if np.isfinite(lengths[row, self._end[to]])}
                found |= {asker: reached} if reached else {}
        return {asker: found[asker] for asker in asks if asker in found}

    def trees(self, asks: Asks, prices: Floats) -> tuple[list[Tree], Floats]:
        """Return the trees of shortest ways under prices of the limits, in the order of ``asks``, and what each costs
        at the prices."""
        found: dict[Asker, tuple[Floats, float]] = {}
        for askers, lengths, before, carriers in self._searched(asks, prices):
            for row, asker in enumerate(askers):
                wanted = {self._end[to]: weight for to, weight in asks[asker].items()}
                cost = float(lengths[row, list(wanted)] @ np.array(list(wanted.values())))
                found[asker] = self._loaded(lengths[row], before[row], carriers, wanted), cost
        return [(asker, found[asker][0]) for asker in asks], np.array([found[asker][1] for asker in asks])

    def _searched(self, asks: Asks, prices: Floats) -> Iterator[tuple[Sequence[Asker], Floats, Ints, Sequence[int]]]:
        """Yield askers that may pass the same relays, with what ``_lengths`` returns for them."""
        alike: dict[frozenset[NodeId], list[Asker]] = {}
        for asker in asks:
            alike.setdefault(asker[1], []).append(asker)
        for barred, askers in alike.items():
            yield askers, *self._lengths([source for source, _ in askers], prices, barred)

    def leaving(self, source: NodeId, prices: Floats) -> list[Carrier]:
        """Return the links that lead out of what ways reach from a source without meeting a limit that has a price."""
        lengths, _, _ = self._lengths([source], prices)
        inside = lengths[0] < 1e-6 * float((self.uses @ prices).max())
        begins, ends = self._ends
        crossing = (inside[begins] & ~inside[ends])[self._arc]
        return [self._network.carriers[place] for place in np.unique(self._carrier[crossing]).tolist()]

    def _lengths(
        self, sources: Sequence[NodeId], prices: Floats, barred: frozenset[NodeId] = frozenset()
    ) -> tuple[Floats, Ints, list[int]]:
        """Return lengths and predecessors by source and vertex, and the link of each arc; without the arcs at relays
        that are barred."""
        cost = np.asarray(self.uses @ prices)
        order = np.lexsort((cost[self._carrier], self._arc))
        chosen = self._carrier[order][self._first]
        length = cost[chosen] + LEAST_LENGTH * float(cost.max())
        begins, ends = self._ends
        places = [self._begin[node] for node in barred]
        is_open = ~(np.isin(begins, places) | np.isin(ends, places))
        shape = (2 * self._size, 2 * self._size)
        graph = csr_array((length[is_open], (begins[is_open], ends[is_open])), shape=shape)
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
