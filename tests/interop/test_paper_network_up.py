"""The paper's whole network up as one process on this machine: every user's door, opened when it is called."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qanat.apps.networks import load_network
from qanat.benchmarks.up_paper import links_at_work, statuses_of
from qanat.benchmarks.up_process import PAPER, Callers, UpProcess, joined_users, neighbours, up

pytestmark = pytest.mark.slow

ASKED = 12
STATUSES = 300
LINKS_AT_WORK = 3
MIB = 2**20
AWAKE = {"micius", "nanshan", "xinglong"}
"""Open all along: passes come unasked."""


def await_open(service: UpProcess, number: int) -> None:
    """Wait until the service file tells of so many open sites: it is written every half second."""
    deadline_s = time.monotonic() + 20
    while service.num_open != number:
        assert time.monotonic() < deadline_s, f"{service.num_open} sites are open, not {number}"
        time.sleep(0.1)


def test_150_doors_are_declared_and_opened_on_first_use_and_statuses_are_answered_while_twins_run(
    tmp_path: Path,
) -> None:
    network = load_network(PAPER)
    users = random.Random(7).sample(joined_users(network), ASKED)
    with up(PAPER, tmp_path / "data") as service, Callers(service) as callers:
        doors = {door["url"] for door in service.record["doors"].values()}
        users_with_door = [app for app in service.record["applications"].values() if app["url"] in doors]
        assert min(len(doors), len(users_with_door)) >= 150
        assert (set(service.record["open"]), service.num_open) == (AWAKE, len(AWAKE))
        num_awake = len(AWAKE | {network.site_of(network.sae(user)).name for user in users})
        asleep_mib = service.resident_bytes / MIB

        waking_s = [callers.status_s(user, peer) for user, peer in zip(users, users[1:] + users[:1], strict=True)]
        await_open(service, num_awake)  # theirs, and no other: neither neighbours nor relays

        doctor = [sys.executable, "-m", "qanat.apps.cli.main", "doctor", "--data", str(service.data)]
        done = subprocess.run(doctor, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"doors of {len(network.nodes) - num_awake} other sites" in done.stdout
        assert service.num_open == num_awake, "the doctor wakes nobody"

        pairs = neighbours(network)[:LINKS_AT_WORK]
        with links_at_work(service, pairs) as given:
            took_s = sorted(statuses_of(callers, users, STATUSES))
        assert len(took_s) == STATUSES
        assert sum(given) > 0
        master, slave = pairs[0]
        with service.client(master) as one, service.client(slave) as other:
            (key,) = one.get_keys(service.sae(slave), count=1, size_bits=256)
            (same,) = other.get_keys_by_id(service.sae(master), [key.key_id])
            assert same.take() == key.take()
        assert service.num_open <= num_awake + len(network.nodes) // 4, "links at work open their own ends alone"
        awake_mib = service.resident_bytes / MIB
    assert service.process.returncode == 0
    print(
        f"{len(service.record['doors'])} doors in {service.start_s:.1f} s; {asleep_mib:.0f} MiB, {awake_mib:.0f} then"
    )
    print(f"first answer of a sleeping site: median {1000 * sorted(waking_s)[ASKED // 2]:.0f} ms")
    p50, p99 = (1000 * took_s[int(share * STATUSES)] for share in (0.5, 0.99))
    print(f"statuses while twins ran: p50 {p50:.0f} ms, p99 {p99:.0f} ms; {sum(given)} keys made meanwhile")
