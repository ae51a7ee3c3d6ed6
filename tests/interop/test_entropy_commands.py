"""Commands whose devices draw from a physical generator: what they do with a good one, and when it fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interop.fleet import Fleet
from interop.generator import generator
from interop.live import LiveNetwork, running_network
from qanat.ground.errors import LinkFailed

QANAT = (sys.executable, "-m", "qanat.apps.cli.main")
SHORT_LINK = ("link", "--system", "metro-40-ii", "--loss-db", "5.8", "--seconds", "8", "--no-calibration")
BIASED = bytes([1, 2, 3, 1, 4, 5, 1, 6, 7])
pytestmark = pytest.mark.slow


def qanat(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*QANAT, *arguments], capture_output=True, text=True, timeout=240, check=False)


def test_a_link_distils_on_a_generator(tmp_path: Path) -> None:
    with generator(tmp_path) as good:
        done = qanat(*SHORT_LINK, "--entropy", str(good.path), "--min-entropy", "7.5", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["keys_identical"] is True
    account = told["entropy"]
    assert account["fault"] is None
    assert account["bytes_given"] > told["detections"], "a byte masks each click"
    assert account["samples_read"] * 7.5 >= 8 * account["bytes_given"] * 320 / 256


@pytest.mark.parametrize(
    ("bad", "words"),
    [(b"\0", "(repetition count test)"), (BIASED, "(adaptive proportion test)")],
    ids=["stuck", "biased"],
)
def test_a_generator_that_fails_stops_the_light_with_an_alarm(tmp_path: Path, bad: bytes, words: str) -> None:
    with generator(tmp_path, good_samples=300_000, bad=bad) as failing:
        done = qanat(*SHORT_LINK, "--entropy", str(failing.path), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    (alarm,) = told["alarms"]
    assert alarm["code"] == "EntropyFailed"
    assert str(failing.path) in alarm["text"]
    assert words in alarm["text"]
    assert "no key is made" in alarm["remedy"]
    assert told["secret_bits"] == 0
    assert told["pulses"] < 8 * 40_000_000, "the light went off"


def test_a_recording_that_ends_stops_the_light_and_is_not_used_again(tmp_path: Path) -> None:
    path = tmp_path / "samples.bin"
    path.write_bytes(os.urandom(300_000))
    path.chmod(0o600)
    done = qanat(*SHORT_LINK, "--entropy", str(path))
    assert done.returncode == 1
    assert "alarm EntropyFailed" in done.stdout
    assert "it ended after 300000 samples" in done.stdout
    again = qanat(*SHORT_LINK, "--entropy", str(path))
    assert again.returncode == 2
    assert "all 300,000 samples" in again.stderr


def test_a_demonstration_names_a_generator_that_fails(tmp_path: Path) -> None:
    with generator(tmp_path, good_samples=15_000_000) as failing:
        done = qanat("demo", "three-nodes", "--entropy", str(failing.path), "--out", str(tmp_path / "report"), "--json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error (quantum layer)" in done.stderr
    assert f"the entropy source {failing.path} failed" in done.stderr
    assert "(repetition count test)" in done.stderr
    assert "no link makes key" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["generator"]


@pytest.mark.parametrize(
    "command", [SHORT_LINK, ("demo", "three-nodes", "--out", "{}/report"), ("up", "three-nodes", "--data", "{}/data")]
)
def test_a_generator_that_is_bad_from_the_start_is_refused(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = qanat(*(part.format(tmp_path) for part in command), "--entropy", "/dev/zero")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "the entropy source /dev/zero failed" in done.stderr
    assert "what to do: no key is made without it" in done.stderr
    assert "Traceback" not in done.stderr


TWO_SITES = """
format: qanat-network/1
name: two
sites:
  - {name: a, kind: user, latitude_deg: 31.3, longitude_deg: 120.6}
  - {name: b, kind: user, latitude_deg: 31.4, longitude_deg: 121.0}
links:
  - {name: a-b, transmitter: a, receiver: b, system: backbone-625, loss_db: 10.3, length_km: 41}
applications:
  - {name: alice, site: a}
  - {name: bob, site: b}
"""


@pytest.mark.campaign
def test_the_twin_of_a_link_by_itself_draws_from_a_generator_and_tells_when_it_fails(tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(TWO_SITES, encoding="utf-8")
    config, data = tmp_path / "deployment.yaml", tmp_path / "data"
    config.write_text("format: qanat-deployment/1\nnetwork: two.yaml\ndata: data\n", encoding="utf-8")
    assert qanat("pki", str(tmp_path / "two.yaml"), "--out", str(data / "pki")).returncode == 0
    refused = qanat("twin", "--config", str(config), "--link", "a-b", "--entropy", "/dev/zero")
    assert refused.returncode == 2
    assert "the entropy source /dev/zero failed" in refused.stderr
    with generator(tmp_path, good_samples=3_000_000) as failing, Fleet(tmp_path) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        source = ("--entropy", str(failing.path), "--min-entropy", "8")
        fleet.add("twin", "twin", "--config", str(config), "--link", "a-b", *source, "--json")
        for site in ("a", "b"):
            fleet.add(site, "node", "--config", str(config), "--site", site, "--json")
        fleet.wait()
        assert fleet.records["twin"]["entropy"] == {
            "source": str(failing.path),
            "min_entropy_bits": 8.0,
            "fault": None,
            "remedy": "",
        }
        with fleet.client("a", "alice") as alice, pytest.raises(LinkFailed, match="entropy source"):
            alice.get_keys(fleet.sae("b", "bob"), count=1, size_bits=256)
    events = (data / "twins" / "a-b" / "events.jsonl").read_text(encoding="utf-8")
    (alarm,) = [event for event in map(json.loads, events.splitlines()) if event["kind"] == "alarm"]
    assert alarm["data"]["code"] == "EntropyFailed"
    assert "alarm at a-b" in fleet.words("twin")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-entropy", "4"), "name it with --entropy"),
        (("--entropy", "/dev/urandom", "--min-entropy", "9"), "at most 8 bits"),
        (("--entropy", "no-such-device"), "that this user can read"),
        (("--entropy", "/"), "a character device, a FIFO or a file"),
    ],
)
def test_bad_options_are_named_with_their_remedy(options: tuple[str, ...], words: str) -> None:
    done = qanat(*SHORT_LINK, *options)
    assert done.returncode == 2
    assert "error (configuration)" in done.stderr
    assert words in done.stderr


@pytest.mark.campaign
def test_a_network_whose_generator_fails_serves_its_stock_and_makes_no_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with generator(tmp_path) as source:
        options = ("--entropy", str(source.path), "--min-entropy", "8")
        with running_network(data, more=options) as network, network.client("alice", patience_s=20.0) as alice:
            alice.get_keys(network.sae("bob"), count=1, size_bits=256)
            healthy = {"source": str(source.path), "min_entropy_bits": 8.0, "fault": None, "remedy": ""}
            assert entropy_of(data) == healthy
            assert qanat("doctor", "--data", str(data)).returncode == 0
            source.sour()
            (from_stock,) = alice.get_keys(network.sae("bob"), count=1, size_bits=256)
            with network.client("bob") as bob:
                (same,) = bob.get_keys_by_id(network.sae("alice"), [from_stock.key_id])
            assert same.take() == from_stock.take()
            with pytest.raises(LinkFailed, match="repetition count test") as caught:
                empty(network)
            assert "have the generator checked" in caught.value.remedy
            assert "repetition count test" in entropy_of(data)["fault"]
            doctor = qanat("doctor", "--data", str(data))
            assert doctor.returncode == 1
            assert "failed: no link makes key" in doctor.stdout
            assert "repetition count test" in doctor.stdout
    alarms = [event for event in events_of(data) if event["kind"] == "alarm"]
    codes = {alarm["data"]["code"] for alarm in alarms}
    assert codes <= {"EntropyFailed", "PeerStopped", "link-failing"}, "the last where a link was asked often enough"
    assert "controller" in {alarm["node"] for alarm in alarms}
    failed = next(place for place, event in enumerate(events_of(data)) if event in alarms)
    assert not [event for event in events_of(data)[failed:] if event["kind"] == "block-stored"]


def empty(network: LiveNetwork) -> None:
    """Take keys until none is left."""
    with network.client("alice", patience_s=5.0) as alice:
        for _ in range(200):
            alice.get_keys(network.sae("bob"), count=128, size_bits=1024)


def entropy_of(data: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((data / "service.json").read_text(encoding="utf-8"))["entropy"]
    return told


def events_of(data: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (data / "events.jsonl").read_text(encoding="utf-8").splitlines()]
