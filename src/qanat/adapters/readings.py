"""Readings of sensors on disk, in ``<home>/readings.sqlite``: those that wait to go out, and those that came in.

Durable on return (SQLite with ``synchronous=FULL``). Several processes may use one file at once.
"""

from __future__ import annotations

import asyncio
import contextlib
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
    centre TEXT NOT NULL, sensor TEXT NOT NULL, utc_s REAL NOT NULL, value TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS waiting_for ON waiting (centre);
CREATE TABLE IF NOT EXISTS collected (
    sender TEXT NOT NULL, sensor TEXT NOT NULL, series TEXT NOT NULL, number INTEGER NOT NULL,
    utc_s REAL NOT NULL, value TEXT NOT NULL, PRIMARY KEY (sender, series, number)
);
COMMIT;
"""


class StoredReading(NamedTuple):
    """What a sensor said, and when (UTC); ``series`` is of one outbox, and ``number`` counts in it."""

    sensor: str
    series: str
    number: int
    utc_s: float
    value: str


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
            if database.execute("SELECT name FROM series").fetchone() is None:
                database.execute("INSERT INTO series VALUES (?)", (secrets.token_hex(16),))
        self.path.chmod(0o600)

    def post(self, centre: SaeId, sensor: str, values: Sequence[tuple[float, str]]) -> int:
        """Put values, each with its time (UTC), into the outbox for a centre; durable on return.

        The outbox holds MOST_WAITING for each centre: the oldest make room for the newest. Returns how many did.
        """
        rows = [(centre, sensor, utc_s, value) for utc_s, value in values]
        with self._open() as database:
            database.executemany("INSERT INTO waiting (centre, sensor, utc_s, value) VALUES (?, ?, ?, ?)", rows)
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
            (series,) = database.execute("SELECT name FROM series").fetchone()
            rows = database.execute(
                "SELECT sensor, number, utc_s, value FROM waiting WHERE centre = ? ORDER BY number LIMIT ?",
                (centre, most),
            ).fetchall()
        return [StoredReading(sensor, series, number, utc_s, value) for sensor, number, utc_s, value in rows]

    def num_waiting(self, centre: SaeId) -> int:
        """Return how many readings the centre has not confirmed."""
        with self._open() as database:
            return _num_waiting(database, centre)

    def confirmed(self, readings: Sequence[StoredReading]) -> None:
        """Strike readings off; durable on return."""
        with self._open() as database:
            database.executemany("DELETE FROM waiting WHERE number = ?", [(one.number,) for one in readings])

    async def keep(self, sender: SaeId, readings: Sequence[StoredReading], /) -> list[StoredReading]:
        """Keep what is not here yet, durable on return; returns it."""
        return await asyncio.to_thread(self._keep, sender, readings)

    def collected(self) -> list[tuple[SaeId, StoredReading]]:
        """Return what came, with its senders, in the order of its times."""
        with self._open() as database:
            rows = database.execute(
                "SELECT sender, sensor, series, number, utc_s, value FROM collected ORDER BY utc_s, sender, number"
            ).fetchall()
        return [(SaeId(sender), StoredReading(*told)) for sender, *told in rows]

    def _keep(self, sender: SaeId, readings: Sequence[StoredReading]) -> list[StoredReading]:
        fresh = []
        with self._open() as database:
            for one in readings:
                row = (sender, one.sensor, one.series, one.number, one.utc_s, one.value)
                if database.execute("INSERT OR IGNORE INTO collected VALUES (?, ?, ?, ?, ?, ?)", row).rowcount:
                    fresh.append(one)
        return fresh

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


def _num_waiting(database: sqlite3.Connection, centre: SaeId) -> int:
    (num,) = database.execute("SELECT count(*) FROM waiting WHERE centre = ?", (centre,)).fetchone()
    return int(num)
