"""Rows of application keys as the tables give them, and how what they hold is spelled. No statements."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from qanat.adapters.encryption import damaged_row, identity
from qanat.ground.errors import KeyNotFound
from qanat.ground.identifiers import KeyID, NodeId, SaeId, SaePair
from qanat.ground.keys import KeyRecord, Origin, SecretBytes, SecretKey
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage
from qanat.ground.requirements import KeyFit


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
    def order(self) -> int:
        return self.row

    @property
    def key_id(self) -> KeyID:
        return spelled_id(self.raw_key_id)

    @property
    def stage(self) -> Stage:
        return held_stage(self.is_confirmed, self.served)

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


def held_stage(is_confirmed: int, served: str) -> Stage:
    """Return the stage of a key that is held."""
    if not is_confirmed:
        return Stage.RECEIVED
    return Stage.RESERVED if listed(served) else Stage.STORED


def ended_stage(gone: Gone, act: Act) -> Stage:
    after = next_stage(Kind.KEY, gone.stage, act)
    assert after is not None, f"a key cannot go on from {gone.stage} by {act}"
    return after


def record_text(key: SecretKey) -> str:
    """Return what a key shares with others of its route: its record but for its part of the authentication bits."""
    if key.full_record is not None:
        return spelled_record(key.full_record.routes, key.full_record.threshold, key.full_record.pad_bits, key.origin)
    pad_bits = min(max(0, len(key.route) - 1) * key.size_bits, key.qkd_bits_spent)
    return spelled_record((key.route,), None, pad_bits, key.origin)


@functools.lru_cache(maxsize=4096)
def spelled_record(routes: tuple[tuple[NodeId, ...], ...], threshold: int | None, pad_bits: int, origin: Origin) -> str:
    row = {"routes": routes, "threshold": threshold, "pad_bits": pad_bits, "origin": origin}
    return json.dumps(row, separators=(",", ":"))


@functools.lru_cache(maxsize=4096)
def read_record(text: str) -> tuple[KeyRecord, Origin]:
    """Return a record without authentication bits, and the origin; raises StoreFailed."""
    try:
        row = json.loads(text)
        origin: Origin = row["origin"]
        return KeyRecord.from_json({**row, "authentication_bits": 0}), origin
    except (KeyError, TypeError, ValueError):
        raise damaged_row(identity("record", text)) from None


_NO_WAY = (
    " AND record.id NOT IN (SELECT other.id FROM record AS other, json_each(other.text, '$.routes') AS way"
    "{join} WHERE {fault})"
)
"""A condition that no way of a key's record has a fault. Few records occur in many keys, and all are looked at once."""
_NO_SITE = _NO_WAY.replace("{join}", ", json_each(way.value) AS site")
_AVOIDS = _NO_SITE.replace("{fault}", "site.value IN (SELECT value FROM json_each(?))")
_STAYS_WITHIN = _NO_SITE.replace("{fault}", "site.value NOT IN (SELECT value FROM json_each(?))")
_IS_DIRECT = _NO_WAY.replace("{join}", "").replace("{fault}", "json_array_length(way.value) > 2")


def fitting(fit: KeyFit) -> tuple[str, tuple[float | str, ...]]:
    """Return what a fit adds to a condition on ``app_key`` or ``lot``, and its values; nothing for any key."""
    condition, values = "", list[float | str]()
    if fit.made_from_utc_s is not None:
        condition += " AND created_utc_s >= ?"
        values.append(fit.made_from_utc_s)
    if fit.max_hops is not None:
        condition += " AND json_array_length(record.text, '$.routes[0]') <= ?"
        values.append(fit.max_hops + 1)
    if fit.avoid:
        condition += _AVOIDS
        values.append(json.dumps(sorted(fit.avoid)))
    if fit.within is not None:
        condition += _STAYS_WITHIN
        values.append(json.dumps(sorted(fit.within)))
    if fit.is_direct:
        condition += _IS_DIRECT
    if fit.way is not None:
        condition += " AND json_extract(record.text, '$.routes') = ?"
        values.append(json.dumps([fit.way], separators=(",", ":")))
    return condition, tuple(values)


def unfit(fit: KeyFit) -> tuple[str, tuple[float | str, ...]]:
    """Return the condition on ``app_key`` or ``lot`` that the ways of a key's record do not fit, and its values."""
    condition, values = fitting(KeyFit(avoid=fit.avoid, within=fit.within, is_direct=fit.is_direct))
    return f"record NOT IN (SELECT record.id FROM record WHERE true{condition})", values  # noqa: S608 - constants


def spelled_id(raw_key_id: bytes) -> KeyID:
    """Return the key id of these 16 bytes."""
    text = raw_key_id.hex()
    return KeyID(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")


def raw_id(key_id: KeyID) -> bytes:
    """Return a key id as its 16 bytes."""
    return bytes.fromhex(key_id.replace("-", ""))


@functools.lru_cache(maxsize=4096)
def listed(text: str) -> tuple[str, ...]:
    """Return a JSON list of names; raises StoreFailed. Few lists occur in many rows."""
    try:
        return tuple(json.loads(text))
    except (TypeError, ValueError):
        raise damaged_row(identity("key", text)) from None


@functools.lru_cache(maxsize=4096)
def after_supply(waiting: str, served: str, master: SaeId, sae: SaeId) -> tuple[str, str, bool] | None:
    """Return both lists, as they are stored, when ``sae`` has been supplied, and whether the master still waits; None
    when nobody does."""
    left = [one for one in listed(waiting) if one != sae]
    return (json.dumps(left), json.dumps([*listed(served), sae]), master in left) if left else None


def maker_of_keys(
    master: SaeId, slave: SaeId, record_text: str, created_utc_s: float
) -> Callable[[KeyID, bytes | memoryview, int], SecretKey]:
    """Return what makes keys as they were put, of id, bits and price; raises StoreFailed for a record that is none."""
    (record, origin), pair = read_record(record_text), pair_of(master, slave)
    route, is_of_shares = record.routes[0], len(record.routes) > 1

    def make(key_id: KeyID, secret: bytes | memoryview, qkd_bits_spent: int) -> SecretKey:
        full = replace(record, authentication_bits=qkd_bits_spent - record.pad_bits) if is_of_shares else None
        return SecretKey(key_id, pair, SecretBytes(secret), route, origin, created_utc_s, qkd_bits_spent, full)

    return make


def place_of_key(key_id: KeyID, master: SaeId, slave: SaeId) -> bytes:
    """Return ``identity("key", key_id, master, slave)``, sooner."""
    return b"key\0%b\0%b" % (key_id.encode(), _ends(master, slave))


pair_of = functools.lru_cache(maxsize=4096)(SaePair)
"""Few pairs occur in many rows."""


@functools.lru_cache(maxsize=4096)
def _ends(master: SaeId, slave: SaeId) -> bytes:
    return identity(master, slave)


def key_not_found(key_id: KeyID) -> KeyNotFound:
    return KeyNotFound(
        f"key {key_id} is not here: never came, not confirmed yet, supplied before, or destroyed",
        remedy="check the id; each SAE gets a key once",
    )
