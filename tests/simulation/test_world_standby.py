"""Two controllers on a virtual clock: one takes over from the other, and both at once cost neither key nor pad."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.ground.messages import Message
from qanat.ground.randomness import SeededChance
from qanat.simulation.world import World
from simulation.test_world_requests import NETWORK, A, close, fetch, give, secrets


def new_world(seed: int = 3) -> World:
    world = World(NETWORK, chance=SeededChance(seed), has_standby=True, block_bits=6_000)
    world.start()
    return world


def rest(world: World, seconds: float) -> None:
    world.run(world.sleep(seconds), within_s=seconds + 1)


def who_began(world: World) -> list[NodeId]:
    return [event.node for event in world.witness.events if event.kind is EventKind.CONTROLLER_RULES]


def swallow(world: World, is_lost: Callable[[NodeId, NodeId, Message], bool]) -> None:
    world.line = lambda sender, receiver, message: None if is_lost(sender, receiver, message) else message


def keys_come(world: World, *, count: int = 8) -> bool:
    """Ask for more than lies there, so that orders are needed; both ends have the same in the end."""
    for _ in range(3):
        given = give(world, count=count, patience_s=40.0)
        assert fetch(world, given) == secrets(given)
    return True


def test_the_first_rules_and_the_standby_gives_no_orders() -> None:
    world = new_world()
    assert keys_come(world)
    rest(world, 20.0)
    assert who_began(world) == [CONTROLLER]
    orders = [event for event in world.witness.events if event.kind is EventKind.GENERATION_ORDERED]
    assert {event.node for event in orders} == {CONTROLLER}
    close(world)


def test_the_standby_takes_over_within_seconds_and_the_first_stands_by_when_it_is_back() -> None:
    world = new_world()
    keys_come(world)
    died_s = world.scheduler.now_s
    world.crash(CONTROLLER, down_s=60.0)
    rest(world, 8.0)
    began = [event for event in world.witness.events if event.kind is EventKind.CONTROLLER_RULES]
    assert began[-1].node == STANDBY
    assert began[-1].monotonic_s - died_s < 7.0
    assert int(str(began[-1].data["epoch"])) > int(str(began[0].data["epoch"]))
    assert keys_come(world)
    rest(world, 80.0)
    assert keys_come(world)
    assert who_began(world) == [CONTROLLER, STANDBY]
    world.crash(STANDBY, down_s=60.0)
    assert keys_come(world)
    assert who_began(world) == [CONTROLLER, STANDBY, CONTROLLER]
    close(world)


def test_a_takeover_in_the_midst_of_an_order_adopts_it() -> None:
    world = new_world()
    with pytest.raises(KeyShortage):
        give(world, patience_s=0.2)
    world.crash(CONTROLLER, down_s=300.0)
    given = give(world, patience_s=40.0)
    assert fetch(world, given) == secrets(given)
    close(world)


@pytest.mark.parametrize("seed", range(3))
def test_two_that_rule_at_once_cost_no_key_and_the_lower_epoch_stands_down(seed: int) -> None:
    """Nothing joins the two for a while; all sites hear both, and follow the higher epoch: the two take turns."""
    world = new_world(seed)
    keys_come(world)
    swallow(world, lambda _sender, _receiver, message: message.kind == "controller-here")
    rest(world, 10.0)
    assert set(who_began(world)) == {CONTROLLER, STANDBY}
    assert keys_come(world)
    swallow(world, lambda *_: False)
    rest(world, 15.0)
    began = len(who_began(world))
    assert keys_come(world)
    rest(world, 15.0)
    assert len(who_began(world)) == began
    close(world)


@pytest.mark.parametrize("seed", range(3))
def test_two_that_rule_parts_of_the_network_cost_no_key(seed: int) -> None:
    """The standby hears neither the first nor site a, which follows the first; b and r hear both."""
    world = new_world(seed)
    keys_come(world)
    swallow(
        world,
        lambda sender, receiver, _: STANDBY in (sender, receiver) and {sender, receiver} & {A, CONTROLLER} != set(),
    )
    rest(world, 10.0)
    given = give(world, patience_s=60.0)
    assert fetch(world, given) == secrets(given)
    swallow(world, lambda *_: False)
    rest(world, 15.0)
    assert keys_come(world)
    close(world)


@pytest.mark.parametrize("seed", range(3))
def test_controllers_that_die_again_and_again_lose_nothing(seed: int) -> None:
    world = new_world(seed)
    for victim in (CONTROLLER, STANDBY, CONTROLLER, CONTROLLER, STANDBY):
        world.crash(victim)
        assert keys_come(world, count=4)
    close(world)


@pytest.mark.parametrize("local", [CONTROLLER, STANDBY])
def test_that_one_of_two_controllers_is_gone_is_an_alarm_of_the_other_until_it_is_back(local: NodeId) -> None:
    world = new_world()
    keys_come(world)
    rest(world, 10.0)
    world.crash(local, down_s=30.0)
    rest(world, 100.0)
    told = [
        (event.node, event.data["about"], event.data.get("cleared", False))
        for event in world.witness.events
        if event.kind is EventKind.ALARM and event.data["code"] == "other-controller-silent"
    ]
    other = STANDBY if local == CONTROLLER else CONTROLLER
    assert told == [(other, local, False), (other, local, True)]
    close(world)


def test_what_a_controller_told_before_it_stood_down_is_over_there_and_told_by_who_rules() -> None:
    world = new_world()
    keys_come(world)
    world.crash(NodeId("b"), down_s=300.0)
    rest(world, 40.0)
    swallow(world, lambda sender, _, __: sender == CONTROLLER)  # nobody hears the first any more
    rest(world, 20.0)
    swallow(world, lambda *_: False)
    rest(world, 60.0)
    assert who_began(world) == [CONTROLLER, STANDBY]
    told = {CONTROLLER: list[bool](), STANDBY: list[bool]()}
    for event in world.witness.events:
        if event.kind is EventKind.ALARM and event.data["code"] == "node-silent":
            told[event.node].append(bool(event.data.get("cleared", False)))
    assert told == {CONTROLLER: [False, True], STANDBY: [False]}
    close(world)
