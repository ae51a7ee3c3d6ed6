"""Ways of which no relay and no satellite knows two, against all simple paths of small graphs.

The authority is brute force: networkx lists all simple paths, and of those that may stand together the largest clique.
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations, pairwise, permutations
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.control import apart
from qanat.control.apart import KnownTo, routes_apart
from qanat.control.disjoint import DisjointRoutes, Graph, disjoint_routes
from qanat.control.routing import choices_from, disjoint, key_graph, places_of_applications
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Downlink, Link, Network, Site

S, T = NodeId("n0"), NodeId("n1")


@st.composite
def graphs_with_satellites(draw: st.DrawFn) -> tuple[Graph, KnownTo]:
    """Up to eight nodes; some hops are announced by one of two satellites."""
    nodes = [NodeId(f"n{place}") for place in range(draw(st.integers(3, 8)))]
    pairs = sorted(draw(st.sets(st.sampled_from(list(combinations(nodes, 2))), min_size=2)))
    graph: dict[NodeId, dict[NodeId, int]] = {node: {} for node in nodes}
    known_to: dict[tuple[NodeId, NodeId], NodeId] = {}
    for one, other in pairs:
        who = draw(st.sampled_from([None, None, "bird", "bird", "kite"]))
        cost = draw(st.integers(1000, 2000))
        for here, there in ((one, other), (other, one)):
            if here != T and there != S:
                graph[here][there] = cost
                if who is not None:
                    known_to[here, there] = NodeId(who)
    return graph, known_to


def knowing(route: tuple[NodeId, ...], known_to: KnownTo) -> frozenset[NodeId]:
    return frozenset((*route[1:-1], *(known_to[hop] for hop in pairwise(route) if hop in known_to)))


def passes_none_twice(route: tuple[NodeId, ...], known_to: KnownTo) -> bool:
    return max(Counter(known_to[hop] for hop in pairwise(route) if hop in known_to).values(), default=0) <= 1


@settings(max_examples=300, deadline=None, derandomize=True)
@given(graphs_with_satellites())
def test_there_are_as_many_as_the_paths_allow_and_nobody_knows_two(drawn: tuple[Graph, KnownTo]) -> None:
    graph, known_to = drawn
    found = routes_apart(graph, known_to, S, T, at_most=99)
    whole = nx.DiGraph([(here, there) for here, peers in graph.items() for there in peers])
    whole.add_nodes_from((S, T))
    every = [tuple(path) for path in nx.all_simple_paths(whole, S, T)]
    paths = [path for path in every if passes_none_twice(path, known_to)]
    assert set(found.routes) <= set(paths or every)
    for one, other in combinations(found.routes, 2):
        assert knowing(one, known_to).isdisjoint(knowing(other, known_to))
    together: nx.Graph = nx.Graph()
    together.add_nodes_from(paths)
    together.add_edges_from(
        (one, other)
        for one, other in combinations(paths, 2)
        if knowing(one, known_to).isdisjoint(knowing(other, known_to))
    )
    assert len(found.routes) == max((len(clique) for clique in nx.find_cliques(together)), default=len(every[:1]))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(graphs_with_satellites())
def test_without_satellites_they_are_the_disjoint_routes(drawn: tuple[Graph, KnownTo]) -> None:
    graph, _ = drawn
    assert routes_apart(graph, {}, S, T, at_most=4) == disjoint_routes(graph, S, T, at_most=4)


def network(links: str, seen: str) -> Network:
    """Users a and b, relays of other letters; ``seen``: the satellite 'bird' or 'kite' and stations that see it."""
    names = sorted(set(links.replace(" ", "")) | {station for word in seen.split() for station in word[1:]})
    sites = [
        Site(name=name, kind="user" if name in "ab" else "relay", latitude_deg=40, longitude_deg=place)
        for place, name in enumerate(names)
    ]
    aloft = {"K": "kite", "B": "bird"}
    sites += [
        Site.model_validate({"name": aloft[word[0]], "kind": "satellite", "elements": "micius"})
        for word in seen.split()
    ]
    made = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=1000)
        for one, other in links.split()
    )
    return Network(
        format="qanat-network/1",
        name="net",
        sites=tuple(sites),
        links=made,
        downlinks=tuple(
            Downlink(satellite=aloft[word[0]], station=station) for word in seen.split() for station in word[1:]
        ),
        applications=tuple(Application(name=f"app-{name}", site=name) for name in "ab"),
    )


def told(net: Network) -> tuple[list[str], str]:
    """Return the disjoint routes from a to b, and the cut."""
    graph = key_graph(net, {})
    (row,) = [row for row in choices_from(graph, NodeId("a"), places=places_of_applications(net)) if row.target == "b"]
    assert row.disjoint == disjoint(graph, NodeId("a"), NodeId("b")).routes
    return ["".join(route) for route in row.disjoint], " ".join(row.cut)


@pytest.mark.parametrize(
    ("links", "seen", "ways", "cut"),
    [
        ("ar as tb ub", "Brstu", ["artb"], "bird"),
        ("ar as tb ub", "Brt Ksu", ["artb", "asub"], "r s"),
        ("ar as tb ub rt", "Brstu", ["artb", "asub"], "r s"),
        ("ar as tb ub", "Brstu Kstu", ["artb"], "bird"),  # of two links between two stations the first is gone
        ("as tb", "Bast", ["atb"], "t"),
    ],
)
def test_a_satellite_stands_on_one_way_at_most(links: str, seen: str, ways: list[str], cut: str) -> None:
    assert told(network(links, seen)) == (ways, cut)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(graphs_with_satellites())
def test_without_who_stands_in_the_cut_nothing_but_a_direct_hop_is_left(drawn: tuple[Graph, KnownTo]) -> None:
    graph, known_to = drawn
    found = routes_apart(graph, known_to, S, T, at_most=99)
    left = [
        (here, there)
        for here, peers in graph.items()
        for there in peers
        if {here, there, known_to.get((here, there))}.isdisjoint(found.cut) and (here, there) != (S, T)
    ]
    rest = nx.DiGraph(left)
    rest.add_nodes_from((S, T))
    if found.cut:
        assert not nx.has_path(rest, S, T)


def test_a_single_way_has_a_cut_that_names_who_is_on_every_other() -> None:
    """Pruned: a - b by bird, and round by s. The cut of a graph that was pruned on the way would name s."""
    ways, cut = told(network("as bt rt", "Bab Kstab"))
    assert len(ways) == 2
    assert cut in ("", "bird kite")


@pytest.mark.parametrize("num", [8, 16, 20])
def test_stations_that_a_satellite_does_not_join_cost_few_searches(num: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The satellite joins those of the left half, and those of the right, but no left one with a right one."""
    halves = [[NodeId(f"{side}{place:02}") for place in range(num // 2)] for side in "lr"]
    graph: dict[NodeId, dict[NodeId, int]] = {S: dict.fromkeys(halves[0], 1000)}
    known_to: dict[tuple[NodeId, NodeId], NodeId] = {}
    for half in halves:
        for one, other in permutations(half, 2):
            graph.setdefault(one, {})[other] = 1000
            known_to[one, other] = NodeId("bird")
    for station in halves[1]:
        graph[station][T] = 1000
    calls: list[int] = []

    def counted(*args: Any, **more: Any) -> DisjointRoutes:
        calls.append(1)
        return disjoint_routes(*args, **more)

    monkeypatch.setattr(apart, "disjoint_routes", counted)
    assert routes_apart(graph, known_to, S, T, at_most=4).routes == ()
    assert len(calls) <= apart.MOST_SEARCHES + 2
