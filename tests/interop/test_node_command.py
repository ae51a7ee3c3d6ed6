"""`qanat node` from outside: a relay in a process of its own is killed and comes back, and nothing was given twice.

Sites run apart in these tests; everything else of the network is one `qanat up`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from interop.live import LiveNetwork, running_network, running_site
from interop.load import KEYS_BEFORE_KILL, Load, check_books
from qanat.adapters.tls import client_context
from qanat.client import Client
from qanat.ground.errors import KeyNotFound, KeyShortage
from qanat.ground.keys import SecretKey

pytestmark = pytest.mark.slow

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
RELAY = "kunshan"
WAIT_S = 60.0


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=120, check=False)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not happen"
        time.sleep(0.1)


def service(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "service.json").read_text(encoding="utf-8"))
    return found


def raw_answer(network: LiveNetwork) -> httpx.Response:
    """Ask alice's door for a key as any client would."""
    url = f"{network.url('alice')}/api/v1/keys/{network.sae('bob')}/enc_keys"
    with httpx.Client(verify=client_context(network.files("alice")), timeout=30) as client:
        return client.get(url)


def check_keys(load: Load) -> None:
    assert max(load.deliveries.values()) == 1
    assert all(load.at_slave[key_id] == load.at_master[key_id] for key_id in load.at_slave)


def check_fresh_keys(network: LiveNetwork) -> None:
    """Keys come again, without anybody's help, and are the same at both ends."""
    with network.client("alice") as alice, network.client("bob") as bob:
        keys = asked_until_given(alice, network)
        mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
    assert [key.take() for key in mates] == [key.take() for key in keys]


def asked_until_given(alice: Client, network: LiveNetwork) -> Sequence[SecretKey]:
    """Ask as an application would that is told to come back."""
    deadline_s = time.monotonic() + WAIT_S
    while True:
        try:
            return alice.get_keys(network.sae("bob"), count=8, size_bits=256)
        except KeyShortage:
            assert time.monotonic() < deadline_s, "no keys came"
            time.sleep(0.2)


def load_until_death(network: LiveNetwork, load: Load, kill: Callable[[], None], *, patience_s: float) -> None:
    """Once keys come, take them without pause, kill in the middle of it, and go on until no more come."""
    check_fresh_keys(network)
    enough = threading.Event()
    thread = threading.Thread(target=load.run, args=(network,), kwargs={"enough": enough, "patience_s": patience_s})
    thread.start()
    assert enough.wait(timeout=WAIT_S), "the network gave no keys"
    kill()
    thread.join(timeout=WAIT_S)
    assert not thread.is_alive()


def num_events(data: Path, kind: str) -> int:
    text = (data / "events.jsonl").read_text(encoding="utf-8")
    lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be on its way to the disk
    return sum(json.loads(line)["kind"] == kind for line in lines)


def check_each_is_gone(network: LiveNetwork, load: Load) -> None:
    with network.client("bob") as bob:
        for key_id in load.at_slave:
            with pytest.raises(KeyNotFound):
                bob.get_keys_by_id(network.sae("alice"), [key_id])


@pytest.mark.campaign
def test_keys_flow_through_a_relay_that_runs_apart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with running_network(data, apart=[RELAY]) as network:
        said = network.record["apart"][RELAY]
        assert (said["answers"], said["url"]) == (False, None)
        doctor = qanat("doctor", "--data", str(data), "--json")
        assert doctor.returncode == 1
        assert "does not answer; start it with: qanat node three-nodes kunshan" in doctor.stdout
        with running_site(data, RELAY) as relay:
            assert relay.record["url"] is None, "a relay has no applications, and so no door"
            assert relay.record["modules"] == ["suzhou-kunshan.kunshan", "kunshan-shanghai.kunshan"]
            check_fresh_keys(network)
            until(lambda: service(data)["apart"][RELAY]["answers"] is True, "service.json says that the relay answers")
            doctor = qanat("doctor", "--data", str(data), "--json")
            assert doctor.returncode == 0
            assert json.loads(doctor.stdout)["apart"] == {RELAY: "answers"}
            seen = {json.loads(line)["node"] for line in (data / RELAY / "events.jsonl").read_text().splitlines()}
            assert seen == {RELAY}
        until(lambda: service(data)["apart"][RELAY]["answers"] is False, "service.json says that the relay is gone")
    assert list((data / "addresses").rglob("*.json")) == []


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.campaign)])
def test_a_relay_killed_under_load_comes_back_and_no_key_was_given_twice(tmp_path: Path, kills: int) -> None:
    data, load = tmp_path / "data", Load()
    with running_network(data, apart=[RELAY]) as network:
        for _ in range(kills):
            before = len(load.at_slave)
            with running_site(data, RELAY) as relay:
                load_until_death(network, load, relay.kill, patience_s=3)
            assert len(load.at_slave) >= before + KEYS_BEFORE_KILL
        answer = raw_answer(network)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert RELAY in answer.json()["message"]
        with running_site(data, RELAY):
            check_fresh_keys(network)
            check_each_is_gone(network, load)
    check_keys(load)
    check_books(data, load)


@pytest.mark.campaign
@pytest.mark.parametrize("delays_s", [(0.5,), pytest.param((0.0, 0.25, 0.5, 0.75, 1.0), marks=pytest.mark.campaign)])
def test_a_relay_killed_while_key_is_being_made_costs_no_more_than_that_key(
    tmp_path: Path, delays_s: Sequence[float]
) -> None:
    """A few requests empty the pools, so that they need new blocks; the kills come at all stages of one."""
    data, load = tmp_path / "data", Load()
    with running_network(data, apart=[RELAY]) as network:
        for delay_s in delays_s:
            orders = num_events(data, "generation-ordered")
            with running_site(data, RELAY) as relay:
                thread = threading.Thread(target=load.take_large, args=(network,), kwargs={"num_batches": 3})
                thread.start()
                until(lambda orders=orders: num_events(data, "generation-ordered") > orders, "an order")
                time.sleep(delay_s)
                relay.kill()
            with running_site(data, RELAY):
                thread.join(timeout=WAIT_S)
                assert not thread.is_alive()
                check_fresh_keys(network)
    assert len(load.at_slave) == len(delays_s) * 3 * 128
    check_keys(load)
    check_books(data, load)


@pytest.mark.campaign
def test_a_network_killed_under_a_relay_that_lives_is_found_again(tmp_path: Path) -> None:
    data, load = tmp_path / "data", Load()
    with running_network(data, apart=[RELAY]) as network, running_site(data, RELAY) as relay:
        load_until_death(network, load, network.kill, patience_s=3)
        with running_network(data, apart=[RELAY]) as again:
            check_fresh_keys(again)
            load_until_death(again, load, again.kill, patience_s=3)
        with running_network(data, apart=[RELAY]) as again:
            check_fresh_keys(again)
            check_each_is_gone(again, load)
        assert relay.process.poll() is None
        assert num_events(data / RELAY, "node-started") == 1
    check_keys(load)
    check_books(data, load)


@pytest.mark.campaign
def test_all_sites_may_run_apart(tmp_path: Path) -> None:
    data, sites = tmp_path / "data", ("suzhou", "kunshan", "shanghai")
    with ExitStack() as stack:
        network = stack.enter_context(running_network(data, apart=sites))
        assert network.record["doors"] == {}
        assert network.record["applications"]["alice"]["url"] is None
        said = {site: stack.enter_context(running_site(data, site)).record for site in sites}
        until(lambda: all(site["answers"] for site in service(data)["apart"].values()), "all sites answer")
        record = service(data)
        assert record["applications"]["alice"]["url"] == said["suzhou"]["url"]
        check_fresh_keys(LiveNetwork(network.process, record))
        doctor = json.loads(qanat("doctor", "--data", str(data), "--json").stdout)
        assert doctor["apart"] == dict.fromkeys(sites, "answers")
        assert sorted(doctor["doors"]) == ["shanghai", "suzhou"]


def test_what_cannot_be_is_said_with_a_remedy(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    for arguments in (("node", "three-nodes", "kunshn"), ("up", "three-nodes", "--apart", "kunshn")):
        done = qanat(*arguments, "--data", data)
        assert done.returncode == 2
        assert "did you mean kunshan" in done.stderr
    done = qanat("node", "three-nodes", RELAY, "--data", data, "--wait", "0.3")
    assert done.returncode == 2
    assert "no `qanat up` serves the QKD modules of site 'kunshan'" in done.stderr
    assert f"--data {data} --apart kunshan" in done.stderr
    assert not Path(data).exists()

    with running_network(tmp_path / "data"):
        done = qanat("node", "three-nodes", RELAY, "--data", data)
        assert done.returncode == 2
        assert "start that with --apart kunshan" in done.stderr
    with running_network(tmp_path / "data", apart=[RELAY]) as network, running_site(tmp_path / "data", RELAY):
        done = qanat("node", "three-nodes", RELAY, "--data", data)
        assert done.returncode == 2
        assert "it runs already; stop it first" in done.stderr
        network.kill()
        done = qanat("up", "three-nodes", "--data", data, "--port", "0")
        assert done.returncode == 2
        assert "stop `qanat node` there, or name --apart kunshan" in done.stderr


def test_a_site_may_be_started_before_its_network_and_waits_for_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    waiting = subprocess.Popen(
        [*QANAT, "node", "three-nodes", RELAY, "--data", str(data), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with waiting, running_network(data, apart=[RELAY]) as network:
        assert waiting.stdout is not None
        assert json.loads(waiting.stdout.readline())["site"] == RELAY
        check_fresh_keys(network)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(timeout=WAIT_S) == 0
