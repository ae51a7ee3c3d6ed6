"""Channels over TCP on this machine: frames whole and in order, limits, time-outs, closing."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest

from qanat.adapters import tcp_channel
from qanat.adapters.streams import DEAD_PEER_TIMEOUT_S, FrameReader, notice_dead_peer
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.ground.errors import (
    ChannelClosed,
    ChannelTimeout,
    ConfigurationError,
    FrameError,
    VerificationFailed,
)
from qanat.ground.framing import encode_frame
from qanat.ground.ports import ClassicalChannel

Work = Callable[[ClassicalChannel, ClassicalChannel], Awaitable[None]]


def joined(work: Work, *, max_frame_bytes: int = 2**24) -> None:
    """Run ``work(client's end, server's end)``."""

    async def main() -> None:
        accepted: asyncio.Future[TcpChannel] = asyncio.get_running_loop().create_future()
        done = asyncio.Event()

        async def accept(channel: TcpChannel) -> None:
            accepted.set_result(channel)
            await done.wait()

        server = ChannelServer(accept, max_frame_bytes=max_frame_bytes)
        await server.start()
        channel = await connect_channel("127.0.0.1", server.port, max_frame_bytes=max_frame_bytes)
        try:
            await work(channel, await accepted)
        finally:
            done.set()
            await channel.close()
            await server.stop()
            await server.stop()

    asyncio.run(main())


def test_frames_arrive_whole_and_in_order_both_ways() -> None:
    frames = [encode_frame(1, {"number": number}, bytes(number * 7000)) for number in range(40)]

    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        for one, other in ((client, server), (server, client)):
            sending = asyncio.create_task(_send_all(one, frames))
            assert [await other.receive(timeout_s=5) for _ in frames] == frames
            await sending

    joined(work)


async def _send_all(channel: ClassicalChannel, frames: list[bytes]) -> None:
    for frame in frames:
        await channel.send(frame)


def test_a_large_frame_passes() -> None:
    frame = encode_frame(2, {}, bytes(range(256)) * 2**15)

    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        sending = asyncio.create_task(client.send(frame))
        assert await server.receive(timeout_s=10) == frame
        await sending

    joined(work)


def test_a_timeout_loses_nothing_even_inside_a_frame() -> None:
    frame = encode_frame(3, {"a": 1}, b"body")

    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        assert isinstance(client, TcpChannel)
        for part in (frame[:2], frame[2:4], frame[4:9]):
            client._writer.write(part)
            with pytest.raises(ChannelTimeout, match=r"within 0\.03 s"):
                await server.receive(timeout_s=0.03)
        client._writer.write(frame[9:])
        assert await server.receive(timeout_s=5) == frame

    joined(work)


def test_closing_delivers_what_was_sent_and_ends_the_other_side() -> None:
    frames = [encode_frame(1, {}, bytes(300_000)) for _ in range(5)]

    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        closing = asyncio.create_task(_send_and_close(client, frames))
        assert [await server.receive(timeout_s=5) for _ in frames] == frames
        with pytest.raises(ChannelClosed, match="between frames"):
            await server.receive(timeout_s=5)
        await closing
        await client.close()
        for call in (client.send(frames[0]), client.receive(timeout_s=1)):
            with pytest.raises(ChannelClosed, match="this side"):
                await call

    joined(work)


async def _send_and_close(channel: ClassicalChannel, frames: list[bytes]) -> None:
    await _send_all(channel, frames)
    await channel.close()


def test_a_stream_that_ends_inside_a_frame_says_so() -> None:
    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        assert isinstance(client, TcpChannel)
        client._writer.write(encode_frame(1, {}, b"body")[:-1])
        await client.close()
        with pytest.raises(ChannelClosed, match="inside a frame"):
            await server.receive(timeout_s=5)

    joined(work)


@pytest.mark.parametrize("data", [b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", b"GET ", (2000).to_bytes(4, "big")])
def test_what_is_no_frame_or_too_long_is_refused_before_it_is_read(data: bytes) -> None:
    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        assert isinstance(client, TcpChannel)
        client._writer.write(data)
        with pytest.raises(FrameError):
            await server.receive(timeout_s=5)

    joined(work, max_frame_bytes=1000)


@pytest.mark.parametrize("frame", [b"", b"abc", encode_frame(1, {}, b"x") + b"y", encode_frame(1, {}, bytes(1000))])
def test_sending_what_is_no_frame_of_the_channel_is_a_slip(frame: bytes) -> None:
    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        with pytest.raises((ValueError, FrameError)):
            await client.send(frame)

    joined(work, max_frame_bytes=1000)


def test_a_peer_that_takes_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp_channel, "SEND_TIMEOUT_S", 0.1)
    frame = encode_frame(1, {}, bytes(2**23))

    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        with pytest.raises(ChannelClosed, match="took nothing"):
            await _send_all(client, [frame] * 100)

    joined(work)


def test_a_broken_line_is_closed_for_both() -> None:
    async def work(client: ClassicalChannel, server: ClassicalChannel) -> None:
        assert isinstance(client, TcpChannel)
        client.abort()
        with pytest.raises(ChannelClosed):
            await server.receive(timeout_s=5)
        with pytest.raises(ChannelClosed):
            await _send_all(server, [encode_frame(1, {}, bytes(2**20))] * 100)

    joined(work)


def test_nobody_listens() -> None:
    async def main() -> None:
        server = ChannelServer(lambda channel: channel.close())
        with pytest.raises(ValueError, match="no port"):
            server.port.bit_length()
        await server.start()
        port = server.port
        with pytest.raises(ConfigurationError, match="choose a free port"):
            await ChannelServer(lambda channel: channel.close(), port=port).start()
        await server.stop()
        with pytest.raises(ChannelClosed, match="check that the receiver runs"):
            await connect_channel("127.0.0.1", port)

    asyncio.run(main())


def test_stopping_ends_calls_that_run_and_a_failed_call_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[str] = []

    async def accept(channel: TcpChannel) -> None:
        if await channel.receive(timeout_s=5) == encode_frame(1):
            raise VerificationFailed("the two keys differ")
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def main() -> None:
        server = ChannelServer(accept)
        await server.start()
        failing, waiting = [await connect_channel("127.0.0.1", server.port) for _ in range(2)]
        await failing.send(encode_frame(1))
        with pytest.raises(ChannelClosed):
            await failing.receive(timeout_s=5)
        await waiting.send(encode_frame(2))
        await asyncio.sleep(0.05)
        await server.stop()
        with pytest.raises(ChannelClosed):
            await waiting.receive(timeout_s=5)
        await failing.close()
        await waiting.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert ended == ["cancelled"]
    assert "the two keys differ" in caplog.text


def test_a_frame_that_stands_still_breaks_the_connection_and_one_that_is_slow_does_not() -> None:
    async def main() -> None:
        stream = asyncio.StreamReader()
        frames = FrameReader(stream, max_frame_bytes=2**20, stall_s=0.3)
        whole = encode_frame(1, {}, b"body")
        stream.feed_data(whole + whole[:5])
        assert await frames.next_frame() == whole
        reading = asyncio.create_task(frames.next_frame())
        for byte in whole[5:]:
            await asyncio.sleep(0.05)
            stream.feed_data(bytes([byte]))
        assert await reading == whole
        altered = bytearray(whole)
        altered[2] ^= 1  # 65,536 bytes more than anybody sends
        stream.feed_data(bytes(altered))
        with pytest.raises(ChannelClosed, match="stood still"):
            await frames.next_frame()

    asyncio.run(main())


def test_a_reader_that_is_cancelled_inside_a_frame_loses_nothing() -> None:
    async def main() -> None:
        stream = asyncio.StreamReader()
        frames = FrameReader(stream, max_frame_bytes=2**20)
        whole = encode_frame(1, {}, b"body")
        for piece in (whole[:3], whole[3:9]):
            stream.feed_data(piece)
            reading = asyncio.create_task(frames.next_frame())
            await asyncio.sleep(0.01)
            reading.cancel()
            await asyncio.wait({reading})
        stream.feed_data(whole[9:])
        assert await frames.next_frame() == whole

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="this system does not say when it probes")
def test_a_silent_connection_is_probed_and_given_up_in_ten_seconds() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        notice_dead_peer(writer)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
        options = [getattr(socket, name) for name in names]
        idle, interval, count = (writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, one) for one in options)
        assert idle + interval * count == DEAD_PEER_TIMEOUT_S
        writer.close()
        server.close()

    asyncio.run(main())
