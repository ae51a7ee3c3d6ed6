"""A key store that holds a million keys: how large it is, and how soon it serves again after its process was killed."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.benchmarks.rows import Row
from qanat.benchmarks.store import BATCH_KEYS, KEY_BYTES, PAIR, REQUEST, put_batch
from qanat.ground.keys import SecretBytes, Selection

NUM_KEYS = 1_000_000
GOAL_BYTES = 300e6
GOAL_OPENING_S = 2.0
MASTER_KEY = bytes(KEY_BYTES)
"""Of a benchmark's store: no secret."""


def run(names: Sequence[str]) -> Iterator[Row]:
    """Fill a store in a process that is killed (SIGKILL) while it writes, open it in another, and yield three rows."""
    if "store-million" in names:
        yield from rows_for(NUM_KEYS)


def rows_for(num_keys: int) -> Iterator[Row]:
    """Yield the rows for a store of ``num_keys`` keys."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "keys.sqlite"
        fill_and_die(path, num_keys)
        num_bytes = sum(item.stat().st_size for item in Path(folder).iterdir())
        opening_s, memory_bytes = open_again(path, num_keys)
    bare_mb = num_keys * (KEY_BYTES + 16) / 1e6
    note = f"{num_keys:,} keys of {8 * KEY_BYTES} bits, put {BATCH_KEYS} at a time; a limit"
    for what, rate, unit, goal, reference_name, reference in (
        ("disk", num_bytes / 1e6, "MB", GOAL_BYTES / 1e6, "keys and ids alone", bare_mb),
        ("memory", memory_bytes / 1e6, "MB", GOAL_BYTES / 1e6, "keys and ids alone", bare_mb),
        ("opening after kill -9", opening_s, "s", GOAL_OPENING_S, "the limit", GOAL_OPENING_S),
    ):
        yield Row(f"store-million: {what}", rate, unit, goal, reference_name, reference, note, is_limit=True)


def fill_and_die(path: Path, num_keys: int) -> None:
    """Put keys in a process of its own, which is killed in the middle of writing more."""
    killed = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__, "fill", str(path), str(num_keys)], check=False
    )
    if killed.returncode != -signal.SIGKILL:
        raise RuntimeError(f"the writer ended with {killed.returncode}, and was to be killed")


def open_again(path: Path, num_keys: int) -> tuple[float, int]:
    """Open the store in a fresh process; return the seconds until it has given a key, and its peak memory in bytes."""
    opened = subprocess.run(  # noqa: S603 - this very module
        [sys.executable, "-m", __name__, "open", str(path), str(num_keys)], check=True, capture_output=True, text=True
    )
    opening_s, memory_bytes = opened.stdout.split()
    return float(opening_s), int(memory_bytes)


async def _fill(path: Path, num_keys: int) -> None:
    writer = StoreWriter()
    store = await SqliteKeyStore.open(path, master_key=SecretBytes(MASTER_KEY), writer=writer)
    await store.open_epoch()
    for _ in range(0, num_keys, BATCH_KEYS):
        await put_batch(store)
    unfinished = [asyncio.create_task(put_batch(store)) for _ in range(64)]
    await unfinished[0]
    os.kill(os.getpid(), signal.SIGKILL)


async def _open(path: Path, num_keys: int) -> None:
    """Do what a key manager does at its start, give one key, and print seconds and bytes."""
    begin_s = time.perf_counter()
    writer = StoreWriter()
    store = await SqliteKeyStore.open(path, master_key=SecretBytes(MASTER_KEY), writer=writer)
    await store.open_epoch()
    await store.void(Selection(unconfirmed=True))
    await store.held_keys()
    await store.supply(PAIR, count=1, size_bits=8 * KEY_BYTES, request_id=REQUEST)
    opening_s = time.perf_counter() - begin_s
    in_stock = await store.count_keys(PAIR, size_bits=8 * KEY_BYTES)
    await writer.close()
    if in_stock < num_keys - 1:
        raise RuntimeError(f"{num_keys - 1} keys were acknowledged, {in_stock} are there")
    sys.stdout.write(f"{opening_s} {_peak_bytes()}\n")


def _peak_bytes() -> int:
    """Return the most memory that this program has had; ``ru_maxrss`` would count the process that started it too."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    what, where, count = sys.argv[1:]
    asyncio.run({"fill": _fill, "open": _open}[what](Path(where), int(count)))
