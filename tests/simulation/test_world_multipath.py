"""Keys of shares over routes without a common relay, and other ways when one is lost, on networks that have several."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.errors import KeyShortage, NotEntitled, QanatError, RequirementUnmet
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.keys import Use
from qanat.ground.messages import Message
from qanat.ground.network import Application, Link, Network, PreparedKeys, Site
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.key_management import accounts, multipath, sealing
from qanat.key_management.links import RouteBook
from qanat.key_management.making import Making
from qanat.key_management.manager import GivenKeys
from qanat.key_management.multipath import Assembly, collusion_threshold
from qanat.key_management.wire import Relay, RouteChoices
from qanat.simulation.campaign import run_seed
from qanat.simulation.faults import NO_FAULTS
from qanat.simulation.world import World
from simulation.test_world_requests import close, count_of, whys

BATCH_BITS = 512
TWO, THREE = Requirements(disjoint_routes=2), Requirements(disjoint_routes=3)


def network(links: str, *, prepared: bool = False) -> Network:
    """Users a and b with an application each; all other letters are relays."""
    names = sorted(set(links.replace(" ", "")))
    sites = tuple(
        Site(name=name, kind="user" if name in "ab" else "relay", latitude_deg=0, longitude_deg=place)
        for place, name in enumerate(names)
    )
    made = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=500)
        for one, other in links.split()
    )
    keys = (PreparedKeys(master="alice", slave="bob", count=20, size_bits=256),) if prepared else ()
    return Network(
        format="qanat-network/1",
        name="ring",
        sites=sites,
        links=made,
        applications=(
            Application(name="alice", site="a"),
            Application(name="bob", site="b"),
            Application(name="anna", site="a"),
        ),
        prepared_keys=keys,
    )


RING = network("ar rb as st tb")
"""a - r - b on the one side, a - s - t - b on the other."""
ALICE, BOB, ANNA = RING.saes
A, B, R, S, T = (NodeId(name) for name in "abrst")


def new_world(net: Network = RING, **options: Any) -> World:
    world = World(net, chance=SeededChance(options.pop("seed", 1)), **options)
    world.start()
    return world


def give(world: World, require: Requirements = TWO, *, count: int = 3, **more: Any) -> GivenKeys:
    wish = {"master": ALICE, "slave": BOB, "size_bits": 256, "patience_s": 20.0, **more}
    return world.run(world.call(A, lambda manager: manager.get_keys(count=count, require=require, **wish)))


def fetch(world: World, given: GivenKeys) -> list[bytes]:
    ids = [key.key_id for key in given.keys]
    keys = world.run(world.call(B, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)))
    return [key.secret.reveal() for key in keys]


def secrets(given: GivenKeys) -> list[bytes]:
    return [key.secret.reveal() for key in given.keys]


def relayed(world: World) -> list[dict[str, Any]]:
    return [dict(event.data) for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]


def relay_bits_spent(world: World) -> int:
    """What all pools have paid for relays, each hop once."""
    return sum(
        counter[Use.RELAY]
        for node, store in world.stores.items()
        for pool, counter in store.disk.spent_bits.items()
        if pool.sender == node
    )


def keys_held(world: World) -> dict[NodeId, int]:
    return {node: len(store.disk.keys) for node, store in world.stores.items() if store.disk.keys}


def swallow(world: World, is_lost: Callable[[NodeId, NodeId, Message], bool]) -> None:
    world.line = lambda sender, receiver, message: None if is_lost(sender, receiver, message) else message


# ---- keys of several shares ----


def test_a_key_over_two_ways_is_the_same_at_both_ends_and_passed_no_relay_whole() -> None:
    world = new_world()
    given = give(world)
    assert fetch(world, given) == secrets(given)
    (row,) = relayed(world)
    assert sorted(map(tuple, row["routes"])) == [("a", "r", "b"), ("a", "s", "t", "b")]
    assert row["threshold"] == 2
    close(world)  # the witness has added up the shares, and looked who saw which


def test_a_key_over_two_ways_costs_each_hop_of_both_to_the_bit() -> None:
    world = new_world()
    given = give(world, count=3)
    hops = 2 + 3
    assert sum(key.qkd_bits_spent for key in given.keys) == hops * (3 * 256 + BATCH_BITS)
    assert {key.qkd_bits_spent for key in given.keys} == {hops * 256 + 854, hops * 256 + 853}
    (row,) = relayed(world)
    assert row["qkd_bits"] == row["hops"] * row["key_bits"] + row["authentication_bits"]
    assert relay_bits_spent(world) == row["qkd_bits"] + world.witness.relay_bits_burned
    close(world)


def test_no_message_names_a_key() -> None:
    """A share goes by its relay and its number; ids of keys are worked out where keys are kept."""
    world = new_world()
    given = give(world)
    public = b"\n".join(world.witness._public)
    assert not any(key.key_id.encode() in public for key in given.keys)
    close(world)


def test_relays_keep_nothing_and_the_ends_keep_no_shares() -> None:
    world = new_world()
    given = give(world)
    assert keys_held(world) == {B: len(given.keys)}, "the master has taken its keys; the slave's wait for it"
    close(world)


@pytest.mark.parametrize(
    ("links", "require", "named"),
    [
        ("ar rb", TWO, "from 'a' to 'b' there is 1 .every other way passes 'r':"),
        ("ar rs rt su tu ub", TWO, "there is 1 .every other way passes 'r', 'u':"),
        ("ar rb as sb", THREE, "there are 2 .every other way passes 'r', 's':"),
        ("ac cd de ef fb", TWO, "every other way passes 'c', 'd', 'e' and 1 more"),
    ],
)
def test_where_ways_are_too_few_the_key_is_refused_and_the_nodes_in_the_way_are_named(
    links: str, require: Requirements, named: str
) -> None:
    world = new_world(network(links))
    with pytest.raises(RequirementUnmet, match=named):
        give(world, require)
    assert relay_bits_spent(world) == 0
    assert give(world, Requirements()).keys, "over one way there are keys"
    close(world)


def test_a_direct_link_counts_as_a_way_that_no_relay_can_spy_on() -> None:
    world = new_world(network("ab ar rb"))
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert relayed(world)[-1]["threshold"] is None
    close(world)


def test_keys_that_never_leave_their_node_meet_every_requirement() -> None:
    world = new_world()
    assert give(world, THREE, slave=ANNA).keys[0].route == (A,)
    close(world)


def test_what_lies_ready_is_not_given_for_keys_of_several_ways() -> None:
    world = new_world(network("ar rb as st tb", prepared=True))
    world.run(world.sleep(30.0))
    ready = world.run(world.stores[A].count_keys(SaePair(ALICE, BOB), size_bits=256))
    assert ready == 20
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert relayed(world)[-1]["threshold"] == 2
    assert world.run(world.stores[A].count_keys(SaePair(ALICE, BOB), size_bits=256)) == ready
    close(world)


def test_another_application_is_not_given_a_key_of_shares() -> None:
    world = new_world()
    ids = [key.key_id for key in give(world).keys]
    with pytest.raises(NotEntitled):
        world.run(world.call(A, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)))
    close(world)


# ---- one way is lost ----


def test_a_share_that_never_comes_fails_the_whole_key_at_both_ends() -> None:
    world = new_world()
    give(world)
    swallow(world, lambda sender, _, message: message.kind == "relay" and sender == T)
    with pytest.raises(KeyShortage, match="no verdict"):
        give(world)
    world.line = lambda _sender, _receiver, message: message
    world.run(world.sleep(5.0))
    assert keys_held(world) == {B: 3}, "only the keys of the first time are there"
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)
    assert world.witness.relay_bits_burned > 0


def test_a_far_end_that_dies_between_two_shares_keeps_neither() -> None:
    world = new_world()
    give(world)
    swallow(world, lambda sender, _, message: message.kind == "relay" and sender == T)
    world.spawn(quietly(world), name="asks")
    world.run(world.sleep(0.3))
    world.crash(B, down_s=0.2)
    world.line = lambda _sender, _receiver, message: message
    world.run(world.sleep(20.0))
    given = give(world)
    assert fetch(world, given) == secrets(given)
    close(world)


async def quietly(world: World) -> None:
    wish = {"master": ALICE, "slave": BOB, "size_bits": 256, "patience_s": 1.0, "count": 1}
    with contextlib.suppress(QanatError):  # it is about what is left behind
        await world.call(A, lambda manager: manager.get_keys(require=TWO, **wish))


def test_with_a_relay_down_two_ways_are_refused_and_never_made_one() -> None:
    world = new_world()
    give(world)
    world.crash(S, down_s=60.0)
    with pytest.raises(KeyShortage, match="'s', a node on the way, does not answer 'a'"):
        give(world)
    given = give(world, Requirements())
    assert fetch(world, given) == secrets(given)
    close(world)


def test_where_two_ways_are_only_preferred_a_relay_that_is_down_costs_them_and_not_the_key() -> None:
    world = new_world()
    give(world)
    for down_s in (60.0, 0.0):  # at once, and when the controller has told that no key can be made there
        if down_s:
            world.crash(S, down_s=down_s)
        given = give(world, Requirements(), prefer=TWO)
        assert [key.record.routes for key in given.keys] == 3 * [((A, R, B),)]
        assert fetch(world, given) == secrets(given)
        world.run(world.sleep(10.0))
    with pytest.raises(KeyShortage, match="'s'"):
        give(world)
    close(world)


def test_of_three_ways_two_are_enough_when_a_relay_is_down() -> None:
    world = new_world(network("ar rb as sb at tb"))
    give(world)
    down = relayed(world)[-1]["routes"][0][1]
    world.crash(NodeId(down), down_s=60.0)
    given = give(world)
    assert fetch(world, given) == secrets(given)
    assert down not in {node for way in relayed(world)[-1]["routes"] for node in way}
    close(world)


def test_too_little_key_on_one_way_has_it_made_there() -> None:
    world = new_world(block_bits=6_000)
    for _ in range(6):
        given = give(world, count=4)
        assert fetch(world, given) == secrets(given)
    assert count_of(world, EventKind.GENERATION_ORDERED) > 1
    close(world)


# ---- one way only, and another when it is lost ----


def test_when_the_relay_of_the_first_way_is_down_the_key_goes_the_other_way_at_once() -> None:
    world = new_world()
    give(world, Requirements())
    first = relayed(world)[-1]["route"]
    world.crash(NodeId(first[1]), down_s=60.0)
    before = world.scheduler.now_s
    given = give(world, Requirements())
    assert fetch(world, given) == secrets(given)
    assert relayed(world)[-1]["route"] not in (first, None)
    assert world.scheduler.now_s - before < 20.0
    close(world)


def test_a_batch_lost_half_way_burns_its_pads_says_why_and_goes_the_other_way() -> None:
    world = new_world()
    give(world, Requirements())
    first = relayed(world)[-1]["route"]
    assert first == ["a", "r", "b"]
    swallow(world, lambda sender, _, message: message.kind == "relay" and sender == R)
    given = give(world, Requirements())
    assert fetch(world, given) == secrets(given)
    assert relayed(world)[-1]["route"] == ["a", "s", "t", "b"]
    assert "no verdict from b" in whys(world, EventKind.RELAY_FAILED)
    lost = [event.data for event in world.witness.events if event.kind is EventKind.RELAY_FAILED]
    assert [row["route"] for row in lost if "route" in row] == [first]
    close(world)
    assert world.witness.relay_bits_burned == 2 * (3 * 256 + BATCH_BITS)


def test_where_a_link_can_make_no_key_the_next_request_goes_the_other_way() -> None:
    world = new_world(block_bits=6_000)
    for link in world.links:
        if R in link.link.ends:
            link._p_session_fails = lambda: 1.0
    shortages = 0
    for _ in range(6):
        try:
            given = give(world, Requirements(), count=4)
        except KeyShortage:
            shortages += 1
        else:
            assert fetch(world, given) == secrets(given)
            break
    assert shortages <= 4
    assert relayed(world)[-1]["route"] == ["a", "s", "t", "b"]
    close(world)


def test_detours_are_taken_where_no_two_ways_are_disjoint() -> None:
    """a - r, then s or t, then u - b."""
    world = new_world(network("ar rs su rt tu ub"))
    give(world, Requirements())
    first = relayed(world)[-1]["route"]
    world.crash(NodeId(first[2]), down_s=60.0)
    given = give(world, Requirements())
    assert fetch(world, given) == secrets(given)
    assert relayed(world)[-1]["route"][2] != first[2]
    close(world)


# ---- planted bugs ----

SEEDS = range(60)


def notices(invariant: str) -> bool:
    return any(text.startswith(invariant) for seed in SEEDS for text in run_seed(seed, faults=NO_FAULTS).violations)


@pytest.mark.slow
def test_the_sum_of_one_share_only_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ends agree on a key that the first way's relays know."""
    monkeypatch.setattr(sealing, "combined", lambda shares: multipath.combined(shares[:1]))
    assert notices("7: ")


@pytest.mark.slow
def test_a_dropped_share_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The far end takes the first share for all of them."""

    def eager(self: Assembly, word: Relay, secret: Any, *, now_s: float) -> Any:
        return [word], [secret]

    monkeypatch.setattr(Assembly, "add", eager)
    assert notices("4: ")


def test_bits_counted_twice_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def twice(*, count: int, size_bits: int, hops: int) -> int:
        return accounts.batch_costs_bits(count=count, size_bits=size_bits, hops=2 * hops)

    monkeypatch.setattr(sealing, "batch_costs_bits", twice)
    assert notices("3: ")


@pytest.mark.slow
def test_ways_that_meet_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second share goes the way of the first."""
    honest = RouteBook.choices

    def same(self: RouteBook, target: NodeId) -> RouteChoices:
        row = honest(self, target)
        return RouteChoices(target, row.disjoint[:1] * len(row.disjoint), row.detours, row.cut)

    monkeypatch.setattr(RouteBook, "choices", same)
    monkeypatch.setattr(multipath, "are_disjoint", lambda routes: True)
    assert notices("7: ")


def test_a_requirement_that_is_passed_over_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Making.make

    async def one_way(self: Any, ask: Any, wish: Any, require: Any, *told: Any, **more: Any) -> Any:
        return await honest(self, ask, wish, replace(require, disjoint_routes=1), *told, **more)

    monkeypatch.setattr(Making, "make", one_way)
    assert notices("7: ")


@pytest.mark.parametrize(
    ("routes", "threshold"),
    [(((A, R, B),), 1), (((A, R, B), (A, S, T, B)), 2), (((A, B), (A, R, B)), None), (((A, B),), None)],
)
def test_the_threshold_is_how_many_relays_must_work_together(routes: Any, threshold: int | None) -> None:
    assert collusion_threshold(routes) == threshold


@pytest.mark.parametrize("require", [Requirements(), TWO])
def test_with_more_ways_than_tries_key_is_made_for_the_first_of_them(require: Requirements) -> None:
    """Five ways, all empty at first: each is a try that burns nothing, and looking alone brings no key."""
    world = new_world(network("ar rb as sb at tb au ub av vb"))
    given = give(world, require)
    assert fetch(world, given) == secrets(given)
    asked = [event for event in world.witness.events if event.kind is EventKind.GENERATION_ASKED]
    assert len(asked) == 1, "one demand, for the first ways alone"
    close(world)
