"""Frames on a byte stream, and sockets that notice a dead peer: what channels and transport share."""

from __future__ import annotations

import asyncio
import socket

from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.framing import LENGTH_BYTES, frame_length

STREAM_BUFFER_BYTES = 2**20
DEAD_PEER_TIMEOUT_S = 10


class FrameReader:
    """Cuts a stream into frames. A call that is cancelled loses nothing: the next goes on where it stopped."""

    def __init__(self, reader: asyncio.StreamReader, *, max_frame_bytes: int) -> None:
        self._reader = reader
        self._max_frame_bytes = max_frame_bytes
        self._prefix = b""

    async def next_frame(self) -> bytes:
        """Return the next whole frame, length field included.

        Raises ChannelClosed at the end of the stream, FrameError when a frame says that it is too long.
        """
        try:
            if not self._prefix:
                self._prefix = await self._reader.readexactly(LENGTH_BYTES)
            length = frame_length(self._prefix)
            if length + LENGTH_BYTES > self._max_frame_bytes:
                raise FrameError(f"a frame of {length} bytes; this side takes {self._max_frame_bytes}")
            frame = self._prefix + await self._reader.readexactly(length)
        except asyncio.IncompleteReadError as fault:
            where = "inside a frame" if fault.partial or self._prefix else "between frames"
            raise ChannelClosed(f"the peer closed the channel {where}") from None
        except OSError as fault:
            raise ChannelClosed(f"the channel broke: {fault}") from None
        self._prefix = b""
        return frame


def notice_dead_peer(writer: asyncio.StreamWriter) -> None:
    """Let the kernel end a connection whose peer has vanished without a word, where the system can."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * DEAD_PEER_TIMEOUT_S)
