"""Callers who have not proved who they are: few, soon ended, and never able to take memory by what they announce."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from qanat.adapters import line_server
from qanat.adapters.buffer_line import FIRST_BUFFER_BYTES, BufferLine, dial
from qanat.adapters.line_server import LineServer
from qanat.ground.errors import ChannelClosed, FrameError
from qanat.ground.framing import encode_frame
from service_support import House, until
from unit.test_file_delivery import run


def connected() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


def test_a_buffer_grows_with_what_comes_and_not_with_what_is_announced() -> None:
    async def work() -> None:
        ours, theirs = connected()
        with theirs:
            line = BufferLine(ours)
            theirs.sendall(encode_frame(1, None, bytes(2**20))[: 2**14 + 100])
            waiting = asyncio.create_task(line.receive(timeout_s=5))
            await until(lambda: line._end > 2**14)
            assert len(line._buffer) <= 4 * FIRST_BUFFER_BYTES
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await line.close()

    run(work())


def test_frames_of_all_lengths_come_whole() -> None:
    async def work() -> None:
        ours, theirs = connected()
        line, peer = BufferLine(ours), BufferLine(theirs)
        frames = [encode_frame(1, None, bytes([size % 251]) * size) for size in (0, 2**14 - 8, 2**14, 2**20, 5, 2**19)]

        async def say() -> None:
            for frame in frames * 3:
                await peer.send(frame)

        saying = asyncio.create_task(say())
        for frame in frames * 3:
            assert bytes(await line.receive(timeout_s=5)) == frame
        await asyncio.gather(saying, line.close(), peer.close())

    run(work())


def test_the_first_frame_of_a_caller_is_short_and_the_next_may_be_long() -> None:
    async def work() -> None:
        came: list[int | FrameError] = []

        async def answer(line: BufferLine) -> None:
            for _ in range(2):
                try:
                    came.append(len(await line.receive(timeout_s=5)))
                except FrameError as fault:
                    came.append(fault)
                    return

        server = LineServer(answer)
        await server.start()
        for first in (10, 2**16):
            line = await dial("127.0.0.1", server.port)
            await line.send(encode_frame(1, None, bytes(first)))
            if first == 10:
                await line.send(encode_frame(1, None, bytes(2**20)))
            with pytest.raises(ChannelClosed):
                await line.receive(timeout_s=5)
            await line.close()
        await server.stop()
        assert came[:2] == [18 + 2, 2**20 + 10]
        assert isinstance(came[2], FrameError)

    run(work())


def test_strangers_are_few_and_soon_ended_and_those_who_proved_themselves_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for one stranger, and one sits there in silence, a friend comes through when the stranger's time ends;
    and the friend's own line then outlasts that time."""
    monkeypatch.setattr(line_server, "MOST_STRANGERS", 1)
    monkeypatch.setattr(line_server, "STRANGER_S", 0.3)

    async def work() -> None:
        house = House(tmp_path / "data")
        async with house.reception("bob") as bob, house.user("alice") as alice:
            silent = await dial("127.0.0.1", bob.port)
            report = await alice.text("bob", "hello")
            assert list(report.delivered) == ["bob"]
            with pytest.raises(ChannelClosed):
                await silent.receive(timeout_s=5)
            await silent.close()

    run(work())


def test_a_line_that_is_proven_is_not_ended() -> None:
    async def work() -> None:
        still_open = asyncio.Event()

        async def answer(line: BufferLine) -> None:
            await line.receive(timeout_s=5)
            line.proven()
            line.proven()
            await asyncio.sleep(0.2)
            await line.send(encode_frame(1))
            still_open.set()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(line_server, "STRANGER_S", 0.1)
            server = LineServer(answer)
            await server.start()
            line = await dial("127.0.0.1", server.port)
            await line.send(encode_frame(1))
            await line.receive(timeout_s=5)
            assert still_open.is_set()
            await line.close()
            await server.stop()

    run(work())


def test_one_address_does_not_take_all_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three lines that one address may have, proven or not, a fourth is closed at once; another address comes in,
    and so does the first when one of its lines has ended."""
    monkeypatch.setattr(line_server, "MOST_LINES_OF_ONE", 3)

    async def work() -> None:
        async def answer(line: BufferLine) -> None:
            line.proven()
            while True:
                await line.send(bytes(await line.receive(timeout_s=20)))

        server = LineServer(answer)
        await server.start()
        loop, frame = asyncio.get_running_loop(), encode_frame(1)

        async def call(address: str) -> BufferLine:
            connection = socket.socket()
            connection.setblocking(False)
            connection.bind((address, 0))
            await loop.sock_connect(connection, ("127.0.0.1", server.port))
            return BufferLine(connection)

        async def is_answered(line: BufferLine) -> bool:
            try:
                await line.send(frame)
                return bytes(await line.receive(timeout_s=20)) == frame
            except ChannelClosed:
                return False

        lines = [await call("127.0.0.1") for _ in range(4)]
        assert [await is_answered(line) for line in lines] == [True, True, True, False]
        others = await call("127.0.0.2")
        assert await is_answered(others)
        await lines[0].close()
        await until(lambda: server._lines_of["127.0.0.1"] == 2)
        again = await call("127.0.0.1")
        assert await is_answered(again)
        for line in (*lines, others, again):
            await line.close()
        await server.stop()

    run(work())
