"""Keys between the master key and the data keys: one per pool and hour, so that few rows hold the fate of many."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from qanat.adapters.encryption import DataKey, Vault, damaged_row, identity
from qanat.ground.keys import SecretBytes

HOUR_S = 3600.0
CACHED_HOUR_KEYS = 256
BEFORE_VERSION_2 = "openings of schema version 1"
"""What the hour keys are for that were wrapping keys of openings before there were hour keys."""


@dataclass(slots=True)
class _Current:
    """The hour key that wraps for one pool now. Its counter lives as long as this process: so do its wraps."""

    row: int
    hour: int
    key: DataKey
    wrapped: bytes
    wraps: int = 0
    is_sure: bool = True
    """Whether its row is known to be there still: a call that is undone may take it along."""


class HourKeys:
    """The table ``hour_key``. A pool (or pair of applications) gets a fresh one each hour and at each opening.

    ``utc_s`` tells the hour, which is a label: that the clock jumps does no harm.
    """

    def __init__(self, connection: sqlite3.Connection, vault: Vault, *, utc_s: Callable[[], float]) -> None:
        self._connection = connection
        self._vault = vault
        self._utc_s = utc_s
        self._current: dict[str, _Current] = {}
        self._cache: OrderedDict[int, DataKey] = OrderedDict()

    def new_data_key(self, pool: str, place: bytes) -> tuple[DataKey, int, bytes]:
        """Return a fresh data key, the row of the hour key that wraps it, and the wrapped key."""
        current = self._current_of(pool)
        current.wraps += 1
        data_key, wrapped = self._vault.wrap_under(current.key, current.wraps, place)
        return data_key, current.row, wrapped

    def unwrap(self, row: int | None, wrapped: bytes | None, place: bytes) -> DataKey:
        """Return a data key; raises StoreFailed when it, or the hour key above it, is not what was written here."""
        key = self._cache.get(row or 0)
        if key is None:
            key = self._load(row, place)
        return self._vault.unwrap_under(key, wrapped or b"", place)

    def adopt_opening(self, opening: int, wrapping_key: SecretBytes) -> None:
        """Make an hour key of the wrapping key of an opening of schema version 1; its data keys name that number."""
        wrapped = self._vault.wrap(wrapping_key.take(), place_of_hour_key(BEFORE_VERSION_2, 0))
        self._connection.execute("INSERT INTO hour_key VALUES (?, ?, 0, ?)", (opening, BEFORE_VERSION_2, wrapped))

    def destroy_unused(self) -> int:
        """Destroy the hour keys of past hours under which nothing is wrapped any more; returns how many."""
        cursor = self._connection.execute(
            "DELETE FROM hour_key WHERE hour < ?"
            " AND NOT EXISTS (SELECT 1 FROM share WHERE share.hour_key = hour_key.id)"
            " AND NOT EXISTS (SELECT 1 FROM batch WHERE batch.hour_key = hour_key.id)",
            (self._hour(),),
        )
        return cursor.rowcount

    def forget_cache(self) -> None:
        """Drop the unwrapped keys of earlier hours, and doubt the rows of those that wrap now."""
        self._cache.clear()
        for current in self._current.values():
            current.is_sure = False

    def _current_of(self, pool: str) -> _Current:
        current = self._current.get(pool)
        if current is None or current.hour != self._hour() or not self._is_there(current):
            current = self._current[pool] = self._begin(pool, self._hour())
        return current

    def _is_there(self, current: _Current) -> bool:
        if not current.is_sure:
            found = self._connection.execute("SELECT wrapped_key FROM hour_key WHERE id = ?", (current.row,)).fetchone()
            current.is_sure = found is not None and found[0] == current.wrapped
        return current.is_sure

    def _begin(self, pool: str, hour: int) -> _Current:
        key, wrapped = self._vault.new_data_key(place_of_hour_key(pool, hour))
        cursor = self._connection.execute(
            "INSERT INTO hour_key (kept_for, hour, wrapped_key) VALUES (?, ?, ?)", (pool, hour, wrapped)
        )
        row = cursor.lastrowid or 0
        self._remember(row, key)
        return _Current(row, hour, key, wrapped)

    def _load(self, row: int | None, place: bytes) -> DataKey:
        found = self._connection.execute(
            "SELECT kept_for, hour, wrapped_key FROM hour_key WHERE id = ?", (row,)
        ).fetchone()
        if found is None or row is None:
            raise damaged_row(place)
        kept_for, hour, wrapped = found
        key = self._vault.unwrap(wrapped, place_of_hour_key(kept_for, hour))
        self._remember(row, key)
        return key

    def _remember(self, row: int, key: DataKey) -> None:
        self._cache[row] = key
        if len(self._cache) > CACHED_HOUR_KEYS:
            self._cache.popitem(last=False)

    def _hour(self) -> int:
        return int(self._utc_s() // HOUR_S)


def place_of_hour_key(kept_for: str, hour: int) -> bytes:
    """Return associated data that bind an hour key to its row."""
    return identity("hour key", kept_for, hour)
