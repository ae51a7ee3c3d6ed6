"""What the controller answers who asks for other ways than the table's, and what stands in the way of what none is."""

from __future__ import annotations

import pytest

from qanat.control.books import Books
from qanat.control.graph import RouteGraph
from qanat.control.routing import policies_of_sites, set_widths
from qanat.control.wished import UNKNOWN_AGE_S, answer, note_ages_and_costs
from qanat.ground.errors import RequirementUnmet, UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.building import build_network
from qanat.ground.network.extracts import under_heading
from qanat.ground.route_policy import Measure, RoutePolicy
from qanat.key_management.obstacles import is_way, require_way
from qanat.key_management.wire import LinkReport, RouteAnswer, RouteQuestion
from simulation.test_world_route_policies import network

A, B = NodeId("a"), NodeId("b")
STAMP = (7, 3)


def way(letters: str) -> tuple[NodeId, ...]:
    return tuple(map(NodeId, letters))


def asked(net: Network, graph: RouteGraph, measure: Measure = "widest", avoid: str = "") -> RouteAnswer:
    word = RouteQuestion(B, way("".join(sorted(avoid))), False, False, measure)
    return answer(word, A, graph=graph, policies=policies_of_sites(net), stamp=STAMP)


def graph_of(net: Network, *, narrow: str = "") -> RouteGraph:
    graph = RouteGraph.of_keys(net, regions=net.regions)
    set_widths(graph, net, {})
    for name in narrow.split():
        graph.set_link(LinkId(f"{name[0]}-{name[1]}"), width=0.01)
    return graph


RING = network("ar rb as st tb rt")


def test_the_best_comes_first_and_then_the_others_that_share_no_relay() -> None:
    told = asked(RING, graph_of(RING))
    assert (told.ways[0], told.table_epoch, told.table_version) == (way("arb"), *STAMP)
    assert set(told.disjoint) == {way("arb"), way("astb")} <= set(told.ways)
    narrow = graph_of(RING, narrow="ar")
    assert asked(RING, narrow).ways[0] == way("astb")
    assert asked(RING, narrow, "cheapest").ways[0] == way("arb")


def test_no_way_through_a_site_to_avoid_is_told() -> None:
    assert asked(RING, graph_of(RING), avoid="s").ways == (way("arb"),)
    told = asked(RING, graph_of(RING), avoid="r")
    assert (told.ways, told.disjoint, told.cut) == ((way("astb"),), (way("astb"),), way("s"))
    assert asked(RING, graph_of(RING), avoid="rs").ways == ()


def test_the_cheapest_is_among_the_ways_whatever_is_measured() -> None:
    net = network("ar rb as st tu ub")
    assert way("arb") in asked(net, graph_of(net, narrow="ar rb")).ways


def test_a_question_about_a_stranger_is_refused() -> None:
    with pytest.raises(UnknownNode):
        answer(
            RouteQuestion(NodeId("q"), (), False, False, "widest"), A, graph=graph_of(RING), policies={}, stamp=STAMP
        )


def ages(net: Network, books: Books, failing: tuple[str, ...] = ()) -> dict[str, float]:
    graph = graph_of(net)
    note_ages_and_costs(graph, books, failing=frozenset(map(LinkId, failing)))
    return {link.link_id: -graph.freshness[place] for place, link in enumerate(graph.links)}


def test_a_link_is_as_old_as_the_older_end_says_and_one_that_must_make_key_is_fresh() -> None:
    net = network("ar rb")
    books = Books(net)
    assert ages(net, books) == {"a-r": UNKNOWN_AGE_S, "r-b": UNKNOWN_AGE_S}, "nobody has said anything"
    for end, age_s in (("a", 5.0), ("r", 70.0)):
        books.note_report(NodeId(end), LinkReport(LinkId("a-r"), 100, 1.0, "twin", None, age_s))
    for end in "rb":
        books.note_report(NodeId(end), LinkReport(LinkId("r-b"), 0, 1.0, "twin", None, None))
    assert ages(net, books) == {"a-r": 70.0, "r-b": 0.0}
    assert ages(net, books, failing=("r-b",)) == {"a-r": 70.0, "r-b": UNKNOWN_AGE_S}


def test_links_that_fail_are_the_last_choice_of_the_cheapest_too() -> None:
    net = network("ar rb as st tb")
    graph = graph_of(net)
    note_ages_and_costs(graph, Books(net), failing=frozenset({LinkId("r-b")}))
    assert asked(net, graph, "cheapest").ways[0] == way("astb")
    note_ages_and_costs(graph, Books(net), failing=frozenset())
    assert asked(net, graph, "cheapest").ways[0] == way("arb")


# ---- what stands in the way ----


def is_refused(net: Network, policy: RoutePolicy) -> bool:
    try:
        require_way(net, A, B, policy)
    except RequirementUnmet:
        return True
    return False


def refusal(net: Network, policy: RoutePolicy, source: NodeId = A, target: NodeId = B) -> str:
    with pytest.raises(RequirementUnmet) as fault:
        require_way(net, source, target, policy)
    assert fault.value.message, "a door of a standard passes the remedy on alone, others both"
    return fault.value.remedy


@pytest.mark.parametrize(
    ("links", "avoid", "reason"),
    [
        ("ar rb", "r", "every way passes 'r': "),
        ("ar rs sb", "rs", "every way passes 'r', 's': "),
        ("ar rs sb as", "s", "every way passes 's': "),
        ("ar rb as sb", "rs", "every way passes one of 'r', 's': "),
        ("ar rb as sb at tb au ub av vb", "rstuv", "every way passes one of 'r', 's', 't' and 2 more: "),
        ("ab ar rb", "ab", "'a' and 'b' is an end of the way"),
    ],
)
def test_the_sites_on_every_way_are_named(links: str, avoid: str, reason: str) -> None:
    assert refusal(network(links), RoutePolicy.avoiding(*avoid)).startswith(reason)


@pytest.mark.parametrize(
    ("links", "policy"),
    [
        ("ab ar rb", RoutePolicy(frozenset({NodeId("r")}), direct_only=True)),
        ("ar rb as sb", RoutePolicy.avoiding("r")),
    ],
)
def test_what_can_be_is_not_refused(links: str, policy: RoutePolicy) -> None:
    assert not is_refused(network(links), policy)


def test_of_two_that_nothing_joins_no_way_is_as_asked() -> None:
    assert refusal(network("ar bs"), RoutePolicy.avoiding("r")).startswith("no chain of trusted relays joins the two: ")


def test_keys_pass_no_user_on_the_way_round() -> None:
    net = network("ar rb")
    odd = net.model_copy(update={"sites": tuple(site.model_copy(update={"kind": "user"}) for site in net.sites)})
    assert refusal(odd, RoutePolicy.avoiding("r")).startswith("no chain of trusted relays joins the two: ")
    assert not is_way(Network.model_validate(odd.model_dump()), way("arb"), RoutePolicy())


@pytest.mark.parametrize("odd", ["", "a", "ab", "arrb", "arsb", "arb" * 2])
def test_only_ways_over_links_and_each_relay_once_are_ways(odd: str) -> None:
    net = network("ar rb as sb")
    assert is_way(net, way("arb"), RoutePolicy())
    assert not is_way(net, way(odd), RoutePolicy())
    assert not is_way(net, way("arb"), RoutePolicy.avoiding("r"))


def test_on_the_paper_s_backbone_a_relay_cannot_be_avoided_and_a_province_not_be_left() -> None:
    from qanat.apps.networks import load_network

    net = under_heading(load_network("nature2021"), "backbone")
    jinan, beijing, shanghai = (NodeId(name) for name in ("jinan", "beijing", "shanghai"))
    assert refusal(net, RoutePolicy.avoiding("jinan"), beijing, shanghai).startswith("every way passes 'jinan'")
    home = RoutePolicy(domestic_only=True)
    require_way(net, jinan, NodeId("taian"), home)
    assert "'jinan' is in 'Shandong'" in refusal(net, home, jinan, shanghai)


def test_on_a_grid_of_400_sites_what_stands_in_the_way_is_found() -> None:
    net = build_network("grid", num_nodes=400)
    first, last = net.nodes[0], net.nodes[-1]
    beside = sorted({link.peer_of(first) for link in net.links_of(first)})
    assert refusal(net, RoutePolicy(avoid=frozenset(beside)), first, last).startswith("every way passes one of")
    require_way(net, first, last, RoutePolicy(avoid=frozenset(beside[:1])))
