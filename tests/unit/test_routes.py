"""Routes against all simple paths of small graphs: the best there is, ties by hops and names, under every policy.

The authority is brute force: networkx lists all simple paths, and the best of them is taken by the definition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.control.graph import GraphLink, Route, RouteGraph
from qanat.control.routing import cheapest, disjoint, freshest, shortest, widest, widest_from
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

S, T = NodeId("n0"), NodeId("n1")
quickly = settings(max_examples=40, deadline=None, derandomize=True)


@dataclass(frozen=True)
class Drawn:
    """A small graph, what is known of its links, and what has failed."""

    users: frozenset[NodeId]
    regions: dict[NodeId, str]
    links: dict[LinkId, tuple[NodeId, NodeId]]
    values: dict[LinkId, int]
    links_down: frozenset[LinkId] = frozenset()
    nodes_down: frozenset[NodeId] = frozenset()
    nodes: tuple[NodeId, ...] = field(default=())

    def graph(self) -> RouteGraph:
        links = [GraphLink(link_id, ends) for link_id, ends in self.links.items()]
        relays = [node for node in self.nodes if node not in self.users]
        graph = RouteGraph(links, relays=relays, others=self.users, regions=self.regions)
        for link_id, value in self.values.items():
            graph.set_link(link_id, width=value, age_s=value, cost=value, is_up=link_id not in self.links_down)
        for node in self.nodes_down:
            graph.set_node(node, is_up=False)
        return graph

    def value(self, here: NodeId, there: NodeId) -> int:
        return self.values[LinkId("-".join(sorted((here, there))))]

    def all_routes(self, policy: RoutePolicy) -> list[Route]:
        """Return every route from S to T that the words of the policy allow."""
        whole: nx.Graph = nx.Graph()
        whole.add_nodes_from(self.nodes)
        whole.add_edges_from(ends for link_id, ends in self.links.items() if link_id not in self.links_down)
        return [tuple(path) for path in nx.all_simple_paths(whole, S, T) if self._is_allowed(path, policy)]

    def _is_allowed(self, path: list[NodeId], policy: RoutePolicy) -> bool:
        home = self.regions.get(S, "")
        return (
            self.users.isdisjoint(path[1:-1])
            and self.nodes_down.isdisjoint(path)
            and policy.avoid.isdisjoint(path)
            and (not policy.direct_only or len(path) == 2)
            and (not policy.domestic_only or (home != "" and all(self.regions.get(node) == home for node in path)))
        )


@st.composite
def drawn_graphs(draw: st.DrawFn) -> Drawn:
    nodes = tuple(NodeId(f"n{place}") for place in range(draw(st.integers(3, 7))))
    pairs = draw(st.sets(st.sampled_from(list(combinations(nodes, 2))), min_size=2))
    links = {LinkId("-".join(pair)): pair for pair in sorted(pairs)}
    few = st.integers(1, 4)  # few values, so that there are ties
    return Drawn(
        users=frozenset(draw(st.sets(st.sampled_from(nodes), max_size=3))),
        regions={node: draw(st.sampled_from(["", "x", "x", "y"])) for node in nodes},
        links=links,
        values={link_id: draw(few) for link_id in links},
        links_down=frozenset(draw(st.sets(st.sampled_from(sorted(links)), max_size=2))),
        nodes_down=frozenset(draw(st.sets(st.sampled_from(nodes), max_size=1))),
        nodes=nodes,
    )


policies = st.builds(
    RoutePolicy,
    avoid=st.frozensets(st.sampled_from([NodeId(f"n{place}") for place in (0, 2, 3, 4)]), max_size=2),
    domestic_only=st.booleans(),
    direct_only=st.sampled_from([False, False, False, True]),
) | st.just(ANY_ROUTE)


def best(drawn: Drawn, policy: RoutePolicy, badness: Callable[[list[int]], float]) -> Route | None:
    def rank(route: Route) -> tuple[float, int, Route]:
        return badness([drawn.value(*hop) for hop in pairwise(route)]), len(route), route

    return min(drawn.all_routes(policy), key=rank, default=None)


@quickly
@given(drawn_graphs(), policies)
def test_the_widest_route_is_the_best_of_all_paths(drawn: Drawn, policy: RoutePolicy) -> None:
    assert widest(drawn.graph(), S, T, policy) == best(drawn, policy, lambda values: -min(values))


@quickly
@given(drawn_graphs(), policies)
def test_the_freshest_route_is_the_best_of_all_paths(drawn: Drawn, policy: RoutePolicy) -> None:
    assert freshest(drawn.graph(), S, T, policy) == best(drawn, policy, max)


@quickly
@given(drawn_graphs(), policies)
def test_the_cheapest_route_is_the_best_of_all_paths(drawn: Drawn, policy: RoutePolicy) -> None:
    assert cheapest(drawn.graph(), S, T, policy) == best(drawn, policy, sum)


@quickly
@given(drawn_graphs(), policies)
def test_the_shortest_route_is_the_best_of_all_paths(drawn: Drawn, policy: RoutePolicy) -> None:
    assert shortest(drawn.graph(), S, T, policy) == best(drawn, policy, len)


@quickly
@given(drawn_graphs(), policies)
def test_routes_to_all_are_the_routes_to_each(drawn: Drawn, policy: RoutePolicy) -> None:
    graph = drawn.graph()
    one_by_one = {node: widest(graph, S, node, policy) for node in drawn.nodes if node != S}
    assert widest_from(graph, S, policy) == {node: route for node, route in one_by_one.items() if route is not None}


@quickly
@given(drawn_graphs(), policies)
def test_there_are_as_many_disjoint_routes_under_a_policy_as_the_paths_allow(drawn: Drawn, policy: RoutePolicy) -> None:
    paths = drawn.all_routes(policy)
    found = disjoint(drawn.graph(), S, T, policy, at_most=99)
    assert set(found.routes) <= set(paths)
    assert all(set(one[1:-1]).isdisjoint(other[1:-1]) for one, other in combinations(found.routes, 2))
    inner: nx.Graph = nx.Graph()  # of paths that may stand together; the largest clique is the most there can be
    inner.add_nodes_from(paths)
    inner.add_edges_from(pair for pair in combinations(paths, 2) if set(pair[0][1:-1]).isdisjoint(pair[1][1:-1]))
    assert len(found.routes) == max((len(clique) for clique in nx.find_cliques(inner)), default=0)


@quickly
@given(drawn_graphs(), st.data())
def test_a_graph_changed_in_place_is_as_good_as_a_new_one(drawn: Drawn, data: st.DataObject) -> None:
    graph = drawn.graph()
    changed = {link_id: data.draw(st.integers(1, 4)) for link_id in drawn.links}
    for link_id, value in changed.items():
        graph.set_link(link_id, width=value, age_s=value, cost=value, is_up=True)
    for node in drawn.nodes_down:
        graph.set_node(node, is_up=True)
    again = Drawn(drawn.users, drawn.regions, drawn.links, changed, nodes=drawn.nodes)
    for search in (widest, freshest, cheapest, shortest):
        assert search(graph, S, T) == search(again.graph(), S, T)


def line(*names: str, **more: object) -> RouteGraph:
    nodes = [NodeId(name) for name in names]
    links = [GraphLink(LinkId("-".join(pair)), pair) for pair in pairwise(nodes)]
    return RouteGraph(links, relays=nodes, **more)  # type: ignore[arg-type]


def test_of_the_widest_routes_the_one_of_the_fewest_hops_is_taken() -> None:
    """The best way to c is the long wide one; the best way to d, narrow in the end, is the short one."""
    pairs = [("a", "b", 9.0), ("b", "c", 9.0), ("a", "c", 5.0), ("c", "d", 5.0)]
    graph = RouteGraph(
        [GraphLink(LinkId(one + other), (NodeId(one), NodeId(other))) for one, other, _ in pairs],
        relays=[NodeId(name) for name in "abcd"],
    )
    for one, other, width in pairs:
        graph.set_link(LinkId(one + other), width=width)
    assert widest(graph, NodeId("a"), NodeId("c")) == ("a", "b", "c")
    assert widest(graph, NodeId("a"), NodeId("d")) == ("a", "c", "d")


def test_nothing_is_domestic_where_no_region_is_stated() -> None:
    policy = RoutePolicy(domestic_only=True)
    assert widest(line("a", "b", "c"), NodeId("a"), NodeId("c"), policy) is None
    home = dict.fromkeys(map(NodeId, "abc"), "home")
    assert widest(line("a", "b", "c", regions=home), NodeId("a"), NodeId("c"), policy) == ("a", "b", "c")


def test_policies_are_joined_by_the_stricter_of_each() -> None:
    one, other = RoutePolicy(avoid=frozenset({S})), RoutePolicy(avoid=frozenset({T}), direct_only=True)
    assert one.joined(other) == RoutePolicy(avoid=frozenset({S, T}), direct_only=True)
    assert ANY_ROUTE.joined(one) == one


def test_of_links_side_by_side_the_first_is_used() -> None:
    ends = (NodeId("a"), NodeId("b"))
    graph = RouteGraph([GraphLink(LinkId("one"), ends), GraphLink(LinkId("two"), ends[::-1])], relays=ends)
    graph.set_link(LinkId("two"), width=99.0)
    assert graph.links_along(ends) == ("one",)
    graph.set_link(LinkId("one"), is_up=False)
    assert widest(graph, *ends) is None


def test_no_route_leads_to_oneself_and_strangers_are_named() -> None:
    graph = line("a", "b")
    assert widest(graph, NodeId("a"), NodeId("a")) is None
    with pytest.raises(UnknownNode, match="'z'"):
        widest(graph, NodeId("a"), NodeId("z"))
    with pytest.raises(UnknownNode, match="no link joins"):
        line("a", "b", "c").links_along((NodeId("a"), NodeId("c")))


def test_a_cost_is_not_negative() -> None:
    with pytest.raises(ValueError, match="-1"):
        line("a", "b").set_link(LinkId("a-b"), cost=-1)
