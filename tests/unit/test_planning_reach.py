"""Who can have keys with whom, and what losses cost: beside networkx, and beside networks without the lost part."""

from __future__ import annotations

from itertools import combinations, pairwise

import networkx as nx
import pytest

from qanat.apps.networks import load_network
from qanat.ground.errors import RequestError, UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.second_backbone import BACKBONE, SECOND_BACKBONE, with_second_backbone
from qanat.planning.limits import link_rates
from qanat.planning.prices import Prices, bill
from qanat.planning.reach import MOST_SITES_TRIED, Part, Reach, places, single_parts
from qanat.planning.users import bottleneck
from qanat.planning.variants import part_named, with_chain, with_span, without
from unit.planning_support import network_of

SMALL = network_of(
    {"a": "user", "b": "user", "c": "user", "d": "user", "e": "user", "r": "relay", "s": "relay", "t": "relay"},
    [
        ("a", "r", 10),
        ("b", "r", 10),
        ("b", "t", 10),  # b hangs on two relays, and joins them for nobody else
        ("r", "s", 10),
        ("c", "s", 10),
        ("d", "t", 10),
        ("c", "d", 10),
    ],
    switches={"w": {"s": 3.0, "e": 3.0, "c": 3.0}},
    direct=["e"],
    apps=["s"],
)


@pytest.fixture(scope="module")
def paper() -> Network:
    return load_network("nature2021")


def pairs_by_networkx(network: Network) -> set[frozenset[NodeId]]:
    """Pairs of places with a way over relays; those of direct keys only by a link of their own."""
    rates = link_rates(network)
    graph: nx.Graph[NodeId] = nx.Graph()
    graph.add_nodes_from(network.nodes)
    graph.add_edges_from(link.ends for link in network.links if rates[link.link_id] > 0)
    relays = {site.node for site in network.sites if site.kind == "relay"}
    direct = {site.node for site in network.sites if site.direct_keys_only}
    found = set()
    for one, other in combinations(places(network), 2):
        between = graph.subgraph(relays | {one, other})
        is_direct = graph.has_edge(one, other)
        if is_direct or (not direct & {one, other} and nx.has_path(between, one, other)):
            found.add(frozenset((one, other)))
    return found


def test_pairs_are_those_that_a_search_finds() -> None:
    reach = Reach(SMALL, link_rates(SMALL))
    found = pairs_by_networkx(SMALL)
    assert reach.places == ("a", "b", "c", "d", "e", "s")
    assert reach.pairs() == len(found) == 15 - reach.unreachable()
    assert reach.alone() == ()
    masks = reach.masks()
    for place, node in enumerate(reach.places):
        for other, bit in zip(reach.places, range(len(reach.places)), strict=True):
            assert bool(masks[node] >> bit & 1) == (frozenset((node, other)) in found), (place, node, other)


@pytest.mark.parametrize("part", single_parts(SMALL), ids=lambda part: f"{part.kind}-{part.name}")
def test_a_loss_costs_what_a_network_without_the_part_lacks(part: Part) -> None:
    (loss,) = Reach(SMALL, link_rates(SMALL)).losses([part])
    left = without(SMALL, [part])
    before = {pair for pair in pairs_by_networkx(SMALL) if part.name not in pair or part.kind != "site"}
    assert loss.pairs_lost == len(before - pairs_by_networkx(left))
    reached = {node for pair in pairs_by_networkx(left) for node in pair}
    assert set(loss.alone) == {node for node in places(SMALL) if node not in reached and node in places(left)}


def test_the_weakest_parts_come_first_and_what_costs_nothing_is_left_out() -> None:
    found = Reach(SMALL, link_rates(SMALL)).weakest()
    assert found is not None
    assert [loss.pairs_lost for loss in found] == sorted((loss.pairs_lost for loss in found), reverse=True)
    assert min(loss.pairs_lost for loss in found) > 0
    ring = network_of(dict.fromkeys("abcd", "relay"), [("a", "b", 9), ("b", "c", 9), ("c", "d", 9), ("d", "a", 9)])
    assert Reach(ring, link_rates(ring)).weakest() == ()


def test_very_large_networks_are_not_tried_part_by_part() -> None:
    count = MOST_SITES_TRIED + 1
    names = [f"n{place}" for place in range(count)]
    line = network_of(dict.fromkeys(names, "relay"), [(one, other, 9) for one, other in pairwise(names)])
    assert Reach(line, link_rates(line)).weakest() is None


def test_losing_hefei_parts_the_paper_network_in_three(paper: Network) -> None:
    """Beijing, Jinan, Xinglong and, by satellite, Urumqi; Hefei's own city; Shanghai. What is lost are the products of
    their users."""
    by_satellite = {LinkId("nanshan-xinglong-by-micius"): 50.0}
    left = without(paper, [Part("site", "hefei")])
    graph: nx.Graph[NodeId] = nx.Graph(link.ends for link in left.links)
    wanting = {node for node in places(left) if not left.site(node).direct_keys_only}
    north, city, south = (
        len(wanting & nx.node_connected_component(graph, node)) for node in ("beijing", "hefei-relay-01", "shanghai")
    )
    assert north + city + south == len(wanting)
    before = Reach(paper, link_rates(paper) | by_satellite)
    (loss,) = before.losses([Part("site", "hefei")])
    assert loss.pairs_lost == north * city + north * south + city * south
    assert before.pairs() - loss.pairs_lost == Reach(left, link_rates(left) | by_satellite).pairs()


@pytest.mark.parametrize("name", ["site:micius", "link:micius-nanshan", "link:micius-xinglong"])
def test_without_the_satellite_urumqi_has_nobody_but_itself(paper: Network, name: str) -> None:
    rates = link_rates(paper) | {LinkId("nanshan-xinglong-by-micius"): 50.0}
    (loss,) = Reach(paper, rates).losses([part_named(paper, name)])
    others = [node for node in places(paper) if not paper.site(node).direct_keys_only]
    assert loss.pairs_lost == 2 * (len(others) - 2), "each of both places with all others, but not one with the other"
    left = without(paper, [part_named(paper, name)])
    assert Reach(paper, rates).pairs() - loss.pairs_lost == Reach(left, {**rates, **link_rates(left)}).pairs()
    assert Part("site", "micius") in [weak.part for weak in Reach(paper, rates).weakest() or ()]


def test_with_a_second_backbone_any_relay_of_either_may_fail(paper: Network) -> None:
    ring = with_second_backbone(paper)
    before, after = Reach(paper, link_rates(paper)), Reach(ring, link_rates(ring))
    parts = [Part("site", site.node) for site in ring.sites if site.counted_as in (BACKBONE, SECOND_BACKBONE)]
    assert len(parts) == 61
    assert min(loss.pairs_lost for loss in before.losses(parts[:32])) > 1000
    assert [loss.pairs_lost for loss in after.losses(parts)] == [0] * 61


# --- what is taken away and added ---


def test_with_a_site_go_its_links_ports_and_applications() -> None:
    left = without(SMALL, [Part("site", "s")])
    assert "s" not in left.nodes
    assert [link.name for link in left.described_links] == ["l0", "l1", "l2", "l5", "l6"]
    assert [port.site for port in left.switches[0].ports] == ["e", "c"]
    assert left.applications == ()
    assert without(SMALL, [Part("switch", "w")]).switches == ()
    assert LinkId("l3") not in {link.link_id for link in without(SMALL, [Part("link", "l3")]).links}
    assert without(SMALL, []).links == SMALL.links


def test_a_span_that_is_added_leads_where_there_was_no_way() -> None:
    apart = network_of({"a": "user", "r": "relay", "b": "user", "s": "relay"}, [("a", "r", 9), ("b", "s", 9)])
    joined = with_span(apart, NodeId("r"), NodeId("s"), loss_db=12.0, pairs=2)
    (new,) = (link for link in joined.links if link not in apart.links)
    assert (new.ends, new.loss_db, new.pairs, new.length_km) == (("r", "s"), 12.0, 2, 48.0)
    assert [Reach(net, link_rates(net)).pairs() for net in (apart, joined)] == [0, 1]


def test_who_only_sends_is_the_transmitter_of_a_new_span() -> None:
    network = network_of(
        {"a": "user", "b": "user", "r": "relay"},
        [("b", "r", 9)],
        equipment={"a": "transmitter", "b": "transmitter"},
    )
    assert with_span(network, NodeId("r"), NodeId("a"), loss_db=3.0).links[-1].transmitter == "a"
    with pytest.raises(RequestError, match="both transmitters"):
        with_span(network, NodeId("a"), NodeId("b"), loss_db=3.0)


def test_no_span_is_added_beside_a_fibre_since_keys_would_go_over_that_alone() -> None:
    network = network_of({"a": "relay", "b": "relay", "c": "relay"}, [("a", "b", 9)], switches={"w": {"a": 3, "c": 3}})
    with pytest.raises(RequestError, match="link 'l0' joins 'b' and 'a' already") as refused:
        with_span(network, NodeId("b"), NodeId("a"), loss_db=3.0)
    assert "'l0' more 'pairs'" in refused.value.remedy
    fibre = with_span(network, NodeId("a"), NodeId("c"), loss_db=3.0)  # links through switches come after
    assert [link.name for link in fibre.relayed_links] == ["l0", "a-c"]


def test_a_link_that_stands_beside_another_neither_gives_key_nor_replaces_it() -> None:
    """The first link between r and s fails and the second stays idle, but is priced, since its modules are there."""
    kinds = {"a": "user", "b": "user", "r": "relay", "s": "relay"}
    network = network_of(kinds, [("a", "r", 9), ("r", "s", 20), ("b", "s", 9), ("s", "r", 9)])
    reach, first, second = Reach(network, link_rates(network)), Part("link", "l1"), Part("link", "l3")
    assert [loss.pairs_lost for loss in reach.losses([first, second])] == [1, 0]
    assert [link.name for link in without(network, [first]).links] == ["l0", "l2"]
    assert [link.name for link in without(network, [second]).links] == ["l0", "l1", "l2"]
    assert bottleneck(network, link_rates(network)) == (network.link(LinkId("l1")), link_rates(network)[LinkId("l1")])
    assert bill(network, Prices()).transmitters == 4


def test_a_chain_has_new_relays_with_names_that_are_free() -> None:
    network = network_of({"new-1": "relay", "b": "relay"}, [("new-1", "b", 9)])
    longer = with_chain(network, NodeId("new-1"), NodeId("b"), num_relays=2, loss_db=5.0)
    assert longer.nodes[2:] == ("new-2", "new-3")
    assert [link.ends for link in longer.links[1:]] == [("new-1", "new-2"), ("new-2", "new-3"), ("new-3", "b")]


def test_parts_are_named_with_their_kind_where_names_are_not_enough() -> None:
    network = network_of({"l0": "relay", "b": "relay"}, [("l0", "b", 9)], switches={"w": {"b": 1.0, "l0": 1.0}})
    assert part_named(network, "site:l0") == Part("site", "l0")
    assert part_named(network, "link:l0") == Part("link", "l0")
    assert part_named(network, "w") == Part("switch", "w")
    for text, fault, remedy in (
        ("l0", "a site and of a link", "write site:l0 or link:l0"),
        ("hub:b", "names no kind", "write site:NAME"),
        ("switch:b", "no switch 'b'", "there is w alone"),
        ("l0--b", "goes through switches", "take away a switch (w)"),
    ):
        with pytest.raises((RequestError, UnknownNode)) as caught:
            part_named(network, text)
        assert fault in caught.value.message or text == "l0--b"
        assert remedy.split(" ")[0] in caught.value.remedy or text == "l0--b"


def test_fewer_than_two_sites_are_no_network() -> None:
    with pytest.raises(RequestError, match="fewer than two sites"):
        without(SMALL, [Part("site", node) for node in SMALL.nodes[1:]])
