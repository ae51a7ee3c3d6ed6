"""Routes over failures: always those that a search from scratch finds, and for who has none, what cut it off."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.routing import widest
from qanat.control.survival import Fault, Outage, RoutedPair, Survivor
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.route_policy import RoutePolicy

quickly = settings(max_examples=40, deadline=None, derandomize=True)
NODES = tuple(NodeId(f"n{place}") for place in range(6))
PAIRS = {"-".join(pair): RoutedPair(*pair) for pair in combinations(NODES, 2)} | {
    "wary": RoutedPair(NODES[0], NODES[5], RoutePolicy(avoid=frozenset({NODES[2]})))
}


def link(name: str, fault: Fault = Fault.LINK_DOWN) -> Outage:
    return Outage(fault, link_id=LinkId(name))


def site(name: str) -> Outage:
    return Outage(Fault.NODE_LOST, node=NodeId(name))


def graph_of(links: list[str], widths: list[int], *, users: frozenset[NodeId] = frozenset()) -> RouteGraph:
    ends = [tuple(map(NodeId, name.split("-"))) for name in links]
    nodes = {node for pair in ends for node in pair} | set(NODES)
    made = [GraphLink(LinkId(name), (one, other)) for name, (one, other) in zip(links, ends, strict=True)]
    graph = RouteGraph(made, relays=nodes - users, others=users)
    for name, width in zip(links, widths, strict=True):
        graph.set_link(LinkId(name), width=width)
    return graph


@st.composite
def networks(draw: st.DrawFn) -> tuple[RouteGraph, list[Outage]]:
    """Return a graph and a row of outages; one that comes for the second time is mended."""
    links = sorted(draw(st.sets(st.sampled_from(["-".join(pair) for pair in combinations(NODES, 2)]), min_size=4)))
    widths = [draw(st.integers(1, 4)) for _ in links]
    users = frozenset(draw(st.sets(st.sampled_from(NODES), max_size=2)))
    faults = st.sampled_from([Fault.LINK_DOWN, Fault.QBER_ALARM, Fault.POOL_DRY])
    outages = st.builds(lambda name, fault: link(name, fault), st.sampled_from(links), faults) | st.builds(
        site, st.sampled_from(NODES)
    )
    return graph_of(links, widths, users=users), draw(st.lists(outages, max_size=12))


def played(graph: RouteGraph, row: list[Outage]) -> tuple[Survivor, list[Outage]]:
    survivor, now = Survivor(graph, PAIRS), list[Outage]()
    for outage in row:
        if outage in now:
            now.remove(outage)
            survivor.mend(outage)
        else:
            now.append(outage)
            survivor.fail(outage)
    return survivor, now


@quickly
@given(networks())
def test_routes_are_always_those_of_a_search_from_scratch(drawn: tuple[RouteGraph, list[Outage]]) -> None:
    graph, row = drawn
    survivor, _ = played(graph, row)
    fresh = {name: widest(graph, pair.source, pair.target, pair.policy) for name, pair in PAIRS.items()}
    assert survivor.routes == {name: route for name, route in fresh.items() if route is not None}
    assert set(survivor.cut_off) == {name for name, route in fresh.items() if route is None}


@quickly
@given(networks())
def test_what_is_told_changed_is_what_changed(drawn: tuple[RouteGraph, list[Outage]]) -> None:
    graph, row = drawn
    survivor = Survivor(graph, PAIRS)
    for outage in dict.fromkeys(row):
        before = dict(survivor.routes)
        changed = survivor.fail(outage)
        assert changed.routes == {name: route for name, route in survivor.routes.items() if route != before.get(name)}
        assert set(changed.cut_off) == before.keys() - survivor.routes.keys()


@quickly
@given(networks())
def test_the_fewest_repairs_that_help_are_named(drawn: tuple[RouteGraph, list[Outage]]) -> None:
    graph, row = drawn
    survivor, now = played(graph, row)
    for name, cut_off in list(survivor.cut_off.items())[:3]:
        pair = PAIRS[name]

        def helps(repairs: tuple[Outage, ...], pair: RoutedPair = pair) -> bool:
            for outage in repairs:
                survivor.mend(outage)
            found = widest(graph, pair.source, pair.target, pair.policy)
            for outage in repairs:
                survivor.fail(outage)
            return found is not None

        if not helps(tuple(now)):
            assert (cut_off.cut, cut_off.mend) == ((), ())
            continue
        assert helps(cut_off.mend)
        assert not any(helps(some) for some in combinations(now, len(cut_off.mend) - 1))
        assert not helps(tuple(outage for outage in now if outage not in cut_off.cut)), "the cut alone is enough"


RING = ["a-b", "b-c", "c-d", "d-e", "e-f", "a-f"]


def ring() -> Survivor:
    pairs = {"ac": RoutedPair(NodeId("a"), NodeId("c")), "de": RoutedPair(NodeId("d"), NodeId("e"))}
    return Survivor(graph_of(RING, [1] * 6), pairs)


def test_on_a_ring_a_lost_relay_costs_nobody_but_its_own_users() -> None:
    survivor = ring()
    changed = survivor.fail(site("b"))
    assert changed.routes == {"ac": tuple("afedc")}
    assert changed.cut_off == ()
    back = survivor.mend(site("b"))
    assert back.routes == {"ac": tuple("abc")}


def test_the_second_failure_on_a_ring_is_told_with_what_would_help() -> None:
    survivor = ring()
    survivor.fail(link("a-b", Fault.POOL_DRY))
    changed = survivor.fail(site("e"))
    assert set(changed.cut_off) == {"ac", "de"}
    words = survivor.why("ac").reason
    assert "link a-b: its stock of key is used up; site e: the site does not answer" in words
    assert words.endswith("mend link a-b: its stock of key is used up"), "one is enough, and the first way is as good"
    assert survivor.why("de").mend == (site("e"),)


def test_a_link_with_two_faults_is_back_when_both_are_mended() -> None:
    survivor = ring()
    survivor.fail(link("a-b", Fault.POOL_DRY))
    survivor.fail(link("a-b", Fault.QBER_ALARM))
    assert survivor.mend(link("a-b", Fault.POOL_DRY)).routes == {}
    assert survivor.mend(link("a-b", Fault.QBER_ALARM)).routes == {"ac": tuple("abc")}
    assert survivor.mend(link("a-b")).routes == {}, "what is whole cannot be mended"


def test_who_was_never_joined_is_told_so() -> None:
    survivor = Survivor(graph_of(["a-b", "c-d"], [1, 1]), {"ad": RoutedPair(NodeId("a"), NodeId("d"))})
    assert "with all links up" in survivor.cut_off["ad"].reason


def test_faults_of_strangers_and_of_nothing_are_refused() -> None:
    survivor = ring()
    with pytest.raises(UnknownNode):
        survivor.fail(link("x-y"))
    with pytest.raises(UnknownNode):
        survivor.fail(site("x"))
    for wrong in ({}, {"link_id": LinkId("a-b"), "node": NodeId("a")}, {"node": NodeId("a")}):
        with pytest.raises(ValueError, match="LINK_DOWN"):
            Outage(Fault.LINK_DOWN, **wrong)
    assert survivor.routes["ac"] == tuple("abc")
    assert all(len(pair) == 2 for pair in pairwise(survivor.routes["ac"]))
