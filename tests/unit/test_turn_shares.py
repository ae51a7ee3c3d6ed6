"""What links through switches count for in shares: the time of a port is divided among those that claims could use."""

from __future__ import annotations

import pytest

from qanat.apps.shares_review import shares_of
from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.turn_shares import kept_ports, turn_shares
from qanat.ground.identifiers import NodeId
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy
from simulation.switched_network import D1, D2, NETWORK, U1, U2, Q, R, W

DIRECT = RoutePolicy(direct_only=True)


def shares(*demands: Demand, turning_share: float = 0.1) -> dict[frozenset[str], float]:
    """Return by its ends which part of its time each wanted link through the switches may run."""
    links = RouteGraph.of_keys(NETWORK).links
    found = turn_shares(links, kept_ports(NETWORK), demands, relays=(R, Q), turning_share=turning_share)
    ends = {link.link_id: frozenset(map(str, link.ends)) for link in links}
    return {ends[link_id]: part for link_id, part in found.items()}


def claim(one: NodeId, other: NodeId, policy: RoutePolicy = ANY_ROUTE) -> Demand:
    return Demand(f"{one} {other}", one, other, policy=policy)


def of(one: NodeId, other: NodeId) -> frozenset[str]:
    return frozenset((one, other))


def test_a_link_that_no_other_claim_could_use_has_its_ports_to_itself() -> None:
    assert shares(claim(U1, W)) == {of(R, U1): 1.0}, "of other users nobody asks for key"


def test_two_links_at_the_relay_s_port_have_half_of_its_time_each_less_what_turning_takes() -> None:
    assert shares(claim(U1, U2)) == {of(R, U1): pytest.approx(0.45), of(R, U2): pytest.approx(0.45)}
    assert shares(claim(U1, U2), turning_share=0.5) == {of(R, U1): 0.25, of(R, U2): 0.25}


def test_a_direct_pair_counts_where_it_meets_others_and_not_at_the_relay_s_port() -> None:
    found = shares(claim(D1, D2, DIRECT), claim(U1, U2))
    assert set(found) == {of(D1, D2), of(R, U1), of(R, U2)}
    assert found[of(D1, D2)] == pytest.approx(0.45), "d1 - d2 and r - u2 have the trunk in common"
    assert shares(claim(D1, D2, DIRECT)) == {of(D1, D2): 1.0}


def test_no_port_gives_more_than_all_of_its_time() -> None:
    demands = [claim(U1, U2), claim(U1, W), claim(D1, D2, DIRECT)]
    ports = kept_ports(NETWORK)
    links = RouteGraph.of_keys(NETWORK).links
    found = turn_shares(links, ports, demands, relays=(R, Q), turning_share=0.1)
    for port in {port for link_id in found for port in ports[link_id]}:
        assert sum(part for link_id, part in found.items() if port in ports[link_id]) <= 1.0


def test_what_plan_shares_says_counts_with_turns() -> None:
    """All ask at once: over the relay's port go r - u1, r - u2 and no more than all of its time."""
    rates = {link.link_id: 1000.0 for link in NETWORK.relayed_links}
    review = shares_of(NETWORK, rates)
    through = sum(
        rate for share in review.shares for way, rate in share.ways if {way[0], way[-1]} & {U1, U2} and R in way
    )
    both_directions = 2
    assert 0 < through * both_directions <= 1000.0
