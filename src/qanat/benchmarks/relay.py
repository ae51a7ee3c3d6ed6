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
from qanat.benchmarks.rows import Row
from qanat.ground.bits import xor

HOP_GOAL_MBIT_PER_S = 50
FILLINGS = (Filling(count=40_000, size_bits=256), Filling(count=10_000, size_bits=4096))
FILL_TIMEOUT_S = 300.0
POLL_S = 0.02


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    if "relay-hop" in names:
        yield _hop_row()


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
            until_s = time.monotonic() + FILL_TIMEOUT_S
            await network.start()
            while await network.ready_keys() < filling.count:
                if time.monotonic() > until_s:
                    raise TimeoutError(f"{await network.ready_keys()} of {filling.count} keys")
                await asyncio.sleep(POLL_S)
            busy_s = time.process_time() - (network.began_cpu_s or 0.0)
    return HOPS * filling.key_bits / busy_s / 1e6


def _xor_rate(filling: Filling) -> float:
    data, begin_s = bytes(filling.key_bits // 8), time.process_time()
    xor(data, data)
    return filling.key_bits / max(1e-6, time.process_time() - begin_s) / 1e6
