"""The Entropy port in a worker process: asks the one process that reads the generator (``entropy_process``).

Workers inherit the *door*, one end of a pair of datagram sockets that has no name and that nobody else can reach. Who
wants to draw makes a pair of stream sockets, hands one through the door, and asks on the other:

    question = number of bytes (u32, big-endian)
    answer = kind (u8) length (u32, big-endian) payload; BYTES as often as it takes, or FAULT (JSON: message, remedy)

What was asked for and not read dies with the line: bytes are handed out once, to one process. A reader that draws
slowly holds up nobody, and one that waits for a slow generator simply waits.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any, Final

from qanat.adapters.physical_entropy import REMEDY, wipe
from qanat.ground.errors import EntropyFailed
from qanat.ground.keys import SecretBytes

QUESTION: Final = struct.Struct(">I")
ANSWER: Final = struct.Struct(">BI")
BYTES: Final = 1
FAULT: Final = 2
BATCH_BYTES: Final = 4096
"""Small draws share a question of this size; what is left of it is wiped when the line closes."""
MOST_BYTES: Final = 2**30
"""Of one question; a larger draw asks again."""
KNOCK: Final = b"line"


class SharedEntropy:
    """Draws from the generator of another process; it travels to a worker as the door's descriptor and nothing else.

    door: a descriptor that this process was started with. Blocks until the bytes are there; use it from one thread.
    """

    def __init__(self, door: int) -> None:
        self._door = door
        self._line: socket.socket | None = None
        self._ready = bytearray()

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows; raises EntropyFailed when the generator has failed."""
        data = self._draw(num_bytes)
        secret = SecretBytes(data)
        wipe(data)
        return secret

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes that may be told once they have been used; raises as ``secret_bytes``."""
        return bytes(self._draw(num_bytes))

    def close(self) -> None:
        """Hang up and wipe what was not given. Idempotent; a later draw calls again."""
        wipe(self._ready)
        self._ready = bytearray()
        if self._line is not None:
            self._line.close()
            self._line = None

    def __del__(self) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedEntropy, (self._door,)

    # --- inside ---

    def _draw(self, num_bytes: int) -> bytearray:
        data = bytearray(num_bytes)
        begun = min(num_bytes, len(self._ready))
        self._give(data, 0, begun)
        try:
            done = begun
            while num_bytes - done >= BATCH_BYTES:
                size = min(num_bytes - done, MOST_BYTES)
                self._ask(memoryview(data)[done : done + size])
                done += size
            if done < num_bytes:
                self._ready = bytearray(BATCH_BYTES)
                self._ask(memoryview(self._ready))
                self._give(data, done, num_bytes - done)
        except BaseException:  # half of what was asked is nothing
            wipe(data)
            self.close()
            raise
        return data

    def _give(self, data: bytearray, start: int, num_bytes: int) -> None:
        """Move the first ready bytes into ``data``."""
        data[start : start + num_bytes] = self._ready[:num_bytes]
        left = self._ready[num_bytes:]
        wipe(self._ready)
        self._ready = left

    def _ask(self, room: memoryview) -> None:
        """Fill ``room``."""
        try:
            line = self._line = self._line or _call(self._door)
            line.sendall(QUESTION.pack(len(room)))
            done = 0
            while done < len(room):
                kind, length = ANSWER.unpack(_received(line, memoryview(bytearray(ANSWER.size))))
                if kind == FAULT:
                    raise told_fault(bytes(_received(line, memoryview(bytearray(length)))))
                _received(line, room[done : done + length])
                done += length
        except (OSError, EOFError):
            raise EntropyFailed("the process that reads the entropy source has ended", remedy=REMEDY) from None


def fault_text(fault: EntropyFailed) -> bytes:
    """Return a fault as it is told."""
    return json.dumps({"message": fault.message, "remedy": fault.remedy}).encode()


def told_fault(text: bytes) -> EntropyFailed:
    """Return the fault that was told."""
    told = json.loads(text)
    return EntropyFailed(told["message"], remedy=told["remedy"])


def _call(door: int) -> socket.socket:
    """Open a line through the door."""
    ours, theirs = socket.socketpair()
    try:
        with theirs, socket.socket(fileno=os.dup(door)) as knocker:
            socket.send_fds(knocker, [KNOCK], [theirs.fileno()])
    except OSError:
        ours.close()
        raise
    return ours


def _received(line: socket.socket, room: memoryview) -> memoryview:
    """Fill ``room`` from the line; raises EOFError when it ends before."""
    done = 0
    while done < len(room):
        part = line.recv_into(room[done:])
        if not part:
            raise EOFError
        done += part
    return room
