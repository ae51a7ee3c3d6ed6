"""Lines between two sites that are cut while both run: one alarm that names both ends, and no call that pays for it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest

from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.key_management.manager import GivenKeys
from qanat.key_management.repeats import ANY
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import World
from simulation.test_world_sleepers import ALICE, BOB, FIRST, NETWORK, OTHER, A, B, R


@pytest.fixture
def world() -> Iterator[World]:
    world = World(NETWORK, chance=SeededChance(5), block_bits=60_000, settings=KeyManagerSettings(), has_standby=True)
    world.start()
    yield world
    world.close()
    assert world.witness.violations == []


def give(world: World, require: Requirements = ANY) -> tuple[GivenKeys, float]:
    """Ask once; return what was given, and how many seconds that took."""
    began_s = world.scheduler.now_s
    wish: dict[str, Any] = {"count": 2, "patience_s": 20.0, "require": require}
    ask = world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, **wish))
    return world.run(ask), world.scheduler.now_s - began_s


def rest(world: World, seconds: float) -> None:
    world.run(world.sleep(seconds), within_s=seconds + 1)


def cut(world: World, *pairs: tuple[NodeId, NodeId]) -> None:
    world.cut |= {frozenset(pair) for pair in pairs}


def alarms(world: World, *codes: str) -> list[dict[str, Any]]:
    told = [event for event in world.witness.events if event.kind is EventKind.ALARM]
    found: list[dict[str, Any]] = [{**event.data, "node": event.node} for event in told if event.data["code"] in codes]
    return found


def test_a_cut_line_is_one_alarm_of_the_controller_that_names_both_and_ends_with_the_line(world: World) -> None:
    give(world)
    rest(world, 10.0)
    cut(world, (A, R))
    rest(world, 25.0)
    (told,) = alarms(world, "line-silent", "node-silent")
    assert (told["about"], told["node"], told["links"]) == ("a - r", CONTROLLER, ["a-r"])
    assert "a and r" in told["text"]
    assert "both answer the controller" in told["text"]
    assert "look at the network between a and r" in told["remedy"]
    rest(world, 60.0)
    assert len(alarms(world, "line-silent")) == 1
    world.cut.clear()
    rest(world, 15.0)
    assert [row.get("cleared", False) for row in alarms(world, "line-silent")] == [False, True]


def test_the_two_ends_of_a_relay_that_have_no_link_are_told_of_too(world: World) -> None:
    give(world)
    cut(world, (A, B))
    rest(world, 25.0)
    (told,) = alarms(world, "line-silent")
    assert (told["about"], told["links"]) == ("a - b", [])
    assert "No link joins them" in told["text"]


def test_a_call_pays_nothing_for_a_neighbour_that_cannot_be_reached_where_there_is_another_way(world: World) -> None:
    give(world, Requirements(disjoint_routes=2))  # makes a block on every hop of both
    rest(world, 10.0)
    assert list(give(world)[0].keys[0].route) == FIRST
    cut(world, (A, R))
    rest(world, 3.0)
    for _ in range(12):
        given, seconds = give(world)
        assert list(given.keys[0].route) == OTHER
        assert seconds < 0.5
        rest(world, 1.7)
    world.cut.clear()
    rest(world, 45.0)
    assert list(give(world)[0].keys[0].route) == FIRST


def test_tables_lead_round_a_line_that_is_cut_further_on(world: World) -> None:
    give(world)
    cut(world, (R, B))
    rest(world, 25.0)
    manager = world._processes[A].manager
    assert manager is not None
    assert list(manager._context.routes.ways(B)[0]) == OTHER


def test_the_standby_that_takes_over_tells_it_soon_and_a_controller_that_comes_anew_does_too(world: World) -> None:
    rest(world, 10.0)
    cut(world, (A, R))
    rest(world, 25.0)
    world.crash(CONTROLLER, down_s=60.0)
    rest(world, 12.0)
    assert [row["node"] for row in alarms(world, "line-silent")] == [CONTROLLER, STANDBY]
    rest(world, 60.0)
    world.crash(STANDBY, down_s=60.0)
    rest(world, 20.0)
    assert [row["node"] for row in alarms(world, "line-silent")] == [CONTROLLER, STANDBY, CONTROLLER]


@pytest.mark.parametrize("down_s", [0.2, 4.0, 7.0, 11.0, 40.0])
def test_a_site_that_restarts_is_no_alarm_of_its_lines(world: World, down_s: float) -> None:
    give(world)
    for _ in range(4):
        rest(world, 6.3)
        world.crash(R, down_s=down_s)
        rest(world, down_s + 20.0)
    assert alarms(world, "line-silent") == []
    assert all(row["about"] == R for row in alarms(world, "node-silent"))


def test_neither_controllers_that_restart_nor_lost_words_are_an_alarm_of_lines(world: World) -> None:
    give(world)
    for one, name in enumerate((CONTROLLER, STANDBY, CONTROLLER)):
        rest(world, 5.0 + one)
        world.crash(name, down_s=20.0)
        rest(world, 30.0)
    assert alarms(world, "line-silent", "node-silent") == []


def test_lines_that_break_for_a_moment_everywhere_are_no_alarm(world: World) -> None:
    give(world)
    rest(world, 10.0)
    for _ in range(5):
        cut(world, *combinations(NETWORK.nodes, 2))
        rest(world, 4.0)
        world.cut.clear()
        rest(world, 9.0)
    assert alarms(world, "line-silent") == []


@pytest.mark.parametrize("seconds", [0.5, 30.0])
def test_sites_that_sleep_and_are_opened_are_no_alarm_of_lines(seconds: float) -> None:
    world = World(NETWORK, chance=SeededChance(5), block_bits=6_000, sleepers={R: seconds, NodeId("t"): seconds})
    world.start()
    rest(world, 30.0)
    ask = world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=2, patience_s=60.0))
    world.run(ask, within_s=90.0)
    rest(world, 40.0)
    assert alarms(world, "line-silent") == []
    world.close()
    assert world.witness.violations == []
