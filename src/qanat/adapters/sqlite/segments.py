"""The secret bits of shares, sealed in segments, so that a spend decrypts little and destroys early."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict

from qanat.adapters.encryption import DataKey
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.ground.errors import StoreFailed
from qanat.ground.keys import BlockSlice, SecretBytes

SEGMENT_BYTES = 4000
"""With its tag and row header a segment fills one 4,096-byte page of SQLite without an overflow page."""

CACHED_SEGMENTS = 64
"""How many decrypted segments are kept: the current one of each pool of a busy node."""


class Segments:
    """The table ``segment`` and the columns ``hour_key`` and ``wrapped_key`` of ``share``.

    Each share has its own data key; segment ``n`` holds its bytes ``n * SEGMENT_BYTES`` and following, sealed under
    number ``n``. Segments never change, so the cache of decrypted ones can be wrong in nothing but being too large.
    """

    def __init__(self, connection: sqlite3.Connection, hour_keys: HourKeys) -> None:
        self._connection = connection
        self._hour_keys = hour_keys
        self._plain: OrderedDict[tuple[int, int], SecretBytes] = OrderedDict()

    def write(self, share_row: int, secret: SecretBytes, *, pool: str, place: bytes) -> None:
        """Seal a new share's bytes under a fresh data key."""
        key, hour_key, wrapped = self._hour_keys.new_data_key(pool, place)
        self._connection.execute(
            "UPDATE share SET hour_key = ?, wrapped_key = ? WHERE id = ?", (hour_key, wrapped, share_row)
        )
        data = memoryview(secret.reveal())
        self._connection.executemany(
            "INSERT INTO segment (share, number, sealed) VALUES (?, ?, ?)",
            (
                (share_row, number, key.seal(number, data[start : start + SEGMENT_BYTES], place))
                for number, start in enumerate(range(0, len(data), SEGMENT_BYTES))
            ),
        )

    def read(self, share_row: int, start: int, stop: int, *, place: bytes) -> bytes:
        """Return the bytes ``start`` to ``stop`` of a share; they must still be there."""
        data = bytearray()
        key: DataKey | None = None
        for number in range(start // SEGMENT_BYTES, (stop - 1) // SEGMENT_BYTES + 1):
            plain = self._plain.get((share_row, number))
            if plain is None:
                key = key or self._data_key(share_row, place)
                plain = self._open(share_row, number, key, place)
            offset = number * SEGMENT_BYTES
            data += plain.part(max(start - offset, 0), min(stop - offset, len(plain))).take()
        return bytes(data)

    def destroy_covered(self, share_row: int, start: int, stop: int, *, touched: BlockSlice) -> None:
        """Destroy the segments that ``touched`` lies in and the spent bytes ``start`` to ``stop`` cover whole."""
        first = max(-(-start // SEGMENT_BYTES), touched.start_bit // 8 // SEGMENT_BYTES)
        last = min(stop // SEGMENT_BYTES - 1, (touched.stop_bit // 8 - 1) // SEGMENT_BYTES)
        if first > last:
            return
        self._connection.execute(
            "DELETE FROM segment WHERE share = ? AND number BETWEEN ? AND ?", (share_row, first, last)
        )
        for number in range(first, last + 1):
            self._forget(share_row, number)

    def destroy_all(self, share_row: int) -> None:
        """Destroy a share's data key and all its segments."""
        self._connection.execute("UPDATE share SET hour_key = NULL, wrapped_key = NULL WHERE id = ?", (share_row,))
        self._connection.execute("DELETE FROM segment WHERE share = ?", (share_row,))
        for cached_row, number in list(self._plain):
            if cached_row == share_row:
                self._forget(cached_row, number)

    def forget_cache(self) -> None:
        """Wipe all decrypted segments."""
        for share_row, number in list(self._plain):
            self._forget(share_row, number)

    def _data_key(self, share_row: int, place: bytes) -> DataKey:
        hour_key, wrapped = self._connection.execute(
            "SELECT hour_key, wrapped_key FROM share WHERE id = ?", (share_row,)
        ).fetchone()
        return self._hour_keys.unwrap(hour_key, wrapped, place)

    def _open(self, share_row: int, number: int, key: DataKey, place: bytes) -> SecretBytes:
        row = self._connection.execute(
            "SELECT sealed FROM segment WHERE share = ? AND number = ?", (share_row, number)
        ).fetchone()
        if row is None:
            raise StoreFailed(
                f"segment {number} of share {share_row} is missing from the key store",
                remedy="the file was damaged or altered; void the stock of this link at both ends",
            )
        plain = SecretBytes(key.open(number, row[0], place))
        self._plain[share_row, number] = plain
        if len(self._plain) > CACHED_SEGMENTS:
            self._plain.popitem(last=False)[1].wipe()
        return plain

    def _forget(self, share_row: int, number: int) -> None:
        plain = self._plain.pop((share_row, number), None)
        if plain is not None:
            plain.wipe()
