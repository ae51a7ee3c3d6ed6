"""The data keys under which application keys are sealed: one per batch, destroyed with the last of its keys."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict

from qanat.adapters.encryption import DataKey, identity
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.ground.identifiers import SaePair

CACHED_DATA_KEYS = 256


class BatchKeys:
    """The table ``batch``."""

    def __init__(self, connection: sqlite3.Connection, hour_keys: HourKeys) -> None:
        self._connection = connection
        self._hour_keys = hour_keys
        self._data_keys: OrderedDict[int, DataKey] = OrderedDict()

    def forget_cache(self) -> None:
        """Drop unwrapped data keys."""
        self._data_keys.clear()

    def new(self, pair: SaePair, num_keys: int) -> tuple[DataKey, int]:
        """Return a fresh data key for so many keys of a pair, and its row."""
        cursor = self._connection.execute(
            "INSERT INTO batch (keys_left, hour_key, wrapped_key) VALUES (?, 0, ?)", (num_keys, b"")
        )
        batch = cursor.lastrowid or 0
        pool = f"pair {pair.master} {pair.slave}"
        key, hour_key, wrapped = self._hour_keys.new_data_key(pool, identity("batch", batch))
        self._connection.execute(
            "UPDATE batch SET hour_key = ?, wrapped_key = ? WHERE id = ?", (hour_key, wrapped, batch)
        )
        return key, batch

    def open(self, batch: int) -> DataKey:
        """Return the data key of a row."""
        key = self._data_keys.get(batch)
        if key is None:
            hour_key, wrapped = self._connection.execute(
                "SELECT hour_key, wrapped_key FROM batch WHERE id = ?", (batch,)
            ).fetchone()
            key = self._data_keys[batch] = self._hour_keys.unwrap(hour_key, wrapped, identity("batch", batch))
            if len(self._data_keys) > CACHED_DATA_KEYS:
                self._data_keys.popitem(last=False)
        return key

    def count_down(self, batch: int, num_gone: int) -> None:
        """Take note that keys of a batch are gone; destroy its data key with the last of them."""
        (left,) = self._connection.execute(
            "UPDATE batch SET keys_left = keys_left - ? WHERE id = ? RETURNING keys_left", (num_gone, batch)
        ).fetchone()
        if left == 0:
            self._connection.execute("DELETE FROM batch WHERE id = ?", (batch,))
            self._data_keys.pop(batch, None)
