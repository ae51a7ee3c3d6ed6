"""Keys for several slaves, calls that are repeated by nonce, and what is required of keys, on a virtual clock."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.errors import (
    BadParameter,
    KeyNotFound,
    KeyShortage,
    NotEntitled,
    PeerProtocolError,
    RequirementUnmet,
    UnknownNode,
)
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair, slaves_together
from qanat.ground.keys import SecretKey
from qanat.ground.messages import Message
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.key_management.accounts import relay_bits
from qanat.key_management.direct_keys import refuse_relay, require_ways_of_all
from qanat.key_management.manager import GivenKeys
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.faults import Faults
from qanat.simulation.world import HASTY, CallLost, World

A, B, C, R = (NodeId(name) for name in "abcr")


def star_network() -> Network:
    """Three user sites around the trusted relay r; two applications at a, two at b, one at c."""
    sites = tuple(
        Site(name=name, kind="relay" if name == "r" else "user", latitude_deg=0, longitude_deg=place)
        for place, name in enumerate("rabc")
    )
    links = tuple(
        Link(name=f"{user}-r", transmitter=user, receiver="r", system="s", loss_db=10, length_km=200) for user in "abc"
    )
    homes = {"alice": "a", "anna": "a", "bob": "b", "bea": "b", "carol": "c"}
    applications = tuple(Application(name=name, site=site) for name, site in homes.items())
    return Network(format="qanat-network/1", name="star", sites=sites, links=links, applications=applications)


NETWORK = star_network()
ALICE, ANNA, BOB, BEA, CAROL = NETWORK.saes


def new_world(**options: Any) -> World:
    world = World(NETWORK, chance=SeededChance(options.pop("seed", 1)), **options)
    world.start()
    return world


def give(world: World, *slaves: SaeId, count: int = 2, size_bits: int = 256, **more: Any) -> GivenKeys:
    more.setdefault("patience_s", 20.0)
    wish: dict[str, Any] = {"slave": slaves[0], "more_slaves": slaves[1:], "count": count, "size_bits": size_bits}
    return world.run(world.call(A, lambda manager: manager.get_keys(master=ALICE, **wish, **more)))


def fetch(world: World, ids: list[KeyID], caller: SaeId, **more: Any) -> list[SecretKey]:
    node = NETWORK.site_of(caller).node
    wish: dict[str, Any] = {"caller": caller, "master": ALICE, "key_ids": ids, **more}
    return [*world.run(world.call(node, lambda manager: manager.get_keys_by_id(**wish)))]


def ids_of(given: GivenKeys) -> list[KeyID]:
    return [key.key_id for key in given.keys]


def secrets(keys: Any) -> list[bytes]:
    return [key.secret.reveal() for key in keys]


def spent_bits(world: World) -> int:
    """Return what all nodes spent on sending relays: each bit once, at its sender."""
    return sum(
        int(str(event.data["qkd_bits"])) for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED
    )


def close(world: World) -> None:
    world.close()
    assert world.witness.violations == []


# ---- several slaves ----


def test_one_key_goes_to_slaves_at_three_sites_and_once_to_each() -> None:
    world = new_world()
    given = give(world, BOB, CAROL, BEA, ANNA)
    (told,) = (event.data for event in world.witness.events if event.kind is EventKind.KEY_GIVEN)
    assert (told["master"], told["slave"]) == (ALICE, " ".join(sorted((BOB, CAROL, BEA, ANNA))))
    for slave in (BOB, CAROL, BEA, ANNA):
        assert secrets(fetch(world, ids_of(given), slave)) == secrets(given.keys)
        with pytest.raises(KeyNotFound):
            fetch(world, ids_of(given), slave)
    close(world)


def test_who_was_not_named_gets_nothing() -> None:
    world = new_world()
    given = give(world, BOB, ANNA)
    with pytest.raises(NotEntitled):
        fetch(world, ids_of(given), BEA)
    with pytest.raises(KeyNotFound):
        fetch(world, ids_of(given), CAROL)
    with pytest.raises(KeyNotFound):
        fetch(world, ids_of(given), ALICE)  # has got them already, as master
    assert secrets(fetch(world, ids_of(given), BOB)) == secrets(given.keys)
    close(world)


def test_what_several_relays_cost_is_summed_to_the_bit() -> None:
    world = new_world()
    given = give(world, BOB, CAROL, count=3, size_bits=512)
    due_bits = 2 * 2 * relay_bits(count=3, size_bits=512)
    assert sum(key.qkd_bits_spent for key in given.keys) == spent_bits(world) == due_bits
    fetched = fetch(world, ids_of(given), CAROL)
    assert sum(key.qkd_bits_spent for key in fetched) == due_bits // 2
    assert fetched[0].route == (A, R, C)
    close(world)


def test_slaves_at_one_site_share_one_relay_and_slaves_here_need_none() -> None:
    world = new_world()
    give(world, BOB, BEA)
    assert spent_bits(world) == 2 * relay_bits(count=2, size_bits=256)
    given = give(world, ANNA)
    assert given.keys[0].qkd_bits_spent == 0
    close(world)


def test_keys_of_a_group_are_never_given_to_a_pair_nor_the_other_way_round() -> None:
    world = new_world()
    group = give(world, BOB, CAROL, count=1)
    pair = give(world, BOB, count=1)
    assert not set(ids_of(group)) & set(ids_of(pair))
    with pytest.raises(KeyNotFound):
        fetch(world, ids_of(pair), CAROL)
    close(world)


def test_a_site_that_does_not_answer_fails_the_whole_and_leaves_nothing_anywhere() -> None:
    world = new_world(settings=HASTY)
    earlier = give(world, BOB, CAROL)  # so that all links hold key
    lost = []

    def line(_sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        if receiver == C:
            lost.append(message.kind)
            return None
        return message

    world.line = line
    with pytest.raises(KeyShortage, match="no verdict from c"):
        give(world, BOB, CAROL)
    world.run(world.sleep(5.0))
    assert lost
    assert world.stores[B].disk.keys.keys() == world.stores[C].disk.keys.keys() == set(ids_of(earlier))
    assert world.stores[A].disk.keys == {}
    close(world)


@pytest.mark.slow
def test_a_crash_at_any_moment_leaves_a_key_at_all_sites_or_gives_it_to_nobody() -> None:
    """The master's own node dies while the keys are on their way; the witness compares what lies where."""
    for seed in range(12):
        world = new_world(seed=seed, faults=Faults(p_crash_per_effect=0.02, p_lost=0.05))
        for _ in range(4):
            try:
                given = give(world, BOB, CAROL, count=1, patience_s=5.0)
            except (CallLost, KeyShortage):
                world.run(world.sleep(2.0))
                continue
            world.faults = Faults()
            world.run(world.sleep(6.0))
            for slave in (BOB, CAROL):
                assert secrets(fetch(world, ids_of(given), slave)) == secrets(given.keys)
        close(world)


@pytest.mark.parametrize(
    ("slaves", "error"),
    [
        ((BOB, BOB), BadParameter),
        ((BOB, ALICE), BadParameter),
        ((BOB, SaeId("urn:qanat:star:sae:nobody")), UnknownNode),
        ((SaeId(f"{BOB} {CAROL}"),), UnknownNode),
        ((BOB, *(SaeId(f"urn:qanat:star:sae:n{place}") for place in range(16))), BadParameter),
    ],
)
def test_odd_lists_of_slaves_are_refused(slaves: tuple[SaeId, ...], error: type[Exception]) -> None:
    world = new_world()
    with pytest.raises(error) as told:
        give(world, *slaves)
    assert told.value.remedy  # type: ignore[attr-defined]
    close(world)


def test_the_status_says_how_many_more_slaves_there_may_be() -> None:
    world = new_world(settings=KeyManagerSettings(max_additional_slaves=2))
    status = world.run(world.call(A, lambda manager: manager.get_status(master=ALICE, slave=BOB)))
    assert status.max_additional_slaves == 2
    close(world)


# ---- repeated calls ----


def test_a_repeated_call_is_given_the_same_keys_and_spends_nothing() -> None:
    world = new_world()
    first = give(world, BOB, nonce="nonce-1")
    before = spent_bits(world)
    again = give(world, BOB, nonce="nonce-1", request_id=RequestId("another"))
    assert (ids_of(again), secrets(again.keys)) == (ids_of(first), secrets(first.keys))
    assert spent_bits(world) == before
    other = give(world, BOB, nonce="nonce-2")
    assert not set(ids_of(other)) & set(ids_of(first))
    ids = ids_of(first)
    fetched = fetch(world, ids, BOB, nonce="mine")
    assert secrets(fetch(world, ids, BOB, nonce="mine")) == secrets(fetched) == secrets(first.keys)
    with pytest.raises(KeyNotFound):
        fetch(world, ids, BOB)
    with pytest.raises(KeyNotFound):
        fetch(world, ids, BOB, nonce="not mine")
    close(world)


def test_a_repeated_call_finds_its_keys_over_a_restart_and_without_any_route() -> None:
    world = new_world()
    first = give(world, BOB, nonce="nonce-1")
    world.crash(A, down_s=0.5)
    world.line = lambda _sender, _receiver, _message: None
    world.run(world.sleep(2.0))
    assert secrets(give(world, BOB, nonce="nonce-1").keys) == secrets(first.keys)
    close(world)


def test_a_lost_answer_is_cured_by_a_nonce_and_by_nothing_else() -> None:
    world = new_world(faults=Faults(p_answer_lost=1.0))
    with pytest.raises(CallLost):
        give(world, BOB, count=1, nonce="nonce-1")
    (kept,) = next(iter(world.stores[A].disk.answers.values())).keys
    world.faults = Faults()
    assert ids_of(give(world, BOB, count=1, nonce="nonce-1")) == [kept.key_id]
    assert ids_of(give(world, BOB, count=1)) != [kept.key_id]
    close(world)


def test_a_nonce_with_another_request_or_of_another_application_is_another_call() -> None:
    world = new_world()
    first = give(world, BOB, nonce="nonce-1")
    for slaves, more in (((BOB,), {"count": 3}), ((CAROL,), {}), ((BOB, CAROL), {}), ((BOB,), {"size_bits": 128})):
        with pytest.raises(BadParameter, match="was used for another request"):
            give(world, *slaves, nonce="nonce-1", **more)
    ask: Any = {"master": ANNA, "slave": BOB, "count": 2, "nonce": "nonce-1", "patience_s": 20.0}
    others = world.run(world.call(A, lambda manager: manager.get_keys(**ask)))
    assert not set(ids_of(others)) & set(ids_of(first))
    close(world)


def test_kept_answers_are_destroyed_when_their_window_has_passed_whatever_the_wall_clock_says() -> None:
    world = new_world(settings=KeyManagerSettings(repeat_window_s=10.0))
    first = give(world, BOB, nonce="nonce-1")
    world._utc_offsets_s[A] = 7200.0
    assert ids_of(give(world, BOB, nonce="nonce-1")) == ids_of(first)
    assert len(world.stores[A].disk.answers) == 1
    world.run(world.sleep(15.0))
    assert world.stores[A].disk.answers == {}
    close(world)


def test_answers_of_an_earlier_process_are_destroyed_too() -> None:
    world = new_world(settings=KeyManagerSettings(repeat_window_s=10.0))
    give(world, BOB, nonce="nonce-1")
    world.crash(A, down_s=1.0)
    world.run(world.sleep(5.0))
    assert len(world.stores[A].disk.answers) == 1
    world.run(world.sleep(15.0))
    assert world.stores[A].disk.answers == {}
    close(world)


@pytest.mark.parametrize("limit", [{"max_kept_answers": 3}, {"max_kept_bits": 3 * 2 * (256 + 1024)}])
def test_of_one_applications_answers_the_oldest_make_room_for_new_ones(limit: dict[str, int]) -> None:
    world = new_world(settings=KeyManagerSettings(**limit))
    of_anna: Any = {"master": ANNA, "slave": BOB, "count": 2, "nonce": "nonce-anna", "patience_s": 20.0}
    others = world.run(world.call(A, lambda manager: manager.get_keys(**of_anna)))
    given = {f"nonce-{number}": ids_of(give(world, BOB, nonce=f"nonce-{number}")) for number in range(8)}
    kept = [nonce for sae, nonce in world.stores[A].disk.answers if sae == ALICE]
    room = 4 if "max_kept_bits" in limit else 3  # what bits allow, and the one that passed them
    assert kept == [*given][-room:]
    for nonce in kept:
        assert ids_of(give(world, BOB, nonce=nonce)) == given[nonce]
    assert ids_of(world.run(world.call(A, lambda manager: manager.get_keys(**of_anna)))) == ids_of(others)
    again = ids_of(give(world, BOB, nonce="nonce-0"))
    assert not set(again) & {key_id for ids in given.values() for key_id in ids}, "a new call, and nothing twice"
    world.close()
    assert {text[:3] for text in world.witness.violations} == {"1: "}, "other keys for the same nonce, as is stated"


def test_calls_that_were_refused_take_no_room_from_answers() -> None:
    world = new_world(settings=KeyManagerSettings(max_kept_answers=2))
    first = give(world, BOB, nonce="nonce-first")
    world.line = lambda _sender, _receiver, _message: None
    for number in range(4):
        with pytest.raises(KeyShortage):
            give(world, BOB, nonce=f"nonce-{number}", size_bits=65_536, patience_s=0.1)
    assert ids_of(give(world, BOB, nonce="nonce-first")) == ids_of(first)
    close(world)


# ---- what is required of keys ----


def test_an_old_key_is_passed_over_where_a_young_one_is_required() -> None:
    world = new_world()
    (given,) = give(world, BOB, count=1).keys
    old = replace(given, key_id=KeyID("00000000-0000-4000-8000-00000000abcd"))
    world.run(world.stores[A].put([old], entitled=frozenset({ALICE}), confirmed=True))
    world.run(world.sleep(30.0))
    young = give(world, BOB, count=1, require=Requirements(max_age_s=10.0))
    assert young.keys[0].created_utc_s > given.created_utc_s + 20.0
    assert ids_of(give(world, BOB, count=1, require=Requirements(max_age_s=60.0))) == [old.key_id]
    world.close()  # the witness objects to a key that was put into one store alone


def test_a_way_that_is_too_long_is_refused_and_spends_nothing() -> None:
    world = new_world()
    give(world, BOB)
    before = spent_bits(world)
    (key,) = give(world, ANNA, count=1).keys
    stock = replace(
        key, key_id=KeyID("00000000-0000-4000-8000-00000000abcd"), pair=SaePair(ALICE, BOB), route=(A, R, B)
    )
    world.run(world.stores[A].put([stock, stock], entitled=frozenset({ALICE}), confirmed=True))
    for require in (Requirements(max_hops=1), Requirements(disjoint_routes=2)):
        with pytest.raises(RequirementUnmet):
            give(world, BOB, count=1, require=require)
    assert spent_bits(world) == before
    assert ids_of(give(world, BOB, count=1, require=Requirements(max_hops=2))) == [stock.key_id]
    world.close()  # the witness objects to a key that was put into one store alone


def test_what_is_only_preferred_gives_way_and_a_nonce_finds_such_keys_again() -> None:
    world = new_world()
    prefer = Requirements(max_hops=1, disjoint_routes=3)
    first = give(world, BOB, prefer=prefer, nonce="nonce-1")
    assert ids_of(give(world, BOB, prefer=prefer, nonce="nonce-1")) == ids_of(first)
    with pytest.raises(RequirementUnmet):
        give(world, BOB, require=Requirements(max_hops=1), prefer=Requirements(disjoint_routes=2))
    with pytest.raises(BadParameter, match="was used for another request"):
        give(world, BOB, nonce="nonce-1")
    assert ids_of(give(world, ANNA, prefer=Requirements(max_hops=1), nonce="nonce-2"))
    close(world)


def test_with_the_far_side_required_nothing_is_given_while_it_is_down() -> None:
    world = new_world()
    give(world, BOB)
    world.crash(B, down_s=8.0)
    with pytest.raises(KeyShortage, match="key manager of 'b' does not answer"):
        give(world, BOB, require=Requirements(far_side_ready=True))
    world.run(world.sleep(10.0))
    given = give(world, BOB, require=Requirements(far_side_ready=True))
    assert secrets(fetch(world, ids_of(given), BOB)) == secrets(given.keys)
    close(world)


def test_a_key_is_given_only_when_its_slave_finds_it_at_once() -> None:
    """A rotator of WireGuard keys asks for the key at the other end as soon as it has the id: no word of the network
    arrives between the two calls."""
    for seed in range(10):
        world = new_world(seed=seed, faults=Faults(p_late=0.2, p_lost=0.1))
        given = give(world, BOB, count=1)
        world.line = lambda _sender, _receiver, _message: None
        assert secrets(fetch(world, ids_of(given), BOB)) == secrets(given.keys)
        close(world)


# ---- several slaves, one of whom states something for all keys of his site ----


def with_wary_user(*, joined_to: str, **terms: Any) -> Network:
    """The star with a user site d whose application is dora, joined to a and to others, which states ``terms``; b is
    joined to a as well, by a link of its own."""
    wary = Site(name="d", kind="user", latitude_deg=0, longitude_deg=4, **terms)
    links = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=200)
        for one, other in (("a", "b"), *(("d", name) for name in joined_to))
    )
    return Network(
        format="qanat-network/1",
        name="wary",
        sites=(*NETWORK.sites, wary),
        links=(*NETWORK.links, *links),
        applications=(*NETWORK.applications, Application(name="dora", site="d")),
    )


def members(network: Network) -> list[SaeId]:
    return [network.sae(name) for name in ("alice", "dora", "bob", "carol")]


def test_the_same_key_for_a_direct_user_and_others_passes_no_relay_to_any_of_them() -> None:
    network = with_wary_user(joined_to="a", direct_keys_only=True)
    alice, dora, bob, carol = members(network)
    world = World(network, chance=SeededChance(1))
    world.start()
    wish: dict[str, Any] = {"master": alice, "count": 2, "size_bits": 256, "patience_s": 20.0}
    with pytest.raises(BadParameter, match="would go to 'c' on a way on which 'd' would not have them known") as fault:
        world.run(world.call(A, lambda manager: manager.get_keys(slave=dora, more_slaves=(carol,), **wish)))
    assert "by itself" in fault.value.remedy
    with pytest.raises(BadParameter, match="would go to 'c'"):
        world.run(world.call(A, lambda manager: manager.get_keys(slave=carol, more_slaves=(bob, dora), **wish)))
    given = world.run(world.call(A, lambda manager: manager.get_keys(slave=dora, more_slaves=(bob,), **wish)))
    assert len(given.keys) == 2
    relayed = [dict(event.data) for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]
    assert {tuple(row["route"]) for row in relayed} == {(A, NodeId("d")), (A, B)}
    others = world.run(world.call(A, lambda manager: manager.get_keys(slave=carol, more_slaves=(bob,), **wish)))
    assert len(others.keys) == 2, "who is not in it has no say"
    world.close()
    assert world.witness.violations == []


def test_the_same_key_for_one_who_avoids_a_relay_and_others_avoids_it_on_all_ways() -> None:
    network = with_wary_user(joined_to="ab", keys_avoid=("r",))
    alice, dora, bob, carol = members(network)
    world = World(network, chance=SeededChance(1))
    world.start()
    wish: dict[str, Any] = {"master": alice, "count": 2, "size_bits": 256, "patience_s": 20.0}
    with pytest.raises(BadParameter, match="would go to 'c' on a way on which 'd' would not have them known"):
        world.run(world.call(A, lambda manager: manager.get_keys(slave=carol, more_slaves=(dora,), **wish)))
    world.run(world.call(A, lambda manager: manager.get_keys(slave=bob, more_slaves=(dora,), **wish)))
    relayed = [dict(event.data) for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED]
    assert relayed
    assert all(R not in row["route"] for row in relayed)
    world.close()
    assert world.witness.violations == []


def test_a_relay_refuses_keys_that_one_who_avoids_it_gets_too() -> None:
    network = with_wary_user(joined_to="ab", keys_avoid=("r",))
    alice, dora, _, carol = members(network)
    refuse_relay(network, (A, R, C), SaePair(alice, carol))
    with pytest.raises(PeerProtocolError, match="keys of 'a', 'c', 'd' came on a way over relays, r"):
        refuse_relay(network, (A, R, C), SaePair(alice, slaves_together((carol, dora))))


def test_a_refusal_for_several_slaves_names_those_who_forbid_the_way_and_no_others() -> None:
    """Site b states something too, which this way fulfils."""
    network = with_wary_user(joined_to="a", direct_keys_only=True)
    sites = tuple(
        site.model_copy(update={"keys_avoid": ("d",)}) if site.name == "b" else site for site in network.sites
    )
    network = network.model_copy(update={"sites": sites})
    with pytest.raises(BadParameter) as fault:
        require_ways_of_all(network, A, (NodeId("c"), B, NodeId("d")))
    assert "'d' is an end" not in fault.value.message
    assert "on which 'd' would not have them known" in fault.value.message


# ---- keys that were made before a site came to state something ----


def two_relays(*, wary: tuple[str, ...] = ()) -> Network:
    """Site a joined to b by the relay r, and to c by the relay s alone; b has its keys avoid ``wary``."""
    sites = tuple(
        Site(name=name, kind="relay" if name in "rs" else "user", latitude_deg=0, longitude_deg=place)
        for place, name in enumerate("rsabc")
    )
    links = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=200)
        for one, other in ("ar", "rb", "as", "sc", "sb")
    )
    homes = {"alice": "a", "bob": "b", "carol": "c"}
    return Network(
        format="qanat-network/1",
        name="two",
        sites=tuple(site.model_copy(update={"keys_avoid": wary}) if site.name == "b" else site for site in sites),
        links=links,
        applications=tuple(Application(name=name, site=site) for name, site in homes.items()),
    )


def held(world: World, node: NodeId) -> int:
    """Return how many keys of several slaves lie at a site."""
    return sum(" " in held.key.pair.slave for held in world.stores[node].disk.keys.values())


def restart_with(world: World, network: Network) -> None:
    """Start all key managers anew on a network file."""
    world.network = network
    for node in network.nodes:
        world.crash(node, down_s=0.5)
    world.run(world.sleep(5.0))


@pytest.mark.parametrize("relay", ["r", "s"])
def test_keys_of_several_slaves_from_before_a_site_avoids_a_relay_are_destroyed_at_all_sites(relay: str) -> None:
    """Only one of the slaves' sites, or the other and the master's, has the record of a way over the relay."""
    plain, wary = two_relays(), two_relays(wary=(relay,))
    alice, bob, carol = plain.saes
    world = World(plain, chance=SeededChance(3))
    world.start()
    wish: dict[str, Any] = {"master": alice, "slave": bob, "more_slaves": (carol,), "size_bits": 256}
    given = world.run(world.call(A, lambda manager: manager.get_keys(count=2, patience_s=20.0, **wish)))
    restart_with(world, plain)
    assert held(world, B) >= 2, "nothing was stated"
    restart_with(world, wary)
    assert {node: held(world, node) for node in (A, B, C)} == dict.fromkeys((A, B, C), 0)
    for node, slave in ((B, bob), (C, carol)):
        ask: dict[str, Any] = {"caller": slave, "master": alice, "key_ids": ids_of(given)}
        with pytest.raises(KeyNotFound):
            world.run(world.call(node, lambda manager, ask=ask: manager.get_keys_by_id(**ask)))
    world.close()
    told = world.witness.violations  # it takes the network file for one that never changes
    assert len(told) == 4, "two keys, two slaves"
    assert all(one.endswith("was supplied to its master, and its slave's node does not hold it") for one in told)


def test_keys_of_several_slaves_that_were_made_as_a_site_states_outlive_restarts() -> None:
    wary = two_relays(wary=("r",))
    alice, bob, carol = wary.saes
    world = World(wary, chance=SeededChance(3))
    world.start()
    wish: dict[str, Any] = {"master": alice, "slave": bob, "more_slaves": (carol,), "size_bits": 256}
    given = world.run(world.call(A, lambda manager: manager.get_keys(count=2, patience_s=20.0, **wish)))
    restart_with(world, wary)
    for node, slave in ((B, bob), (C, carol)):
        ask: dict[str, Any] = {"caller": slave, "master": alice, "key_ids": ids_of(given)}
        found = world.run(world.call(node, lambda manager, ask=ask: manager.get_keys_by_id(**ask)))
        assert secrets(found) == secrets(given.keys)
    close(world)
