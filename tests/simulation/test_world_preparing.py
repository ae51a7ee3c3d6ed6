"""Keys that lie ready end to end: made in idle time, given without a relay, and still given when the line is cut."""

from __future__ import annotations

from typing import Any

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind, chain
from qanat.ground.identifiers import SaePair
from qanat.ground.network import PreparedKeys
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.faults import Faults
from qanat.simulation.world import World
from simulation.test_world_requests import ALICE, BOB, NETWORK, A, B, R, close, count_of, fetch, give, secrets, steps

COUNT, SIZE_BITS = 150, 128
PREPARED = NETWORK.model_copy(
    update={"prepared_keys": (PreparedKeys(master="alice", slave="bob", count=COUNT, size_bits=SIZE_BITS),)}
)


def prepared_world(**options: Any) -> World:
    world = World(PREPARED, chance=SeededChance(options.pop("seed", 1)), **options)
    world.start()
    return world


def stock(world: World) -> int:
    return world.run(world.stores[A].count_keys(SaePair(ALICE, BOB), size_bits=SIZE_BITS))


def take(world: World, count: int) -> GivenKeys:
    return give(world, count=count, size_bits=SIZE_BITS)


def test_idle_time_fills_the_pool_from_nothing_and_stops_there() -> None:
    world = prepared_world()
    world.run(world.sleep(30.0))
    assert stock(world) == COUNT
    batches = [event for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]
    assert sum(int(batch.data["num_keys"]) for batch in batches) == COUNT
    for batch in batches:  # each goes back to the pool that ran low, by way of links that were set to work for it
        assert chain(world.witness.events, batch.id)[0].kind is EventKind.POOL_FILLING
    world.run(world.sleep(30.0))
    assert count_of(world, EventKind.KEYS_RELAYED) == len(batches)
    close(world)


def test_a_request_takes_from_the_pool_without_a_relay_and_idle_time_refills_it() -> None:
    world = prepared_world()
    world.run(world.sleep(30.0))
    relayed = count_of(world, EventKind.KEYS_RELAYED)
    given = take(world, 100)
    assert steps(world, given.event_id) == [2, 3, 4]
    assert count_of(world, EventKind.KEYS_RELAYED) == relayed
    assert fetch(world, given) == secrets(given)
    assert stock(world) == COUNT - 100
    world.run(world.sleep(30.0))
    assert stock(world) == COUNT
    close(world)


def test_keys_of_another_size_do_not_come_from_the_pool() -> None:
    world = prepared_world()
    world.run(world.sleep(30.0))
    given = give(world, count=2, size_bits=256)
    assert {key.secret.reveal().__len__() for key in given.keys} == {32}
    assert stock(world) == COUNT
    close(world)


def test_nothing_is_prepared_while_somebody_asks_again_and_again() -> None:
    world = prepared_world(settings=KeyManagerSettings(idle_after_s=2.0))
    for _ in range(20):
        take(world, 1)
        world.run(world.sleep(1.0))
    assert count_of(world, EventKind.POOL_FILLING) == 0
    world.run(world.sleep(10.0))
    assert count_of(world, EventKind.POOL_FILLING) > 0
    close(world)


def test_a_dead_relay_leaves_what_lies_ready_then_a_shortage_that_names_it_then_goes_on_by_itself() -> None:
    world = prepared_world()
    world.run(world.sleep(30.0))
    world.crash(R, down_s=60.0)
    burned = count_of(world, EventKind.RELAY_FAILED)
    given = [take(world, 75), take(world, 75)]  # relays are not needed for these
    with pytest.raises(KeyShortage, match="'r', a node on the way, does not answer 'a'") as shortage:
        take(world, 1)
    assert "bring the key manager of 'r' up" in shortage.value.remedy
    assert shortage.value.retry_after_s >= 1
    with pytest.raises(KeyShortage, match="'r'"):
        take(world, 1)
    assert count_of(world, EventKind.RELAY_FAILED) == burned, "a neighbour that is known to be away costs no pads"
    for batch in given:
        assert fetch(world, batch) == secrets(batch)
    world.run(world.sleep(90.0), within_s=100.0)
    assert stock(world) == COUNT
    last = take(world, 10)
    assert fetch(world, last) == secrets(last)
    close(world)


def test_a_node_further_on_that_is_away_is_named_by_its_neighbour_and_costs_one_batch_at_a_time() -> None:
    world = prepared_world(settings=KeyManagerSettings(cut_route_pause_s=5.0, idle_after_s=1e6))
    take(world, 1)  # both links have key now
    world.crash(B, down_s=60.0)
    for _ in range(3):
        with pytest.raises(KeyShortage, match="'b', a node on the way, does not answer 'r'"):
            take(world, 1)
    failed = [event for event in world.witness.events if event.kind is EventKind.RELAY_FAILED]
    assert {event.data.get("node_at_fault") for event in failed} == {R}
    assert len({event.data.get("relay_id") for event in failed}) == 1
    close(world)


def test_an_answer_lost_or_a_store_that_fails_costs_the_pool_nothing_but_time() -> None:
    world = prepared_world(faults=Faults(p_store_fails=0.2, p_lost=0.2, p_repeated=0.2))
    world.run(world.sleep(120.0), within_s=130.0)
    world.faults = Faults()
    world.run(world.sleep(60.0), within_s=70.0)
    assert stock(world) == COUNT
    close(world)
