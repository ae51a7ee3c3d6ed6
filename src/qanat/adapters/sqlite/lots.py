"""Lots: batches of keys that are kept whole, in a few sealed segments, until keys are taken from them.

A relayed batch has thousands of keys, and a row for each would cost ten times what the relay does. A lot is one row:
the text that its ids follow from, and one bit per key that says whether the key has been taken out. A key that was
taken out is gone, or has become a row of ``app_key`` because somebody else still waits for it. SQL and encryption, no
transactions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import groupby

from qanat.adapters.encryption import damaged_row, identity
from qanat.adapters.sqlite.batch_keys import BatchKeys
from qanat.adapters.sqlite.key_rows import fitting, listed, maker_of_keys, place_of_key
from qanat.adapters.sqlite.lot_rows import SEGMENT_BYTES, SELECT_LOT, Lot, LotKey, LotRun, bounds_of_ids
from qanat.ground.identifiers import SaeId, SaePair
from qanat.ground.key_batches import KeyBatch, costs_of_keys
from qanat.ground.key_ids import BEGINNING_BYTES, KeyIds
from qanat.ground.keys import SecretKey
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage
from qanat.ground.requirements import KeyFit

MIN_LOT_KEYS = 16
"""A batch of fewer keys is kept as rows: a lot's own row is remembered for ever."""

IDS_AT_ONCE = 500
"""So many ids are asked for in one statement; SQLite takes 999 at least."""

_SEGMENT_NUMBERS = 1 << 32
"""Segments are sealed under numbers from here on; keys that were taken out, under their places below it."""


class LotTables:
    """The tables ``lot`` and ``lot_segment``."""

    def __init__(self, connection: sqlite3.Connection, batch_keys: BatchKeys) -> None:
        self._connection = connection
        self._batch_keys = batch_keys

    def put(
        self,
        batch: KeyBatch,
        *,
        pair_row: int,
        record_row: int,
        entitled: Collection[SaeId],
        confirmed: bool,
        stored_s: float,
    ) -> None:
        """Keep a batch none of whose ids was ever here."""
        num_keys, pair = batch.ids.num_keys, batch.pair
        first_key = self._reserved_places(num_keys)
        key, batch_row = self._batch_keys.new(pair, num_keys)
        self._connection.execute(
            "INSERT INTO lot VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                *(first_key, batch.ids.beginning, batch.ids.ids_from, num_keys, pair_row, batch.size_bits, confirmed),
                *(pair.master in entitled, json.dumps(sorted(entitled)), batch_row, record_row, batch.created_utc_s),
                *(stored_s, batch.qkd_bits_spent, num_keys, bytes(-(-num_keys // 8))),
            ),
        )
        bits, place = memoryview(batch.secret.reveal()), _place(batch.ids.ids_from, pair.master, pair.slave)
        per_segment = max(1, SEGMENT_BYTES * 8 // batch.size_bits)
        size = per_segment * batch.size_bits // 8
        self._connection.executemany(
            "INSERT INTO lot_segment VALUES (?, ?)",
            [
                (
                    first_key + number * per_segment,
                    key.seal(_SEGMENT_NUMBERS + number, bits[number * size : (number + 1) * size], place),
                )
                for number in range(-(-num_keys // per_segment))
            ],
        )

    def knows(self, ids: KeyIds) -> bool:
        """Return whether some key with an id that begins like these is, or was, here."""
        beginning = ids.beginning
        bounds = bounds_of_ids(beginning)
        (found,) = self._connection.execute(
            "SELECT EXISTS (SELECT 1 FROM lot WHERE id_beginning = ?)"
            " OR EXISTS (SELECT 1 FROM app_key WHERE key_id BETWEEN ? AND ?)"
            " OR EXISTS (SELECT 1 FROM seen_key WHERE key_id BETWEEN ? AND ?)",
            (beginning, *bounds, *bounds),
        ).fetchone()
        return bool(found)

    def of_ids(self, ids: KeyIds) -> Lot | None:
        """Return the lot of these ids, if they came as one."""
        condition = "id_beginning = ? AND ids_from = ? AND lot.num_keys = ?"
        return next(iter(self._chosen(condition, ids.beginning, ids.ids_from, ids.num_keys)), None)

    def find(self, raw_key_id: bytes) -> LotKey | None:
        """Return where a key lies, or lay."""
        (found,) = self.find_all([raw_key_id])
        return found

    def find_all(self, raw_key_ids: Sequence[bytes]) -> list[LotKey | None]:
        """Return where keys lie, or lay; None for those that came in no lot."""
        lots = self._beginning_with({raw[:BEGINNING_BYTES] for raw in raw_key_ids})
        found = []
        for raw in raw_key_ids:
            places = ((lot, lot.ids.place_of(raw)) for lot in lots.get(raw[:BEGINNING_BYTES], ()))
            found.append(next((LotKey(lot, place) for lot, place in places if place is not None), None))
        return found

    def _beginning_with(self, beginnings: Collection[bytes]) -> dict[bytes, list[Lot]]:
        asked, lots = sorted(beginnings), dict[bytes, list[Lot]]()
        for start in range(0, len(asked), IDS_AT_ONCE):
            some = asked[start : start + IDS_AT_ONCE]
            for lot in self._chosen(f"id_beginning IN ({', '.join('?' * len(some))})", *some):
                lots.setdefault(lot.ids.beginning, []).append(lot)
        return lots

    def _chosen(self, condition: str, *values: str | bytes | float) -> list[Lot]:
        return [*map(Lot._make, self._connection.execute(SELECT_LOT + " WHERE " + condition, values))]

    def stock(self, pair: SaePair, *, count: int, size_bits: int, fit: KeyFit) -> list[LotRun]:
        """Return the oldest ``count`` keys that the master can be supplied from lots, or all; each lot once."""
        condition, bounds = fitting(fit)
        query = (
            SELECT_LOT + " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"  # noqa: S608 - constants
            " AND size_bits = ? AND is_confirmed = 1 AND master_may = 1 AND keys_left > 0" + condition
        )
        rows = self._connection.execute(query + " ORDER BY first_key", (pair.master, pair.slave, size_bits, *bounds))
        runs: list[LotRun] = []
        for lot in map(Lot._make, rows):
            runs.append(LotRun(lot, lot.free_places(count)))
            count -= len(runs[-1].places)
            if not count:
                break
        return runs

    def count(self, pair: SaePair, *, size_bits: int, fit: KeyFit) -> int:
        """Return how many keys ``stock`` could find."""
        condition, bounds = fitting(fit)
        (number,) = self._connection.execute(
            "SELECT coalesce(sum(keys_left), 0) FROM lot JOIN record ON record.id = lot.record"  # noqa: S608 - constants
            " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"
            f" AND size_bits = ? AND is_confirmed = 1 AND master_may = 1 AND keys_left > 0{condition}",
            (pair.master, pair.slave, size_bits, *bounds),
        ).fetchone()
        return int(number)

    def confirm(self, lot: Lot) -> None:
        """Make all keys of a whole lot suppliable."""
        assert next_stage(Kind.KEY, lot.stage, Act.CONFIRM) is Stage.STORED
        self._connection.execute("UPDATE lot SET is_confirmed = 1 WHERE first_key = ?", (lot.first_key,))

    def give_last(self, keys: Sequence[LotKey]) -> list[SecretKey]:
        """Return the keys and end them, as supplied to the last who waited for them."""
        opened = self.opened(keys)
        self._end_as_given(_by_lot(keys))
        return opened

    def give_runs(self, runs: Sequence[LotRun]) -> list[SecretKey]:
        """``give_last`` of the keys of runs, no two of one lot."""
        opened = [key for run in runs for key in self._opened(*run)]
        self._end_as_given(runs)
        return opened

    def move_out(self, keys: Sequence[LotKey]) -> None:
        """Make rows of ``app_key`` of these keys."""
        for lot, of_lot in _by_lot(keys):
            data_key, rows = self._batch_keys.open(lot.batch), []
            for key, place in zip(self.opened([LotKey(lot, place) for place in of_lot]), of_lot, strict=True):
                sealed = data_key.seal(place, key.take(), place_of_key(key.key_id, lot.master, lot.slave))
                rows.append(
                    (
                        *(lot.first_key + place, lot.ids.raw(place), lot.pair_row, lot.size_bits, lot.is_confirmed),
                        *(lot.master in listed(lot.waiting), lot.waiting, lot.batch, place, sealed, lot.record_row),
                        *(lot.created_utc_s, lot.stored_s, key.qkd_bits_spent),
                    )
                )
            self._connection.executemany(
                "INSERT INTO app_key (id, key_id, pair, size_bits, is_confirmed, master_may, waiting, batch, number,"
                " sealed, record, created_utc_s, stored_s, qkd_bits_spent)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            self._take_out(lot, of_lot)

    def chosen(self, condition: str, *values: str | bytes | float) -> list[Lot]:
        """Return the lots with keys in them that fulfil a condition."""
        return self._chosen("keys_left > 0 AND " + condition, *values)

    def end(self, lots: Iterable[Lot], act: Act) -> int:
        """Destroy all keys that are in these lots; return how many there were."""
        num_gone = 0
        for lot in {lot.first_key: lot for lot in lots}.values():
            after = next_stage(Kind.KEY, lot.stage, act)
            assert after is not None, f"keys cannot go on from {lot.stage} by {act}"
            self._connection.execute(
                "UPDATE lot SET ended = ?, keys_left = 0 WHERE first_key = ?", (after, lot.first_key)
            )
            self._connection.execute(
                "DELETE FROM lot_segment WHERE first_key BETWEEN ? AND ?",
                (lot.first_key, lot.first_key + lot.num_keys - 1),
            )
            self._forget(lot, lot.keys_left)
            num_gone += lot.keys_left
        return num_gone

    def _end_as_given(self, runs: Iterable[LotRun]) -> None:
        for lot, places in runs:
            assert next_stage(Kind.KEY, lot.stage, Act.GIVE_LAST) is Stage.SUPPLIED
            self._take_out(lot, places)
            self._forget(lot, len(places))

    def opened(self, keys: Sequence[LotKey]) -> list[SecretKey]:
        """Return keys that are in lots, in this order."""
        found: list[SecretKey] = []
        for _, group in groupby(keys, key=lambda key: key.lot.first_key):
            of_lot = [*group]
            found += self._opened(of_lot[0].lot, [key.place for key in of_lot])
        return found

    def _opened(self, lot: Lot, places: Sequence[int]) -> list[SecretKey]:
        """Return the keys at some places of a lot. What is the same for all is looked up once: they may be many."""
        make, ids = maker_of_keys(lot.master, lot.slave, lot.record, lot.created_utc_s), lot.ids.spelled()
        size, per_segment = lot.size_bits // 8, lot.keys_per_segment
        segments = {
            number: memoryview(self._segment(lot, number, lot.first_key + number * per_segment))
            for number in dict.fromkeys([place // per_segment for place in places])
        }
        costs = costs_of_keys(lot.qkd_bits_spent, places, num_keys=lot.num_keys)
        return [
            make(ids[place], segments[place // per_segment][(at := place % per_segment * size) : at + size], cost_bits)
            for place, cost_bits in zip(places, costs, strict=True)
        ]

    def _segment(self, lot: Lot, number: int, segment_row: int) -> bytes:
        place = _place(lot.ids_from, lot.master, lot.slave)
        row = self._connection.execute("SELECT sealed FROM lot_segment WHERE first_key = ?", (segment_row,)).fetchone()
        if row is None:
            raise damaged_row(place)
        return self._batch_keys.open(lot.batch).open(_SEGMENT_NUMBERS + number, row[0], place)

    def _reserved_places(self, num_keys: int) -> int:
        """Return the first of so many numbers that no row of ``app_key`` has or will get of itself."""
        row = self._connection.execute(
            "UPDATE sqlite_sequence SET seq = seq + ? WHERE name = 'app_key' RETURNING seq", (num_keys,)
        ).fetchone()
        if row is None:  # no row was ever put
            self._connection.execute("INSERT INTO sqlite_sequence VALUES ('app_key', ?)", (num_keys,))
        return int(row[0] if row is not None else num_keys) - num_keys + 1

    def _take_out(self, lot: Lot, places: Sequence[int]) -> None:
        """Note that keys are in the lot no more; destroy the segments of which nothing is left."""
        taken, per_segment = lot.without(places), lot.keys_per_segment
        self._connection.execute(
            "UPDATE lot SET taken = ?, keys_left = keys_left - ? WHERE first_key = ?",
            (taken, len(places), lot.first_key),
        )
        left = ~int.from_bytes(taken, "little") & (1 << lot.num_keys) - 1
        mask = (1 << per_segment) - 1
        touched = {place // per_segment * per_segment for place in places}
        empty = [first for first in touched if not left >> first & mask]
        self._connection.executemany(
            "DELETE FROM lot_segment WHERE first_key = ?", [(lot.first_key + first,) for first in empty]
        )

    def _forget(self, lot: Lot, num_gone: int) -> None:
        self._connection.execute("UPDATE pair SET num_keys = num_keys - ? WHERE id = ?", (num_gone, lot.pair_row))
        self._batch_keys.count_down(lot.batch, num_gone)


def _by_lot(keys: Sequence[LotKey]) -> list[LotRun]:
    """Return each lot with the places of these keys. All rows of one lot must have been read at one time."""
    in_order = sorted(keys, key=lambda key: key.order)
    return [
        LotRun(of_lot[0].lot, [key.place for key in of_lot])
        for _, group in groupby(in_order, key=lambda key: key.lot.first_key)
        for of_lot in ([*group],)
    ]


def _place(ids_from: str, master: SaeId, slave: SaeId) -> bytes:
    return identity("lot", ids_from, master, slave)
