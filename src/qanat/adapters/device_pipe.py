"""A device in a process of its own behind a pipe: commands go in as frames, answers come back as frames.

Who drives the device imports nothing of it: this module starts a fresh interpreter, hands it the name of a function
that opens the device (a twin, or a vendor's driver), and from then on only frames of ``ground.framing`` cross. The
process ends with this one, however that ends.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import TracebackType
from typing import Any

from qanat.adapters.process_pool import ONE_THREAD, encode_job
from qanat.ground.errors import QuantumLayerError
from qanat.ground.framing import LENGTH_BYTES, frame_length
from qanat.ground.ports import Job

ANSWER_WITHIN_S = 60.0
_JOB_LENGTH = struct.Struct(">I")


class DevicePipe:
    """Our end of the pipe; ``with DevicePipe(job) as pipe: pipe.exchange(frame)``.

    opening: an importable function and its arguments; called in the other process, it returns the device, an object
    whose ``answer(frame)`` gives the answer's frame. Blocks its caller: for commands and tests, not for event loops.
    """

    def __init__(self, opening: Job[Any], *, timeout_s: float = ANSWER_WITHIN_S) -> None:
        payload = encode_job(opening)
        self._line, theirs = socket.socketpair()
        self._line.settimeout(timeout_s)
        with theirs:
            try:
                self._process = _start(theirs)
            except OSError as fault:
                self._line.close()
                raise QuantumLayerError(
                    f"cannot start the device's process: {fault.strerror}", remedy="look for limits on processes"
                ) from None
        self._line.sendall(_JOB_LENGTH.pack(len(payload)) + payload)

    def __enter__(self) -> DevicePipe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """The process in which the device stands."""
        return self._process.pid

    def exchange(self, frame: bytes) -> bytes:
        """Hand a command over and return the answer; raises QuantumLayerError when the device is gone or silent."""
        try:
            self._line.sendall(frame)
            return read_frame(self._line)
        except TimeoutError:
            raise QuantumLayerError(
                "the device does not answer", remedy="look at its power and its cable, then start it again"
            ) from None
        except (EOFError, OSError):
            raise QuantumLayerError(
                "the device's process ended", remedy="its last words are on standard error; start it again"
            ) from None

    def close(self) -> None:
        """End the process. Idempotent."""
        self._line.close()
        self._process.kill()
        self._process.wait()


def _start(line: socket.socket) -> subprocess.Popen[bytes]:
    """Start a process that holds the other end of the line; it inherits this one's import path."""
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-P", "-m", "qanat.adapters.device_pipe", str(line.fileno())],
        stdin=subprocess.DEVNULL,
        stdout=2,  # what a driver prints must not mix with the JSON on our standard output
        pass_fds=[line.fileno()],
        env={
            **os.environ,
            **ONE_THREAD,
            "PYTHONPATH": os.pathsep.join(folder or str(Path.cwd()) for folder in sys.path),
        },
    )


def read_frame(line: socket.socket) -> bytes:
    """Return the next frame, length field included; raises EOFError at the end, FrameError for a frame too long."""
    prefix = _read(line, LENGTH_BYTES)
    return prefix + _read(line, frame_length(prefix))


def _read(line: socket.socket, num_bytes: int) -> bytes:
    parts, left = [], num_bytes
    while left:
        part = line.recv(min(left, 2**20))
        if not part:
            raise EOFError("the pipe is closed")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def main() -> None:
    """Be the device: open it as told, then answer commands until the other end closes."""
    # Ctrl-C reaches the whole process group; the other end decides when we end
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = socket.socket(fileno=int(sys.argv[1]))
    try:
        (length,) = _JOB_LENGTH.unpack(_read(line, _JOB_LENGTH.size))
        opening: Job[Any] = ForkingPickler.loads(_read(line, length))
        device = opening.function(*opening.arguments, **opening.keywords)
        while True:
            line.sendall(device.answer(read_frame(line)))
    except (EOFError, ConnectionError):
        return


if __name__ == "__main__":
    main()
