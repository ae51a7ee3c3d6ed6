"""Answers that may have to be given again: the keys of a call with a nonce, sealed, until their time has passed.

Each answer is sealed under a data key of its own, so that destroying its row destroys it. SQL and encryption, no
transactions.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from qanat.adapters.encryption import Vault, damaged_row, identity
from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import KeyID, NodeId, SaeId, SaePair
from qanat.ground.keys import KeyRecord, SecretBytes, SecretKey
from qanat.ground.requirements import Repeatable

ANSWER_TABLES = (
    """CREATE TABLE answer (
        sae TEXT NOT NULL, nonce TEXT NOT NULL,
        request TEXT NOT NULL,  -- what was asked, in one spelling
        epoch INTEGER NOT NULL, until_monotonic_s REAL NOT NULL,  -- on the clock of that epoch's process
        wrapped_key BLOB NOT NULL, sealed BLOB NOT NULL,
        PRIMARY KEY (sae, nonce)
    ) WITHOUT ROWID""",
    "CREATE INDEX answer_age ON answer (epoch, until_monotonic_s)",
)


class AnswerTable:
    """The table ``answer``."""

    def __init__(self, connection: sqlite3.Connection, vault: Vault) -> None:
        self._connection = connection
        self._vault = vault

    def find(self, call: Repeatable, *, epoch: int) -> Sequence[SecretKey] | None:
        """Return what this call was answered before, if that is kept; raises BadParameter for another request."""
        self.forget(now_monotonic_s=call.now_monotonic_s, window_s=call.window_s, epoch=epoch)
        row = self._connection.execute(
            "SELECT request, wrapped_key, sealed FROM answer WHERE sae = ? AND nonce = ?", (call.sae, call.nonce)
        ).fetchone()
        if row is None:
            return None
        request, wrapped, sealed = row
        if request != call.request:
            raise nonce_of_another(call)
        place = _place(call)
        return _keys_of(self._vault.unwrap(wrapped, place).open(0, sealed, place), place)

    def keep(self, call: Repeatable, keys: Sequence[SecretKey], *, epoch: int) -> None:
        """Keep the answer to a call that ``find`` did not know, in place of those that make room for it."""
        self._connection.executemany(
            "DELETE FROM answer WHERE sae = ? AND nonce = ?", [(call.sae, nonce) for nonce in call.instead_of]
        )
        place = _place(call)
        key, wrapped = self._vault.new_data_key(place)
        until_s, sealed = call.now_monotonic_s + call.window_s, key.seal(0, _bytes_of(keys), place)
        self._connection.execute(
            "INSERT INTO answer VALUES (?, ?, ?, ?, ?, ?, ?)",
            (call.sae, call.nonce, call.request, epoch, until_s, wrapped, sealed),
        )

    def forget(self, *, now_monotonic_s: float, window_s: float, epoch: int) -> int:
        """Destroy the answers whose time has passed; return how many. Those of earlier epochs begin a window anew."""
        self._connection.execute(
            "UPDATE answer SET epoch = ?, until_monotonic_s = ? WHERE epoch < ?",
            (epoch, now_monotonic_s + window_s, epoch),
        )
        return self._connection.execute(
            "DELETE FROM answer WHERE epoch = ? AND until_monotonic_s <= ?", (epoch, now_monotonic_s)
        ).rowcount


def nonce_of_another(call: Repeatable) -> BadParameter:
    """Return the error for a nonce that comes again with another request."""
    return BadParameter(
        f"the nonce {call.nonce!r} was used for another request",
        remedy="repeat the same request, or give a new one a new nonce",
    )


def _place(call: Repeatable) -> bytes:
    return place_of_answer(call.sae, call.nonce, call.request)


def place_of_answer(sae: str, nonce: str, request: str) -> bytes:
    """Return associated data that bind an answer to its row."""
    return identity("answer", sae, nonce, request)


def _bytes_of(keys: Sequence[SecretKey]) -> bytes:
    rows = [
        [
            *(key.key_id, key.pair.master, key.pair.slave, key.secret.reveal().hex(), key.route),
            *(key.origin, key.created_utc_s, key.qkd_bits_spent),
            key.full_record.to_json() if key.full_record is not None else None,
        ]
        for key in keys
    ]
    return json.dumps(rows).encode()


def _keys_of(plain: bytes, place: bytes) -> list[SecretKey]:
    try:
        return [_key_of(row) for row in json.loads(plain)]
    except (TypeError, ValueError):
        raise damaged_row(place) from None


def _key_of(row: Any) -> SecretKey:
    key_id, master, slave, secret, route, origin, created_utc_s, spent, record = row
    return SecretKey(
        key_id=KeyID(key_id),
        pair=SaePair(SaeId(master), SaeId(slave)),
        secret=SecretBytes(bytes.fromhex(secret)),
        route=tuple(NodeId(node) for node in route),
        origin=origin,
        created_utc_s=created_utc_s,
        qkd_bits_spent=spent,
        full_record=None if record is None else KeyRecord.from_json(record),
    )
