"""Which service tests ``qanat acceptance`` draws, how causes are told from errors, and what a run's figures say."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from qanat.apps.acceptance.causes import Cause, NotShown, Waiting, cause_at_both_ends, cause_of
from qanat.apps.acceptance.figures import figures_of, rows_of
from qanat.apps.acceptance.plan import (
    FAULTS,
    KINDS,
    LINK_DISTURBED,
    NEAR_KM,
    NO_ROUTE,
    NOBODY,
    RELAY_KILLED,
    SOMEBODY_ELSE,
    Broken,
    ServiceTest,
    choose_broken,
    draw_plan,
)
from qanat.apps.acceptance.run import Result
from qanat.apps.cli.acceptance import AcceptanceOptions, is_accepted, run_acceptance
from qanat.apps.networks import load_network
from qanat.control.graph import RouteGraph
from qanat.control.routing import widest_from
from qanat.doors.etsi014.delivery import read_error
from qanat.doors.etsi014.encoding import error_answer
from qanat.ground.errors import (
    ChannelClosed,
    ChannelTimeout,
    ConfigurationError,
    KeyShortage,
    LinkFailed,
    NodeSilent,
    NoRoute,
    PeerProtocolError,
    QanatError,
    VerificationFailed,
)
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network, parse_network
from qanat.services.ciphers import Altered, KeyExpired, NotForUs, PadShortage
from qanat.services.conversation import RefusedByPeer
from qanat.users.supply import KeyManagerLost

SMALL_TOWN = Path(__file__).parents[1] / "interop" / "small-town.yaml"
PAPER = load_network("nature2021")


def small_town() -> Network:
    return parse_network(SMALL_TOWN.read_text(encoding="utf-8"), source="small-town")


def test_the_same_seed_draws_the_same_tests_and_another_one_others() -> None:
    broken = choose_broken(PAPER)
    plan = draw_plan(PAPER, num_tests=210, seed=5, broken=broken)
    assert plan == draw_plan(PAPER, num_tests=210, seed=5, broken=broken)
    assert plan != draw_plan(PAPER, num_tests=210, seed=6, broken=broken)


def test_where_no_passes_are_made_nobody_is_drawn_who_shares_key_by_satellite_alone() -> None:
    urumqi = {app.name for app in PAPER.applications if app.site.startswith(("urumqi", "nanshan"))}

    def by_satellite(*, has_passes: bool) -> list[ServiceTest]:
        plan = draw_plan(PAPER, num_tests=700, seed=1, broken=choose_broken(PAPER), has_passes=has_passes)
        every = (*plan.tests, *plan.without_relay, *plan.repaired)
        return [
            test for test in every if len({test.sender, test.recipient} & urumqi) == 1 and test.fault is not NO_ROUTE
        ]

    assert by_satellite(has_passes=True)
    assert not by_satellite(has_passes=False)


def test_all_kinds_are_tested_alike_between_near_and_far_users_of_all_cities() -> None:
    tests = draw_plan(PAPER, num_tests=2000, seed=1, broken=None).tests
    assert len(tests) == 2000
    counts = Counter(test.kind for test in tests)
    assert set(counts) == set(KINDS)
    assert max(counts.values()) - min(counts.values()) == 1
    assert Counter(test.distance_km <= NEAR_KM for test in tests)[True] == pytest.approx(1500, abs=10)
    users = {name for test in tests for name in (test.sender, test.recipient)}
    assert len(users) > 160
    assert {name.split("-")[0] for name in users} >= {"beijing", "jinan", "hefei", "shanghai", "urumqi"}
    ways = {app.name: set(widest_from(RouteGraph.of_keys(PAPER), NodeId(app.site))) for app in PAPER.applications}
    sites = {app.name: app.site for app in PAPER.applications}
    assert all(sites[test.recipient] in ways[test.sender] for test in tests), "each pair has a way"
    assert all(sites[test.recipient] != sites[test.sender] for test in tests)


def test_planted_faults_befall_whom_they_can_and_no_other_test() -> None:
    plan = draw_plan(PAPER, num_tests=700, seed=2, broken=choose_broken(PAPER))
    assert plan.broken.relay is not None
    assert plan.broken.link is not None
    (victim,) = (node for node in PAPER.link(plan.broken.link).ends if PAPER.site(node).kind == "user")
    sites = {app.name: app.site for app in PAPER.applications}
    planted = [test for test in plan.tests if test.fault is not None]
    assert len(planted) == 70
    assert {test.fault for test in (*planted, *plan.without_relay, *plan.repaired)} == set(FAULTS)
    for test in plan.tests:
        befalls = victim in (sites[test.sender], sites[test.recipient])
        assert befalls is (test.fault is LINK_DISTURBED), "who is behind that link is in no other test"
        assert (test.other is not None) is (test.fault is SOMEBODY_ELSE)
        assert len(test.names) == 2 + (test.other is not None)
    ways = {app.name: set(widest_from(RouteGraph.of_keys(PAPER), NodeId(app.site))) for app in PAPER.applications}
    for test in planted:
        if test.fault is NO_ROUTE:
            ends = NodeId(sites[test.sender]), NodeId(sites[test.recipient])
            assert ends[1] not in ways[test.sender] or PAPER.needs_direct_key(*ends)
    cut = PAPER.model_copy(update={"links": tuple(x for x in PAPER.links if plan.broken.relay not in x.ends)})
    graph = RouteGraph.of_keys(cut)
    assert {test.fault for test in plan.without_relay} == {RELAY_KILLED}
    for test in plan.without_relay:
        assert sites[test.recipient] not in widest_from(graph, NodeId(sites[test.sender]))


def test_of_a_small_network_the_relay_and_the_link_whose_loss_tells_are_broken() -> None:
    assert choose_broken(small_town()) == Broken(
        NodeId("west"), small_town().link_between(NodeId("adas"), NodeId("west")).link_id
    )
    assert choose_broken(load_network("five-site-ring")) == Broken(), "no relay parts a ring"


def test_faults_that_a_network_cannot_have_are_left_out() -> None:
    plan = draw_plan(load_network("three-nodes"), num_tests=14, seed=1, broken=Broken())
    left_out = {SOMEBODY_ELSE, NO_ROUTE, LINK_DISTURBED}
    assert {test.fault for test in plan.tests} - {None} == set(FAULTS[:-2]) - left_out
    assert not plan.without_relay


def test_a_network_whose_users_no_keys_can_join_is_refused() -> None:
    alone = load_network("three-nodes").model_copy(update={"links": ()})
    with pytest.raises(ConfigurationError, match="no two users of network 'three-nodes' can have keys"):
        draw_plan(parse_network_without_links(alone), num_tests=1, seed=1, broken=None)


def parse_network_without_links(network: Network) -> Network:
    return Network(format=network.format, name=network.name, sites=network.sites, applications=network.applications)


def test_users_of_a_run_are_drawn_from_all_places() -> None:
    tests = draw_plan(PAPER, num_tests=700, seed=3, broken=None, num_users=34).tests
    users = {name for test in tests for name in test.names}
    assert 30 <= len(users) <= 34, "some may have had no turn"
    cities = Counter(name.split("-")[0] for name in users)
    assert {city: cities[city] >= 2 for city in ("beijing", "jinan", "hefei", "shanghai")} == dict.fromkeys(
        ("beijing", "jinan", "hefei", "shanghai"), True
    )


def test_another_network_that_is_up_is_not_taken_for_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "service.json").write_text(json.dumps({"network": "three-nodes"}), encoding="utf-8")
    options = AcceptanceOptions(
        network="five-site-ring",
        num_tests=1,
        num_users=None,
        seed=1,
        with_faults=False,
        data=tmp_path,
        at_once=1,
        least_success=0.99,
        sleep_after_s=None,
        out=None,
    )
    with pytest.raises(ConfigurationError, match=r"network 'three-nodes' is up on .*, not 'five-site-ring'"):
        run_acceptance(options, as_json=True)


def test_a_run_is_accepted_when_it_is_whole_and_enough_succeeded_and_all_that_was_planted_was_named() -> None:
    good: dict[str, Any] = {
        "is_whole": True,
        "least_success": 0.99,
        "all": {"success_rate": 0.99},
        "num_planted": 3,
        "planted_as_expected": 3,
    }
    assert is_accepted(good)
    assert not is_accepted(good | {"is_whole": False})
    assert not is_accepted(good | {"all": {"success_rate": 0.98}})
    assert not is_accepted(good | {"all": {"success_rate": None}})
    assert not is_accepted(good | {"planted_as_expected": 2})


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        (PadShortage(needed_bits=2, stocked_bits=1), Cause.PAD_SHORT),
        (NodeSilent("west"), Cause.NODE_SILENT),
        (LinkFailed("dark"), Cause.LINK_FAILED),
        (KeyShortage("too little"), Cause.NO_KEY),
        (NoRoute("none"), Cause.NO_ROUTE),
        (KeyManagerLost("away"), Cause.NO_KEY_MANAGER),
        (NotForUs("bob's"), Cause.WRONG_RECIPIENT),
        (Altered("a bit"), Cause.ALTERED),
        (KeyExpired("old"), Cause.KEY_REFUSED),
        (NotShown("dark"), Cause.NOT_SHOWN),
        (VerificationFailed("another file"), Cause.WRONG_CONTENT),
        (ChannelTimeout("nothing"), Cause.TIMEOUT),
        (ChannelClosed("gone"), Cause.NOT_REACHED),
        (Waiting("in the outbox"), Cause.NOT_REACHED),
        (RefusedByPeer("no"), Cause.REFUSED),
        (PeerProtocolError("odd"), Cause.OTHER),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, QanatError) else "",
)
def test_each_error_has_one_cause(fault: QanatError, cause: Cause) -> None:
    assert cause_of(fault) is cause


def test_the_end_that_refused_names_the_cause() -> None:
    refused = RefusedByPeer("bob refused")
    assert cause_at_both_ends(refused, NotForUs("carol's"), lost_key_manager=False) is Cause.WRONG_RECIPIENT
    assert cause_at_both_ends(refused, None, lost_key_manager=False) is Cause.REFUSED
    assert cause_at_both_ends(refused, PeerProtocolError("no program"), lost_key_manager=False) is Cause.REFUSED
    assert cause_at_both_ends(Waiting("a text"), None, lost_key_manager=True) is Cause.NO_KEY_MANAGER
    assert cause_at_both_ends(NoRoute("none"), Altered("a bit"), lost_key_manager=True) is Cause.NO_ROUTE


@pytest.mark.parametrize("kind", [KeyShortage, LinkFailed, NodeSilent])
def test_a_door_tells_kinds_of_shortage_apart(kind: type[KeyShortage]) -> None:
    answer = error_answer(kind("no key", remedy="wait", retry_after_s=3.5), told=True)
    fault = read_error(answer.status, answer.body)
    assert isinstance(fault, kind)
    assert (type(fault), fault.retry_after_s, fault.remedy) == (kind, 3.5, "wait")


def result(number: int, cause: Cause, *, duration_s: float, is_cold: bool = False, tries: int = 1) -> Result:
    test = ServiceTest(number, KINDS[number % 2], "alice", "bob", 10.0 if number % 3 else 500.0)
    first = cause if tries == 1 else Cause.NO_KEY
    return Result(test, cause, tries, first, "", "", is_cold, 0.0, duration_s, num_keys=2, key_bits=256)


def test_figures_count_success_causes_times_and_keys() -> None:
    results = [
        result(1, Cause.SUCCESS, duration_s=9.0, is_cold=True, tries=2),
        result(2, Cause.SUCCESS, duration_s=1.0),
        result(3, Cause.SUCCESS, duration_s=3.0),
        result(4, Cause.NO_KEY, duration_s=120.0),
    ]
    nobody = ServiceTest(5, KINDS[0], "alice", "bob", 10.0, NOBODY)
    for found in (Cause.NOT_REACHED, Cause.TIMEOUT):
        results.append(Result(nobody, found, 1, found, "ChannelClosed", "gone", False, 0.0, 0.5, 1, 128))
    figures = figures_of(results, duration_s=200.0)
    together = figures["all"]
    assert (together["tests"], together["succeeded"], together["at_once"]) == (4, 3, 2)
    assert (together["success_rate"], together["causes"]) == (0.75, {"no key in time": 1})
    assert (together["median_s"], together["median_warm_s"], together["median_cold_s"]) == (3.0, 2.0, 9.0)
    assert (together["keys"], together["key_bits"]) == (8, 1024)
    assert {name: one["tests"] for name, one in figures["kinds"].items()} == {KINDS[0]: 2, KINDS[1]: 2}
    assert {name: one["tests"] for name, one in figures["pairs"].items()} == {
        "near, cold": 1,
        "near, warm": 2,
        "far, warm": 1,
    }
    assert (figures["num_planted"], figures["planted_as_expected"]) == (2, 1)
    assert figures["planted"][NOBODY.name]["found"] == {"recipient not reached": 1, "no answer in time": 1}
    rows = rows_of(results)
    assert [row["as_expected"] for row in rows] == [True, True, True, False, True, False]
    assert rows[4]["planted"] == NOBODY.name
