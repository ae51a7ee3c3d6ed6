"""The end of everything in a key store, while no key manager has it open. The master key is not needed.

First, in one small transaction, all wrapped keys go: without them no row opens any more, whoever has the master key.
Then the rows go, and the write-ahead log is emptied. What stays is public and keeps anything from coming twice: ids,
and which bits were spent.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.sqlite.database import connect, store_failed, transaction
from qanat.adapters.sqlite.schema import prepare
from qanat.ground.errors import ConfigurationError
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage, stages_before

_DESTROYED = next_stage(Kind.KEY, Stage.STORED, Act.VOID)
_VOIDABLE = ", ".join(f"'{stage}'" for stage in stages_before(Kind.BLOCK, Act.VOID))

_END_KEYS = (
    "DELETE FROM hour_key",
    "DELETE FROM opening",
    "UPDATE share SET hour_key = NULL, wrapped_key = NULL WHERE wrapped_key IS NOT NULL",
    "UPDATE batch SET wrapped_key = x''",
    "DELETE FROM answer",
    # peers remember an epoch that this store no longer knows: so they learn that its stock is gone
    "DELETE FROM own_epoch",
    "UPDATE state SET value = value + 1 WHERE name = 'epoch'",
    "INSERT OR REPLACE INTO state SELECT 'restored_epoch', value FROM state WHERE name = 'epoch'",
)

_END_ROWS = (
    "DELETE FROM segment",
    f"INSERT OR REPLACE INTO seen_key SELECT key_id, '{_DESTROYED}' FROM app_key",  # noqa: S608 - our own
    "DELETE FROM app_key",
    "DELETE FROM lot_segment",
    f"UPDATE lot SET ended = '{_DESTROYED}', keys_left = 0 WHERE keys_left > 0",  # noqa: S608 - our own
    "DELETE FROM batch",
    "UPDATE pair SET num_keys = 0",
    f"UPDATE block SET stage = '{_DESTROYED}' WHERE stage IN ({_VOIDABLE})",  # noqa: S608 - our own
    "UPDATE share SET free_bits = 0 WHERE free_bits > 0",
    "UPDATE pool SET voided_bits = voided_bits + unconfirmed_bits + available_bits, unconfirmed_bits = 0,"
    " available_bits = 0",
)


@dataclass(frozen=True, slots=True)
class Zeroized:
    """What a store held when it was zeroized, and the epoch that began then."""

    num_wrapped_keys: int
    num_keys: int
    num_bits: int
    epoch: int


def zeroize(path: Path) -> Zeroized:
    """Destroy all that a key store holds; durable when this returns, and repeatable.

    Raises ConfigurationError when there is no store, or one that is in use; StoreFailed when the disk does not take it.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no key store {path}", remedy="name the data folder, and the site, that has it"
        )
    connection = connect(path)
    try:
        with transaction(connection):
            prepare(connection, name=str(path))
            held = _count(connection)
            for statement in _END_KEYS:
                connection.execute(statement)
            (epoch,) = connection.execute("SELECT value FROM state WHERE name = 'epoch'").fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with transaction(connection):
            for statement in _END_ROWS:
                connection.execute(statement)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as fault:
        raise store_failed(path, fault) from None
    finally:
        connection.close()
    return Zeroized(*held, epoch)


def _count(connection: sqlite3.Connection) -> tuple[int, int, int]:
    return connection.execute(  # type: ignore[no-any-return]
        "SELECT (SELECT count(*) FROM hour_key) + (SELECT count(*) FROM share WHERE wrapped_key IS NOT NULL)"
        " + (SELECT count(*) FROM batch),"
        " (SELECT count(*) FROM app_key) + (SELECT coalesce(sum(keys_left), 0) FROM lot),"
        " (SELECT coalesce(sum(free_bits), 0) FROM share)"
    ).fetchone()
