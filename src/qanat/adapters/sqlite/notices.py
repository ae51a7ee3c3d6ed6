"""Public texts that are to be said until they were heard, such as a satellite's announcements. SQL, no transactions."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

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

    def all(self) -> Mapping[str, bytes]:
        """Return all texts, the oldest first."""
        rows = self._connection.execute("SELECT notice_id, text FROM notice ORDER BY id").fetchall()
        return {str(notice_id): bytes(text) for notice_id, text in rows}

    def drop(self, notice_id: str) -> None:
        """Forget a text; nothing happens where there is none."""
        self._connection.execute("DELETE FROM notice WHERE notice_id = ?", (notice_id,))
