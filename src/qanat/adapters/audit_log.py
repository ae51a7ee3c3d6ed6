"""The audit log of one site: an event sink that chains what matters into files, and keeps them through crashes.

When a line is safe: that of a delivery is handed to the operating system, with all lines before it, before the key
leaves the door; a process that is killed loses none of a key that somebody has. A door that promises to call
``write_out`` before any byte goes out has so the deliveries of one turn of its loop written at once; without a promise
a delivery is written before its event's maker goes on. Other lines go with the next delivery or within
``WRITE_AFTER_S``, since a call of the system for each would cost a busy door more than the line itself. A thread brings
it to the disk (fsync), and the head after it, within ``SYNC_PERIOD_S``: a power cut may take the lines of that time.
(The key store is stricter: a key is marked as supplied on the disk before it leaves, so what the audit log loses is the
account of a delivery, never its being the only one.)

A line that was half written when the process died is ended, and the first line of the next start names it by length
and hash. A disk that is full costs lines and not keys: the first line that can be written again says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from qanat.adapters.audit_chain import (
    FILE_BEGUN,
    HEAD_NAME,
    LINES_LOST,
    START,
    TAIL_MISSING,
    TORN,
    Head,
    audit_files,
    file_name,
    file_number,
    opened_line,
    read_head,
    sealed_line,
)
from qanat.adapters.json_lines import audit_fields, fields_of
from qanat.adapters.machine_faults import machine_faults_named
from qanat.adapters.private_files import make_private_folder
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import NodeId

WRITE_AFTER_S = 0.01
SYNC_PERIOD_S = 0.1
MAX_FILE_BYTES = 64 * 2**20
"""A file that is longer ends, and the chain goes on in the next one."""
FOLDER = "audit"

NOT_AUDITED = frozenset(
    {
        EventKind.LINK_QUALITY,
        EventKind.BLOCK_DISTILLED,
        EventKind.POOL_FILLING,
        EventKind.CLASSICAL_ROUTE_FOUND,
        EventKind.MESSAGE_ENCODED,
        EventKind.MESSAGE_DELIVERED,
        EventKind.KEY_STORED,
    }
)
"""How work goes on. All other events say who asked, who was given or refused what, what came, went or was ordered."""
WRITTEN_AT_ONCE = frozenset({EventKind.KEYS_DELIVERED})


class AuditLog:
    """An event sink for the events of one node; it never raises. ``with AuditLog(...) as log``."""

    def __init__(
        self,
        folder: Path,
        *,
        node: NodeId,
        max_file_bytes: int = MAX_FILE_BYTES,
        on_lost: Callable[[str], None] = lambda _: None,
        written_out_first: bool = False,
    ) -> None:
        """``on_lost`` hears why, once for all lines in a row that could not be written. ``written_out_first``: whoever
        lets keys out calls ``write_out`` first, in the event loop in which the log was entered."""
        self._at_once = frozenset[EventKind]() if written_out_first else WRITTEN_AT_ONCE
        self._on_lost = on_lost
        self.folder = folder
        self.num_lost = 0
        self._node = node
        self._max_file_bytes = max_file_bytes
        self._head = START
        self._synced: Head | None = None
        self._number = 1
        self._descriptor = -1
        self._num_bytes = 0
        self._number_in_folder = 0
        self._waiting: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._ending = threading.Event()
        self._syncing = threading.Thread(target=self._keep_synced, name=f"audit of {node}", daemon=True)

    @property
    def head(self) -> Head:
        """The last line's number and hash; ``START`` before the first."""
        return self._head

    def __enter__(self) -> AuditLog:
        """Open the files, find the end of the chain, record what a crash left. Raises MachineFault."""
        with machine_faults_named(self.folder):
            make_private_folder(self.folder)
            left = self._find_end()
            self._open()
            if left is not None:
                self._note(*left)
            self._note_missing()
            if not (self.folder / HEAD_NAME).exists():
                self._write_head(START)
        self._syncing.start()
        self._changed.set()  # what is new reaches the disk in the thread: a site that is woken does not wait for it
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_running_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop = None
        self.write_out()
        self._ending.set()
        self._changed.set()
        if self._syncing.is_alive():
            self._syncing.join()
        with contextlib.suppress(OSError):
            self._sync()
        with self._lock:
            os.close(self._descriptor)
            self._descriptor = -1

    def __call__(self, event: Event) -> None:
        if event.node != self._node or event.kind in NOT_AUDITED:
            return
        try:
            self._waiting.append(audit_fields(event))
        except (TypeError, ValueError) as fault:
            self._lose(1, str(fault))
            return
        if self._loop is None or self._loop.is_closed() or event.kind in self._at_once:
            self.write_out()
        elif len(self._waiting) == 1:
            self._loop.call_later(WRITE_AFTER_S, self.write_out)

    def write_out(self) -> None:
        """Append the lines that wait, all or none of them."""
        if not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        with self._lock:
            if self._descriptor < 0:
                return
            try:
                if self._num_bytes > self._max_file_bytes:
                    self._begin_next_file()
                if self.num_lost:
                    self._note(LINES_LOST, {"number": self.num_lost})
                    self.num_lost = 0
                self._write(lines)
            except OSError as fault:
                why_lost = str(fault)
            else:
                self._changed.set()
                return
        self._lose(len(lines), why_lost)

    # --- inside ---

    def _lose(self, number: int, why: str) -> None:
        """Count lines that could not be written, and say why, once for all in a row."""
        self.num_lost += number
        if self.num_lost == number:
            self._on_lost(why)

    def _write(self, lines: Sequence[str]) -> None:
        """Append lines whole, or nothing of them."""
        sealed, head = [], self._head
        for fields in lines:
            line, head = sealed_line(fields, head)
            sealed.append(line)
        data = b"".join(sealed)
        written = os.write(self._descriptor, data)
        if written != len(data):
            os.ftruncate(self._descriptor, self._num_bytes)
            raise OSError("the disk took a part of the line")
        self._head = head
        self._num_bytes += written

    def _note(self, kind: str, data: Mapping[str, object]) -> None:
        self._write([fields_of({"kind": kind, "node": self._node, "data": data})])

    def _begin_next_file(self) -> None:
        os.fsync(self._descriptor)
        before, number = self._descriptor, self._number
        self._number += 1
        try:
            self._open()
        except OSError:
            self._descriptor, self._number = before, number
            raise
        os.close(before)
        self._note(FILE_BEGUN, {"after": file_name(number)})

    def _open(self) -> None:
        path = self.folder / file_name(self._number)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._num_bytes = os.fstat(self._descriptor).st_size

    def _find_end(self) -> tuple[str, Mapping[str, object]] | None:
        """Find the last whole line; return what to say of a torn one after it."""
        try:
            files = audit_files(self.folder)
        except ConfigurationError:
            return None
        self._number = file_number(files[-1])
        for path in reversed(files):
            lines = path.read_bytes().splitlines(keepends=True)
            left = _ended(path, lines) if path == files[-1] else None
            for line in reversed(lines):
                try:
                    fields, digest = opened_line(line.rstrip(b"\n"))
                except ValueError:
                    continue
                self._head = Head(int(str(fields["n"])), digest)
                return left
            if left is not None:
                return left
        return None

    def _note_missing(self) -> None:
        """Record that lines are missing at the end which the head knows."""
        try:
            stored = read_head(self.folder)
        except ValueError as fault:
            self._note(TAIL_MISSING, {"missing": None, "why": str(fault)})
            return
        if stored is not None and stored.count > self._head.count:
            self._note(TAIL_MISSING, {"missing": stored.count - self._head.count, "head": stored.text})

    def _keep_synced(self) -> None:
        while not self._ending.is_set():
            self._changed.wait()
            self._changed.clear()
            self._ending.wait(SYNC_PERIOD_S)  # one fsync for all that comes meanwhile
            try:
                self._sync()
            except OSError:
                self._changed.set()  # tried again: a full disk may get room

    def _sync(self) -> None:
        """Bring the lines to the disk, then the head: so a head never names a line that a power cut could take."""
        with self._lock:
            head, number = self._head, self._number
            if head == self._synced:
                return
            descriptor = os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if number != self._number_in_folder:
            _sync_folder(self.folder)
            self._number_in_folder = number
        self._write_head(head, sync=os.fsync)
        self._synced = head

    def _write_head(self, head: Head, *, sync: Callable[[int], None] = lambda _: None) -> None:
        partial = self.folder / f"{HEAD_NAME}.part"
        with partial.open("wb") as file:
            file.write(json.dumps({"count": head.count, "sha256": head.sha256}).encode() + b"\n")
            file.flush()
            sync(file.fileno())
        partial.rename(self.folder / HEAD_NAME)


def _ended(path: Path, lines: list[bytes]) -> tuple[str, Mapping[str, object]] | None:
    """End a last line that has no end; return what to say of the broken ones at the end, None without any."""
    if lines and not lines[-1].endswith(b"\n"):
        with path.open("ab") as file:
            file.write(b"\n")
        lines[-1] += b"\n"
    num_whole = len(lines)
    while num_whole and not _is_whole(lines[num_whole - 1]):
        num_whole -= 1
    torn = b"".join(lines[num_whole:])
    return (TORN, {"num_bytes": len(torn), "sha256": hashlib.sha256(torn).hexdigest()}) if torn else None


def _is_whole(line: bytes) -> bool:
    try:
        opened_line(line.rstrip(b"\n"))
    except ValueError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
