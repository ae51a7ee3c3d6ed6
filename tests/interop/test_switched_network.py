"""Real keys through an optical switch over the real door: links take turns, and direct users get direct keys alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from etsi_qkd_014_client import QKD014Client

from interop.live import LiveNetwork, running_network
from qanat.ground.data import read_text
from qanat.ground.errors import NoDirectLink
from qanat.ground.events import STEP_OF_KIND, EventKind

pytestmark = pytest.mark.slow


def events_of(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "events.jsonl").read_text(encoding="utf-8").splitlines()]


def outside_client(network: LiveNetwork, name: str) -> QKD014Client:
    files = network.files(name)
    return QKD014Client(urlparse(network.url(name)).netloc, str(files.certificate), str(files.key), str(files.ca))


def test_keys_come_through_a_switch_and_direct_users_get_none_over_a_relay(tmp_path: Path) -> None:
    """alice at xu, a transmitter, is made a user of direct keys only too: no switch can join her with bob at yan, a
    transmitter like hers, nor the relay give her keys with him."""
    file, data = tmp_path / "switch.yaml", tmp_path / "data"
    text = read_text("networks", "one-switch.yaml").split("prepared_keys:")[0]
    text = text.replace("equipment: transmitter", "equipment: transmitter\n    direct_keys_only: true", 1)
    text += "  - name: rose\n    site: relay\n"
    file.write_text(text, encoding="utf-8")
    with running_network(data, str(file)) as network, network.client("alice") as alice, network.client("bob") as bob:
        for client, slave in ((alice, "carol"), (bob, "rose"), (bob, "carol")):
            (key,) = client.get_keys(network.sae(slave), count=1, size_bits=256)
            with network.client(slave) as other:
                master = "alice" if client is alice else "bob"
                (same,) = other.get_keys_by_id(network.sae(master), [key.key_id])
                assert same.take() == key.take()
        with pytest.raises(NoDirectLink, match="no QKD link joins 'xu' and 'yan', and 'xu' takes keys over no relay"):
            alice.get_keys(network.sae("bob"), count=1, size_bits=256)
        code, refusal = outside_client(network, "bob").get_key(network.sae("alice"), number=1, size=256)
        assert code == 400
        assert "an optical switch joins" in refusal.message, "a client of the standard is told the remedy as well"
    events = events_of(data)
    turned = [event for event in events if event["kind"] == EventKind.SWITCH_TURNED]
    assert [event["data"]["link_id"] for event in turned[:2]] == ["xu--dora", "yan--relay"]
    by_id = {event["id"]: event for event in events}
    for event in turned:
        assert STEP_OF_KIND[EventKind(by_id[event["cause"]]["kind"])] == 6
        assert event["request_id"]
    routes = {tuple(event["data"]["route"]) for event in events if event["kind"] == EventKind.KEY_GIVEN}
    assert routes == {("xu", "dora"), ("yan", "relay"), ("yan", "dora")}


@pytest.mark.campaign
def test_the_demo_of_a_switch_proves_what_it_set_out_to_prove(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "qanat.apps.cli.main",
            "demo",
            "one-switch",
            "--out",
            str(tmp_path / "report"),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [(link["link_id"], link["keys_identical"]) for link in result["links"]] == [
        ("xu--relay", True),
        ("yan--relay", True),
        ("dora--dirk", True),
    ]
    assert "light passes for xu--relay: switch: 2 with 1" in done.stderr


def test_in_the_papers_network_higher_level_users_get_direct_keys_and_a_full_city_s_users_take_turns(
    tmp_path: Path,
) -> None:
    pairs = (("beijing-user-13", "beijing-user-14"), ("jinan-user-12-a", "jinan-user-13-b"))
    with running_network(tmp_path / "data", "nature2021") as network:
        for master, slave in pairs:
            with network.client(master) as one, network.client(slave) as other:
                (key,) = one.get_keys(network.sae(slave), count=1, size_bits=256)
                (same,) = other.get_keys_by_id(network.sae(master), [key.key_id])
                assert same.take() == key.take()
        with network.client("beijing-user-13") as wary, pytest.raises(NoDirectLink, match="keys over no relay"):
            wary.get_keys(network.sae("jinan-user-12-a"), count=1, size_bits=256)
    turned = [event["data"] for event in events_of(tmp_path / "data") if event["kind"] == EventKind.SWITCH_TURNED]
    assert turned[0] == {
        "link_id": "beijing-user-13--beijing-user-14",
        "switches": ["beijing-switch-1: 2 with 3"],
    }
