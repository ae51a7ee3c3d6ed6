"""Keys of applications: put, supplied once to each who is entitled, destroyed. SQL and encryption, no transactions."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from qanat.adapters.encryption import DataKey, damaged_row, identity
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.ground.errors import KeyNotFound, KeyShortage, NotEntitled, PadReused
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair
from qanat.ground.keys import KeyRecord, Origin, SecretBytes, SecretKey, Selection
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage
from qanat.ground.requirements import ANY_KEY, KeyFit
from qanat.ground.stock import AgeLimits

CACHED_DATA_KEYS = 256
IDS_AT_ONCE = 500
"""So many ids are asked for in one statement; SQLite takes 999 at least."""

_SELECT_KEY = (
    "SELECT app_key.id, key_id, pair, master, slave, is_confirmed, waiting, served, batch, number, sealed, record.text,"
    " created_utc_s, qkd_bits_spent FROM app_key JOIN pair ON pair.id = app_key.pair"
    " JOIN record ON record.id = app_key.record"
)
_ROUTE_BEGINS = "(SELECT text ->> '$.routes[0][0]' FROM record WHERE record.id = app_key.record)"
_END_KEY = "INSERT INTO seen_key VALUES (?, ?) ON CONFLICT DO UPDATE SET stage = excluded.stage"


class KeyRow(NamedTuple):
    """A row of ``app_key`` as ``_SELECT_KEY`` gives it. Lists are JSON text still; a busy door reads many rows."""

    row: int
    raw_key_id: bytes
    pair_row: int
    master: SaeId
    slave: SaeId
    is_confirmed: int
    waiting: str
    served: str
    batch: int
    number: int
    sealed: bytes
    record: str
    created_utc_s: float
    qkd_bits_spent: int

    @property
    def key_id(self) -> KeyID:
        text = self.raw_key_id.hex()
        return KeyID(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    @property
    def stage(self) -> Stage:
        return _stage(self.is_confirmed, self.served)

    @property
    def to_delete(self) -> Gone:
        return Gone(self.row, self.raw_key_id, self.pair_row, self.batch, self.stage)


class Gone(NamedTuple):
    """What is needed of a key's row to destroy it."""

    row: int
    raw_key_id: bytes
    pair_row: int
    batch: int
    stage: Stage


class KeyTables:
    """The tables ``app_key``, ``batch``, ``pair``, ``record`` and ``seen_key``: the memory of all that ended."""

    def __init__(self, connection: sqlite3.Connection, hour_keys: HourKeys) -> None:
        self._connection = connection
        self._hour_keys = hour_keys
        self._data_keys: OrderedDict[int, DataKey] = OrderedDict()

    def forget_cache(self) -> None:
        """Drop unwrapped data keys."""
        self._data_keys.clear()

    def put(self, keys: Sequence[SecretKey], *, entitled: frozenset[SaeId], confirmed: bool, stored_s: float) -> None:
        """Keep keys under a fresh data key; those held already stay as they are. Raises PadReused for a gone one."""
        new = self._new_keys(keys)
        by_pair: dict[SaePair, list[SecretKey]] = {}
        for key in new:
            by_pair.setdefault(key.pair, []).append(key)
        for pair, of_pair in by_pair.items():
            self._put_pair(pair, of_pair, entitled=entitled, confirmed=confirmed, stored_s=stored_s)

    def _put_pair(
        self,
        pair: SaePair,
        keys: Sequence[SecretKey],
        *,
        entitled: frozenset[SaeId],
        confirmed: bool,
        stored_s: float,
    ) -> None:
        key, batch = self._new_batch(pair, len(keys))
        pair_row, waiting = self._pair_row(pair, more_keys=len(keys)), json.dumps(sorted(entitled))
        texts = [_record_text(one) for one in keys]
        records = {text: self._record_row(text) for text in set(texts)}
        self._connection.executemany(
            "INSERT INTO app_key (key_id, pair, size_bits, is_confirmed, master_may, waiting, batch, number, sealed,"
            " record, created_utc_s, stored_s, qkd_bits_spent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(
                        _raw(one.key_id),
                        pair_row,
                        one.size_bits,
                        confirmed,
                        pair.master in entitled,
                        waiting,
                        batch,
                        number,
                    ),
                    key.seal(number, one.secret.reveal(), _place(one.key_id, pair.master, pair.slave)),
                    *(records[text], one.created_utc_s, stored_s, one.qkd_bits_spent),
                )
                for number, (one, text) in enumerate(zip(keys, texts, strict=True))
            ],
        )

    def supply(
        self, pair: SaePair, *, count: int, size_bits: int, request_id: RequestId, fit: KeyFit = ANY_KEY
    ) -> Sequence[SecretKey]:
        """Hand the master its oldest confirmed keys of this size that fit; raises KeyShortage."""
        condition, bounds = _fitting(fit)
        query = (
            _SELECT_KEY + " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"  # noqa: S608 - constants
            " AND size_bits = ? AND is_confirmed = 1 AND master_may = 1" + condition + " ORDER BY app_key.id LIMIT ?"
        )
        found = self._connection.execute(query, (pair.master, pair.slave, size_bits, *bounds, count))
        rows = [*map(KeyRow._make, found)]
        if len(rows) < count:
            raise KeyShortage(
                f"request {request_id} asks {count} keys of {size_bits} bits; {pair.master} has {len(rows)}"
                f" with {pair.slave}",
                remedy="wait until more were relayed",
            )
        return self._hand_over(rows, pair.master)

    def supply_by_id(self, key_ids: Sequence[KeyID], *, sae: SaeId, master: SaeId | None) -> Sequence[SecretKey]:
        """Hand an SAE these keys, in this order; raises KeyNotFound, NotEntitled."""
        rows = []
        for key_id in key_ids:
            row = self._row_of(key_id)
            if row is None or not row.is_confirmed or sae in _listed(row.served):
                raise _key_not_found(key_id)
            if sae not in _listed(row.waiting):
                raise NotEntitled(f"key {key_id} is not for {sae}", remedy="ask as one of the SAEs that the key joins")
            if master is not None and row.master != master:
                raise _key_not_found(key_id)
            rows.append(row)
        if len(set(key_ids)) < len(key_ids):
            raise _key_not_found(Counter(key_ids).most_common(1)[0][0])
        return self._hand_over(rows, sae)

    def confirm(self, key_ids: Sequence[KeyID]) -> None:
        """Make keys suppliable; raises KeyNotFound, and confirms none, when one is not here."""
        for key_id in key_ids:
            after = next_stage(Kind.KEY, self.stage(key_id), Act.CONFIRM)
            if after is None:
                raise _key_not_found(key_id)
            if after is Stage.STORED:
                self._connection.execute("UPDATE app_key SET is_confirmed = 1 WHERE key_id = ?", (_raw(key_id),))

    def stage(self, key_id: KeyID) -> Stage | None:
        """Return where a key stands; None when it never came, or ended under a version that did not note how."""
        raw = _raw(key_id)
        row = self._connection.execute("SELECT is_confirmed, served FROM app_key WHERE key_id = ?", (raw,)).fetchone()
        if row is not None:
            return _stage(*row)
        row = self._connection.execute("SELECT stage FROM seen_key WHERE key_id = ?", (raw,)).fetchone()
        return None if row is None or row[0] is None else Stage(row[0])

    def void(self, selection: Selection) -> int:
        """Destroy the selected keys; returns how many there were."""
        gone: set[Gone] = set()
        for key_id in selection.key_ids:
            if selection.key_origin is None:
                gone.update(self._chosen("key_id = ?", _raw(key_id)))
            else:
                condition = f"key_id = ? AND {_ROUTE_BEGINS} = ?"
                gone.update(self._chosen(condition, _raw(key_id), selection.key_origin))
        for pair in selection.pairs:
            condition = "pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"
            gone.update(self._chosen(condition, pair.master, pair.slave))
        if selection.unconfirmed:
            gone.update(self._chosen("is_confirmed = 0"))
        if selection.all_keys:
            gone.update(self._chosen("true"))
        self._delete(gone, Act.VOID)
        return len(gone)

    def expire(self, limits: AgeLimits, *, now_s: float) -> int:
        """Destroy keys that are too old; returns how many."""
        gone: set[Gone] = set()
        for pair_row, master, slave in self._connection.execute("SELECT id, master, slave FROM pair").fetchall():
            time_to_live_s = limits.pairs.get(SaePair(master, slave), limits.other_pairs_s)
            if time_to_live_s is not None:
                condition = "pair = ? AND stored_s < ? - CASE WHEN master_may THEN 0 ELSE ? END"
                gone.update(self._chosen(condition, pair_row, now_s - time_to_live_s, limits.grace_s))
        self._delete(gone, Act.EXPIRE)
        return len(gone)

    def held(self) -> dict[SaePair, int]:
        """Return how many keys of every pair are held, in whatever stage."""
        found = self._connection.execute("SELECT master, slave, num_keys FROM pair WHERE num_keys > 0")
        return {SaePair(SaeId(master), SaeId(slave)): count for master, slave, count in found}

    def count(self, pair: SaePair, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        """Return how many keys of this size ``supply`` could hand over."""
        condition, values = _fitting(fit)
        (number,) = self._connection.execute(
            "SELECT count(*) FROM app_key JOIN record ON record.id = app_key.record"  # noqa: S608 - fixed conditions
            " WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"
            f" AND size_bits = ? AND is_confirmed = 1 AND master_may = 1{condition}",
            (pair.master, pair.slave, size_bits, *values),
        ).fetchone()
        return int(number)

    def _new_keys(self, keys: Sequence[SecretKey]) -> list[SecretKey]:
        """Return the keys that are not held, each once; raises PadReused for one that was and is gone."""
        by_id: dict[bytes, SecretKey] = {}
        for key in keys:
            by_id.setdefault(_raw(key.key_id), key)
        held = self._found("app_key", by_id)
        if gone := self._found("seen_key", by_id) - held:
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

    def _new_batch(self, pair: SaePair, num_keys: int) -> tuple[DataKey, int]:
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

    def _row_of(self, key_id: KeyID) -> KeyRow | None:
        values = self._connection.execute(_SELECT_KEY + " WHERE key_id = ?", (_raw(key_id),)).fetchone()
        return None if values is None else KeyRow(*values)

    def _chosen(self, condition: str, *values: str | bytes | float) -> list[Gone]:
        query = "SELECT id, key_id, pair, batch, is_confirmed, served FROM app_key WHERE " + condition  # noqa: S608
        return [
            Gone(row, raw, pair, batch, _stage(is_confirmed, served))
            for row, raw, pair, batch, is_confirmed, served in self._connection.execute(query, values)
        ]

    def _hand_over(self, rows: Sequence[KeyRow], sae: SaeId) -> list[SecretKey]:
        """Return the keys and end the right of ``sae`` to them; a key that nobody waits for any more is destroyed."""
        keys = [self._open(row) for row in rows]
        done: list[Gone] = []
        kept: dict[tuple[str, str, bool], list[int]] = {}
        for row in rows:
            after = _after_supply(row.waiting, row.served, row.master, sae)
            if after is None:
                done.append(row.to_delete)
            elif next_stage(Kind.KEY, row.stage, Act.GIVE) is None:
                raise _key_not_found(row.key_id)
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
        key_id = row.key_id
        secret = self._data_key(row.batch).open(row.number, row.sealed, _place(key_id, row.master, row.slave))
        record, origin = _read_record(row.record)
        return SecretKey(
            key_id,
            _pair(row.master, row.slave),
            SecretBytes(secret),
            record.routes[0],
            origin,
            row.created_utc_s,
            row.qkd_bits_spent,
            None
            if len(record.routes) == 1
            else replace(record, authentication_bits=row.qkd_bits_spent - record.pad_bits),
        )

    def _data_key(self, batch: int) -> DataKey:
        key = self._data_keys.get(batch)
        if key is None:
            hour_key, wrapped = self._connection.execute(
                "SELECT hour_key, wrapped_key FROM batch WHERE id = ?", (batch,)
            ).fetchone()
            key = self._data_keys[batch] = self._hour_keys.unwrap(hour_key, wrapped, identity("batch", batch))
            if len(self._data_keys) > CACHED_DATA_KEYS:
                self._data_keys.popitem(last=False)
        return key

    def _delete(self, rows: Iterable[Gone], act: Act) -> None:
        """Destroy keys and note how they ended; a batch's data key goes with the last of its keys."""
        if not (gone := list(rows)):
            return
        self._connection.executemany("DELETE FROM app_key WHERE id = ?", [(one.row,) for one in gone])
        self._connection.executemany(_END_KEY, [(one.raw_key_id, _ended(one, act)) for one in gone])
        for pair_row, count in Counter(one.pair_row for one in gone).items():
            self._connection.execute("UPDATE pair SET num_keys = num_keys - ? WHERE id = ?", (count, pair_row))
        for batch, count in Counter(one.batch for one in gone).items():
            (left,) = self._connection.execute(
                "UPDATE batch SET keys_left = keys_left - ? WHERE id = ? RETURNING keys_left", (count, batch)
            ).fetchone()
            if left == 0:
                self._connection.execute("DELETE FROM batch WHERE id = ?", (batch,))
                self._data_keys.pop(batch, None)


def _stage(is_confirmed: int, served: str) -> Stage:
    """Return the stage of a key that is held."""
    if not is_confirmed:
        return Stage.RECEIVED
    return Stage.RESERVED if _listed(served) else Stage.STORED


def _ended(gone: Gone, act: Act) -> Stage:
    after = next_stage(Kind.KEY, gone.stage, act)
    assert after is not None, f"a key cannot go on from {gone.stage} by {act}"
    return after


def _record_text(key: SecretKey) -> str:
    """Return what a key shares with others of its route: its record but for its part of the authentication bits."""
    if key.full_record is not None:
        return _spelled(key.full_record.routes, key.full_record.threshold, key.full_record.pad_bits, key.origin)
    pad_bits = min(max(0, len(key.route) - 1) * key.size_bits, key.qkd_bits_spent)
    return _spelled((key.route,), None, pad_bits, key.origin)


@functools.lru_cache(maxsize=4096)
def _spelled(routes: tuple[tuple[NodeId, ...], ...], threshold: int | None, pad_bits: int, origin: Origin) -> str:
    row = {"routes": routes, "threshold": threshold, "pad_bits": pad_bits, "origin": origin}
    return json.dumps(row, separators=(",", ":"))


@functools.lru_cache(maxsize=4096)
def _read_record(text: str) -> tuple[KeyRecord, Origin]:
    """Return a record without authentication bits, and the origin; raises StoreFailed."""
    try:
        row = json.loads(text)
        origin: Origin = row["origin"]
        return KeyRecord.from_json({**row, "authentication_bits": 0}), origin
    except (KeyError, TypeError, ValueError):
        raise damaged_row(identity("record", text)) from None


def _fitting(fit: KeyFit) -> tuple[str, tuple[float, ...]]:
    """Return what a fit adds to a condition on ``app_key``, and its values; nothing for what every key fulfils."""
    condition, values = "", []
    if fit.made_from_utc_s is not None:
        condition += " AND created_utc_s >= ?"
        values.append(fit.made_from_utc_s)
    if fit.max_hops is not None:
        condition += " AND json_array_length(record.text, '$.routes[0]') <= ?"
        values.append(fit.max_hops + 1)
    return condition, tuple(values)


def _raw(key_id: KeyID) -> bytes:
    return bytes.fromhex(key_id.replace("-", ""))


@functools.lru_cache(maxsize=4096)
def _listed(text: str) -> tuple[str, ...]:
    """Return a JSON list of names; raises StoreFailed. Few lists occur in many rows."""
    try:
        return tuple(json.loads(text))
    except (TypeError, ValueError):
        raise damaged_row(identity("key", text)) from None


@functools.lru_cache(maxsize=4096)
def _after_supply(waiting: str, served: str, master: SaeId, sae: SaeId) -> tuple[str, str, bool] | None:
    """Return both lists, as they are stored, when ``sae`` has been supplied, and whether the master still waits; None
    when nobody does."""
    left = [one for one in _listed(waiting) if one != sae]
    return (json.dumps(left), json.dumps([*_listed(served), sae]), master in left) if left else None


@functools.lru_cache(maxsize=4096)
def _nodes(text: str) -> tuple[NodeId, ...]:
    return tuple(map(NodeId, _listed(text)))


def _place(key_id: KeyID, master: SaeId, slave: SaeId) -> bytes:
    """Return ``identity("key", key_id, master, slave)``, sooner."""
    return b"key\0%b\0%b" % (key_id.encode(), _ends(master, slave))


_pair = functools.lru_cache(maxsize=4096)(SaePair)
"""Few pairs occur in many rows."""


@functools.lru_cache(maxsize=4096)
def _ends(master: SaeId, slave: SaeId) -> bytes:
    return identity(master, slave)


def _key_not_found(key_id: KeyID) -> KeyNotFound:
    return KeyNotFound(
        f"key {key_id} is not here: never came, not confirmed yet, supplied before, or destroyed",
        remedy="check the id; each SAE gets a key once",
    )
