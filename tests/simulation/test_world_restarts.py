"""Key managers that die again and again while key is made: what is lost by that, and for how long."""

from __future__ import annotations

import contextlib

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.orders import KeyBlockReady
from qanat.simulation.modules import SimulatedLink, SimulatedModule
from qanat.simulation.world import World
from simulation.test_world_intake import block_ids
from simulation.test_world_requests import A, R, close, count_of, fetch, give, new_world, secrets


def wait_for(world: World, kind: EventKind, *, node: NodeId, count: int) -> None:
    """Run until a node has recorded so many events of a kind."""
    events = world.witness.events
    world.scheduler.run_until(
        world.scheduler.now_s + 60.0,
        until=lambda: sum(event.kind is kind and event.node == node for event in events) >= count,
    )


def outlive(world: World, *, survives: bool) -> World:
    """Say whether modules outlive the death of their key manager."""
    for link in world.links:
        link._survives = survives
    return world


def first_link(world: World) -> SimulatedLink:
    (link,) = (one for one in world.links if one.link.ends == (A, R))
    return link


def offer_late(world: World, module: SimulatedModule, *, after_s: float) -> None:
    """Have a module that outlives its key manager offer its blocks again a while after that one has died."""
    offer_again = module.restart

    def restart(*, forget: bool) -> None:
        blocks = dict(module.blocks)
        module.blocks.clear()
        module.life += 1  # what it was about to say is said later
        offer_again(forget=forget)
        module.blocks.update(blocks)
        for block in blocks.values():
            ready = KeyBlockReady(block.block_id, block.order_id, block.num_bits)
            world.scheduler.call_after(after_s, lambda ready=ready: module.tell(ready))

    module.restart = restart  # type: ignore[method-assign]


def test_a_block_that_waited_for_an_end_that_died_is_kept_at_both() -> None:
    """The module outlives its key manager and offers the block again; the peer, who has it, asks for it before that."""
    num_shown = 0
    for seed in range(8):
        world = outlive(new_world(seed=seed), survives=True)
        offer_late(world, first_link(world).modules[R], after_s=3.0)
        with pytest.raises(KeyShortage):
            give(world, patience_s=0.1)
        wait_for(world, EventKind.BLOCK_DISTILLED, node=A, count=1)
        if block_ids(world, R):
            continue  # it was durable at both ends already
        world.crash(R, down_s=0.2)
        world.run(world.sleep(14.0))
        assert set(block_ids(world, R)) == set(block_ids(world, A)) != set(), seed
        assert count_of(world, EventKind.BLOCK_DROPPED) == 0
        close(world)
        num_shown += 1
    assert num_shown >= 3


def test_a_block_that_an_end_never_gets_is_dropped_at_the_other_in_the_end() -> None:
    num_shown = 0
    for seed in range(8):
        world = outlive(new_world(seed=seed), survives=False)
        with pytest.raises(KeyShortage):
            give(world, patience_s=0.1)
        wait_for(world, EventKind.BLOCK_DISTILLED, node=A, count=1)
        if block_ids(world, R):
            continue  # it was there already
        world.crash(R, down_s=0.2)
        world.run(world.sleep(10.0))
        assert count_of(world, EventKind.BLOCK_DROPPED) >= 1
        assert set(block_ids(world, R)) == set(block_ids(world, A))
        close(world)
        num_shown += 1
    assert num_shown >= 2


def test_an_end_that_dies_during_many_orders_fails_no_demand_for_long() -> None:
    world = outlive(new_world(), survives=False)
    link = first_link(world)

    def is_making_key() -> bool:
        return any(len(run.pads) == 2 and not run.has_ended for run in link._runs.values())

    for _ in range(6):
        with contextlib.suppress(KeyShortage):
            give(world, patience_s=0.05)
        world.scheduler.run_until(world.scheduler.now_s + 70.0, until=is_making_key)
        assert is_making_key()
        world.crash(R, down_s=0.2)
    given = give(world, patience_s=15.0)
    assert fetch(world, given) == secrets(given)
    close(world)
