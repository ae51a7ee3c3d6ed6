"""Keys that lie ready when a site begins to ask for other ways in the network file: those that went a way which it
forbids are destroyed, at whatever end, and no others."""

from __future__ import annotations

import uuid
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest

from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import NodeId, SaePair, slaves_together
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import SecretBytes, SecretKey, Selection
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.ports import KeyStore
from qanat.ground.requirements import KeyFit
from qanat.ground.tracing import EventRecorder
from qanat.key_management.context import Context
from qanat.key_management.forbidden import allowed_ways, void_forbidden
from store_support import BOTH, DICE, PAIR, REQUEST, Play, new_key, play

__all__ = ["play"]  # the fixture: each test runs on every store

A, B, R, S = (NodeId(name) for name in "abrs")
BY_R, BY_S = (A, R, B), (A, S, B)


def key(route: tuple[NodeId, ...], pair: SaePair = PAIR) -> SecretKey:
    return replace(new_key(dice=DICE, pair=pair), route=route)


def batch(num_keys: int, route: tuple[NodeId, ...]) -> KeyBatch:
    return KeyBatch(
        ids=KeyIds(str(uuid.UUID(bytes=DICE.randbytes(16), version=4)), num_keys),
        pair=PAIR,
        size_bits=256,
        secret=SecretBytes(DICE.randbytes(num_keys * 32)),
        routes=(route,),
        threshold=None,
        origin="twin",
        created_utc_s=1.5e9,
        qkd_bits_spent=num_keys * 512,
    )


@pytest.mark.parametrize("num_keys", [2, 40])
def test_keys_whose_recorded_ways_do_not_fit_are_destroyed_and_no_others(play: Play, num_keys: int) -> None:
    """Keys one by one, and batches of which a store keeps one row; given to the master already or not."""
    reverse = SaePair(PAIR.slave, PAIR.master)

    async def scene(store: KeyStore) -> None:
        await store.put([key(BY_R), key(BY_R), key(BY_S), key(BY_R, reverse)], entitled=BOTH, confirmed=True)
        await store.put_batch(batch(num_keys, BY_R), entitled=BOTH, confirmed=True)
        await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        for fit, num_voided in (
            (KeyFit(avoid=frozenset({NodeId("elsewhere")})), 0),
            (KeyFit(within=frozenset({A, B, R, S})), 0),
            (KeyFit(avoid=frozenset({R})), 2 + num_keys),
            (KeyFit(avoid=frozenset({R})), 0),
        ):
            assert await store.void(Selection(unfit=frozenset({(PAIR, fit)}))) == num_voided, fit
        assert await store.held_keys() == {PAIR: 1, reverse: 1}
        assert await store.void(Selection(unfit=frozenset({(PAIR, KeyFit(is_direct=True))}))) == 1

    play(scene)


def network(**asked: object) -> Network:
    """``asked``: of the site of bob."""
    sites = [
        {"name": name, "kind": kind, "latitude_deg": 0, "longitude_deg": place, "region": "" if name == "s" else "east"}
        for place, (name, kind) in enumerate([("a", "user"), ("b", "user"), ("r", "relay"), ("s", "relay")])
    ]
    sites[1] |= asked
    links = [("a", "r"), ("r", "b"), ("a", "s"), ("s", "b")]
    return Network(
        format="qanat-network/1",
        name="net",
        sites=tuple(map(Site.model_validate, sites)),
        links=tuple(
            Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=9)
            for one, other in links
        ),
        applications=(Application(name="alice", site="a"), Application(name="bob", site="b")),
    )


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ({}, 3),
        ({"keys_avoid": ("r",)}, 1),
        ({"keys_avoid": ("s",)}, 2),
        ({"domestic_keys_only": True}, 2),
        ({"direct_keys_only": True}, 0),
    ],
)
def test_at_a_start_the_stock_is_brought_in_line_with_the_network_file(
    play: Play, asked: dict[str, object], left: int
) -> None:
    """bob's site asks; it is the store of either site that holds alice's keys for bob."""
    net, told = network(**asked), list[Event]()
    pair = SaePair(net.sae("alice"), net.sae("bob"))
    recorder = EventRecorder(node=A, clock=SystemClock(), entropy=SystemEntropy(), sink=told.append)

    async def scene(store: KeyStore) -> None:
        keys = [key(BY_R, pair), key(BY_R, pair), key(BY_S, pair)]
        await store.put(keys, entitled=frozenset({pair.master}), confirmed=True)
        gone = SaePair(pair.master, net.sae("carol"))  # an application that the network has no longer
        await store.put([key(BY_R, gone)], entitled=frozenset({pair.master}), confirmed=True)
        context = cast(Context, SimpleNamespace(network=net, store=store, recorder=recorder))
        await at_a_start(context)
        await at_a_start(context)
        assert (await store.held_keys()).get(pair, 0) == left
        assert (await store.held_keys())[gone] == 1
        numbers = [event.data["num_items"] for event in told if event.kind is EventKind.KEYS_VOIDED]
        assert numbers == ([3 - left] if left < 3 else [])

    play(scene)


async def at_a_start(context: Context) -> None:
    """As a key manager has it done when it starts."""
    await void_forbidden(context, await context.store.held_keys(), former_terms=await context.store.terms())


@pytest.mark.parametrize("others", [("carol",), ("a-first",), ("a-first", "carol")])
def test_a_slave_that_the_network_has_no_longer_does_not_lift_what_the_sites_of_others_ask(
    others: tuple[str, ...],
) -> None:
    """Its name sorts before or after that of bob, whose site asks."""
    net = network(keys_avoid=("r",))
    pair = SaePair(net.sae("alice"), slaves_together(net.sae(name) for name in ("bob", *others)))
    assert allowed_ways(net, pair) == KeyFit(avoid=frozenset({R}))
    unasked = SaePair(net.sae("alice"), slaves_together(net.sae(name) for name in others))
    assert allowed_ways(net, unasked) is None


def test_keys_of_a_master_that_the_network_has_no_longer_are_destroyed_where_sites_ask_for_ways(play: Play) -> None:
    """It cannot be said whether its own site would have had them go as they went."""
    net, told = network(keys_avoid=("r",)), list[Event]()
    pair = SaePair(net.sae("carol"), net.sae("bob"))
    recorder = EventRecorder(node=A, clock=SystemClock(), entropy=SystemEntropy(), sink=told.append)

    async def scene(store: KeyStore) -> None:
        keys = [key(BY_S, pair), key((B,), pair)]
        await store.put(keys, entitled=frozenset({pair.slave}), confirmed=True)
        await at_a_start(cast(Context, SimpleNamespace(network=net, store=store, recorder=recorder)))
        assert pair not in await store.held_keys()

    play(scene)
