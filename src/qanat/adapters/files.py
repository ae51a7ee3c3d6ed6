"""Files as streams of bytes; the disk is read and written outside the event loop."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

from qanat.ground.errors import ConfigurationError

READ_BYTES = 2**20


async def read_stream(path: Path) -> AsyncIterator[bytes]:
    """Yield a file's bytes in order, about a megabyte at a time; raises ConfigurationError when it cannot be read."""
    try:
        file = await asyncio.to_thread(path.open, "rb")
    except OSError as fault:
        raise ConfigurationError(f"cannot read {path}: {fault.strerror}", remedy="name a file you may read") from None
    with file:
        while data := await asyncio.to_thread(file.read, READ_BYTES):
            yield data


class PartialFile:
    """A file that gets its name only when it is whole: ``finish`` renames it, leaving without that removes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".part")

    async def __aenter__(self) -> PartialFile:
        self._file = await asyncio.to_thread(self._partial.open, "wb")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._partial.unlink(missing_ok=True)

    async def write(self, data: bytes) -> None:
        """Append bytes."""
        await asyncio.to_thread(self._file.write, data)

    async def finish(self) -> None:
        """Close the file and give it its name."""
        await asyncio.to_thread(self._file.close)
        self._partial.rename(self.path)


async def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""

    def digest() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return await asyncio.to_thread(digest)
