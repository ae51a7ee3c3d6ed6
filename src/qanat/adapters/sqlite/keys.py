"""Keys of applications: put, supplied once to each who is entitled, destroyed. SQL and encryption, no transactions."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qanat.adapters.encryption import DataKey, Vault, damaged_row, identity
from qanat.ground.errors import KeyNotFound, KeyShortage, NotEntitled, PadReused
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair
from qanat.ground.keys import Origin, SecretBytes, SecretKey, Selection
from qanat.ground.requirements import ANY_KEY, KeyFit

CACHED_DATA_KEYS = 256

_SELECT_KEY = (
    "SELECT app_key.id, key_id, master, slave, is_confirmed, waiting, served, batch, number, sealed, route, origin,"
    " created_utc_s, qkd_bits_spent FROM app_key JOIN pair ON pair.id = app_key.pair"
)


class KeyRow(NamedTuple):
    """A row of ``app_key`` as ``_SELECT_KEY`` gives it. Lists are JSON text still; a busy door reads many rows."""

    row: int
    raw_key_id: bytes
    master: SaeId
    slave: SaeId
    is_confirmed: int
    waiting: str
    served: str
    batch: int
    number: int
    sealed: bytes
    route: str
    origin: Origin
    created_utc_s: float
    qkd_bits_spent: int

    @property
    def key_id(self) -> KeyID:
        text = self.raw_key_id.hex()
        return KeyID(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


class KeyTables:
    """The tables ``app_key``, ``batch``, ``pair`` and ``seen_key``, which is the memory of all ids that ever were."""

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault
        self._data_keys: OrderedDict[int, DataKey] = OrderedDict()

    def forget_cache(self) -> None:
        """Drop unwrapped data keys."""
        self._data_keys.clear()

    def put(self, keys: Sequence[SecretKey], *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        """Keep keys under a fresh data key; those held already stay as they are. Raises PadReused for a gone one."""
        new = self._new_keys(keys)
        if not new:
            return
        key, batch = self._new_batch(len(new))
        waiting = json.dumps(sorted(entitled))
        pair_rows = {pair: self._pair_row(pair) for pair in {one.pair for one in new}}
        self._connection.executemany(
            "INSERT INTO app_key (key_id, pair, size_bits, is_confirmed, master_may, waiting, batch, number, sealed,"
            " route, origin, created_utc_s, qkd_bits_spent) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    *(_raw(one.key_id), pair_rows[one.pair], one.size_bits, confirmed),
                    *(one.pair.master in entitled, waiting, batch, number),
                    key.seal(number, one.secret.reveal(), _place(one.key_id, one.pair.master, one.pair.slave)),
                    *(json.dumps(one.route), one.origin, one.created_utc_s, one.qkd_bits_spent),
                )
                for number, one in enumerate(new)
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
            cursor = self._connection.execute("UPDATE app_key SET is_confirmed = 1 WHERE key_id = ?", (_raw(key_id),))
            if cursor.rowcount == 0:
                raise _key_not_found(key_id)

    def void(self, selection: Selection) -> int:
        """Destroy the selected keys; returns how many there were."""
        rows: dict[int, int] = {}
        for key_id in selection.key_ids:
            if selection.key_origin is None:
                rows.update(self._batches_by_row("key_id = ?", _raw(key_id)))
            else:
                condition = "key_id = ? AND route ->> 0 = ?"
                rows.update(self._batches_by_row(condition, _raw(key_id), selection.key_origin))
        for pair in selection.pairs:
            rows.update(
                self._batches_by_row(
                    "pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)", pair.master, pair.slave
                )
            )
        if selection.unconfirmed:
            rows.update(self._batches_by_row("is_confirmed = 0"))
        self._delete(rows.items())
        return len(rows)

    def count(self, pair: SaePair, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        """Return how many keys of this size ``supply`` could hand over."""
        condition, values = _fitting(fit)
        (number,) = self._connection.execute(
            "SELECT count(*) FROM app_key WHERE pair = (SELECT id FROM pair WHERE master = ? AND slave = ?)"  # noqa: S608
            f" AND size_bits = ? AND is_confirmed = 1 AND master_may = 1{condition}",
            (pair.master, pair.slave, size_bits, *values),
        ).fetchone()
        return int(number)

    def _new_keys(self, keys: Sequence[SecretKey]) -> list[SecretKey]:
        """Return the keys whose ids were never seen, and note their ids."""
        new = []
        for key in keys:
            raw = _raw(key.key_id)
            if self._connection.execute("INSERT OR IGNORE INTO seen_key VALUES (?)", (raw,)).rowcount:
                new.append(key)
            elif self._connection.execute("SELECT 1 FROM app_key WHERE key_id = ?", (raw,)).fetchone() is None:
                if any(key.key_id == earlier.key_id for earlier in new):
                    continue
                raise PadReused(
                    f"key {key.key_id} was here before and is gone",
                    remedy="refused; if a peer sent it again, it lost track of its keys: make new ones",
                )
        return new

    def _new_batch(self, num_keys: int) -> tuple[DataKey, int]:
        cursor = self._connection.execute("INSERT INTO batch (keys_left, wrapped_key) VALUES (?, ?)", (num_keys, b""))
        batch = cursor.lastrowid or 0
        key, wrapped = self._vault.new_data_key(identity("batch", batch))
        self._connection.execute("UPDATE batch SET wrapped_key = ? WHERE id = ?", (wrapped, batch))
        return key, batch

    def _pair_row(self, pair: SaePair) -> int:
        names = (pair.master, pair.slave)
        self._connection.execute("INSERT OR IGNORE INTO pair (master, slave) VALUES (?, ?)", names)
        (row,) = self._connection.execute("SELECT id FROM pair WHERE master = ? AND slave = ?", names).fetchone()
        return int(row)

    def _row_of(self, key_id: KeyID) -> KeyRow | None:
        values = self._connection.execute(_SELECT_KEY + " WHERE key_id = ?", (_raw(key_id),)).fetchone()
        return None if values is None else KeyRow(*values)

    def _batches_by_row(self, condition: str, *values: str | bytes) -> dict[int, int]:
        query = "SELECT id, batch FROM app_key WHERE " + condition  # noqa: S608 - fixed conditions of ``void``
        found = self._connection.execute(query, values)
        return dict(found.fetchall())

    def _hand_over(self, rows: Sequence[KeyRow], sae: SaeId) -> list[SecretKey]:
        """Return the keys and end the right of ``sae`` to them; a key that nobody waits for any more is destroyed."""
        keys = [self._open(row) for row in rows]
        done: list[tuple[int, int]] = []
        kept: dict[tuple[str, str, bool], list[int]] = {}
        for row in rows:
            after = _after_supply(row.waiting, row.served, row.master, sae)
            if after is None:
                done.append((row.row, row.batch))
            else:
                kept.setdefault(after, []).append(row.row)
        for (waiting, served, master_may), ids in kept.items():
            self._connection.execute(
                "UPDATE app_key SET waiting = ?, served = ?, master_may = ?"
                " WHERE id IN (SELECT value FROM json_each(?))",
                (waiting, served, master_may, json.dumps(ids)),
            )
        self._delete(done)
        return keys

    def _open(self, row: KeyRow) -> SecretKey:
        key_id = row.key_id
        secret = self._data_key(row.batch).open(row.number, row.sealed, _place(key_id, row.master, row.slave))
        return SecretKey(
            key_id,
            _pair(row.master, row.slave),
            SecretBytes(secret),
            _nodes(row.route),
            row.origin,
            row.created_utc_s,
            row.qkd_bits_spent,
        )

    def _data_key(self, batch: int) -> DataKey:
        key = self._data_keys.get(batch)
        if key is None:
            (wrapped,) = self._connection.execute("SELECT wrapped_key FROM batch WHERE id = ?", (batch,)).fetchone()
            key = self._data_keys[batch] = self._vault.unwrap(wrapped, identity("batch", batch))
            if len(self._data_keys) > CACHED_DATA_KEYS:
                self._data_keys.popitem(last=False)
        return key

    def _delete(self, rows: Iterable[tuple[int, int]]) -> None:
        """Destroy keys by (row, batch); a batch's data key goes with the last of its keys."""
        if not (gone := list(rows)):
            return
        self._connection.executemany("DELETE FROM app_key WHERE id = ?", [(row,) for row, _ in gone])
        for batch, count in Counter(batch for _, batch in gone).items():
            (left,) = self._connection.execute(
                "UPDATE batch SET keys_left = keys_left - ? WHERE id = ? RETURNING keys_left", (count, batch)
            ).fetchone()
            if left == 0:
                self._connection.execute("DELETE FROM batch WHERE id = ?", (batch,))
                self._data_keys.pop(batch, None)


def _fitting(fit: KeyFit) -> tuple[str, tuple[float, ...]]:
    """Return what a fit adds to a condition on ``app_key``, and its values; nothing for what every key fulfils."""
    condition, values = "", []
    if fit.made_from_utc_s is not None:
        condition += " AND created_utc_s >= ?"
        values.append(fit.made_from_utc_s)
    if fit.max_hops is not None:
        condition += " AND json_array_length(route) <= ?"
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
