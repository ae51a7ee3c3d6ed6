"""A key store of schema version 1, written by the last program of that version, is brought forward whole or not at all.

``key-store-v1.sql`` is a dump of it: blocks confirmed, voided, spent in part and whole, unconfirmed, pre-shared; keys
supplied to nobody, to one end, to both; two openings, so two wrapping keys. What it held was printed beside it.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.rewrapping import does_open, rewrap
from qanat.adapters.sqlite.schema import SCHEMA_VERSION
from qanat.adapters.system import SystemEntropy
from qanat.ground.errors import BlockUnknown, ConfigurationError, KeyNotFound, PadReused
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, RequestId, SaeId, SaePair
from qanat.ground.keys import BitRange, BlockSlice, KeyRecord, PoolId, SecretBytes, Selection, Use
from qanat.ground.life_cycle import Stage
from qanat.ground.requirements import Repeatable

T = TypeVar("T")

DUMP = Path(__file__).with_name("key-store-v1.sql")
MASTER_KEY = SecretBytes(bytes(range(32)))
LINK, NEAR, FAR = LinkId("suzhou-kunshan"), NodeId("suzhou"), NodeId("kunshan")
SENDING, RESERVE = PoolId(LINK, NEAR), PoolId(LINK, None)
ALICE, BOB, CAROL = (SaeId(f"urn:qanat:t:sae:{name}") for name in ("alice", "bob", "carol"))
VOIDED, SPENT, OPEN, UNCONFIRMED, INITIAL, LATER = (
    BlockId("f5b16522-4a58-4791-9f6a-f1d8303e61cd"),
    BlockId("c424eae1-1631-467f-9f64-a0d8a5b4dff0"),
    BlockId("535c3581-dd95-4469-890d-247cffcd37d0"),
    BlockId("3a90dbf8-f668-4c86-ad5e-76d3fa74111b"),
    BlockId("48036880-e354-44cd-ba5e-e86a8e23c78d"),
    BlockId("2706fa81-6925-4665-b4f0-1e1f8c1482e9"),
)
SUPPLIED = KeyID("1646db89-5d91-4d8b-ada4-fc1225476eed")
HALF = KeyID("aa32a1fc-3c56-4d65-b346-5b5b1547c2bf")
WHOLE = KeyID("38920d89-ee5f-414a-b266-ad16e228a883")
IN_DOUBT = KeyID("66341cd4-e435-40c8-807f-cb503b54ef28")
OF_CAROL = KeyID("73ad12a1-0ab0-46d2-8d58-711a1bf6cd1c")
SECRETS = {
    HALF: "ae4caed6074aa52d4f1ca03997523f4c97b596b51736d024bd3304595abbfb7d",
    WHOLE: "b86bcdd32c03874c3838763542c893b4e5d6a476775c9b0537d3504a363cf0cc",
    OF_CAROL: "9be69eda5b546f6f7a5828a294d424960740f33eb99ca2befd193735bc801581",
    IN_DOUBT: "3100f1cf95ede2211252e6f442eb5eec",
}


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


def test_all_that_it_held_opens(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        level = (await store.levels())[SENDING]
        assert (level.received_bits, level.available_bits, level.voided_bits) == (38_752, 35_152, 1_200)
        spent = await store.spend(SENDING, num_bits=35_152, use=Use.RELAY, request_id=RequestId("r"))
        assert {piece.block_id for piece in spent.bits.slices} == {OPEN, LATER}
        initial = await store.spend_range(RESERVE, BitRange((BlockSlice(INITIAL, 0, 32),)), use=Use.AUTHENTICATION)
        assert initial.secret.reveal().hex() == "0401e92a"
        keys = await store.supply_by_id([HALF, WHOLE], sae=ALICE)
        (carols,) = await store.supply(SaePair(ALICE, CAROL), count=1, size_bits=256, request_id=RequestId("r"))
        assert {key.key_id: key.take().hex() for key in (*keys, carols)} == {
            key_id: secret for key_id, secret in SECRETS.items() if key_id != IN_DOUBT
        }

    play(path, scene)
    assert version(path) == SCHEMA_VERSION == 4


def test_what_was_gone_stays_gone_and_every_stage_is_the_right_one(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        stages = {block: await store.block_stage(block) for block in (VOIDED, SPENT, OPEN, UNCONFIRMED, INITIAL)}
        assert stages == {
            VOIDED: Stage.DESTROYED,
            SPENT: Stage.SUPPLIED,
            OPEN: Stage.STORED,
            UNCONFIRMED: Stage.RECEIVED,
            INITIAL: Stage.STORED,
        }
        assert await store.key_stage(HALF) is Stage.RESERVED
        assert await store.key_stage(WHOLE) is Stage.STORED
        assert await store.key_stage(IN_DOUBT) is Stage.RECEIVED
        with pytest.raises(BlockUnknown):
            await store.confirm(VOIDED)
        with pytest.raises(PadReused):
            await store.spend_range(SENDING, BitRange((BlockSlice(SPENT, 0, 8),)), use=Use.RELAY)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([SUPPLIED], sae=ALICE)
        assert await store.held_keys() == {SaePair(ALICE, BOB): 3, SaePair(BOB, ALICE): 1, SaePair(ALICE, CAROL): 1}

    play(path, scene)


def test_keys_keep_their_routes_and_prices(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        await store.confirm_keys([IN_DOUBT])
        assert await store.void(Selection(key_ids=frozenset({IN_DOUBT}), key_origin=NEAR)) == 0
        (key,) = await store.supply_by_id([IN_DOUBT], sae=BOB)
        route = (FAR, NodeId("wuxi"), NEAR)
        assert key.record == KeyRecord((route,), 1, 256, 256)
        assert (key.route, key.qkd_bits_spent, key.take().hex()) == (route, 512, SECRETS[IN_DOUBT])

    play(path, scene)


def test_the_program_of_version_1_refuses_what_was_brought_forward(path: Path) -> None:
    """Its rule, kept since: a schema above the program's own is not touched."""
    play(path, lambda store: store.levels())
    connection = sqlite3.connect(path, isolation_level=None)
    from qanat.adapters.sqlite.schema import prepare

    with pytest.raises(ConfigurationError, match=r"schema 4; this one knows 1.*no way back"):
        prepare(connection, name="keys.sqlite", version=1)
    connection.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter, schema
from qanat.ground.keys import SecretBytes

steps, at = schema._FROM_1, int(sys.argv[2])

class Deadly(tuple):
    def __iter__(self):
        for number, statement in enumerate(tuple.__iter__(self)):
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield statement

schema.MIGRATIONS[1] = Deadly(steps)
asyncio.run(SqliteKeyStore.open(Path(sys.argv[1]), master_key=SecretBytes(bytes(range(32))), writer=StoreWriter()))
"""


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 9, 20, 30])
def test_a_migration_that_was_killed_is_begun_anew(path: Path, at: int) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert version(path) == 1
    test_all_that_it_held_opens(path)


def test_it_comes_under_another_master_key_only_after_it_was_brought_forward(path: Path) -> None:
    other, entropy = SecretBytes(bytes(32)), SystemEntropy()
    with pytest.raises(ConfigurationError, match="start its site once"):
        rewrap(path, old=MASTER_KEY, new=other, entropy=entropy)
    assert version(path) == 1
    test_all_that_it_held_opens(path)
    assert rewrap(path, old=MASTER_KEY, new=other, entropy=entropy)
    assert does_open(path, other)
    assert not does_open(path, MASTER_KEY)


def test_calls_may_be_repeated_from_now_on(path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        call = Repeatable(BOB, "a nonce", "dec_keys", now_monotonic_s=0.0, window_s=300.0)
        assert await store.repeated(call) is None
        await store.confirm_keys([IN_DOUBT])
        (given,) = await store.supply_by_id([IN_DOUBT], sae=BOB, repeat=call)
        again = await store.repeated(call)
        assert again is not None
        assert [key.take() for key in again] == [given.take()]

    play(path, scene)
