"""A process is killed at each statement that brings an old key store forward, and in the middle of writing it down.

Every time the next start finds the old store, or the whole new one; never a part. The stores are the dumps that the
last programs of their versions wrote.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.schema import MIGRATIONS, SCHEMA_VERSION
from qanat.ground.keys import SecretBytes

pytestmark = pytest.mark.slow

MASTER_KEY = SecretBytes(bytes(range(32)))
FRESH_EACH_TIME = frozenset({"opening", "hour_key"})
"""Tables whose rows have salts and keys that are drawn at each opening."""
OLD_VERSIONS = sorted(MIGRATIONS)

KILLED = """
import json, os, signal, sys
from pathlib import Path
from qanat.adapters.encryption import SecretBytes
from qanat.adapters.sqlite import database, schema
from qanat.adapters.system import SystemEntropy

folder, points = Path(sys.argv[1]), json.loads(sys.argv[2])

class Deadly(tuple):
    def __iter__(self):
        for number, statement in enumerate((*tuple.__iter__(self), None)):
            if number == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            if statement is not None:
                yield statement

def migrate(name, step, at):
    if at is not None:
        deadly = Deadly(schema.MIGRATIONS[step])
        deadly.at = at
        schema.MIGRATIONS[step] = deadly
    database.Database(folder / name, master_key=SecretBytes(bytes(range(32))), entropy=SystemEntropy())
    os.kill(os.getpid(), signal.SIGKILL)

for name, step, at in points:
    child = os.fork()
    if not child:
        try:
            migrate(name, step, at)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, (name, step, at)
"""
"""Each migration runs in a process of its own and is killed before statement ``at`` of a step (or after the last one);
without ``at``, after its commit."""


def old_store(path: Path, version: int) -> Path:
    connection = sqlite3.connect(path)
    connection.executescript(Path(__file__).with_name(f"key-store-v{version}.sql").read_text(encoding="utf-8"))
    connection.close()
    return path


def kill_at(folder: Path, points: list[tuple[str, int, int | None]]) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(folder), json.dumps(points)], check=True)


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a store that nobody has open, and the sizes of those tables that are drawn anew."""
    connection = sqlite3.connect(path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    rows = {name: sorted(connection.execute(f"SELECT * FROM {name}").fetchall(), key=repr) for name in tables}
    connection.close()
    return rows | {name: [(len(rows[name]),)] for name in FRESH_EACH_TIME & rows.keys()}


def version_of(path: Path) -> int:
    rows = contents(path)["state"]
    return next(int(str(value)) for name, value in rows if name == "schema_version")


def open_once(path: Path) -> None:
    async def run() -> None:
        writer = StoreWriter()
        await (await SqliteKeyStore.open(path, master_key=MASTER_KEY, writer=writer)).close()
        await writer.close()

    asyncio.run(run())


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_killed_at_any_statement_it_leaves_the_old_store_and_the_next_start_makes_the_new_one(
    tmp_path: Path, version: int
) -> None:
    untouched, whole = old_store(tmp_path / "untouched", version), old_store(tmp_path / "whole", version)
    open_once(whole)
    expected = contents(whole)
    points: list[tuple[str, int, int | None]] = [
        (f"{step}-{at}", step, at) for step in range(version, SCHEMA_VERSION) for at in range(len(MIGRATIONS[step]) + 1)
    ]
    for name, _, _ in points:
        old_store(tmp_path / name, version)
    kill_at(tmp_path, points)
    assert len(points) > len(MIGRATIONS[version])
    for name, _, _ in points:
        path = tmp_path / name
        assert contents(path) == contents(untouched), name
        open_once(path)
        assert contents(path) == expected, name


@pytest.mark.parametrize("version", OLD_VERSIONS)
def test_killed_while_it_is_written_down_it_is_the_old_store_or_the_new_one(tmp_path: Path, version: int) -> None:
    """The log of a migration, which a kill after its commit left, is cut off everywhere: so a kill in it leaves it."""
    path = old_store(tmp_path / "keys", version)
    before = contents(path)
    kill_at(tmp_path, [("keys", SCHEMA_VERSION, None)])
    log = (tmp_path / "keys-wal").read_bytes()
    page_bytes = int.from_bytes(log[8:12], "big")  # https://sqlite.org/fileformat2.html, the WAL header
    frames = (len(log) - 32) // (page_bytes + 24)
    assert frames > 3, "it is in the log, and not yet in the file"
    cuts = [
        0,
        17,
        32,
        *(32 + number * (page_bytes + 24) - part for number in range(1, frames + 1) for part in (100, 0)),
    ]
    found = []
    for cut in cuts:
        torn = tmp_path / f"torn-{cut}"
        shutil.copy(path, torn)
        torn.with_name(f"{torn.name}-wal").write_bytes(log[:cut])
        found.append(version_of(torn))
        if found[-1] == version:
            assert contents(torn) == before, cut
        open_once(torn)
        assert version_of(torn) == SCHEMA_VERSION
    assert found == sorted(found)
    assert set(found) == {version, SCHEMA_VERSION}
    whole = old_store(tmp_path / "whole", version)
    open_once(whole)
    open_once(whole)  # as the last of the torn ones: once to migrate, once more
    assert contents(tmp_path / f"torn-{cuts[-1]}") == contents(whole)
