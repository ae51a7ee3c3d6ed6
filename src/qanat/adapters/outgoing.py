"""A file that is being sent, for the services' port ``Outgoing``, and the note that lets it go on after a break.

    <notes>/<digest>.json    {"offer"}    digest: of recipient, path, size, time of the last change

The offer is drawn once for a file as it is, and forgotten when the recipient has confirmed it: who sends the same file
again after a break, even a ``kill -9``, goes on; who sends it again after that sends it a second time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from qanat.adapters.durable_files import write_durably
from qanat.adapters.files import check_is_file
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.identifiers import SaeId

READ_BYTES = 2**20


class OutgoingFile:
    """A file for one recipient, open from ``__enter__`` on; what is written into it meanwhile is noticed."""

    def __init__(self, path: Path, *, name: str, recipient: SaeId, notes: Path) -> None:
        self.path = path
        self.name = name
        self.offer = ""
        self.size_bytes = 0
        self._recipient = recipient
        self._notes = notes
        self._hash = hashlib.sha256()
        self._file: FileIO
        self._seen = (0, 0)
        self._note = notes

    def __enter__(self) -> Self:
        """Open the file and find or draw its offer; raises ConfigurationError, BadParameter for a pipe or a device."""
        check_is_file(self.path)
        try:
            self._file = self.path.open("rb", buffering=0)
        except OSError as fault:
            raise ConfigurationError(
                f"cannot read {self.path}: {fault.strerror}", remedy="name a file you may read"
            ) from None
        self._seen = self._look()
        self.size_bytes = self._seen[0]
        what = json.dumps([self._recipient, str(self.path.resolve()), *self._seen])
        self._note = self._notes / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"
        with machine_faults_named(self._note):
            self.offer = self._find_offer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def confirmed(self) -> None:
        """The recipient has the file: the next time it is another transfer."""
        self._note.unlink(missing_ok=True)

    async def start_at(self, offset: int, /) -> str:
        """Go to a place and return the SHA-256, in hexadecimal, of all before it."""
        return await asyncio.to_thread(self._start_at, offset)

    async def read_into(self, room: memoryview, /) -> int:
        """Fill ``room`` with what comes next; 0 at the end. Raises BadParameter when the file was changed."""
        num_bytes = await asyncio.to_thread(self._read, room)
        if self._file.tell() > self.size_bytes or (not num_bytes and self._look() != self._seen):
            raise BadParameter(
                f"{self.path.name!r} was changed while it was sent; what was sent of it does not count",
                remedy="send it again when nobody writes to it, or send a copy",
            )
        return num_bytes

    def sha256(self) -> str:
        """Return the hash of everything up to here."""
        return self._hash.hexdigest()

    def _find_offer(self) -> str:
        try:
            match json.loads(self._note.read_text(encoding="utf-8")):
                case {"offer": str(offer)}:
                    return offer
        except (FileNotFoundError, ValueError):
            pass
        make_private_folder(self._notes)
        offer = os.urandom(16).hex()
        write_durably(self._note, json.dumps({"offer": offer}))
        return offer

    def _start_at(self, offset: int) -> str:
        self._file.seek(0)
        self._hash = hashlib.sha256()
        room = memoryview(bytearray(min(offset, READ_BYTES)))
        while offset and (num_bytes := self._read(room[: min(offset, READ_BYTES)])):
            offset -= num_bytes
        return self._hash.hexdigest()

    def _read(self, room: memoryview) -> int:
        with machine_faults_named(self.path, elsewhere="send another file"):
            done = 0
            while done < len(room) and (got := self._file.readinto(room[done:])):
                done += got
        self._hash.update(room[:done])
        return done

    def _look(self) -> tuple[int, int]:
        found = os.fstat(self._file.fileno())
        return found.st_size, found.st_mtime_ns
