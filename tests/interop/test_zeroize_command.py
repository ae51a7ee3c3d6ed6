"""Sites of a real network are zeroized between two runs, one with a damaged store, and one put back from a copy: keys
come again, each once."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.live import LiveNetwork, running_network
from qanat.ground.errors import KeyNotFound, KeyShortage
from qanat.ground.keys import SecretKey

pytestmark = pytest.mark.slow

WAIT_S = 90.0


def get_keys(network: LiveNetwork) -> Sequence[SecretKey]:
    """Ask alice's door until it gives keys."""
    deadline_s = time.monotonic() + WAIT_S
    with network.client("alice") as alice:
        while True:
            try:
                return alice.get_keys(network.sae("bob"), count=4, size_bits=256)
            except KeyShortage:
                assert time.monotonic() < deadline_s, "no keys came"
                time.sleep(0.2)


def check_equal_keys(network: LiveNetwork) -> None:
    keys = get_keys(network)
    with network.client("bob") as bob:
        mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
    assert [key.take() for key in mates] == [key.take() for key in keys]


def events(data: Path, kind: str) -> list[str]:
    """Return the nodes of the events of a kind."""
    lines = (data / "events.jsonl").read_text(encoding="utf-8").splitlines()
    return [event["node"] for event in map(json.loads, lines) if event["kind"] == kind]


def zeroize(data: Path, site: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qanat.apps.cli.main", "node", "zeroize", "three-nodes", site]
    return subprocess.run([*command, "--data", str(data), "--yes"], capture_output=True, text=True, check=False)


def test_a_zeroized_site_and_one_put_back_from_a_copy_come_back_empty(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_network(data) as network:
        waiting = get_keys(network)
        refused = zeroize(data, "shanghai")
        assert refused.returncode == 2
        assert "stop the process that runs this site" in refused.stderr

    copy = tmp_path / "copy"
    shutil.copy(data / "suzhou" / "keys.sqlite", copy)
    done = zeroize(data, "shanghai")
    assert done.returncode == 0, done.stderr
    assert "shanghai: 4 keys" in done.stderr

    with running_network(data) as network:
        with network.client("bob") as bob, pytest.raises(KeyNotFound):
            bob.get_keys_by_id(network.sae("alice"), [waiting[0].key_id])
        check_equal_keys(network)
        assert events(data, "store-restored") == []

    shutil.copy(copy, data / "suzhou" / "keys.sqlite")
    (data / "pki" / "links" / "suzhou-kunshan.made").unlink()
    with running_network(data) as network:
        check_equal_keys(network)
        assert events(data, "store-restored") == ["suzhou"]

    with (data / "kunshan" / "keys.sqlite").open("r+b") as store:
        store.seek(4096)
        store.write(bytes(4096))
    done = zeroize(data, "kunshan")
    assert (done.returncode, "kunshan: its key store was damaged" in done.stderr) == (0, True), done.stderr
    with running_network(data) as network:
        check_equal_keys(network)
        assert set(events(data, "store-restored")) == {"suzhou", "kunshan"}
