"""Whether a key store holds anything that only its master key opens: looked at while nobody has it open."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def needs_master_key(path: Path) -> bool:
    """Return whether a store that is there was opened before under a master key, and not zeroized since.

    False as well for a file that is no store: whoever opens it is told what it is.
    """
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(path)) as connection:
            (number,) = connection.execute("SELECT count(*) FROM opening").fetchone()
    except sqlite3.Error:
        return False
    return bool(number)
