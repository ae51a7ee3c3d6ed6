"""Declared sharing: the section of the network file, who claims key, and shares with guarantees admitted in order."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.api import parse_network
from qanat.apps.cli.shares import run_shares
from qanat.apps.network_review import review
from qanat.apps.networks import load_network
from qanat.apps.shares_review import promises_of, shares_of
from qanat.control.books import Books
from qanat.control.claims import Claims
from qanat.control.graph import GraphLink
from qanat.control.policy import DemandView, LinkView, NetworkView, Policy, decide
from qanat.control.sharing import Demand, SharingProblem
from qanat.control.solvers.settling import settle
from qanat.ground.errors import NetworkFileError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network, SharingOfPair, SharingRules, network_yaml
from qanat.key_management.wire import GenerationRequest
from simulation.shared_network import shared_network

ALICE_BOB = "{master: alice, slave: bob, guaranteed_bits_per_s: 2000, weight: 2, cap_bits_per_s: 8000}"


def three_nodes(sharing: str) -> Network:
    return parse_network(network_yaml(load_network("three-nodes")) + f"\nsharing: {sharing}\n", source="a file")


# ---- the network file ----


def test_sharing_is_read_and_written_as_it_was() -> None:
    network = three_nodes(f"{{alpha: 2, pairs: [{ALICE_BOB}]}}")
    assert network.sharing is not None
    assert network.sharing.alpha == 2
    assert network.sharing.pairs == (
        SharingOfPair(master="alice", slave="bob", guaranteed_bits_per_s=2000, weight=2, cap_bits_per_s=8000),
    )
    assert parse_network(network_yaml(network), source="again") == network
    assert three_nodes("{}").sharing == SharingRules()


@pytest.mark.parametrize(
    ("sharing", "fault"),
    [
        (f"{{pairs: [{ALICE_BOB.replace('alice', 'alise')}]}}", "there is no application 'alise'"),
        (f"{{pairs: [{ALICE_BOB}, {ALICE_BOB}]}}", "is given a share twice"),
        (f"{{pairs: [{ALICE_BOB.replace('8000', '1000')}]}}", "2000 bit/s are guaranteed, and the cap is 1000 bit/s"),
        (f"{{alpha: max-min, pairs: [{ALICE_BOB}]}}", "max-min fairness keeps no guarantees"),
        ("{alpha: -1}", "alpha is -1"),
        ("{pairs: [{master: alice, slave: alice}]}", "are both at 'suzhou'"),
    ],
)
def test_what_contradicts_itself_is_refused(sharing: str, fault: str) -> None:
    with pytest.raises(NetworkFileError, match=fault):
        three_nodes(sharing)


@pytest.mark.parametrize(
    ("sharing", "remedy"),
    [
        ("{window_s: 1e2}", "write 1.0e+2 or all digits"),
        (f"{{pairs: [{ALICE_BOB.replace('8000', '1.5e6')}]}}", "write 1.5e+6 or all digits"),
        (f"{{pairs: [{ALICE_BOB.replace('8000', '8e-3')}]}}", "write 8.0e-3 or all digits"),
        ("{alpha: 1e1}", "from 0 to 100 (YAML 1.1 takes 1e1 for a text: write 1.0e+1 or all digits), or max-min"),
        ("{alpha: min-max}", "from 0 to 100, or max-min"),
        ("{alpha: yes}", "from 0 to 100, or max-min"),
        ("{alpha: .nan}", "from 0 to 100, or max-min"),
        ("{window_s: '100'}", "without quotes"),
    ],
)
def test_numbers_that_are_texts_to_yaml_are_refused_with_how_they_are_written(sharing: str, remedy: str) -> None:
    with pytest.raises(NetworkFileError) as refused:
        three_nodes(sharing)
    assert remedy in refused.value.remedy


@pytest.mark.parametrize(
    ("alpha", "shown"),
    [("101", "101"), ("-0.5", "-0.5"), (".nan", "nan"), (".inf", "inf"), ("1" + "0" * 400, "1" + "0" * 39)],
    ids=lambda text: text[:5],
)
def test_an_alpha_out_of_range_is_told_in_its_own_line_beside_other_faults(alpha: str, shown: str) -> None:
    with pytest.raises(NetworkFileError) as refused:
        three_nodes(f"\n  alpha: {alpha}\n  window_s: 1")
    told = (refused.value, *refused.value.others)
    sharing = network_yaml(load_network("three-nodes")).count("\n") + 2
    assert [fault.line for fault in told] == [sharing + 1, sharing + 2]
    assert told[0].message.endswith(f": sharing.alpha: alpha is {shown}")
    assert "sharing.window_s: 1 is not" in told[1].message


def test_numbers_as_they_are_told_to_be_written_are_numbers() -> None:
    rules = three_nodes("{window_s: 1.0e+2, alpha: 1.0e+1}").sharing
    assert rules is not None
    assert (rules.window_s, rules.alpha) == (100, 10)


# ---- who claims ----


def asks(source: str, target: str, *, agreement: str = "") -> GenerationRequest:
    return GenerationRequest("id", NodeId(source), NodeId(target), 1000, (), None, agreement=agreement)


def test_a_declared_pair_that_asks_for_nothing_holds_its_guarantee_and_no_more() -> None:
    network = three_nodes(f"{{window_s: 60, pairs: [{ALICE_BOB}]}}")
    assert network.sharing is not None
    claims = Claims(network, network.sharing)
    (asleep,) = claims.now(0.0)
    assert (asleep.demand.guaranteed_bits_per_s, asleep.demand.cap_bits_per_s) == (4000, 4000), "of both directions"
    claims.note(asks("suzhou", "shanghai", agreement="alice bob"), now_s=0.0)
    (awake,) = claims.now(60.0)
    assert (awake.demand.guaranteed_bits_per_s, awake.demand.cap_bits_per_s) == (4000, 16_000)
    assert claims.now(61.0) == (asleep,), "after the window"


def test_others_claim_from_their_first_demand_till_the_window_has_passed_and_both_directions_are_one() -> None:
    network = three_nodes("{window_s: 60}")
    assert network.sharing is not None
    claims = Claims(network, network.sharing)
    assert claims.now(0.0) == ()
    claims.note(asks("suzhou", "shanghai"), now_s=0.0)
    claims.note(asks("shanghai", "suzhou"), now_s=30.0)
    claims.note(asks("shanghai", "nowhere"), now_s=30.0)
    assert [claim.demand.demand_id for claim in claims.now(89.0)] == ["shanghai - suzhou"]
    assert claims.now(91.0) == ()


def test_applications_named_as_sites_are_no_claim_of_these_sites() -> None:
    text = network_yaml(load_network("three-nodes"))
    for old, new in (("alice", "suzhou"), ("bob", "shanghai")):
        assert f"name: {old}" in text
        text = text.replace(f"name: {old}", f"name: {new}")
    pairs = "[{master: shanghai, slave: suzhou, cap_bits_per_s: 8000}]"
    network = parse_network(f"{text}\nsharing: {{window_s: 60, pairs: {pairs}}}\n", source="a file")
    assert network.sharing is not None
    claims = Claims(network, network.sharing)
    claims.note(asks("suzhou", "shanghai"), now_s=0.0)
    assert [claim.agreement for claim in claims.now(1.0)] == [""], "of others at these sites"


# ---- shares with guarantees ----


def one_link(*demands: Demand) -> SharingProblem:
    """Users a0, a1, a2 and b0, b1, b2 on both sides of a link of 1000 bit/s."""
    ends = [("r", "s"), *((f"a{place}", "r") for place in range(3)), *((f"b{place}", "s") for place in range(3))]
    links = tuple(GraphLink(LinkId(f"{one}-{other}"), (NodeId(one), NodeId(other))) for one, other in ends)
    users = tuple(NodeId(one) for one, _ in ends[1:])
    return SharingProblem(links, (1000.0, *[1e5] * 6), (NodeId("r"), NodeId("s")), users, demands, 1.0)


def over_the_link(place: int, *, weight: float = 1.0, guaranteed: float = 0.0) -> Demand:
    ends = NodeId(f"a{place}"), NodeId(f"b{place}")
    return Demand(f"d{place}", *ends, weight=weight, guaranteed_bits_per_s=guaranteed)


def rates(problem: SharingProblem) -> list[float]:
    return [share.rate_bits_per_s for share in settle(problem).sharing.shares]


def test_what_is_left_beside_a_guarantee_is_shared_by_weights() -> None:
    """By hand: 500 are promised, and 500 go 1 to 2."""
    problem = one_link(over_the_link(0, guaranteed=500), over_the_link(1), over_the_link(2, weight=2))
    assert rates(problem) == pytest.approx([500, 500 / 3, 1000 / 3], rel=1e-3)


def test_guarantees_are_admitted_in_their_order_and_the_one_too_many_shares_like_the_others() -> None:
    problem = one_link(over_the_link(0, guaranteed=600), over_the_link(1, guaranteed=500), over_the_link(2))
    promises = settle(problem).promises
    assert [one.admission.is_admitted for one in promises] == [True, False]
    assert [one.admission.possible_bits_per_s for one in promises] == pytest.approx([1000, 400])
    assert rates(problem) == pytest.approx([600, 200, 200], rel=1e-3)


def test_a_guarantee_of_all_there_is_leaves_nothing_and_breaks_nothing() -> None:
    assert rates(one_link(over_the_link(0, guaranteed=1000), over_the_link(1))) == pytest.approx([1000, 0], abs=0.1)


def test_a_problem_travels_to_another_process_and_back() -> None:
    problem = one_link(over_the_link(0))
    assert pickle.loads(pickle.dumps(problem)) == problem
    assert pickle.loads(pickle.dumps(settle(problem))) == settle(problem)


# ---- the order of demands ----

HOP = (LinkId("l"), NodeId("a"))


def satisfied(*demands: DemandView, stock_bits: int, set_aside_bits: int = 0) -> tuple[str, ...]:
    stock = {HOP[1]: stock_bits, NodeId("b"): stock_bits}
    links = {HOP[0]: LinkView(stock, block_bits=10_000, set_aside_bits=set_aside_bits)}
    return decide(NetworkView(links, demands), Policy()).satisfied


def demand(name: str, bits: int, *, standing: int, priority: int = 0) -> DemandView:
    return DemandView(name, (HOP,), bits, priority=priority, standing=standing)


def test_stock_goes_to_guarantees_then_by_priority_then_to_those_within_their_share() -> None:
    rows = [
        demand("beyond", 100, standing=2),
        demand("within", 100, standing=1),
        demand("urgent", 100, standing=2, priority=3),
        demand("promised", 100, standing=0),
    ]
    for stock_bits, first in ((100, 1), (200, 2), (300, 3), (400, 4)):
        expected = ("promised", "urgent", "within", "beyond")[:first]
        assert satisfied(*rows, stock_bits=stock_bits) == expected


def test_what_was_promised_is_not_taken_away_in_smaller_parts() -> None:
    large, small = demand("promised", 1000, standing=0), demand("small", 100, standing=1)
    assert satisfied(large, small, stock_bits=900) == ()
    assert satisfied(replace(large, standing=1), small, stock_bits=900) == ("small",)


def test_of_a_link_that_several_share_those_beyond_their_share_leave_a_part_to_the_others() -> None:
    within, beyond = demand("within", 100, standing=1), demand("beyond", 100, standing=2)
    idle = replace(beyond, demand_id="idle", is_idle=True)
    for stock_bits, expected in ((599, ()), (600, ("beyond",)), (700, ("beyond", "idle"))):
        assert satisfied(beyond, idle, stock_bits=stock_bits, set_aside_bits=500) == expected
    assert satisfied(beyond, within, stock_bits=150, set_aside_bits=500) == ("within",)
    assert satisfied(beyond, within, stock_bits=200) == ("within", "beyond"), "nothing is set aside of other links"


def test_half_of_what_is_held_ahead_of_a_link_that_several_share_is_set_aside() -> None:
    network = shared_network(["aa-r", "r-bb", "r-cc"], {"alice": "aa", "bob": "bb", "carol": "cc"}, SharingRules())
    books = Books(network)
    by_name = {link.name: link.link_id for link in network.links}
    for link in books.links.values():
        link.block_bits = 1000
    books.ahead, books.contended = frozenset(by_name.values()), frozenset({by_name["aa-r"]})
    views = books.view(now_s=0.0).links
    assert {name: views[link_id].set_aside_bits for name, link_id in by_name.items()} == {
        "aa-r": 500,
        "r-bb": 0,
        "r-cc": 0,
    }


def test_a_link_with_sharers_works_before_they_ask_again() -> None:
    link = LinkView({HOP[1]: 4000, NodeId("b"): 4000}, block_bits=10_000)
    assert decide(NetworkView({HOP[0]: link}, ()), Policy()).generate == ()
    (order,) = decide(NetworkView({HOP[0]: replace(link, ahead_bits=10_000)}, ()), Policy()).generate
    assert (order.link_id, order.num_blocks) == (HOP[0], 1)


# ---- what commands say ----


def test_a_pair_is_named_by_its_sites_and_by_the_applications_that_are_declared() -> None:
    """Applications stand in the order of their sites: alice is at suzhou, which comes after shanghai."""
    text = network_yaml(load_network("three-nodes"))
    text = text.replace("applications:\n", "applications:\n  - {name: carol, site: kunshan}\n")
    network = parse_network(f"{text}\nsharing: {{pairs: [{ALICE_BOB}]}}\n", source="a file")
    found = shares_of(network, review(network).rates_bits_per_s)
    ends = ("shanghai", "suzhou")
    assert {(share.pair, share.sites, share.applications) for share in found.shares} == {
        ("alice bob", ends, ("bob", "alice")),
        ("kunshan - shanghai", ("kunshan", "shanghai"), None),
        ("kunshan - suzhou", ("kunshan", "suzhou"), None),
    }
    (promise,) = found.promises
    assert (promise.pair, promise.sites, promise.applications) == ("alice bob", ends, ("bob", "alice"))


def test_check_and_plan_say_which_guarantees_are_admitted_and_the_most_there_could_be() -> None:
    network = three_nodes("{pairs: [{master: alice, slave: bob, guaranteed_bits_per_s: 100000}]}")
    found = review(network)
    (promise,) = found.promises
    assert not promise.is_admitted
    least = min(found.rates_bits_per_s.values())
    assert promise.possible_bits_per_s == pytest.approx(0.95 * least / 2, rel=1e-6)
    assert "guarantee-not-admitted" in [warning.code for warning in found.warnings]
    assert promises_of(three_nodes("{}"), found.rates_bits_per_s) == ()


def test_a_ring_is_shared_over_both_ways() -> None:
    network = load_network("five-site-ring")
    rates_of_links = review(network).rates_bits_per_s
    (share,) = shares_of(network, rates_of_links).shares
    widths = sorted((min(rates_of_links[link] for link in way) for way in _ways(network)), reverse=True)
    assert share.bits_per_s == pytest.approx(0.95 * sum(widths) / 2, rel=1e-3)
    assert len(share.ways) == 2


def _ways(network: Network) -> list[list[LinkId]]:
    return [[link.link_id for link in network.links[:2]], [link.link_id for link in network.links[2:]]]


def test_plan_shares_ends_with_1_for_a_guarantee_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(network_yaml(three_nodes(f"{{pairs: [{ALICE_BOB}]}}")))
    assert run_shares(str(path), as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["promises"][0]["is_admitted"]
    assert told["shares"][0]["bits_per_s"] == pytest.approx(8000, rel=1e-3)
    path.write_text(path.read_text().replace("2000", "90000").replace("8000", "99000"))
    assert run_shares(str(path), as_json=False) == 1
    assert "NOT admitted; at most 29.8 kbit/s" in capsys.readouterr().out
