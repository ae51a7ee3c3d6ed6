"""How fast the key store hands out: one key, or one slice of link key, per durable call, from many callers at once."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.benchmarks.rows import Row
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, RequestId, SaeId, SaePair
from qanat.ground.keys import KeyBlock, PoolId, SecretBytes, SecretKey, Use

GOAL_PER_S = 15_000
CALLERS = 128
CALLS_PER_CALLER = 150
BATCH_KEYS = 128
KEY_BYTES = 32
RELAY_BITS = 512
BLOCK_BYTES = 500_000
BARE_COMMITS = 2_000
"""Long enough to see past the first pages of the log, short enough for a slow disk."""

PAIR = SaePair(SaeId("urn:qanat:bench:sae:alice"), SaeId("urn:qanat:bench:sae:bob"))
LINK, NEAR, FAR = LinkId("near-far"), NodeId("near"), NodeId("far")
REQUEST = RequestId("benchmark")


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks of these names and yield their rows."""
    for name, prepare, call in (("store-single", _put_keys, _supply_one), ("store-spend", _add_blocks, _spend_some)):
        if name in names:
            with tempfile.TemporaryDirectory() as folder:
                reference_rate = bare_commits_per_s(Path(folder))
                rate = asyncio.run(_calls_per_s(Path(folder) / "keys.sqlite", prepare, call))
            yield Row(
                name=name,
                rate=rate,
                unit="calls/s",
                goal=GOAL_PER_S,
                reference_name="bare SQLite, one insert per commit",
                reference_rate=reference_rate,
                note=f"each call durable (WAL, FULL) and encrypted; {CALLERS} callers; disk of {tempfile.gettempdir()}",
            )


def bare_commits_per_s(folder: Path) -> float:
    """Return how many single inserts SQLite makes durable per second on this disk, with the store's settings."""
    connection = sqlite3.connect(folder / "bare.sqlite", isolation_level=None)
    for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE bare (data BLOB)")
    begin_s = time.perf_counter()
    for _ in range(BARE_COMMITS):
        connection.execute("INSERT INTO bare VALUES (?)", (bytes(KEY_BYTES),))
    elapsed_s = time.perf_counter() - begin_s
    connection.close()
    return BARE_COMMITS / elapsed_s


async def _calls_per_s(
    path: Path,
    prepare: Callable[[SqliteKeyStore, int], Awaitable[None]],
    call: Callable[[SqliteKeyStore], Awaitable[object]],
) -> float:
    writer = StoreWriter()
    store = await SqliteKeyStore.open(path, master_key=SecretBytes(os.urandom(KEY_BYTES)), writer=writer)
    await store.open_epoch()
    await prepare(store, CALLERS * CALLS_PER_CALLER)

    async def caller() -> None:
        for _ in range(CALLS_PER_CALLER):
            await call(store)

    begin_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    elapsed_s = time.perf_counter() - begin_s
    await writer.close()
    return CALLERS * CALLS_PER_CALLER / elapsed_s


async def _put_keys(store: SqliteKeyStore, count: int) -> None:
    for _ in range(0, count, BATCH_KEYS):
        await put_batch(store)


async def put_batch(store: SqliteKeyStore) -> None:
    """Put BATCH_KEYS fresh keys, as a relayed batch comes."""
    keys = [
        SecretKey(
            key_id=KeyID(str(uuid.uuid4())),
            pair=PAIR,
            secret=SecretBytes(os.urandom(KEY_BYTES)),
            route=(NEAR, FAR),
            origin="twin",
            created_utc_s=0.0,
            qkd_bits_spent=RELAY_BITS,
        )
        for _ in range(BATCH_KEYS)
    ]
    await store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)


async def _supply_one(store: SqliteKeyStore) -> object:
    return await store.supply(PAIR, count=1, size_bits=8 * KEY_BYTES, request_id=REQUEST)


async def _add_blocks(store: SqliteKeyStore, count: int) -> None:
    needed_bits, pool = count * RELAY_BITS, PoolId(LINK, NEAR)
    while not (levels := await store.levels()) or levels[pool].available_bits < needed_bits:
        block = KeyBlock(
            block_id=BlockId(str(uuid.uuid4())),
            order_id=OrderId("benchmark"),
            link_id=LINK,
            local=NEAR,
            peer=FAR,
            origin="twin",
            protocol="benchmark",
            num_bits=8 * BLOCK_BYTES,
            bits=SecretBytes(os.urandom(BLOCK_BYTES)),
            eps_sec=0.0,
            eps_cor=0.0,
            finished_utc_s=0.0,
        )
        await store.add_block(block)
        await store.confirm(block.block_id)


async def _spend_some(store: SqliteKeyStore) -> object:
    return await store.spend(PoolId(LINK, NEAR), num_bits=RELAY_BITS, use=Use.RELAY, request_id=REQUEST)
