"""Keys of applications: put, supplied once to each who is entitled, destroyed. SQL and encryption, no transactions."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

from qanat.adapters.sqlite.batch_keys import BatchKeys
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.adapters.sqlite.key_rows import (
    Gone,
    KeyRow,
    after_supply,
    ended_stage,
    fitting,
    held_stage,
    key_not_found,
    listed,
    maker_of_keys,
    place_of_key,
    raw_id,
    record_text,
    spelled_record,
    unfit,
)
from qanat.adapters.sqlite.lot_rows import Lot, LotKey, LotRun, bounds_of_ids
from qanat.adapters.sqlite.lots import IDS_AT_ONCE, MIN_LOT_KEYS, LotTables
from qanat.ground.errors import KeyShortage, NotEntitled, PadReused
from qanat.ground.identifiers import KeyID, RequestId, SaeId, SaePair
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import SecretKey, Selection
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage
from qanat.ground.requirements import ANY_KEY, KeyFit
from qanat.ground.stock import AgeLimits

_Held: TypeAlias = KeyRow | LotKey
"""A key that is held, as a row or in a lot."""

_SELECT_KEY = (
    "SELECT app_key.id, key_id, pair, master, slave, is_confirmed, waiting, served, batch, number, sealed, record.text,"
    " created_utc_s, qkd_bits_spent FROM app_key JOIN pair ON pair.id = app_key.pair"
    " JOIN record ON record.id = app_key.record"
)
_ROUTE_BEGINS = "(SELECT text ->> '$.routes[0][0]' FROM record WHERE record.id = app_key.record)"
_END_KEY = "INSERT INTO seen_key VALUES (?, ?) ON CONFLICT DO UPDATE SET stage = excluded.stage"


class KeyTables:
    """The tables ``app_key``, ``pair``, ``record`` and ``seen_key``, and lots: the memory of all that ended."""

    def __init__(self, connection: sqlite3.Connection, hour_keys: HourKeys) -> None:
        self._connection = connection
        self._batch_keys = BatchKeys(connection, hour_keys)
        self._lots = LotTables(connection, self._batch_keys)

    def forget_cache(self) -> None:
        """Drop unwrapped data keys."""
        self._batch_keys.forget_cache()

    def put(self, keys: Sequence[SecretKey], *, entitled: frozenset[SaeId], confirmed: bool, stored_s: float) -> None:
        """Keep keys under a fresh data key; those held already stay as they are. Raises PadReused for a gone one."""
        new = self._new_keys(keys)
        by_pair: dict[SaePair, list[SecretKey]] = {}
        for key in new:
            by_pair.setdefault(key.pair, []).append(key)
        for pair, of_pair in by_pair.items():
            self._put_pair(pair, of_pair, entitled=entitled, confirmed=confirmed, stored_s=stored_s)

    def put_batch(self, batch: KeyBatch, *, entitled: frozenset[SaeId], confirmed: bool, stored_s: float) -> None:
        """Keep a batch, as ``put`` does its keys: as a lot where it is large enough and all of it is new."""
        if batch.ids.num_keys < MIN_LOT_KEYS or self._lots.knows(batch.ids):
            self.put(batch.one_by_one(), entitled=entitled, confirmed=confirmed, stored_s=stored_s)
            return
        text = spelled_record(batch.routes, batch.threshold, batch.pad_bits, batch.origin)
        self._lots.put(
            batch,
            pair_row=self._pair_row(batch.pair, more_keys=batch.ids.num_keys),
            record_row=self._record_row(text),
            entitled=entitled,
            confirmed=confirmed,
            stored_s=stored_s,
        )

    def _put_pair(
        self,
        pair: SaePair,
        keys: Sequence[SecretKey],
        *,
        entitled: frozenset[SaeId],
        confirmed: bool,
        stored_s: float,
    ) -> None:
        key, batch = self._batch_keys.new(pair, len(keys))
        pair_row, waiting = self._pair_row(pair, more_keys=len(keys)), json.dumps(sorted(entitled))
        texts = [record_text(one) for one in keys]
        records = {text: self._record_row(text) for text in set(texts)}
        self._connection.executemany(
            "INSERT INTO app_key (key_id, pair, size_bits, is_confirmed, master_may, waiting, batch, number, sealed,"
            " record, created_utc_s, stored_s, qkd_bits_spent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(
                        raw_id(one.key_id),
                        pair_row,
                        one.size_bits,
                        confirmed,
                        pair.master in entitled,
                        waiting,
                        batch,
                        number,
                    ),
                    key.seal(number, one.secret.reveal(), place_of_key(one.key_id, pair.master, pair.slave)),
                    *(records[text], one.created_utc_s, stored_s, one.qkd_bits_spent),
                )
                for number, (one, text) in enumerate(zip(keys, texts, strict=True))
            ],
        )

    def supply(
        self, pair: SaePair, *, count: int, size_bits: int, request_id: RequestId, fit: KeyFit = ANY_KEY
    ) -> Sequence[SecretKey]:
        """Hand the master its oldest confirmed keys of this size that fit; raises KeyShortage."""
        condition, bounds = fitting(fit)
        query = (
            _SELECT_KEY + " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"  # noqa: S608 - constants
            " AND size_bits = ? AND is_confirmed = 1 AND master_may = 1" + condition + " ORDER BY app_key.id LIMIT ?"
        )
        rows = self._connection.execute(query, (pair.master, pair.slave, size_bits, *bounds, count)).fetchall()
        in_lots = self._lots.stock(pair, count=count, size_bits=size_bits, fit=fit)
        if (num_held := len(rows) + sum(len(run.places) for run in in_lots)) < count:
            raise KeyShortage(
                f"request {request_id} asks {count} keys of {size_bits} bits; {pair.master} has {num_held}"
                f" with {pair.slave}",
                remedy="wait until more were relayed",
            )
        if not rows and all(run.lot.is_only_for(pair.master) for run in in_lots):
            return self._lots.give_runs(in_lots)  # as mostly: nothing to be put in order, key by key
        held: list[_Held] = [*map(KeyRow._make, rows), *(key for run in in_lots for key in run.keys)]
        return self._give(sorted(held, key=lambda one: one.order)[:count], pair.master)

    def supply_by_id(self, key_ids: Sequence[KeyID], *, sae: SaeId, master: SaeId | None) -> Sequence[SecretKey]:
        """Hand an SAE these keys, in this order; raises KeyNotFound, NotEntitled."""
        found = []
        for key_id, held in zip(key_ids, self._held(key_ids), strict=True):
            if held is None or not held.is_confirmed or sae in listed(held.served):
                raise key_not_found(key_id)
            if sae not in listed(held.waiting):
                raise NotEntitled(f"key {key_id} is not for {sae}", remedy="ask as one of the SAEs that the key joins")
            if master is not None and held.master != master:
                raise key_not_found(key_id)
            found.append(held)
        if len(set(key_ids)) < len(key_ids):
            raise key_not_found(Counter(key_ids).most_common(1)[0][0])
        return self._give(found, sae)

    def confirm_batch(self, ids: KeyIds) -> None:
        """Make all keys of a batch suppliable; raises KeyNotFound, and confirms none, when one is not here."""
        lot = self._lots.of_ids(ids)
        if lot is not None and lot.keys_left == lot.num_keys:
            self._lots.confirm(lot)
        else:
            self.confirm(ids.spelled())

    def give_batch(self, ids: KeyIds, *, master: SaeId) -> Sequence[SecretKey]:
        """Hand the master all keys of a confirmed batch; raises KeyNotFound, NotEntitled."""
        lot = self._lots.of_ids(ids)
        if lot is not None and lot.is_confirmed and lot.keys_left == lot.num_keys and lot.is_only_for(master):
            return self._lots.give_runs([LotRun(lot, [*range(lot.num_keys)])])
        return self.supply_by_id(ids.spelled(), sae=master, master=master)

    def confirm(self, key_ids: Sequence[KeyID]) -> None:
        """Make keys suppliable; raises KeyNotFound, and confirms none, when one is not here."""
        self._move_out(map(raw_id, key_ids))
        for key_id in key_ids:
            after = next_stage(Kind.KEY, self.stage(key_id), Act.CONFIRM)
            if after is None:
                raise key_not_found(key_id)
            if after is Stage.STORED:
                self._connection.execute("UPDATE app_key SET is_confirmed = 1 WHERE key_id = ?", (raw_id(key_id),))

    def stage(self, key_id: KeyID) -> Stage | None:
        """Return where a key stands; None when it never came, or ended under a version that did not note how."""
        raw = raw_id(key_id)
        row = self._connection.execute("SELECT is_confirmed, served FROM app_key WHERE key_id = ?", (raw,)).fetchone()
        if row is not None:
            return held_stage(*row)
        row = self._connection.execute("SELECT stage FROM seen_key WHERE key_id = ?", (raw,)).fetchone()
        if row is not None:
            return None if row[0] is None else Stage(row[0])
        in_lot = self._lots.find(raw)
        return None if in_lot is None else in_lot.stage

    def void(self, selection: Selection) -> int:
        """Destroy the selected keys; returns how many there were."""
        gone, lots = set[Gone](), list[Lot]()
        self._move_out(map(raw_id, selection.key_ids))
        origin = "" if selection.key_origin is None else f" AND {_ROUTE_BEGINS} = ?"
        of_origin = () if selection.key_origin is None else (selection.key_origin,)
        for key_id in selection.key_ids:
            gone.update(self._chosen("key_id = ?" + origin, raw_id(key_id), *of_origin))
        for ids in selection.batches:
            rows = self._chosen("key_id BETWEEN ? AND ?" + origin, *bounds_of_ids(ids.beginning), *of_origin)
            gone.update(row for row in rows if ids.place_of(row.raw_key_id) is not None)
            lot = self._lots.of_ids(ids)
            if lot is not None and lot.keys_left and selection.key_origin in (None, lot.route_begins):
                lots.append(lot)
        of_pair = "pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"
        conditions: list[tuple[str, tuple[str | float, ...]]] = [
            (of_pair, (pair.master, pair.slave)) for pair in selection.pairs
        ]
        for pair, fit in selection.unfit:
            condition, values = unfit(fit)
            conditions.append((f"{of_pair} AND {condition}", (pair.master, pair.slave, *values)))
        if selection.unconfirmed:
            conditions.append(("is_confirmed = 0", ()))
        if selection.all_keys:
            conditions.append(("true", ()))
        for condition, values in conditions:
            gone.update(self._chosen(condition, *values))
            lots += self._lots.chosen(condition, *values)
        self._delete(gone, Act.VOID)
        return len(gone) + self._lots.end(lots, Act.VOID)

    def expire(self, limits: AgeLimits, *, now_s: float) -> int:
        """Destroy keys that are too old; returns how many."""
        gone, lots = set[Gone](), list[Lot]()
        for pair_row, master, slave in self._connection.execute("SELECT id, master, slave FROM pair").fetchall():
            time_to_live_s = limits.pairs.get(SaePair(master, slave), limits.other_pairs_s)
            if time_to_live_s is not None:
                condition = "pair = ? AND stored_s < ? - CASE WHEN master_may THEN 0 ELSE ? END"
                values = (pair_row, now_s - time_to_live_s, limits.grace_s)
                gone.update(self._chosen(condition, *values))
                lots += self._lots.chosen(condition, *values)
        self._delete(gone, Act.EXPIRE)
        return len(gone) + self._lots.end(lots, Act.EXPIRE)

    def held(self) -> dict[SaePair, int]:
        """Return how many keys of every pair are held, in whatever stage."""
        found = self._connection.execute("SELECT master, slave, num_keys FROM pair WHERE num_keys > 0")
        return {SaePair(SaeId(master), SaeId(slave)): count for master, slave, count in found}

    def count(self, pair: SaePair, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        """Return how many keys of this size ``supply`` could hand over."""
        condition, values = fitting(fit)
        (number,) = self._connection.execute(
            "SELECT count(*) FROM app_key JOIN record ON record.id = app_key.record"  # noqa: S608 - fixed conditions
            " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"
            f" AND size_bits = ? AND is_confirmed = 1 AND master_may = 1{condition}",
            (pair.master, pair.slave, size_bits, *values),
        ).fetchone()
        return int(number) + self._lots.count(pair, size_bits=size_bits, fit=fit)

    def _new_keys(self, keys: Sequence[SecretKey]) -> list[SecretKey]:
        """Return the keys that are not held, each once; raises PadReused for one that was and is gone."""
        by_id: dict[bytes, SecretKey] = {}
        for key in keys:
            by_id.setdefault(raw_id(key.key_id), key)
        in_lots = [one for one in self._lots.find_all([*by_id]) if one is not None]
        held = self._found("app_key", by_id) | {one.raw_key_id for one in in_lots if one.is_there}
        if gone := (self._found("seen_key", by_id) | {one.raw_key_id for one in in_lots}) - held:
            raise PadReused(
                f"key {by_id[min(gone)].key_id} was here before and is gone",
                remedy="refused; if a peer sent it again, it lost track of its keys: make new ones",
            )
        return [key for raw, key in by_id.items() if raw not in held]

    def _found(self, table: str, raw_ids: Collection[bytes]) -> set[bytes]:
        """Return which key ids stand in one of the two tables."""
        asked = list(raw_ids)
        found: set[bytes] = set()
        for start in range(0, len(asked), IDS_AT_ONCE):
            ids = asked[start : start + IDS_AT_ONCE]
            query = f"SELECT key_id FROM {table} WHERE key_id IN ({', '.join('?' * len(ids))})"  # noqa: S608
            found.update(raw for (raw,) in self._connection.execute(query, ids))
        return found

    def _pair_row(self, pair: SaePair, *, more_keys: int) -> int:
        (row,) = self._connection.execute(
            "INSERT INTO pair (master, slave, num_keys) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET num_keys = num_keys + excluded.num_keys RETURNING id",
            (pair.master, pair.slave, more_keys),
        ).fetchone()
        return int(row)

    def _record_row(self, text: str) -> int:
        """Return the row of a record; few records occur in many keys."""
        row = self._connection.execute("SELECT id FROM record WHERE text = ?", (text,)).fetchone()
        if row is not None:
            return int(row[0])
        return self._connection.execute("INSERT INTO record (text) VALUES (?)", (text,)).lastrowid or 0

    def _held(self, key_ids: Sequence[KeyID]) -> list[_Held | None]:
        """Return the keys that are held, None for those that are not."""
        held: list[_Held | None] = []
        for key_id in key_ids:
            values = self._connection.execute(_SELECT_KEY + " WHERE key_id = ?", (raw_id(key_id),)).fetchone()
            held.append(None if values is None else KeyRow(*values))
        missing = [place for place, one in enumerate(held) if one is None]
        for place, in_lot in zip(missing, self._lots.find_all([raw_id(key_ids[at]) for at in missing]), strict=True):
            held[place] = in_lot if in_lot is not None and in_lot.is_there else None
        return held

    def _move_out(self, raw_ids: Iterable[bytes]) -> None:
        """Make rows of those of these keys that are in lots."""
        in_lots = self._lots.find_all([*dict.fromkeys(raw_ids)])
        self._lots.move_out([one for one in in_lots if one is not None and one.is_there])

    def _chosen(self, condition: str, *values: str | bytes | float) -> list[Gone]:
        query = "SELECT id, key_id, pair, batch, is_confirmed, served FROM app_key WHERE " + condition  # noqa: S608
        return [
            Gone(row, raw, pair, batch, held_stage(is_confirmed, served))
            for row, raw, pair, batch, is_confirmed, served in self._connection.execute(query, values)
        ]

    def _give(self, keys: Sequence[_Held], sae: SaeId) -> list[SecretKey]:
        """Return the keys and end the right of ``sae`` to them; a key that nobody waits for any more is destroyed."""
        rows = [one for one in keys if isinstance(one, KeyRow)]
        if len(rows) == len(keys):
            return self._hand_over(rows, sae)
        in_lots = [one for one in keys if isinstance(one, LotKey)]
        last = [one for one in in_lots if one.lot.is_only_for(sae)]
        if len(last) == len(keys):
            return self._lots.give_last(last)
        moved = [one for one in in_lots if not one.lot.is_only_for(sae)]
        self._lots.move_out(moved)
        rows += [one for one in self._held([one.key_id for one in moved]) if isinstance(one, KeyRow)]
        given = dict(zip((one.order for one in rows), self._hand_over(rows, sae), strict=True))
        given.update(zip((one.order for one in last), self._lots.give_last(last), strict=True))
        return [given[one.order] for one in keys]

    def _hand_over(self, rows: Sequence[KeyRow], sae: SaeId) -> list[SecretKey]:
        keys = [self._open(row) for row in rows]
        done: list[Gone] = []
        kept: dict[tuple[str, str, bool], list[int]] = {}
        for row in rows:
            after = after_supply(row.waiting, row.served, row.master, sae)
            if after is None:
                done.append(row.to_delete)
            elif next_stage(Kind.KEY, row.stage, Act.GIVE) is None:
                raise key_not_found(row.key_id)
            else:
                kept.setdefault(after, []).append(row.row)
        for (waiting, served, master_may), ids in kept.items():
            self._connection.execute(
                "UPDATE app_key SET waiting = ?, served = ?, master_may = ?"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (waiting, served, master_may, json.dumps(ids)),
            )
        self._delete(done, Act.GIVE_LAST)
        return keys

    def _open(self, row: KeyRow) -> SecretKey:
        key_id, data_key = row.key_id, self._batch_keys.open(row.batch)
        secret = data_key.open(row.number, row.sealed, place_of_key(key_id, row.master, row.slave))
        make = maker_of_keys(row.master, row.slave, row.record, row.created_utc_s)
        return make(key_id, secret, row.qkd_bits_spent)

    def _delete(self, rows: Iterable[Gone], act: Act) -> None:
        """Destroy keys and note how they ended; a batch's data key goes with the last of its keys."""
        if not (gone := list(rows)):
            return
        self._connection.executemany("DELETE FROM app_key WHERE id = ?", [(one.row,) for one in gone])
        self._connection.executemany(_END_KEY, [(one.raw_key_id, ended_stage(one, act)) for one in gone])
        for pair_row, count in Counter(one.pair_row for one in gone).items():
            self._connection.execute("UPDATE pair SET num_keys = num_keys - ? WHERE id = ?", (count, pair_row))
        for batch, count in Counter(one.batch for one in gone).items():
            self._batch_keys.count_down(batch, count)
