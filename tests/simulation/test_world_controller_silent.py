"""What sites and their applications hear when the controller is down and nobody takes over."""

from __future__ import annotations

import pytest
from test_world_requests import NETWORK, count_of, fetch, give, new_world, secrets

from qanat.ground.errors import KeyShortage, NodeSilent
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER
from qanat.simulation.world import World


def silences(world: World, *, cleared: bool) -> set[str]:
    alarms = [event for event in world.witness.events if event.kind is EventKind.ALARM]
    of_controller = [event for event in alarms if event.data["code"] == "controller-silent"]
    return {event.node for event in of_controller if bool(event.data.get("cleared")) is cleared}


def give_all(world: World) -> None:
    for _ in range(1000):
        give(world, patience_s=5.0)


def test_a_controller_that_is_down_is_an_alarm_at_every_site_and_a_refusal_names_it() -> None:
    world = new_world(block_bits=6_000)
    give(world)
    assert not silences(world, cleared=False)
    world.crash(CONTROLLER, down_s=120.0)
    world.run(world.sleep(20.0))
    assert silences(world, cleared=False) == set(NETWORK.nodes)
    with pytest.raises(NodeSilent, match="there is no line to the controller") as refused:
        give_all(world)
    assert isinstance(refused.value, KeyShortage)
    assert "bring the controller" in refused.value.remedy
    for _ in range(3):
        world.run(world.sleep(50.0))
    assert silences(world, cleared=True) == set(NETWORK.nodes)
    given = give(world, patience_s=60.0)
    assert fetch(world, given) == secrets(given)
    assert count_of(world, EventKind.GENERATION_ORDERED) > 1
    world.close()
    assert not world.witness.violations
