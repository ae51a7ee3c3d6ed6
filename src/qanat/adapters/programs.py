"""TCP connections of other programs, at the two ends of a tunnel: bytes, half-close and reset, as the program means."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Awaitable, Callable

from qanat.adapters.machine_faults import not_listening
from qanat.adapters.stream_server import StreamServer
from qanat.adapters.streams import watch_peer

READ_BYTES = 2**17
CONNECT_TIMEOUT_S = 5.0
BACKLOG = 1024
LOST_S = 40
"""A program's machine that answers nothing for so long, neither bytes nor probes, is taken for gone."""
_INFO = struct.Struct("=2xBB52xI")
"""Of struct tcp_info: how often the oldest bytes went out again, probes without answer, and how long ago the last
acknowledgement came (ms)."""
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: closing sends a reset, and no end that could be taken for a whole answer."""


class ProgramLine:
    """A connection to a program. Every method but ``reset`` raises OSError when the program has broken it off."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._is_closed = False
        watch_peer(writer.get_extra_info("socket"), limit_s=LOST_S, may_take_nothing=True)

    async def read(self, most_bytes: int) -> bytes:
        """Return what the program says next; empty when it will say no more."""
        return await self._reader.read(most_bytes)

    def is_unanswered(self) -> bool:
        """Return whether the program's machine has acknowledged nothing for LOST_S, though it was asked: by bytes, or
        by a probe where the program takes none just now. False where the system does not tell (other than Linux)."""
        if self._is_closed or not sys.platform.startswith("linux"):
            return False
        try:
            told = self._writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO.size)
        except OSError:
            return False
        num_again, num_probes, acked_ms = _INFO.unpack(told)
        return bool(num_again or num_probes) and acked_ms > 1000 * LOST_S

    async def write(self, data: bytes) -> None:
        """Give the program bytes; waits while it takes none."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Tell the program that no more comes; it may go on speaking."""
        if self._writer.can_write_eof():
            self._writer.write_eof()

    async def close(self) -> None:
        """Close when all was given to the program's side of the connection; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def reset(self) -> None:
        """Break the connection off, so that the program sees an error and no end; idempotent."""
        if not self._is_closed:
            self._is_closed = True
            with contextlib.suppress(OSError):
                self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._writer.transport.abort()


async def connect_program(host: str, port: int) -> ProgramLine:
    """Return a connection to a program that listens; raises OSError, also when it does not answer in time."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, port, limit=READ_BYTES)
    return ProgramLine(reader, writer)


Carry = Callable[[ProgramLine], Awaitable[None]]


class ProgramServer:
    """Listens for programs, and calls ``carry`` with each connection; what the call leaves open is reset."""

    def __init__(self, carry: Carry, *, host: str, port: int) -> None:
        self._carry = carry
        self._address = (host, port)
        self._server = StreamServer(self._take, limit=READ_BYTES)
        self._calls: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        return self._server.port

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        host, port = self._address
        try:
            await self._server.start(host, port, backlog=BACKLOG)
        except OSError as fault:
            raise not_listening(host, port, fault) from None

    async def stop(self) -> None:
        """Stop listening and break off what is open; idempotent."""
        await self._server.stop()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        call = asyncio.create_task(self._run(ProgramLine(reader, writer)), name="a program in the tunnel")
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _run(self, program: ProgramLine) -> None:
        try:
            await self._carry(program)
        finally:
            program.reset()
