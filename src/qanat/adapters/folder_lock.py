"""One process at a time in a data folder."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import ConfigurationError

PAUSE_S = 0.02
NAME_ANOTHER_FOLDER = "stop it, or name another folder with --data"


@contextmanager
def held(folder: Path, *, remedy: str = NAME_ANOTHER_FOLDER, patience_s: float = 0.0) -> Iterator[None]:
    """Hold ``folder`` (made if need be, mode 0700) for this process; raises ConfigurationError when another one has it
    for all of ``patience_s`` (the caller stands still meanwhile).

    The system frees the lock when the process ends, however it ends.
    """
    make_private_folder(folder)
    deadline_s = time.monotonic() + patience_s
    with _lock_of(folder).open("w", encoding="utf-8") as file:
        while not _is_mine(file):
            if time.monotonic() >= deadline_s:
                raise ConfigurationError(f"{folder} is already in use by another process", remedy=remedy)
            time.sleep(PAUSE_S)
        yield


def is_held(folder: Path) -> bool:
    """Return whether a process, this one or another, holds ``folder`` just now.

    To find out, a free lock is taken for a moment: whoever must not be misled by that gives ``held`` some patience.
    """
    if not _lock_of(folder).exists():
        return False
    with _lock_of(folder).open("r", encoding="utf-8") as file:
        return not _is_mine(file)


def _lock_of(folder: Path) -> Path:
    return folder / "lock"


def _is_mine(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
