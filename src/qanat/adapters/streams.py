"""Frames on a byte stream, and sockets that notice a dead peer: what channels and transport share."""

from __future__ import annotations

import asyncio
import socket

from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.framing import LENGTH_BYTES, frame_length

STREAM_BUFFER_BYTES = 2**20
DEAD_PEER_TIMEOUT_S = 10
READ_BYTES = 2**16
STALL_TIMEOUT_S = 30
"""As long as a sender waits for a peer that takes nothing: a process that is held up may go on after that."""
LAST_LOOK_S = 0.05
_PROBES = 3
_PROBE_EVERY_S = 2


class FrameReader:
    """Cuts a stream into frames. A call that is cancelled loses nothing: the next goes on where it stopped."""

    def __init__(self, reader: asyncio.StreamReader, *, max_frame_bytes: int, stall_s: float = STALL_TIMEOUT_S) -> None:
        """``stall_s``: how long a frame that has begun may stand still. Between frames a peer may be silent."""
        self._reader = reader
        self._max_frame_bytes = max_frame_bytes
        self._stall_s = stall_s
        self._partial = bytearray()
        """What was read and not given out: the beginning of the next frame, or more."""
        self.num_bytes_read = 0
        """Of all frames, also of one that has only begun."""

    async def next_frame(self) -> bytes:
        """Return the next whole frame, length field included.

        Raises ChannelClosed at the end of the stream, or when a frame that has begun stands still (a length that was
        altered on the way waits for bytes that nobody sends), FrameError when a frame says that it is too long.
        """
        try:
            await self._fill(LENGTH_BYTES)
            length = frame_length(bytes(self._partial[:LENGTH_BYTES]))
            if length + LENGTH_BYTES > self._max_frame_bytes:
                raise FrameError(f"a frame of {length} bytes; this side takes {self._max_frame_bytes}")
            await self._fill(LENGTH_BYTES + length)
        except OSError as fault:
            raise ChannelClosed(f"the channel broke: {fault}") from None
        frame = bytes(memoryview(self._partial)[: LENGTH_BYTES + length])
        del self._partial[: len(frame)]
        return frame

    async def _fill(self, num_bytes: int) -> None:
        """Read until so many bytes of the frame are there, at least."""
        while (missing := num_bytes - len(self._partial)) > 0:
            at_once = max(missing, READ_BYTES)  # short frames that came together are read together
            data = await (self._soon(at_once) if self._partial else self._reader.read(at_once))
            if not data:
                where = "inside a frame" if self._partial else "between frames"
                raise ChannelClosed(f"the peer closed the channel {where}")
            self._partial += data
            self.num_bytes_read += len(data)

    async def _soon(self, most_bytes: int) -> bytes:
        """Return the next bytes of a frame that has begun; raises ChannelClosed when none come in time."""
        for limit_s in (self._stall_s, LAST_LOOK_S):  # where this process itself stood still, what came is taken first
            try:
                async with asyncio.timeout(limit_s):
                    return await self._reader.read(most_bytes)
            except TimeoutError as fault:
                if not is_own_limit(fault):
                    raise
        raise ChannelClosed(f"a frame began and stood still for {self._stall_s:g} s")


def is_own_limit(fault: OSError) -> bool:
    """Return whether ``asyncio.timeout`` raised it: when the kernel gives a connection up, that is a TimeoutError too,
    and has a number."""
    return isinstance(fault, TimeoutError) and fault.errno is None


def notice_dead_peer(writer: asyncio.StreamWriter) -> None:
    """Let the kernel end a connection whose peer has vanished without a word; see ``watch_peer``."""
    watch_peer(writer.get_extra_info("socket"))


def watch_peer(
    connection: socket.socket, *, limit_s: int = DEAD_PEER_TIMEOUT_S, may_take_nothing: bool = False
) -> None:
    """Let the kernel end a connection whose peer has vanished, after ``limit_s``, where the system can.

    What was sent is waited for by TCP_USER_TIMEOUT; a line on which nobody speaks is probed, and given up as late. The
    kernel counts in the same way how long a peer that lives takes nothing: who lets one do so must give it as long, or
    do without that limit (``may_take_nothing``): then a line is only probed while nothing is on its way to the peer.
    """
    options = {
        "TCP_KEEPIDLE": limit_s - _PROBES * _PROBE_EVERY_S,
        "TCP_KEEPINTVL": _PROBE_EVERY_S,
        "TCP_KEEPCNT": _PROBES,
        "TCP_USER_TIMEOUT": 1000 * limit_s,
    }
    if may_take_nothing:
        del options["TCP_USER_TIMEOUT"]
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
