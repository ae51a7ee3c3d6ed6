"""What sites ask of all their routes: the controller's tables hold no others."""

from __future__ import annotations

import pytest

from qanat.api import parse_network
from qanat.apps.network_review import review
from qanat.apps.networks import load_network
from qanat.apps.shares_review import shares_of
from qanat.control.graph import GraphLink, RouteGraph
from qanat.control.routing import (
    choices_from,
    ends_allow,
    policies_of_sites,
    widest_allowed_from,
    widest_from,
)
from qanat.ground.errors import NetworkFileError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network, network_yaml
from qanat.ground.route_policy import RoutePolicy
from unit.routes_support import key_routes

A, B, C, R, S = (NodeId(name) for name in "abcrs")


def diamond() -> RouteGraph:
    """a and b joined over r, over s, and by a narrow link of their own; c behind r."""
    pairs = ("ar", "rb", "as", "sb", "ab", "cr")
    links = [GraphLink(LinkId(ends), (NodeId(ends[0]), NodeId(ends[1]))) for ends in pairs]
    graph = RouteGraph(links, relays=[R, S], others=[A, B, C])
    graph.set_link(LinkId("ab"), width=0.1)
    graph.set_link(LinkId("as"), width=0.9)
    return graph


def test_without_policies_the_table_is_the_widest_routes() -> None:
    assert widest_allowed_from(diamond(), A, {}) == widest_from(diamond(), A)
    assert widest_from(diamond(), A)[B] == (A, R, B)


def test_a_policy_holds_for_routes_that_begin_or_end_at_its_site() -> None:
    direct = {B: RoutePolicy(direct_only=True)}
    for here, there in ((A, B), (B, A)):
        assert widest_allowed_from(diamond(), here, direct)[there] == (here, there), "however narrow"
    assert B not in widest_allowed_from(diamond(), C, direct)
    assert C not in widest_allowed_from(diamond(), B, direct)
    assert widest_allowed_from(diamond(), A, direct)[C] == (A, R, C), "others are as they were"


def test_what_two_sites_ask_holds_together() -> None:
    policies = {A: RoutePolicy(avoid=frozenset({R})), B: RoutePolicy(avoid=frozenset({S}))}
    assert widest_allowed_from(diamond(), A, policies)[B] == (A, B)
    assert widest_allowed_from(diamond(), A, {A: policies[A]})[B] == (A, S, B)


def test_all_other_ways_are_as_the_ends_have_them() -> None:
    places = (A, B, C)
    direct = {B: RoutePolicy(direct_only=True)}
    ways = {row.target: row for row in choices_from(diamond(), A, places=places, policies=direct)}
    assert ways[B].disjoint == ((A, B),)
    assert ways[B].detours == ()
    assert ways[C] == {row.target: row for row in choices_from(diamond(), A, places=places)}[C]
    assert [row.target for row in choices_from(diamond(), B, places=places, policies=direct)] == [A]


def test_the_ends_of_a_route_say_whether_relays_may_be_on_it() -> None:
    direct = {B: RoutePolicy(direct_only=True)}
    assert ends_allow((A, B), direct)
    assert not ends_allow((A, R, B), direct)
    assert ends_allow((A, R, C), direct)
    assert not ends_allow((A, R, C), {C: RoutePolicy(avoid=frozenset({R}))})
    home = {C: RoutePolicy(domestic_only=True)}
    assert ends_allow((A, R, C), home, regions=dict.fromkeys((A, R, C), "here"))
    assert not ends_allow((A, R, C), home, regions=dict.fromkeys((A, C), "here"))


def test_the_papers_higher_level_users_have_routes_to_each_other_and_the_relay_on_their_switch_alone() -> None:
    network = load_network("nature2021")
    direct = sorted(policies_of_sites(network))
    assert len(direct) == 3
    (switch,) = (one for one in network.switches if direct[0] in {port.site for port in one.ports})
    on_the_switch = {port.site for port in switch.ports}
    for user in direct:
        routes = key_routes(network, user, rates_bits_per_s={})
        assert set(routes) == on_the_switch - {user}
        assert all(len(route) == 2 for route in routes.values())
    others = key_routes(network, NodeId("shanghai"), rates_bits_per_s={})
    assert len(others) > 150
    assert not set(direct) & set(others)


TERMS = "region: Jiangsu, keys_avoid: [kunshan], domestic_keys_only: true"


def three_nodes(terms: str, *, at: str = "suzhou") -> Network:
    text = network_yaml(load_network("three-nodes"))
    (line,) = (line for line in text.splitlines() if f"name: {at}," in line)
    fields = "".join(f", {one.strip()}" for one in terms.splitlines())
    return parse_network(text.replace(line, line.removesuffix("}") + fields + "}"), source="a file")


def test_what_a_site_states_for_all_its_keys_is_read_and_written_as_it_was() -> None:
    network = three_nodes(TERMS)
    suzhou, kunshan, shanghai = (NodeId(name) for name in ("suzhou", "kunshan", "shanghai"))
    stated = RoutePolicy(frozenset({kunshan}), domestic_only=True)
    assert network.site_policies == {suzhou: stated}
    assert network.policy_between(shanghai, suzhou) == stated
    assert network.policy_between(suzhou, suzhou) == RoutePolicy(), "what never leaves it passes nobody"
    assert parse_network(network_yaml(network), source="again") == network


@pytest.mark.parametrize(
    ("terms", "fault", "remedy"),
    [
        ("keys_avoid: [kunshn]", "'suzhou' are to avoid 'kunshn', no site", "did you mean kunshan"),
        ("keys_avoid: [suzhou]", "'suzhou' are to avoid itself", "may not pass"),
        ("domestic_keys_only: true", "stay in its region, and none is stated of it", "state 'region'"),
    ],
)
def test_a_slip_that_would_keep_keys_out_of_nothing_is_refused(terms: str, fault: str, remedy: str) -> None:
    with pytest.raises(NetworkFileError) as refused:
        three_nodes(terms)
    assert fault in refused.value.message
    assert remedy in refused.value.remedy


def test_the_check_of_a_network_says_what_stands_in_the_way_of_a_site_s_keys() -> None:
    (concern,) = [one for one in review(three_nodes("keys_avoid: [kunshan]")).warnings if one.code == "keys-kept-out"]
    assert "'suzhou' and 'shanghai' have all their keys go" in concern.text
    assert concern.remedy.startswith("every way passes 'kunshan': ")


def test_a_site_that_keeps_its_keys_at_home_has_a_share_over_the_ways_there_alone() -> None:
    network = three_nodes("region: X, domestic_keys_only: true")
    rates = {link.link_id: 1000.0 for link in network.links}
    assert shares_of(network, rates).shares[0].ways == (), "of Kunshan and Shanghai no region is stated"
    text = network_yaml(network)
    for name in ("kunshan", "shanghai"):
        (line,) = (line for line in text.splitlines() if f"name: {name}," in line)
        text = text.replace(line, line.removesuffix("}") + ", region: X}")
    assert shares_of(parse_network(text, source="a file"), rates).shares[0].bits_per_s > 0
