"""A server of asyncio streams, with or without TLS, whose stop leaves nothing behind.

asyncio forgets whom a server has accepted just before it is closed, and whose handshake is under way then: such a
connection, which nobody holds, stays open until the collector finds it. Here they are waited for, or given up.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from qanat.adapters.handshakes import CountedTls, Handshakes

TURNS_TO_BEGIN = 4
"""So many turns of the event loop it takes, at most, from accepting a connection to the first step of its task."""

Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


async def accept_no_more(server: asyncio.Server) -> None:
    """Leave further callers at the sockets, and return when each that was accepted has become a connection."""
    loop = asyncio.get_running_loop()
    for one in server.sockets:
        loop.remove_reader(one)
    for _ in range(TURNS_TO_BEGIN):
        await asyncio.sleep(0)


class StreamServer:
    """Calls ``take`` with each connection, after its handshake where there is TLS; from then on it is the taker's.

    limit: of the reader's buffer, bytes. handshake_s, close_s: how long either may take.
    """

    def __init__(
        self,
        take: Take,
        *,
        limit: int,
        tls: ssl.SSLContext | None = None,
        handshake_s: float = 5.0,
        close_s: float = 0.5,
        on_given_up: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._take = take
        self._limit = limit
        self._tls = tls
        self._timeouts = {"ssl_handshake_timeout": handshake_s, "ssl_shutdown_timeout": close_s}
        self._handshakes = Handshakes(on_given_up=on_given_up)
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        if self._server is None:
            raise ValueError("the server listens on no port before it is started")
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self, host: str, port: int, *, listening: socket.socket | None = None, backlog: int = 100) -> None:
        """Begin to listen at a place, or on a socket that listens already; raises OSError."""
        loop = asyncio.get_running_loop()
        if listening is None:
            self._server = await loop.create_server(self._accepted, host, port, backlog=backlog)
        else:
            self._server = await loop.create_server(self._accepted, sock=listening, backlog=backlog)

    async def stop(self) -> None:
        """Stop listening, and give up the handshakes under way; what was taken goes on. Idempotent."""
        if self._server is None:
            return
        server, self._server = self._server, None
        try:
            await accept_no_more(server)
        finally:
            server.close()
            self._handshakes.give_up_all()
        for _ in range(2):  # the connections given up are closed, the tasks of the last that was taken begin
            await asyncio.sleep(0)

    def _accepted(self) -> asyncio.BaseProtocol:
        loop = asyncio.get_running_loop()
        connection = _Connection(self._take, self._handshakes, limit=self._limit, loop=loop)
        if self._tls is None:
            return connection
        return CountedTls(loop, connection, self._tls, self._handshakes, **self._timeouts)


class _Connection(asyncio.StreamReaderProtocol):
    """The stream of one connection, which counts its handshake as done when it begins."""

    def __init__(self, take: Take, handshakes: Handshakes, *, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(asyncio.StreamReader(limit=limit, loop=loop), take, loop=loop)
        self._handshakes = handshakes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._handshakes.end(self)
        super().connection_made(transport)
