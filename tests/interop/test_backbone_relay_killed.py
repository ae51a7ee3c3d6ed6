"""A relay of the backbone is killed while keys are taken: what lies ready is given, then the shortage names the relay,
and the line goes on by itself when the relay is back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interop.live import LiveNetwork, running_network, running_site
from interop.load import Load, check_books
from interop.test_node_command import check_keys, raw_answer, until
from qanat.apps.networks import load_network
from qanat.client import Client
from qanat.ground.errors import KeyShortage

pytestmark = pytest.mark.slow

BACKBONE, RELAY = "beijing-shanghai", "wuxi"
BATCH, SIZE_BITS = 32, 128


def num_relayed(data: Path) -> int:
    """Return how many keys have been relayed so far."""
    text = (data / "events.jsonl").read_text(encoding="utf-8")
    events = map(json.loads, text[: text.rfind("\n") + 1].splitlines())  # the last may be on its way to the disk
    return sum(event["data"]["num_keys"] for event in events if event["kind"] == "keys-relayed")


def take(network: LiveNetwork, load: Load, alice: Client, bob: Client) -> None:
    """Take a batch at both ends; raises KeyShortage."""
    keys = alice.get_keys(network.sae("bob"), count=BATCH, size_bits=SIZE_BITS)
    load.note("alice", load.at_master, {key.key_id: key.take() for key in keys})
    mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
    load.note("bob", load.at_slave, {key.key_id: key.take() for key in mates})


def take_all(network: LiveNetwork, load: Load, alice: Client, bob: Client) -> None:
    while True:
        take(network, load, alice, bob)


@pytest.mark.campaign
def test_the_backbone_lives_on_its_stock_without_a_relay_and_goes_on_with_it(tmp_path: Path) -> None:
    data, load, plan = tmp_path / "data", Load(), load_network(BACKBONE)
    prepared = next(keys for keys in plan.prepared_keys if keys.size_bits == SIZE_BITS)
    ready = sum(keys.count for keys in plan.prepared_keys)
    with (
        running_network(data, BACKBONE, apart=[RELAY]) as network,
        network.client("alice", patience_s=3) as alice,
        network.client("bob") as bob,
    ):
        with running_site(data, RELAY, BACKBONE) as relay:
            until(lambda: num_relayed(data) >= ready, "idle time fills the pool")
            take(network, load, alice, bob)
            relay.kill()
        with pytest.raises(KeyShortage, match=f"'{RELAY}', a node on the way, does not answer 'changzhou'") as fault:
            take_all(network, load, alice, bob)
        assert f"bring the key manager of '{RELAY}' up again" in fault.value.remedy
        assert len(load.at_master) == prepared.count, "all that lay ready was given, and nothing else"
        alice.get_keys(network.sae("bob"), count=128, size_bits=256)  # the door's own size lay ready too
        answer = raw_answer(network)
        assert answer.status_code == 503
        assert RELAY in answer.json()["message"]
        assert int(answer.headers["retry-after"]) > 0
        with running_site(data, RELAY, BACKBONE):
            until(lambda: is_given(network, load, alice, bob), "keys come again")
    check_keys(load)
    assert len(load.at_slave) == len(load.at_master) > prepared.count
    check_books(data, load, nodes=plan.nodes)


def is_given(network: LiveNetwork, load: Load, alice: Client, bob: Client) -> bool:
    try:
        take(network, load, alice, bob)
    except KeyShortage:
        return False
    return True
