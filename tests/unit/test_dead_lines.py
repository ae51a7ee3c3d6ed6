"""Lines that the kernel gives up, and those that it must not: each is told by its own name."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from qanat.adapters import buffer_line
from qanat.adapters.buffer_line import BufferLine, StoodStill, dial
from qanat.adapters.streams import FrameReader
from qanat.adapters.tcp_channel import TcpChannel
from qanat.ground.errors import ChannelClosed, ChannelTimeout
from qanat.ground.framing import encode_frame
from unit.test_file_delivery import run

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such limit")
FRAME = encode_frame(1, {}, bytes(2**20))
KERNEL_MS = 300


@contextlib.asynccontextmanager
async def nobody_reads() -> AsyncIterator[int]:
    """Give a port whose connections the system takes, and nobody reads from."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.asynccontextmanager
async def dead_line() -> AsyncIterator[BufferLine]:
    """Give a line with a full window, which the kernel is to give up at once."""
    async with nobody_reads() as port:
        line = await dial("127.0.0.1", port)
        line._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, KERNEL_MS)
        with contextlib.suppress(BlockingIOError):
            while line._connection.send(FRAME):
                pass
        yield line
        await line.close()


async def often(line: BufferLine | TcpChannel) -> None:
    for _ in range(100):
        await line.send(FRAME)


async def sent(line: BufferLine) -> None:
    await line.send(FRAME)


async def received(line: BufferLine) -> None:
    await line.receive(timeout_s=20)


@pytest.mark.parametrize("use", [sent, received])
def test_a_line_that_the_kernel_gave_up_is_not_told_as_a_silence_of_ours(
    use: Callable[[BufferLine], Awaitable[None]],
) -> None:
    async def work() -> None:
        async with dead_line() as line:
            with pytest.raises(ChannelClosed, match="the line broke: Connection timed out"):
                await use(line)

    run(work())


def test_a_peer_that_lives_and_takes_nothing_is_left_as_long_as_we_say() -> None:
    async def work() -> None:
        async with nobody_reads() as port:
            line = await dial("127.0.0.1", port)
            limit_ms = line._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert limit_ms > 1000 * max(buffer_line.SEND_TIMEOUT_S, buffer_line.STALL_TIMEOUT_S)
            await line.close()

    run(work())


def test_a_line_that_is_given_longer_is_left_so_long_by_us_and_by_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_line, "SEND_TIMEOUT_S", 0.05)

    async def work() -> None:
        async with nobody_reads() as port:
            line = await dial("127.0.0.1", port)
            line.give_time(0.3)
            limit_ms = line._connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert limit_ms == 1000 * (1 + buffer_line.AFTER_OURS_S)
            began_s = time.monotonic()
            with pytest.raises(StoodStill, match="the peer took nothing for"):
                await often(line)
            assert time.monotonic() - began_s > 0.25
            await line.close()

    run(work())


def test_our_own_limits_keep_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffer_line, "SEND_TIMEOUT_S", 0.1)

    async def work() -> None:
        async with nobody_reads() as port:
            line = await dial("127.0.0.1", port)
            with pytest.raises(ChannelTimeout, match="nothing came within"):
                await line.receive(timeout_s=0.01)
            with pytest.raises(ChannelClosed, match="the peer took nothing for"):
                await often(line)
            for _ in range(2):
                with pytest.raises(ChannelClosed, match="the line broke before"):
                    await line.send(FRAME)
            await line.close()

    run(work())


def test_a_channel_that_the_kernel_gave_up_is_told_as_broken() -> None:
    async def work() -> None:
        async with nobody_reads() as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            channel = TcpChannel(reader, writer)
            writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, KERNEL_MS)
            with pytest.raises(ChannelClosed, match=r"the channel broke: .*timed out"):
                await often(channel)

    run(work())


def test_a_frame_on_a_connection_that_the_kernel_gave_up_has_not_stood_still_for_us() -> None:
    async def work() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data(FRAME[:100])
        frames = FrameReader(stream, max_frame_bytes=2**21)
        reading = asyncio.create_task(frames.next_frame())
        await asyncio.sleep(0)
        stream.set_exception(TimeoutError(110, "Connection timed out"))
        with pytest.raises(ChannelClosed, match="the channel broke"):
            await reading

    run(work())


def test_a_peer_that_takes_a_long_frame_slowly_takes_something_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte over a line of some kilobytes in the time of the limit."""
    monkeypatch.setattr(buffer_line, "SEND_TIMEOUT_S", 0.5)

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**15)
            line = await dial("127.0.0.1", server.getsockname()[1])
            peer, _ = server.accept()
            with peer:
                peer.setblocking(False)
                loop = asyncio.get_running_loop()
                sending = asyncio.create_task(line.send(FRAME))
                began_s, came = loop.time(), 0
                while came < len(FRAME):
                    came += len(await loop.sock_recv(peer, 2**15))
                    await asyncio.sleep(0.03)
                await sending
                assert loop.time() - began_s > buffer_line.SEND_TIMEOUT_S
            await line.close()

    run(scene())


def test_what_comes_as_the_time_is_over_is_not_lost() -> None:
    """Both in one turn of the loop: it was read, and nobody had it."""

    async def scene() -> None:
        frame = encode_frame(1, {}, b"whole")
        with socket.create_server(("127.0.0.1", 0)) as server:
            line = await dial("127.0.0.1", server.getsockname()[1])
            peer, _ = server.accept()
            with peer:
                receiving = asyncio.create_task(line.receive(timeout_s=0.05))
                await asyncio.sleep(0.01)
                peer.sendall(frame)
                time.sleep(0.1)  # noqa: ASYNC251 - the loop stands still: then there is a frame, and the time is over
                try:
                    came = await receiving
                except ChannelTimeout:
                    came = await line.receive(timeout_s=1)
                assert bytes(came) == frame
            await line.close()

    run(scene())


SIOCOUTQNSD = 0x894B
"""Of linux/sockios.h: how much of what the kernel took it has not sent yet."""


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="this system has no such limit")
def test_the_kernel_takes_little_more_than_it_can_send() -> None:
    """Megabytes that wait before a slow line would make each record older than its key may be."""

    async def scene() -> None:
        async with dead_line() as line:
            unsent = fcntl.ioctl(line._connection, SIOCOUTQNSD, bytes(4))
            assert 0 < struct.unpack("i", unsent)[0] <= buffer_line.UNSENT_BYTES + 2**16

    run(scene())
