"""How fast keys are relayed into end-to-end pools, and given at both ends out of filled ones.

Both rates are per core: work over the processor time of the one process that runs all nodes, stores and doors.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qanat.benchmarks.relay_network import HOPS, Filling, RelayNetwork
from qanat.benchmarks.relay_pairs import measured_pairs
from qanat.benchmarks.rows import Row
from qanat.benchmarks.store import bare_commits_per_s
from qanat.ground.bits import xor

HOP_GOAL_MBIT_PER_S = 50
FILLINGS = (Filling(count=40_000, size_bits=256), Filling(count=10_000, size_bits=4096))
FILL_TIMEOUT_S = 300.0
PAIRS_GOAL_PER_S = 1_000
PAIRS = 5_000


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "relay-hop" in names:
        yield _hop_row()
    if "relay-pairs" in names:
        yield _pairs_row()


def _hop_row() -> Row:
    rates = {filling: asyncio.run(_fill_rate(filling)) for filling in FILLINGS}
    small, large = FILLINGS
    return Row(
        name="relay-hop",
        rate=rates[small],
        unit="Mbit/s",
        goal=HOP_GOAL_MBIT_PER_S,
        reference_name="the same bits through xor alone",
        reference_rate=_xor_rate(small),
        note=(
            f"key bits relayed x hops over processor time; {small.count:,} keys of {small.size_bits} bits into an"
            f" end-to-end pool over {HOPS} hops, durable SQLite stores, mutual TLS; keys of {large.size_bits} bits:"
            f" {rates[large]:.0f} Mbit/s"
        ),
    )


async def _fill_rate(filling: Filling) -> float:
    """Return Mbit of key per hop and second of processor time while an end-to-end pool is filled."""
    with tempfile.TemporaryDirectory() as folder:
        async with RelayNetwork(Path(folder), filling) as network:
            await network.prepare()
            await network.start()
            await network.filled(within_s=FILL_TIMEOUT_S)
            busy_s = time.process_time() - (network.began_cpu_s or 0.0)
    return HOPS * filling.key_bits / busy_s / 1e6


def _pairs_row() -> Row:
    small = FILLINGS[0]
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
            f"enc_keys at one end and dec_keys at the other, one key of {small.size_bits} bits per call, {HOPS} hops"
            f" apart, out of a filled end-to-end pool, by the processor time of the process that runs all nodes, stores"
            f" and doors; {rate.per_wall_s:,.0f} pairs/s by the wall, the client's part included"
        ),
    )


def _xor_rate(filling: Filling) -> float:
    data, begin_s = bytes(filling.key_bits // 8), time.process_time()
    xor(data, data)
    return filling.key_bits / max(1e-6, time.process_time() - begin_s) / 1e6
