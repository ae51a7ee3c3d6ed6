"""Epochs of this store and of its peers', and the time by which stock ages. SQL, no transactions."""

from __future__ import annotations

import sqlite3

from qanat.ground.identifiers import NodeId
from qanat.ground.stock import NamedEpoch, StockTime

SAVE_EVERY_S = 60.0
"""The time of the stock is saved this often when nothing expires: saving costs a commit."""


class EpochTables:
    """The tables ``own_epoch`` and ``peer_epoch``, and the rows of ``state`` for epoch and time."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.number = self.read_number()
        self.is_used = False
        """Whether stock was used since the epoch's name was marked last."""
        saved_ms, saved_utc_ms = self._state("stock_ms"), self._state("stock_utc_ms")
        saved_utc_s = None if saved_utc_ms is None else saved_utc_ms / 1000
        self.time = StockTime(saved_s=(saved_ms or 0) / 1000, saved_utc_s=saved_utc_s)

    def read_number(self) -> int:
        """Return the number of the epoch from the file."""
        self.number = self._state("epoch") or 0
        return self.number

    def begin(self, *, name: str, above: int) -> int:
        """Begin the next epoch; with ``above``, after a restore."""
        number = max(self.read_number(), above) + 1
        self._set_state("epoch", number)
        if above:
            self._set_state("restored_epoch", number)
        self._connection.execute("INSERT OR REPLACE INTO own_epoch VALUES (?, ?)", (number, name))
        self.number = number
        self.is_used = False
        return number

    def mark(self) -> NamedEpoch | None:
        """Add a mark to the epoch's name if stock was used since the last one."""
        if not self.is_used or (own := self._own(self.number)) is None:
            return None
        marked = own.next_mark
        self._connection.execute("UPDATE own_epoch SET name = ? WHERE number = ?", (marked.name, marked.number))
        self.is_used = False
        return marked

    def is_own(self, epoch: NamedEpoch) -> bool:
        """Return whether this store has lived through an epoch of this number and name, as far as its mark."""
        own = self._own(epoch.number)
        return own is not None and own.has_lived_through(epoch)

    def restored_epoch(self) -> int:
        """Return the epoch that began when this store was last found to be an older copy; 0 when it never was."""
        return self._state("restored_epoch") or 0

    def peer(self, peer: NodeId) -> NamedEpoch | None:
        row = self._connection.execute("SELECT number, name FROM peer_epoch WHERE peer = ?", (peer,)).fetchone()
        return None if row is None else NamedEpoch(*row)

    def remember_peer(self, peer: NodeId, epoch: NamedEpoch) -> None:
        """Remember the epoch that a peer lives in."""
        self._connection.execute("INSERT OR REPLACE INTO peer_epoch VALUES (?, ?, ?)", (peer, epoch.number, epoch.name))

    def terms(self) -> int:
        """Return the number of what sites stated of the ways of their keys at the last start; 0 before the first."""
        return self._state("terms") or 0

    def remember_terms(self, terms: int) -> None:
        """Remember that number."""
        self._set_state("terms", terms)

    def tick(self, *, monotonic_s: float, utc_s: float) -> float:
        """Let the time of the stock run on, save it now and then, and return it."""
        now_s = self.time.tick(monotonic_s=monotonic_s, utc_s=utc_s)
        if self.time.saved_utc_s is None or now_s - self.time.saved_s >= SAVE_EVERY_S:
            self.save_time(utc_s)
        return now_s

    def save_time(self, utc_s: float) -> None:
        """Save the time of the stock."""
        self.time.save(utc_s)
        self._set_state("stock_ms", round(1000 * self.time.saved_s))
        self._set_state("stock_utc_ms", round(1000 * utc_s))

    def _own(self, number: int) -> NamedEpoch | None:
        row = self._connection.execute("SELECT name FROM own_epoch WHERE number = ?", (number,)).fetchone()
        return None if row is None else NamedEpoch(number, row[0])

    def _state(self, name: str) -> int | None:
        row = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    def _set_state(self, name: str, value: int) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))
