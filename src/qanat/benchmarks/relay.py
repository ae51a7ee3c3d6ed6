"""How fast keys are relayed into end-to-end pools, and given at both ends out of filled ones.

Both rates are per core: work over the processor time of the one process that runs all nodes, stores and doors.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qanat.benchmarks.relay_network import Filling, RelayNetwork
from qanat.benchmarks.relay_pairs import measured_pairs
from qanat.benchmarks.rows import Row
from qanat.benchmarks.store import bare_commits_per_s
from qanat.ground.bits import xor

HOP_GOAL_MBIT_PER_S = 50
SHORT = (Filling(count=40_000, size_bits=256), Filling(count=10_000, size_bits=4096))
LONG = Filling(count=40_000, size_bits=256, hops=8)
FILL_TIMEOUT_S = 300.0
PAIRS_GOAL_PER_S = 1_000
PAIRS = 5_000


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "relay-hop" in names:
        yield from _hop_rows()
    if "relay-pairs" in names:
        yield _pairs_row()


def _hop_rows() -> Iterator[Row]:
    """Yield what one more hop costs (the difference of a long line and a short one that carry the same keys), and what
    filling costs with both ends' stores."""
    busy_s = {filling: asyncio.run(_busy_s(filling)) for filling in (*SHORT, LONG)}
    hop_s = (busy_s[LONG] - busy_s[SHORT[0]]) / (LONG.hops - SHORT[0].hops)
    small, large = SHORT
    yield Row(
        name="relay-hop",
        rate=LONG.key_bits / hop_s / 1e6,
        unit="Mbit/s",
        goal=HOP_GOAL_MBIT_PER_S,
        reference_name="the same bits through xor alone",
        reference_rate=_xor_rate(LONG),
        note=(
            f"key bits by the processor time that each hop more costs, from {SHORT[0].hops} hops to {LONG.hops}, while"
            f" {LONG.count:,} keys of {LONG.size_bits} bits fill an end-to-end pool; durable SQLite stores, mutual TLS"
        ),
    )
    yield Row(
        name="relay-hop: with both ends",
        rate=_mbit(small) / busy_s[small],
        unit="Mbit/s",
        goal=HOP_GOAL_MBIT_PER_S,
        reference_name="the same bits through xor alone",
        reference_rate=_xor_rate(small),
        note=(
            f"hops x key bits by all processor time, while {small.count:,} keys of {small.size_bits} bits fill an"
            f" end-to-end pool over {small.hops} hops: making, relaying, comparing and storing them at both ends;"
            f" {large.count:,} keys of {large.size_bits} bits: {_mbit(large) / busy_s[large]:.0f} Mbit/s"
        ),
    )


async def _busy_s(filling: Filling) -> float:
    """Return the processor time that it takes to fill an end-to-end pool."""
    with tempfile.TemporaryDirectory() as folder:
        async with RelayNetwork(Path(folder), filling) as network:
            await network.prepare()
            await network.start()
            await network.filled(within_s=FILL_TIMEOUT_S)
            return time.process_time() - (network.began_cpu_s or 0.0)


def _mbit(filling: Filling) -> float:
    return filling.hops * filling.key_bits / 1e6


def _pairs_row() -> Row:
    small = SHORT[0]
    rate = measured_pairs(PAIRS, size_bits=small.size_bits)
    with tempfile.TemporaryDirectory() as folder:
        commits_per_s = bare_commits_per_s(Path(folder))
    return Row(
        name="relay-pairs",
        rate=rate.per_core_s,
        unit="pairs/s",
        goal=PAIRS_GOAL_PER_S,
        reference_name="bare SQLite, one insert per commit, over two",
        reference_rate=commits_per_s / 2,
        note=(
            f"enc_keys at one end, then dec_keys at the other, one key of {small.size_bits} bits per call, out of a"
            f" filled end-to-end pool over {small.hops} hops; by the processor time of the process that runs all nodes,"
            f" stores and doors; {rate.per_wall_s:,.0f} pairs/s by the wall, the client's part included"
        ),
    )


def _xor_rate(filling: Filling) -> float:
    data, begin_s = bytes(filling.key_bits // 8), time.process_time()
    xor(data, data)
    return filling.key_bits / max(1e-6, time.process_time() - begin_s) / 1e6
