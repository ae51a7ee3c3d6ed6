"""Which keys of a device were ever taken: no key is taken twice, over restarts of this end and faults of the device.

A small SQLite file of ids, without any key. An id is durable here before its key is used, so that a crash costs keys
and repeats none.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path

from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import StoreFailed
from qanat.ground.identifiers import KeyID

MAX_REMEMBERED = 4_000_000
"""Per link; beyond, the oldest are forgotten. At 100 kbit/s and 256 bits a key that is three hours, at 4,096 bits two
days: far longer than any answer of a device is under way."""
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS used (number INTEGER PRIMARY KEY, key_id BLOB NOT NULL UNIQUE);
"""


class UsedKeys:
    """The ids that one end of one link has taken. Open it once per process; calls come one at a time."""

    def __init__(self, path: Path) -> None:
        with machine_faults_named(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
        self._path = path
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_SCHEMA)
        self._turn = asyncio.Lock()

    async def claim(self, key_ids: Sequence[KeyID]) -> tuple[KeyID, ...]:
        """Make ids durable as taken; return those that were taken before, in which case none is. Raises StoreFailed."""
        async with self._turn:
            return await asyncio.to_thread(self._claim, key_ids)

    async def were_used(self, key_ids: Sequence[KeyID]) -> bool:
        """Return whether all of these ids were taken before."""
        async with self._turn:
            return len(await asyncio.to_thread(self._known, key_ids)) == len(key_ids)

    def close(self) -> None:
        """Close the file; idempotent."""
        self._database.close()

    # --- inside, in a thread ---

    def _claim(self, key_ids: Sequence[KeyID]) -> tuple[KeyID, ...]:
        try:
            if known := self._known(key_ids):
                return known
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT INTO used (key_id) VALUES (?)", [(_row(one),) for one in key_ids])
            self._database.execute(
                "DELETE FROM used WHERE number <= (SELECT max(number) FROM used) - ?", (MAX_REMEMBERED,)
            )
            self._database.execute("COMMIT")
        except sqlite3.Error as fault:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise StoreFailed(
                f"{self._path} cannot write which keys were taken: {fault}", remedy="make room on its disk"
            ) from None
        return ()

    def _known(self, key_ids: Sequence[KeyID]) -> tuple[KeyID, ...]:
        look = "SELECT 1 FROM used WHERE key_id = ?"
        return tuple(one for one in key_ids if self._database.execute(look, (_row(one),)).fetchone())


def _row(key_id: KeyID) -> bytes:
    return uuid.UUID(key_id).bytes
