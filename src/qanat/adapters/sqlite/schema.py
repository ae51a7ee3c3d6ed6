"""The tables of the key store and how one version becomes the next. docs/formats/key-store.md explains them."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from qanat.adapters.sqlite.answers import ANSWER_TABLES
from qanat.ground.errors import ConfigurationError

APPLICATION_ID = 0x51414E41
"""``QANA``: marks the file as a Qanat key store (SQLite's ``application_id``)."""

SCHEMA_VERSION = 2

MIGRATIONS: Mapping[int, tuple[str, ...]] = {1: ANSWER_TABLES}
"""Version -> the statements that make version + 1 of it."""

TABLES = (
    "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE opening (id INTEGER PRIMARY KEY, salt BLOB NOT NULL, proof BLOB NOT NULL)",
    # link key
    """CREATE TABLE pool (
        id INTEGER PRIMARY KEY,
        link TEXT NOT NULL,
        sender TEXT NOT NULL,  -- empty for the authentication reserve
        received_bits INTEGER NOT NULL DEFAULT 0,
        unconfirmed_bits INTEGER NOT NULL DEFAULT 0,
        available_bits INTEGER NOT NULL DEFAULT 0,
        voided_bits INTEGER NOT NULL DEFAULT 0,
        UNIQUE (link, sender),
        CHECK (unconfirmed_bits >= 0 AND available_bits >= 0)
    )""",
    """CREATE TABLE pool_spent (
        pool INTEGER NOT NULL, use TEXT NOT NULL, bits INTEGER NOT NULL, PRIMARY KEY (pool, use)
    ) WITHOUT ROWID""",
    """CREATE TABLE block (
        id INTEGER PRIMARY KEY,
        block_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL CHECK (state IN ('unconfirmed', 'confirmed', 'voided')),
        link TEXT NOT NULL, order_id TEXT NOT NULL, local TEXT NOT NULL, peer TEXT NOT NULL,
        origin TEXT NOT NULL, protocol TEXT NOT NULL, num_bits INTEGER NOT NULL,
        eps_sec REAL NOT NULL, eps_cor REAL NOT NULL, finished_utc_s REAL NOT NULL
    )""",
    "CREATE INDEX block_unconfirmed ON block (id) WHERE state = 'unconfirmed'",
    "CREATE INDEX block_of_link ON block (link)",
    """CREATE TABLE share (
        id INTEGER PRIMARY KEY,
        block INTEGER NOT NULL, pool INTEGER NOT NULL,
        num_bits INTEGER NOT NULL,
        free_bits INTEGER NOT NULL CHECK (free_bits >= 0),
        is_confirmed INTEGER NOT NULL,
        wrapped_key BLOB,  -- NULL once nothing of the share is left
        UNIQUE (block, pool)
    )""",
    "CREATE INDEX share_open ON share (pool, id) WHERE is_confirmed = 1 AND free_bits > 0",
    """CREATE TABLE segment (
        share INTEGER NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL, UNIQUE (share, number)
    )""",
    """CREATE TABLE spent (
        share INTEGER NOT NULL, start_bit INTEGER NOT NULL, stop_bit INTEGER NOT NULL, PRIMARY KEY (share, start_bit)
    ) WITHOUT ROWID""",
    # keys of applications
    "CREATE TABLE pair (id INTEGER PRIMARY KEY, master TEXT NOT NULL, slave TEXT NOT NULL, UNIQUE (master, slave))",
    "CREATE TABLE batch (id INTEGER PRIMARY KEY, keys_left INTEGER NOT NULL, wrapped_key BLOB NOT NULL)",
    "CREATE TABLE seen_key (key_id BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE app_key (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key_id BLOB NOT NULL UNIQUE,
        pair INTEGER NOT NULL, size_bits INTEGER NOT NULL,
        is_confirmed INTEGER NOT NULL,
        master_may INTEGER NOT NULL,  -- whether the master is among those who wait
        waiting TEXT NOT NULL,  -- JSON list: SAEs that may still be supplied
        served TEXT NOT NULL DEFAULT '[]',  -- JSON list: SAEs that were
        batch INTEGER NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL,
        route TEXT NOT NULL, origin TEXT NOT NULL, created_utc_s REAL NOT NULL, qkd_bits_spent INTEGER NOT NULL
    )""",
    "CREATE INDEX app_key_stock ON app_key (pair, size_bits, id) WHERE is_confirmed = 1 AND master_may = 1",
    "CREATE INDEX app_key_unconfirmed ON app_key (id) WHERE is_confirmed = 0",
    *ANSWER_TABLES,
)


def prepare(
    connection: sqlite3.Connection,
    *,
    name: str,
    version: int = SCHEMA_VERSION,
    migrations: Mapping[int, tuple[str, ...]] = MIGRATIONS,
) -> None:
    """Make the tables of a new file, or bring an old file to ``version``; call inside a transaction.

    Raises ConfigurationError for a database of something else, or one of a newer version than this program knows.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if not tables:
        _create(connection)
    elif application != APPLICATION_ID:
        raise ConfigurationError(f"{name} is a database, but no key store", remedy="choose another data folder")
    (found,) = connection.execute("SELECT value FROM state WHERE name = 'schema_version'").fetchone()
    if found > version:
        raise ConfigurationError(
            f"{name} was written by a newer program (schema {found}; this one knows {version})",
            remedy="update this program, or start it with another data folder",
        )
    for step in range(found, version):
        for statement in migrations[step]:
            connection.execute(statement)
        connection.execute("UPDATE state SET value = ? WHERE name = 'schema_version'", (step + 1,))


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for statement in TABLES:
        connection.execute(statement)
    connection.executemany("INSERT INTO state VALUES (?, ?)", (("schema_version", SCHEMA_VERSION), ("epoch", 0)))
