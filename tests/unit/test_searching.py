"""Shortest paths of demands through the relays of a network, beside networkx."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.lifting import lift
from qanat.control.solvers.paths import Market
from qanat.ground.identifiers import LinkId, NodeId

Pairs = list[tuple[NodeId, NodeId]]


def drawn_graph(draw: np.random.Generator, *, num_relays: int, num_users: int, num_links: int) -> RouteGraph:
    """Return sites joined by chance: relays with each other, users with relays, and users with users."""
    relays = [NodeId(f"relay-{place}") for place in range(num_relays)]
    users = [NodeId(f"user-{place}") for place in range(num_users)]
    sites = relays + users
    links = []
    for place in range(num_links):
        one, other = draw.choice(len(sites), 2, replace=False)
        links.append(GraphLink(LinkId(f"link-{place}"), (sites[one], sites[other])))
    return RouteGraph(links, relays=relays, others=users)


def passing(graph: RouteGraph, prices: dict[frozenset[NodeId], float], pair: tuple[NodeId, NodeId]) -> nx.Graph[NodeId]:
    """Return what a pair's keys may go over: the links of relays and of its own two ends."""
    plain: nx.Graph[NodeId] = nx.Graph()
    plain.add_nodes_from(graph.nodes)
    for place, link in enumerate(graph.links):
        if graph.link_is_up[place] and all(end.startswith("relay") or end in pair for end in link.ends):
            plain.add_edge(*link.ends, weight=prices[frozenset(link.ends)])
    return plain


@pytest.mark.parametrize("seed", range(40))
def test_lengths_and_paths_are_those_of_networkx(seed: int) -> None:
    draw = np.random.default_rng(seed)
    num_relays, num_users = int(draw.integers(0, 8)), int(draw.integers(2, 10))
    graph = drawn_graph(draw, num_relays=num_relays, num_users=num_users, num_links=int(draw.integers(1, 40)))
    for link in graph.links:
        if draw.random() < 0.1:
            graph.set_link(link.link_id, is_up=False)
    pairs: Pairs = [(one, other) for one in graph.nodes for other in graph.nodes if one != other]
    market = Market(graph, [Demand(f"{place}", *pair) for place, pair in enumerate(pairs)])
    for _ in range(3):  # under prices one after the other
        rows = [link for place, link in enumerate(graph.links) if graph.link_is_up[place]]
        drawn = draw.uniform(0.1, 1.0, len(rows))
        prices = {frozenset(link.ends): float(price) for link, price in zip(rows, drawn, strict=True)}
        lengths = market.shortest(drawn)
        expected = [
            nx.shortest_path_length(plain, *pair, weight="weight") if nx.has_path(plain, *pair) else np.inf
            for pair, plain in ((pair, passing(graph, prices, pair)) for pair in pairs)
        ]
        assert lengths == pytest.approx(np.array(expected), rel=1e-12)
        is_wanted = draw.random(len(pairs)) < 0.7
        demands, paths = market.paths(is_wanted)
        assert sorted(demands.tolist()) == np.flatnonzero(is_wanted & np.isfinite(lengths)).tolist()
        for demand, path in zip(demands.tolist(), paths, strict=True):
            route = market.route(demand, path)
            assert (route[0], route[-1]) == pairs[demand]
            assert all(site.startswith("relay") for site in route[1:-1])
            assert float(drawn[path].sum()) == pytest.approx(lengths[demand], rel=1e-12)


def test_a_lift_needs_no_limit_that_cannot_bind() -> None:
    """Users with a way each over links of their own: the narrowest gives the height, and its price alone proves it."""
    capacity = np.array([5.0, 2.0, 7.0])
    found = lift(
        (np.arange(3), np.arange(3), np.ones(3)),
        capacity,
        owners=np.arange(3),
        floor=np.array([1.0, 0.0, 0.0]),
        rise=np.array([0.0, 1.0, 2.0]),
    )
    assert found is not None
    assert found.height == pytest.approx(2.0)
    assert found.flows == pytest.approx([1.0, 2.0, 4.0])
    assert found.prices == pytest.approx([0.0, 1.0, 0.0])
    alone = np.zeros(1, dtype=int), np.zeros(1, dtype=int), np.ones(1)
    assert lift(alone, np.array([1.0]), owners=np.arange(1), floor=np.array([2.0]), rise=np.zeros(1)) is None
