"""A server that stops in the very turn in which somebody is accepted, or shakes hands: nobody is forgotten open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import warnings

import pytest

from interop.certificates import Authority
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.stream_server import StreamServer
from qanat.adapters.tls import TlsFiles, server_context
from qanat.ground.identifiers import NodeId, kme_id

TURNS = range(8)
"""Of the event loop, between a caller's connection and the stop: from before it is accepted to when it is taken."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return Authority(tmp_path_factory.mktemp("pki")).issue("a", [kme_id(network="net", name=NodeId("a"))])


async def connected(port: int) -> socket.socket:
    caller = socket.socket()
    caller.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(caller, ("127.0.0.1", port))
    except OSError:
        caller.close()
        raise
    return caller


async def is_hung_up(caller: socket.socket) -> bool:
    """Return whether the other end closes, or breaks off, within some seconds."""
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(3.0):
            return not await asyncio.get_running_loop().sock_recv(caller, 100)
    return True


async def stopped_after(turns: int, tls: ssl.SSLContext | None) -> None:
    """A caller who says nothing: with TLS its handshake is under way when the server stops."""
    taken: list[asyncio.StreamWriter] = []
    server = StreamServer(lambda _, writer: taken.append(writer), limit=100, tls=tls)
    await server.start("127.0.0.1", 0)
    with await connected(server.port) as caller:
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        await server.stop()
        with pytest.raises(ValueError, match="no port"):
            assert server.port
        for writer in taken:
            writer.close()
        assert await is_hung_up(caller)
        assert tls is None or not taken


async def door_stopped_after(turns: int, tls: ssl.SSLContext) -> None:
    door = HttpDoor(None, tls=tls)  # type: ignore[arg-type]  # nobody comes so far as to ask it
    await door.start()
    with await connected(door.port) as caller:
        for _ in range(turns):
            await asyncio.sleep(0)
        await door.stop()
        assert await is_hung_up(caller)


def run_and_look_for_what_is_left_open(work: object) -> list[str]:
    """Return what the collector finds open once the loop is gone."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        asyncio.run(work)  # type: ignore[arg-type]
        gc.collect()
    return [str(one.message) for one in found]


@pytest.mark.parametrize("turns", TURNS)
def test_a_stream_server_leaves_no_connection_open(turns: int) -> None:
    assert run_and_look_for_what_is_left_open(stopped_after(turns, None)) == []


@pytest.mark.parametrize("turns", TURNS)
def test_with_tls_a_handshake_under_way_is_given_up(files: TlsFiles, turns: int) -> None:
    assert run_and_look_for_what_is_left_open(stopped_after(turns, server_context(files))) == []


async def stopping_cut_short_after(turns: int, tls: ssl.SSLContext) -> None:
    server = StreamServer(lambda _, writer: writer.close(), limit=100, tls=tls)
    await server.start("127.0.0.1", 0)
    port = server.port
    with await connected(port) as caller:
        await asyncio.sleep(0)
        stopping = asyncio.create_task(server.stop())
        for _ in range(turns):
            await asyncio.sleep(0)
        stopping.cancel()
        await asyncio.wait([stopping])
        assert await is_hung_up(caller)
        with pytest.raises(ConnectionRefusedError):
            await connected(port)


@pytest.mark.parametrize("turns", TURNS[1:])
def test_a_stop_that_is_cut_short_has_stopped(files: TlsFiles, turns: int) -> None:
    assert run_and_look_for_what_is_left_open(stopping_cut_short_after(turns, server_context(files))) == []


@pytest.mark.parametrize("turns", TURNS)
def test_a_door_leaves_no_connection_open(files: TlsFiles, turns: int) -> None:
    assert run_and_look_for_what_is_left_open(door_stopped_after(turns, server_context(files))) == []
