"""`qanat up` from outside: somebody else's client, one delivery per key, and five power cuts under load."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlparse

import pytest
from etsi_qkd_014_client import QKD014Client

from interop.live import LiveNetwork, running_network
from interop.load import KEYS_BEFORE_KILL, Load, check_books
from qanat.ground.data import read_text
from qanat.ground.errors import KeyNotFound, NotEntitled
from qanat.ground.identifiers import KeyID

pytestmark = pytest.mark.slow


def outside_client(network: LiveNetwork, name: str) -> QKD014Client:
    files = network.files(name)
    return QKD014Client(urlparse(network.url(name)).netloc, str(files.certificate), str(files.key), str(files.ca))


def test_a_client_written_by_others_fetches_a_key_and_the_same_key_by_id(tmp_path: Path) -> None:
    with running_network(tmp_path / "data") as network:
        with network.client("alice") as alice:  # patient: the first key has to be made from photons
            alice.get_keys(network.sae("bob"), count=1, size_bits=256)
        master, slave = outside_client(network, "alice"), outside_client(network, "bob")
        code, status = master.get_status(network.sae("bob"))
        assert code == 200
        assert status.slave_sae_id == network.sae("bob")
        assert status.stored_key_count > 0
        code, given = master.get_key(network.sae("bob"), number=2, size=256)
        assert code == 200
        ids = [key.key_id for key in given.keys]
        code, fetched = slave.get_key_with_key_IDs(network.sae("alice"), ids)
        assert code == 200
        assert [(key.key_id, key.key) for key in fetched.keys] == [(key.key_id, key.key) for key in given.keys]
        code, refusal = slave.get_key_with_key_IDs(network.sae("alice"), ids)
        assert (code, refusal.message) == (400, "one or more keys specified are not found on KME")


def test_keys_go_once_and_only_to_whom_they_are_for(tmp_path: Path) -> None:
    with running_network(tmp_path / "data") as network, network.client("alice") as alice, network.client("bob") as bob:
        (key,) = alice.get_keys(network.sae("bob"), count=1, size_bits=256)
        with pytest.raises(NotEntitled):  # alice's own key manager does not hold bob's half for her
            network_of_alice_asks_for_bobs(network, key.key_id)
        (same,) = bob.get_keys_by_id(network.sae("alice"), [key.key_id])
        assert same.take() == key.take()
        with pytest.raises(KeyNotFound):
            bob.get_keys_by_id(network.sae("alice"), [key.key_id])


GROWTH = {
    "links:\n": """  - {name: wuxi, kind: user, latitude_deg: 31.49, longitude_deg: 120.31}

links:
  - {name: wuxi-suzhou, transmitter: wuxi, receiver: suzhou, system: backbone-625, loss_db: 12, length_km: 48}
""",
    "applications:\n": """applications:
  - {name: carol, site: wuxi}
""",
}


@pytest.mark.campaign
def test_a_network_that_has_grown_goes_on_with_its_data(tmp_path: Path) -> None:
    path, data = tmp_path / "growing.yaml", tmp_path / "data"
    text = read_text("networks", "three-nodes.yaml")
    path.write_text(text, encoding="utf-8")
    with running_network(data, str(path)):
        before = {file: file.read_bytes() for file in (data / "pki").rglob("*.pem")}
    for old, new in GROWTH.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    with running_network(data, str(path)) as network, network.client("carol") as carol:
        (key,) = carol.get_keys(network.sae("alice"), count=1, size_bits=256)
        with network.client("alice") as alice:
            (same,) = alice.get_keys_by_id(network.sae("carol"), [key.key_id])
        assert same.take() == key.take()
    assert {file: file.read_bytes() for file in before} == before


def test_the_snippet_in_the_readme_prints_a_key_id(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    with running_network(tmp_path / "data") as network:
        snippet = snippet.replace('"data/pki"', repr(str(tmp_path / "data" / "pki")))
        snippet = snippet.replace("https://127.0.0.1:8801", network.url("alice"))
        done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"[0-9a-f-]{36} 32 bytes\n", done.stdout)


def network_of_alice_asks_for_bobs(network: LiveNetwork, key_id: KeyID) -> None:
    files = network.files("alice")
    intruder = QKD014Client(urlparse(network.url("bob")).netloc, str(files.certificate), str(files.key), str(files.ca))
    code, answer = intruder.get_key_with_key_IDs(network.sae("alice"), [key_id])
    if code == 401:
        raise NotEntitled(answer.message)


@pytest.mark.parametrize("cuts", [2, pytest.param(8, marks=pytest.mark.campaign)])
def test_power_cuts_under_load_reuse_no_pad_and_deliver_no_key_twice(tmp_path: Path, cuts: int) -> None:
    data, load = tmp_path / "data", Load()
    for _ in range(cuts):
        with running_network(data) as network:
            enough = threading.Event()
            thread = threading.Thread(target=load.run, args=(network,), kwargs={"enough": enough})
            thread.start()
            assert enough.wait(timeout=60), "the network gave no keys"
            network.kill()
            thread.join(timeout=60)
            assert not thread.is_alive()
    assert len(load.at_master) >= cuts * KEYS_BEFORE_KILL
    assert max(load.deliveries.values()) == 1
    assert all(load.at_slave[key_id] == load.at_master[key_id] for key_id in load.at_slave)
    with running_network(data) as network, network.client("bob") as bob:
        for key_id in load.at_slave:
            with pytest.raises(KeyNotFound):
                bob.get_keys_by_id(network.sae("alice"), [key_id])
    check_books(data, load)
