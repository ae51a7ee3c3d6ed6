"""`qanat` with a planted fault: its key stores answer before they commit. For the test of a test.

Run as a program. All transactions within ``LATE_S`` become one, which is durable only when the next begins after that;
so a site that is killed forgets what it has told already.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator

from qanat.adapters.sqlite import database
from qanat.apps.cli.main import run

LATE_S = 0.4
_began_s: dict[sqlite3.Connection, float] = {}


@contextlib.contextmanager
def late_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """The transaction of ``Database``, but committed at some later one."""
    now_s = time.monotonic()
    if connection in _began_s and connection.in_transaction and now_s > _began_s[connection] + LATE_S:
        connection.execute("COMMIT")
    if not connection.in_transaction:
        connection.execute("BEGIN IMMEDIATE")
        _began_s[connection] = now_s
    yield


if __name__ == "__main__":
    database.transaction = late_transaction
    run()
