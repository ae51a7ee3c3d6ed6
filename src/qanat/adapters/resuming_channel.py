"""The port ``ClassicalChannel`` on a line that is taken up again when its TCP connection breaks.

The end that dials draws the line's name. Each connection begins with a RESUME frame from both; what the other one has
not heard is then sent again. What is kept and what is dropped is decided in ``ground.numbered``; here are sockets.

Plain TCP, on purpose: the session above authenticates with one-time pads, which no computer breaks, and says nothing
that must stay secret.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.ground.errors import ChannelClosed, ChannelTimeout, FrameError, PeerProtocolError
from qanat.ground.numbered import (
    LINE_NAME_BYTES,
    MAX_INNER_BYTES,
    PING,
    REASONS,
    REMEDIES,
    NumberedLine,
    bye,
    read_resume,
)

GREETING_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
RETRY_PAUSE_S = 0.2
FLUSH_TIMEOUT_S = 5.0
"""How long closing waits until the peer has taken all that was sent."""

SILENCE_S = 30.0
"""A peer that answers nothing for so long, while somebody else calls, is given up. A party that is at work on a block
looks at its line more often."""
LAST_LOOK_S = 0.2

FOREVER_S = 1e9


@dataclass(frozen=True, slots=True)
class Greeted:
    """A connection on which both have greeted, the number that the peer expects next, and what to do at its end."""

    channel: TcpChannel
    next_number: int
    at_end: Callable[[], None] = lambda: None


Reconnect = Callable[[], Awaitable[Greeted]]
"""Returns a new connection. Raises ChannelClosed when the line is over, ChannelTimeout when none came in time."""


class ResumingChannel:
    """One end of a line. Get one from ``dial_line`` or from ``LineListener.accept``."""

    max_frame_bytes = MAX_INNER_BYTES

    def __init__(self, line: NumberedLine, reconnect: Reconnect) -> None:
        self._line = line
        self._reconnect = reconnect
        self._connection: TcpChannel | None = None
        self._next_to_send = 0
        self._sending = asyncio.Lock()
        self._changed = asyncio.Event()
        self._over: ChannelClosed | None = None
        self.num_connections = 0
        self._asked_since_s: float | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._pump = asyncio.get_running_loop().create_task(self._run())

    @property
    def name(self) -> str:
        """The line's name."""
        return self._line.name

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open just now, as far as this end knows."""
        return self._connection is not None

    @property
    def is_over(self) -> bool:
        """Whether the line has ended for good."""
        return self._over is not None

    async def send(self, frame: bytes, /) -> None:
        """Keep a frame and send it as soon as there is a connection; waits while too much is on its way.

        Raises ChannelClosed when the line is over.
        """
        while self._line.is_full:
            self._raise_if_over()
            await self._wait_for_change()
        self._raise_if_over()
        self._line.keep(frame)
        await self._flush()

    async def receive(self, *, timeout_s: float) -> bytes:
        """Return the next frame; raises ChannelTimeout, ChannelClosed when the line is over."""
        try:
            async with asyncio.timeout(timeout_s):
                while (frame := self._line.take()) is None:
                    self._raise_if_over()
                    await self._wait_for_change()
        except TimeoutError:
            raise ChannelTimeout(f"the other party said nothing for {timeout_s:g} s") from None
        await self._say(self._line.acknowledgement())
        return frame

    async def close(self) -> None:
        """Wait until the peer has taken all, if it does so in time, and end the line; idempotent."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_TIMEOUT_S):
                while self._line.kept_bytes and self._over is None:
                    await self._wait_for_change()
        await self._say(bye("end"))
        self._end(ChannelClosed("this side closed the line"))
        self._pump.cancel()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._pump

    def greeting(self) -> bytes:
        """Return the frame that begins a connection of this line."""
        return self._line.greeting()

    def break_off(self) -> None:
        """Give up the present connection, because the peer has made a new one."""
        if self._connection is not None:
            self._connection.abort()

    async def is_silent(self, *, for_s: float) -> bool:
        """Ask the peer whether it is there; True when nothing has come since it was first asked, ``for_s`` ago or more.

        Does not wait for the answer: whoever asks again later learns of it.
        """
        now_s = asyncio.get_running_loop().time()
        if self._asked_since_s is None:
            self._asked_since_s = now_s
            self._say_soon(PING)
        if now_s - self._asked_since_s < for_s:
            return False
        await asyncio.sleep(LAST_LOOK_S)  # where this process itself stood still, what came meanwhile is heard first
        return self._asked_since_s is not None

    def displace(self) -> None:
        """End the line because its peer came back as a new process: what it was in is lost there."""
        self._end(ChannelClosed("the other party was started anew", remedy="the block is lost, its pads stay spent"))
        self._pump.cancel()

    async def _run(self) -> None:
        """Keep the line connected and hear what comes, until it is over."""
        try:
            while self._over is None:
                greeted = await self._reconnect()
                try:
                    await self._serve(greeted.channel, greeted.next_number)
                finally:
                    self._connection = None
                    greeted.channel.abort()
                    greeted.at_end()
        except ChannelClosed as fault:
            self._end(fault)
        except ChannelTimeout as fault:
            self._end(ChannelClosed(fault.message, remedy=fault.remedy))

    async def _serve(self, connection: TcpChannel, next_number: int) -> None:
        self._line.resume(next_number)
        self._next_to_send = next_number
        self._connection = connection
        self._asked_since_s = None
        self.num_connections += 1
        sending = asyncio.get_running_loop().create_task(self._flush())
        try:
            while not self._line.end_reason:
                self._line.hear(await connection.receive(timeout_s=FOREVER_S))
                self._asked_since_s = None
                if self._line.was_asked:
                    self._say_soon(self._line.acknowledgement())
                self._changed.set()
        except PeerProtocolError:
            return  # closed, or bytes that are none of this line: a new connection puts it right
        finally:
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await sending
        reason = self._line.end_reason
        raise ChannelClosed(f"the other party ended the line: {REASONS[reason]}", remedy=REMEDIES[reason])

    async def _flush(self) -> None:
        """Send what was kept and has not been sent on this connection, in order."""
        async with self._sending:
            while (connection := self._connection) is not None:
                data = self._line.data(self._next_to_send)
                if data is None:
                    if self._next_to_send >= self._line.next_number:
                        return
                    self._next_to_send += 1
                    continue
                self._next_to_send += 1
                with contextlib.suppress(ChannelClosed):
                    await connection.send(data)

    async def _say(self, frame: bytes) -> None:
        """Send a frame that has no number, if there is a connection; nothing is lost when there is none."""
        async with self._sending:
            if self._connection is not None:
                with contextlib.suppress(ChannelClosed):
                    await self._connection.send(frame)

    def _say_soon(self, frame: bytes) -> None:
        """As ``_say``, without waiting for what is being sent just now: whoever hears must not wait to speak."""
        task = asyncio.get_running_loop().create_task(self._say(frame))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _raise_if_over(self) -> None:
        if self._over is not None:
            raise ChannelClosed(self._over.message, remedy=self._over.remedy)

    def _end(self, fault: ChannelClosed) -> None:
        if self._over is None:
            self._over = fault
        self._changed.set()

    async def _wait_for_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def dial_line(host: str, port: int, *, patience_s: float) -> ResumingChannel:
    """Return a line to a ``LineListener``; raises ChannelClosed when there is no connection within ``patience_s``.

    A line that breaks later is dialled again for as long.
    """
    line = NumberedLine(os.urandom(LINE_NAME_BYTES).hex())
    first = [await _dial(line, host, port, patience_s=patience_s)]

    async def reconnect() -> Greeted:
        return first.pop() if first else await _dial(line, host, port, patience_s=patience_s)

    return ResumingChannel(line, reconnect)


async def _dial(line: NumberedLine, host: str, port: int, *, patience_s: float) -> Greeted:
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + patience_s
    while True:
        left_s = deadline_s - loop.time()
        try:
            return await _call(line, host, port, timeout_s=max(0.1, min(CONNECT_TIMEOUT_S, left_s)))
        except PeerProtocolError as fault:
            if REASONS["unknown"] in fault.message or loop.time() >= deadline_s:
                raise ChannelClosed(fault.message, remedy=fault.remedy) from None
        await asyncio.sleep(RETRY_PAUSE_S)


async def _call(line: NumberedLine, host: str, port: int, *, timeout_s: float) -> Greeted:
    """Connect once and greet; raises PeerProtocolError of any kind when that fails."""
    connection = await connect_channel(host, port, timeout_s=timeout_s)
    try:
        await connection.send(line.greeting())
        name, next_number = read_resume(await connection.receive(timeout_s=GREETING_TIMEOUT_S))
        if name != line.name:
            raise FrameError("the peer answered for another line")
    except BaseException:
        connection.abort()
        raise
    return Greeted(connection, next_number)


class LineListener:
    """Listens for one line at a time. A peer that comes back takes its line up; a new one displaces a broken line.

    A line that looks whole is broken too when its peer answers nothing for ``silence_s`` while somebody else calls.
    """

    def __init__(self, *, host: str, port: int, patience_s: float, silence_s: float = SILENCE_S) -> None:
        self._silence_s = silence_s
        self._server = ChannelServer(self._greet, host=host, port=port)
        self._patience_s = patience_s
        self._channel: ResumingChannel | None = None
        self._arrivals: asyncio.Queue[Greeted] = asyncio.Queue()
        self._new: asyncio.Queue[ResumingChannel] = asyncio.Queue()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    async def start(self) -> None:
        """Begin to listen; raises ConfigurationError when the port cannot be had."""
        await self._server.start()

    async def accept(self, *, timeout_s: float) -> ResumingChannel:
        """Return the next new line; raises ChannelTimeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    channel = await self._new.get()
                    if not channel.is_over:
                        return channel
        except TimeoutError:
            raise ChannelTimeout(
                f"nobody called within {timeout_s:g} s", remedy="start the other party, or wait longer with --wait"
            ) from None

    async def stop(self) -> None:
        """Stop listening and end the line; idempotent."""
        if self._channel is not None:
            await self._channel.close()
        await self._server.stop()

    async def _greet(self, connection: TcpChannel) -> None:
        """Give a connection to its line, or refuse it; returns when the connection is done with."""
        name, next_number = read_resume(await connection.receive(timeout_s=GREETING_TIMEOUT_S))
        current = self._channel
        if current is not None and current.name == name and not current.is_over:
            await self._join(connection, current, next_number)
        elif next_number:
            await connection.send(bye("unknown"))
        elif current is not None and current.is_connected and not await current.is_silent(for_s=self._silence_s):
            await connection.send(bye("busy"))
        else:
            if current is not None:
                current.displace()
            arrivals: asyncio.Queue[Greeted] = asyncio.Queue()
            self._arrivals = arrivals
            self._channel = ResumingChannel(NumberedLine(name), lambda: self._next_arrival(arrivals))
            self._new.put_nowait(self._channel)
            await self._join(connection, self._channel, 0)

    async def _join(self, connection: TcpChannel, channel: ResumingChannel, next_number: int) -> None:
        is_done = asyncio.Event()
        await connection.send(channel.greeting())
        channel.break_off()
        self._arrivals.put_nowait(Greeted(connection, next_number, is_done.set))
        await is_done.wait()

    async def _next_arrival(self, arrivals: asyncio.Queue[Greeted]) -> Greeted:
        try:
            async with asyncio.timeout(self._patience_s):
                return await arrivals.get()
        except TimeoutError:
            raise ChannelTimeout(
                f"the line broke and the other party did not come back within {self._patience_s:g} s",
                remedy="the block is lost, its pads stay spent; start both parties again",
            ) from None
