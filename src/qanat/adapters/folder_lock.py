"""One process at a time in a data folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qanat.ground.errors import ConfigurationError


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold ``folder`` (made if need be, mode 0700) for this process; raises ConfigurationError when another one has it.

    The system frees the lock when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"{folder} is already in use by another process", remedy="stop it, or name another folder with --data"
            ) from None
        yield
