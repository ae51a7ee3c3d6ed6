"""Our client against our doors, over real mutual TLS: keys, typed failures, the thread of events, lost answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from interop.doors_at_work import Credentials, Doors, doors_open, make_credentials
from qanat import client as client_module
from qanat.adapters.etsi014_http import etsi014_app
from qanat.adapters.http_server import HttpDoor
from qanat.adapters.tls import server_context
from qanat.client import Client, Etsi014Client
from qanat.doors.etsi014 import Etsi014Door
from qanat.ground import errors
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import KeyID, NodeId, RequestId
from qanat.ground.ports import KeySupply
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.ground.tracing import EventRecorder, Trace
from unit.etsi014_fakes import ALICE, BOB, CAROL, EVENT, KME_A, KME_B, ROUTE, FakeSupplier

UNKNOWN = KeyID("00000000-0000-4000-9000-00000000ffff")


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return make_credentials(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def doors(credentials: Credentials) -> Iterator[Doors]:
    with doors_open(credentials) as world:
        yield world


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "PAUSES_S", (0.01, 0.02))


class StillClock:
    def utc_s(self) -> float:
        return 1_500_000_000.0

    def monotonic_s(self) -> float:
        return 1.0

    async def sleep_until(self, monotonic_s: float, /) -> None:
        return None


class CountedEntropy:
    def __init__(self) -> None:
        self.count = 0

    def public_bytes(self, num_bytes: int, /) -> bytes:
        self.count += 1
        return self.count.to_bytes(num_bytes, "big")

    def secret_bytes(self, num_bytes: int, /) -> Any:
        raise AssertionError("a client needs no secrets of its own")


def trace(events: list[Event]) -> Trace:
    recorder = EventRecorder(node=NodeId("a"), clock=StillClock(), entropy=CountedEntropy(), sink=events.append)
    return recorder.new_request()


def alice(doors: Doors, **more: Any) -> Etsi014Client:
    url = f"https://127.0.0.1:{doors.ports[0]}"
    usual = {"tls": doors.credentials.alice, "sae": ALICE, "kme": KME_A, "retry_for_s": 0.1}
    return Etsi014Client(url, **usual | more)


def bob(doors: Doors, **more: Any) -> Etsi014Client:
    url = f"https://127.0.0.1:{doors.ports[1]}"
    return Etsi014Client(url, **{"tls": doors.credentials.bob, "sae": BOB, "kme": KME_B, "retry_for_s": 0.1} | more)


def test_two_clients_get_the_same_keys_once(doors: Doors) -> None:
    async def main() -> None:
        async with alice(doors) as master, bob(doors) as slave:
            supply: KeySupply = master
            given = await supply.get_keys(BOB, count=3, size_bits=128)
            key_ids = [key.key_id for key in given]
            fetched = await slave.get_keys_by_id(ALICE, key_ids[::-1])
            assert [key.key_id for key in fetched] == key_ids[::-1]
            assert [key.take() for key in fetched[::-1]] == [key.take() for key in given]
            assert {(key.pair.master, key.pair.slave, key.route, key.origin) for key in (*given, *fetched)} == {
                (ALICE, BOB, ROUTE, "twin")
            }
            assert given[0].created_utc_s == 1_500_000_000.25
            assert given[0].qkd_bits_spent == fetched[0].qkd_bits_spent == 2 * 128 + 512
            with pytest.raises(errors.KeyNotFound):
                await slave.get_keys_by_id(ALICE, key_ids)

    asyncio.run(main())


def test_status(doors: Doors) -> None:
    async def main() -> None:
        async with alice(doors) as master:
            status = await master.get_status(BOB)
            assert (status.source_kme, status.master, status.slave) == (KME_A, ALICE, BOB)
            assert (status.key_size_bits, status.stored_key_count, status.max_keys_per_request) == (256, 25_000, 128)

    asyncio.run(main())


def test_the_thread_of_events_goes_through_the_key_manager(doors: Doors) -> None:
    events: list[Event] = []
    thread = trace(events)

    async def main() -> None:
        async with alice(doors, trace=thread, patience_s=7.0) as master:
            first = thread.record(EventKind.REQUEST)
            await master.get_keys(BOB, count=1, size_bits=256)
            asked = doors.supplier.calls[-1]
            assert (asked["cause"], asked["request_id"], asked["patience_s"]) == (first.id, thread.request_id, 7.0)
            assert thread.last == EVENT
            assert master.classical_route == ROUTE

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (errors.KeyShortage("too few", retry_after_s=3.25), errors.KeyShortage),
        (errors.UnknownNode("who"), errors.UnknownNode),
        (errors.NoRoute("no way"), errors.NoRoute),
        (errors.BadParameter("what"), errors.BadParameter),
        (errors.NotEntitled("not you"), errors.NotEntitled),
        (errors.StoreFailed("disk full"), errors.KeyManagementError),
        (errors.QberTooHigh("listener"), errors.KeyManagementError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_failures_come_back_as_what_they_are(
    doors: Doors, fault: errors.QanatError, expected: type[errors.QanatError]
) -> None:
    async def main() -> None:
        async with alice(doors) as master:
            doors.supplier.fault = fault
            try:
                with pytest.raises(expected, match=fault.message) as raised:
                    await master.get_keys(BOB, count=1, size_bits=256)
            finally:
                doors.supplier.fault = None
            assert type(raised.value) is expected
            if isinstance(raised.value, errors.KeyShortage):
                assert raised.value.retry_after_s == 3.25

    asyncio.run(main())


def test_refusals_by_the_door_come_back_typed(doors: Doors) -> None:
    async def main() -> None:
        async with alice(doors) as master, bob(doors) as slave:
            with pytest.raises(errors.BadParameter, match="size shall be a multiple of 8"):
                await master.get_keys(BOB, count=1, size_bits=129)
            with pytest.raises(errors.UnknownNode, match="nobody"):
                await master.get_keys("nobody", count=1, size_bits=128)
            with pytest.raises(errors.KeyNotFound, match="one or more keys"):
                await slave.get_keys_by_id(ALICE, [UNKNOWN])
            (key,) = await master.get_keys(CAROL, count=1, size_bits=128)
            with pytest.raises(errors.NotEntitled, match="not for"):
                await slave.get_keys_by_id(ALICE, [key.key_id])

    asyncio.run(main())


def test_a_client_under_another_name_than_its_certificate_s_is_refused_at_once(doors: Doors) -> None:
    with pytest.raises(errors.ConfigurationError, match="is the certificate of"):
        bob(doors, kme=None, sae=ALICE)


def test_no_byte_is_sent_to_another_key_manager(doors: Doors) -> None:
    served = len(doors.supplier.calls)

    async def main() -> None:
        for kme in (KME_B, ALICE):
            async with alice(doors, kme=kme) as master:
                with pytest.raises(errors.ChannelClosed, match=f"expected {kme}; nothing was asked") as refused:
                    await master.get_keys(BOB, count=1, size_bits=128)
                assert "check the address" in refused.value.remedy

    asyncio.run(main())
    assert len(doors.supplier.calls) == served


@pytest.mark.parametrize("who", ["stranger", "expired"])
def test_wrong_certificates_end_with_a_word_on_certificates(doors: Doors, who: str) -> None:
    async def main() -> None:
        async with alice(doors, tls=getattr(doors.credentials, who)) as master:
            with pytest.raises(errors.ChannelClosed, match="certificate"):
                await master.get_status(BOB)

    asyncio.run(main())


def test_connecting_is_tried_again_and_then_given_up(doors: Doors) -> None:
    async def main() -> None:
        listener = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        listener.close()
        await listener.wait_closed()
        url = f"https://127.0.0.1:{port}"
        async with Etsi014Client(url, tls=doors.credentials.alice, sae=ALICE, retry_for_s=0.5) as lonely:
            with pytest.raises(errors.ChannelClosed, match=r"nothing was asked.*check that the key manager runs"):
                await lonely.get_keys(BOB, count=1, size_bits=128)
            supplier = FakeSupplier()
            app = etsi014_app(Etsi014Door(supplier, saes={ALICE}))
            door = HttpDoor(app, tls=server_context(doors.credentials.node_a), port=port)
            waiting = asyncio.create_task(lonely.get_keys(BOB, count=1, size_bits=128))
            await asyncio.sleep(0)
            await door.start()
            assert len(await waiting) == 1
            await door.stop()

    asyncio.run(main())


@pytest.mark.parametrize(("closes", "why"), [(True, "it was closed before"), (False, "it took too long")])
def test_a_connection_that_comes_to_nothing_says_how(
    doors: Doors, monkeypatch: pytest.MonkeyPatch, closes: bool, why: str
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_MARGIN_S", 0.3)

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not closes:
            await reader.read()  # until the client gives it up
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        async with await asyncio.start_server(on_connection, "127.0.0.1", 0) as listener:
            url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
            async with Etsi014Client(url, tls=doors.credentials.alice, sae=ALICE, retry_for_s=0.0) as lonely:
                with pytest.raises(errors.ChannelClosed, match=f"{why}.*; nothing was asked"):
                    await lonely.get_keys(BOB, count=1, size_bits=128)

    asyncio.run(main())


def against(app: Callable[..., Awaitable[None]], credentials: Credentials, **more: Any) -> list[str]:
    """Ask a misbehaving server once for a key; return the name of the error and its text."""

    async def main() -> list[str]:
        door = HttpDoor(app, tls=server_context(credentials.node_a))
        await door.start()
        try:
            url = f"https://127.0.0.1:{door.port}"
            async with Etsi014Client(
                url, tls=credentials.alice, sae=ALICE, kme=KME_A, retry_for_s=0.2, **more
            ) as master:
                with pytest.raises(errors.QanatError) as raised:
                    await master.get_keys(BOB, count=1, size_bits=128)
                return [type(raised.value).__name__, str(raised.value)]
        finally:
            await door.stop(grace_s=0.1)

    return asyncio.run(main())


def test_a_lost_answer_is_not_asked_for_again(credentials: Credentials, caplog: pytest.LogCaptureFixture) -> None:
    asked: list[str] = []

    async def dying_app(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionError("the key manager dies")

    name, text = against(dying_app, credentials)
    assert name == "ChannelClosed"
    assert "keys in that answer are lost" in text
    assert [path for path in asked if not path.endswith("/status")] == [asked[0]]


class Losing:
    """The application of a door, whose answers to ``call`` are cut off the first ``times``."""

    def __init__(self, supplier: FakeSupplier, call: str, *, times: int = 1) -> None:
        self._app = etsi014_app(Etsi014Door(supplier, saes={ALICE, BOB}))
        self._call = call
        self.left = times

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].endswith(self._call) or not self.left:
            await self._app(scope, receive, send)
            return
        self.left -= 1

        async def swallow(message: Any) -> None:
            return None

        await self._app(scope, receive, swallow)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionError("the line breaks")


@pytest.mark.parametrize(("call", "times"), [("enc_keys", 1), ("enc_keys", 3), ("dec_keys", 2), ("status", 1)])
def test_a_lost_answer_is_asked_for_again_by_its_nonce_and_nothing_is_spent_twice(
    credentials: Credentials, call: str, times: int
) -> None:
    async def main() -> None:
        supplier = FakeSupplier()
        app = Losing(supplier, call, times=times)
        door = HttpDoor(app, tls=server_context(credentials.node_a))
        await door.start()
        try:
            url = f"https://127.0.0.1:{door.port}"
            async with (
                Etsi014Client(url, tls=credentials.alice, sae=ALICE) as master,
                Etsi014Client(url, tls=credentials.bob, sae=BOB) as slave,
            ):
                await master.get_status(BOB)
                given = await master.get_keys(BOB, count=3, size_bits=128)
                fetched = await slave.get_keys_by_id(ALICE, [key.key_id for key in given])
                assert [key.take() for key in fetched] == [key.take() for key in given]
            assert (supplier.made, supplier.waiting, app.left) == (3, {}, 0)
        finally:
            await door.stop(grace_s=0.1)

    asyncio.run(main())


def test_the_same_nonce_gives_another_process_the_same_keys(doors: Doors) -> None:
    async def main() -> list[bytes]:
        async with alice(doors) as master:
            (key,) = await master.get_keys(BOB, count=1, size_bits=256, nonce="an-order-of-ours-17")
            return [key.take()]

    assert asyncio.run(main()) == asyncio.run(main())


def test_a_restarted_key_manager_is_met_by_a_new_connection(credentials: Credentials) -> None:
    async def main() -> None:
        supplier, port = FakeSupplier(), 0
        master = None
        for _ in range(3):
            app = etsi014_app(Etsi014Door(supplier, saes={ALICE}))
            door = HttpDoor(app, tls=server_context(credentials.node_a), port=port)
            await door.start()
            port = door.port
            master = master or Etsi014Client(f"https://127.0.0.1:{port}", tls=credentials.alice, sae=ALICE, kme=KME_A)
            assert len(await master.get_keys(BOB, count=1, size_bits=128)) == 1
            await door.stop(grace_s=0.1)
        assert master is not None
        await master.close()
        assert supplier.made == 3

    asyncio.run(main())


def test_what_is_required_and_preferred_reaches_the_key_manager(doors: Doors) -> None:
    async def main() -> None:
        async with alice(doors) as master, bob(doors) as slave:
            given = await master.get_keys(
                BOB,
                count=1,
                size_bits=72,
                more_slaves=[CAROL],
                require=Requirements(max_age_s=60.0, far_side_ready=True),
                prefer=Requirements(max_hops=1),
                priority=3,
            )
            assert master.unmet == ("qanat_max_hops", "qanat_priority")
            asked = doors.supplier.calls[-1]
            assert asked["priority"] == 0
            assert asked["require"] == Requirements(max_age_s=60.0, far_side_ready=True)
            assert asked["more_slaves"] == (CAROL,)
            (same,) = await slave.get_keys_by_id(ALICE, [given[0].key_id])
            assert same.secret == given[0].secret
            policy = RoutePolicy.avoiding("hefei", "nanjing").joined(RoutePolicy(domestic_only=True))
            wanted = Requirements(policy=policy, measure="cheapest")
            await master.get_keys(BOB, count=1, size_bits=72, require=wanted)
            assert doors.supplier.calls[-1]["require"] == wanted
            await master.get_keys(BOB, count=1, size_bits=72, prefer=wanted)
            assert doors.supplier.calls[-1]["prefer"] == wanted
            for require in (Requirements(max_hops=1), Requirements(disjoint_routes=2)):
                with pytest.raises(errors.RequirementUnmet):
                    await master.get_keys(BOB, count=1, size_bits=72, require=require)

    asyncio.run(main())


def test_a_key_manager_that_refuses_optional_extensions_is_asked_without(credentials: Credentials) -> None:
    bodies: list[Any] = []
    app = etsi014_app(Etsi014Door(FakeSupplier(), saes={ALICE}))

    async def stern_app(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        bodies.append(json.loads(message["body"]))

        async def again() -> Any:
            return message

        if "extension_optional" not in bodies[-1]:
            await app(scope, again, send)
            return
        body = b'{"message":"not all extension_optional request options handled"}'
        await send({"type": "http.response.start", "status": 400, "headers": [(b"content-length", b"%d" % len(body))]})
        await send({"type": "http.response.body", "body": body})

    async def main() -> None:
        door = HttpDoor(stern_app, tls=server_context(credentials.node_a))
        await door.start()
        async with Etsi014Client(f"https://127.0.0.1:{door.port}", tls=credentials.alice, sae=ALICE) as master:
            for _ in range(2):
                assert len(await master.get_keys(BOB, count=1, size_bits=128)) == 1
        await door.stop(grace_s=0.1)

    asyncio.run(main())
    assert ["extension_optional" in body for body in bodies] == [True, False, False]


def test_a_late_answer_is_a_timeout(credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "ANSWER_MARGIN_S", 0.1)

    async def late_app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(3600)

    name, text = against(late_app, credentials, patience_s=0.1)
    assert name == "ChannelTimeout"
    assert "lost" in text


SECRET = "c2VjcmV0c2VjcmV0MTI="


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>", "PeerProtocolError"),
        (200, b'{"Keys": []}', "PeerProtocolError"),
        (200, b'{"keys": []}', "PeerProtocolError"),
        (200, json.dumps({"keys": [{"key_ID": UNKNOWN, "key": "%%%"}]}).encode(), "PeerProtocolError"),
        (200, json.dumps({"keys": [{"key_ID": "x", "key": SECRET}]}).encode(), "PeerProtocolError"),
        (200, json.dumps({"keys": [{"key_ID": UNKNOWN, "key": SECRET}]}).encode(), "PeerProtocolError"),
        (200, json.dumps({"keys": [{"key_ID": 7, "key": SECRET}]}).encode(), "PeerProtocolError"),
        (200, json.dumps({"keys": [{"key_ID": UNKNOWN, "key": [SECRET]}]}).encode(), "PeerProtocolError"),
        (404, b"", "PeerProtocolError"),
        (503, b"", "KeyManagementError"),
        (503, b'{"message": "later"}', "KeyManagementError"),
        (401, b"", "NotEntitled"),
        (400, b'{"message": "one or more keys specified are not found on KME", "details": []}', "KeyNotFound"),
        (302, b"", "PeerProtocolError"),
    ],
)
def test_foreign_answers_are_read_or_refused_and_never_shown(
    credentials: Credentials, status: int, body: bytes, expected: str
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(body)), (b"location", b"https://elsewhere.invalid/")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    name, text = against(app, credentials)
    assert name == expected
    assert SECRET not in text


def test_the_blocking_client(doors: Doors) -> None:
    url_a, url_b = (f"https://127.0.0.1:{port}" for port in doors.ports)
    with (
        Client(url_a, tls=doors.credentials.alice, sae=ALICE, kme=KME_A) as master,
        Client(url_b, tls=doors.credentials.bob, sae=BOB) as slave,
    ):
        assert master.get_status(BOB).slave == BOB
        (key,) = master.get_keys(BOB)
        (same,) = slave.get_keys_by_id(ALICE, [key.key_id])
        assert same.take() == key.take()
    master.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:8801", "https://", "https://x:port"])
def test_an_address_that_is_none_is_refused_at_once(credentials: Credentials, url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="https://HOST:PORT"):
        Etsi014Client(url, tls=credentials.alice, sae=ALICE)


def test_a_trace_has_a_request_id() -> None:
    assert trace([]).request_id == RequestId("00000000-0000-4000-8000-000000000001")
