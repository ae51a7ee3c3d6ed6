"""A key store of schema version 2, written by the last program of that version, is brought forward whole.

``key-store-v2.sql`` is a dump of it: blocks stored and received, keys in stock, in doubt, reserved, of several shares,
an answer that may be repeated, epochs. What it held was printed beside it.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.rewrapping import rewrap
from qanat.adapters.sqlite.schema import SCHEMA_VERSION
from qanat.adapters.system import SystemEntropy
from qanat.ground.errors import KeyNotFound, PadReused
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, RequestId, SaeId, SaePair
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import KeyRecord, PoolId, SecretBytes, SecretKey
from qanat.ground.life_cycle import Stage
from qanat.ground.requirements import Repeatable
from qanat.ground.stock import NamedEpoch

T = TypeVar("T")

DUMP = Path(__file__).with_name("key-store-v2.sql")
MASTER_KEY = SecretBytes(bytes(range(32)))
NEAR, MIDDLE, OTHER, FAR = (NodeId(name) for name in ("suzhou", "kunshan", "wuxi", "shanghai"))
LINK = LinkId("suzhou-kunshan")
ALICE, BOB, CAROL = (SaeId(f"urn:qanat:t:sae:{name}") for name in ("alice", "bob", "carol"))
PAIR, REQUEST = SaePair(ALICE, BOB), RequestId("r")
STORED = BlockId("73a9bef4-99bb-44dc-bbd2-a4f2c8af5bd9")
RECEIVED = BlockId("f5acd8de-0ab4-49ad-bd4c-f54e41248f7f")
SUPPLIED = KeyID("801ff898-e41e-4e17-b234-87968561ab82")
DESTROYED = KeyID("e3708dae-3d2a-4a87-aaf9-20e0c45a0d3d")
IN_DOUBT = KeyID("6d7c8d80-81a3-4a8a-b566-700ff647600c")
RESERVED = KeyID("49ad75ab-4472-4cfb-8742-8817ced40456")
OF_SHARES = KeyID("7c81bd0c-1a89-44db-be89-12e6a08e8f79")
REPEATED = KeyID("8251b51b-f2ff-4377-b899-37362c0c46cc")
IN_STOCK = (
    ("3c1b5f74-e4fd-4d2b-960e-6b69cea2d062", "db1d5786789de073fdf7d00bc466fce0548eb61bc6728a738034c9fe97036297"),
    ("9367d220-ede8-421e-aa6c-f8ef28cedaeb", "bbba02aed04c00804f5b43ea3df9d22c3253cc13559a82642996494ecd5c2b75"),
    ("1afe44cc-ef97-43b5-95b2-4302e019c140", "6631201b4c912fab5f9fc359488e783881c9522cca7962069da1982549da636d"),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "keys.sqlite"
    connection = sqlite3.connect(made)
    connection.executescript(DUMP.read_text(encoding="utf-8"))
    connection.close()
    return made


def play(path: Path, scene: Callable[[SqliteKeyStore], Awaitable[T]]) -> T:
    async def run() -> T:
        writer = StoreWriter()
        try:
            store = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
            await store.open_epoch(name="after")
            return await scene(store)
        finally:
            await writer.close()

    return asyncio.run(run())


def version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (found,) = connection.execute("SELECT value FROM state WHERE name = 'schema_version'").fetchone()
    connection.close()
    return int(found)


def new_batch() -> KeyBatch:
    return KeyBatch(
        ids=KeyIds("8b1b7a4c-6c0b-4a0e-9c53-6a1f0c9be201", 20),
        pair=PAIR,
        size_bits=256,
        secret=SecretBytes(random.Random(3).randbytes(20 * 32)),
        routes=((NEAR, MIDDLE, FAR),),
        threshold=None,
        origin="twin",
        created_utc_s=1_500_000_000.0,
        qkd_bits_spent=20 * 512 + 1024,
    )


def test_its_keys_are_given_and_go_before_those_of_a_lot(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        batch = new_batch()
        await store.put_batch(batch, entitled=frozenset({ALICE}), confirmed=True)
        keys: list[SecretKey] = [*await store.supply(PAIR, count=23, size_bits=256, request_id=REQUEST)]
        assert [(key.key_id, key.take().hex()) for key in keys[:3]] == list(IN_STOCK)
        assert tuple(key.key_id for key in keys[3:]) == batch.ids.spelled()

    assert version(path) == 2
    play(path, scene)
    assert version(path) == SCHEMA_VERSION == 4


def test_it_may_come_under_another_master_key_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is brought forward by that, and nothing of what it holds changes."""
    other = SecretBytes(bytes(32))
    assert rewrap(path, old=MASTER_KEY, new=other, entropy=SystemEntropy())
    monkeypatch.setitem(globals(), "MASTER_KEY", other)
    test_records_stages_levels_and_epochs_are_as_they_were(path)


def test_records_stages_levels_and_epochs_are_as_they_were(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        keys = (SUPPLIED, DESTROYED, IN_DOUBT, RESERVED, OF_SHARES)
        stages = [Stage.SUPPLIED, Stage.DESTROYED, Stage.RECEIVED, Stage.RESERVED, Stage.STORED]
        assert [await store.key_stage(key_id) for key_id in keys] == stages
        assert [await store.block_stage(block) for block in (STORED, RECEIVED)] == [Stage.STORED, Stage.RECEIVED]
        level = (await store.levels())[PoolId(LINK, NEAR)]
        assert (level.received_bits, level.available_bits, level.unconfirmed_bits) == (12_952, 9_152, 3_000)
        assert await store.peer_epoch(MIDDLE) == NamedEpoch(3, "a peer's")
        (of_shares,) = await store.supply(SaePair(ALICE, CAROL), count=1, size_bits=256, request_id=REQUEST)
        assert of_shares.record == KeyRecord(((NEAR, MIDDLE, FAR), (NEAR, OTHER, FAR)), 2, 1024, 1024)
        (reserved,) = await store.supply_by_id([RESERVED], sae=ALICE)
        assert reserved.take().hex() == "2382b4f81277d9d16f8d3ca6e7442677"
        again = await store.repeated(Repeatable(ALICE, "a nonce", "enc_keys", 0.0, 300.0))
        assert again is not None
        assert [(key.key_id, key.take().hex()) for key in again] == [(REPEATED, "45ab9b0d048eb49d")]

    play(path, scene)


def test_what_was_gone_stays_gone(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([SUPPLIED], sae=ALICE)
        gone = SecretKey(DESTROYED, PAIR, SecretBytes(bytes(32)), (NEAR, MIDDLE, FAR), "twin", 1.5e9, 768)
        with pytest.raises(PadReused):
            await store.put([gone], entitled=frozenset({ALICE}), confirmed=True)

    play(path, scene)
