"""Public texts that are to be said until they were heard, such as a satellite's announcements. SQL, no transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

NOTICE_TABLE = """CREATE TABLE notice (
    id INTEGER PRIMARY KEY, notice_id TEXT NOT NULL UNIQUE, text BLOB NOT NULL  -- public: no key is in it
)"""


class NoticeTable:
    """The table ``notice``."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def keep(self, notice_id: str, text: bytes) -> None:
        """Keep a text; sqlite3.IntegrityError for an id that is kept."""
        self._connection.execute("INSERT INTO notice (notice_id, text) VALUES (?, ?)", (notice_id, text))

    def ids(self) -> Sequence[str]:
        """Return the ids of all texts, the oldest first."""
        return [str(row[0]) for row in self._connection.execute("SELECT notice_id FROM notice ORDER BY id")]

    def text(self, notice_id: str) -> bytes | None:
        """Return one text, or None where there is none."""
        row = self._connection.execute("SELECT text FROM notice WHERE notice_id = ?", (notice_id,)).fetchone()
        return None if row is None else bytes(row[0])

    def drop(self, notice_id: str) -> None:
        """Forget a text; nothing happens where there is none."""
        self._connection.execute("DELETE FROM notice WHERE notice_id = ?", (notice_id,))
