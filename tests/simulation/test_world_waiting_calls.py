"""Calls that wait for key on one way, which dies or is not paid in time: another way that has key serves them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
from test_world_rerouting import FIRST, OTHER, A, B, R, rest, ring, route_of

from qanat.control.settings import ControllerSettings
from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, NodeId, SaeId
from qanat.ground.network import Application
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.manager import GivenKeys
from qanat.key_management.repeats import ANY
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import World

RING = ring()
NETWORK = RING.model_copy(update={"applications": (*RING.applications, Application(name="rose", site="r"))})
ALICE, BOB, ROSE = NETWORK.saes
ROUND_R = Requirements(policy=RoutePolicy(avoid=frozenset({R})))
NEVER_S = 1000.0
PATIENCE_S = KeyManagerSettings().wait_s


@pytest.fixture
def world() -> Iterator[World]:
    """Up for ten seconds, without stock, with all times as a true site has them."""
    world = World(
        NETWORK,
        chance=SeededChance(5),
        block_bits=60_000,
        settings=KeyManagerSettings(),
        controller_settings=ControllerSettings(),
    )
    world.start()
    rest(world, 10.0)
    yield world
    world.close()
    assert world.witness.violations == []


def block_times(world: World, *, first_s: float, other_s: float) -> None:
    """Set how long the links of each of the two ways from a to b take for a block."""
    for link in world.links:
        link.block_time_s = first_s if R in link.link.ends else other_s


async def ask(
    world: World,
    *,
    node: NodeId = A,
    master: SaeId = ALICE,
    count: int = 2,
    patience_s: float = PATIENCE_S,
    require: Requirements = ANY,
) -> GivenKeys:
    return await world.call(
        node,
        lambda manager: manager.get_keys(
            master=master, slave=BOB, count=count, size_bits=256, patience_s=patience_s, require=require
        ),
    )


def same_at_both_ends(world: World, given: GivenKeys) -> bool:
    ids = [key.key_id for key in given.keys]
    there = world.run(world.call(B, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)))
    return [key.secret.reveal() for key in there] == [key.secret.reveal() for key in given.keys]


def empty_r_to_b(world: World) -> None:
    """Have somebody at r take all that the second hop of the first way holds."""
    with contextlib.suppress(KeyShortage):
        while True:
            world.run(ask(world, node=R, master=ROSE, count=16, patience_s=0.0, require=Requirements(max_hops=1)))


def nothing_fails(_world: World) -> None:
    """The way is not paid in time, and that is all."""


FAULTS: dict[str, Callable[[World], None]] = {
    "the relay": lambda world: world.crash(R, down_s=60.0),
    "the controller": lambda world: world.crash(CONTROLLER, down_s=60.0),
    "time": nothing_fails,
}


@pytest.mark.parametrize("after_s", [0.3, 0.7, 1.1, 1.6])
@pytest.mark.parametrize("lost", FAULTS)
def test_a_call_that_waits_in_vain_goes_another_way_that_has_got_key_meanwhile(
    world: World, lost: str, after_s: float
) -> None:
    block_times(world, first_s=NEVER_S, other_s=1.0)

    async def fill_other() -> None:
        await world.sleep(0.05)
        await ask(world, count=1, patience_s=60.0, require=ROUND_R)

    async def fail() -> None:
        await world.sleep(after_s)
        FAULTS[lost](world)

    world.spawn(fill_other(), name="who goes round r")
    world.spawn(fail(), name="fault")
    given = world.run(ask(world))
    asked = [event.data for event in world.witness.events if event.kind is EventKind.GENERATION_ASKED]
    assert asked[0]["short"][0].startswith("a-r from a"), "it waited for key on the way that fails"
    assert route_of(given) == OTHER
    assert same_at_both_ends(world, given)


def test_key_is_asked_for_on_the_other_way_as_soon_as_the_relay_is_found_silent(world: World) -> None:
    """Nobody has key, and the controller takes five seconds more to be sure."""
    block_times(world, first_s=NEVER_S, other_s=1.0)

    async def fail() -> None:
        await world.sleep(0.5)
        world.crash(R, down_s=60.0)

    world.spawn(fail(), name="fault")
    begun_s = world.scheduler.now_s
    given = world.run(ask(world, patience_s=20.0))
    assert route_of(given) == OTHER
    silent = [event for event in world.witness.events if event.data.get("code") == "node-silent"]
    assert silent == []
    assert world.scheduler.now_s - begun_s < ControllerSettings().silent_after_s


def test_a_call_for_little_does_not_wait_for_what_an_earlier_one_asked_too_much_of(world: World) -> None:
    world.run(ask(world, patience_s=20.0))  # makes a block on each hop
    block_times(world, first_s=NEVER_S, other_s=NEVER_S)
    with pytest.raises(KeyShortage, match="more is being made"):
        world.run(ask(world, count=128))
    assert route_of(world.run(ask(world, patience_s=0.0))) == FIRST


def test_a_way_that_was_short_further_on_is_taken_again_once_it_has_key(world: World) -> None:
    world.run(ask(world, patience_s=20.0, require=Requirements(disjoint_routes=2)))  # a block on each hop of both
    block_times(world, first_s=5.0, other_s=5.0)
    empty_r_to_b(world)
    assert route_of(world.run(ask(world, count=16))) == OTHER
    rest(world, 20.0)
    assert route_of(world.run(ask(world))) == FIRST


def test_equal_calls_that_are_refused_again_and_again_each_go_on_with_a_demand_of_their_own(world: World) -> None:
    """Demands that nobody goes on with would pile up until the pair may have no more."""
    block_times(world, first_s=NEVER_S, other_s=NEVER_S)
    told: list[str] = []

    async def beg() -> None:
        for _ in range(4):
            with pytest.raises(KeyShortage) as fault:
                await ask(world, patience_s=0.5)
            told.append(fault.value.message)
            await world.sleep(1.0)

    for number in range(6):
        world.spawn(beg(), name=f"beggar {number}")
    rest(world, 10.0)
    assert len(told) == 4 * 6
    assert all("more is being made" in words for words in told), set(told)


def test_a_call_that_looks_for_another_way_burns_no_pads_on_the_one_that_key_is_being_made_for(world: World) -> None:
    """Of the way that it waits for, the first hop has got its key long before the second."""
    for link in world.links:
        link.block_time_s = 1.0 if {A, R} == set(link.link.ends) else 6.0 if R in link.link.ends else NEVER_S
    given = world.run(ask(world, patience_s=20.0))
    assert route_of(given) == FIRST
    burned = [event for event in world.witness.events if event.kind is EventKind.RELAY_FAILED]
    assert burned == []


def test_key_that_has_come_is_taken_when_time_is_up_though_nobody_is_left_to_say_so(world: World) -> None:
    block_times(world, first_s=1.5, other_s=NEVER_S)

    async def fail() -> None:
        await world.sleep(0.8)
        world.crash(CONTROLLER, down_s=60.0)

    world.spawn(fail(), name="fault")
    given = world.run(ask(world, patience_s=6.0))
    assert route_of(given) == FIRST
    assert same_at_both_ends(world, given)
