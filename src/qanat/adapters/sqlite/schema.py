"""The tables of the key store and how one version becomes the next. docs/formats/key-store.md explains them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping

from qanat.adapters.sqlite.answers import ANSWER_TABLES
from qanat.adapters.sqlite.notices import NOTICE_TABLE
from qanat.ground.errors import ConfigurationError

APPLICATION_ID = 0x51414E41
"""``QANA``: marks the file as a Qanat key store (SQLite's ``application_id``)."""

SCHEMA_VERSION = 4

_EPOCHS = (
    "CREATE TABLE own_epoch (number INTEGER PRIMARY KEY, name TEXT NOT NULL)",
    "CREATE TABLE peer_epoch (peer TEXT PRIMARY KEY, number INTEGER NOT NULL, name TEXT NOT NULL) WITHOUT ROWID",
)

_HOUR_KEY = """CREATE TABLE hour_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used twice: rows name it
    kept_for TEXT NOT NULL, hour INTEGER NOT NULL, wrapped_key BLOB NOT NULL
)"""

_BLOCK = """CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    block_id TEXT NOT NULL UNIQUE,
    stage TEXT NOT NULL CHECK (stage IN ('received', 'stored', 'supplied', 'expired', 'destroyed')),
    stored_s REAL NOT NULL,
    link TEXT NOT NULL, order_id TEXT NOT NULL, local TEXT NOT NULL, peer TEXT NOT NULL,
    origin TEXT NOT NULL, protocol TEXT NOT NULL, num_bits INTEGER NOT NULL,
    eps_sec REAL NOT NULL, eps_cor REAL NOT NULL, finished_utc_s REAL NOT NULL
)"""

_BLOCK_INDEXES = (
    "CREATE INDEX block_received ON block (id) WHERE stage = 'received'",
    "CREATE INDEX block_of_link ON block (link) WHERE stage IN ('received', 'stored')",
)

_SHARE = """CREATE TABLE share (
    id INTEGER PRIMARY KEY,
    block INTEGER NOT NULL, pool INTEGER NOT NULL,
    num_bits INTEGER NOT NULL,
    free_bits INTEGER NOT NULL CHECK (free_bits >= 0),
    is_confirmed INTEGER NOT NULL,
    hour_key INTEGER, -- under which the data key is wrapped
    wrapped_key BLOB,  -- both NULL once nothing of the share is left
    UNIQUE (block, pool)
)"""

_SHARE_INDEXES = (
    "CREATE INDEX share_open ON share (pool, id) WHERE is_confirmed = 1 AND free_bits > 0",
    "CREATE INDEX share_free ON share (pool, block) WHERE free_bits > 0",
    "CREATE INDEX share_hour_key ON share (hour_key) WHERE hour_key IS NOT NULL",
)

_BATCH = """CREATE TABLE batch (
    id INTEGER PRIMARY KEY, keys_left INTEGER NOT NULL, hour_key INTEGER NOT NULL, wrapped_key BLOB NOT NULL
)"""

_RECORD = "CREATE TABLE record (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE)"

_APP_KEY = """CREATE TABLE app_key (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key_id BLOB NOT NULL UNIQUE,
    pair INTEGER NOT NULL, size_bits INTEGER NOT NULL,
    is_confirmed INTEGER NOT NULL,
    master_may INTEGER NOT NULL,  -- whether the master is among those who wait
    waiting TEXT NOT NULL,  -- JSON list: SAEs that may still be supplied
    served TEXT NOT NULL DEFAULT '[]',  -- JSON list: SAEs that were
    batch INTEGER NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL,
    record INTEGER NOT NULL, created_utc_s REAL NOT NULL, stored_s REAL NOT NULL, qkd_bits_spent INTEGER NOT NULL
)"""

_APP_KEY_INDEXES = (
    "CREATE INDEX app_key_stock ON app_key (pair, size_bits, id) WHERE is_confirmed = 1 AND master_may = 1",
    "CREATE INDEX app_key_unconfirmed ON app_key (id) WHERE is_confirmed = 0",
    "CREATE INDEX app_key_age ON app_key (pair, stored_s)",
)

_LOTS = (
    """CREATE TABLE lot (
        first_key INTEGER PRIMARY KEY,  -- its keys have the numbers from here on, which no row of app_key gets
        id_beginning BLOB NOT NULL, ids_from TEXT NOT NULL, num_keys INTEGER NOT NULL,
        pair INTEGER NOT NULL, size_bits INTEGER NOT NULL,
        is_confirmed INTEGER NOT NULL, master_may INTEGER NOT NULL, waiting TEXT NOT NULL,
        batch INTEGER NOT NULL, record INTEGER NOT NULL,
        created_utc_s REAL NOT NULL, stored_s REAL NOT NULL, qkd_bits_spent INTEGER NOT NULL,  -- of all its keys
        keys_left INTEGER NOT NULL CHECK (keys_left >= 0),
        taken BLOB NOT NULL,  -- one bit per key, the lowest of the first byte first
        ended TEXT  -- how those ended that were not taken
    )""",
    "CREATE INDEX lot_ids ON lot (id_beginning)",
    "CREATE INDEX lot_stock ON lot (pair, size_bits, first_key)"
    " WHERE is_confirmed = 1 AND master_may = 1 AND keys_left > 0",
    "CREATE INDEX lot_unconfirmed ON lot (first_key) WHERE is_confirmed = 0 AND keys_left > 0",
    "CREATE INDEX lot_age ON lot (pair, stored_s) WHERE keys_left > 0",
    "CREATE TABLE lot_segment (first_key INTEGER PRIMARY KEY, sealed BLOB NOT NULL)",
)

TABLES = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE opening (id INTEGER PRIMARY KEY, salt BLOB NOT NULL, proof BLOB NOT NULL)",
    _HOUR_KEY,
    *_EPOCHS,
    # link key
    """CREATE TABLE pool (
        id INTEGER PRIMARY KEY,
        link TEXT NOT NULL,
        sender TEXT NOT NULL,  -- empty for the authentication reserve
        received_bits INTEGER NOT NULL DEFAULT 0,
        unconfirmed_bits INTEGER NOT NULL DEFAULT 0,
        available_bits INTEGER NOT NULL DEFAULT 0,
        voided_bits INTEGER NOT NULL DEFAULT 0,
        expired_bits INTEGER NOT NULL DEFAULT 0,
        UNIQUE (link, sender),
        CHECK (unconfirmed_bits >= 0 AND available_bits >= 0)
    )""",
    """CREATE TABLE pool_spent (
        pool INTEGER NOT NULL, use TEXT NOT NULL, bits INTEGER NOT NULL, PRIMARY KEY (pool, use)
    ) WITHOUT ROWID""",
    _BLOCK,
    *_BLOCK_INDEXES,
    _SHARE,
    *_SHARE_INDEXES,
    """CREATE TABLE segment (
        share INTEGER NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL, UNIQUE (share, number)
    )""",
    """CREATE TABLE spent (
        share INTEGER NOT NULL, start_bit INTEGER NOT NULL, stop_bit INTEGER NOT NULL, PRIMARY KEY (share, start_bit)
    ) WITHOUT ROWID""",
    # keys of applications
    """CREATE TABLE pair (
        id INTEGER PRIMARY KEY, master TEXT NOT NULL, slave TEXT NOT NULL, num_keys INTEGER NOT NULL DEFAULT 0,
        UNIQUE (master, slave)
    )""",
    _BATCH,
    "CREATE INDEX batch_hour_key ON batch (hour_key)",
    "CREATE TABLE seen_key (key_id BLOB PRIMARY KEY, stage TEXT) WITHOUT ROWID",
    _RECORD,
    _APP_KEY,
    *_APP_KEY_INDEXES,
    *_LOTS,
    *ANSWER_TABLES,
    NOTICE_TABLE,
)

_NAMES = frozenset(re.findall(r"CREATE (?:TABLE|INDEX) (\w+)", "; ".join(TABLES)))

_V1_RECORD = (
    "json_object('routes', json_array(json(route)), 'threshold', NULL, 'pad_bits',"
    " min(max(0, json_array_length(route) - 1) * size_bits, qkd_bits_spent), 'origin', origin)"
)

_FROM_1 = (
    *_EPOCHS,
    _HOUR_KEY,
    "ALTER TABLE pool ADD COLUMN expired_bits INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE block RENAME TO old_block",
    "DROP INDEX block_unconfirmed",
    "DROP INDEX block_of_link",
    _BLOCK,
    """INSERT INTO block SELECT id, block_id,
        CASE WHEN state = 'voided' THEN 'destroyed'
             WHEN NOT EXISTS (SELECT 1 FROM share WHERE share.block = old_block.id AND free_bits > 0) THEN 'supplied'
             WHEN state = 'confirmed' THEN 'stored' ELSE 'received' END,
        0, link, order_id, local, peer, origin, protocol, num_bits, eps_sec, eps_cor, finished_utc_s FROM old_block""",
    "DROP TABLE old_block",
    *_BLOCK_INDEXES,
    "ALTER TABLE share RENAME TO old_share",
    "DROP INDEX share_open",
    _SHARE,
    """INSERT INTO share SELECT id, block, pool, num_bits, free_bits, is_confirmed,
        opening_of(wrapped_key), substr(wrapped_key, 5) FROM old_share""",
    "DROP TABLE old_share",
    *_SHARE_INDEXES,
    "ALTER TABLE batch RENAME TO old_batch",
    _BATCH,
    "INSERT INTO batch SELECT id, keys_left, opening_of(wrapped_key), substr(wrapped_key, 5) FROM old_batch",
    "DROP TABLE old_batch",
    "CREATE INDEX batch_hour_key ON batch (hour_key)",
    "ALTER TABLE pair ADD COLUMN num_keys INTEGER NOT NULL DEFAULT 0",
    "UPDATE pair SET num_keys = (SELECT count(*) FROM app_key WHERE app_key.pair = pair.id)",
    "ALTER TABLE seen_key ADD COLUMN stage TEXT",
    _RECORD,
    f"INSERT INTO record (text) SELECT DISTINCT {_V1_RECORD} FROM app_key",  # noqa: S608 - constants of this module
    "DROP INDEX app_key_stock",
    "DROP INDEX app_key_unconfirmed",
    "ALTER TABLE app_key RENAME TO old_app_key",
    _APP_KEY,
    f"""INSERT INTO app_key SELECT id, key_id, pair, size_bits, is_confirmed, master_may, waiting, served, batch,
        number, sealed, (SELECT record.id FROM record WHERE text = {_V1_RECORD}), created_utc_s, 0, qkd_bits_spent
        FROM old_app_key""",  # noqa: S608 - constants of this module
    "DROP TABLE old_app_key",
    *_APP_KEY_INDEXES,
    *ANSWER_TABLES,
)

MIGRATIONS: Mapping[int, tuple[str, ...]] = {1: _FROM_1, 2: _LOTS, 3: (NOTICE_TABLE,)}
"""Version -> the statements that make version + 1 of it."""


def prepare(
    connection: sqlite3.Connection,
    *,
    name: str,
    version: int = SCHEMA_VERSION,
    migrations: Mapping[int, tuple[str, ...]] = MIGRATIONS,
) -> int:
    """Make the tables of a new file, or bring an old file to ``version``; call inside a transaction.

    Returns the version that was found. Raises ConfigurationError for a database of something else, or one of a newer
    version than this program knows; LookupError for one that has lost its version, or a table.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables:
        _create(connection)
    elif application != APPLICATION_ID:
        raise ConfigurationError(f"{name} is a database, but no key store", remedy="choose another data folder")
    row = connection.execute("SELECT value FROM state WHERE name = 'schema_version'").fetchone()
    if row is None:
        raise LookupError("it does not say of which version it is")
    (found,) = row
    if found > version:
        raise ConfigurationError(
            f"{name} was written by a newer program (schema {found}; this one knows {version})",
            remedy="update this program, or start it with another data folder; there is no way back to an older schema",
        )
    connection.create_function("opening_of", 1, _opening_of, deterministic=True)
    for step in range(found, version):
        for statement in migrations[step]:
            connection.execute(statement)
        connection.execute("UPDATE state SET value = ? WHERE name = 'schema_version'", (step + 1,))
    if lost := _NAMES - {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}:
        raise LookupError(f"it has lost {', '.join(sorted(lost))}")
    return int(found)


def _opening_of(wrapped_key: bytes | None) -> int | None:
    """Return the opening that a data key of version 1 names in its first four bytes."""
    return None if wrapped_key is None else int.from_bytes(wrapped_key[:4], "big")


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in TABLES:
        connection.execute(statement)
    connection.executemany("INSERT INTO state VALUES (?, ?)", (("schema_version", SCHEMA_VERSION), ("epoch", 0)))
