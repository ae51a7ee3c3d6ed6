"""Batches whose verdict takes longer than it is awaited at first, as where machines have too much to do."""

from __future__ import annotations

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.simulation.world import World
from simulation.test_world_multipath import fetch, give, network, secrets
from simulation.test_world_requests import close

ONE = Requirements()


def slowed(*, by_s: float) -> World:
    """A line of two relays that hold every batch back for so long."""
    world = World(network("ar rs sb"), chance=SeededChance(1))
    world.start()
    give(world, ONE)

    def line(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if message.kind != "relay" or sender == "a":
            return message
        world.scheduler.call_after(by_s, lambda: world._deliver(sender, receiver, message))
        return None

    world.line = line
    return world


def given_up(world: World) -> int:
    return sum(event.kind is EventKind.RELAY_FAILED and event.node == "a" for event in world.witness.events)


def test_who_was_not_heard_in_time_is_awaited_longer_and_then_as_long_as_it_takes() -> None:
    world = slowed(by_s=1.5)
    given = give(world, ONE)
    assert fetch(world, given) == secrets(given)
    assert given_up(world) == 1, "the first was given up, the second was waited for"
    for _ in range(3):
        given = give(world, ONE)
        assert fetch(world, given) == secrets(given)
    assert given_up(world) == 1
    close(world)


def test_when_the_line_is_fast_again_it_is_awaited_no_longer_than_at_first() -> None:
    world = slowed(by_s=1.5)
    give(world, ONE)
    world.line = lambda _sender, _receiver, message: message
    give(world, ONE)
    manager = world._processes[NodeId("a")].manager
    assert manager is not None
    ways = manager._relay.ways
    way = tuple(map(NodeId, "arsb"))
    assert ways.patience_s(way) == manager._context.settings.relay_patience_s(3)
    for _ in range(9):
        ways.note_unheard((way,))
    assert ways.patience_s(way) == manager._context.settings.relay_timeout_most_s
    close(world)


def test_who_waits_five_seconds_is_not_kept_for_minutes_however_often_nothing_was_heard() -> None:
    world = slowed(by_s=0.0)
    world.line = lambda sender, _receiver, message: None if message.kind == "relay" and sender == "r" else message
    for _ in range(6):
        before_s = world.scheduler.now_s
        with pytest.raises(KeyShortage):
            give(world, ONE, patience_s=5.0)
        assert world.scheduler.now_s - before_s < 12.0, "five seconds, and what the last two tries take at least"
    close(world)


def test_patience_is_forgotten_like_all_that_was_learnt_of_a_way() -> None:
    world = slowed(by_s=1.5)
    give(world, ONE)
    manager = world._processes[NodeId("a")].manager
    assert manager is not None
    ways, settings = manager._relay.ways, manager._context.settings
    way = tuple(map(NodeId, "arsb"))
    assert ways.patience_s(way) > settings.relay_patience_s(3)
    world.run(world.sleep(settings.failed_retry_s + 1.0))
    assert ways.patience_s(way) == settings.relay_patience_s(3)
    close(world)
