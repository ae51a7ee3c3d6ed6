"""One SQLite file: opened for this process alone, and written in groups of calls that share one commit."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from qanat.adapters.encryption import (
    SALT_BYTES,
    MasterKey,
    Vault,
    derive_wrapping_keys,
    is_proof_by,
    opening_of,
    proof_by,
    wrapping_ciphers,
)
from qanat.adapters.sqlite.answers import AnswerTable
from qanat.adapters.sqlite.blocks import BlockTables
from qanat.adapters.sqlite.epochs import EpochTables
from qanat.adapters.sqlite.hour_keys import HourKeys
from qanat.adapters.sqlite.joint_calls import JointAction, groups_of
from qanat.adapters.sqlite.keys import KeyTables
from qanat.adapters.sqlite.notices import NoticeTable
from qanat.adapters.sqlite.schema import prepare
from qanat.adapters.system import SystemClock
from qanat.ground.errors import ConfigurationError, QanatError, StoreFailed
from qanat.ground.ports import Entropy

PRAGMAS = (
    # exclusive first: WAL then needs no shared memory, and no other connection can come between (SQLite before 3.51.3
    # can corrupt a WAL file that several connections write)
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA secure_delete = ON",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA cache_size = -16384",
    "PRAGMA journal_size_limit = 4194304",  # after a large import the log shrinks again
)


SLIPS = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a programming slip in an action raises; its own caller hears it."""


class Database:
    """The tables of one key store and the transaction around each group of calls. Used by the writer's thread alone.

    The tables may be used only inside the actions given to ``commit``.
    """

    def __init__(self, path: Path, *, master_key: MasterKey, entropy: Entropy) -> None:
        """Open or make the file; raises ConfigurationError: in use, another master key, no key store, newer."""
        self.path = path
        self._connection = connect(path)
        try:
            with transaction(self._connection):
                found = prepare(self._connection, name=str(path))
                vault = open_vault(self._connection, path, master_key, entropy)
                self.hour_keys = HourKeys(self._connection, vault, utc_s=SystemClock().utc_s)
                if found == 1:
                    _adopt_openings(self._connection, self.hour_keys, master_key)
                self.epochs = EpochTables(self._connection)
        except sqlite3.Error as fault:
            self._connection.close()
            raise (damaged(path, fault) if is_damage(fault) else store_failed(path, fault)) from None
        except LookupError as fault:  # a row that is always there is not
            self._connection.close()
            raise damaged(path, fault) from None
        except QanatError:
            self._connection.close()
            raise
        self.block_tables = BlockTables(self._connection, self.hour_keys)
        self.key_tables = KeyTables(self._connection, self.hour_keys)
        self.answers = AnswerTable(self._connection, vault)
        self.notices = NoticeTable(self._connection)

    @property
    def epoch(self) -> int:
        """The epoch that was begun last."""
        return self.epochs.number

    def commit(self, actions: Sequence[Callable[[], Any]], *, may_make_room: bool = True) -> list[Any]:
        """Run the actions in one durable transaction; return for each its result, or the exception it raised.

        An action that raises is undone alone, also one with a slip in it (``SLIPS``): a fault of one caller must not
        close the store to all. When the disk is full, the write-ahead log is first moved into the file, which may make
        room. When the machine fails in the middle, each is tried again by itself, so that one call too large for the
        disk does not fail its neighbours.
        """
        try:
            with transaction(self._connection):
                self.epochs.read_number()
                return self._run_all(actions)
        except sqlite3.Error as fault:
            self._forget_caches()
            if may_make_room and _is_full(fault):
                self.truncate_log()
                return self.commit(actions, may_make_room=False)
            if len(actions) == 1:
                return [store_failed(self.path, fault)]
        return [self.commit([action], may_make_room=False)[0] for action in actions]

    def truncate_log(self) -> None:
        """Move the write-ahead log into the file and empty it, so that destroyed rows do not linger there."""
        # the call it follows is durable already and must not fail now; the log is then emptied at a later time
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the file; what was committed is in it, and the write-ahead log is gone."""
        self._forget_caches()
        self._connection.close()

    def _run_all(self, actions: Sequence[Callable[[], Any]]) -> list[Any]:
        """Run actions in their order, those that can be together as one; where that fails, each by itself after all."""
        results: list[Any] = [None] * len(actions)
        for places in groups_of(actions):
            first, group = actions[places[0]], [actions[place] for place in places]
            found: Any = None
            if len(group) > 1:
                assert isinstance(first, JointAction)
                found = self._run_one(functools.partial(first.together, group))
            if not isinstance(found, list):
                found = [self._run_one(action) for action in group]
            for place, result in zip(places, found, strict=True):
                results[place] = result
        return results

    def _run_one(self, action: Callable[[], Any]) -> Any:
        self._connection.execute("SAVEPOINT call")
        try:
            result = action()
        except (QanatError, *SLIPS) as fault:
            self._connection.execute("ROLLBACK TO call")
            self._forget_caches()
            result = fault
        self._connection.execute("RELEASE call")
        return result

    def _forget_caches(self) -> None:
        self.block_tables.forget_cache()
        self.key_tables.forget_cache()
        self.hour_keys.forget_cache()


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that has the file, made if need be, for itself; raises ConfigurationError."""
    try:
        return open_exclusively(path)
    except sqlite3.Error as fault:
        raise _cannot_open(path, fault) from None


def open_exclusively(path: Path) -> sqlite3.Connection:
    """As ``connect``, but a fault that lies in the file itself is raised as sqlite3.Error."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _create_private_file(path)
        connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as fault:
        raise ConfigurationError(f"cannot open the key store {path}: {fault}", remedy=_WRITABLE) from None
    try:
        for pragma in PRAGMAS:
            connection.execute(pragma)
    except sqlite3.Error as fault:
        connection.close()
        if fault.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise _cannot_open(path, fault) from None
        raise
    return connection


def _create_private_file(path: Path) -> None:
    # only a file that is not there yet is opened here: closing a second descriptor of a database that this process has
    # open would drop SQLite's locks on it (POSIX advisory locks belong to the process, not to the descriptor)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    path.chmod(0o600)


def open_vault(connection: sqlite3.Connection, path: Path, master_key: MasterKey, entropy: Entropy) -> Vault:
    """Begin an opening of the store and return its wrapping keys, derived all at once: a token is asked here alone.

    Raises ConfigurationError: another master key, or one in a token that does not answer.
    """
    last = last_opening(connection)
    number = 1 if last is None else last[0] + 1
    salt = entropy.public_bytes(SALT_BYTES)
    ciphers = wrapping_ciphers(master_key, salts_in_use(connection) | {number: salt})
    if last is not None and not is_proof_by(ciphers[last[0]], last[1]):
        raise wrong_master_key(path)
    connection.execute("INSERT INTO opening VALUES (?, ?, ?)", (number, salt, proof_by(ciphers[number])))
    return Vault(ciphers, opening=number, entropy=entropy)


def last_opening(connection: sqlite3.Connection) -> tuple[int, bytes] | None:
    """Return number and proof of the last opening, None when there was none."""
    return connection.execute(  # type: ignore[no-any-return]
        "SELECT id, proof FROM opening ORDER BY id DESC LIMIT 1"
    ).fetchone()


def salts_in_use(connection: sqlite3.Connection) -> dict[int, bytes]:
    """Return the salts, by the openings' numbers, of the last opening and of all that a wrapped key names."""
    salts = dict(connection.execute("SELECT id, salt FROM opening ORDER BY id").fetchall())
    named = connection.execute(
        "SELECT DISTINCT substr(wrapped_key, 1, 4) FROM hour_key UNION SELECT substr(wrapped_key, 1, 4) FROM answer"
    ).fetchall()
    in_use = {opening_of(beginning) for (beginning,) in named} | {max(salts, default=0)}
    return {opening: salt for opening, salt in salts.items() if opening in in_use}


def wrong_master_key(path: Path) -> ConfigurationError:
    """Return the error for a store that was made with another master key."""
    return ConfigurationError(
        f"the master key does not fit the key store {path}",
        remedy="start with the master key that this store was made with",
    )


def _adopt_openings(connection: sqlite3.Connection, hour_keys: HourKeys, master_key: MasterKey) -> None:
    """Turn the wrapping keys of earlier openings into hour keys, and forget the salts that lead to them."""
    (current,) = connection.execute("SELECT max(id) FROM opening").fetchone()
    salts = dict(connection.execute("SELECT id, salt FROM opening WHERE id < ?", (current,)).fetchall())
    for opening, key in zip(salts, derive_wrapping_keys(master_key, list(salts.values())), strict=True):
        hour_keys.adopt_opening(opening, key)
    connection.execute("DELETE FROM opening WHERE id < ?", (current,))


def _is_full(fault: sqlite3.Error) -> bool:
    # what Python's module finds wrong by itself, such as a file that was closed, has no code
    return getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF == sqlite3.SQLITE_FULL


_AFTER_DAMAGE = (
    "check its disk; then end the store with `qanat node zeroize`, which needs no sound file, and start the site"
    " again; do not put an older copy back"
)
_WRITABLE = "check that the folder exists, belongs to this user and is on a disk with space"


def _cannot_open(path: Path, fault: sqlite3.Error) -> ConfigurationError:
    match fault.sqlite_errorcode & 0xFF:
        case sqlite3.SQLITE_BUSY:
            return ConfigurationError(
                f"the key store {path} is already in use",
                remedy="stop the other process that has it open, or start this one with another data folder",
            )
        case sqlite3.SQLITE_NOTADB:
            return ConfigurationError(
                f"{path} is no key store",
                remedy="choose another data folder; if it was one once, end it with `qanat node zeroize`",
            )
        case sqlite3.SQLITE_CORRUPT:
            return damaged(path, fault)
        case _:
            return ConfigurationError(f"cannot open the key store {path}: {fault}", remedy=_WRITABLE)


def damaged(path: Path, why: Exception) -> ConfigurationError:
    """Return the error for a store in whose file something has gone wrong."""
    return ConfigurationError(f"the key store {path} is damaged: {why}", remedy=_AFTER_DAMAGE)


def is_damage(fault: sqlite3.Error) -> bool:
    """Return whether a fault, met while a store is opened, lies in its file: no disk and no time will mend that."""
    code = getattr(fault, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)  # the last: a table is gone


def store_failed(path: Path, fault: sqlite3.Error) -> StoreFailed:
    """Return the error for a store that is open and could not do something."""
    if hasattr(fault, "sqlite_errorcode") and is_damage(fault):  # what has no code is Python's, not the file's
        return StoreFailed(f"the key store {path} is damaged: {fault}", remedy=_AFTER_DAMAGE)
    return StoreFailed(f"the key store {path} could not write: {fault}", remedy="make space on its disk, and check it")
