"""Readings of sensors on disk, in ``<home>/readings.sqlite``: those that wait to go out, and those that came in.

Durable on return (SQLite with ``synchronous=FULL``). Several processes may use one file at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
import sqlite3
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
"""For another process that writes."""
_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS series (name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    centre TEXT NOT NULL, sensor TEXT NOT NULL, utc_s REAL NOT NULL, value TEXT NOT NULL, series TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS waiting_for ON waiting (centre);
CREATE TABLE IF NOT EXISTS collected (
    sender TEXT NOT NULL, sensor TEXT NOT NULL, series TEXT NOT NULL, number INTEGER NOT NULL,
    utc_s REAL NOT NULL, value TEXT NOT NULL, PRIMARY KEY (sender, series, number)
);
COMMIT;
"""


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
        is_new = not self.path.exists()
        with self._open() as database:
            if is_new:
                database.execute("PRAGMA journal_mode = WAL")
            database.executescript(_SCHEMA)
            database.execute("BEGIN IMMEDIATE")
            if database.execute("SELECT name FROM series").fetchone() is None:
                database.execute("INSERT INTO series VALUES (?)", (secrets.token_hex(16),))
            if "series" not in {row[1] for row in database.execute("PRAGMA table_info(waiting)")}:  # an older file
                database.execute("ALTER TABLE waiting ADD COLUMN series TEXT NOT NULL DEFAULT ''")
                database.execute("UPDATE waiting SET series = ?", (_series(database),))
        self.path.chmod(0o600)

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

    def confirmed(self, readings: Sequence[StoredReading]) -> None:
        """Strike readings off; durable on return."""
        with self._open() as database:
            database.executemany(
                "DELETE FROM waiting WHERE sensor = ? AND series = ? AND number = ? AND utc_s = ? AND value = ?",
                readings,  # by all of it: the file may have been replaced by an older copy since they were read
            )

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
            rows = database.execute(
                "SELECT sender, sensor, series, number, utc_s, value FROM collected ORDER BY utc_s, sender, number"
            ).fetchall()
        return [(SaeId(sender), StoredReading(*told)) for sender, *told in rows]

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
        """Give the database in a transaction that is durable at the end, or did not happen."""
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=WAIT_S)) as database:
                database.execute("PRAGMA synchronous = FULL")
                with database:
                    yield database
        except sqlite3.Error as fault:
            raise ConfigurationError(
                f"{self.path}: {fault}", remedy="make room on its disk, or move the file away to begin anew"
            ) from None


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
