"""Applications that take keys without pause while processes die under them, and what must hold afterwards."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from interop.live import LiveNetwork
from qanat.ground.errors import KeyShortage, QanatError
from qanat.ground.identifiers import KeyID

KEYS_BEFORE_KILL = 40
PATIENCE_S = 60.0


class Load:
    """Fetches keys at both ends without pause until the network dies under it; remembers every key it was given."""

    def __init__(self) -> None:
        self.at_master: dict[KeyID, bytes] = {}
        self.at_slave: dict[KeyID, bytes] = {}
        self.deliveries: Counter[tuple[str, KeyID]] = Counter()

    def run(self, network: LiveNetwork, *, enough: threading.Event, patience_s: float = 50.0) -> None:
        taken = 0
        with network.client("alice", patience_s=patience_s) as alice, network.client("bob") as bob:
            while True:
                try:
                    keys = alice.get_keys(network.sae("bob"), count=4, size_bits=256)
                    self.note("alice", self.at_master, {key.key_id: key.take() for key in keys})
                    mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
                    self.note("bob", self.at_slave, {key.key_id: key.take() for key in mates})
                except QanatError:
                    return
                taken += len(keys)
                if taken >= KEYS_BEFORE_KILL:
                    enough.set()

    def take_large(self, network: LiveNetwork, *, num_batches: int) -> None:
        """Fetch batches of 524,288 bits, of which two empty a pool, at both ends; after a shortage, ask again."""
        taken, deadline_s = 0, time.monotonic() + PATIENCE_S
        with network.client("alice") as alice, network.client("bob") as bob:
            while taken < num_batches and time.monotonic() < deadline_s:
                try:
                    keys = alice.get_keys(network.sae("bob"), count=128, size_bits=4096)
                except KeyShortage:
                    time.sleep(0.5)
                    continue
                self.note("alice", self.at_master, {key.key_id: key.take() for key in keys})
                mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
                self.note("bob", self.at_slave, {key.key_id: key.take() for key in mates})
                taken += 1

    def note(self, who: str, keys: dict[KeyID, bytes], new: dict[KeyID, bytes]) -> None:
        """Remember keys that somebody was given."""
        self.deliveries.update((who, key_id) for key_id in new)
        keys.update(new)


def check_books(data: Path, load: Load, *, nodes: Sequence[str] = ("suzhou", "kunshan", "shanghai")) -> None:
    """No bit of link key was spent twice at either end, and what one end spent the other did not spend otherwise."""
    logs = [data / "events.jsonl", *data.glob("*/events.jsonl")]
    events = [json.loads(line) for log in logs for line in log.read_text(encoding="utf-8").splitlines()]
    relayed: list[dict[str, Any]] = [event["data"] for event in events if event["kind"] == "keys-relayed"]
    assert sum(row["num_keys"] for row in relayed) >= len(load.at_master)
    assert all(row["qkd_bits"] == row["hops"] * row["key_bits"] + row["authentication_bits"] for row in relayed)
    for node in nodes:
        with sqlite3.connect(data / node / "keys.sqlite") as database:
            intervals = database.execute("SELECT share, start_bit, stop_bit FROM spent ORDER BY 1, 2").fetchall()
            booked = dict(database.execute("SELECT pool, sum(bits) FROM pool_spent GROUP BY pool"))
            distinct = dict(database.execute(DISTINCT_BITS))
        database.close()
        assert intervals
        for (share, _, stop), (next_share, start, _) in pairwise(intervals):
            assert share != next_share or stop <= start
        assert booked == distinct  # a bit spent twice would be booked twice and be one bit in the intervals


DISTINCT_BITS = """SELECT share.pool, sum(spent.stop_bit - spent.start_bit)
    FROM spent JOIN share ON share.id = spent.share GROUP BY share.pool"""


def reused_bits(data: Path, *, sites: Sequence[str]) -> int:
    """Return how many bits of link key any site has booked more often than it has bits that are spent."""
    reused = 0
    for site in sites:
        with sqlite3.connect(data / site / "keys.sqlite") as database:
            intervals = database.execute("SELECT share, start_bit, stop_bit FROM spent ORDER BY 1, 2").fetchall()
            booked = dict(database.execute("SELECT pool, sum(bits) FROM pool_spent GROUP BY pool"))
            distinct = dict(database.execute(DISTINCT_BITS))
        database.close()
        assert intervals, f"{site} has spent nothing"
        for (share, _, stop), (next_share, start, _) in pairwise(intervals):
            reused += max(0, stop - start) if share == next_share else 0
        reused += sum(booked[pool] - distinct.get(pool, 0) for pool in booked)
    return reused
