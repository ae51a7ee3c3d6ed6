"""Ways that no two nodes but their ends know anything of: neither relays, nor satellites that announced hops' key.

A satellite stands between any two of its stations that are neighbours through it, so it is a node that routes pass, one
at most, and once: from the station before it the one behind it is a hop away. Not between all: where a fibre, or
another satellite, joins two of its stations, it stands between others only. Of a route that passes it between such two,
either the way to it or the way from it is closed, until no route does so any more: branch and bound, where no branch
has more routes than what it came from.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, TypeAlias

from qanat.control.disjoint import DisjointRoutes, Graph, Route, disjoint_routes
from qanat.ground.identifiers import NodeId

KnownTo: TypeAlias = Mapping[tuple[NodeId, NodeId], NodeId]
"""The satellite that has announced a hop's key, by hop in both directions."""
_Hop: TypeAlias = tuple[NodeId, NodeId]
MOST_SEARCHES: Final = 64
"""After so many the routes found that pass satellites rightly are taken: fewer, perhaps, than there are."""


def routes_apart(graph: Graph, known_to: KnownTo, source: NodeId, target: NodeId, *, at_most: int) -> DisjointRoutes:
    """Return the most routes of which no node but the ends knows two, of about the least total cost.

    The same as ``disjoint_routes`` where no satellite has announced anything. The cut may name satellites; it is empty
    where none was found. Of several routes none passes a satellite twice; the only one may.
    """
    if not known_to:
        return disjoint_routes(graph, source, target, at_most=at_most)
    search = _Search(_with_satellites(graph, known_to), known_to, source, target, at_most)
    first = search.flow(frozenset())
    found = search.routes()
    if not found:
        found = disjoint_routes(graph, source, target, at_most=1).routes
    routes: list[Route] = sorted(found, key=lambda route: (_cost(graph, route), len(route), route))
    cuts = [first.cut] if len(found) == len(first.routes) else []
    if len(found) == 1:
        cuts += [(node,) for node in _knowing(found[0], known_to)]
    cut = next((cut for cut in cuts if cut and _parts(cut, graph, known_to, source, target)), ())
    return DisjointRoutes(tuple(routes), cut if len(found) < at_most else ())


class _Search:
    """For the routes from one node to another in a graph whose satellites are nodes."""

    def __init__(self, graph: Graph, known_to: KnownTo, source: NodeId, target: NodeId, at_most: int) -> None:
        self._graph, self._known_to = graph, known_to
        self._source, self._target, self._at_most = source, target, at_most
        self._satellites = frozenset(known_to.values())
        self._flows: dict[frozenset[_Hop], DisjointRoutes] = {}
        self._best: tuple[Route, ...] = ()

    def routes(self) -> tuple[Route, ...]:
        """Return the routes, without the satellites that they pass."""
        self._branch(frozenset(), set())
        return tuple(tuple(node for node in route if node not in self._satellites) for route in self._best)

    def flow(self, closed: frozenset[_Hop]) -> DisjointRoutes:
        """Return the most disjoint routes while some ways to and from satellites are closed."""
        if closed not in self._flows:
            graph = dict(self._graph)
            for here, there in closed:
                graph[here] = {peer: cost for peer, cost in graph[here].items() if peer != there}
            self._flows[closed] = disjoint_routes(graph, self._source, self._target, at_most=self._at_most)
        return self._flows[closed]

    def _branch(self, closed: frozenset[_Hop], seen: set[frozenset[_Hop]]) -> None:
        """Keep the most routes that pass satellites rightly, of all that this and what follows from it have."""
        if closed in seen or len(seen) >= MOST_SEARCHES:
            return
        seen.add(closed)
        found = self.flow(closed).routes
        wrong = [hops for route in found if (hops := self._passes_wrongly(route)) is not None]
        right = tuple(route for route in found if self._passes_wrongly(route) is None)
        if len(right) > len(self._best):
            self._best = right
        for hop in wrong[0] if wrong else ():
            if len(found) > len(self._best):  # no branch of it has more
                self._branch(closed | {hop}, seen)

    def _passes_wrongly(self, route: Route) -> tuple[_Hop, _Hop] | None:
        """Return the way to a satellite and from it, of a route that passes it between stations that it does not
        join."""
        for place, node in enumerate(route[1:-1], start=1):
            before, after = route[place - 1], route[place + 1]
            if node in self._satellites and self._known_to.get((before, after)) != node:
                return (before, node), (node, after)
        return None


def _with_satellites(graph: Graph, known_to: KnownTo) -> Graph:
    """Return the graph in which a hop that a satellite has announced goes by the satellite, half its cost each way; of
    several that go to it or from it, the cheapest sets the cost."""
    built = dict(graph)
    stations = {here for here, _ in known_to}
    for here in (node for node in graph if node in stations):  # in the graph's order: it decides between equal routes
        row = built[here] = dict[NodeId, int]()
        for there, cost in graph[here].items():
            if (satellite := known_to.get((here, there))) is None:
                row[there] = cost
                continue
            row[satellite] = min(cost // 2, row.get(satellite, cost // 2))
            beyond = built[satellite] = dict(built.get(satellite, {}))
            beyond[there] = min(cost - cost // 2, beyond.get(there, cost - cost // 2))
    return built


def _knowing(route: Route, known_to: KnownTo) -> list[NodeId]:
    """Return who but the ends knows what goes over a route, in the order of the route."""
    nodes = [known for hop in pairwise(route) for known in (known_to.get(hop), hop[1]) if known is not None]
    return nodes[:-1]


def _parts(cut: tuple[NodeId, ...], graph: Graph, known_to: KnownTo, source: NodeId, target: NodeId) -> bool:
    """Return whether without these nodes nothing is left but a hop from end to end."""
    reached, waiting = {source}, deque([source])
    while waiting:
        here = waiting.popleft()
        for there in graph.get(here, {}):
            is_gone = there in reached or there in cut or known_to.get((here, there)) in cut
            if is_gone or (here, there) == (source, target):
                continue
            if there == target:
                return False
            reached.add(there)
            waiting.append(there)
    return True


def _cost(graph: Graph, route: Route) -> int:
    return sum(graph[here][there] for here, there in pairwise(route))
