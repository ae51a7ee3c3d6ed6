"""Time to live, quotas and priorities, in a network on a virtual clock."""

from __future__ import annotations

from typing import Any

import pytest
from test_world_requests import (
    ALICE,
    ANNA,
    BOB,
    NETWORK,
    A,
    B,
    R,
    close,
    count_of,
    fetch,
    give,
)

from qanat.ground.errors import KeyShortage
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, RequestId, SaeId
from qanat.ground.network import Network, PreparedKeys, Stock, StockOfPair
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys, KeyManager
from qanat.simulation.world import World


def world_of(**changed: Any) -> World:
    """A world of the line network with some of its fields changed."""
    # not ``model_copy``: that would copy what the other network has cached too
    network = Network(**{name: getattr(NETWORK, name) for name in Network.model_fields} | changed)
    world = World(network, chance=SeededChance(3))
    world.start()
    return world


def test_old_stock_goes_at_both_ends_and_is_made_anew() -> None:
    stock = Stock(link_key_time_to_live_s=40.0, key_time_to_live_s=20.0)
    prepared = PreparedKeys(master="alice", slave="bob", count=10)
    world = world_of(stock=stock, prepared_keys=(prepared,))
    world.run(world.sleep(15.0))
    before = set(world.stores[A].disk.keys)
    assert len(before) == 10
    old_blocks = set(world.stores[R].disk.blocks)
    world.run(world.sleep(150.0), within_s=160.0)
    assert not before & set(world.stores[A].disk.keys)
    assert not before & set(world.stores[B].disk.keys), "at the slave's end, a while later"
    world.scheduler.run_until(world.scheduler.now_s + 60.0, until=lambda: len(world.stores[A].disk.keys) == 10)
    assert len(world.stores[A].disk.keys) == 10, "idle time has made others"
    for node in (A, R, B):
        for block_id, block in world.stores[node].disk.blocks.items():
            left = [pool for pool, share in block.shares.items() if share.left_bits and not pool.is_reserve]
            assert not left or block_id not in old_blocks, f"{node} keeps old key of {block_id}"
    events = [event for event in world.witness.events if event.kind is EventKind.STOCK_EXPIRED]
    assert {event.node for event in events} == {A, R, B}
    assert any(event.data["num_keys"] for event in events if event.node == A)
    fetch(world, give(world))
    assert [text for text in world.witness.violations if not text.startswith("4: ")] == []


def test_keys_that_nobody_fetches_are_not_piled_up() -> None:
    rules = Stock(pairs=(StockOfPair(master="alice", slave="bob", max_keys=5),))
    world = world_of(stock=rules)
    first, second = give(world, count=2), give(world, count=2)
    failed = count_of(world, EventKind.RELAY_FAILED)
    for _ in range(3):
        with pytest.raises(KeyShortage, match=r"4 keys of .*alice' with .*bob' wait at 'b' already, and 5 may"):
            give(world, count=2)
    assert count_of(world, EventKind.RELAY_FAILED) == failed + 2, "said at both ends, once: asking again burns no pads"
    give(world, ANNA, BOB, count=2)
    fetch(world, first), fetch(world, second)
    world.run(world.sleep(6.0))
    fetch(world, give(world, count=2))
    close(world)


@pytest.mark.parametrize("dying", [(A,), (B,), (A, B)])
def test_quotas_are_found_again_after_restarts_from_what_the_stores_hold(dying: tuple[NodeId, ...]) -> None:
    """That the far end is full is not kept over a restart of this one: it is learned anew by one relay, not by each."""
    far = StockOfPair(master="alice", slave="bob", max_keys=5)
    here = StockOfPair(master="alice", slave="anna", max_keys=3)
    world = world_of(stock=Stock(pairs=(far, here)))
    waiting = [give(world, count=2), give(world, count=2)]
    near = give(world, ALICE, ANNA, count=2)
    for _ in range(2):
        for node in dying:
            world.crash(node, down_s=0.5)
        world.run(world.sleep(10.0))
        failed = count_of(world, EventKind.RELAY_FAILED)
        for _ in range(3):
            with pytest.raises(KeyShortage, match=r"4 keys of .*alice' with .*bob' wait at 'b' already, and 5 may"):
                give(world, count=2)
            with pytest.raises(KeyShortage, match=r"2 keys of .*alice' with .*anna' wait at 'a' already, and 3 may"):
                give(world, ALICE, ANNA, count=2)
        assert count_of(world, EventKind.RELAY_FAILED) <= failed + 2, "said at both ends, once"
    for given in waiting:
        fetch(world, given)
    fetch(world, near, caller=ANNA)
    world.run(world.sleep(30.0))
    fetch(world, give(world, count=2))
    close(world)


@pytest.mark.parametrize("slave", [ANNA, BOB])
def test_a_quota_that_is_reached_is_told_with_one_remedy(slave: SaeId) -> None:
    """The same one, whether this node has found it out (of two applications here) or the one at the far end."""
    world = world_of(stock=Stock(max_keys_per_pair=3))
    give(world, ALICE, slave, count=2)
    for _ in range(2):
        with pytest.raises(KeyShortage) as caught:
            give(world, ALICE, slave, count=2)
        assert caught.value.remedy == "have the applications that these keys wait for fetch them"
        assert str(caught.value).count("fetch") == 1
        assert str(caught.value).count("(") == 1


def test_one_application_has_a_quota_over_all_its_partners() -> None:
    world = world_of(stock=Stock(max_keys_per_application=3))
    give(world, count=2)
    with pytest.raises(KeyShortage, match=r"2 keys of .*bob' wait at 'b' already, and 3 may"):
        give(world, ANNA, BOB, count=2)
    close(world)


def asked_in_turn(world: World, *asked: tuple[SaeId, int | None]) -> list[SaeId]:
    """Have several masters ask for three times a dozen keys with bob, one after the other; return in which order they
    were given them."""
    order: list[SaeId] = []

    async def ask(master: SaeId, after_s: float, number: int, priority: int | None) -> None:
        await world.sleep(after_s)
        name = RequestId(f"{master} {number}")

        async def call(manager: KeyManager) -> GivenKeys:
            return await manager.get_keys(
                master=master,
                slave=BOB,
                count=12,
                size_bits=512,
                request_id=name,
                patience_s=90.0,
                priority=priority,
            )

        await world.call(A, call)
        order.append(master)

    for number in range(3):
        for place, (master, priority) in enumerate(asked):
            world.spawn(ask(master, 0.01 + 0.04 * place, number, priority), name=f"{master} {number}")
    world.run(world.sleep(100.0), within_s=120.0)
    return order


def with_priorities(**priorities: int) -> World:
    return world_of(
        applications=tuple(
            app.model_copy(update={"priority": priorities.get(app.name, 0)}) for app in NETWORK.applications
        )
    )


def test_in_a_shortage_the_higher_priority_is_served_first() -> None:
    """Anna asks first and alice after her; key comes slowly, and alice has all she asked for before anna has any."""
    world = with_priorities(alice=5)
    assert asked_in_turn(world, (ANNA, None), (ALICE, None)) == [ALICE] * 3 + [ANNA] * 3
    close(world)


def test_a_call_may_ask_for_less_than_the_priority_of_its_application() -> None:
    world = with_priorities(alice=5, anna=3)
    assert asked_in_turn(world, (ALICE, 0), (ANNA, None)) == [ANNA] * 3 + [ALICE] * 3
    close(world)


def test_a_call_cannot_ask_for_more_than_the_priority_of_its_application() -> None:
    world = with_priorities(alice=5)
    assert asked_in_turn(world, (ANNA, 9), (ALICE, None)) == [ALICE] * 3 + [ANNA] * 3
    close(world)
