"""The inside of the process that reads a physical generator and hands its bytes out, each once, to one line.

It is the only reader of the source, and no event loop stands still while it tests and conditions. It ends with the
process that started it: the end of the *control* line ends it at once, even while it waits for a sample. By that line
it tells, as lines of JSON, that the start-up tests have passed, what it has read and given, and the fault when there is
one; it tells at once when asked (any byte), and otherwise when something has changed.
"""

from __future__ import annotations

import json
import os
import select
import selectors
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from qanat.adapters.entropy_line import ANSWER, BYTES, FAULT, KNOCK, QUESTION, fault_text
from qanat.adapters.physical_entropy import PhysicalEntropy, wipe
from qanat.ground.errors import ConfigurationError, EntropyFailed, QanatError

PIECE_BYTES: Final = 64 * 1024
"""Lines that ask for much take turns by pieces."""
TELL_PERIOD_S: Final = 0.25
END_PATIENCE_S: Final = 0.5
NICENESS: Final = 10
"""As the workers that draw: a door is to answer first."""


class Teller(threading.Thread):
    """Tells how things stand, and ends this process when nobody listens any more."""

    def __init__(self, control: socket.socket) -> None:
        super().__init__(name="control", daemon=True)
        self.source: PhysicalEntropy | None = None
        self.fault: QanatError | None = None
        self.asked_s = 0.0
        self.asked_since_s: float | None = None
        self.drawing = threading.Lock()
        """Held while the source is read, so that it can be closed between two reads."""
        self._control = control
        self._num_answers = 0
        self._told = ""
        self._telling = threading.Lock()

    def run(self) -> None:
        while True:
            if select.select([self._control], [], [], TELL_PERIOD_S)[0]:
                questions = self._heard()
                if not questions:
                    self._end()
                self._num_answers += len(questions)
            self.tell()

    def tell(self) -> None:
        """Say how things stand, unless that was said already."""
        with self._telling:
            text = json.dumps(self._record())
            if text == self._told:
                return
            try:
                self._control.sendall(text.encode() + b"\n")
            except OSError:
                os._exit(0)
            self._told = text

    def _end(self) -> None:
        """End this process. A recording keeps what was not read, unless a read is stuck just now."""
        if self.source is not None and self.drawing.acquire(timeout=END_PATIENCE_S):
            self.source.close()
        os._exit(0)

    def _heard(self) -> bytes:
        try:
            return self._control.recv(4096)
        except OSError:
            return b""

    def _record(self) -> dict[str, object]:
        source, fault, since_s = self.source, self.fault, self.asked_since_s
        running_s = 0.0 if since_s is None else time.monotonic() - since_s
        return {
            "is_ready": source is not None,
            "samples_read": source.raw_samples_read if source else 0,
            "bytes_given": source.bytes_given if source else 0,
            "asked_s": round(self.asked_s + running_s, 3),
            "fault": None if fault is None else fault.message,
            "remedy": "" if fault is None else fault.remedy,
            "is_configuration": isinstance(fault, ConfigurationError),
            "num_answers": self._num_answers,
        }


@dataclass(slots=True, eq=False)
class Line:
    """One who draws: what it still wants, what is on its way, and the question that has come so far."""

    socket: socket.socket
    wanted: int = 0
    outgoing: bytearray = field(default_factory=bytearray)
    question: bytes = b""


class Desk:
    """Serves all lines in turn from one source."""

    def __init__(self, source: PhysicalEntropy, door: socket.socket, teller: Teller) -> None:
        self._source = source
        self._door = door
        self._teller = teller
        self._selector = selectors.DefaultSelector()
        self._selector.register(door, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve for as long as this process lives."""
        while True:
            for key, events in self._selector.select():
                if key.data is None:
                    self._let_in()
                    continue
                try:
                    if events & selectors.EVENT_READ:
                        self._listen(key.data)
                    if events & selectors.EVENT_WRITE:
                        self._hand_out(key.data)
                except (OSError, EOFError):
                    self._drop(key.data)

    def _let_in(self) -> None:
        _, descriptors, _, _ = socket.recv_fds(self._door, len(KNOCK), 1)
        for descriptor in descriptors:
            line = Line(socket.socket(fileno=descriptor))
            line.socket.setblocking(False)
            self._selector.register(line.socket, selectors.EVENT_READ, line)

    def _drop(self, line: Line) -> None:
        """Forget a line that was closed, with what was on its way to it."""
        self._selector.unregister(line.socket)
        line.socket.close()
        wipe(line.outgoing)

    def _listen(self, line: Line) -> None:
        part = line.socket.recv(QUESTION.size - len(line.question))
        if not part:
            raise EOFError
        line.question += part
        if len(line.question) == QUESTION.size:
            line.wanted += QUESTION.unpack(line.question)[0]
            line.question = b""
            self._watch(line)

    def _hand_out(self, line: Line) -> None:
        if not line.outgoing and line.wanted:
            line.outgoing = self._piece(line)
        sent = line.socket.send(line.outgoing)
        left = line.outgoing[sent:]
        wipe(line.outgoing)
        line.outgoing = left
        self._watch(line)

    def _watch(self, line: Line) -> None:
        busy = selectors.EVENT_WRITE if line.outgoing or line.wanted else 0
        self._selector.modify(line.socket, selectors.EVENT_READ | busy, line)

    def _piece(self, line: Line) -> bytearray:
        """Draw the next piece for a line, as an answer; a source that has failed answers with its fault."""
        size = min(line.wanted, PIECE_BYTES)
        began_s = self._teller.asked_since_s = time.monotonic()
        try:
            with self._teller.drawing:
                data = self._source.draw(size)
        except EntropyFailed as fault:
            line.wanted = 0
            self._teller.fault = fault
            text = fault_text(fault)
            return bytearray(ANSWER.pack(FAULT, len(text)) + text)
        finally:
            self._teller.asked_s += time.monotonic() - began_s
            self._teller.asked_since_s = None
        line.wanted -= size
        answer = bytearray(ANSWER.pack(BYTES, size)) + data
        wipe(data)
        return answer


def main() -> None:
    """Read the source that the arguments name: control and door (descriptors), path, claimed min-entropy in bits."""
    control, door = (socket.socket(fileno=int(argument)) for argument in sys.argv[1:3])
    os.nice(NICENESS)
    teller = Teller(control)
    teller.start()
    try:
        source = PhysicalEntropy(Path(sys.argv[3]), min_entropy_bits=float(sys.argv[4]))
    except QanatError as fault:
        teller.fault = fault
        teller.join()  # it is told, and then this process is ended
        return
    teller.source = source
    teller.tell()
    Desk(source, door, teller).serve()


if __name__ == "__main__":
    main()
