"""Sites whose doors are under load are killed at random moments and started again at once: the account of it.

Two `qanat node --config` that share a link, its `qanat twin`, and a `qanat controller`. Five pairs of applications take
keys without pause over mutual TLS, across the link and within a site, one by one and in batches, with nonces and
without. Some kills come while a site is still starting. The account is kept outside, and of pads in the stores when all
is over. The seed settles whom and when, counted from what the clock of the machine makes of it.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from interop.account import Account
from interop.encryptors import Pair, User
from interop.fleet import Fleet, free_port, run_qanat
from interop.load import reused_bits
from qanat.adapters.tls import client_context

_QANAT: Mapping[str, Sequence[str]] = {}
SITES = ("left", "right")
LINK = "left-right"
USERS = {"alice": "left", "carol": "left", "bob": "right", "dave": "right"}
LATE_COMMITS = (sys.executable, str(Path(__file__).with_name("late_commits.py")))
P_WHILE_STARTING = 0.2
START_S = 1.2
"""About what a start takes here; kills while starting come within it."""
LOAD_S = (0.0, 0.6)
"""When every pair has got keys again, the next kill comes within this time."""
PATIENCE_S = 30.0
FIRST_PATIENCE_S = 120.0
"""Until the first keys come: a twin that has just started on a busy machine takes its time."""
SAMPLE = 60
"""So many keys of each pair are asked for once more at the end."""
NETWORK = f"""format: qanat-network/1
name: two-sites
title: Two sites and four users
sites:
  - {{name: left, kind: user, title: Left, latitude_deg: 31.3, longitude_deg: 120.6}}
  - {{name: right, kind: user, title: Right, latitude_deg: 31.4, longitude_deg: 121.0}}
links:
  - {{name: {LINK}, transmitter: left, receiver: right, system: backbone-625, loss_db: 10.3, length_km: 41.1}}
applications: [{", ".join(f"{{name: {name}, site: {site}}}" for name, site in USERS.items())}]
"""


@dataclass
class Result:
    """What a run found."""

    account: Account
    kills: Counter[str] = field(default_factory=Counter)
    kills_while_starting: int = 0
    keys_by_pair: dict[str, int] = field(default_factory=dict)
    recoveries_s: list[float] = field(default_factory=list)
    """From each kill that had a whole start after it to the moment when every pair had got keys again."""

    def __str__(self) -> str:
        waits = sorted(self.recoveries_s)
        return (
            f"kills: {dict(self.kills)}, {self.kills_while_starting} of them while starting; {self.account}; "
            f"by pair {self.keys_by_pair}; from kill to keys for all: median {waits[len(waits) // 2]:.1f} s, "
            f"longest {waits[-1]:.1f} s"
        )


@contextmanager
def two_sites(folder: Path, *, programs: Mapping[str, Sequence[str]] = _QANAT, more: str = "") -> Iterator[Fleet]:
    """The processes of the network, up. ``programs``: what runs a site in place of `qanat`; ``more``: of the file."""
    (folder / "network.yaml").write_text(NETWORK + more, encoding="utf-8")
    config = folder / "deployment.yaml"
    config.write_text("format: qanat-deployment/1\nnetwork: network.yaml\ndata: data\n", encoding="utf-8")
    made = run_qanat("pki", str(folder / "network.yaml"), "--out", str(folder / "data" / "pki"))
    assert made.returncode == 0, made.stderr
    with Fleet(folder) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        fleet.add("twin", "twin", "--config", str(config), "--link", LINK, "--json")
        fleet.programs.update(programs)
        for site in SITES:
            fleet.add(site, "node", "--config", str(config), "--site", site, "--port", str(free_port()), "--json")
        fleet.wait()
        yield fleet


class Killer:
    """Kills one site or the other, when it gives keys again to all who ask at its door, or while it starts."""

    def __init__(self, fleet: Fleet, pairs: Sequence[Pair], result: Result, *, seed: int) -> None:
        self._fleet, self._pairs, self._result = fleet, pairs, result
        self._dice = random.Random(seed)
        self._down: tuple[str, float] | None = None
        """Who was killed last and when, until it gives keys again."""

    def run(self, num_kills: int) -> None:
        for _ in range(num_kills):
            if self._down is not None and self._dice.random() < P_WHILE_STARTING:
                time.sleep(self._dice.uniform(0, START_S))
                self._result.kills_while_starting += 1
                self._kill(self._down[0])
            else:
                self._wait_for_keys()
                time.sleep(self._dice.uniform(*LOAD_S))
                self._kill(self._dice.choice(SITES))
        self._wait_for_keys()

    def _kill(self, site: str) -> None:
        self._down = site, time.monotonic()
        self._fleet.kill(site)
        self._result.kills[site] += 1
        self._fleet.launch(site)

    def _wait_for_keys(self) -> None:
        """Wait until the site is up, and every pair has got keys since."""
        if self._down is not None:
            self._fleet.wait(self._down[0])
        before = [pair.num_given for pair in self._pairs]
        deadline_s = time.monotonic() + (FIRST_PATIENCE_S if self._down is None and not any(before) else PATIENCE_S)
        while any(pair.num_given <= number for pair, number in zip(self._pairs, before, strict=True)):
            assert time.monotonic() < deadline_s, (
                f"no keys come after {self._down}: {before} {[pair.words() for pair in self._pairs]}"
            )
            assert not any(pair.failures for pair in self._pairs), [pair.failures for pair in self._pairs]
            time.sleep(0.01)
        if self._down is not None:
            self._result.recoveries_s.append(time.monotonic() - self._down[1])
            self._down = None


def pairs_of(fleet: Fleet, account: Account) -> list[Pair]:
    """Return pairs of all kinds; each two applications are in one only, since a pair's stock is taken by who comes."""
    alice, carol, bob, dave = (User.of(fleet, site, name) for name, site in USERS.items())
    return [
        Pair(carol, bob, account, count=1, careful=False),
        Pair(alice, bob, account, count=16, careful=True),
        Pair(bob, alice, account, count=16, careful=False),
        Pair(alice, carol, account, count=1, careful=True),
        Pair(bob, dave, account, count=8, careful=False),
    ]


def killed_under_load(
    folder: Path, *, num_kills: int, seed: int, programs: Mapping[str, Sequence[str]] = _QANAT
) -> Result:
    """Kill so often, and return the account."""
    account = Account()
    result = Result(account)
    with two_sites(folder, programs=programs) as fleet:
        pairs = pairs_of(fleet, account)
        for pair in pairs:
            pair.start()
        try:
            Killer(fleet, pairs, result, seed=seed).run(num_kills)
        finally:
            for pair in pairs:
                pair.finish()
        assert not any(pair.failures for pair in pairs), [pair.failures for pair in pairs]
        ask_once_more(pairs, account, seed=seed)
    account.close()
    account.faults.reused_pad_bits = reused_bits(folder / "data", sites=SITES)
    result.keys_by_pair = {pair.name: len(pair.fetched) for pair in pairs}
    return result


def ask_once_more(pairs: Sequence[Pair], account: Account, *, seed: int) -> None:
    """Ask for keys that were fetched, one by one and without a nonce: each that comes is a double delivery."""
    dice = random.Random(seed)
    for pair in pairs:
        with httpx.Client(verify=client_context(pair.slave.files), timeout=20, trust_env=False) as http:
            for key_id in dice.sample(pair.fetched, min(SAMPLE, len(pair.fetched))):
                url = f"{pair.slave.url}/api/v1/keys/{pair.master.sae}/dec_keys"
                answer = http.get(url, params={"key_ID": key_id})
                account.faults.double_deliveries += answer.status_code == 200


def check(result: Result, *, num_kills: int) -> None:
    print(result)
    assert sum(result.kills.values()) == num_kills
    assert not result.account.faults, result
    assert min(result.keys_by_pair.values()) > num_kills, "every pair went on getting keys"
    assert result.account.repetitions > num_kills // 4, "calls were repeated by their nonces"


@pytest.mark.campaign
def test_twenty_kills_under_load_cost_no_acknowledged_key_and_give_none_twice(tmp_path: Path) -> None:
    check(killed_under_load(tmp_path, num_kills=20, seed=1), num_kills=20)


@pytest.mark.campaign
def test_three_hundred_kills_under_load_cost_no_acknowledged_key_and_give_none_twice(tmp_path: Path) -> None:
    check(killed_under_load(tmp_path, num_kills=300, seed=2), num_kills=300)


@pytest.mark.campaign
def test_a_store_that_answers_before_it_commits_is_found_out(tmp_path: Path) -> None:
    result = killed_under_load(tmp_path, num_kills=6, seed=3, programs=dict.fromkeys(SITES, LATE_COMMITS))
    print(result)
    assert result.account.faults
