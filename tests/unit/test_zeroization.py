"""Zeroized: no row of before opens any more, with the master key in hand; the store goes on empty in a new epoch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from test_sqlite_store import (
    DICE,
    MASTER_KEY,
    PAIR,
    REQUEST,
    SENDING,
    add_confirmed,
    files_of,
    new_block,
    new_keys,
    play,
    with_writer,
)
from typer.testing import CliRunner

from qanat.adapters.encryption import find_master_key
from qanat.adapters.folder_lock import held
from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.segments import SEGMENT_BYTES
from qanat.adapters.sqlite.zeroization import zeroize
from qanat.adapters.system import SystemEntropy
from qanat.apps.cli.main import app
from qanat.ground.errors import ConfigurationError, KeyNotFound, KeyShortage, PadReused, StoreFailed
from qanat.ground.identifiers import RequestId
from qanat.ground.keys import Use
from qanat.ground.life_cycle import Stage
from qanat.ground.stock import NamedEpoch

BLOCK, KEYS = new_block(4 * SEGMENT_BYTES), new_keys(3)


async def fill(store: SqliteKeyStore) -> None:
    await store.open_epoch(name="before")
    await add_confirmed(store, BLOCK)
    await store.put(KEYS, entitled=frozenset({PAIR.master, PAIR.slave}), confirmed=True)
    await store.spend(SENDING, num_bits=800, use=Use.RELAY, request_id=REQUEST)
    await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    tables = ("opening", "hour_key", "share", "segment", "batch", "app_key")
    rows = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    connection.close()
    return rows


def secrets_in(rows: dict[str, list[tuple[object, ...]]]) -> list[bytes]:
    """Return the beginnings of all wrapped keys, salts and sealed rows."""
    return [
        value[:48]
        for table in rows.values()
        for row in table
        for value in row
        if isinstance(value, bytes) and len(value) > 16
    ]


def test_no_wrapped_key_and_no_sealed_row_is_left_on_the_disk(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, fill)
    before = secrets_in(rows_of(path))
    assert len(before) > 12
    assert all(secret in files_of(path) for secret in before)
    gone = zeroize(path)
    assert (gone.num_keys, gone.num_bits) == (3, BLOCK.num_bits - 800)
    found = files_of(path)
    assert not [secret for secret in before if secret in found]
    assert [item.name for item in tmp_path.iterdir()] == ["keys.sqlite"], "no log is left"


def test_rows_that_somebody_kept_do_not_open_with_the_master_key(tmp_path: Path) -> None:
    """Put back are the very rows that were there, but for the hour keys, which the zeroized store alone could bring."""
    path = tmp_path / "keys.sqlite"
    play(path, fill)
    kept = rows_of(path)
    zeroize(path)
    play(path, lambda store: store.open_epoch())
    connection = sqlite3.connect(path, isolation_level=None)
    for name in ("share", "segment", "batch", "app_key"):
        for row in kept[name]:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", row)
    connection.execute("UPDATE pool SET available_bits = 1000000")
    connection.execute("UPDATE block SET stage = 'stored'")
    connection.close()
    with pytest.raises(StoreFailed):
        play(path, lambda store: store.spend(SENDING, num_bits=8, use=Use.RELAY, request_id=REQUEST))
    with pytest.raises(StoreFailed):
        play(path, lambda store: store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST))


def test_the_store_starts_empty_in_a_new_epoch_and_takes_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, fill)
    assert zeroize(path).epoch == 2

    async def after(store: SqliteKeyStore) -> None:
        assert await store.open_epoch(name="after") == 3
        assert not await store.is_own_epoch(NamedEpoch(1, "before")), "peers that remember it learn that all is gone"
        assert await store.restored_epoch() == 2
        level = (await store.levels())[SENDING]
        assert level.available_bits == level.unconfirmed_bits == 0
        assert level.received_bits == level.voided_bits + sum(level.spent_bits.values())
        assert await store.held_keys() == {}
        assert await store.block_stage(BLOCK.block_id) is Stage.DESTROYED
        assert await store.key_stage(KEYS[2].key_id) is Stage.DESTROYED
        with pytest.raises(KeyShortage):
            await store.spend(SENDING, num_bits=8, use=Use.RELAY, request_id=RequestId("r"))
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([KEYS[0].key_id], sae=PAIR.slave)
        with pytest.raises(PadReused):
            await store.put(KEYS, entitled=frozenset({PAIR.slave}), confirmed=True)
        await store.add_block(BLOCK)
        assert (await store.levels())[SENDING] == level
        await add_confirmed(store, new_block(400))
        await store.spend(SENDING, num_bits=8, use=Use.RELAY, request_id=RequestId("r"))

    play(path, after)


def test_a_master_key_that_is_lost_does_not_hinder_it_and_another_one_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, fill)
    zeroize(path)

    async def with_other_key(writer: StoreWriter) -> int:
        other = SystemEntropy().secret_bytes(32)
        return await (await SqliteKeyStore.open(path, master_key=other, writer=writer)).open_epoch()

    assert with_writer(with_other_key) == 3


def test_a_store_in_use_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    with pytest.raises(ConfigurationError, match="no key store"):
        zeroize(path)

    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        with pytest.raises(ConfigurationError, match="in use"):
            await asyncio.to_thread(zeroize, path)
        await fill(store)

    with_writer(scene)


# ---- a store whose file is damaged ----


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def with_a_page_of_zeros(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096))


def with_a_garbled_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"\xa5" * 100)


def without_state(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM state")


def without_a_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE hour_key")


def without_a_table_that_is_read_late(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TABLE own_epoch")


DAMAGES = [
    *(cut_short, with_a_page_of_zeros, with_a_garbled_head, without_state),
    *(without_a_table, without_a_table_that_is_read_late),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_of_a_damaged_store_the_file_is_overwritten_and_goes_and_a_new_one_begins(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "keys.sqlite"
    play(path, fill)
    damage(path)
    other = tmp_path / "the same file"
    os.link(path, other)
    with pytest.raises(ConfigurationError, match="qanat node zeroize"):
        play(path, lambda store: store.levels())
    gone = zeroize(path)
    assert gone.was_damaged
    assert gone.num_keys is gone.num_bits is gone.epoch is None
    assert not other.read_bytes().strip(b"\0"), "nothing is left in the blocks of the disk either"
    assert [one.name for one in tmp_path.iterdir()] == [other.name]
    play(path, fill)


def test_damage_that_shows_while_a_store_is_open_is_told_with_the_remedy(tmp_path: Path) -> None:
    async def scene(writer: StoreWriter) -> None:
        heard: list[StoreFailed] = []
        store = await SqliteKeyStore.open(
            tmp_path / "keys.sqlite", master_key=MASTER_KEY, writer=writer, on_failed=heard.append
        )
        await fill(store)
        assert heard == []
        store._database._connection.execute("DROP TABLE pool")
        for told in (1, 2):
            with pytest.raises(StoreFailed, match="is damaged: no such table"):
                await store.levels()
            assert len(heard) == told
        assert "qanat node zeroize" in heard[0].remedy
        await store.close()

    with_writer(scene)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_store_fails_alone(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Its neighbours, which the same thread writes, go on."""
    path, sound = tmp_path / "keys.sqlite", tmp_path / "sound" / "keys.sqlite"
    play(path, fill)
    damage(path)

    async def scene(writer: StoreWriter) -> None:
        store = await SqliteKeyStore.open(sound, master_key=MASTER_KEY, writer=writer)
        with pytest.raises(ConfigurationError, match=r"is damaged|is no key store"):
            await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)
        await fill(store)

    with_writer(scene)


def test_a_database_of_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
        connection.execute("INSERT INTO songs VALUES ('so what')")
    with pytest.raises(ConfigurationError, match="no key store"):
        zeroize(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT title FROM songs").fetchall() == [("so what",)]


# ---- the command ----


def a_site(tmp_path: Path) -> Path:
    """Return the data folder of a network with one filled store, as `qanat up` leaves it."""
    play(tmp_path / "suzhou" / "keys.sqlite", fill)
    (tmp_path / "network").write_text("three-nodes\n")
    links = tmp_path / "pki" / "links"
    links.mkdir(parents=True)
    (links / "suzhou-kunshan.made").touch()
    return tmp_path


def run(*arguments: str, typed: str | None = None) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["node", "zeroize", "three-nodes", *arguments], input=typed)
    return done.exit_code, done.stdout, done.stderr


def test_the_command_zeroizes_and_says_so_in_the_log(tmp_path: Path) -> None:
    data = a_site(tmp_path)
    status, stdout, stderr = run("--data", str(data), "--yes", "--json")
    assert status == 0, stderr
    record = json.loads(stdout)["zeroized"]["suzhou"]
    assert (record["num_keys"], record["epoch"]) == (3, 2)
    (line,) = (data / "suzhou" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    event = json.loads(line)
    assert (event["kind"], event["node"]) == ("store-zeroized", "suzhou")
    assert rows_of(data / "suzhou" / "keys.sqlite")["hour_key"] == []


def test_the_command_says_that_a_store_was_damaged(tmp_path: Path) -> None:
    data = a_site(tmp_path)
    store = data / "suzhou" / "keys.sqlite"
    with_a_page_of_zeros(store)
    status, stdout, stderr = run("--data", str(data), "--yes", "--json")
    assert status == 0, stderr
    record = json.loads(stdout)["zeroized"]["suzhou"]
    assert (record["was_damaged"], record["num_keys"], record["num_bits"]) == (True, None, None)
    (line,) = (data / "suzhou" / "events.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["data"]["was_damaged"] is True
    assert not store.exists()
    play(store, fill)
    with_a_page_of_zeros(store)
    status, _, stderr = run("--data", str(data), "--yes")
    assert status == 0
    assert "suzhou: its key store was damaged; the file is overwritten and removed" in stderr


def test_the_command_asks_and_does_nothing_without_an_answer(tmp_path: Path) -> None:
    data = a_site(tmp_path)
    before = rows_of(data / "suzhou" / "keys.sqlite")
    status, _, stderr = run("suzhou", "--data", str(data), typed="yes\n")
    assert status == 2
    assert "say --yes" in stderr
    assert rows_of(data / "suzhou" / "keys.sqlite") == before


@pytest.mark.slow
def test_the_command_leaves_a_running_site_alone(tmp_path: Path) -> None:
    data = a_site(tmp_path)
    with held(data / "suzhou"):
        status, _, stderr = run("--data", str(data), "--yes")
    assert status == 2
    assert "stop the process that runs this site" in stderr


def test_the_master_key_may_come_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    entropy = SystemEntropy()
    spelled = DICE.randbytes(32).hex()
    assert find_master_key(path, environment={"QANAT_MASTER_KEY": spelled}, entropy=entropy).reveal().hex() == spelled
    assert not path.exists()
    for wrong in ("zz", spelled[:-2]):
        with pytest.raises(ConfigurationError, match="QANAT_MASTER_KEY"):
            find_master_key(path, environment={"QANAT_MASTER_KEY": wrong}, entropy=entropy)
    made = find_master_key(path, environment={}, entropy=entropy)
    assert path.read_bytes() == made.reveal()
