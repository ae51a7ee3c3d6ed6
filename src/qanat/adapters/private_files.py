"""Files that hold secrets: written for their owner alone, read only while nobody else can, overwritten at their end."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from qanat.ground.errors import ConfigurationError

ZEROS_BYTES = 2**20
"""Written at a time where a file is overwritten: a store may be larger than the memory."""


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are not there, for their owner alone (mode 0700)."""
    for part in (*reversed(folder.parents), folder):
        part.mkdir(mode=0o700, exist_ok=True)


def write_private(path: Path, data: bytes) -> None:
    """Write a new file of mode 0600 (its folder, if new, 0700), durable on return; raises FileExistsError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """Return a secret file's bytes; raises ConfigurationError when it is missing or others can read it."""
    with _private(path) as file:
        return file.read()


def require_private(path: Path) -> None:
    """Raise ConfigurationError when a file, which somebody else reads, is missing or others can read it."""
    with _private(path):
        pass


@contextlib.contextmanager
def _private(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ConfigurationError(f"{path} can be read by other users", remedy=f"chmod 600 {path}")
            yield file
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="check its name and owner") from None


def destroy_private(path: Path) -> None:
    """Overwrite a file with zeros and remove it, durable on return; nothing happens when it is gone already.

    A journal, a snapshot or the spare cells of a solid-state disk may keep a copy: the medium decides that, not we.
    """
    try:
        with path.open("r+b") as file:
            left = os.fstat(file.fileno()).st_size
            while left > 0:
                left -= file.write(bytes(min(left, ZEROS_BYTES)))
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink(missing_ok=True)  # two processes may do this at once
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
