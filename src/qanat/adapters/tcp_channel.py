"""The port ``ClassicalChannel`` over TCP: ordered frames, plain. Authentication and secrecy are above it.

With a TLS context the same channel is a private one: then both ends have proved who they are (``peer_identity``).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

from qanat.adapters.machine_faults import not_listening
from qanat.adapters.stream_server import StreamServer
from qanat.adapters.streams import STREAM_BUFFER_BYTES, FrameReader, is_own_limit, notice_dead_peer
from qanat.adapters.tls import PeerCertificate, peer_certificate
from qanat.ground.errors import ChannelClosed, ChannelTimeout, QanatError
from qanat.ground.framing import LENGTH_BYTES, MAX_FRAME_BYTES, frame_length

SEND_TIMEOUT_S = 30.0
"""A peer that takes nothing for so long is treated as gone; by the kernel sooner, where its window stays full."""
CLOSE_TIMEOUT_S = 2.0
"""How long closing waits for what was sent to leave this machine."""
TLS_HANDSHAKE_TIMEOUT_S = 5.0
TLS_SHUTDOWN_TIMEOUT_S = 0.5

_log = logging.getLogger(__name__)


class TcpChannel:
    """One connection. Get one from ``connect_channel`` or in the callback of a ``ChannelServer``."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, max_frame_bytes: int = MAX_FRAME_BYTES
    ) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._frames = FrameReader(reader, max_frame_bytes=max_frame_bytes)
        self._writer = writer
        self._closed = False
        notice_dead_peer(writer)

    @property
    def peer_identity(self) -> str | None:
        """Who the peer's certificate says it is; None on a plain channel."""
        certificate = self.peer_certificate
        return None if certificate is None else certificate.identity

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """What the peer's certificate says; None on a plain channel."""
        return peer_certificate(self._writer.get_extra_info("ssl_object"))

    @property
    def num_bytes_read(self) -> int:
        """How much came from the peer so far, in bytes, a frame that has only begun included."""
        return self._frames.num_bytes_read

    async def send(self, frame: bytes, /) -> None:
        """Send one frame; raises ChannelClosed, also when the peer takes nothing for SEND_TIMEOUT_S."""
        if len(frame) > self.max_frame_bytes or frame_length(frame[:LENGTH_BYTES]) != len(frame) - LENGTH_BYTES:
            raise ValueError(f"{len(frame)} bytes are no frame of this channel (at most {self.max_frame_bytes})")
        if self._closed:
            raise ChannelClosed("this side closed the channel")
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                self._writer.write(frame)
                await self._writer.drain()
        except OSError as fault:
            self.abort()
            if is_own_limit(fault):
                raise ChannelClosed(f"the peer took nothing for {SEND_TIMEOUT_S:.0f} s") from None
            raise ChannelClosed(f"the channel broke: {fault}") from None

    async def receive(self, *, timeout_s: float) -> bytes:
        """Return the next frame; raises ChannelTimeout (the channel stays usable), ChannelClosed, FrameError."""
        if self._closed:
            raise ChannelClosed("this side closed the channel")
        try:
            async with asyncio.timeout(timeout_s):
                return await self._frames.next_frame()
        except TimeoutError:
            raise ChannelTimeout(f"no frame came within {timeout_s:g} s") from None

    async def close(self) -> None:
        """Close both directions after what was sent has left; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._writer.close()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._writer.wait_closed()
        self._writer.transport.abort()

    def abort(self) -> None:
        """Close at once; what was not sent is lost. A ``receive`` that waits raises ChannelClosed."""
        self._closed = True
        self._writer.transport.abort()


async def connect_channel(
    host: str,
    port: int,
    *,
    timeout_s: float = 5.0,
    max_frame_bytes: int = MAX_FRAME_BYTES,
    tls: ssl.SSLContext | None = None,
) -> TcpChannel:
    """Return a channel to a ``ChannelServer``; raises ChannelClosed or ChannelTimeout."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port, limit=STREAM_BUFFER_BYTES, **_tls_options(tls))
    except OSError as fault:
        if is_own_limit(fault):
            raise ChannelTimeout(f"{host}:{port} did not answer within {timeout_s:g} s") from None
        raise ChannelClosed(
            f"no connection to {host}:{port}: {fault}", remedy="check that the receiver runs and listens there"
        ) from None
    return TcpChannel(reader, writer, max_frame_bytes=max_frame_bytes)


Accept = Callable[[TcpChannel], Awaitable[None]]


class ChannelServer:
    """Listens, and calls ``accept`` with each new channel; the channel is closed when the call ends.

    A failure of our error tree ends its channel and is logged; another one is a slip and goes to the loop's handler.
    """

    def __init__(
        self,
        accept: Accept,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._accept = accept
        self._host = host
        self._asked_port = port
        self._max_frame_bytes = max_frame_bytes
        self._server = StreamServer(
            self._serve,
            limit=STREAM_BUFFER_BYTES,
            tls=tls,
            handshake_s=TLS_HANDSHAKE_TIMEOUT_S,
            close_s=TLS_SHUTDOWN_TIMEOUT_S,
        )
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        return self._server.port

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        try:
            await self._server.start(self._host, self._asked_port)
        except OSError as fault:
            raise not_listening(self._host, self._asked_port, fault) from None

    async def stop(self) -> None:
        """Stop listening, cancel calls that still run, close their channels. Idempotent."""
        await self._server.stop()
        calls = list(self._calls)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.get_running_loop().create_task(self._run(reader, writer))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = TcpChannel(reader, writer, max_frame_bytes=self._max_frame_bytes)
        try:
            await self._accept(channel)
        except QanatError as fault:
            _log.warning("a connection ended: %s", fault)
        finally:
            await channel.close()


def _tls_options(tls: ssl.SSLContext | None) -> dict[str, Any]:
    """Return what asyncio is told of TLS; it takes the times only where there is a context."""
    if tls is None:
        return {}
    return {
        "ssl": tls,
        "ssl_handshake_timeout": TLS_HANDSHAKE_TIMEOUT_S,
        "ssl_shutdown_timeout": TLS_SHUTDOWN_TIMEOUT_S,
    }
