"""Routes that share no node, and the nodes because of which there are no more of them.

Suurballe's idea in its general form: a flow of least cost in which every node carries one route at most, found one
shortest augmenting path at a time (Ahuja, Magnanti, Orlin, Network Flows, 1993, section 9.7). Each node is two
vertices, one that routes enter and one that they leave by. Where no further path augments the flow, the vertices that
can still be reached show the cut (Menger's theorem: as many nodes as there are routes). Ties fall by name: the same
question has the same answer in every process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from qanat.ground.identifiers import NodeId

Route: TypeAlias = tuple[NodeId, ...]
Graph: TypeAlias = Mapping[NodeId, Mapping[NodeId, int]]
"""Neighbours of each node that a key may go to from there, with the cost of each hop (positive)."""
_Vertex: TypeAlias = tuple[NodeId, bool]
"""A node, as it is entered (False) or left (True)."""


@dataclass(frozen=True, slots=True)
class DisjointRoutes:
    """``routes``: from one node to another, the cheapest first. ``cut``: see ``RouteChoices``."""

    routes: tuple[Route, ...]
    cut: tuple[NodeId, ...]


def disjoint_routes(graph: Graph, source: NodeId, target: NodeId, *, at_most: int) -> DisjointRoutes:
    """Return the most routes from ``source`` to ``target`` that have no other node in common, of the least total cost.

    ``at_most``: no more are looked for; the cut is then empty.
    """
    flow = _Flow(graph, source, target)
    found = 0
    while found < at_most and flow.augment():
        found += 1
    routes = sorted(flow.routes(), key=lambda route: (_cost(graph, route), len(route), route))
    return DisjointRoutes(tuple(routes), flow.cut() if found < at_most else ())


def _cost(graph: Graph, route: Route) -> int:
    return sum(graph[here][there] for here, there in pairwise(route))


class _Flow:
    """A flow of unit edges from the way out of ``source`` to the way into ``target``."""

    def __init__(self, graph: Graph, source: NodeId, target: NodeId) -> None:
        self._graph = graph
        self._source, self._target = (source, True), (target, False)
        self._next: dict[_Vertex, set[_Vertex]] = {}  # edges that carry flow

    def augment(self) -> bool:
        """Add one route to the flow along the cheapest augmenting path; False when there is none."""
        _, before = self._reach()
        if self._target not in before:
            return False
        there = self._target
        while there != self._source:
            here = before[there]
            if here in self._next.get(there, ()):
                self._next[there].discard(here)  # the earlier route gives this edge back
            else:
                self._next.setdefault(here, set()).add(there)
            there = here
        return True

    def routes(self) -> Iterator[Route]:
        """Yield the routes that the flow is made of."""
        for first in self._next.get(self._source, ()):
            route, here = [self._source[0]], first
            while here != self._target:
                if not here[1]:
                    route.append(here[0])
                (here,) = self._next[here]
            yield (*route, self._target[0])

    def cut(self) -> tuple[NodeId, ...]:
        """Return the nodes that stop a further route, in order of their names."""
        reached, _ = self._reach()
        nodes = set()
        for here, edges in self._next.items():
            for there in edges:
                if here in reached and there not in reached:
                    nodes.add(there[0] if there != self._target else here[0])
        return tuple(sorted(nodes - {self._source[0], self._target[0]}))

    def _reach(self) -> tuple[dict[_Vertex, int], dict[_Vertex, _Vertex]]:
        """Return the costs of all vertices that an augmenting path can reach, and the vertex before each (Bellman and
        Ford, with a queue: edges that give back cost less than nothing)."""
        entered_from = {there: here for here, edges in self._next.items() for there in edges if not there[1]}
        costs, before, queue = {self._source: 0}, dict[_Vertex, _Vertex](), deque([self._source])
        waiting = {self._source}
        while queue:
            here = queue.popleft()
            waiting.discard(here)
            so_far = costs[here]
            for there, cost in self._edges(here, entered_from):
                if there not in costs or so_far + cost < costs[there]:
                    costs[there], before[there] = so_far + cost, here
                    if there not in waiting:
                        waiting.add(there)
                        queue.append(there)
        return costs, before

    def _edges(self, here: _Vertex, entered_from: Mapping[_Vertex, _Vertex]) -> list[tuple[_Vertex, int]]:
        """Return where one unit more can go from a vertex, and at what cost. ``entered_from``: where the flow into a
        node comes from; it gives back what it carries."""
        node, leaves = here
        carries = self._next.get(here, ())
        if leaves:
            neighbours = self._graph.get(node, {}).items()
            edges = [((neighbour, False), cost) for neighbour, cost in neighbours if (neighbour, False) not in carries]
            if here in self._next.get((node, False), ()):
                edges.append(((node, False), 0))
            return edges
        if here == self._target:
            return []
        edges = [((node, True), 0)] if (node, True) not in carries else []
        if (giver := entered_from.get(here)) is not None:
            edges.append((giver, -self._graph[giver[0]][node]))
        return edges
