"""What the SQLite key store adds to the port: one owner, encryption at rest, failures of the machine, epochs."""

from __future__ import annotations

import asyncio
import random
import re
import sqlite3
import stat
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.schema import SCHEMA_VERSION, prepare
from qanat.adapters.sqlite.segments import SEGMENT_BYTES
from qanat.ground.errors import BlockUnknown, ConfigurationError, KeyShortage, PadReused, StaleEpoch, StoreFailed
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, RequestId, SaeId, SaePair
from qanat.ground.keys import (
    BitRange,
    BlockSlice,
    KeyBlock,
    PoolId,
    SecretBytes,
    SecretKey,
    Selection,
    Use,
    split_block,
)

T = TypeVar("T")

LINK, NEAR, FAR = LinkId("suzhou-kunshan"), NodeId("suzhou"), NodeId("kunshan")
SENDING = PoolId(LINK, NEAR)
PAIR = SaePair(SaeId("urn:qanat:t:sae:alice"), SaeId("urn:qanat:t:sae:bob"))
REQUEST = RequestId("a request")
MASTER_KEY = SecretBytes(bytes(range(32)))
DICE = random.Random(31)


def with_writer(scene: Callable[[StoreWriter], Awaitable[T]]) -> T:
    async def run() -> T:
        writer = StoreWriter()
        try:
            return await scene(writer)
        finally:
            await writer.close()

    return asyncio.run(run())


def play(path: Path, scene: Callable[[SqliteKeyStore], Coroutine[Any, Any, T]]) -> T:
    """Open the store in ``path``, play the scene, close it."""

    async def run(writer: StoreWriter) -> T:
        store = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        result = await scene(store)
        await store.close()
        return result

    return with_writer(run)


def new_block(num_bytes: int, *, secret: bytes | None = None) -> KeyBlock:
    return KeyBlock(
        block_id=BlockId(str(uuid.UUID(bytes=DICE.randbytes(16), version=4))),
        order_id=OrderId("an order"),
        link_id=LINK,
        local=NEAR,
        peer=FAR,
        origin="twin",
        protocol="bb84-decoy",
        num_bits=8 * num_bytes,
        bits=SecretBytes(secret if secret is not None else DICE.randbytes(num_bytes)),
        eps_sec=1e-10,
        eps_cor=1e-15,
        finished_utc_s=0.0,
    )


def new_keys(count: int, *, secret: bytes | None = None) -> list[SecretKey]:
    return [
        SecretKey(
            key_id=KeyID(str(uuid.UUID(bytes=DICE.randbytes(16), version=4))),
            pair=PAIR,
            secret=SecretBytes(secret or DICE.randbytes(32)),
            route=(NEAR, FAR),
            origin="twin",
            created_utc_s=1.5e9,
            qkd_bits_spent=512,
        )
        for _ in range(count)
    ]


def sending_share(block: KeyBlock) -> bytes:
    start, stop = split_block(block)[SENDING]
    return block.bits.reveal()[start // 8 : stop // 8]


async def add_confirmed(store: SqliteKeyStore, block: KeyBlock) -> None:
    await store.add_block(block)
    await store.confirm(block.block_id)


async def spend(store: SqliteKeyStore, num_bits: int) -> bytes:
    return (await store.spend(SENDING, num_bits=num_bits, use=Use.RELAY, request_id=REQUEST)).secret.take()


# ---- the file and its owner ----


def test_the_file_is_private_and_alone_after_a_close(tmp_path: Path) -> None:
    path = tmp_path / "node" / "keys.sqlite"
    play(path, lambda store: store.add_block(new_block(400)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [item.name for item in path.parent.iterdir()] == ["keys.sqlite"]


def look_inside(path: Path) -> str:
    """Return what another process gets to see of the file."""
    program = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0)\n"
        "try: print(connection.execute('SELECT count(*) FROM block').fetchone())\n"
        "except sqlite3.OperationalError as fault: print(fault)\n"
        "connection.close()\n"
    )
    return subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True).stdout


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"

    async def scene(writer: StoreWriter) -> None:
        first = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        other_writer = StoreWriter()
        with pytest.raises(ConfigurationError, match="already in use"):
            await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=other_writer)
        await other_writer.close()
        # the refused attempt, from the owner's own process, must not have broken the owner's lock
        assert "locked" in look_inside(path)
        await first.add_block(new_block(400))

    with_writer(scene)
    assert look_inside(path) == "(1,)\n"


def test_commits_reach_the_disk_and_freed_rows_are_overwritten(tmp_path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> dict[str, object]:
        connection = store._database._connection
        names = ("synchronous", "journal_mode", "locking_mode", "secure_delete", "temp_store")
        return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names}

    assert play(tmp_path / "keys.sqlite", scene) == {
        "synchronous": 2,  # FULL
        "journal_mode": "wal",
        "locking_mode": "exclusive",
        "secure_delete": 1,
        "temp_store": 2,  # MEMORY: nothing spills into temporary files
    }


def test_another_master_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, lambda store: store.open_epoch())

    async def with_other_key(writer: StoreWriter) -> None:
        await SqliteKeyStore.open(path, master_key=SecretBytes(bytes(32)), writer=writer)

    with pytest.raises(ConfigurationError, match="master key does not fit"):
        with_writer(with_other_key)
    assert play(path, lambda store: store.open_epoch()) == 2


@pytest.mark.parametrize("content", [b"this is a letter, no database" * 99, None])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys.sqlite"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE recipes (name)")
        connection.close()
    else:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="no key store"):
        play(path, lambda store: store.open_epoch())


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, lambda store: store.open_epoch())
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE state SET value = 99 WHERE name = 'schema_version'")
    connection.close()
    with pytest.raises(ConfigurationError, match=r"newer program .*update this program"):
        play(path, lambda store: store.open_epoch())


def test_an_older_schema_is_migrated_step_by_step() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection, name="test")
    steps = {
        SCHEMA_VERSION: ("ALTER TABLE pool ADD COLUMN colour TEXT",),
        SCHEMA_VERSION + 1: ("UPDATE state SET value = 7 WHERE name = 'epoch'",),
    }
    prepare(connection, name="test", version=SCHEMA_VERSION + 2, migrations=steps)
    assert dict(connection.execute("SELECT name, value FROM state")) == {
        "schema_version": SCHEMA_VERSION + 2,
        "epoch": 7,
    }
    connection.execute("SELECT colour FROM pool")
    with pytest.raises(ConfigurationError, match="newer"):
        prepare(connection, name="test")
    connection.close()


def test_everything_is_there_after_a_reopen(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    block, keys = new_block(3 * SEGMENT_BYTES), new_keys(3)

    async def before(store: SqliteKeyStore) -> tuple[int, bytes]:
        await add_confirmed(store, block)
        await store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)
        await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        return await store.open_epoch(), await spend(store, 64)

    async def after(store: SqliteKeyStore) -> tuple[int, bytes]:
        supplied = await store.supply(PAIR, count=2, size_bits=256, request_id=REQUEST)
        assert [key.take() for key in supplied] == [key.take() for key in keys[1:]]
        with pytest.raises(PadReused):
            await store.spend_range(SENDING, BitRange((BlockSlice(block.block_id, 56, 72),)), use=Use.RELAY)
        with pytest.raises(PadReused):
            await store.put(new_keys(1) + keys[:1], entitled=frozenset({PAIR.master}), confirmed=True)
        return await store.open_epoch(), await spend(store, 64)

    first_epoch, first_bits = play(path, before)
    second_epoch, second_bits = play(path, after)
    assert second_epoch == first_epoch + 1
    assert first_bits + second_bits == sending_share(block)[:16]


# ---- encryption at rest ----


def files_of(path: Path) -> bytes:
    return b"".join(item.read_bytes() for item in path.parent.iterdir())


def test_no_key_byte_is_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    canary = DICE.randbytes(16)

    async def scene(store: SqliteKeyStore) -> None:
        await add_confirmed(store, new_block(16 * 1000, secret=canary * 1000))
        await store.put(new_keys(1, secret=canary * 2), entitled=frozenset({PAIR.slave}), confirmed=True)
        await spend(store, 800)
        assert canary not in files_of(path)
        assert b"suzhou-kunshan" in files_of(path), "names are public; they show that the search sees the rows"

    play(path, scene)
    assert canary not in files_of(path)


def sealed_rows(path: Path) -> tuple[set[bytes], set[bytes]]:
    """Return beginnings of all segments and all wrapped data keys, as they stand in the file."""
    connection = sqlite3.connect(path)
    segments = {bytes(row[0][:64]) for row in connection.execute("SELECT sealed FROM segment")}
    keys = {bytes(row[0]) for row in connection.execute("SELECT wrapped_key FROM share WHERE wrapped_key NOT NULL")}
    connection.close()
    return segments, keys


def test_what_is_consumed_or_voided_is_gone_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    blocks = [new_block(4 * SEGMENT_BYTES) for _ in range(2)]

    async def fill(store: SqliteKeyStore) -> None:
        for block in blocks:
            await add_confirmed(store, block)

    async def consume(store: SqliteKeyStore) -> None:
        level = (await store.levels())[SENDING]
        await spend(store, level.available_bits // 2)
        await store.void(Selection(block_ids=frozenset({blocks[1].block_id})))

    play(path, fill)
    segments, keys = sealed_rows(path)
    assert len(keys) == 6
    play(path, consume)
    segments_left, keys_left = sealed_rows(path)
    data = path.read_bytes()
    assert len(keys_left) == 2, "the reserve and the other direction of the first block"
    assert (len(segments), len(segments_left)) == (10, 3)
    for row in (segments - segments_left) | (keys - keys_left):
        assert row not in data, "secure_delete overwrites what is freed"


def test_void_empties_the_log_too(tmp_path: Path) -> None:
    log = tmp_path / "keys.sqlite-wal"

    async def scene(store: SqliteKeyStore) -> None:
        await add_confirmed(store, new_block(4 * SEGMENT_BYTES))
        assert log.stat().st_size > 4 * SEGMENT_BYTES
        await store.void(Selection(links=frozenset({LINK})))
        assert log.stat().st_size == 0

    play(tmp_path / "keys.sqlite", scene)


def test_segments_are_destroyed_as_soon_as_they_are_spent(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"

    async def scene(store: SqliteKeyStore) -> None:
        await add_confirmed(store, new_block(9 * SEGMENT_BYTES))
        await spend(store, 8 * (2 * SEGMENT_BYTES + 1))

    play(path, scene)
    connection = sqlite3.connect(path)
    numbers = connection.execute(
        "SELECT number FROM segment JOIN share ON share.id = segment.share JOIN pool ON pool.id = share.pool"
        " WHERE sender = ? ORDER BY number",
        (NEAR,),
    ).fetchall()
    connection.close()
    assert numbers == [(2,), (3,), (4,)]


SEGMENT_OF_SENDING = (
    "FROM segment JOIN share ON share.id = segment.share JOIN pool ON pool.id = share.pool WHERE sender = 'suzhou'"
)


@pytest.mark.parametrize(
    "tamper",
    [
        f"UPDATE segment SET sealed = (SELECT sealed {SEGMENT_OF_SENDING} AND number = 1) WHERE number = 0",
        "UPDATE segment SET sealed = zeroblob(4016)",
        "DELETE FROM segment",
        "UPDATE share SET wrapped_key = (SELECT wrapped_key FROM share AS other WHERE other.id != share.id)",
        "UPDATE share SET wrapped_key = NULL",
        "UPDATE block SET block_id = 'another'",
        "UPDATE pool SET sender = 'x' WHERE sender = 'suzhou';"
        "UPDATE pool SET sender = 'suzhou' WHERE sender = 'kunshan'",
    ],
)
def test_rows_that_were_moved_or_altered_do_not_open(tmp_path: Path, tamper: str) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, lambda store: add_confirmed(store, new_block(9 * SEGMENT_BYTES)))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(tamper)
    connection.close()
    with pytest.raises(StoreFailed, match=r"altered|missing"):
        play(path, lambda store: spend(store, 8))


def test_a_key_of_another_pair_does_not_open(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, lambda store: store.put(new_keys(1), entitled=frozenset({PAIR.master}), confirmed=True))
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE pair SET slave = 'urn:qanat:t:sae:eve'")
    connection.close()
    eves = SaePair(PAIR.master, SaeId("urn:qanat:t:sae:eve"))
    with pytest.raises(StoreFailed, match="altered"):
        play(path, lambda store: store.supply(eves, count=1, size_bits=256, request_id=REQUEST))


# ---- failures of the machine ----


async def limit_pages(store: SqliteKeyStore, writer: StoreWriter, *, spare: int) -> None:
    """Let the file grow by ``spare`` pages and no more, as a full disk would; a negative number lifts the limit."""
    connection = store._database._connection

    def limit() -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + spare if spare >= 0 else 2**30}")

    await writer._submit(store._database.path, store._database, limit, in_commit=False)


def test_a_full_disk_changes_nothing_and_passes(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        await add_confirmed(store, new_block(400))
        levels = await store.levels()
        await limit_pages(store, writer, spare=2)
        large = new_block(100 * SEGMENT_BYTES)
        with pytest.raises(StoreFailed, match="full"):
            await store.add_block(large)
        assert await store.levels() == levels
        with pytest.raises(BlockUnknown):
            await store.confirm(large.block_id)
        assert len(await spend(store, 64)) == 8
        await limit_pages(store, writer, spare=-1)
        await add_confirmed(store, large)

    with_writer(scene)


def test_one_call_too_large_does_not_fail_its_neighbours(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        block = new_block(400)
        await add_confirmed(store, block)
        await limit_pages(store, writer, spare=6)
        keys = new_keys(2)
        _, (supplied,), before, failed, after, short = await asyncio.gather(
            store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True),
            store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST),
            spend(store, 64),
            store.add_block(new_block(100 * SEGMENT_BYTES)),
            spend(store, 64),
            spend(store, 10**6),
            return_exceptions=True,
        )
        assert isinstance(failed, StoreFailed)
        assert isinstance(short, KeyShortage)
        assert supplied.secret == keys[0].secret, "what the failed group had cached was forgotten"
        assert {before, after} == {sending_share(block)[:8], sending_share(block)[8:16]}
        level = (await store.levels())[SENDING]
        assert level.spent_bits == {Use.RELAY: 128}

    with_writer(scene)


def test_calls_that_wait_share_a_commit(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        keys = new_keys(200)
        await store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)
        statements: list[str] = []
        store._database._connection.set_trace_callback(statements.append)
        supplied = await asyncio.gather(
            *(store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST) for _ in range(200))
        )
        store._database._connection.set_trace_callback(None)
        assert {key.key_id for (key,) in supplied} == {key.key_id for key in keys}
        assert statements.count("COMMIT") <= 20

    with_writer(scene)


def test_a_call_that_was_cancelled_in_the_queue_does_not_happen(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        await add_confirmed(store, new_block(400))
        with writer._condition:  # the thread cannot take anything while we hold this
            waiting = asyncio.create_task(spend(store, 64))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.sleep(0)
        assert (await store.levels())[SENDING].spent_bits == {}

    with_writer(scene)


def test_a_closed_writer_refuses_and_close_is_idempotent(tmp_path: Path) -> None:
    async def scene() -> None:
        writer = StoreWriter()
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        await writer.close()
        await writer.close()
        with pytest.raises(StoreFailed, match="closed"):
            await store.levels()
        await store.close()

    asyncio.run(scene())


def test_a_slip_in_one_call_reaches_its_caller_and_nobody_else(tmp_path: Path) -> None:
    async def scene() -> None:
        writer = StoreWriter()
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)

        def slip() -> None:
            store._database._connection.execute("INSERT INTO state VALUES ('half', 1)")
            raise ValueError("a slip of a programmer")

        slipped, levels = await asyncio.gather(
            writer.commit(store._database, slip), store.levels(), return_exceptions=True
        )
        assert isinstance(slipped, ValueError)
        assert levels == {}
        await add_confirmed(store, new_block(400))  # and the store goes on
        (found,) = store._database._connection.execute("SELECT count(*) FROM state WHERE name = 'half'").fetchone()
        assert found == 0, "what the slip had begun is undone"
        await store.close()
        await writer.close()

    asyncio.run(scene())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_ours_in_the_writer_is_loud_and_hangs_nobody(tmp_path: Path) -> None:
    async def scene() -> None:
        writer = StoreWriter()
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)

        def slip() -> None:
            raise RuntimeError("the writer itself is broken")

        answers = await asyncio.gather(writer.commit(store._database, slip), store.levels(), return_exceptions=True)
        assert {type(one) for one in answers} == {StoreFailed}
        await writer.close()

    asyncio.run(scene())


# ---- epochs ----


def test_closing_one_handle_leaves_the_file_open_for_the_other(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        path = tmp_path / "keys.sqlite"
        older = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        newer = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        await newer.open_epoch()
        with pytest.raises(StaleEpoch):
            await older.levels()
        for _ in range(2):
            await older.close()
        await add_confirmed(newer, new_block(400))
        assert len(await spend(newer, 64)) == 8

    with_writer(scene)


def test_error_texts_name_no_key_byte(tmp_path: Path) -> None:
    block = new_block(400)

    async def scene(store: SqliteKeyStore) -> str:
        await add_confirmed(store, block)
        with pytest.raises(KeyShortage) as short:
            await spend(store, 10**6)
        return str(short.value)

    text = play(tmp_path / "keys.sqlite", scene)
    assert re.search(r"has \d+ bits, request a request asks 1000000", text)
    assert block.bits.reveal().hex()[:8] not in text


def test_the_format_page_names_every_table_and_column() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats" / "key-store.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip(" `"): line for line in page.splitlines() if line.startswith("| `")}
    connection = sqlite3.connect(":memory:", isolation_level=None)
    prepare(connection, name="test")
    tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    named = {name: row for (name,) in tables if not name.startswith("sqlite_") and (row := rows.get(name, ""))}
    assert len(named) == sum(not name.startswith("sqlite_") for (name,) in tables)
    for name, row in named.items():
        for column in connection.execute(f"PRAGMA table_info({name})").fetchall():
            assert f"`{column[1]}`" in row, (name, column[1])
    connection.close()
    assert f"schema version {SCHEMA_VERSION}" in page


def test_a_call_to_a_file_that_was_closed_fails_alone(tmp_path: Path) -> None:
    """As when a program ends while calls are under way: the writer goes on for the others."""

    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        other = await SqliteKeyStore.open(tmp_path / "others.sqlite", master_key=MASTER_KEY, writer=writer)
        await store.close()
        with pytest.raises(StoreFailed, match="closed"):
            await store.levels()
        assert await other.levels() == {}

    with_writer(scene)


def test_calls_for_keys_of_one_pair_in_one_commit_read_and_write_the_stock_once(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        keys = new_keys(60)
        await store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)
        statements: list[str] = []
        store._database._connection.set_trace_callback(statements.append)
        supplied = await asyncio.gather(
            *(store.supply(PAIR, count=count, size_bits=256, request_id=REQUEST) for count in (1, 2, 3) * 10)
        )
        store._database._connection.set_trace_callback(None)
        given = [key.key_id for of_call in supplied for key in of_call]
        assert [len(of_call) for of_call in supplied] == [1, 2, 3] * 10
        assert given == [key.key_id for key in keys], "the oldest first, in the order of the calls"
        assert statements.count("COMMIT") == 1
        assert len([one for one in statements if one.startswith("UPDATE pair")]) == 1

    with_writer(scene)


def test_of_calls_in_one_commit_only_those_without_keys_go_away_empty(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        keys, other = new_keys(5), SaePair(PAIR.master, SaeId("urn:qanat:t:sae:carol"))
        await store.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)
        answers = await asyncio.gather(
            *(store.supply(PAIR, count=count, size_bits=256, request_id=REQUEST) for count in (2, 4)),
            store.supply(other, count=1, size_bits=256, request_id=REQUEST),
            store.supply_by_id([keys[3].key_id], sae=PAIR.master),
            *(store.supply(PAIR, count=count, size_bits=256, request_id=REQUEST) for count in (1, 1, 1)),
            return_exceptions=True,
        )
        given = [None if isinstance(one, KeyShortage) else [key.key_id for key in one] for one in answers]  # type: ignore[union-attr]
        ids = [key.key_id for key in keys]
        assert given == [ids[:2], None, None, [ids[3]], [ids[2]], [ids[4]], None]

    with_writer(scene)


def test_a_handle_of_an_older_epoch_takes_nothing_beside_the_newer_one(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        path = tmp_path / "keys.sqlite"
        old = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        await old.open_epoch()
        new = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        await new.open_epoch()
        keys = new_keys(2)
        await new.put(keys, entitled=frozenset({PAIR.master}), confirmed=True)
        stale, fresh = await asyncio.gather(
            *(one.supply(PAIR, count=1, size_bits=256, request_id=REQUEST) for one in (old, new)),
            return_exceptions=True,
        )
        assert isinstance(stale, StaleEpoch)
        assert [key.key_id for key in fresh] == [keys[0].key_id]  # type: ignore[union-attr]

    with_writer(scene)


def test_what_was_asked_before_the_writer_is_closed_is_done(tmp_path: Path) -> None:
    async def scene() -> None:
        writer = StoreWriter()
        store = await SqliteKeyStore.open(tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer)
        putting = asyncio.create_task(store.put(new_keys(1), entitled=frozenset({PAIR.master}), confirmed=True))
        await asyncio.sleep(0)
        await writer.close()
        await putting

    asyncio.run(scene())
