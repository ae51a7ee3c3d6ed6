"""The inside of a worker process: takes jobs from its parent by a socket, and dies with its parent.

    message = length (u64, big-endian) kind (u8) payload

Payloads are pickled: parent and worker are one program, and nobody else holds an end of this socket.
"""

from __future__ import annotations

import contextlib
import enum
import os
import queue
import socket
import struct
import sys
import threading
import traceback
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, TypeAlias

from qanat.ground.errors import QuantumLayerError
from qanat.ground.ports import Job

PREFIX = struct.Struct(">QB")
STREAM_WINDOW = 2
"""How many values a stream may be ahead of its reader: one on its way while the next is being made."""


class Kind(enum.IntEnum):
    """Kinds of message; the first four go to the worker, the others come back."""

    RUN = 1
    STREAM = 2
    MORE = 3
    """The reader took a value."""
    STOP = 4
    """Close the stream at its next value."""
    RESULT = 5
    RAISED = 6
    VALUE = 7
    END = 8
    """The stream's generator ended by itself."""
    STOPPED = 9


Inbox: TypeAlias = "queue.SimpleQueue[tuple[Kind, bytes]]"


def main() -> None:
    """Serve the socket whose descriptor is the first argument, at the niceness that is the second.

    The parent starts this process with the signals of a group's stop held back; the end of the socket ends it.
    """
    descriptor, niceness = (int(argument) for argument in sys.argv[1:])
    os.nice(niceness)
    line = socket.socket(fileno=descriptor)
    inbox: Inbox = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(line, inbox), name="parent", daemon=True).start()
    while True:
        kind, payload = inbox.get()
        if kind not in (Kind.RUN, Kind.STREAM):
            continue  # said to a stream that had ended meanwhile
        carried = _Carried()
        with carried:
            job: Job[Any] = ForkingPickler.loads(payload)
            if kind is Kind.STREAM:
                _stream(job, line, inbox)
            else:
                _send(line, Kind.RESULT, ForkingPickler.dumps(job.function(*job.arguments, **job.keywords)))
        if carried.fault is not None:
            _send(line, Kind.RAISED, _encode_fault(carried.fault))


class _Carried:
    """The border between two processes: whatever a job raises is caught here, to be raised again at the other side."""

    def __init__(self) -> None:
        self.fault: BaseException | None = None

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self.fault = fault
        return True


def _stream(job: Job[Any], line: socket.socket, inbox: Inbox) -> None:
    credit = STREAM_WINDOW
    with contextlib.closing(job.function(*job.arguments, **job.keywords)) as values:
        for value in values:
            while credit == 0 or not inbox.empty():
                kind, _ = inbox.get()
                if kind is Kind.STOP:
                    values.close()
                    _send(line, Kind.STOPPED)
                    return
                credit += 1
            _send(line, Kind.VALUE, ForkingPickler.dumps(value))
            credit -= 1
    _send(line, Kind.END)


def _listen(line: socket.socket, inbox: Inbox) -> None:
    """Read what the parent says; when it is gone, end this process at once, whatever it computes."""
    with line.makefile("rb") as reader, contextlib.suppress(OSError):
        while prefix := reader.read(PREFIX.size):
            length, kind = PREFIX.unpack(prefix)
            inbox.put((Kind(kind), reader.read(length)))
    os._exit(0)


def _send(line: socket.socket, kind: Kind, payload: bytes | memoryview = b"") -> None:
    line.sendall(PREFIX.pack(len(payload), kind))
    line.sendall(payload)


def _encode_fault(fault: BaseException) -> bytes:
    """Return an error, with its traceback as a note, pickled; one that does not pickle is told in words."""
    fault.add_note("in the worker process:\n" + "".join(traceback.format_exception(fault)))
    if isinstance(fault, Exception):  # not SystemExit and the like, which would end the parent
        with _Carried():
            data = bytes(ForkingPickler.dumps(fault))
            ForkingPickler.loads(data)
            return data
    told = QuantumLayerError(f"a job raised {type(fault).__name__}: {fault}")
    for note in fault.__notes__:
        told.add_note(note)
    return bytes(ForkingPickler.dumps(told))


if __name__ == "__main__":
    main()
