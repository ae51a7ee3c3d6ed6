"""What a key manager answers, seen in a network on a virtual clock: the steps, the books, and every bad input."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qanat.control.settings import ControllerSettings
from qanat.ground.errors import BadParameter, KeyNotFound, KeyShortage, LinkFailed, NoRoute, NotEntitled, UnknownNode
from qanat.ground.events import EventKind, chain
from qanat.ground.identifiers import (
    CONTROLLER,
    BlockId,
    Epoch,
    EventId,
    KeyID,
    LinkId,
    MessageId,
    NodeId,
    RequestId,
    SaeId,
    SaePair,
)
from qanat.ground.keys import BitRange, BlockSlice, PoolId, Use
from qanat.ground.messages import Message
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.key_management.accounts import BATCH_BITS
from qanat.key_management.asks import MAX_PARKED_PER_PAIR
from qanat.key_management.codec import encode_word
from qanat.key_management.conversation import LEARNS_WITHIN_S
from qanat.key_management.demands import MAX_OPEN_PER_PAIR
from qanat.key_management.manager import GivenKeys
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.wire import Relay, RelayVoid, Word
from qanat.simulation.faults import Faults
from qanat.simulation.world import HASTY, CallLost, World

A, R, B, X = (NodeId(name) for name in ("a", "r", "b", "x"))


def line_network() -> Network:
    """a - r - b, and x behind the user b, whom no key may pass."""
    kinds = {"a": "user", "r": "relay", "b": "user", "x": "user"}
    sites = tuple(
        Site(name=name, kind="relay" if kind == "relay" else "user", latitude_deg=0, longitude_deg=place)
        for place, (name, kind) in enumerate(kinds.items())
    )
    links = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=200)
        for one, other in ("ar", "rb", "bx")
    )
    applications = tuple(
        Application(name=name, site=site)
        for name, site in {"alice": "a", "anna": "a", "rose": "r", "bob": "b", "xaver": "x"}.items()
    )
    return Network(format="qanat-network/1", name="line", sites=sites, links=links, applications=applications)


NETWORK = line_network()
ALICE, ANNA, ROSE, BOB, XAVER = NETWORK.saes


def new_world(**options: Any) -> World:
    world = World(NETWORK, chance=SeededChance(options.pop("seed", 1)), **options)
    world.start()
    return world


def give(
    world: World, master: SaeId = ALICE, slave: SaeId = BOB, *, count: int = 2, size_bits: int | None = 256, **more: Any
) -> GivenKeys:
    node = more.pop("node", NETWORK.site_of(master).node)
    patience_s = more.pop("patience_s", 20.0)
    return world.run(
        world.call(
            node,
            lambda manager: manager.get_keys(
                master=master, slave=slave, count=count, size_bits=size_bits, patience_s=patience_s, **more
            ),
        )
    )


def fetch(world: World, given: GivenKeys, *, caller: SaeId = BOB, node: NodeId | None = None) -> list[bytes]:
    ids, master = [key.key_id for key in given.keys], given.keys[0].pair.master
    at = node or NETWORK.site_of(caller).node
    keys = world.run(world.call(at, lambda manager: manager.get_keys_by_id(caller=caller, master=master, key_ids=ids)))
    return [key.secret.reveal() for key in keys]


def secrets(given: GivenKeys) -> list[bytes]:
    return [key.secret.reveal() for key in given.keys]


def steps(world: World, last: EventId) -> list[int]:
    return [event.step for event in chain(world.witness.events, last) if event.step is not None]


def count_of(world: World, kind: EventKind) -> int:
    return sum(event.kind is kind for event in world.witness.events)


def whys(world: World, kind: EventKind) -> str:
    return " | ".join(
        str(event.data.get("why") or event.data.get("text") or event.data.get("fault"))
        for event in world.witness.events
        if event.kind is kind
    )


def close(world: World) -> None:
    world.close()
    assert world.witness.violations == []


# ---- what is given ----


def test_the_first_request_makes_key_and_the_second_finds_it() -> None:
    world = new_world()
    begin = world.recorder(A).record(EventKind.REQUEST, request_id=RequestId("one"))
    first = give(world, request_id=RequestId("one"), cause=begin.id)
    assert steps(world, first.event_id) == [1, 2, 3, 5, 6, 7, 8, 4]
    again = world.recorder(A).record(EventKind.REQUEST, request_id=RequestId("two"))
    second = give(world, request_id=RequestId("two"), cause=again.id)
    assert steps(world, second.event_id) == [1, 2, 3, 4]
    for given in (first, second):
        assert fetch(world, given) == secrets(given)
        assert given.classical_route == ("a", "r", "b")
    assert {event.request_id for event in chain(world.witness.events, first.event_id)} == {"one"}
    close(world)


def test_the_books_agree_to_the_bit() -> None:
    world = new_world()
    given = give(world, count=3, size_bits=512)
    due_bits = 2 * (3 * 512 + BATCH_BITS)
    assert sum(key.qkd_bits_spent for key in given.keys) == due_bits
    (relayed,) = [event.data for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]
    assert relayed["qkd_bits"] == due_bits
    assert (relayed["key_bits"], relayed["hops"], relayed["authentication_bits"]) == (3 * 512, 2, 2 * BATCH_BITS)
    for pool in (PoolId(NETWORK.link_between(A, R).link_id, A), PoolId(NETWORK.link_between(R, B).link_id, R)):
        for node in NETWORK.link(pool.link_id).ends:
            level = world.run(_levels(world, node))[pool]
            assert level.spent_bits == {Use.RELAY: due_bits // 2}
    close(world)


async def _levels(world: World, node: NodeId) -> Any:
    return await world.call(node, lambda manager: manager._context.store.levels())


@pytest.mark.parametrize(("master", "slave"), [(ALICE, ROSE), (ROSE, BOB), (BOB, ALICE), (ALICE, ANNA)])
def test_neighbours_and_house_mates_get_keys_too(master: SaeId, slave: SaeId) -> None:
    world = new_world()
    given = give(world, master, slave)
    assert fetch(world, given, caller=slave) == secrets(given)
    hops = len(given.keys[0].route) - 1
    assert sum(key.qkd_bits_spent for key in given.keys) == hops * (2 * 256 + BATCH_BITS)
    close(world)


def test_a_shortage_is_said_in_time_and_a_retry_goes_on_with_the_same_steps() -> None:
    world = new_world()
    for link in world.links:
        link.block_time_s = 5.0
    begin = world.recorder(A).record(EventKind.REQUEST, request_id=RequestId("one"))
    with pytest.raises(KeyShortage) as told:
        give(world, request_id=RequestId("one"), cause=begin.id, patience_s=2.0)
    assert told.value.retry_after_s > 0
    assert told.value.remedy
    world.run(world.sleep(10.0))
    assert count_of(world, EventKind.KEY_STORED) == 1, "the making went on while nobody waited"
    given = give(world, request_id=RequestId("one"), cause=begin.id, patience_s=2.0)
    assert steps(world, given.event_id) == [1, 2, 3, 5, 6, 7, 8, 4]
    assert count_of(world, EventKind.KEY_ASKED) == 1
    close(world)


def test_a_request_without_a_name_goes_on_too() -> None:
    world = new_world()
    with pytest.raises(KeyShortage):
        give(world, patience_s=0.1)
    given = give(world)
    assert steps(world, given.event_id) == [2, 3, 5, 6, 7, 8, 4]
    close(world)


def test_many_at_once_are_all_served() -> None:
    world = new_world()
    given: list[GivenKeys] = []

    async def one(place: int) -> None:
        given.append(
            await world.call(
                A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=1 + place, patience_s=60.0)
            )
        )

    for place in range(8):
        world.spawn(one(place), name=f"asker {place}")
    world.run(world.sleep(40.0))
    assert sorted(len(answer.keys) for answer in given) == list(range(1, 9))
    assert len({key.key_id for answer in given for key in answer.keys}) == 36
    close(world)


def test_one_pair_cannot_open_demands_without_end() -> None:
    """While no key comes, the 17th request of a pair is refused at once; another pair's is taken up."""
    world = new_world()
    for link in world.links:
        link.block_time_s = 1000.0
    world.run(world.sleep(1.0))
    for place in range(MAX_OPEN_PER_PAIR):
        with pytest.raises(KeyShortage, match="more is being made"):
            give(world, request_id=RequestId(f"ask {place}"), patience_s=0.01)
    for place in range(100):
        with pytest.raises(KeyShortage, match="in 16 requests already") as told:
            give(world, request_id=RequestId(f"too much {place}"), patience_s=20.0)
        assert told.value.remedy
    assert count_of(world, EventKind.GENERATION_ASKED) == MAX_OPEN_PER_PAIR
    with pytest.raises(KeyShortage, match="more is being made"):
        give(world, ANNA, BOB, patience_s=0.01)
    parked = world.run(world.call(A, _parked))
    assert len(parked.of(SaePair(ALICE, BOB))) == MAX_PARKED_PER_PAIR
    close(world)


async def _parked(manager: Any) -> Any:
    return manager._supplying._parked


def test_the_status_counts_what_the_first_link_can_carry() -> None:
    world = new_world()
    ask = lambda: world.run(world.call(A, lambda manager: manager.get_status(master=ALICE, slave=BOB)))  # noqa: E731
    world.run(world.sleep(1.0))
    assert ask().stored_key_count == 0
    give(world, count=1)
    status = ask()
    (level,) = [
        level for pool, level in world.run(_levels(world, A)).items() if pool == PoolId(NETWORK.links[0].link_id, A)
    ]
    assert status.stored_key_count == (level.available_bits - BATCH_BITS) // 256 > 0
    assert (status.source_kme, status.target_kme) == (NETWORK.kme(A), NETWORK.kme(B))
    close(world)


def test_the_status_counts_no_more_than_a_later_hop_has_said_to_hold() -> None:
    world = new_world(settings=replace(HASTY, failed_retry_s=KeyManagerSettings().failed_retry_s))
    give(world, count=1)
    (further,) = (link for link in world.links if link.link.name == "r-b")
    further._p_session_fails = lambda: 1.0
    given = 0
    with contextlib.suppress(KeyShortage):
        while given < 400:
            given += len(give(world, count=4, patience_s=2.0).keys)
    world.run(world.sleep(10.0))  # the first hop is filled up in idle time meanwhile
    status = world.run(world.call(A, lambda manager: manager.get_status(master=ALICE, slave=BOB)))
    assert (given < 400, status.stored_key_count < 4) == (True, True)
    close(world)


# ---- whose fault it is ----


@pytest.mark.parametrize(
    ("wish", "error"),
    [
        ({"slave": SaeId("urn:qanat:line:sae:bobb")}, UnknownNode),
        ({"slave": XAVER}, NoRoute),
        ({"slave": ALICE}, BadParameter),
        ({"master": BOB, "node": A}, NotEntitled),
        ({"count": 0}, BadParameter),
        ({"count": 129}, BadParameter),
        ({"size_bits": 100}, BadParameter),
        ({"size_bits": 65_544}, BadParameter),
        ({"count": 9, "size_bits": 65_536}, BadParameter),
        ({"size_bits": 0}, BadParameter),
    ],
)
def test_what_cannot_be_is_refused_with_a_remedy(wish: dict[str, Any], error: type[Exception]) -> None:
    world = new_world()
    world.run(world.sleep(1.0))
    with pytest.raises(error) as told:
        give(world, **wish)
    assert told.value.remedy  # type: ignore[attr-defined]
    assert count_of(world, EventKind.KEYS_REFUSED) == 1
    assert count_of(world, EventKind.GENERATION_ASKED) == 0
    close(world)


def test_a_key_is_handed_out_once_and_to_the_right_one() -> None:
    world = new_world()
    given = give(world, ALICE, ANNA)
    with pytest.raises(NotEntitled):
        fetch(world, given, caller=BOB, node=A)
    with pytest.raises(KeyNotFound):
        fetch(world, given, caller=BOB)
    with pytest.raises(KeyNotFound):
        fetch(world, given, caller=ALICE)
    assert fetch(world, given, caller=ANNA) == secrets(given)
    with pytest.raises(KeyNotFound):
        fetch(world, given, caller=ANNA)
    close(world)


@pytest.mark.parametrize("num_ids", [0, 129])
def test_ids_are_asked_for_in_reason(num_ids: int) -> None:
    world = new_world()
    ids = [KeyID(str(place)) for place in range(num_ids)]
    with pytest.raises(BadParameter):
        world.run(world.call(B, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)))
    close(world)


# ---- things that go wrong on the way ----


def swallow(kind: str, *, first: int = 10**9) -> Callable[[NodeId, NodeId, Message], Message | None]:
    """A line that loses the first messages of a kind."""
    left = [first]

    def line(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if message.kind == kind and left[0]:
            left[0] -= 1
            return None
        return message

    return line


def stocked_world(**options: Any) -> World:
    world = new_world(**options)
    give(world, count=1)
    return world


@pytest.mark.parametrize("kind", ["relay", "relay-delivered"])
def test_a_lost_word_of_a_relay_costs_time_but_no_bit(kind: str) -> None:
    world = stocked_world()
    pool = PoolId(NETWORK.link_between(R, B).link_id, R)
    before = world.run(_levels(world, B))[pool].spent_bits[Use.RELAY]
    world.line = swallow(kind, first=1)
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert world.run(_levels(world, B))[pool].spent_bits[Use.RELAY] - before == 2 * 256 + BATCH_BITS
    assert count_of(world, EventKind.RELAY_FAILED) == 0
    close(world)


def test_keys_in_doubt_are_destroyed_at_both_ends_and_never_repeated() -> None:
    world = stocked_world()
    world.line = swallow("relay-delivered")
    with pytest.raises(KeyShortage, match="no verdict from b"):
        give(world)
    world.run(world.sleep(3.0))
    stores = [world.stores[node].disk for node in (A, B)]
    assert [len(disk.keys) for disk in stores] == [0, 1], "all but the first key, which nobody fetched, are gone"
    world.line = lambda sender, receiver, message: message
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_an_altered_relay_is_refused_and_said_to_be_altered() -> None:
    def alter(sender: NodeId, receiver: NodeId, message: Message) -> Message:
        if message.kind == "relay" and receiver == B:
            return replace(message, body=bytes([message.body[0] ^ 1]) + message.body[1:])
        return message

    world = stocked_world()
    world.line = alter
    with pytest.raises(KeyShortage, match="altered on the way"):
        give(world)
    failed = [event for event in world.witness.events if event.kind is EventKind.RELAY_FAILED]
    assert {event.data["node_at_fault"] for event in failed} == {"b"}
    assert len(failed) == 2 * KeyManagerSettings().relay_tries, "each try is recorded where it failed and at its origin"
    close(world)


def test_a_replayed_relay_spends_nothing_even_after_a_restart() -> None:
    kept: list[Message] = []

    def record(sender: NodeId, receiver: NodeId, message: Message) -> Message:
        if message.kind == "relay" and receiver == B:
            kept.append(message)
        return message

    world = new_world()
    world.line = record
    give(world)
    world.crash(B)
    world.run(world.sleep(6.0))
    before = world.run(_levels(world, B))
    world._deliver(R, B, replace(kept[0], epoch=kept[0].epoch))
    world.run(world.sleep(1.0))
    assert world.run(_levels(world, B)) == before
    assert "the pads of this hop were spent before" in whys(world, EventKind.RELAY_FAILED)
    close(world)


def test_a_stranger_s_word_in_a_relay_is_ignored() -> None:
    """Only a node on the route may say how a relay fared: x claims delivery of every batch at once."""

    def claim(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if message.kind != "relay":
            return message
        lie = replace(message, kind="relay-delivered", fields={"relay_id": message.fields["relay_id"]}, body=b"")
        world._deliver(X, A, lie)
        return None

    world = stocked_world()
    world.line = claim
    with pytest.raises(KeyShortage, match="no verdict"):
        give(world)
    close(world)


def say(world: World, sender: NodeId, receiver: NodeId, word: Word, body: bytes = b"", *, epochs_on: int = 0) -> None:
    """Have a peer say a word, perhaps of a later epoch, and let it be acted on."""
    kind, fields = encode_word(word)
    epoch = Epoch(world.stores[sender].disk.epoch + epochs_on)
    world._deliver(sender, receiver, Message(MessageId("said"), kind, epoch, None, fields, body))
    world.run(world.sleep(1.0))


def strange_relay(sender: NodeId, receiver: NodeId) -> Relay:
    piece = BlockSlice(BlockId("no such block"), 0, 256 + BATCH_BITS)
    return Relay(
        relay_id="strange",
        route=(sender, receiver),
        hop=1,
        link_id=LinkId("a-r"),
        pad_range=BitRange((piece,)),
        master=ALICE,
        slave=BOB,
        ids_from="strange",
        num_keys=1,
        size_bits=256,
        origin="twin",
        created_utc_s=0.0,
        request_id=None,
        tag="00" * 16,
    )


def test_a_relay_from_a_node_without_a_link_to_here_fails_aloud() -> None:
    world = stocked_world()
    for _ in range(2):
        say(world, X, A, strange_relay(X, A), bytes(64))
    assert "link" in whys(world, EventKind.RELAY_FAILED)
    assert count_of(world, EventKind.ALARM) == 0
    give(world)
    close(world)


def test_a_peer_that_goes_back_to_an_older_store_raises_one_alarm() -> None:
    """Late words of a process that has ended are dropped without a word; one that goes on speaking is not."""
    world = stocked_world()
    world.run(world.sleep(40.0))
    say(world, R, A, RelayVoid("new epoch", "", 0), epochs_on=1)
    say(world, R, A, RelayVoid("late", "", 0))
    assert "speaks in epoch" not in whys(world, EventKind.ALARM)
    world.run(world.sleep(31.0))
    for times in range(4):
        say(world, R, A, RelayVoid("still here", "", 0))
        assert whys(world, EventKind.ALARM).count("r speaks in epoch") == (times > 1), "it may have yet to learn of it"
        world.run(world.sleep(LEARNS_WITHIN_S / 2 + 0.5))
    close(world)


def test_more_keys_than_a_batch_has_are_not_voided() -> None:
    world = stocked_world()
    say(world, R, B, RelayVoid("a relay", "ids", 10**12))
    assert "1000000000000 keys" in whys(world, EventKind.ALARM)
    give(world)
    close(world)


@pytest.mark.parametrize(("sender", "is_origin"), [(R, False), (X, False), (A, True)])
def test_only_the_origin_of_keys_has_them_destroyed(sender: NodeId, is_origin: bool) -> None:
    """Every node that hears of a relay knows its key ids; only the one that made the keys may take them back."""
    world = new_world()
    given = give(world)
    (batch,) = world.witness._batches.values()
    assert set(batch.key_ids) == {key.key_id for key in given.keys}
    say(world, sender, B, RelayVoid("a relay", batch.any.ids_from, batch.any.num_keys))
    if is_origin:
        with pytest.raises(KeyNotFound):
            fetch(world, given)
    else:
        assert fetch(world, given) == secrets(given)
    assert ("holds the relay in doubt" in whys(world, EventKind.KEYS_VOIDED)) == is_origin
    world.close()  # the witness objects to what was said in the name of a


def test_a_relay_that_restarts_is_waited_for() -> None:
    world = stocked_world()
    world.crash(R)
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_a_relay_that_is_cut_off_is_a_shortage_that_names_the_way() -> None:
    world = stocked_world()
    world.line = lambda sender, receiver, message: None if R in (sender, receiver) else message
    with pytest.raises(KeyShortage, match="a - r - b"):
        give(world)
    world.line = lambda sender, receiver, message: message
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_with_key_in_stock_the_controller_is_not_missed() -> None:
    world = stocked_world()
    world.line = lambda sender, receiver, message: None if CONTROLLER in (sender, receiver) else message
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


def test_without_a_controller_a_fresh_node_says_what_it_misses() -> None:
    world = World(NETWORK, chance=SeededChance(1))
    world.line = lambda sender, receiver, message: None if CONTROLLER in (sender, receiver) else message
    world.start()
    world.run(world.sleep(1.0))
    with pytest.raises(KeyShortage, match="not heard of any route"):
        give(world, patience_s=1.0)
    close(world)


def test_a_link_that_makes_no_key_is_named_with_its_fault() -> None:
    world = new_world(faults=Faults(p_session_fails=1.0))
    with pytest.raises(KeyShortage, match=r"link a-r: QBER too high|link r-b: QBER too high") as told:
        give(world, patience_s=50.0)
    assert "alarms" in told.value.remedy
    close(world)


@pytest.mark.slow
def test_an_exhausted_reserve_raises_an_alarm_and_ends_orders() -> None:
    settings = KeyManagerSettings(sessions_per_day={LinkId("a-r"): 20.0}, failed_retry_s=1.0, refused_retry_s=1.0)
    hasty = ControllerSettings(longest_order_pause_s=1.0)
    world = new_world(faults=Faults(p_session_fails=1.0), settings=settings, controller_settings=hasty)
    for _ in range(100):
        with pytest.raises(KeyShortage):
            give(world, patience_s=30.0)
        world.run(world.sleep(5.0))
    assert "authentication reserve is used up" in whys(world, EventKind.ORDER_ENDED)
    low = [event.data for event in world.witness.events if event.data.get("code") == "reserve-low"]
    assert {event["link_id"] for event in low} >= {"a-r"}
    close(world)


def test_a_node_that_is_down_does_not_answer() -> None:
    world = new_world()
    world.crash(A)
    with pytest.raises(CallLost):
        give(world)
    close(world)


@pytest.mark.slow
def test_a_twin_never_makes_a_device_s_key() -> None:
    """Some seeds mix devices and twins: a key is a device's only when every link of its route is one."""
    seen = set()
    for seed in range(30):
        world = new_world(seed=seed)
        world.run(world.sleep(7.0))  # until every node has heard what the controller knows, all counts as a twin
        given = give(world)
        origins = {world.witness.link_origins[link.link_id] for link in NETWORK.links[:2]}
        assert given.keys[0].origin == ("device" if origins == {"device"} else "twin")
        seen.add((given.keys[0].origin, len(origins)))
        close(world)
    assert seen == {("device", 1), ("twin", 1), ("twin", 2)}


# ---- links that cannot make key ----


def failing_world() -> World:
    """Nobody can make key on r-b; a-r has plenty."""
    world = new_world(settings=KeyManagerSettings(refused_retry_s=60.0))
    far = next(link for link in world.links if link.link.link_id == "r-b")
    far._p_session_fails = lambda: 1.0
    give(world, ALICE, ROSE)
    return world


def test_a_link_that_fails_is_the_quantum_layers_fault_and_is_remembered() -> None:
    world = failing_world()
    with pytest.raises(LinkFailed, match="link r-b: QBER too high") as failed:
        give(world, patience_s=60.0)
    assert failed.value.retry_after_s == 60.0
    orders = count_of(world, EventKind.ORDER_ENDED)
    for _ in range(5):
        with pytest.raises(LinkFailed, match="QBER too high") as again:
            give(world, patience_s=60.0)
        assert again.value.retry_after_s <= 60.0
    assert count_of(world, EventKind.ORDER_ENDED) == orders, "what was just found hopeless is not tried again"
    close(world)


def test_a_far_link_that_fails_does_not_burn_the_key_of_the_links_before_it() -> None:
    world = failing_world()
    level = world.run(world.stores[A].levels())[PoolId(LinkId("a-r"), A)].available_bits
    for _ in range(20):
        with pytest.raises(KeyShortage):
            give(world, count=1, patience_s=1.0)
        world.run(world.sleep(1.0))
    assert level - world.run(world.stores[A].levels())[PoolId(LinkId("a-r"), A)].available_bits <= 256 + BATCH_BITS
    close(world)


@pytest.mark.slow
def test_a_link_that_goes_on_failing_is_tried_ever_less_often() -> None:
    world = failing_world()

    async def pester() -> None:
        while True:
            with contextlib.suppress(KeyShortage):
                await world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, patience_s=1.0))
            await world.sleep(5.0)

    world.spawn(pester(), name="pester")
    tries = []
    for _ in range(5):
        before = whys(world, EventKind.ORDER_ENDED).count("QBER too high")
        world.run(world.sleep(600.0), within_s=700.0)
        tries.append(whys(world, EventKind.ORDER_ENDED).count("QBER too high") - before)
    assert tries[0] > tries[-1] > 0, tries
    assert tries[-1] <= 4, "two ends, once in ten minutes"
    far = next(link for link in world.links if link.link.link_id == "r-b")
    far._p_session_fails = lambda: 0.0
    world.run(world.sleep(700.0), within_s=800.0)
    assert fetch(world, given := give(world)) == secrets(given)
    close(world)


@pytest.mark.slow
def test_with_empty_pools_too_a_dead_node_is_named_within_seconds() -> None:
    """Key cannot be made for a node that is away: whoever asks is told whose fault it is, not that more is coming."""
    for dead in (R, B):
        world = new_world()
        world.run(world.sleep(2.0))
        world.crash(dead, down_s=120.0)
        begun_s = world.scheduler.now_s
        with pytest.raises(KeyShortage, match=f"'{dead}', a node on the way, does not answer") as shortage:
            give(world, patience_s=30.0)
        assert world.scheduler.now_s - begun_s < 10.0
        assert f"bring the key manager of '{dead}' up" in shortage.value.remedy
        world.run(world.sleep(150.0), within_s=160.0)
        assert fetch(world, given := give(world)) == secrets(given), "it is not held against the node when it is back"
        close(world)


def test_a_node_that_dies_while_key_is_made_ends_the_waiting() -> None:
    world = new_world()
    asked: list[KeyShortage] = []

    async def ask() -> None:
        try:
            await world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, patience_s=60.0))
        except KeyShortage as shortage:
            asked.append(shortage)

    world.spawn(ask(), name="ask")
    world.run(world.sleep(0.3))
    world.crash(R, down_s=120.0)
    world.run(world.sleep(10.0))
    assert "'r', a node on the way, does not answer" in str(asked[0])
    close(world)


def test_a_small_request_does_not_wait_behind_a_large_one() -> None:
    """a-r is rich, r-b holds some key and can make no more: who asks for less than it holds is served."""
    world = stocked_world()
    level = world.run(world.stores[R].levels())[PoolId(LinkId("r-b"), R)].available_bits
    far = next(link for link in world.links if link.link.link_id == "r-b")
    far._p_session_fails = lambda: 1.0
    too_many = level // 4096 + 2
    with pytest.raises(KeyShortage):
        give(world, count=too_many, size_bits=4096, patience_s=30.0)
    given = give(world, count=1, size_bits=256, patience_s=2.0)
    assert fetch(world, given) == secrets(given)
    with pytest.raises(LinkFailed):
        give(world, count=too_many, size_bits=4096, patience_s=2.0)
    close(world)


def test_a_link_that_rests_is_in_nobodys_way_who_does_not_need_it() -> None:
    world = failing_world()
    with pytest.raises(LinkFailed):
        give(world, patience_s=60.0)
    given = give(world, ALICE, ROSE)  # over a-r alone
    assert fetch(world, given, caller=ROSE) == secrets(given)
    close(world)


@pytest.mark.parametrize(("patience_s", "tries"), [(0.0, 1), (3.0, 2), (60.0, 3)])
def test_a_way_that_swallows_batches_is_not_tried_again_once_the_callers_time_is_up(
    patience_s: float, tries: int
) -> None:
    """As beside a relay that hangs: its line stands, and nothing comes back over it."""
    world = stocked_world(settings=KeyManagerSettings())
    world.line = swallow("relay")
    begun_s = world.scheduler.now_s
    with pytest.raises(KeyShortage, match="the last try went along a - r - b"):
        give(world, count=1, patience_s=patience_s)
    least_s = KeyManagerSettings().relay_patience_s(2)
    assert count_of(world, EventKind.RELAY_FAILED) == tries
    if tries < 3:
        assert world.scheduler.now_s - begun_s < tries * least_s + 0.5
    close(world)
