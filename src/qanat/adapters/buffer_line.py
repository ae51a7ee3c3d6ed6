"""Frames over TCP with few copies: what the services' conversations run on.

The socket is read into one buffer per line and frames are given out as views of it; what is sent goes from the caller's
buffer to the kernel. A line begins with a small buffer, which grows with the bytes that come, whatever a frame says of
its length, so a thousand lines cost little.

A caller may have all that it says go through TLS under a pre-shared key (``BufferLine.secure``); who answers tells that
from the first byte, which of a frame's length is always 0. What then goes wrong before there is TLS is answered by a
frame in clear, as on other lines before the first record: the caller takes it for no more than a reason to give up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import select
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from qanat.adapters.psk import CONTENT_TYPES, HANDSHAKE, HEAD_BYTES, MOST_HELLO_BYTES, PreSharedKey, PskOf
from qanat.adapters.streams import STALL_TIMEOUT_S, is_own_limit, watch_peer
from qanat.ground.errors import Altered, ChannelClosed, ChannelTimeout, FrameError
from qanat.ground.framing import LENGTH_BYTES, frame_length

if TYPE_CHECKING:
    from qanat.adapters.psk_tls import PskTls

FIRST_BUFFER_BYTES = 2**14
MAX_LINE_FRAME_BYTES = 2**20 + 2**17
"""A record of the greatest length and its frame."""
KERNEL_BUFFER_BYTES = 2**22
UNSENT_BYTES = 2**17
"""The kernel takes no more than this ahead of what it can send: records that waited behind megabytes on a slow line
would come when the time of their keys is over."""
PIECE_BYTES = 2**17
SEND_TIMEOUT_S = 30.0
"""A peer that takes nothing for so long is treated as gone."""
KERNEL_PATIENCE_S = 40
"""The kernel's own limit: a peer whose window is full lives, and our limits come first."""
AFTER_OURS_S = 20
"""So much later the kernel's limit comes where ours is another."""
CONNECT_TIMEOUT_S = 5.0
SECURE_TIMEOUT_S = 30.0
LAST_WORD_S = 1.0
READ_BYTES = 2**18
FIRST_FRAME_BYTES = 2**16
"""The first frame of a caller is no longer: it says who calls, and has no seal."""


T = TypeVar("T")


def _note(is_there: asyncio.Future[None]) -> None:
    if not is_there.done():
        is_there.set_result(None)


class StoodStill(ChannelClosed):
    """The other end took nothing, or sent no more of a frame, for as long as it has; or the kernel found so."""


class AnsweredInClear(ChannelClosed):
    """The other end answered a handshake of TLS by what is none. ``answer``: a frame, or what else came first."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(
            "the other end does not speak TLS, or its answer was altered on the way",
            remedy="connect again; if it stays so, update the older side: until then, `qanat tunnel --no-tls` does "
            "without",
        )
        self.answer = answer


class BufferLine:
    """One connection (the services' port ``Line``). Get one from ``dial`` or in the callback of a ``LineServer``."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        max_frame_bytes: int = MAX_LINE_FRAME_BYTES,
        first_frame_bytes: int | None = None,
        on_proven: Callable[[], None] = lambda: None,
        psk_of: PskOf | None = None,
        caller: str = "",
    ) -> None:
        """``psk_of``: who answers lets callers speak TLS under the keys that it finds. ``caller``: the address that
        the other end called from."""
        self._connection = connection
        self._tls: PskTls | None = None
        self._psk_of = psk_of
        self.caller = caller
        self.identity = b""
        """By what name the caller asked for the key of TLS. Until that is agreed (``suite``), anybody may have."""
        self.has_heard = False
        """Whether anything has come in frames, or in TLS that is to carry them."""
        self._max_frame_bytes = max_frame_bytes
        self._next_frame_bytes = first_frame_bytes or max_frame_bytes
        self._on_proven = on_proven
        self._buffer = bytearray(FIRST_BUFFER_BYTES)
        self._start = 0
        self._end = 0
        self._given = 0
        """How much of the buffer, from its start, the caller was given by the last ``receive``."""
        self._closed = False
        self._is_broken = False
        self._altered: Altered | None = None
        self._limit_s: float | None = None
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
        watch_peer(connection, limit_s=KERNEL_PATIENCE_S)

    @property
    def suite(self) -> str:
        """The cipher suite of TLS that all goes through; empty where it does not."""
        return "" if self._tls is None else self._tls.suite

    def give_time(self, limit_s: float) -> None:
        """Let the other end take nothing, or stand still within a frame, for so long (else SEND_TIMEOUT_S)."""
        self._limit_s = limit_s
        watch_peer(self._connection, limit_s=math.ceil(limit_s) + AFTER_OURS_S)

    async def send(self, frame: bytes | bytearray | memoryview, /) -> None:
        """Send one whole frame; raises ChannelClosed (StoodStill when the peer takes next to nothing for
        SEND_TIMEOUT_S, or as ``give_time`` says), and Altered after what came was altered."""
        self._check_open()
        limit_s = SEND_TIMEOUT_S if self._limit_s is None else self._limit_s
        try:
            data = memoryview(frame if self._tls is None else self._tls.seal(frame))
            for begin in range(0, len(data), PIECE_BYTES):  # a slow line takes a while for all of them
                async with asyncio.timeout(limit_s):
                    piece = data[begin : begin + PIECE_BYTES]
                    await asyncio.get_running_loop().sock_sendall(self._connection, piece)
        except OSError as fault:
            self._give_up()
            if is_own_limit(fault):
                raise StoodStill(f"the peer took nothing for {limit_s:.0f} s") from None
            if self._altered is not None:
                self._check_open()
            raise _broken(fault) from None

    async def receive(self, *, timeout_s: float) -> memoryview:
        """Return the next frame, valid until the next call.

        Raises ChannelTimeout (the line stays usable), ChannelClosed (StoodStill when a frame that has begun does),
        FrameError, Altered where it goes through TLS and was altered.
        """
        self._check_open()
        self._start, self._given = self._start + self._given, 0
        await self._let_secure(timeout_s)
        await self._fill(LENGTH_BYTES, timeout_s)
        size = LENGTH_BYTES + frame_length(bytes(self._buffer[self._start : self._start + LENGTH_BYTES]))
        if size > self._next_frame_bytes:
            raise FrameError(f"a frame of {size} bytes; this side takes {self._next_frame_bytes}")
        await self._fill(size, STALL_TIMEOUT_S if self._limit_s is None else self._limit_s)
        self._given, self._next_frame_bytes = size, self._max_frame_bytes
        return memoryview(self._buffer)[self._start : self._start + size]

    async def secure(self, psk: PreSharedKey, *, timeout_s: float) -> None:
        """Have all go through TLS from now on, as the caller, before the first frame.

        Raises AnsweredInClear where the other end gives up or speaks none, Altered where it has another
        key, ChannelClosed, ChannelTimeout.
        """
        from qanat.adapters.psk_tls import PskTls  # for those few lines that need it

        self._check_open()
        try:
            self._tls = await self._agreed(PskTls(psk, is_caller=True), timeout_s)
        except BaseException:
            await self.close()
            raise

    def proven(self) -> None:
        """It is known who calls: the line counts as a stranger's no more. Idempotent."""
        self._on_proven()

    def has_news(self) -> bool:
        """Return whether something has come that nobody received yet; also at the end of the line."""
        if self._closed or self._is_broken or self._end > self._start + self._given:
            return True
        if self._tls is not None:
            return self._has_sealed_news(self._tls)
        return self._is_readable()

    async def close(self) -> None:
        """Close both directions; the kernel still delivers what was sent. Idempotent."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_WR)
            self._connection.close()

    def _give_up(self) -> None:
        """Let nothing more go either way. The socket itself is closed by ``close`` alone, when nobody waits for it any
        more: its number is another's at once."""
        self._is_broken = True
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _check_open(self) -> None:
        if self._closed:
            raise ChannelClosed("this side closed the line")
        if self._altered is not None:  # who sends meanwhile is told of the fault, not of what came of it
            raise Altered(self._altered.message, remedy=self._altered.remedy)
        if self._is_broken:
            raise ChannelClosed("the line broke before")

    def _is_readable(self) -> bool:
        poll = select.poll()
        poll.register(self._connection, select.POLLIN)
        return bool(poll.poll(0))

    def _has_sealed_news(self, tls: PskTls) -> bool:
        """Return whether content has come in what can be read at once; TLS has words of its own besides."""
        while not tls.has_news():
            if not self._is_readable():
                return False
            try:
                data = self._connection.recv(READ_BYTES)
            except OSError:
                return True
            if not data:
                return True
            tls.feed(data)
        return True

    async def _let_secure(self, timeout_s: float) -> None:
        """Before the first frame: shake hands with a caller who begins with TLS, where this side finds keys for it.

        Raises FrameError, what the finding raises, Altered, ChannelClosed and ChannelTimeout.
        """
        if self._psk_of is None:
            return
        await self._fill(1, timeout_s)
        psk_of, self._psk_of = self._psk_of, None
        if self._buffer[self._start] != HANDSHAKE:
            return
        from qanat.adapters.psk_tls import PskTls, identity_in

        flight = self._buffer[self._start : self._end]
        self._start = self._end = 0
        while len(flight) < HEAD_BYTES or len(flight) < HEAD_BYTES + int.from_bytes(flight[3:HEAD_BYTES]):
            if len(flight) > MOST_HELLO_BYTES:
                raise FrameError(f"a first flight of TLS of more than {MOST_HELLO_BYTES} bytes")
            flight += await self._some(STALL_TIMEOUT_S)
        self.identity = identity_in(flight)
        tls = PskTls(await psk_of(self.identity), is_caller=False)
        tls.feed(flight)
        self._tls = await self._agreed(tls, timeout_s)

    async def _agreed(self, tls: PskTls, timeout_s: float) -> PskTls:
        """Shake hands, and return the end of what was agreed."""
        has_begun = False
        while not await self._shaken(tls):
            came = await self._some(timeout_s)
            if not has_begun and came[0] not in CONTENT_TYPES:
                raise AnsweredInClear(await self._whole_frame(came))
            has_begun = True
            tls.feed(came)
        return tls

    async def _shaken(self, tls: PskTls) -> bool:
        """Go on with a handshake as far as what came allows, and say what is to be said, also where it fails."""
        try:
            is_over = tls.shake_hands()
        except Altered as fault:
            await self._break_off(tls, fault)
            raise
        with contextlib.suppress(OSError):  # the next read says so
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(self._connection, tls.outgoing())
        return is_over

    async def _break_off(self, tls: PskTls, fault: Altered) -> None:
        """Send TLS's own word of a fault, and read on for a moment, so that the other end comes to hear it."""
        self._altered, loop = fault, asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LAST_WORD_S):
                await loop.sock_sendall(self._connection, tls.outgoing())
                self._connection.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(self._connection, READ_BYTES):
                    pass
        self._give_up()

    async def _whole_frame(self, beginning: bytes) -> bytes:
        """Return the first frame whole, where it is a short one; else what there is of it."""
        frame = beginning
        with contextlib.suppress(ChannelClosed, ChannelTimeout, FrameError):
            while len(frame) < LENGTH_BYTES:
                frame += await self._some(STALL_TIMEOUT_S)
            size = LENGTH_BYTES + frame_length(frame[:LENGTH_BYTES])
            while len(frame) < size <= FIRST_FRAME_BYTES:
                frame += await self._some(STALL_TIMEOUT_S)
            return frame[:size]
        return frame

    async def _some(self, timeout_s: float) -> bytes:
        """Return what comes next, past the buffer. Raises ChannelClosed, ChannelTimeout."""
        try:
            async with asyncio.timeout(timeout_s):
                came = await asyncio.get_running_loop().sock_recv(self._connection, READ_BYTES)
        except OSError as fault:
            if is_own_limit(fault):
                raise ChannelTimeout(f"nothing came within {timeout_s:g} s, and TLS was not agreed yet") from None
            raise ChannelClosed(f"the line broke before TLS was agreed: {fault.strerror or fault}") from None
        if not came:
            raise ChannelClosed("the peer closed the line before TLS was agreed")
        return came

    async def _read_into(self, room: memoryview) -> int:
        """Return how many bytes came into ``room``; 0 at the end. Raises Altered."""
        if (tls := self._tls) is None:
            return await self._read_when_there(lambda: self._connection.recv_into(room))
        try:
            while (got := tls.read_into(room)) is None:
                if not (data := await self._read_when_there(lambda: self._connection.recv(READ_BYTES))):
                    return 0
                tls.feed(data)
        except Altered as fault:
            await self._break_off(tls, fault)
            raise
        return got

    async def _read_when_there(self, read: Callable[[], T]) -> T:
        """Return what ``read`` gives once there is something. The loop's own ``sock_recv`` loses what it has read where
        the time is over in the same turn; here nothing is read before it is given out."""
        loop, number = asyncio.get_running_loop(), self._connection.fileno()
        while True:
            try:
                return read()
            except (BlockingIOError, InterruptedError):
                pass
            is_there = loop.create_future()
            loop.add_reader(number, _note, is_there)
            try:
                await is_there
            finally:
                loop.remove_reader(number)

    async def _fill(self, num_bytes: int, timeout_s: float) -> None:
        """Have so many bytes from ``_start`` on."""
        if self._end - self._start >= num_bytes:
            return
        while self._end - self._start < num_bytes:
            self._make_room(num_bytes)
            room = memoryview(self._buffer)
            try:
                async with asyncio.timeout(timeout_s):
                    got = await self._read_into(room[self._end :])
            except OSError as fault:
                if not is_own_limit(fault):
                    raise _broken(fault) from None
                if self._end > self._start and num_bytes > LENGTH_BYTES:
                    raise StoodStill(f"a frame began and stood still for {timeout_s:g} s") from None
                raise ChannelTimeout(f"nothing came within {timeout_s:g} s") from None
            if not got:
                where = "inside a frame" if self._end > self._start else "between frames"
                raise ChannelClosed(f"the peer closed the line {where}")
            self._end += got
            self.has_heard = True

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


def _broken(fault: OSError) -> ChannelClosed:
    kind = StoodStill if fault.errno == errno.ETIMEDOUT else ChannelClosed
    return kind(f"the line broke: {fault.strerror or fault}")


async def dial(host: str, port: int, *, timeout_s: float = CONNECT_TIMEOUT_S) -> BufferLine:
    """Return a line to a ``LineServer``; raises ChannelClosed or ChannelTimeout."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            (family, kind, _, _, address), *_ = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            connection = socket.socket(family, kind)
            try:
                connection.setblocking(False)
                widen(connection)
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
    """A line that is dialled when the first frame is sent.

    ``psk``: gets the key under which all goes through TLS. ``silence_s``: so long the other end may say nothing in the
    handshake; it asks its key manager for the key meanwhile.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        psk: Callable[[], Awaitable[PreSharedKey]] | None = None,
        silence_s: float = SECURE_TIMEOUT_S,
    ) -> None:
        self._address = (host, port)
        self._psk = psk
        self._silence_s = silence_s
        self._is_over = False
        self._line: BufferLine | None = None

    @property
    def suite(self) -> str:
        """The cipher suite of TLS that all goes through; empty where it does not, and before the first frame."""
        return "" if self._line is None else self._line.suite

    async def send(self, frame: bytes | bytearray | memoryview, /) -> None:
        """Send one whole frame; raises what ``dial``, ``BufferLine.secure``, ``send`` and getting the key raise."""
        if self._line is None:
            if self._is_over:
                raise ChannelClosed("this line could not be opened, and is not opened again")
            self._is_over = True
            psk = None if self._psk is None else await self._psk()
            line = await dial(*self._address)
            if psk is not None:
                await line.secure(psk, timeout_s=self._silence_s)
            self._line = line
        await self._line.send(frame)

    async def receive(self, *, timeout_s: float) -> memoryview:
        """Return the next frame; raises what ``BufferLine.receive`` raises."""
        if self._line is None:
            raise ChannelClosed("nothing was said on this line yet")
        return await self._line.receive(timeout_s=timeout_s)

    def has_news(self) -> bool:
        """Return whether something has come that nobody received yet."""
        return self._line is not None and self._line.has_news()

    def give_time(self, limit_s: float) -> None:
        """As ``BufferLine.give_time``; nothing happens before the first frame."""
        if self._line is not None:
            self._line.give_time(limit_s)

    async def close(self) -> None:
        """Close what was opened; idempotent."""
        if self._line is not None:
            await self._line.close()


def widen(connection: socket.socket) -> None:
    """Ask for kernel buffers of several records; the system gives what it allows."""
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        connection.setsockopt(socket.SOL_SOCKET, option, KERNEL_BUFFER_BYTES)
