"""Files as streams of bytes; the disk is read and written outside the event loop."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from io import FileIO
from pathlib import Path
from types import TracebackType

from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import BadParameter, ConfigurationError

READ_BYTES = 2**20


class SourceFile:
    """A file to be sent: opened before anything is waited for, and hashed as it is read.

    Once it is open, nobody can take it away: a name that is removed or given to another file meanwhile changes
    nothing. What is written into it meanwhile is noticed at the end of ``stream``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hash = hashlib.sha256()

    async def __aenter__(self) -> SourceFile:
        """Open the file; raises ConfigurationError when it cannot be read."""
        try:
            self._file = await asyncio.to_thread(self.path.open, "rb")
        except OSError as fault:
            raise ConfigurationError(
                f"cannot read {self.path}: {fault.strerror}", remedy="name a file you may read"
            ) from None
        self._seen = self._look()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def size_bytes(self) -> int:
        """How long the file was when it was opened."""
        return self._seen[0]

    @property
    def sha256(self) -> str:
        """The SHA-256 of what has been read so far, in hexadecimal; after ``stream``, of all that it yielded."""
        return self._hash.hexdigest()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes in order, about a megabyte at a time.

        Raises BadParameter when the file is not what it was when it was opened, before its last piece has left.
        """
        held = b""
        while data := await asyncio.to_thread(self._read):
            if held:
                yield held
            held = data
        if self._look() != self._seen:
            raise self._changed()
        if held:
            yield held

    def _read(self) -> bytes:
        with machine_faults_named(self.path, elsewhere="send another file"):
            data = self._file.read(READ_BYTES)
        if self._file.tell() > self.size_bytes:
            raise self._changed()
        self._hash.update(data)
        return data

    def _look(self) -> tuple[int, int]:
        """Return size and time of the last change."""
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns

    def _changed(self) -> BadParameter:
        return BadParameter(
            f"{self.path.name!r} was changed while it was sent; what was sent of it does not count",
            remedy="send it again when nobody writes to it, or send a copy",
        )


class PartialFile:
    """A file that gets its name only when it is whole: ``finish`` renames it, leaving without that removes it.

    Raises MachineFault, about the name that it is to get, when the machine does not let it be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".part")

    async def __aenter__(self) -> PartialFile:
        with machine_faults_named(self.path):
            self._file = await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        with machine_faults_named(self.path):
            await asyncio.to_thread(self._write_all, data)

    async def finish(self) -> None:
        """Close the file and give it its name."""
        with machine_faults_named(self.path):
            self._file.close()
            self._partial.rename(self.path)

    def _open(self) -> FileIO:
        return self._partial.open("wb", buffering=0)  # a full disk is met where something is written, not at the end

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def write_whole(path: Path, text: str, *, elsewhere: str) -> None:
    """Write a file that appears whole or not at all; one that was there stays until then. Raises MachineFault."""
    partial = path.with_name(path.name + ".part")
    with machine_faults_named(path, elsewhere=elsewhere):
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


async def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal; raises MachineFault."""

    def digest() -> str:
        with machine_faults_named(path), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await asyncio.to_thread(digest)
