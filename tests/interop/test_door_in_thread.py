"""Doors in a thread of their own: real TLS there, answers in the loop of all else, nothing lost in between."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interop.doors_at_work import Credentials, make_credentials
from interop.test_etsi014_http import ENC_KEYS, STATUS, aborted, answer, connect, request
from qanat.adapters.awaited import AWAITED
from qanat.adapters.door_thread import DoorInThread, DoorThread
from qanat.adapters.etsi014_http import MAX_BODY_BYTES, etsi014_app
from qanat.adapters.tls import server_context
from qanat.doors.etsi014 import Etsi014Door
from unit.etsi014_fakes import ALICE, CAROL, FakeSupplier


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return make_credentials(tmp_path_factory.mktemp("pki"))


def nothing() -> None: ...


@asynccontextmanager
async def door_of(
    credentials: Credentials, app: Callable[..., Awaitable[None]], *, before_writing: Callable[[], None] = nothing
) -> AsyncIterator[DoorInThread]:
    async with DoorThread() as thread:
        tls = server_context(credentials.node_a)
        door = DoorInThread(thread, app, before_writing=before_writing, each_second=nothing, tls=tls)
        await door.start()
        try:
            yield door
        finally:
            await door.stop()


def keys_app() -> Callable[..., Awaitable[None]]:
    return etsi014_app(Etsi014Door(FakeSupplier(), saes={ALICE, CAROL}))


async def send_text(send: Any, status: int = 200) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def test_who_answers_is_in_the_loop_of_all_else_marked_as_awaited_and_what_is_promised_is_written_first(
    credentials: Credentials,
) -> None:
    here, seen = threading.get_ident(), list[object]()
    inner = keys_app()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((threading.get_ident() == here, AWAITED.get()))
        await inner(scope, receive, send)

    async def main() -> None:
        async with door_of(credentials, app, before_writing=lambda: seen.append(threading.get_ident() == here)) as door:
            with aborted(await connect(credentials, door.port)) as alice:
                status, _, body = await answer(alice, request("GET", STATUS))
                assert (status, json.loads(body)["master_SAE_ID"]) == (200, ALICE)
                assert seen == [(True, True), True]
                assert (await answer(alice, request("POST", ENC_KEYS, b'{"number": 2}')))[0] == 200

    asyncio.run(main())
    assert seen == [(True, True), True] * 2


def test_a_connection_is_taken_and_shakes_hands_though_the_loop_that_answers_is_at_work(
    credentials: Credentials,
) -> None:
    is_shaken = threading.Event()

    async def main() -> None:
        async with door_of(credentials, keys_app()) as door:
            port = door.port

            def caller() -> None:
                async def call() -> None:
                    with aborted(await connect(credentials, port)):
                        is_shaken.set()

                asyncio.run(call())

            thread = threading.Thread(target=caller)
            thread.start()
            assert is_shaken.wait(20)  # this loop does nothing else meanwhile
            thread.join(20)

    asyncio.run(main())


def test_a_body_in_parts_and_one_too_long(credentials: Credentials) -> None:
    async def main() -> None:
        async with door_of(credentials, keys_app()) as door:
            with aborted(await connect(credentials, door.port)) as (reader, writer):
                whole = request("POST", ENC_KEYS, b'{"number": 3, "size": 256}')
                for place in range(0, len(whole), 50):
                    writer.write(whole[place : place + 50])
                    await writer.drain()
                    await asyncio.sleep(0.01)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
            with aborted(await connect(credentials, door.port)) as alice:
                status, _, body = await answer(alice, request("POST", ENC_KEYS, b" " * (MAX_BODY_BYTES + 1)))
                assert status == 413
                assert b"longer than" in body

    asyncio.run(main())


def test_an_answer_that_was_made_leaves_though_the_door_stops_and_who_waits_longer_hears_that_it_stops(
    credentials: Credentials,
) -> None:
    is_asked, may_go_on, ended = asyncio.Event(), asyncio.Event(), list[str]()

    async def app(scope: Any, _: Any, send: Any) -> None:
        is_asked.set()
        try:
            if scope["path"].startswith("/long"):
                await asyncio.sleep(3600)
            await may_go_on.wait()
        except asyncio.CancelledError:
            ended.append(scope["path"])
            raise
        await send_text(send)

    async def main() -> None:
        async with door_of(credentials, app) as door:
            with (
                aborted(await connect(credentials, door.port)) as one,
                aborted(await connect(credentials, door.port)) as other,
            ):
                soon = asyncio.create_task(answer(one, request("GET", "/soon")))
                never = asyncio.create_task(answer(other, request("GET", "/long")))
                await is_asked.wait()
                await asyncio.sleep(0.1)
                stopping = asyncio.create_task(door.stop())
                await asyncio.sleep(0.05)
                may_go_on.set()
                assert (await soon)[0] == 200
                status, _, body = await never
                assert (status, b"is being stopped" in body) == (503, True)
                await stopping

    asyncio.run(main())
    assert ended == ["/long"]


def test_a_slip_is_answered_and_loud(credentials: Credentials, caplog: pytest.LogCaptureFixture) -> None:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send_text(send, status=503)
        raise ZeroDivisionError("a slip of ours")

    async def main() -> None:
        async with door_of(credentials, app) as door:
            with aborted(await connect(credentials, door.port)) as alice:
                assert (await answer(alice, request("GET", STATUS)))[0] == 503

    asyncio.run(main())
    assert "a slip of ours" in caplog.text


@pytest.mark.parametrize("is_to_stop", [True, False])
def test_a_door_stops_only_while_nobody_is_connected_and_the_loop_that_answers_agrees(
    credentials: Credentials, is_to_stop: bool
) -> None:
    async def main() -> None:
        here, asked = threading.get_ident(), list[bool]()

        async def agrees() -> bool:
            asked.append(threading.get_ident() == here)
            return is_to_stop

        async with door_of(credentials, keys_app()) as door:
            with aborted(await connect(credentials, door.port)) as alice:
                assert (await answer(alice, request("GET", STATUS)))[0] == 200
                assert not await door.stop_if_unused(agrees)
                assert asked == []
                assert (await answer(alice, request("GET", STATUS)))[0] == 200
            while not await door.stop_if_unused(agrees) and (is_to_stop or not asked):  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # the door has yet to hear that she is gone
            assert asked == [True]
            if not is_to_stop:
                with aborted(await connect(credentials, door.port)) as alice:
                    assert (await answer(alice, request("GET", STATUS)))[0] == 200

    asyncio.run(main())
