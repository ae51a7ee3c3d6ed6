"""Two sites exchange keys over a third, each a process of its own and each killed again and again: what was lost?

Three `qanat node --config`, two `qanat twin` and a `qanat controller`. While one thread takes keys at both ends without
pause, the processes of the sites are killed in turn and started again. The figures are counted from outside, and from
the stores when all is over.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import pytest

from interop.fleet import Fleet, free_port, run_qanat
from interop.load import reused_bits
from qanat.client import Client
from qanat.ground.errors import ChannelClosed, ChannelTimeout, KeyNotFound, QanatError
from qanat.ground.identifiers import KeyID

pytestmark = pytest.mark.slow

SITES = ("suzhou", "kunshan", "shanghai")
LINKS = ("suzhou-kunshan", "kunshan-shanghai")
KEYS_PER_CALL = 64
PATIENCE_S = 120.0
"""So long may no key come at all: a relay that died makes its peers wait, and a block takes its time."""


@dataclass
class Figures:
    """What is counted. ``in_doubt``: the answer with these keys broke off, so nobody knows whether they were given."""

    acknowledged: int = 0
    exchanged: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    double_deliveries: int = 0
    mismatches: int = 0
    lost_acknowledged_keys: int = 0
    in_doubt: int = 0
    reused_pad_bits: int = 0

    def __str__(self) -> str:
        killed = ", ".join(f"{site} {count}" for site, count in sorted(self.kills.items()))
        return (
            f"{self.exchanged} keys exchanged, {self.acknowledged} acknowledged to the master; kills: {killed}; "
            f"double deliveries {self.double_deliveries}, mismatches {self.mismatches}, "
            f"lost acknowledged keys {self.lost_acknowledged_keys}, reused pad bits {self.reused_pad_bits}; "
            f"in doubt when an answer broke off: {self.in_doubt}"
        )


class Exchange:
    """Takes keys at both ends, and remembers every one."""

    def __init__(self, fleet: Fleet, wanted: int) -> None:
        self.fleet = fleet
        self.wanted = wanted
        self.figures = Figures()
        self._given: dict[str, dict[KeyID, bytes]] = {"alice": {}, "bob": {}}

    @property
    def is_done(self) -> bool:
        return self.figures.exchanged >= self.wanted

    def run(self) -> None:
        """Take keys until there are enough."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not self.is_done:
            assert time.monotonic() < deadline_s, f"no keys come: {self.figures}"
            before = self.figures.exchanged
            with self.fleet.client("suzhou", "alice") as alice, self.fleet.client("shanghai", "bob") as bob:
                try:
                    while not self.is_done:
                        peer = self.fleet.sae("shanghai", "bob")
                        keys = alice.get_keys(peer, count=KEYS_PER_CALL, size_bits=256)
                        key_ids = [key.key_id for key in keys]
                        self.figures.acknowledged += len(keys)
                        self._note("alice", {key.key_id: key.take() for key in keys})
                        self._take_at_slave(bob, key_ids)
                        deadline_s = time.monotonic() + PATIENCE_S
                except QanatError:
                    time.sleep(0.05)
            if self.figures.exchanged > before:
                deadline_s = time.monotonic() + PATIENCE_S

    def _take_at_slave(self, bob: Client, key_ids: Sequence[KeyID]) -> None:
        """Take the master's keys at the slave, however often its key manager dies meanwhile."""
        master, asked = self.fleet.sae("suzhou", "alice"), False
        deadline_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                mates = bob.get_keys_by_id(master, key_ids)
            except KeyNotFound:
                count = "in_doubt" if asked else "lost_acknowledged_keys"
                setattr(self.figures, count, getattr(self.figures, count) + len(key_ids))
                return
            except (ChannelClosed, ChannelTimeout) as fault:
                # a connection that never stood asked nothing; one that broke may have been answered
                asked = asked or "nothing was asked" not in str(fault)
            except QanatError:
                pass  # it starts, or its store does: ask again
            else:
                self._note("bob", {key.key_id: key.take() for key in mates})
                self.figures.exchanged += len(mates)
                return
            assert time.monotonic() < deadline_s, "the slave's key manager does not come back"
            time.sleep(0.05)

    def _note(self, who: str, new: dict[KeyID, bytes]) -> None:
        mine, theirs = self._given[who], self._given["bob" if who == "alice" else "alice"]
        self.figures.double_deliveries += len(new.keys() & mine.keys())
        if who == "bob":
            self.figures.mismatches += sum(theirs.get(key_id) != data for key_id, data in new.items())
        mine.update(new)


def exchange_under_kills(folder: Path, *, num_keys: int, kills_each: int) -> Figures:
    """Exchange so many keys while each site is killed so often, and count."""
    data, config = folder / "data", folder / "deployment.yaml"
    config.write_text("format: qanat-deployment/1\nnetwork: three-nodes\ndata: data\n", encoding="utf-8")
    assert run_qanat("pki", "three-nodes", "--out", str(data / "pki")).returncode == 0
    with Fleet(folder) as fleet:
        fleet.add("controller", "controller", "--config", str(config), "--json")
        for link in LINKS:
            fleet.add(link, "twin", "--config", str(config), "--link", link, "--json")
        fleet.wait()
        for site in SITES:
            port = str(free_port())
            fleet.add(site, "node", "--config", str(config), "--site", site, "--port", port, "--json")
        fleet.wait(*SITES)
        exchange = Exchange(fleet, num_keys)
        thread = threading.Thread(target=exchange.run)
        thread.start()
        victims = list(islice(cycle(SITES), kills_each * len(SITES)))
        for number, victim in enumerate(victims, start=1):
            due = number * num_keys // (len(victims) + 1)
            while thread.is_alive() and exchange.figures.exchanged < due:
                time.sleep(0.01)
            assert thread.is_alive(), f"it ended before all kills: {exchange.figures}"
            fleet.kill(victim)
            exchange.figures.kills[victim] += 1
            fleet.restart(victim)
        thread.join()
        assert exchange.is_done, f"the exchange stopped: {exchange.figures}"
    exchange.figures.reused_pad_bits = reused_bits(data, sites=SITES)
    return exchange.figures


def check_nothing_was_lost(figures: Figures, *, kills_each: int) -> None:
    print(figures)
    assert figures.kills == dict.fromkeys(SITES, kills_each)
    assert figures.double_deliveries == 0
    assert figures.mismatches == 0
    assert figures.lost_acknowledged_keys == 0
    assert figures.reused_pad_bits == 0
    assert figures.in_doubt <= KEYS_PER_CALL * kills_each, "only a kill may break an answer off"


@pytest.mark.campaign
def test_ten_thousand_keys_while_each_site_is_killed_three_times(tmp_path: Path) -> None:
    figures = exchange_under_kills(tmp_path, num_keys=10_000, kills_each=3)
    check_nothing_was_lost(figures, kills_each=3)


@pytest.mark.campaign
def test_a_hundred_thousand_keys_while_each_site_is_killed_ten_times(tmp_path: Path) -> None:
    figures = exchange_under_kills(tmp_path, num_keys=100_000, kills_each=10)
    check_nothing_was_lost(figures, kills_each=10)
