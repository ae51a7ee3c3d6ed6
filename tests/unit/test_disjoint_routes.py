"""Routes without a common relay: as many as Menger allows, the cheapest, and the nodes that stop a further one.

The outside authority is networkx: node connectivity by its own flow algorithms, least cost by its network simplex.
"""

from __future__ import annotations

import itertools

import networkx as nx
import numpy as np
import pytest

from qanat.control.disjoint import Graph, disjoint_routes
from qanat.control.routing import choices_from, key_graph, places_of_applications
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.key_management.multipath import are_disjoint
from qanat.key_management.wire import RouteChoices

S, T = NodeId("n0"), NodeId("n1")


def some_graph(seed: int) -> Graph:
    """Return a random graph of up to 12 nodes, sparse enough that cuts are small, with costs of its hops."""
    draw = np.random.default_rng(seed)
    nodes = [NodeId(f"n{place}") for place in range(int(draw.integers(3, 13)))]
    graph: dict[NodeId, dict[NodeId, int]] = {node: {} for node in nodes}
    for one, other in itertools.combinations(nodes, 2):
        if draw.random() < 3 / len(nodes):
            cost = int(draw.integers(1000, 2001))
            graph[one][other] = graph[other][one] = cost
    return graph


def as_networkx(graph: Graph) -> nx.DiGraph:
    """Return the graph with every node split in two, one route through each."""
    split = nx.DiGraph()
    for node, peers in graph.items():
        split.add_edge((node, "in"), (node, "out"), capacity=1, weight=0)
        for peer, cost in peers.items():
            split.add_edge((node, "out"), (peer, "in"), capacity=1, weight=cost)
    return split


def least_cost(graph: Graph, count: int) -> int:
    split = as_networkx(graph)
    split.add_node((S, "out"), demand=-count)
    split.add_node((T, "in"), demand=count)
    return int(nx.min_cost_flow_cost(split))


@pytest.mark.parametrize("seed", range(150))
def test_the_most_and_the_cheapest_disjoint_routes_are_found(seed: int) -> None:
    graph = some_graph(seed)
    found = disjoint_routes(graph, S, T, at_most=99)
    most = nx.maximum_flow_value(as_networkx(graph), (S, "out"), (T, "in"))
    assert len(found.routes) == most
    assert are_disjoint(found.routes)
    for route in found.routes:
        assert (route[0], route[-1]) == (S, T)
        assert all(there in graph[here] for here, there in itertools.pairwise(route))
    if found.routes:
        cost = sum(graph[here][there] for route in found.routes for here, there in itertools.pairwise(route))
        assert cost == least_cost(graph, len(found.routes))


@pytest.mark.parametrize("seed", range(150))
def test_without_the_nodes_of_the_cut_nothing_but_a_direct_link_is_left(seed: int) -> None:
    graph = some_graph(seed)
    found = disjoint_routes(graph, S, T, at_most=99)
    rest = nx.Graph([(one, other) for one, peers in graph.items() for other in peers])
    rest.add_nodes_from((S, T))
    is_direct = rest.has_edge(S, T)
    rest.remove_edges_from([(S, T)])
    rest.remove_nodes_from(found.cut)
    assert not nx.has_path(rest, S, T)
    assert len(found.cut) == len(found.routes) - is_direct, "as few nodes as there are routes"


def test_a_bound_is_kept_and_the_cheapest_come_first() -> None:
    graph = {S: {NodeId("a"): 1, NodeId("b"): 2, NodeId("c"): 3}}
    graph |= {NodeId(name): {T: cost} for name, cost in (("a", 3), ("b", 1), ("c", 3))}
    found = disjoint_routes(graph, S, T, at_most=2)
    assert found.routes == ((S, "b", T), (S, "a", T))
    assert found.cut == ()


# ---- what the controller pushes ----


def network(links: str, *, users: str = "ab", losses: dict[str, float] | None = None) -> Network:
    names = sorted(set(links.replace(" ", "")))
    sites = tuple(
        Site(name=name, kind="user" if name in users else "relay", latitude_deg=0, longitude_deg=place)
        for place, name in enumerate(names)
    )
    made = tuple(
        Link(
            name="-".join(ends),
            transmitter=ends[0],
            receiver=ends[1],
            system="s",
            loss_db=(losses or {}).get(ends, 10.0),
            length_km=1000,
        )
        for ends in links.split()
    )
    applications = tuple(Application(name=f"app-{name}", site=name) for name in users)
    return Network(format="qanat-network/1", name="net", sites=sites, links=made, applications=applications)


def choices(net: Network, source: str) -> tuple[RouteChoices, ...]:
    """Return what the controller finds of all ways from a node."""
    return choices_from(key_graph(net, {}), NodeId(source), places=places_of_applications(net))


def ways(net: Network, source: str = "a", target: str = "b") -> tuple[list[str], list[str], str]:
    """Return the disjoint routes, the detours and the cut."""
    (choice,) = [row for row in choices(net, source) if row.target == target]
    return (
        ["".join(route) for route in choice.disjoint],
        ["".join(route) for route in choice.detours],
        "".join(choice.cut),
    )


def test_a_ring_has_two_ways() -> None:
    assert ways(network("ar rb as st tb")) == (["arb", "astb"], [], "rs")


def test_the_access_relay_of_a_star_user_is_on_every_way() -> None:
    assert ways(network("ar rb rc", users="abc")) == (["arb"], [], "r")


def test_on_a_line_every_relay_is_the_cut() -> None:
    assert ways(network("ar rs sb")) == (["arsb"], [], "rs")


def test_where_all_ways_meet_at_a_relay_there_are_detours_round_the_others() -> None:
    """a - r, then s or t, then u - b."""
    disjoint, detours, cut = ways(network("ar rs su rt tu ub"))
    assert (disjoint, detours, cut) == (["arsub"], ["artub"], "ru")


def test_a_direct_link_is_a_way_of_its_own() -> None:
    assert ways(network("ab ar rb")) == (["ab", "arb"], [], "r")


def test_no_key_passes_a_user() -> None:
    assert ways(network("ar rb ac cb", users="abc")) == (["arb"], [], "r")


def test_of_ways_of_one_length_the_one_with_the_better_links_comes_first() -> None:
    net = network("ar rb as sb", losses={"ar": 20.0, "rb": 20.0})
    assert ways(net)[0] == ["asb", "arb"]


def test_nodes_without_applications_hear_of_no_others() -> None:
    net = network("ar rb as sb")
    assert choices(net, "r") == ()
    assert [row.target for row in choices(net, "a")] == ["b"]
