"""What is told of large and of parted networks: cut sites against brute force, islands, direct keys, many of a kind."""

from __future__ import annotations

import networkx as nx
import pytest

from qanat.apps.network_concerns import MOST_TOLD, Concern, cut_sites, few
from qanat.apps.network_review import review
from qanat.apps.networks import load_network
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Network, parse_network
from qanat.ground.network.building import build_network
from qanat.ground.network.extracts import without_satellites


@pytest.mark.parametrize("seed", range(20))
def test_cut_sites_are_those_whose_loss_parts_the_graph(seed: int) -> None:
    """Against removing each site in turn."""
    numbered = nx.gnm_random_graph(14, 16, seed=seed)
    graph: nx.Graph[NodeId] = nx.Graph([(NodeId(f"n{a}"), NodeId(f"n{b}")) for a, b in numbered.edges])
    wanted = {node for node in graph if int(node[1:]) % 3 == 0}
    cuts, parting = cut_sites(graph, wanted)
    expected_cuts, expected_parting = set(), set()
    for node in graph:
        before = {frozenset(part - {node}) for part in nx.connected_components(graph)} - {frozenset()}
        rest = graph.subgraph(other for other in graph if other != node)
        after = {frozenset(part) for part in nx.connected_components(rest)}
        if len(after) > len(before):
            expected_cuts.add(node)
            if sum(bool(part & wanted) for part in after - before) > 1:
                expected_parting.add(node)
    assert cuts == expected_cuts
    assert parting == expected_parting


def test_many_warnings_of_a_kind_become_one_with_their_number() -> None:
    many = [Concern("a", f"text {k}", "do") for k in range(MOST_TOLD + 1)]
    one = Concern("b", "other", "do")
    assert list(few(iter([*many, one]), "links")) == [Concern("a", "7 links, the first: text 0", "do"), one]
    assert list(few(iter(many[1:]), "links")) == many[1:]


@pytest.mark.slow
def test_pairs_on_islands_wait_for_the_satellite_and_direct_users_for_a_switch() -> None:
    whole = load_network("nature2021")
    assert [warning.code for warning in review(whole).warnings] == ["direct-keys-only", "single-point-of-failure"]
    found = review(without_satellites(whole))
    assert [warning.code for warning in found.warnings] == [
        "direct-keys-only",
        "satellite-only",
        "single-point-of-failure",
    ]
    (direct, satellite, _) = found.warnings
    # 3 users of direct keys: with each other and the relay of their switch they have links, with 163 others none
    assert direct.text.startswith(f"{3 * (167 - 3 - 1)} pairs of applications, the first:")
    assert satellite.text.startswith(f"{2 * 167} pairs of applications have no way on the ground")


@pytest.mark.slow
def test_a_user_of_direct_keys_takes_the_link_through_the_switch_and_no_wider_route() -> None:
    network = load_network("nature2021")
    routes = {frozenset(route.applications): route for route in review(network).routes}
    ends = ("beijing-user-13", "beijing-user-14")
    direct = routes[frozenset(ends)]
    assert set(direct.nodes) == set(ends)
    assert direct.weakest == network.link_between(NodeId(ends[0]), NodeId(ends[1])).name
    assert routes[frozenset({"beijing-user-13", "beijing-user-01"})].nodes == ()


@pytest.mark.slow
def test_a_relay_s_several_pairs_do_not_change_the_forecast_of_one() -> None:
    network = load_network("nature2021")
    backbone = load_network("beijing-shanghai")
    pairs = {row.link.name: row.forecast for row in review(backbone).links if row.link.counted_as == "backbone"}
    found = {row.link.name: row.forecast for row in review(network).links if row.link.counted_as == "backbone"}
    assert found == pairs


@pytest.mark.slow
def test_a_large_network_of_users_without_a_common_relay_says_so_once() -> None:
    star = build_network("star", num_nodes=2003)
    assert review(star).warnings[0].code == "single-point-of-failure"
    hub = star.sites[0].model_copy(update={"kind": "user"})
    record = star.model_dump() | {"sites": (hub.model_dump(), *(site.model_dump() for site in star.sites[1:]))}
    codes = [warning.code for warning in review(Network.model_validate(record)).warnings]
    assert codes == ["no-peer", "no-peer", "no-route", "unreached", "single-point-of-failure"]


def test_a_file_without_links_says_what_is_missing() -> None:
    network = build_network("line", num_nodes=2)
    assert network.applications == (Application(name="alice", site="n2"), Application(name="bob", site="n1"))
    with pytest.raises(Exception, match="a network has at least one link, and this one has none"):
        parse_network(
            "format: qanat-network/1\nname: n\nsites:\n"
            "  - {name: a, kind: user, latitude_deg: 1, longitude_deg: 1}\n"
            "  - {name: b, kind: user, latitude_deg: 1, longitude_deg: 1}\n",
            source="n",
        )
