"""The end of everything in a key store, while no key manager has it open. The master key is not needed.

First, in one small transaction, all wrapped keys go: without them no row opens any more, whoever has the master key.
Then the rows go, and the write-ahead log is emptied. What stays is public and keeps anything from coming twice: ids,
and which bits were spent.

Of a store whose file is damaged nothing can be told apart: it is overwritten and removed whole. The next start makes a
new one, and the peers, who remember epochs that it does not know, destroy what they shared with the old one.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from qanat.adapters.private_files import destroy_private
from qanat.adapters.sqlite.database import SLIPS, is_damage, open_exclusively, store_failed, transaction
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
    """What a store held when it was zeroized, and the epoch that began then; None of one that ``was_damaged``."""

    num_wrapped_keys: int | None
    num_keys: int | None
    num_bits: int | None
    epoch: int | None
    was_damaged: bool = False


def zeroize(path: Path) -> Zeroized:
    """Destroy all that a key store holds; durable when this returns, and repeatable.

    Raises ConfigurationError when there is no store, one that is in use, or a database of something else; StoreFailed
    when the disk does not take it.
    """
    if not path.is_file():
        raise ConfigurationError(
            f"there is no key store {path}", remedy="name the data folder, and the site, that has it"
        )
    try:
        return _zeroize_rows(path)
    except sqlite3.Error as fault:
        if not is_damage(fault):
            raise store_failed(path, fault) from None
    except SLIPS:
        pass  # rows that are always there are not
    for part in ("", "-wal", "-shm"):
        destroy_private(path.with_name(path.name + part))
    return Zeroized(None, None, None, None, was_damaged=True)


def _zeroize_rows(path: Path) -> Zeroized:
    connection = open_exclusively(path)
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
