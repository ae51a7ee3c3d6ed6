"""A ring with a real process killed: keys of two shares are refused and never made of one, plain keys go the other way,
and both come again with the relay."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.live import LiveNetwork, running_network, running_site
from interop.load import Load, check_books
from interop.test_node_command import check_keys, until
from qanat.apps.networks import load_network
from qanat.client import Client
from qanat.ground.errors import KeyShortage, RequirementUnmet
from qanat.ground.keys import SecretKey
from qanat.ground.requirements import Requirements

pytestmark = pytest.mark.slow

RING, RELAY = "five-site-ring", "east"
WAYS = {("north", "east", "south"), ("north", "northwest", "southwest", "south")}
ONE, TWO, THREE = (Requirements(disjoint_routes=count) for count in (1, 2, 3))
COUNT, SIZE_BITS = 8, 256


def take(network: LiveNetwork, load: Load, alice: Client, bob: Client, require: Requirements) -> Sequence[SecretKey]:
    """Take keys at both ends; raises KeyShortage."""
    keys = alice.get_keys(network.sae("bob"), count=COUNT, size_bits=SIZE_BITS, require=require)
    load.note("alice", load.at_master, {key.key_id: key.take() for key in keys})
    mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
    load.note("bob", load.at_slave, {key.key_id: key.take() for key in mates})
    for key, mate in zip(keys, mates, strict=True):
        assert (key.route, key.qkd_bits_spent) == (mate.route, mate.qkd_bits_spent)
        assert key.full_record == mate.full_record
    return keys


def is_given(network: LiveNetwork, load: Load, alice: Client, bob: Client, require: Requirements) -> bool:
    try:
        take(network, load, alice, bob, require)
    except KeyShortage:
        return False
    return True


def check_two_ways(keys: Sequence[SecretKey]) -> None:
    hops = 2 + 3
    for key in keys:
        record = key.full_record
        assert record is not None
        assert set(record.routes) == WAYS
        assert (record.threshold, record.hops, record.pad_bits) == (2, hops, hops * SIZE_BITS)
    assert sum(key.qkd_bits_spent for key in keys) == hops * (COUNT * SIZE_BITS + 2 * 256), (
        "each hop of each way, to the bit: a tag under two pads of 128 bits, and what the ends compare by"
    )


@pytest.mark.parametrize("lives", [1, pytest.param(4, marks=pytest.mark.campaign)])
def test_a_ring_lives_without_a_relay_but_gives_no_key_of_two_ways(tmp_path: Path, lives: int) -> None:
    data, load, plan = tmp_path / "data", Load(), load_network(RING)
    with (
        running_network(data, RING, apart=[RELAY]) as network,
        network.client("alice", patience_s=20) as alice,
        network.client("bob") as bob,
    ):
        for _ in range(lives):
            with running_site(data, RELAY, RING) as relay:
                until(lambda: is_given(network, load, alice, bob, TWO), "keys come over both ways")
                check_two_ways(take(network, load, alice, bob, TWO))
                with pytest.raises(
                    RequirementUnmet, match=r"every other way passes 'east', '(north|south)west': ask for fewer routes"
                ):
                    take(network, load, alice, bob, THREE)
                relay.kill()
            until(lambda: is_given(network, load, alice, bob, ONE), "keys go the other way")
            keys = take(network, load, alice, bob, ONE)
            assert {key.route for key in keys} == {("north", "northwest", "southwest", "south")}
            with pytest.raises(KeyShortage, match=f"'{RELAY}', a node on the way, does not answer"):
                take(network, load, alice, bob, TWO)
        with running_site(data, RELAY, RING):
            until(lambda: is_given(network, load, alice, bob, TWO), "keys come over both ways again")
    check_keys(load)
    check_books(data, load, nodes=plan.nodes)
