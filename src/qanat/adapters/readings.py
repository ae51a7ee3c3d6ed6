"""Readings of sensors on disk, in ``<home>/readings.sqlite``: those that wait to go out, and those that came in.

Durable on return (SQLite with ``synchronous=FULL``). Several processes may use one file, by turns: ``readings.lock``
beside it lets one in. Where the file is moved away or removed, the next transaction makes a new one, with a series of
its own: no number is given twice. By turns, as SQLite finds what it keeps beside a file by its name: two connections,
one of them to the file that was moved, would share that and spoil both.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import SaeId

MOST_WAITING = 100_000
"""Readings in the outbox for one centre: ten weeks of one a minute, and at most some 100 MB."""
WAIT_S = 30.0
"""For another process that uses the file."""
PAUSE_S = 0.002
MOST_MOVED = 3
"""So often in a row a file may be moved away while its tables are made."""
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS series (name TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY AUTOINCREMENT, "
    "centre TEXT NOT NULL, sensor TEXT NOT NULL, utc_s REAL NOT NULL, value TEXT NOT NULL, series TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS waiting_for ON waiting (centre)",
    "CREATE TABLE IF NOT EXISTS collected (sender TEXT NOT NULL, sensor TEXT NOT NULL, series TEXT NOT NULL, "
    "number INTEGER NOT NULL, utc_s REAL NOT NULL, value TEXT NOT NULL, PRIMARY KEY (sender, series, number))",
)
_PARTS = {("table", "series"), ("table", "waiting"), ("index", "waiting_for"), ("table", "collected")}
_ANEW = "move the file away to begin anew"
_REMEDIES = {
    sqlite3.SQLITE_NOTADB: _ANEW,
    sqlite3.SQLITE_CORRUPT: _ANEW,
    sqlite3.SQLITE_CANTOPEN: "see that its folder is there, that this user may write there, and that its disk has room",
    sqlite3.SQLITE_READONLY: "let this user read and write there",
    sqlite3.SQLITE_PERM: "let this user read and write there",
    sqlite3.SQLITE_BUSY: "end the other program that has it open and writes",
}
_PRIMARY_CODE = 0xFF
"""SQLite's code of a fault stands in the low byte; the rest says more about it."""


class StoredReading(NamedTuple):
    """What a sensor said, and when (UTC); ``series`` is of one outbox, and ``number`` counts in it.

    An outbox begins another series once a centre has other readings under its numbers.
    """

    sensor: str
    series: str
    number: int
    utc_s: float
    value: str


class Kept(NamedTuple):
    """What became of readings that came: those that are ``fresh``, and the ``others``, which were not kept since their
    numbers are of other readings."""

    fresh: list[StoredReading]
    others: list[StoredReading]


class Readings:
    """The readings of one application."""

    def __init__(self, home: Path) -> None:
        self.path = home / "readings.sqlite"
        with machine_faults_named(home):
            make_private_folder(home)
        with self._open():
            pass

    def post(self, centre: SaeId, sensor: str, values: Sequence[tuple[float, str]]) -> int:
        """Put values, each with its time (UTC), into the outbox for a centre; durable on return.

        The outbox holds MOST_WAITING for each centre: the oldest make room for the newest. Returns how many did.
        """
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            series = _series(database)
            rows = [(centre, sensor, utc_s, value, series) for utc_s, value in values]
            database.executemany(
                "INSERT INTO waiting (centre, sensor, utc_s, value, series) VALUES (?, ?, ?, ?, ?)", rows
            )
            too_many = max(0, _num_waiting(database, centre) - MOST_WAITING)
            database.execute(
                "DELETE FROM waiting WHERE number IN "
                "(SELECT number FROM waiting WHERE centre = ? ORDER BY number LIMIT ?)",
                (centre, too_many),
            )
        return too_many

    def waiting(self, centre: SaeId, *, most: int) -> list[StoredReading]:
        """Return the oldest readings that the centre has not confirmed."""
        with self._open() as database:
            rows = database.execute(
                "SELECT sensor, series, number, utc_s, value FROM waiting WHERE centre = ? ORDER BY number LIMIT ?",
                (centre, most),
            ).fetchall()
        return [StoredReading(*row) for row in rows]

    def num_waiting(self, centre: SaeId) -> int:
        """Return how many readings the centre has not confirmed."""
        with self._open() as database:
            return _num_waiting(database, centre)

    def confirmed(self, readings: Sequence[StoredReading]) -> int:
        """Strike readings off; durable on return. Returns how many there were: another process may have done so."""
        with self._open() as database:
            return database.executemany(
                "DELETE FROM waiting WHERE sensor = ? AND series = ? AND number = ? AND utc_s = ? AND value = ?",
                readings,  # by all of it: the file may have been replaced by an older copy since they were read
            ).rowcount

    def renumber(self, centre: SaeId, readings: Sequence[StoredReading]) -> int:
        """Let readings whose numbers are of others at the centre go under another series, those that wait behind them
        too; the next one, unless one was begun since. Durable on return; returns how many there are of them."""
        first_of: dict[str, int] = {}
        for one in readings:
            first_of[one.series] = min(one.number, first_of.get(one.series, one.number))
        num_renumbered = 0
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            if _series(database) in first_of:
                database.execute("UPDATE series SET name = ?", (_series_after(_series(database)),))
            for series, first in first_of.items():
                num_renumbered += database.execute(
                    "UPDATE waiting SET series = ? WHERE centre = ? AND series = ? AND number >= ?",
                    (_series(database), centre, series, first),
                ).rowcount
        return num_renumbered

    async def keep(self, sender: SaeId, readings: Sequence[StoredReading], /) -> Kept:
        """Keep what is not here yet, durable on return.

        An outbox sends its readings in the order of their numbers, so a number is of two readings where another one is
        here under it, or where a later one of its series is here and it is not: an older copy of the outbox was put
        back, or a second copy is in use. From there on nothing of that series is kept that is not here.
        """
        return await asyncio.to_thread(self._keep, sender, readings)

    def collected(self) -> list[tuple[SaeId, StoredReading]]:
        """Return what came, with its senders, in the order of its times."""
        with self._open() as database:
            return _collected(database)

    def _keep(self, sender: SaeId, readings: Sequence[StoredReading]) -> Kept:
        kept = Kept([], [])
        doubtful = set[str]()
        with self._open() as database:
            database.execute("BEGIN IMMEDIATE")
            for one in readings:
                if (here := _here(database, sender, one)) == one:
                    continue
                if here is not None or one.series in doubtful or _last(database, sender, one.series) > one.number:
                    doubtful.add(one.series)
                    kept.others.append(one)
                    continue
                row = (sender, one.sensor, one.series, one.number, one.utc_s, one.value)
                database.execute("INSERT INTO collected VALUES (?, ?, ?, ?, ?, ?)", row)
                kept.fresh.append(one)
        return kept

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """Give the database in a transaction that is durable at the end, or did not happen; made where it is not."""
        with _faults_named(self.path), contextlib.ExitStack() as stack:
            database = self._made(stack)
            with database:
                yield database
            with contextlib.suppress(sqlite3.Error):  # it is durable already, beside the file
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # closing leaves that out if it was just moved

    def _made(self, stack: contextlib.ExitStack) -> sqlite3.Connection:
        """Return the database with all its tables, open until the end of ``stack``; once more where it is moved away
        while they are made."""
        for num_left in reversed(range(MOST_MOVED)):
            with contextlib.ExitStack() as trying:
                database = trying.enter_context(_connected(self.path, mode="rwc"))
                try:
                    if not _is_made(database):
                        _make(database, self.path)
                except (sqlite3.OperationalError, FileNotFoundError):
                    if not num_left or _has_content(self.path):
                        raise
                    continue
                stack.push(trying.pop_all())
                return database
        raise AssertionError("the last try returns or raises")


def collected_in(home: Path) -> list[tuple[SaeId, StoredReading]] | None:
    """Return what came to a user, as ``Readings.collected`` does, and make nothing; None where there is no file.

    Raises ConfigurationError where the file is no collection.
    """
    path = home / "readings.sqlite"
    if not path.exists():
        return None
    with _faults_named(path), _connected(path, mode="rw") as database:
        if "collected" not in {name for _, name in _parts(database)}:
            raise ConfigurationError(
                f"{path} is no collection of readings: it has no table of them",
                remedy="put the right file back, or move this one away: the next reading that comes begins anew",
            )
        return _collected(database)


@contextlib.contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    try:
        with machine_faults_named(path):
            yield
    except sqlite3.Error as fault:
        code = getattr(fault, "sqlite_errorcode", 0) & _PRIMARY_CODE
        raise ConfigurationError(
            f"{path}: {fault}", remedy=_REMEDIES.get(code, f"make room on its disk, or {_ANEW}")
        ) from None


@contextlib.contextmanager
def _connected(path: Path, *, mode: str) -> Iterator[sqlite3.Connection]:
    """Give the database to this one alone; ``mode`` rwc: an empty file where there is none."""
    address = f"{path.absolute().as_uri()}?mode={mode}"
    with (
        _turn(path.with_suffix(".lock")),
        contextlib.closing(sqlite3.connect(address, timeout=WAIT_S, uri=True)) as database,
    ):
        database.execute("PRAGMA synchronous = FULL")
        yield database


@contextlib.contextmanager
def _turn(lock: Path) -> Iterator[None]:
    """Hold the lock, which the system frees where this process ends; raises ConfigurationError after WAIT_S."""
    with machine_faults_named(lock):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline_s = time.monotonic() + WAIT_S
        while not _is_mine(descriptor):
            if time.monotonic() > deadline_s:
                raise ConfigurationError(f"{lock}: another process holds it", remedy="end or continue that process")
            time.sleep(PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _is_mine(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _parts(database: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(database.execute("SELECT type, name FROM sqlite_master"))


def _has_series(database: sqlite3.Connection) -> bool:
    """Return whether each reading that waits has its series; not so in an older file."""
    return "series" in {row[1] for row in database.execute("PRAGMA table_info(waiting)")}


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def _is_made(database: sqlite3.Connection) -> bool:
    return _parts(database) >= _PARTS and _has_series(database)


def _make(database: sqlite3.Connection, path: Path) -> None:
    """Make what the file lacks, or all of a new one, with a series that no outbox has had."""
    path.chmod(0o600)  # before there is anything in it: what SQLite puts beside it is of the same mode
    if not _parts(database):
        database.execute("PRAGMA journal_mode = WAL")
    with database:
        database.execute("BEGIN IMMEDIATE")
        for statement in _SCHEMA:
            database.execute(statement)
        if database.execute("SELECT name FROM series").fetchone() is None:
            database.execute("INSERT INTO series VALUES (?)", (secrets.token_hex(16),))
        if not _has_series(database):
            database.execute("ALTER TABLE waiting ADD COLUMN series TEXT NOT NULL DEFAULT ''")
            database.execute("UPDATE waiting SET series = ?", (_series(database),))


def _collected(database: sqlite3.Connection) -> list[tuple[SaeId, StoredReading]]:
    rows = database.execute(
        "SELECT sender, sensor, series, number, utc_s, value FROM collected ORDER BY utc_s, sender, number"
    ).fetchall()
    return [(SaeId(sender), StoredReading(*told)) for sender, *told in rows]


def _series(database: sqlite3.Connection) -> str:
    """Return the series under which this outbox numbers readings now."""
    return str(database.execute("SELECT name FROM series").fetchone()[0])


def _series_after(series: str) -> str:
    """Return the series that follows: always the same, so that what goes under it, and is put back from a copy made
    before, is known at the centre again."""
    return hashlib.sha256(series.encode()).hexdigest()[: len(series)]


def _here(database: sqlite3.Connection, sender: SaeId, one: StoredReading) -> StoredReading | None:
    """Return the reading that is kept under the number of this one."""
    row = database.execute(
        "SELECT sensor, series, number, utc_s, value FROM collected WHERE sender = ? AND series = ? AND number = ?",
        (sender, one.series, one.number),
    ).fetchone()
    return None if row is None else StoredReading(*row)


def _last(database: sqlite3.Connection, sender: SaeId, series: str) -> int:
    """Return the highest number that is kept of a series; -1 where there is none."""
    query = "SELECT max(number) FROM collected WHERE sender = ? AND series = ?"
    (last,) = database.execute(query, (sender, series)).fetchone()
    return -1 if last is None else int(last)


def _num_waiting(database: sqlite3.Connection, centre: SaeId) -> int:
    (num,) = database.execute("SELECT count(*) FROM waiting WHERE centre = ?", (centre,)).fetchone()
    return int(num)
