"""Devices that deliver key through ETSI 014 doors of their own feed a link, and misbehave: nothing wrong is served.

Four processes over TLS: the emulated devices, two sites that stand for themselves, the controller. An application pair
takes keys without pause; pools are small, so that every fault of the devices is felt at once.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.fleet import Fleet, free_port, run_qanat
from qanat.ground.errors import QanatError
from qanat.ground.identifiers import KeyID

pytestmark = pytest.mark.slow

WAIT_S = 90.0
NETWORK = """
format: qanat-network/1
name: two-sites
sites:
  - {{name: aarau, kind: user, latitude_deg: 47.39, longitude_deg: 8.05}}
  - {{name: basel, kind: user, latitude_deg: 47.56, longitude_deg: 7.59}}
links:
  - name: aarau-basel
    transmitter: aarau
    receiver: basel
    system: backbone-625
    loss_db: 10.0
    length_km: 50
    modules:
      driver: etsi014
      transmitter: {{url: "https://127.0.0.1:{transmitter}", sae: "urn:vendor:sae:aarau"}}
      receiver: {{url: "https://127.0.0.1:{receiver}", sae: "urn:vendor:sae:basel"}}
      keys_per_block: 64
      keys_per_request: 32
      expected_rate_bits_per_s: 1000
      slow_after_s: 1.5
applications:
  - {{name: alice, site: aarau}}
  - {{name: bob, site: basel}}
"""


class Stand:
    """The processes, and an application pair that takes keys from ``begin`` to ``end``."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.data = folder / "data"
        self.fleet = fleet
        self.num_exchanged = 0
        self.num_mismatches = 0
        self.last_origins: set[str] = set()
        self.seen: set[KeyID] = set()
        self.num_repeated = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with (
                    self.fleet.client("aarau", "alice", patience_s=1) as alice,
                    self.fleet.client("basel", "bob") as bob,
                ):
                    while not self._stop.is_set():
                        self._exchange(alice, bob)
            except QanatError:
                time.sleep(0.1)

    def _exchange(self, alice: Any, bob: Any) -> None:
        keys = alice.get_keys(self.fleet.sae("basel", "bob"), count=8, size_bits=256)
        mates = bob.get_keys_by_id(self.fleet.sae("aarau", "alice"), [key.key_id for key in keys])
        self.last_origins = {key.origin for key in (*keys, *mates)}
        self.num_repeated += len(self.seen & {key.key_id for key in keys})
        self.seen |= {key.key_id for key in keys}
        self.num_mismatches += sum(key.take() != mate.take() for key, mate in zip(keys, mates, strict=True))
        self.num_exchanged += len(keys)

    def alarms(self, site: str) -> list[tuple[str, bool]]:
        """Return the alarms of a site so far: code, and whether it says that it is over."""
        text = (self.data / site / "events.jsonl").read_text(encoding="utf-8")
        events = [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
        return [
            (event["data"]["code"], bool(event["data"].get("cleared"))) for event in events if event["kind"] == "alarm"
        ]

    def check_rehearsal(self, command: str, site: str, code: str, *, end: str = "well") -> None:
        """A fault of the devices is an alarm once; after its end keys flow again and the alarm is over."""
        before = len(self.alarms(site))
        self.fleet.tell("devices", command)
        until(lambda: (code, False) in self.alarms(site)[before:], f"the alarm {code} at {site}")
        self.fleet.tell("devices", end)
        until(lambda: (code, True) in self.alarms(site)[before:], f"the end of the alarm {code} at {site}")
        self.check_keys_flow()
        assert self.num_mismatches == self.num_repeated == 0

    def check_keys_flow(self) -> None:
        so_far = self.num_exchanged
        until(lambda: self.num_exchanged >= so_far + 32, "keys")


def until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"{what} did not come"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("devices")
    text = NETWORK.format(transmitter=free_port(), receiver=free_port())
    (folder / "network.yaml").write_text(text, encoding="utf-8")
    config = folder / "deployment.yaml"
    config.write_text("format: qanat-deployment/1\nnetwork: network.yaml\ndata: data\n", encoding="utf-8")
    made = run_qanat("pki", str(folder / "network.yaml"), "--out", str(folder / "data" / "pki"))
    assert made.returncode == 0, made.stderr
    with Fleet(folder) as fleet:
        fleet.add("devices", "device-emulator", "--config", str(config), "--link", "aarau-basel", "--json")
        fleet.add("controller", "controller", "--config", str(config), "--json")
        fleet.wait()
        for site in ("aarau", "basel"):
            port = str(free_port())
            fleet.add(site, "node", "--config", str(config), "--site", site, "--port", port, "--json")
        fleet.wait("aarau", "basel")
        stand = Stand(folder, fleet)
        stand.begin()
        try:
            yield stand
        finally:
            stand.end()


def test_devices_feed_a_link_and_their_keys_are_called_so(stand: Stand) -> None:
    stand.check_keys_flow()
    until(lambda: stand.last_origins == {"device"}, "keys that are called those of devices by all")
    assert stand.num_mismatches == 0


@pytest.mark.parametrize(
    ("command", "site", "code"),
    [
        ("unplug transmitter", "aarau", "device-unreachable"),
        ("unplug receiver", "basel", "device-unreachable"),
        ("wrong-certificate transmitter", "aarau", "device-certificate"),
        ("wrong-certificate receiver", "basel", "device-certificate"),
        ("wrong-ids", "basel", "device-ids-unknown"),
        ("different-bytes", "aarau", "keys-differ"),
        ("slow", "aarau", "device-slow"),
    ],
)
def test_a_fault_of_the_devices_is_an_alarm_and_no_mismatch(stand: Stand, command: str, site: str, code: str) -> None:
    stand.check_keys_flow()
    stand.check_rehearsal(command, site, code)


def test_devices_that_restart_or_die_are_found_again(stand: Stand) -> None:
    stand.check_keys_flow()
    stand.fleet.tell("devices", "restart")
    stand.check_keys_flow()
    stand.fleet.kill("devices")
    stand.fleet.restart("devices")
    stand.check_keys_flow()
    assert stand.num_mismatches == stand.num_repeated == 0


@pytest.mark.parametrize("site", ["aarau", "basel"])
def test_a_site_that_dies_takes_no_key_of_its_device_again(stand: Stand, site: str) -> None:
    stand.check_keys_flow()
    stand.fleet.kill(site)
    stand.fleet.restart(site)
    stand.check_keys_flow()
    assert stand.num_mismatches == stand.num_repeated == 0
    assert ("device-repeats-keys", False) not in stand.alarms(site)


def test_a_command_that_is_none_is_answered_with_those_that_are(stand: Stand) -> None:
    process = stand.fleet.processes["devices"]
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("explode\n")
    process.stdin.flush()
    assert "different-bytes" in json.loads(process.stdout.readline())["error"]
