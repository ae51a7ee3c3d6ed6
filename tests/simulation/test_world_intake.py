"""Blocks from modules into pools, and the sessions that make them: what peers say late, twice or wrongly."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qanat.control.settings import ControllerSettings
from qanat.ground.errors import KeyShortage, QuantumLayerError, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import BlockId, NodeId, OrderId
from qanat.ground.keys import BitRange, BlockSlice, KeyBlock, PoolId, Selection
from qanat.ground.messages import Message
from qanat.ground.orders import KeyBlockReady
from qanat.key_management.accounts import session_bits
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.wire import BlocksMissing, SessionPads
from qanat.simulation.world import World, at_once
from simulation.test_world_requests import (
    NETWORK,
    A,
    B,
    R,
    close,
    count_of,
    fetch,
    give,
    new_world,
    say,
    secrets,
    stocked_world,
    swallow,
    whys,
)

FIRST_LINK = NETWORK.links[0].link_id


def block_ids(world: World, node: NodeId) -> list[BlockId]:
    """The distilled blocks of the first link that a node's store holds."""
    disk = world.stores[node].disk
    return [
        block_id
        for block_id, block in disk.blocks.items()
        if PoolId(FIRST_LINK, A) in block.shares and not block.voided
    ]


def test_both_ends_hold_the_same_blocks_in_the_same_order() -> None:
    world = new_world(block_bits=6_000)
    for _ in range(6):
        give(world, count=5)
    assert block_ids(world, A) == block_ids(world, R)
    assert len(block_ids(world, A)) > 2
    assert count_of(world, EventKind.BLOCK_STORED) == count_of(world, EventKind.BLOCK_DISTILLED)
    close(world)


@pytest.mark.parametrize("kind", ["block-stored", "session-pads", "session-ready", "generation-command", "order-state"])
def test_a_lost_word_is_said_again(kind: str) -> None:
    world = new_world()
    world.line = swallow(kind, first=3)
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_a_block_that_one_end_has_lost_is_voided_at_the_other_and_the_relay_tried_again() -> None:
    world = new_world(block_bits=6_000)
    give(world, count=1)
    (lost,) = block_ids(world, R)
    at_once(world.stores[R].void(Selection(block_ids=frozenset({lost}))))
    given = give(world, count=5)
    assert fetch(world, given) == secrets(given)
    assert lost not in block_ids(world, A)
    assert "r does not hold it" in whys(world, EventKind.BLOCK_DROPPED)
    world.close()
    assert all(lost in violation for violation in world.witness.violations), "only the loss made here may be seen"


def test_a_neighbour_says_nothing_about_another_link_s_blocks() -> None:
    """R shares the first link's blocks with a; that b does not hold them is neither news nor b's to say."""
    world = stocked_world(block_bits=6_000)
    (block_id,) = block_ids(world, R)
    say(world, B, R, BlocksMissing((block_id,)))
    assert block_ids(world, R) == [block_id]
    say(world, A, R, BlocksMissing((block_id,)))
    assert block_ids(world, R) == []
    world.close()  # the witness objects to what was said in the name of a


def test_a_block_that_is_offered_twice_is_taken_once() -> None:
    world = new_world()
    module = world.links[0].modules[A]
    tell = module.tell

    def tell_twice(event: object) -> None:
        for _ in range(2 if isinstance(event, KeyBlockReady) else 1):
            tell(event)  # type: ignore[arg-type]

    module.tell = tell_twice  # type: ignore[method-assign]
    give(world)
    distilled = [event.node for event in world.witness.events if event.kind is EventKind.BLOCK_DISTILLED]
    assert distilled.count(A) == distilled.count(B) == 1
    close(world)


def fail_fetch(world: World, *, first: int) -> None:
    """Have the module at a of the first link fail at its first fetches."""
    module, left = world.links[0].modules[A], [first]
    fetch_block = module.fetch

    async def fetch(block_id: BlockId, /) -> KeyBlock:
        left[0] -= 1
        if left[0] >= 0:
            raise QuantumLayerError("the device does not answer", remedy="look at the device")
        return await fetch_block(block_id)

    module.fetch = fetch  # type: ignore[method-assign]


def test_a_device_that_fails_at_a_fetch_is_asked_again() -> None:
    world = new_world()
    fail_fetch(world, first=3)
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert count_of(world, EventKind.BLOCK_DROPPED) == 0
    close(world)


def test_a_block_that_a_device_never_hands_out_is_destroyed_at_both_ends() -> None:
    world = new_world(settings=KeyManagerSettings(store_tries=3))
    fail_fetch(world, first=3)
    given = give(world, patience_s=40.0)
    assert fetch(world, given) == secrets(given)
    assert "the module does not hand it out: the device does not answer" in whys(world, EventKind.BLOCK_DROPPED)
    assert "a does not hold it" in whys(world, EventKind.BLOCK_DROPPED)
    assert block_ids(world, A) == block_ids(world, R)
    close(world)


def test_a_module_gets_its_block_back_when_the_stock_cannot_be_reported() -> None:
    world = new_world()
    world.run(world.sleep(1.0))
    store = world.run(world.call(A, _store))
    levels, left = store.levels, [0]

    async def failing() -> object:
        if world.links[0].modules[A].blocks and not left[0]:
            left[0] = 1
            raise StoreFailed("no")
        return await levels()

    store.levels = failing
    give(world)
    world.run(world.sleep(5.0))
    assert not world.links[0].modules[A].blocks
    close(world)


def test_a_device_that_does_not_release_is_an_alarm_and_holds_nothing_up() -> None:
    world = new_world()
    module = world.links[0].modules[A]

    async def release(block_id: BlockId, /, *, kept: bool) -> None:
        raise QuantumLayerError("the device does not answer")

    module.release = release  # type: ignore[method-assign]
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert "did not release block" in whys(world, EventKind.ALARM)
    close(world)


async def _store(manager: KeyManager) -> Any:
    return manager._context.store


def test_a_late_word_about_other_pads_starts_no_module() -> None:
    """A "ready" that answers an earlier life of the transmitter's end names other pads: it starts nothing."""

    def other_pads(sender: NodeId, receiver: NodeId, message: Message) -> Message:
        if message.kind in ("session-ready", "session-refused"):
            (block, start, stop), *_ = message.fields["pad_range"]  # type: ignore[misc, union-attr]
            return replace(message, fields={**message.fields, "pad_range": [[block, start + 1024, stop + 1024]]})  # type: ignore[operator]
        return message

    world = new_world()
    world.line = other_pads
    world.spawn(_ask(world), name="asker")
    world.run(world.sleep(5.0))
    assert count_of(world, EventKind.BLOCK_DISTILLED) == 0
    world.line = lambda sender, receiver, message: message
    world.run(world.sleep(15.0))
    assert count_of(world, EventKind.KEY_GIVEN) == 1
    close(world)


@pytest.mark.parametrize(
    ("receiver", "num_blocks", "num_bits", "why"),
    [
        (R, 1, 8, "8 bits of pads are not those of 1 blocks"),
        (R, 0, 8, "8 bits of pads are not those of 0 blocks"),
        (R, 2, session_bits(num_blocks=1), "are not those of 2 blocks"),
        (A, 1, session_bits(num_blocks=1), "the pads of this link are its other end's to choose"),
    ],
)
def test_pads_that_fit_no_order_are_refused_and_spend_nothing(
    receiver: NodeId, num_blocks: int, num_bits: int, why: str
) -> None:
    world, said = stocked_world(), []
    world.run(world.sleep(5.0))  # what was being made comes to rest
    reserve = next(iter(world.stores[receiver].disk.blocks))
    pads = BitRange((BlockSlice(reserve, 0, num_bits),))
    before = at_once(world.stores[receiver].levels())

    def listen(sender: NodeId, to: NodeId, message: Message) -> Message:
        said.append(message.fields.get("why"))
        return message

    world.line = listen
    sender = A if receiver == R else R
    say(world, sender, receiver, SessionPads(OrderId("odd"), FIRST_LINK, num_blocks, pads))
    assert any(why in str(text) for text in said)
    assert at_once(world.stores[receiver].levels()) == before
    close(world)


def test_pads_without_a_bit_are_no_word() -> None:
    world = stocked_world()
    say(world, A, R, SessionPads(OrderId("odd"), FIRST_LINK, 1, BitRange(())))
    assert "malformed" in whys(world, EventKind.ALARM)
    world.close()


async def _ask(world: World) -> None:
    master, slave = NETWORK.sae("alice"), NETWORK.sae("bob")
    await world.call(A, lambda manager: manager.get_keys(master=master, slave=slave, patience_s=50.0))


def test_what_was_unconfirmed_at_a_crash_is_voided_and_said_to_be() -> None:
    world = stocked_world(block_bits=6_000)
    world.line = swallow("block-stored")
    world.spawn(_ask_much(world), name="asker")
    world.run(world.sleep(3.0))
    world.crash(R)
    world.run(world.sleep(6.0))
    assert "unconfirmed when the node ended" in whys(world, EventKind.KEYS_VOIDED)
    world.line = lambda sender, receiver, message: message
    given = give(world, count=5)
    assert fetch(world, given) == secrets(given)
    close(world)


@pytest.mark.parametrize("seed", range(8))
def test_an_order_that_its_other_end_has_done_with_does_not_hold_the_link(seed: int) -> None:
    """The receiver's end died during an order, and hears of it again in its next life: no pads will come for it.

    Whether the module outlived the crash depends on the seed.
    """
    world = new_world(seed=seed, block_bits=6_000, controller_settings=ControllerSettings())
    world.line = swallow_from(R, "order-state")
    world.spawn(_ask_much(world), name="asker")
    world.run(world.sleep(0.3))
    world.crash(R, down_s=0.1)
    world.run(world.sleep(0.05))
    world.line = lambda sender, receiver, message: message
    world.run(world.sleep(30.0))
    for _ in range(4):
        given = give(world, count=5)
        assert fetch(world, given) == secrets(given)
    close(world)


def swallow_from(node: NodeId, kind: str) -> Callable[[NodeId, NodeId, Message], Message | None]:
    return lambda sender, receiver, message: None if (sender, message.kind) == (node, kind) else message


async def _ask_much(world: World) -> None:
    """Empty the pools, so that the links are set to work."""
    master, slave = NETWORK.sae("alice"), NETWORK.sae("bob")
    for _ in range(4):
        with contextlib.suppress(KeyShortage):  # the relay dies meanwhile
            await world.call(
                A, lambda manager: manager.get_keys(master=master, slave=slave, count=5, size_bits=512, patience_s=60.0)
            )
