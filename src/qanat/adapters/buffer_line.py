"""Frames over TCP with few copies: what the services' conversations run on.

The socket is read into one buffer per line and frames are given out as views of it; what is sent goes from the caller's
buffer to the kernel. A line begins with a small buffer, which grows with the bytes that come, whatever a frame says of
its length, so a thousand lines cost little. Callers who have not proved who they are (``BufferLine.proven``) have few
lines, for a short while.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

from qanat.adapters.machine_faults import not_listening
from qanat.adapters.streams import STALL_TIMEOUT_S, is_own_limit, watch_peer
from qanat.ground.errors import ChannelClosed, ChannelTimeout, FrameError, QanatError
from qanat.ground.framing import LENGTH_BYTES, frame_length

FIRST_BUFFER_BYTES = 2**14
MAX_LINE_FRAME_BYTES = 2**20 + 2**17
"""A record of the greatest length and its frame."""
KERNEL_BUFFER_BYTES = 2**22
SEND_TIMEOUT_S = 30.0
"""A peer that takes nothing for so long is treated as gone."""
KERNEL_PATIENCE_S = 40
"""The kernel's own limit: a peer whose window is full lives, and our limits come first."""
CONNECT_TIMEOUT_S = 5.0
BACKLOG = 1024
MOST_LINES = 4096
"""More callers than this at once wait until others have gone."""
MOST_LINES_OF_ONE = MOST_LINES // 2
"""One address has no more of them than this; a further call from there is closed at once, so that others come in."""
MOST_STRANGERS = 256
"""So many of them may not have proved yet who they are; more wait until others have, or have gone."""
STRANGER_S = 120.0
"""So long a caller may take to prove it, from its first byte to its first record, and the keys for that."""
FIRST_FRAME_BYTES = 2**16
"""The first frame of a caller is no longer: it says who calls, and has no seal."""

_log = logging.getLogger(__name__)


class BufferLine:
    """One connection (the services' port ``Line``). Get one from ``dial`` or in the callback of a ``LineServer``."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        max_frame_bytes: int = MAX_LINE_FRAME_BYTES,
        first_frame_bytes: int | None = None,
        on_proven: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._max_frame_bytes = max_frame_bytes
        self._next_frame_bytes = first_frame_bytes or max_frame_bytes
        self._on_proven = on_proven
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._start = 0
        self._end = 0
        self._given = 0
        """How much of the buffer, from its start, the caller was given by the last ``receive``."""
        self._closed = False
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        watch_peer(connection, limit_s=KERNEL_PATIENCE_S)

    async def send(self, frame: bytes | bytearray | memoryview, /) -> None:
        """Send one whole frame; raises ChannelClosed, also when the peer takes nothing for SEND_TIMEOUT_S."""
        self._check_open()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self._connection, frame)
        except OSError as fault:
            self.abort()
            if is_own_limit(fault):
                raise ChannelClosed(f"the peer took nothing for {SEND_TIMEOUT_S:.0f} s") from None
            raise ChannelClosed(f"the line broke: {fault.strerror or fault}") from None

    async def receive(self, *, timeout_s: float) -> memoryview:
        """Return the next frame, valid until the next call.

        Raises ChannelTimeout (the line stays usable), ChannelClosed (also when a frame that has begun stands still),
        FrameError.
        """
        self._check_open()
        self._start, self._given = self._start + self._given, 0
        await self._fill(LENGTH_BYTES, timeout_s)
        size = LENGTH_BYTES + frame_length(bytes(self._buffer[self._start : self._start + LENGTH_BYTES]))
        if size > self._next_frame_bytes:
            raise FrameError(f"a frame of {size} bytes; this side takes {self._next_frame_bytes}")
        await self._fill(size, STALL_TIMEOUT_S)
        self._given, self._next_frame_bytes = size, self._max_frame_bytes
        return memoryview(self._buffer)[self._start : self._start + size]

    def proven(self) -> None:
        """It is known who calls: the line counts as a stranger's no more. Idempotent."""
        self._on_proven()

    def has_news(self) -> bool:
        """Return whether something has come that nobody received yet; also at the end of the line."""
        if self._closed or self._end > self._start + self._given:
            return True
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(0))

    async def close(self) -> None:
        """Close both directions; the kernel still delivers what was sent. Idempotent."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)
            self._connection.close()

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        self._connection.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelClosed("this side closed the line")

    async def _fill(self, num_bytes: int, timeout_s: float) -> None:
        """Have so many bytes from ``_start`` on."""
        if self._end - self._start >= num_bytes:
            return
        loop = asyncio.get_running_loop()
        while self._end - self._start < num_bytes:
            self._make_room(num_bytes)
            room = memoryview(self._buffer)
            try:
                async with asyncio.timeout(timeout_s):
                    got = await loop.sock_recv_into(self._connection, room[self._end :])
            except OSError as fault:
                if not is_own_limit(fault):
                    raise ChannelClosed(f"the line broke: {fault.strerror or fault}") from None
                if self._end > self._start and num_bytes > LENGTH_BYTES:
                    raise ChannelClosed(f"a frame began and stood still for {timeout_s:g} s") from None
                raise ChannelTimeout(f"nothing came within {timeout_s:g} s") from None
            if not got:
                where = "inside a frame" if self._end > self._start else "between frames"
                raise ChannelClosed(f"the peer closed the line {where}")
            self._end += got

    def _make_room(self, num_bytes: int) -> None:
        """Bring what was not given out to the front where ``num_bytes`` do not fit behind it, and let a buffer that is
        full grow to twice its size: it is never much larger than what came."""
        held = self._end - self._start
        if self._end < len(self._buffer) and (self._start == 0 or self._start + num_bytes <= len(self._buffer)):
            return
        if held == len(self._buffer):
            grown = bytearray(2 * held)
            grown[:held] = memoryview(self._buffer)[self._start : self._end]
            self._buffer = grown
        else:
            self._buffer[:held] = self._buffer[self._start : self._end]
        self._start, self._end = 0, held


async def dial(host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S) -> BufferLine:
    """Return a line to a ``LineServer``; raises ChannelClosed or ChannelTimeout."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            (family, kind, _, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            connection = socket.socket(family, kind)
            try:
                connection.setblocking(False)
                _widen(connection)
                await loop.sock_connect(connection, address)
            except BaseException:
                connection.close()
                raise
    except OSError as fault:
        if is_own_limit(fault):
            raise ChannelTimeout(f"{host}:{port} did not answer within {timeout_s:g} s") from None
        raise ChannelClosed(
            f"no connection to {host}:{port}: {fault.strerror or fault}",
            remedy="check that the recipient runs `qanat receive` and listens there",
        ) from None
    return BufferLine(connection)


class LaterLine:
    """A line that is dialled when the first frame is sent."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._line: BufferLine | None = None

    async def send(self, frame: bytes | bytearray | memoryview, /) -> None:
        """Send one whole frame; raises what ``dial`` and ``BufferLine.send`` raise."""
        if self._line is None:
            self._line = await dial(*self._address)
        await self._line.send(frame)

    async def receive(self, *, timeout_s: float) -> memoryview:
        """Return the next frame; raises what ``BufferLine.receive`` raises."""
        if self._line is None:
            raise ChannelClosed("nothing was said on this line yet")
        return await self._line.receive(timeout_s=timeout_s)

    def has_news(self) -> bool:
        """Return whether something has come that nobody received yet."""
        return self._line is not None and self._line.has_news()

    async def close(self) -> None:
        """Close what was opened; idempotent."""
        if self._line is not None:
            await self._line.close()


Answer = Callable[[BufferLine], Awaitable[None]]


class LineServer:
    """Listens, and calls ``answer`` with each new line, which is closed when the call ends.

    A failure of our error tree ends its line and is logged; another one goes to the loop's handler.
    """

    def __init__(self, answer: Answer, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        self._address = (host, port)
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(MOST_LINES)
        self._strangers = asyncio.Semaphore(MOST_STRANGERS)
        self._lines_of: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """The port it listens on; raises ValueError while it does not."""
        if self._listening is None:
            raise ValueError("the server listens on no port before it is started")
        return int(self._listening.getsockname()[1])

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        host, port = self._address
        try:
            listening = socket.create_server((host, port), backlog=BACKLOG)
        except OSError as fault:
            raise not_listening(host, port, fault) from None
        _widen(listening)
        listening.setblocking(False)
        self._listening = listening
        self._accepting = asyncio.create_task(self._accept(listening), name="lines")

    async def stop(self) -> None:
        """Stop listening, cancel the calls that still run, close their lines. Idempotent."""
        if self._listening is None or self._accepting is None:
            return
        listening, self._listening = self._listening, None
        tasks = [self._accepting, *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listening.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._places.acquire()
            await self._strangers.acquire()
            try:
                connection, (address, *_) = await loop.sock_accept(listening)
            except OSError as fault:  # no descriptors left, or a caller that went away at once
                _log.warning("a caller could not be taken: %s", fault)
                self._places.release()
                self._strangers.release()
                await asyncio.sleep(0.1)
                continue
            if self._lines_of[address] >= MOST_LINES_OF_ONE:
                _log.warning("%s has %d lines here already: a further one was closed", address, MOST_LINES_OF_ONE)
                connection.close()
                self._places.release()
                self._strangers.release()
                continue
            self._take(connection, address)

    def _take(self, connection: socket.socket, address: str) -> None:
        """Let a caller speak; it is a stranger until it is known, or has gone, or its time is over."""
        is_stranger = True

        def known() -> None:
            nonlocal is_stranger
            if is_stranger:
                is_stranger = False
                too_long.cancel()
                self._strangers.release()

        call = asyncio.create_task(self._run(connection, known))
        too_long = asyncio.get_running_loop().call_later(STRANGER_S, call.cancel)
        self._calls.add(call)
        call.add_done_callback(lambda _: known())
        self._lines_of[address] += 1
        call.add_done_callback(lambda ended: self._over(ended, address))

    def _over(self, call: asyncio.Task[None], address: str) -> None:
        self._calls.discard(call)
        self._places.release()
        self._lines_of[address] -= 1
        if not self._lines_of[address]:
            del self._lines_of[address]

    async def _run(self, connection: socket.socket, known: Callable[[], None]) -> None:
        line = BufferLine(connection, first_frame_bytes=FIRST_FRAME_BYTES, on_proven=known)
        try:
            await self._answer(line)
        except QanatError as fault:
            _log.warning("a conversation ended: %s", fault)
        finally:
            await line.close()


def _widen(connection: socket.socket) -> None:
    """Ask for kernel buffers of several records; the system gives what it allows."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER_BYTES)
