"""Connections that are a pool each, against a real server: shared, given back, closed, cheap where there are many."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator

import httpcore
import httpx
import pytest

from qanat.adapters.single_connections import SingleConnections
from service_support import until

AT_ONCE = 32
KEEPALIVE_S = 60.0


class Server:
    """Answers each request once ``gate`` is open, and counts its connections."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.num_made = self.num_open = self.num_asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_made += 1
        self.num_open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.num_asked += 1
                await self.gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.num_open -= 1
            writer.close()


@contextlib.asynccontextmanager
async def served(*, keepalive_s: float = KEEPALIVE_S) -> AsyncIterator[tuple[Server, SingleConnections, str]]:
    server = Server()
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0)
    connections = SingleConnections(ssl.create_default_context(), keepalive_s=keepalive_s)
    async with listening:
        yield server, connections, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        await connections.aclose()
        await until(lambda: server.num_open == 0)


def test_calls_at_once_have_a_connection_each_and_calls_in_turn_share_one() -> None:
    async def work() -> None:
        async with served() as (server, connections, url), httpx.AsyncClient(transport=connections) as client:
            server.gate.set()
            for _ in range(5):
                assert (await client.get(url)).text == "ok"
            assert server.num_made == 1
            server.gate.clear()
            calls = [asyncio.create_task(client.get(url)) for _ in range(4)]
            await until(lambda: server.num_asked == 9)
            server.gate.set()
            assert [answer.text for answer in await asyncio.gather(*calls)] == ["ok"] * 4
            assert (server.num_made, connections.num_connections) == (4, 4)
            await client.get(url)
            assert server.num_made == 4

    asyncio.run(work())


def test_connections_that_have_nothing_to_do_are_closed_at_a_later_call() -> None:
    async def work() -> None:
        short = served(keepalive_s=0.05)
        async with short as (server, connections, url), httpx.AsyncClient(transport=connections) as client:
            server.gate.set()
            await asyncio.gather(*(client.get(url) for _ in range(4)))
            await asyncio.sleep(0.1)
            await client.get(url)
            assert connections.num_connections == 1
            await until(lambda: server.num_open == 1)

    asyncio.run(work())


def test_a_connection_whose_call_was_given_up_is_closed_and_serves_no_other() -> None:
    async def work() -> None:
        async with served() as (server, connections, url), httpx.AsyncClient(transport=connections) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.get(url, timeout=0.05)
            call = asyncio.create_task(client.get(url))
            await until(lambda: server.num_asked == 2)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert connections.num_connections == 0
            server.gate.set()
            assert (await client.get(url)).text == "ok"
            assert server.num_made == 3

    asyncio.run(work())


def test_many_calls_at_once_look_at_no_connection_but_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pool would look at each of its connections for each of them, at each call."""
    num_looks = 0
    is_idle = httpcore.AsyncHTTPConnection.is_idle

    def look(connection: httpcore.AsyncHTTPConnection) -> bool:
        nonlocal num_looks
        num_looks += 1
        return is_idle(connection)

    async def work() -> int:
        async with served() as (server, connections, url), httpx.AsyncClient(transport=connections) as client:
            server.gate.set()
            for _ in range(3):
                await asyncio.gather(*(client.get(url) for _ in range(AT_ONCE)))
            return server.num_asked

    monkeypatch.setattr(httpcore.AsyncHTTPConnection, "is_idle", look)
    num_asked = asyncio.run(work())
    assert num_asked == 3 * AT_ONCE
    assert 0 < num_looks < 10 * num_asked
