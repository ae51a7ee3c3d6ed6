"""What applications hear at a site whose own certificate has ended, so that no other site speaks with it."""

from __future__ import annotations

import pytest
from test_world_requests import ALICE, ANNA, BOB, NETWORK, A, X, give, new_world

from qanat.ground.errors import ConfigurationError, NodeSilent, QanatError
from qanat.ground.identifiers import CONTROLLER
from qanat.ground.keys import KeyStatus
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.simulation.world import World


def new_cut_off_world(*, fault: QanatError | None) -> World:
    """Return a world in which a link's key lies at a site to which all lines are cut, as it finds for this fault."""
    world = new_world(block_bits=6_000)
    give(world)
    world.run(world.sleep(10.0))
    manager = world._processes[A].manager
    assert manager is not None
    manager.certificate_fault = lambda: fault
    world.cut |= {frozenset((A, other)) for other in (CONTROLLER, *NETWORK.nodes)}
    world.run(world.sleep(10.0))
    return world


def status_of(world: World) -> KeyStatus:
    return world.run(world.call(A, lambda manager: manager.get_status(master=ALICE, slave=BOB)))


REVOKED = ConfigurationError("the certificate of a was revoked", remedy="renew it")


def test_the_status_does_not_count_what_link_key_could_carry() -> None:
    world = new_cut_off_world(fault=REVOKED)
    status = status_of(world)
    assert status.stored_key_count == status.ready_key_count
    manager = world._processes[A].manager
    assert manager is not None
    manager.certificate_fault = lambda: None
    assert status_of(world).stored_key_count > status.ready_key_count
    world.close()


WAYS = [Requirements(), Requirements(policy=RoutePolicy(avoid=frozenset({X}))), Requirements(measure="widest")]


@pytest.mark.parametrize("require", WAYS)
def test_a_call_for_which_no_key_lies_ready_is_refused_at_once(require: Requirements) -> None:
    world = new_cut_off_world(fault=REVOKED)
    asked_s = world.scheduler.now_s
    with pytest.raises(NodeSilent, match="the certificate of a was revoked"):
        give(world, count=20, patience_s=30.0, require=require)
    assert world.scheduler.now_s - asked_s < 1.0
    world.close()


def test_keys_of_two_applications_of_the_site_are_given_as_before() -> None:
    world = new_cut_off_world(fault=REVOKED)
    assert len(give(world, slave=ANNA, count=3, patience_s=5.0).keys) == 3
    world.close()
