"""A key store goes from one master key to another, while no key manager has it open."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from qanat.adapters.encryption import SALT_BYTES, MasterKey, Vault, is_proof_by, proof_by, wrapping_ciphers
from qanat.adapters.sqlite.answers import place_of_answer
from qanat.adapters.sqlite.database import (
    connect,
    last_opening,
    salts_in_use,
    store_failed,
    transaction,
    wrong_master_key,
)
from qanat.adapters.sqlite.hour_keys import place_of_hour_key
from qanat.adapters.sqlite.schema import prepare
from qanat.ground.errors import ConfigurationError
from qanat.ground.ports import Entropy


def rewrap(path: Path, *, old: MasterKey, new: MasterKey, entropy: Entropy) -> int:
    """Wrap all hour keys and answers of a store under ``new``, and forget the salts of ``old``; return how many.

    One transaction: whoever is killed in it leaves the store as it was. Nothing happens (0) to a store that ``new``
    opens already, or that was never opened, or was zeroized. Raises ConfigurationError: in use, no store, ``old`` does
    not open it, a token does not answer; StoreFailed when the disk does not take it, or a row is damaged.
    """
    if does_open(path, new):
        return 0
    connection = connect(path)
    try:
        with transaction(connection):
            _prepare(connection, path)
            count = _rewrap(connection, path, old, new, entropy)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as fault:
        raise store_failed(path, fault) from None
    finally:
        connection.close()
    return count


def does_open(path: Path, master_key: MasterKey) -> bool:
    """Return whether a master key opens a store; whether it would, of one that none was needed for yet.

    Raises ConfigurationError: in use, no store, a token does not answer.
    """
    connection = connect(path)
    try:
        with transaction(connection):
            _prepare(connection, path)
            last = last_opening(connection)
            if last is None:
                return True
            (salt,) = connection.execute("SELECT salt FROM opening WHERE id = ?", (last[0],)).fetchone()
        return is_proof_by(wrapping_ciphers(master_key, {last[0]: salt})[last[0]], last[1])
    except sqlite3.Error as fault:
        raise store_failed(path, fault) from None
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Bring an old file forward, in the caller's transaction. Not one of version 1: its wrapping keys become hour keys
    then, which takes the master key and belongs to an opening."""
    if prepare(connection, name=str(path)) == 1:
        raise ConfigurationError(
            f"the key store {path} was last opened by an old program", remedy="start its site once, then ask again"
        )


def _rewrap(connection: sqlite3.Connection, path: Path, old: MasterKey, new: MasterKey, entropy: Entropy) -> int:
    last = last_opening(connection)
    assert last is not None, "a store that was never opened needs no master key"
    ciphers = wrapping_ciphers(old, salts_in_use(connection))
    if not is_proof_by(ciphers[last[0]], last[1]):
        raise wrong_master_key(path)
    number, salt = last[0] + 1, entropy.public_bytes(SALT_BYTES)
    (cipher,) = wrapping_ciphers(new, {number: salt}).values()
    before = Vault(ciphers, opening=last[0], entropy=entropy)
    after = Vault({number: cipher}, opening=number, entropy=entropy)
    count = _rewrap_hour_keys(connection, before, after) + _rewrap_answers(connection, before, after)
    connection.execute("DELETE FROM opening")
    connection.execute("INSERT INTO opening VALUES (?, ?, ?)", (number, salt, proof_by(cipher)))
    return count


def _rewrap_hour_keys(connection: sqlite3.Connection, before: Vault, after: Vault) -> int:
    rows = connection.execute("SELECT id, kept_for, hour, wrapped_key FROM hour_key").fetchall()
    for row, kept_for, hour, wrapped in rows:
        again = before.rewrap(wrapped, place_of_hour_key(kept_for, hour), onto=after)
        connection.execute("UPDATE hour_key SET wrapped_key = ? WHERE id = ?", (again, row))
    return len(rows)


def _rewrap_answers(connection: sqlite3.Connection, before: Vault, after: Vault) -> int:
    rows = connection.execute("SELECT sae, nonce, request, wrapped_key FROM answer").fetchall()
    for sae, nonce, request, wrapped in rows:
        again = before.rewrap(wrapped, place_of_answer(sae, nonce, request), onto=after)
        connection.execute("UPDATE answer SET wrapped_key = ? WHERE sae = ? AND nonce = ?", (again, sae, nonce))
    return len(rows)
