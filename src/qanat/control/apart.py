"""Ways that no two nodes but their ends know anything of: neither relays, nor satellites that announced hops' key.

A satellite stands between any two of its stations that are neighbours through it, so it is a node that routes pass, one
at most, and once: from the station before it the one behind it is a hop away. Not between all: where a fibre, or
another satellite, joins two of its stations, it stands between others only. Of a route that passes it between such two,
either the way to it or the way from it is closed, and the better of both answers is taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from qanat.control.disjoint import DisjointRoutes, Graph, disjoint_routes
from qanat.ground.identifiers import NodeId

KnownTo: TypeAlias = Mapping[tuple[NodeId, NodeId], NodeId]
"""The satellite that has announced a hop's key, by hop in both directions."""
_Hop: TypeAlias = tuple[NodeId, NodeId]


def routes_apart(graph: Graph, known_to: KnownTo, source: NodeId, target: NodeId, *, at_most: int) -> DisjointRoutes:
    """Return the most routes of which no node but the ends knows two, of about the least total cost.

    The same as ``disjoint_routes`` where no satellite has announced anything. The cut may name satellites. Of several
    routes none passes a satellite twice; the only one may.
    """
    if not known_to:
        return disjoint_routes(graph, source, target, at_most=at_most)
    satellites = frozenset(known_to.values())
    found = _searched(_with_satellites(graph, known_to), known_to, source, target, at_most=at_most)
    if not found.routes:
        return DisjointRoutes(disjoint_routes(graph, source, target, at_most=1).routes, found.cut)
    routes = sorted(
        (tuple(node for node in route if node not in satellites) for route in found.routes),
        key=lambda route: (sum(graph[here][there] for here, there in pairwise(route)), len(route), route),
    )
    return DisjointRoutes(tuple(routes), found.cut)


def _with_satellites(graph: Graph, known_to: KnownTo) -> dict[NodeId, dict[NodeId, int]]:
    """Return the graph in which a hop that a satellite has announced goes by the satellite, half its cost each way; of
    several that go to it or from it, the cheapest sets the cost."""
    built: dict[NodeId, dict[NodeId, int]] = {}
    for here, peers in graph.items():
        built.setdefault(here, {})
        for there, cost in peers.items():
            satellite = known_to.get((here, there))
            steps = [(here, there, cost)]
            if satellite is not None:
                steps = [(here, satellite, cost // 2), (satellite, there, cost - cost // 2)]
            for one, other, part in steps:
                row = built.setdefault(one, {})
                row[other] = min(part, row.get(other, part))
    return built


def _searched(graph: Graph, known_to: KnownTo, source: NodeId, target: NodeId, *, at_most: int) -> DisjointRoutes:
    found = disjoint_routes(graph, source, target, at_most=at_most)
    wrong = _passes_wrongly(found, known_to)
    if wrong is None:
        return found
    answers = [_searched(_without(graph, hop), known_to, source, target, at_most=at_most) for hop in wrong]
    return max(answers, key=lambda one: (len(one.routes), -_cost(graph, one)))


def _passes_wrongly(found: DisjointRoutes, known_to: KnownTo) -> tuple[_Hop, _Hop] | None:
    """Return the way to a satellite and from it, of a route that passes it between stations which it does not join."""
    satellites = frozenset(known_to.values())
    for route in found.routes:
        for place, node in enumerate(route):
            if node in satellites and known_to.get((route[place - 1], route[place + 1])) != node:
                return (route[place - 1], node), (node, route[place + 1])
    return None


def _without(graph: Graph, hop: _Hop) -> dict[NodeId, dict[NodeId, int]]:
    here, there = hop
    return {
        node: {peer: cost for peer, cost in peers.items() if (node, peer) != (here, there)}
        for node, peers in graph.items()
    }


def _cost(graph: Graph, found: DisjointRoutes) -> int:
    return sum(graph[here][there] for route in found.routes for here, there in pairwise(route))
