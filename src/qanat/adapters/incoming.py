"""The folder that files come into, for the services' ports ``Arrivals`` and ``Arrival``.

    <folder>/<name>                          files, whole
    <folder>/.qanat-incoming/<offer>.part    what has come of a file
    <folder>/.qanat-incoming/<offer>.json    {"sender", "name", "size_bytes", "state": "coming" | "naming" | "here"}

A part is written under its offer until it is whole. Then its last name is noted ("naming"), it is linked to that name,
which fails where a file has it, and noted as "here". Whenever the process is killed between two of these steps, the
next start or the sender's next try ends them; a file gets its name once. Notes of files that are here are kept for
NOTES_KEPT_S, parts that nobody goes on with for as long.

A file is taken only where it fits beside what the others that are coming in still need. A sender has so many parts: for
a new one its oldest, over which nothing comes in now, makes way; where something comes in over all of them, a new one
waits for a place. A file has its place before its part is touched. A part belongs to one process at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TypeAlias

from qanat.adapters.durable_files import sync_folder, write_durably
from qanat.adapters.machine_faults import machine_faults_named
from qanat.ground.errors import NoPlaceNow, PeerProtocolError
from qanat.ground.identifiers import SaeId

HIDDEN = ".qanat-incoming"
NOTES_KEPT_S = 30 * 86_400.0
READ_BYTES = 2**20
MOST_NAMES = 10_000
MOST_NAME_BYTES = 255
MOST_PARTS = 64
"""Of one sender, whole files not counted."""
PLACE_WAIT_S = 30.0
"""So long one more waits until one of these has come: shorter than its sender waits for a word."""
SPARE_BYTES = 64 * 2**20
"""So much of the disk is left free, for notes, texts and whatever else lives there."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

Check: TypeAlias = Callable[[Path], None]
"""Looks at a file that has come, before it gets its name; raises PeerProtocolError, and the file is dropped."""


class IncomingFolder:
    """Files that come into one folder, from any number of senders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._hidden = folder / HIDDEN
        self._open: dict[str, IncomingFile] = {}
        """Those that have a place; their parts may not be there yet."""
        self._freed = asyncio.Event()
        with machine_faults_named(folder):
            self._hidden.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._clean()

    async def expect(
        self, *, sender: SaeId, offer: str, name: str, size_bytes: int, check: Check | None = None
    ) -> IncomingFile | str:
        """Return the place of a file, or the name under which it lies here already.

        A line over which it has been coming in until now comes to nothing: the sender went on to this one. Raises
        PeerProtocolError when the offer is another sender's, was made for another file, or is coming in to another
        process, and when the file does not fit on the disk; NoPlaceNow when too many of this sender's are coming in.
        """
        name = _visible(name)
        arriving = IncomingFile(
            self, self._hidden / offer, sender=sender, name=name, size_bytes=size_bytes, check=check
        )
        with machine_faults_named(self.folder / name):
            if (there := arriving.settle(is_open=offer in self._open)) is not None:
                return there
            try:
                await self._take_place(arriving, offer)
                # while it waited, the line before may have ended the file, or its part made way, with the note
                if (there := arriving.settle()) is not None:
                    await arriving.close()
                    return there
                self._make_way(await asyncio.to_thread(self._idle_parts, sender), sender, offer)
                await asyncio.to_thread(arriving.open)
                self._check_room(arriving)
            except BaseException:
                await arriving.close()
                if offer not in self._open:
                    arriving.drop_if_empty()
                raise
        return arriving

    def let_go(self, offer: str, file: IncomingFile) -> None:
        """The file of an offer is no longer open."""
        if self._open.get(offer) is file:
            del self._open[offer]
            self._freed.set()
            self._freed = asyncio.Event()

    async def _take_place(self, arriving: IncomingFile, offer: str) -> None:
        """Wait until less than MOST_PARTS others of this sender are open, and be open; raises NoPlaceNow."""
        try:
            async with asyncio.timeout(PLACE_WAIT_S):
                while self._num_open(arriving.sender, offer) >= MOST_PARTS:
                    await self._freed.wait()
        except TimeoutError:
            raise NoPlaceNow(
                f"{MOST_PARTS} files of {arriving.sender} are coming in already",
                remedy="send it again when some of them have come",
            ) from None
        if before := self._open.get(offer):
            await before.close()
        self._open[offer] = arriving

    def _num_open(self, sender: SaeId, but: str) -> int:
        return sum(file.sender == sender and offer != but for offer, file in self._open.items())

    def _check_room(self, arriving: IncomingFile) -> None:
        """Raise PeerProtocolError unless the disk takes all of it, and of those that are coming in beside it."""
        others = sum(other.missing_bytes for other in self._open.values() if other.has_room)
        free = max(0, shutil.disk_usage(self.folder).free - SPARE_BYTES - others)
        if arriving.missing_bytes > free:
            raise PeerProtocolError(
                f"a file of {arriving.size_bytes:,} bytes does not fit: the recipient has room for {free:,} "
                f"beside what is coming in and the {SPARE_BYTES // 2**20} MiB of its disk that it leaves free",
                remedy="send less, or let the recipient make room on its disk",
            )
        arriving.has_room = True

    def _idle_parts(self, sender: SaeId) -> list[Path]:
        """Return this sender's parts over which nothing comes in, the oldest first."""
        aged = []
        for path in self._hidden.glob("*.part"):
            if path.stem not in self._open and _sender_of(path) == sender:
                with contextlib.suppress(FileNotFoundError):  # it made way for another file meanwhile
                    aged.append((path.stat().st_mtime, path))
        return [path for _, path in sorted(aged)]

    def _make_way(self, idle: list[Path], sender: SaeId, offer: str) -> None:
        """See to it that the sender has less than MOST_PARTS besides this one.

        It runs in the event loop, where files are opened too: none of these has been opened since it was looked at.
        """
        left = [path for path in idle if path.stem not in self._open and path.exists()]
        for path in left[: max(0, len(left) + self._num_open(sender, offer) - MOST_PARTS + 1)]:
            path.unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)

    def _clean(self) -> None:
        """Remove what nobody came back for."""
        limit_s = time.time() - NOTES_KEPT_S
        for path in self._hidden.iterdir():
            if path.stat().st_mtime < limit_s:
                path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class CheckedFolder:
    """The same folder for a service whose files are looked at before they get their names."""

    folder: IncomingFolder
    check: Check

    async def expect(self, *, sender: SaeId, offer: str, name: str, size_bytes: int) -> IncomingFile | str:
        """See ``IncomingFolder.expect``."""
        return await self.folder.expect(sender=sender, offer=offer, name=name, size_bytes=size_bytes, check=self.check)


class IncomingFile:
    """One file that comes in."""

    def __init__(
        self,
        home: IncomingFolder,
        stem: Path,
        *,
        sender: SaeId,
        name: str,
        size_bytes: int,
        check: Check | None = None,
    ) -> None:
        self.have_bytes = 0
        self.sender = sender
        self.has_room = False
        """Whether the disk was found to take it: what it still needs is kept for it from then on."""
        self._home = home
        self._check = check
        self._part = stem.with_suffix(".part")
        self._note = stem.with_suffix(".json")
        self.size_bytes = size_bytes
        self._told = {"name": name, "sender": sender, "size_bytes": size_bytes}
        self._hash = hashlib.sha256()
        self._file: FileIO | None = None
        self._lock = threading.Lock()
        self._is_closed = False

    @property
    def missing_bytes(self) -> int:
        """What has not come yet."""
        return max(0, self.size_bytes - self.have_bytes)

    def drop_if_empty(self) -> None:
        """Leave nothing on the disk of a file of which nothing came, here or to another process that writes it."""
        try:
            with self._part.open("rb", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if file.read(1):
                    return
                self._part.unlink(missing_ok=True)
        except BlockingIOError:
            return
        except FileNotFoundError:
            pass
        self._note.unlink(missing_ok=True)

    def settle(self, *, is_open: bool = False) -> str | None:
        """End what a killed process began; return the file's name when it is here.

        ``is_open``: it is coming in over another line, which may be giving it its name just now: that is left to it.
        """
        if not self._note.exists():
            self._write_note("coming")
            return None
        note = json.loads(self._note.read_text(encoding="utf-8"))
        if {key: note.get(key) for key in self._told if key != "name"} != {
            key: value for key, value in self._told.items() if key != "name"
        }:
            raise PeerProtocolError("this offer was made for another file", remedy="let the sender begin anew")
        if note["state"] == "naming" and not is_open:
            return self._link(str(note["as"]))
        return str(note["as"]) if note["state"] == "here" else None

    def open(self) -> None:
        """Open the part and hash what is in it.

        Raises PeerProtocolError when another process writes it, or when it was closed meanwhile.
        """
        with self._lock:
            if self._is_closed:
                raise _went_on()
            self._file = file = self._part.open("a+b", buffering=0)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise PeerProtocolError(
                    "this file is coming in to another process of the recipient's", remedy="let the recipient end one"
                ) from None
            file.seek(0)
        while self._hash_on():
            pass
        if self.have_bytes > self.size_bytes:
            self._forget_all()

    def _hash_on(self) -> bool:
        """Hash some more of what is here; returns whether there was more."""
        with self._lock:
            data = self._opened().read(READ_BYTES)
            self._hash.update(data)
            self.have_bytes += len(data)
        return bool(data)

    async def sha256(self) -> str:
        """Return the SHA-256 of what is here."""
        return self._hash.hexdigest()

    async def restart(self) -> None:
        """Forget what is here."""
        with machine_faults_named(self._named()):
            self._forget_all()

    async def write(self, content: bytes | bytearray | memoryview, /) -> None:
        """Append; raises MachineFault when the disk does not take it. A full disk gets back what came so far."""
        with machine_faults_named(self._named()):
            try:
                await asyncio.to_thread(self._append, memoryview(content))
            except OSError as fault:
                if fault.errno in DISK_FULL:
                    self._forget_all()
                raise

    async def finish(self) -> str:
        """Give the file its name, durably, and return it: with a number where a file of that name is there."""
        with machine_faults_named(self._named()):
            return await asyncio.to_thread(self._finish)

    async def close(self) -> None:
        """Let go of it; what is here stays."""
        with self._lock:  # a thread may be writing
            self._is_closed = True
            if self._file is not None:
                self._file.close()
                self._file = None
        self._home.let_go(self._part.stem, self)

    def _named(self) -> Path:
        return self._home.folder / str(self._told["name"])

    def _append(self, content: memoryview) -> None:
        with self._lock:
            file = self._opened()
            self._hash.update(content)
            while content:
                written = file.write(content)
                self.have_bytes += written
                content = content[written:]

    def _opened(self) -> FileIO:
        if self._file is None:
            raise _went_on()
        return self._file

    def _forget_all(self) -> None:
        self._opened().truncate(0)
        self._hash, self.have_bytes = hashlib.sha256(), 0

    def _finish(self) -> str:
        with self._lock:
            os.fsync(self._opened().fileno())
            self._look_at_it()
            return self._link(str(self._told["name"]))

    def _look_at_it(self) -> None:
        if self._check is not None:
            try:
                self._check(self._part)
            except PeerProtocolError:
                self._forget_all()
                raise

    def _link(self, name: str) -> str:
        """Give the part its name, and note that it has it."""
        for number in range(1, MOST_NAMES):
            target = self._home.folder / (name if number == 1 else _numbered(name, number))
            self._write_note("naming", name=name)
            try:
                os.link(self._part, target)
            except FileExistsError:
                if not _is_same(self._part, target):
                    continue
            sync_folder(self._home.folder)
            self._write_note("here", name=target.name)
            self._part.unlink(missing_ok=True)
            return target.name
        raise PeerProtocolError(f"there are {MOST_NAMES} files called {name!r}", remedy="tidy the folder up")

    def _write_note(self, state: str, *, name: str = "") -> None:
        write_durably(self._note, json.dumps(self._told | {"state": state, "as": name}))


def _went_on() -> PeerProtocolError:
    return PeerProtocolError("the sender went on over another line", remedy="nothing: it goes on there")


def _numbered(name: str, number: int) -> str:
    """Return another name for a file: ``film.bin`` becomes ``film (2).bin``."""
    path = Path(name)
    end = f" ({number}){path.suffix}"
    if len(end.encode()) > MOST_NAME_BYTES // 2:  # what follows the last dot is no suffix that anybody knows
        path, end = Path(name.replace(".", "_")), f" ({number})"
    return path.stem.encode()[: MOST_NAME_BYTES - len(end.encode())].decode(errors="ignore") + end


def _visible(name: str) -> str:
    """Return a name that hides no file: '_' for each dot at its beginning."""
    bare = name.lstrip(".")
    return "_" * (len(name) - len(bare)) + bare


def _is_same(part: Path, target: Path) -> bool:
    """Return whether both are names of one file; a link that points nowhere is a file of its own."""
    try:
        return os.path.samestat(part.lstat(), target.lstat())
    except FileNotFoundError:
        return False


def _sender_of(part: Path) -> str | None:
    """Return whose part it is; None where no note says it."""
    try:
        return str(json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))["sender"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
