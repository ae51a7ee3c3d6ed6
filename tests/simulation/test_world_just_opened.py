"""A site that was opened a moment ago, and with which no line stands yet, is not told as one that does not answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.requirements import Requirements
from qanat.simulation.world import HASTY, World
from simulation.test_world_multipath import R, S, fetch, give, network, new_world, secrets
from simulation.test_world_requests import close, whys

ANY = Requirements()


def busy_world(*, for_s: float) -> World:
    """A line of relays of which the last sleeps; the one before it has a line to it only so long after it was opened,
    as in a process that has much else to do."""
    settings = replace(HASTY, wake_patience_s=10.0)
    world = new_world(network("ar rs sb"), sleepers={S: 1.0}, settings=settings)
    transport, opened_s, open_site = world._processes[R].transport, list[float](), world._open

    def note(node: NodeId) -> None:
        opened_s.append(world.scheduler.now_s)
        open_site(node)

    def is_up(peer: NodeId) -> bool:
        return peer != S or peer in world._asleep or bool(opened_s and world.scheduler.now_s - opened_s[0] >= for_s)

    world._open = note  # type: ignore[method-assign]
    transport._is_up = is_up
    world.run(world.sleep(2.0))
    return world


def test_who_was_opened_a_moment_ago_is_waited_for_and_not_blamed() -> None:
    world = busy_world(for_s=5.0)
    given = give(world, ANY)
    assert fetch(world, given) == secrets(given)
    assert "does not answer" not in whys(world, EventKind.RELAY_FAILED)
    close(world)


def test_who_does_not_answer_long_after_it_was_opened_is_told_as_silent() -> None:
    world = busy_world(for_s=1000.0)
    with pytest.raises(KeyShortage, match=r"'s', the next node on the way, is just coming up .ask again in a moment"):
        give(world, ANY)
    world.run(world.sleep(12.0))
    with pytest.raises(KeyShortage, match="'s', a node on the way, does not answer 'r'"):
        give(world, ANY)
    close(world)
