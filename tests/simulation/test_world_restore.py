"""A store that was put back from an older copy is noticed before it does harm, and its stock is void at both ends."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
import test_world_multicast as multicast
from test_world_requests import (
    ALICE,
    BOB,
    NETWORK,
    ROSE,
    A,
    B,
    R,
    count_of,
    fetch,
    give,
    line_network,
    secrets,
)

from qanat.ground.errors import KeyNotFound, KeyShortage, QanatError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.messages import Message
from qanat.ground.network import PreparedKeys
from qanat.ground.randomness import SeededChance
from qanat.ground.stock import NamedEpoch
from qanat.key_management.conversation import LATE_WORDS_S, LEARNS_WITHIN_S
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import EpochKnown
from qanat.simulation.faults import ALL_FAULTS, NO_FAULTS
from qanat.simulation.memory_disk import Disk
from qanat.simulation.world import World

LINKS = (LinkId("a-r"), LinkId("r-b"))
PREPARED = line_network().model_copy(update={"prepared_keys": (PreparedKeys(master="alice", slave="bob", count=20),)})


def stocked_world(seed: int = 1, *, prepared: bool = False) -> World:
    """A world in which keys were given, and nothing is under way."""
    world = World(PREPARED if prepared else NETWORK, chance=SeededChance(seed))
    world.start()
    give(world, patience_s=20.0)
    world.run(world.sleep(30.0))
    return world


def restored_world(node: NodeId, seed: int = 1, *, prepared: bool = False) -> tuple[World, Disk]:
    """A world in which a node was copied, stopped and started, used, and put back from the copy."""
    world = stocked_world(seed, prepared=prepared)
    copy = world.stores[node].disk.copied()
    world.crash(node, down_s=0.5)
    world.run(world.sleep(5.0))
    for _ in range(3):
        fetch(world, give(world))
    world.run(world.sleep(1.0))
    world.restore(node, copy)
    return world, copy


def harm(world: World) -> Sequence[str]:
    """Violations of "once" alone: that a restore loses what was promised is what it costs."""
    return [text for text in world.witness.violations if text.startswith(("1: ", "2: "))]


@pytest.mark.parametrize("node", [A, R, B])
def test_an_older_copy_is_noticed_and_its_stock_is_void_at_both_ends(node: NodeId) -> None:
    world, copy = restored_world(node)
    world.run(world.sleep(10.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 1
    links = NETWORK.links_of(node)
    for block_id in copy.blocks:
        for end in {end for link in links for end in link.ends}:
            block = world.stores[end].disk.blocks.get(block_id)
            if block is not None and block.link_id in {link.link_id for link in links}:
                assert block.is_unused_initial or not block.left_bits, f"{end} still holds {block_id}"
    assert not world.stores[node].disk.keys
    assert world.stores[node].disk.epoch > copy.epoch + 1
    for link_id in LINKS:
        world.renew_initial_key(link_id)
    assert fetch(world, given := give(world, patience_s=50.0)) == secrets(given), "and life goes on"
    assert harm(world) == []


def went_back(world: World) -> list[NodeId]:
    """The nodes that said of a peer that it uses an older store."""
    alarms = [event for event in world.witness.events if event.kind == EventKind.ALARM]
    return [event.node for event in alarms if event.data["code"] == "peer-epoch-went-back"]


@pytest.mark.parametrize("is_told", [True, False])
def test_who_counts_from_an_older_copy_goes_on_above_what_is_remembered_and_only_who_does_not_is_an_alarm(
    is_told: bool,
) -> None:
    world = stocked_world()
    copy = world.stores[R].disk.copied()
    for _ in range(2):  # the copy's next epoch is an older one than that which the peers know
        world.crash(R, down_s=0.5)
        world.run(world.sleep(LATE_WORDS_S + 5.0))
    world.restore(R, copy)
    if not is_told:
        world.line = lambda sender, receiver, message: None if message.kind == "epoch-known" else message
    world.run(world.sleep(LATE_WORDS_S + 3 * LEARNS_WITHIN_S))
    assert set(went_back(world)) == (set() if is_told else {A, B})
    assert harm(world) == []


@pytest.mark.parametrize("later", [A, R])
def test_new_initial_key_may_come_to_the_ends_of_a_link_in_any_order(later: NodeId) -> None:
    """The end that has it uses it at once; told that the other one does not hold it, it would destroy all of it."""
    world, _ = restored_world(A)
    world.run(world.sleep(10.0))
    world.spawn(asking(world), name="asks")
    world.renew_initial_key(LINKS[0], later=later, after_s=3.0)
    world.run(world.sleep(3.5))
    if later == R:
        told = [str(event.data) for event in world.witness.events if event.node == R]
        assert any("initial key that this end has not got yet: bring it here too" in words for words in told)
    assert fetch(world, given := give(world, patience_s=50.0)) == secrets(given)
    assert harm(world) == []


async def asking(world: World) -> None:
    wish = {"master": ALICE, "slave": BOB, "size_bits": 256, "patience_s": 3.0, "count": 1}
    with contextlib.suppress(QanatError):  # it is to have the link ordered to make key
        await world.call(A, lambda manager: manager.get_keys(**wish))


@pytest.mark.parametrize("node", [A, R, B])
@pytest.mark.parametrize("prepared", [True, False])
def test_a_copy_that_was_taken_while_the_last_epoch_ran_is_noticed(node: NodeId, prepared: bool) -> None:
    world = stocked_world(prepared=prepared)
    copy = world.stores[node].disk.copied()
    for _ in range(3):
        fetch(world, give(world))
    world.run(world.sleep(8.0))
    assert world.stores[node].disk.epoch == copy.epoch
    world.restore(node, copy)
    world.run(world.sleep(3.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 1
    for link_id in LINKS:
        world.renew_initial_key(link_id)
    assert fetch(world, given := give(world, patience_s=50.0)) == secrets(given), "and life goes on"
    assert harm(world) == []


def test_partners_that_came_while_the_epoch_ran_remember_its_marks_too() -> None:
    """Else the slave's site, which has never been greeted, would vouch for the copy before a neighbour tells."""
    world = stocked_world(prepared=True)
    fetch(world, give(world))
    world.run(world.sleep(8.0))
    disk = world.stores[A].disk
    assert world.stores[B].disk.peer_epochs[A] == NamedEpoch(disk.epoch, disk.own_epochs[disk.epoch])


@pytest.mark.parametrize(("node", "partner"), [(A, B), (B, A)])
def test_partners_of_keys_that_came_and_went_between_two_marks_remember_the_next_one(
    node: NodeId, partner: NodeId
) -> None:
    """A copy that was taken in between has these keys in stock."""
    world = World(NETWORK, chance=SeededChance(1))
    world.start()
    for _ in range(2):
        fetch(world, give(world))
        world.run(world.sleep(20.0))
    fetch(world, give(world))
    assert not world.stores[node].disk.keys
    world.run(world.sleep(8.0))
    disk = world.stores[node].disk
    assert world.stores[partner].disk.peer_epochs[node] == NamedEpoch(disk.epoch, disk.own_epochs[disk.epoch])


def marks_told(world: World, *, seconds: float) -> Counter[NodeId]:
    """Return how often A greets whom while its stock is used by what it shares with R."""
    told = Counter[NodeId]()

    def listening(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if sender == A and message.kind == "epoch-opened":
            told[receiver] += 1
        return message

    world.line = listening
    for _ in range(int(seconds)):
        give(world, ALICE, ROSE)
        world.run(world.sleep(1.0))
    return told


def test_who_shares_nothing_any_more_is_told_of_no_further_mark() -> None:
    world = stocked_world()
    fetch(world, give(world))
    assert marks_told(world, seconds=12.0)[B] == 1, "what it shared was used before this mark"
    told = marks_told(world, seconds=30.0)
    assert told[R] >= 5
    assert told[B] == 0
    fetch(world, give(world))
    assert marks_told(world, seconds=12.0)[B] == 1
    assert harm(world) == []


def test_who_does_not_answer_a_mark_is_greeted_ever_more_seldom() -> None:
    """So that greetings are no load by themselves where answers are slow."""
    world, greeted = stocked_world(), list[float]()
    fetch(world, give(world))

    def deaf(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if (sender, receiver) == (A, R) and message.kind == "epoch-opened":
            greeted.append(world.scheduler.now_s)
            return None
        return message

    world.line = deaf
    world.run(world.sleep(60.0))
    pauses = [later - earlier for earlier, later in pairwise(greeted)]
    assert len(pauses) >= 4
    in_ticks = [round(pause_s) for pause_s in pauses]  # a pause ends at the first tick after it
    assert in_ticks == sorted(in_ticks)
    assert pauses[-1] >= 10.0
    world.line = lambda _sender, _receiver, message: message
    world.run(world.sleep(20.0))
    disk = world.stores[A].disk
    assert world.stores[R].disk.peer_epochs[A] == NamedEpoch(disk.epoch, disk.own_epochs[disk.epoch])


def test_a_store_that_nobody_uses_is_not_marked_again_and_again() -> None:
    world = stocked_world()
    world.run(world.sleep(10.0))
    before = {node: dict(store.disk.own_epochs) for node, store in world.stores.items()}
    world.run(world.sleep(30.0))
    assert {node: store.disk.own_epochs for node, store in world.stores.items()} == before
    give(world)
    world.run(world.sleep(8.0))
    disk = world.stores[A].disk
    assert disk.own_epochs != before[A]
    assert world.stores[R].disk.peer_epochs[A] == NamedEpoch(disk.epoch, disk.own_epochs[disk.epoch])


def test_keys_that_were_given_are_not_given_again_by_an_older_copy() -> None:
    world, copy = restored_world(A, prepared=True)
    assert len(copy.keys) == 20, "keys lie ready in the copy that were given since"
    world.run(world.sleep(3.0))
    for link_id in LINKS:
        world.renew_initial_key(link_id)
    fetch(world, give(world, patience_s=50.0))
    assert harm(world) == []


def test_without_the_peers_memory_the_very_same_run_gives_keys_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: a node that takes every memory for its own does the harm."""

    async def believe(self: Vouching, sender: NodeId, word: EpochKnown) -> None:
        self._vouched.add(sender)

    monkeypatch.setattr(Vouching, "on_known", believe)
    monkeypatch.setattr(Vouching, "on_remembered", lambda *_: believe(*_))
    world, _ = restored_world(A, prepared=True)
    world.run(world.sleep(3.0))
    give(world, patience_s=50.0)
    assert harm(world)


def test_an_older_copy_that_reaches_nobody_gives_nothing_of_its_stock() -> None:
    world = stocked_world(prepared=True)
    copy = world.stores[A].disk.copied()
    fetch(world, give(world))

    def alone(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        return None if A in (sender, receiver) and {sender, receiver} != {A, NodeId("controller")} else message

    world.line = alone
    world.restore(A, copy)
    world.run(world.sleep(3.0))
    with pytest.raises(KeyShortage, match="the key manager of 'b' has not yet answered the greeting"):
        give(world, patience_s=5.0)
    assert harm(world) == []


def test_a_peer_that_sleeps_or_is_being_opened_is_not_told_as_one_to_be_looked_after() -> None:
    world = stocked_world(prepared=True)
    world.crash(B, down_s=60.0)
    world._opening[B] = []  # as it stands with sites after the whole network has started anew
    world.crash(A, down_s=0.5)
    world.run(world.sleep(3.0))
    world.scheduler.call_after(
        2.0, lambda: world._opening.clear()
    )  # it is open, and much is to be done before it greets
    with pytest.raises(KeyShortage, match="the key manager of 'b' is still being opened") as refused:
        give(world, patience_s=5.0)
    assert refused.value.remedy == "ask again in a moment, with the same request id where there is one"
    world.run(world.sleep(20.0))
    with pytest.raises(KeyShortage, match="the key manager of 'b' has not yet answered the greeting"):
        give(world, patience_s=5.0)


def test_a_peer_that_was_away_when_it_was_found_out_voids_its_half_later() -> None:
    world = stocked_world()
    copy = world.stores[R].disk.copied()
    world.crash(R, down_s=0.5)
    world.run(world.sleep(5.0))
    fetch(world, give(world))
    world.crash(B, down_s=40.0)
    world.restore(R, copy)
    world.run(world.sleep(20.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 1
    assert any(block.left_bits for block in world.stores[B].disk.blocks.values() if block.link_id == "r-b")
    world.run(world.sleep(40.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 1, "it is found out once"
    left = [block for block in world.stores[B].disk.blocks.values() if block.link_id == "r-b" and block.left_bits]
    assert all(block.is_unused_initial for block in left)
    assert harm(world) == []


def test_a_start_that_is_no_restore_voids_nothing() -> None:
    world = stocked_world()
    for node in (A, R, B):
        world.crash(node, down_s=0.3)
        world.run(world.sleep(4.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 0
    fetch(world, give(world))
    world.close()
    assert world.witness.violations == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_whatever_else_goes_wrong_nothing_is_used_twice(seed: int) -> None:
    """Crashes, losses and repeats around a restore; only what is used twice counts here."""
    node = (A, R, B)[seed % 3]
    world = stocked_world(seed, prepared=seed % 2 == 0)
    copy = world.stores[node].disk.copied()
    world.crash(node, down_s=0.5)
    world.faults = ALL_FAULTS
    world.run(world.sleep(8.0))
    memories = [store.disk.peer_epochs.get(node) for store in world.stores.values()]
    own = NamedEpoch(copy.epoch, copy.own_epochs[copy.epoch])
    is_older = any(
        memory is not None and memory.number >= copy.epoch and not own.has_lived_through(memory) for memory in memories
    )
    world.restore(node, copy)
    for _ in range(12):
        world.run(world.sleep(1.5))
        try:
            give(world, ALICE, BOB, count=1, patience_s=1.0)
        except QanatError:
            continue
    world.faults = NO_FAULTS
    world.run(world.sleep(10.0))
    assert was_found_out(world) == is_older
    assert harm(world) == []


def was_found_out(world: World) -> bool:
    """Whether either end says that a store was put back: the one whose disk fails or who dies over it may not."""
    voided = (str(event.data["why"]) for event in world.witness.events if event.kind is EventKind.KEYS_VOIDED)
    return count_of(world, EventKind.STORE_RESTORED) > 0 or any("put back from an older copy" in why for why in voided)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(9))
def test_whatever_else_goes_wrong_a_copy_of_the_last_epoch_does_no_harm_once_its_peers_remember_more(seed: int) -> None:
    """Losses, repeats and late words around a snapshot that is put back; nobody dies, so that no epoch begins."""
    node = (A, R, B)[seed % 3]
    world = stocked_world(seed, prepared=seed % 2 == 0)
    copy = world.stores[node].disk.copied()
    own = NamedEpoch(copy.epoch, copy.own_epochs[copy.epoch])
    world.faults = replace(ALL_FAULTS, p_crash_per_effect=0.0, p_crash_at_seldom=0.0)
    for _ in range(3):
        with contextlib.suppress(QanatError):
            fetch(world, give(world, patience_s=3.0))
    world.run(world.sleep(12.0))
    memories = [store.disk.peer_epochs[node] for store in world.stores.values() if node in store.disk.peer_epochs]
    assert memories
    assert not any(own.has_lived_through(memory) for memory in memories)
    world.restore(node, copy)
    for _ in range(12):
        world.run(world.sleep(1.5))
        with contextlib.suppress(QanatError):
            give(world, ALICE, BOB, count=1, patience_s=1.0)
    assert count_of(world, EventKind.STORE_RESTORED) > 0
    assert harm(world) == []


# ---- keys for several slaves ----


@pytest.mark.parametrize("knows_the_keys", [True, False])
def test_keys_of_a_group_are_void_at_all_its_sites_when_one_of_them_is_put_back(knows_the_keys: bool) -> None:
    """Whether the copy was taken after they came or before: then the other sites have never heard of its epochs."""
    world = multicast.new_world()
    copy = world.stores[multicast.B].disk.copied()
    if knows_the_keys:
        group = multicast.give(world, multicast.BOB, multicast.CAROL)
        copy = world.stores[multicast.B].disk.copied()
    world.crash(multicast.B, down_s=0.5)
    world.run(world.sleep(5.0))
    if not knows_the_keys:
        group = multicast.give(world, multicast.BOB, multicast.CAROL)
    others = multicast.give(world, multicast.CAROL)
    world.restore(multicast.B, copy)
    world.run(world.sleep(10.0))
    assert count_of(world, EventKind.STORE_RESTORED) == 1
    with pytest.raises(KeyNotFound):
        multicast.fetch(world, multicast.ids_of(group), multicast.CAROL)
    assert multicast.secrets(multicast.fetch(world, multicast.ids_of(others), multicast.CAROL)) == secrets(others)
    assert harm(world) == []
