"""Clients that stall, flood, or send what is no request, at a real door over real TLS: others are answered meanwhile,
and what they cost stays bounded."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

import pytest

from interop.doors_at_work import Credentials, make_credentials
from interop.test_etsi014_http import ENC_KEYS, STATUS, aborted, answer, connect, read_answer, request
from qanat.adapters import http_server
from qanat.adapters.connection_rules import ConnectionRules
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.handshakes import TOO_MANY
from qanat.adapters.http_server import MAX_PIPELINED, HttpDoor
from qanat.adapters.tls import server_context
from qanat.doors.etsi014 import Etsi014Door
from unit.etsi014_fakes import ALICE, CAROL, FakeSupplier


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return make_credentials(tmp_path_factory.mktemp("pki"))


@asynccontextmanager
async def open_door(credentials: Credentials, *, refusals: list[str] | None = None) -> AsyncIterator[HttpDoor]:
    rules = ConnectionRules(on_refused=([] if refusals is None else refusals).append)
    app = etsi014_app(Etsi014Door(FakeSupplier(), saes={ALICE, CAROL}))
    door = HttpDoor(app, tls=server_context(credentials.node_a), rules=rules)
    await door.start()
    try:
        yield door
    finally:
        await door.stop(grace_s=1.0)
        await asyncio.sleep(0.1)  # what was aborted is closed by the loop


async def others_are_answered(credentials: Credentials, port: int, *, count: int = 50) -> None:
    with aborted(await connect(credentials, port, "carol")) as carol:
        for _ in range(count):
            assert (await answer(carol, request("POST", ENC_KEYS, b"{}")))[0] == 200


@contextmanager
def plain_connection(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        yield plain


def slow_head(streams: Any) -> None:
    streams[1].write(b"GET /api/v1/keys HTTP/1.1\r\nHost: d")


def slow_body(streams: Any) -> None:
    streams[1].write(request("POST", ENC_KEYS, b"{}", "X: y")[:-1])


def silent(_: Any) -> None:
    pass


@pytest.mark.slow
@pytest.mark.parametrize("stall", [slow_head, slow_body, silent])
def test_clients_that_stall_hold_nobody_up_and_are_cut_off(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch, stall: Callable[[Any], None]
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_TIMEOUT_S", 1.0)

    async def main() -> None:
        async with open_door(credentials) as door:
            with ExitStack() as stack:
                stalled = [stack.enter_context(aborted(await connect(credentials, door.port))) for _ in range(40)]
                for streams in stalled:
                    stall(streams)
                await others_are_answered(credentials, door.port)
                async with asyncio.timeout(20):
                    for streams in stalled:
                        assert await ended(streams)

    asyncio.run(main())


async def ended(streams: Any) -> bool:
    try:
        return await streams[0].read() == b""
    except ConnectionError:
        return True


def test_a_client_that_reads_nothing_is_cut_off_and_keeps_little(
    credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for batches of keys without reading an answer. What the door keeps for it is counted at the transport."""
    monkeypatch.setattr(http_server, "WRITE_TIMEOUT_S", 0.5)
    monkeypatch.setattr(http_server, "REQUEST_TIMEOUT_S", 60.0)
    kept: list[int] = []
    pause = http_server.PeerProtocol.pause_writing

    def noting(self: Any) -> None:
        kept.append(self.transport._transport.get_write_buffer_size())
        pause(self)

    monkeypatch.setattr(http_server.PeerProtocol, "pause_writing", noting)

    async def main() -> None:
        async with open_door(credentials) as door:
            reader, writer = await connect(credentials, door.port)
            with aborted((reader, writer)):
                writer.transport.pause_reading()
                asked = request("POST", ENC_KEYS, b'{"number": 128, "size": 4096}')
                async with asyncio.timeout(60):
                    while not writer.transport.is_closing() and not (kept and not door._state.connections):
                        writer.write(asked)
                        await asyncio.sleep(0.005)
                await others_are_answered(credentials, door.port)

    asyncio.run(main())
    assert kept
    assert max(kept) < 256 * 1024


def test_a_flood_of_requests_in_one_write_ends_the_connection(credentials: Credentials) -> None:
    async def main() -> None:
        async with open_door(credentials) as door:
            with aborted(await connect(credentials, door.port)) as flood:
                flood[1].write(request("GET", STATUS) * 2000)
                assert await ended_after_some(flood) <= MAX_PIPELINED + 1
            with aborted(await connect(credentials, door.port)) as honest:
                honest[1].write(request("GET", STATUS) * MAX_PIPELINED)
                for _ in range(MAX_PIPELINED):
                    assert (await read_answer(honest))[0] == 200
            await others_are_answered(credentials, door.port)

    asyncio.run(main())


async def ended_after_some(streams: Any) -> int:
    count = 0
    try:
        while True:
            await read_answer(streams)
            count += 1
    except (ConnectionError, asyncio.IncompleteReadError):
        return count


def test_connections_that_never_shake_hands_are_bounded_and_shut_nobody_out(credentials: Credentials) -> None:
    """More than may stand stay open all the while; the oldest are given up for those that come."""
    refusals: list[str] = []

    async def main() -> None:
        async with open_door(credentials, refusals=refusals) as door:
            door._handshakes.most = 8
            with ExitStack() as stack:
                stalled = [stack.enter_context(plain_connection(door.port)) for _ in range(12)]
                for plain in stalled:
                    with suppress(OSError):
                        plain.sendall(b"\x16\x03\x01\x02\x00\x01")  # how a TLS handshake begins
                for _ in range(3):
                    await others_are_answered(credentials, door.port, count=5)
                for plain in stalled[:4]:
                    plain.setblocking(False)
                    assert has_ended(plain)
            assert set(refusals) == {TOO_MANY}
            assert len(refusals) == 4 + 1, "the first honest client made room for itself, and left it to the others"

    asyncio.run(main())


def has_ended(plain: socket.socket) -> bool:
    try:
        return plain.recv(1) == b""
    except ConnectionError:
        return True


BAD_BODIES: dict[str, bytes] = {
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe{}",
    "a list": b"[]",
    "a number": b"7",
    "null": b"null",
    "deep": b"[" * 50_000,
    "deep objects": b'{"a":' * 30_000,
    "a number of ten thousand digits": b'{"number": ' + b"9" * 10_000 + b"}",
    "NaN": b'{"number": NaN}',
    "infinity": b'{"size": Infinity}',
    "an exponent": b'{"number": 1e400}',
    "a lone surrogate": b'{"additional_slave_SAE_IDs": ["\\ud800"]}',
    "a byte 0": b'{"number": 1\x00}',
    "wrong types": b'{"number": "1", "size": {}}',
    "negative": b'{"number": -1}',
    "true": b'{"number": true}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_no_request_is_answered_by_400_and_an_error_object(
    credentials: Credentials, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with open_door(credentials) as door:
            with aborted(await connect(credentials, door.port)) as streams:
                status, _, body = await answer(streams, request("POST", ENC_KEYS, BAD_BODIES[name]))
                assert status == 400, body
                assert isinstance(json.loads(body)["message"], str)
                assert (await answer(streams, request("GET", STATUS)))[0] == 200, "the connection goes on"

    asyncio.run(main())
    assert caplog.records == []


def test_bodies_without_end_are_cut_off_at_the_limit(credentials: Credentials) -> None:
    async def main() -> None:
        async with open_door(credentials) as door:
            with aborted(await connect(credentials, door.port)) as streams:
                streams[1].write(request("POST", ENC_KEYS, None, "Transfer-Encoding: chunked"))
                with pytest.raises(ConnectionError):
                    await send_without_end(streams)
            await others_are_answered(credentials, door.port)

    asyncio.run(main())


async def send_without_end(streams: Any) -> None:
    async with asyncio.timeout(20):
        while True:
            streams[1].write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await streams[1].drain()
            await asyncio.sleep(0)


def test_clients_that_vanish_in_the_middle_leave_nothing_behind(credentials: Credentials) -> None:
    async def main() -> None:
        async with open_door(credentials) as door:
            for data in (b"GET /", request("POST", ENC_KEYS, b'{"number": 128}'), request("GET", STATUS)[:-2]):
                for _ in range(10):
                    with aborted(await connect(credentials, door.port)) as streams:
                        streams[1].write(data)
                        await streams[1].drain()
            await others_are_answered(credentials, door.port)
            async with asyncio.timeout(20):
                while door._state.connections or door._state.tasks:  # noqa: ASYNC110 - the server has no event for it
                    await asyncio.sleep(0.02)

    asyncio.run(main())
