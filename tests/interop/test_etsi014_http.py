"""The HTTPS side of the door: identity per connection, one write per answer, limits, JSON refusals, stopping."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop.doors_at_work import Credentials, make_credentials
from qanat.adapters import http_server
from qanat.adapters.audit_chain import records, verify
from qanat.adapters.audit_log import AuditLog
from qanat.adapters.etsi014_http import MAX_BODY_BYTES, etsi014_app
from qanat.adapters.etsi014_schema import etsi014_openapi
from qanat.adapters.http_server import PEER, HttpDoor
from qanat.adapters.tls import client_context, peer_identity, server_context
from qanat.doors.etsi014 import Etsi014Door, Limits
from qanat.ground.errors import ConfigurationError
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import EventId, NodeId
from unit.etsi014_fakes import ALICE, BOB, CAROL, FakeSupplier

STATUS = f"/api/v1/keys/{BOB}/status"
ENC_KEYS = f"/api/v1/keys/{BOB}/enc_keys"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture(scope="module")
def credentials(tmp_path_factory: pytest.TempPathFactory) -> Credentials:
    return make_credentials(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def supplier() -> FakeSupplier:
    return FakeSupplier()


@pytest.fixture
def served(credentials: Credentials, supplier: FakeSupplier) -> Callable[[Callable[[int], Awaitable[Any]]], Any]:
    """Return a function that runs ``work(port)`` against an open door."""

    def run(work: Callable[[int], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            app = etsi014_app(Etsi014Door(supplier, saes={ALICE, CAROL}))
            door = HttpDoor(app, tls=server_context(credentials.node_a))
            await door.start()
            try:
                return await work(door.port)
            finally:
                await door.stop(grace_s=1.0)

        return asyncio.run(main())

    return run


async def connect(credentials: Credentials, port: int, who: str = "alice") -> Streams:
    return await asyncio.open_connection("127.0.0.1", port, ssl=client_context(getattr(credentials, who)))


def request(method: str, path: str, body: bytes | None = None, *headers: str) -> bytes:
    length = [f"Content-Length: {len(body)}"] if body is not None else []
    lines = [f"{method} {path} HTTP/1.1", "Host: door", *length, *headers, "", ""]
    return "\r\n".join(lines).encode() + (body or b"")


async def answer(streams: Streams, data: bytes) -> tuple[int, dict[str, str], bytes]:
    streams[1].write(data)
    return await read_answer(streams)


async def read_answer(streams: Streams) -> tuple[int, dict[str, str], bytes]:
    head = (await streams[0].readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])}
    return int(head[0].split()[1]), headers, await streams[0].readexactly(int(headers["content-length"]))


@contextmanager
def aborted(streams: Streams) -> Iterator[Streams]:
    try:
        yield streams
    finally:
        streams[1].transport.abort()


def test_a_connection_stays_open_and_its_identity_holds_for_each_request(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> list[Any]:
        with (
            aborted(await connect(credentials, port)) as one,
            aborted(await connect(credentials, port, "carol")) as two,
        ):
            found = []
            for streams in (one, two, one, two):
                _, _, body = await answer(streams, request("GET", STATUS))
                found.append(json.loads(body)["master_SAE_ID"])
            return found

    assert served(work) == [ALICE, CAROL, ALICE, CAROL]


def test_an_answer_is_one_write(served: Any, credentials: Credentials, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    plain = asyncio.sslproto._SSLProtocolTransport.write  # type: ignore[attr-defined]

    def noted(self: Any, data: bytes) -> None:
        writes.append(bytes(data))
        plain(self, data)

    async def work(port: int) -> None:
        with aborted(await connect(credentials, port)) as streams:
            monkeypatch.setattr(asyncio.sslproto._SSLProtocolTransport, "write", noted)  # type: ignore[attr-defined]
            await answer(streams, request("POST", ENC_KEYS, b'{"number": 128}'))

    served(work)
    from_the_door = [data for data in writes if data.startswith(b"HTTP/1.1") or b'"key_ID"' in data]
    assert len(from_the_door) == 1
    assert from_the_door[0].count(b'"key_ID"') == 128


def test_headers_of_a_key_answer(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return await answer(streams, request("POST", ENC_KEYS, b""))

    code, headers, body = served(work)
    assert code == 200
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    assert "GMT" in headers["date"]
    assert "server" not in headers
    assert len(json.loads(body)["keys"]) == 1


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/", 404),
        ("GET", "/api/v1/keys//enc_keys", 400),
        ("GET", "/api/v1/keys/x/nothing", 404),
        ("GET", "/api/v2/keys/x/status", 404),
        ("GET", "/docs", 404),
        ("GET", "/api/v1/keys/x/status/", 404),
        ("POST", STATUS, 405),
        ("DELETE", ENC_KEYS, 405),
        ("HEAD", ENC_KEYS, 405),
        ("GET", "/api/v1/keys/nobody/enc_keys", 400),
        ("GET", "/api/v1/keys/a%2Fb%20%C3%BC/enc_keys", 400),
        ("GET", ENC_KEYS + "?number=2&number=3", 400),
        ("GET", ENC_KEYS + "?number=%FF", 400),
        ("GET", ENC_KEYS + "?number=1&size=257", 400),
    ],
)
def test_every_refusal_is_an_error_object(
    served: Any, credentials: Credentials, method: str, path: str, code: int
) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            if method == "HEAD":
                streams[1].write(request(method, path))
                head = await streams[0].readuntil(b"\r\n\r\n")
                return int(head.split()[1]), {"content-type": "application/json"}, b'{"message": "-"}'
            return await answer(streams, request(method, path, b"" if method in ("POST", "DELETE") else None))

    found, headers, body = served(work)
    assert found == code
    assert headers["content-type"] == "application/json"
    assert json.loads(body)["message"]


def test_an_id_with_a_slash_reaches_the_key_manager_decoded(
    served: Any, credentials: Credentials, supplier: FakeSupplier
) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return await answer(streams, request("GET", "/api/v1/keys/a%2Fb%3F%20%C3%BC/status"))

    code, _, _ = served(work)
    assert code == 200
    assert supplier.calls[0]["slave"] == "a/b? ü"


def test_a_body_too_long_is_refused_and_the_connection_ends(
    served: Any, credentials: Credentials, supplier: FakeSupplier
) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            head = request("POST", ENC_KEYS, None, f"Content-Length: {2**30}")
            code, headers, body = await answer(streams, head + b" " * (MAX_BODY_BYTES + 1))
            return code, headers["connection"], body, await streams[0].read()

    code, connection, body, rest = served(work)
    assert (code, connection, rest) == (413, "close", b"")
    assert "longer than" in json.loads(body)["message"]
    assert supplier.calls == []


LIMIT = http_server.MAX_HEAD_BYTES


@pytest.mark.parametrize(
    ("data", "code", "remedy"),
    [
        (b"\x16\x03\x01 this is no HTTP\r\n\r\n", 400, "RFC 9112"),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "RFC 9112"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 2 * LIMIT, 431, "shorten"),
        (b"GET /" + b"x" * 2 * LIMIT, 431, "shorten"),
        (request("GET", "/" + "x" * LIMIT), 431, "shorten"),
        (request("GET", "/", None, "X: " + "x" * LIMIT), 431, "shorten"),
        (request("GET", "/", None, *["X: " + "x" * (LIMIT // 16)] * 16), 431, "shorten"),
    ],
    ids=["nonsense", "length", "endless header", "endless path", "long path", "long header", "many headers"],
)
def test_what_is_no_http_or_endless_gets_a_refusal_and_the_end(
    served: Any, credentials: Credentials, data: bytes, code: int, remedy: str
) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return *await answer(streams, data), await streams[0].read()

    found, _, body, rest = served(work)
    assert (found, rest) == (code, b"")
    assert remedy in json.loads(body)["message"]


def test_the_longest_head_that_is_allowed_gets_through_each_time(served: Any, credentials: Credentials) -> None:
    bare = len(request("GET", STATUS, None, "X: "))

    async def work(port: int) -> list[int]:
        with aborted(await connect(credentials, port)) as streams:
            longest = request("GET", STATUS, None, "X: " + "x" * (LIMIT - bare))
            assert len(longest) == LIMIT
            codes = [(await answer(streams, longest))[0] for _ in range(2)]
            return [*codes, (await answer(streams, longest.replace(b"X: ", b"X: x")))[0]]

    assert served(work) == [200, 200, 431]


@pytest.mark.parametrize(("path", "allow"), [(ENC_KEYS, "GET, POST"), (STATUS, "GET")])
def test_a_wrong_method_is_told_all_that_are_allowed(
    served: Any, credentials: Credentials, path: str, allow: str
) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return await answer(streams, request("DELETE", path, b""))

    code, headers, _ = served(work)
    assert (code, headers["allow"]) == (405, allow)


def test_a_body_that_is_announced_too_long_is_refused_unread(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            head = request("POST", ENC_KEYS, None, "Content-Length: 99999999999")
            return await asyncio.wait_for(answer(streams, head), timeout=http_server.REQUEST_TIMEOUT_S / 2)

    code, headers, _ = served(work)
    assert (code, headers["connection"]) == (413, "close")


@pytest.mark.parametrize(
    "data",
    [b"", b"GET / HT", request("POST", ENC_KEYS, None, "Content-Length: 10") + b"{"],
    ids=["silent", "half a head", "half a body"],
)
def test_a_slow_client_is_cut_off(
    served: Any, credentials: Credentials, monkeypatch: pytest.MonkeyPatch, data: bytes, supplier: FakeSupplier
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_TIMEOUT_S", 0.2)

    async def work(port: int) -> bytes:
        with aborted(await connect(credentials, port)) as streams:
            streams[1].write(data)
            try:
                return await asyncio.wait_for(streams[0].read(), timeout=5)
            except ConnectionError:
                return b""

    assert served(work) == b""
    assert supplier.calls == []


def test_a_slow_second_request_is_cut_off_too(
    served: Any, credentials: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_TIMEOUT_S", 0.2)

    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            first = await answer(streams, request("GET", STATUS))
            streams[1].write(b"GET ")
            try:
                return first[0], await asyncio.wait_for(streams[0].read(), timeout=5)
            except ConnectionError:
                return first[0], b""

    assert served(work) == (200, b"")


def test_requests_sent_together_are_answered_in_order(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            streams[1].write(b"".join(request("GET", f"{ENC_KEYS}?number={count}") for count in (3, 1, 2)))
            return [len(json.loads((await read_answer(streams))[2])["keys"]) for _ in range(3)]

    assert served(work) == [3, 1, 2]


def test_a_body_in_pieces_is_one_body(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            body = b'{"number": 2}'
            data = request("POST", ENC_KEYS, body)
            for part in (data[:30], data[30:-5], data[-5:]):
                streams[1].write(part)
                await asyncio.sleep(0.02)
            return await read_answer(streams)

    code, _, body = served(work)
    assert (code, len(json.loads(body)["keys"])) == (200, 2)


def test_the_schema_is_published_and_has_no_foreign_answers(served: Any, credentials: Credentials) -> None:
    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return await answer(streams, request("GET", "/openapi.json"))

    code, _, body = served(work)
    schema = json.loads(body)
    assert code == 200
    calls = {(path.rsplit("/", 1)[1], method) for path, item in schema["paths"].items() for method in item}
    assert calls == {
        ("status", "get"), ("enc_keys", "get"), ("enc_keys", "post"), ("dec_keys", "get"), ("dec_keys", "post")
    }  # fmt: skip
    codes = {code for item in schema["paths"].values() for call in item.values() for code in call["responses"]}
    assert codes == {"200", "400", "401", "413", "503"}
    assert schema == etsi014_openapi(Limits())
    assert set(schema["components"]["schemas"]["Status"]["properties"]) >= {"source_KME_ID", "max_SAE_ID_count"}
    (enc_keys,) = [item["post"] for path, item in schema["paths"].items() if path.endswith("enc_keys")]
    fields = enc_keys["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert set(fields) == {
        "number", "size", "additional_slave_SAE_IDs", "extension_mandatory", "extension_optional"
    }  # fmt: skip


def test_a_slip_of_ours_is_503_and_is_logged(
    served: Any, credentials: Credentials, supplier: FakeSupplier, caplog: pytest.LogCaptureFixture
) -> None:
    supplier.fault = ValueError("a bug")

    async def work(port: int) -> Any:
        with aborted(await connect(credentials, port)) as streams:
            return await answer(streams, request("GET", STATUS))

    code, _, body = served(work)
    assert code == 503
    assert "a bug" not in body.decode()
    assert any("a bug" in str(record.exc_info) for record in caplog.records)


def test_a_scope_without_peer_certificate_has_no_identity() -> None:
    assert peer_identity(None) is None
    assert PEER == "qanat.peer"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_begins_at_1_2(served: Any, credentials: Credentials, version: ssl.TLSVersion) -> None:
    async def work(port: int) -> Any:
        context = client_context(credentials.alice)
        context.maximum_version = version
        with aborted(await asyncio.open_connection("127.0.0.1", port, ssl=context)) as streams:
            return streams[1].get_extra_info("ssl_object").version(), (await answer(streams, request("GET", STATUS)))[0]

    assert served(work) == (f"TLSv1.{version - 0x301}", 200)
    assert server_context(credentials.node_a).minimum_version == ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(served: Any, credentials: Credentials, version: ssl.TLSVersion) -> None:
    """A resumed session would outlive the certificate that it was opened with."""

    def twice(port: int) -> list[bool | None]:
        context = client_context(credentials.alice)
        context.maximum_version = version
        session, reused = None, []
        for _ in range(2):
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as line,
                context.wrap_socket(line, session=session) as secured,
            ):
                secured.sendall(request("GET", STATUS))
                assert b"200" in secured.recv(4096)
                session = secured.session
                reused.append(secured.session_reused)
        return reused

    assert served(lambda port: asyncio.to_thread(twice, port)) == [False, False]


@pytest.mark.parametrize("more", [(), ("Connection: close",)])
def test_what_is_to_be_written_before_an_answer_leaves_is_in_the_file_when_it_is_there(
    credentials: Credentials, tmp_path: Path, more: tuple[str, ...]
) -> None:
    async def main() -> None:
        with AuditLog(tmp_path, node=NodeId("a"), written_out_first=True) as log:

            async def delivering_app(scope: Any, receive: Any, send: Any) -> None:
                name = scope["path"]
                for kind in (EventKind.KEY_GIVEN, EventKind.KEYS_DELIVERED):
                    log(Event(EventId(f"{kind}{name}"), None, None, NodeId("a"), 0.0, 0.0, kind))
                await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
                await send({"type": "http.response.body", "body": b""})

            door = HttpDoor(delivering_app, tls=server_context(credentials.node_a), before_writing=log.write_out)
            await door.start()
            for number in range(10):
                with aborted(await connect(credentials, door.port)) as streams:
                    assert (await answer(streams, request("GET", f"/{number}", None, *more)))[0] == 200
                    lines = [row["event"] for row in records(tmp_path)]  # before any timer of the log has run
                    assert lines[-2:] == [f"key-given/{number}", f"keys-delivered/{number}"]
            await door.stop()
        assert verify(tmp_path).bad is None

    asyncio.run(main())


def test_stopping_waits_for_answers_but_not_for_idle_clients(credentials: Credentials) -> None:
    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.2)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})

    async def main() -> tuple[bytes, bytes]:
        door = HttpDoor(slow_app, tls=server_context(credentials.node_a))
        await door.start()
        with (
            aborted(await connect(credentials, door.port)) as busy,
            aborted(await connect(credentials, door.port)) as idle,
        ):
            busy[1].write(request("GET", "/"))
            await asyncio.sleep(0.05)
            stopping = asyncio.create_task(door.stop(grace_s=30))
            body = (await read_answer(busy))[2]
            await asyncio.wait_for(stopping, timeout=10)
            await door.stop()
            try:
                return body, await idle[0].read()
            except ConnectionError:
                return body, b""

    assert asyncio.run(main()) == (b"done", b"")


def test_stopping_cuts_off_what_outlasts_its_grace(credentials: Credentials, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever waits is told so, as the door tells everything, and nothing of it looks like a fault of ours."""
    ended: list[str] = []

    async def endless_app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def main() -> Any:
        door = HttpDoor(endless_app, tls=server_context(credentials.node_a))
        await door.start()
        with aborted(await connect(credentials, door.port)) as streams:
            streams[1].write(request("GET", "/"))
            await asyncio.sleep(0.05)
            await asyncio.wait_for(door.stop(grace_s=0.1), timeout=10)
            return await read_answer(streams)

    code, headers, body = asyncio.run(main())
    assert ended == ["cancelled"]
    assert (code, headers["connection"], headers["content-type"]) == (503, "close", "application/json")
    assert int(headers["retry-after"]) > 0
    assert "is being stopped (ask again" in json.loads(body)["message"]
    assert caplog.records == []


def test_a_call_for_keys_that_waits_when_the_door_stops_is_answered_by_503(
    credentials: Credentials, supplier: FakeSupplier, caplog: pytest.LogCaptureFixture
) -> None:
    async def wait_for_ever(**_: Any) -> Any:
        await asyncio.sleep(3600)

    supplier.get_keys = wait_for_ever  # type: ignore[method-assign]

    async def main() -> Any:
        door = HttpDoor(etsi014_app(Etsi014Door(supplier, saes={ALICE})), tls=server_context(credentials.node_a))
        await door.start()
        with aborted(await connect(credentials, door.port)) as streams:
            streams[1].write(request("POST", ENC_KEYS, b"{}"))
            await asyncio.sleep(0.05)
            await asyncio.wait_for(door.stop(grace_s=0.05), timeout=10)
            return await read_answer(streams)

    code, _, body = asyncio.run(main())
    assert code == 503
    assert "is being stopped" in json.loads(body)["message"]
    assert caplog.records == []


def test_a_port_in_use_is_a_configuration_error(credentials: Credentials) -> None:
    async def main() -> None:
        first = HttpDoor(lambda *_: None, tls=server_context(credentials.node_a))
        await first.start()
        with pytest.raises(ConfigurationError, match=r"cannot listen on 127.0.0.1.*choose a free port"):
            await HttpDoor(lambda *_: None, tls=server_context(credentials.node_a), port=first.port).start()
        await first.stop()

    asyncio.run(main())


def test_credentials_that_do_not_load_say_which_files(credentials: Credentials, tmp_path: Path) -> None:
    wrong = type(credentials.alice)(tmp_path / "none.pem", credentials.alice.key, credentials.alice.ca)
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        server_context(wrong)
    mixed = type(credentials.alice)(credentials.alice.certificate, credentials.bob.key, credentials.alice.ca)
    with pytest.raises(ConfigurationError, match="do not fit together"):
        client_context(mixed)
    with pytest.raises(ValueError, match="no port"):
        closing(HttpDoor(lambda *_: None, tls=server_context(credentials.node_a)).port)
