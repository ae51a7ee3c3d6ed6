"""Files as wholes: written so that none is ever half there, and told apart by their hashes."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from pathlib import Path

from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import BadParameter


def write_whole(path: Path, text: str, *, elsewhere: str) -> None:
    """Write a file that appears whole or not at all; one that was there stays until then. Raises MachineFault."""
    partial = path.with_name(path.name + ".part")
    with machine_faults_named(path, elsewhere=elsewhere):
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def check_is_file(path: Path) -> None:
    """Raise BadParameter where a path names something that is not a file: a pipe or a device, which has no length and
    cannot be read a second time. Where nothing is there, nothing is raised."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise BadParameter(
            f"{path} is a pipe or a device, and no file", remedy="put what comes out of it into a file, and name that"
        )


async def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raises MachineFault."""

    def digest() -> str:
        with machine_faults_named(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await asyncio.to_thread(digest)
