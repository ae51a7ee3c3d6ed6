"""Of several links between two sites keys go over the first alone, and every part of the system has it so."""

from __future__ import annotations

import pytest

from qanat.apps.network_review import review
from qanat.control.books import Books
from qanat.control.routing import key_graph, widest
from qanat.ground.identifiers import LinkId, NodeId
from qanat.planning.direct import links_for
from qanat.planning.flow import most_between
from qanat.planning.limits import limited, link_rates
from qanat.planning.spans import needs_for
from qanat.simulation.day.faults import own_users
from qanat.simulation.day.plan import DayPlan
from unit.planning_support import network_of

A, R, B = map(NodeId, ("a", "r", "b"))
TWICE = network_of(
    {"a": "user", "r": "relay", "b": "user"},
    [("a", "r", 18), ("a", "r", 9), ("r", "b", 12), ("b", "r", 90)],
    switches={"w": {"a": 1, "r": 1}},
    apps=["a", "b"],
)
"""l1 is better than l0, l3 gives no key; behind both comes a link through a switch."""
FIRST = ("l0", "l2")


def test_relay_routes_day_and_plan_go_over_the_same_links() -> None:
    assert TWICE.links[-1].through == ("w",)
    assert tuple(link.link_id for link in TWICE.relayed_links) == FIRST
    assert tuple(TWICE.link_between(*ends).link_id for ends in ((R, A), (B, R))) == FIRST
    assert key_graph(TWICE, {}).links_along((A, R, B)) == FIRST
    assert {link.link_id for link in DayPlan(TWICE).links} == set(FIRST)
    assert tuple(one.link_id for one in limited(TWICE, link_rates(TWICE)).carriers) == FIRST
    assert [link.link_id for link in links_for(TWICE, (A, B))] == list(FIRST)


def test_check_plan_and_day_tell_the_same_rate() -> None:
    rates = link_rates(TWICE)
    (route,) = review(TWICE).routes
    flow = most_between(limited(TWICE, rates), A, B)
    assert (route.weakest, route.rate_bits_per_s) == ("l0", rates[LinkId("l0")])
    assert flow.level_bits_per_s == pytest.approx(route.rate_bits_per_s)
    day = next(link for link in DayPlan(TWICE).links if link.link_id == "l0")
    assert day.rate_bits_per_s == pytest.approx(route.rate_bits_per_s, rel=1e-3)


def test_more_key_on_a_span_is_more_pairs_on_its_first_link() -> None:
    rates = link_rates(TWICE)
    needs = needs_for(TWICE, rates, A, B, rate_bits_per_s=3 * rates[LinkId("l0")])
    assert [need.link.link_id for need in needs] == list(FIRST)
    assert needs[0].pairs_needed > 3  # multiplexers take a little of each
    (told,) = {concern.remedy for concern in review(TWICE).warnings if "'l1'" in concern.text}
    assert "'pairs'" in told
    assert "'l0'" in told
    assert "no link through a switch" in next(one.remedy for one in review(TWICE).warnings if "'a--r'" in one.text)


def test_a_link_that_no_key_goes_over_has_no_say_in_how_links_are_compared() -> None:
    """l3 gives no key. Were it asked, links would be compared by transmittance, and 9 dB would beat the higher rate."""
    kinds = {"a": "relay", "b": "relay", "c": "relay"}
    network = network_of(kinds, [("a", "b", 9), ("a", "c", 10), ("c", "b", 10), ("b", "c", 90)])
    rates = {LinkId("l0"): 100.0, LinkId("l1"): 200.0, LinkId("l2"): 200.0, LinkId("l3"): 0.0}
    assert widest(key_graph(network, rates), A, B) == ("a", "c", "b")


def test_idle_time_makes_no_key_that_nobody_would_take() -> None:
    books = Books(TWICE)
    assert tuple(books.view(now_s=0.0, with_links=books.links).links) == FIRST
    assert books.links.keys() == {link.link_id for link in TWICE.links}  # their reports are still taken down


def test_a_user_whose_first_link_is_lost_is_cut_off_by_its_own_loss() -> None:
    assert own_users(TWICE, ["l0"]) == {A}
    assert own_users(TWICE, ["l1", "w"]) == frozenset()
