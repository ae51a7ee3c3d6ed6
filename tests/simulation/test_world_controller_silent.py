"""What sites and their applications hear when the controller is down and nobody takes over."""

from __future__ import annotations

import pytest
from test_world_requests import NETWORK, A, count_of, fetch, give, new_world, secrets

from qanat.ground.errors import ConfigurationError, KeyShortage, NodeSilent
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


def test_a_line_to_the_controller_that_is_gone_is_told_after_five_seconds_and_not_of_a_restart() -> None:
    world = new_world(block_bits=6_000)
    world.run(world.sleep(20.0))
    world.crash(CONTROLLER, down_s=3.5)
    world.run(world.sleep(30.0))
    assert not silences(world, cleared=False)
    gone_s = world.scheduler.now_s
    world.crash(CONTROLLER, down_s=30.0)
    world.run(world.sleep(7.0))
    assert silences(world, cleared=False) == set(NETWORK.nodes), f"gone at {gone_s}"
    world.close()


def test_a_controller_that_comes_up_with_its_sites_has_ten_seconds_for_that() -> None:
    world = new_world(block_bits=6_000)
    world.crash(CONTROLLER, down_s=8.0)
    world.run(world.sleep(30.0))
    assert not silences(world, cleared=False)
    world.close()


def test_a_site_whose_own_certificate_has_ended_says_that_and_not_who_does_not_answer() -> None:
    world = new_world(block_bits=6_000)
    give(world)
    manager = world._processes[A].manager
    assert manager is not None
    manager.certificate_fault = lambda: ConfigurationError("the certificate of a was revoked", remedy="renew it")
    world.cut |= {frozenset((A, other)) for other in (CONTROLLER, *NETWORK.nodes)}
    world.run(world.sleep(10.0))
    with pytest.raises(NodeSilent, match="the certificate of a was revoked, so no other site speaks") as refused:
        give_all(world)
    assert refused.value.message.startswith("the certificate of a was revoked")
    assert refused.value.remedy == "renew it"
    told = [event.data for event in world.witness.events if event.data.get("code") == "controller-silent"]
    ((text, remedy),) = [(str(data["text"]), data["remedy"]) for data in told]
    assert text.startswith("the certificate of a was revoked, so there is no line to the controller")
    assert remedy == "renew it"
    world.close()


def test_a_line_that_is_there_for_a_moment_at_each_try_does_not_end_the_alarm() -> None:
    """So it is at a site whose certificate the controller refuses: the dial succeeds, and is cut off."""
    world, line = new_world(block_bits=6_000), frozenset((A, CONTROLLER))
    world.run(world.sleep(20.0))
    world.cut.add(line)
    world.run(world.sleep(10.0))
    assert silences(world, cleared=False) == {A}
    for _ in range(4):
        world.cut.discard(line)
        world.run(world.sleep(1.0))  # one look
        world.cut.add(line)
        world.run(world.sleep(4.0))
    assert not silences(world, cleared=True)
    world.cut.discard(line)
    world.run(world.sleep(8.0))
    assert silences(world, cleared=True) == {A}
    world.close()


def test_the_alarm_does_not_end_while_the_sites_own_certificate_has_ended() -> None:
    world, line = new_world(block_bits=6_000), frozenset((A, CONTROLLER))
    world.run(world.sleep(20.0))
    manager = world._processes[A].manager
    assert manager is not None
    manager.certificate_fault = lambda: ConfigurationError("the certificate of a was revoked", remedy="renew it")
    world.cut.add(line)
    world.run(world.sleep(10.0))
    world.cut.discard(line)
    world.run(world.sleep(10.0))
    assert silences(world, cleared=False) == {A}
    assert not silences(world, cleared=True)
    manager.certificate_fault = lambda: None
    world.run(world.sleep(6.0))
    assert silences(world, cleared=True) == {A}
    world.close()


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
