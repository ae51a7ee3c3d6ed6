"""Where the events of a process go: memory, a file of JSON lines, and whoever listens."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from io import FileIO
from itertools import pairwise
from pathlib import Path
from types import TracebackType

from qanat.adapters.json_lines import log_line
from qanat.adapters.private_files import make_private_folder
from qanat.ground.events import Event, EventKind

OF_EACH_CALL = frozenset(
    {EventKind.KEY_ASKED, EventKind.CLASSICAL_ROUTE_FOUND, EventKind.KEY_GIVEN, EventKind.KEYS_DELIVERED}
)
"""A busy door says so some ten thousand times a second, and a call of the system costs it more than ten lines."""
WRITE_AFTER_S = 0.01
MAX_FILE_BYTES = 2**26
FILES_KEPT = 8
"""A file that has grown to ``MAX_FILE_BYTES`` becomes NAME.1, the one before it NAME.2, and so on to the last that is
kept: a busy door would fill a disk within days. What must stay whole is in the audit log."""


class EventLog:
    """An event sink. ``keep`` holds events in memory (a demo); a path writes one JSON object per line.

    A line is handed to the operating system at once, or, where the log was entered inside an event loop, at the end of
    the loop's turn with the others of that turn; what is said of each call of a door waits ``WRITE_AFTER_S`` at most. A
    killed process may lose those few. (The audit log loses none of a delivery.)

    A sink never raises: a full disk costs lines of the log, never the work that they tell of. ``num_lost`` counts them,
    and the first line that can be written again says how many there were.
    """

    def __init__(self, *, path: Path | None = None, keep: bool = False) -> None:
        self.events: list[Event] = []
        self._keep = keep
        self._path = path
        self._file: FileIO | None = None
        self._may_grow_to = MAX_FILE_BYTES
        self._listeners: list[Callable[[Event], None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lines: list[str] = []
        self.num_lost = 0

    def __enter__(self) -> EventLog:
        if self._path is not None:
            make_private_folder(self._path.parent)
            self._file = self._path.open("ab", buffering=0)
            with contextlib.suppress(RuntimeError):
                self._loop = asyncio.get_running_loop()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop = None
        self._write()
        if self._file is not None:
            self._file.close()
            self._file = None

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Have ``listener`` called with every event from now on."""
        self._listeners.append(listener)

    def forget(self, listener: Callable[[Event], None]) -> None:
        """Call ``listener`` no more; it must have been listening."""
        self._listeners.remove(listener)

    def _add(self, line: str, *, may_wait: bool) -> None:
        """Have a line written, at the end of the loop's turn where there is a loop, or soon after."""
        self._lines.append(line)
        if self._loop is None or self._loop.is_closed():
            self._write()
        elif not may_wait:
            self._loop.call_soon(self._write)
        elif len(self._lines) == 1:
            self._loop.call_later(WRITE_AFTER_S, self._write)

    def _write(self) -> None:
        """Append the lines that wait, or count them as lost; an unbuffered write keeps nothing for later."""
        lines, self._lines = self._lines, []
        if self._file is None or not lines:
            return
        note = json.dumps({"kind": "events-lost", "number": self.num_lost}) + "\n" if self.num_lost else ""
        data = (note + "".join(lines)).encode()
        try:
            written = self._file.write(data)
        except OSError:
            self.num_lost += len(lines)
            return
        self.num_lost = 0 if written == len(data) else self.num_lost + len(lines)
        with contextlib.suppress(OSError):  # what is no file has no end
            if self._file.tell() >= self._may_grow_to:
                self._begin_anew()

    def _begin_anew(self) -> None:
        """Put the file aside and begin another. Where that cannot be, it grows on by as much before the next try."""
        assert self._path is not None
        assert self._file is not None
        kept = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, FILES_KEPT))]
        try:
            for here, there in reversed([*pairwise(kept)]):
                if here.exists():
                    here.replace(there)
            fresh = self._path.open("ab", buffering=0)
        except OSError:
            self._may_grow_to = self._file.tell() + MAX_FILE_BYTES
            return
        self._file.close()
        self._file, self._may_grow_to = fresh, MAX_FILE_BYTES

    def __call__(self, event: Event) -> None:
        if self._keep:
            self.events.append(event)
        if self._path is not None and not _is_progress(event):
            self._add(log_line(event) + "\n", may_wait=event.kind in OF_EACH_CALL)
        for listener in self._listeners:
            listener(event)


def _is_progress(event: Event) -> bool:
    """Whether an event only says how far a block has come: for who watches, not for the file."""
    return event.kind is EventKind.LINK_QUALITY and event.data.get("progress") != 1
