"""Messages between nodes over real mutual TLS: identities, loss of a peer and its return, strangers."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import sslproto
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from interop.certificates import PAST, Authority
from qanat.adapters import handshakes, tls_transport
from qanat.adapters.tls import TlsFiles, client_context, server_context
from qanat.adapters.tls_transport import ANSWER_BUFFER_BYTES, MAX_MESSAGE_BYTES, QUEUE_MESSAGES, TlsTransport
from qanat.apps.machine import TLS_READ_BYTES, spare_tls_buffers
from qanat.ground.errors import ConfigurationError
from qanat.ground.framing import encode_frame
from qanat.ground.identifiers import CONTROLLER, Epoch, EventId, MessageId, NodeId, kme_id, sae_id
from qanat.ground.messages import Message, encode_message
from qanat.ground.ports import Transport

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")
WAIT_S = 10.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return make_files(tmp_path_factory.mktemp("pki"))


def make_files(folder: Path) -> dict[str, TlsFiles]:
    ours, theirs = Authority(folder), Authority(folder, "other")
    names: list[str] = [A, B, C, CONTROLLER]
    found = {name: ours.issue(name, [kme_id(network="net", name=name)]) for name in names}
    found["sae"] = ours.issue("sae", [sae_id(network="net", name="a")])
    found["other-net"] = ours.issue("other-net", ["urn:qanat:other:kme:a"])
    found["nameless"] = ours.issue("nameless", [])
    found["odd"] = ours.issue("odd", ["urn:qanat:net:kme:../a"])
    found["expired"] = ours.issue("expired", [kme_id(network="net", name="a")], end=PAST)
    stranger = theirs.issue("stranger", [kme_id(network="net", name="a")])
    found["stranger"] = TlsFiles(stranger.certificate, stranger.key, ours.path)
    return found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls_transport, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(tls_transport, "LONGEST_PAUSE_S", 0.05)


def message(number: int, body: bytes = b"") -> Message:
    return Message(
        id=MessageId(f"m{number}"),
        kind="test",
        epoch=Epoch(3),
        cause=EventId("e"),
        fields={"number": number},
        body=body,
    )


class Net:
    """Transports by node; ports are looked up as they are, so that a node can come back elsewhere."""

    def __init__(self, files: dict[str, TlsFiles]) -> None:
        self.files = files
        self.ports: dict[NodeId, int] = {}
        self.asleep: set[NodeId] = set()
        self.open: list[TlsTransport] = []

    async def start(self, node: NodeId, *, files: str | None = None, port: int = 0) -> TlsTransport:
        transport = TlsTransport(
            node,
            network="net",
            tls=self.files[files or node],
            addresses=self.address,
            port=port,
            is_asleep=self.asleep.__contains__,
        )
        await transport.start()
        self.ports[node] = transport.port
        self.open.append(transport)
        return transport

    def address(self, node: NodeId) -> tuple[str, int] | None:
        return ("127.0.0.1", self.ports[node]) if node in self.ports else None


@asynccontextmanager
async def network(files: dict[str, TlsFiles]) -> AsyncIterator[Net]:
    net = Net(files)
    try:
        yield net
    finally:
        for transport in net.open:
            await transport.close()


async def next_of(transport: Transport) -> tuple[NodeId, Message]:
    async with asyncio.timeout(WAIT_S):
        async for item in transport.inbox():
            return item
    raise AssertionError("the inbox ended")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  (a state of the adapter, which has no event for it)
            await asyncio.sleep(0.01)


def run(work: Awaitable[None]) -> None:
    async def main() -> None:
        await work

    asyncio.run(main())


def test_three_nodes_and_the_controller_hear_who_speaks(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            nodes = {node: await net.start(node) for node in (A, B, C, CONTROLLER)}
            for number, (sender, one) in enumerate(nodes.items()):
                for receiver, other in nodes.items():
                    sent = message(number, b"x" * number)
                    await one.send(receiver, sent)
                    assert await next_of(other) == (sender, sent)
            assert all(one.is_reachable(node) for one in nodes.values() for node in nodes)

    run(work())


def test_many_and_large_messages_arrive_in_order(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            bodies = [bytes([number]) * 20_000 for number in range(100)] + [bytes(MAX_MESSAGE_BYTES - 1000)]
            for number, body in enumerate(bodies):
                await one.send(B, message(number, body))
            found = [await next_of(other) for _ in bodies]
            assert [(item.fields["number"], item.body) for _, item in found] == list(enumerate(bodies))

    run(work())


def test_messages_larger_than_the_buffers_of_a_process_of_many_sites_arrive_whole(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sslproto.SSLProtocol, "max_size", sslproto.SSLProtocol.max_size)  # put back at the end
    spare_tls_buffers()
    assert sslproto.SSLProtocol.max_size == TLS_READ_BYTES

    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            for size in (TLS_READ_BYTES - 1, 3 * TLS_READ_BYTES + 7, MAX_MESSAGE_BYTES - 1000):
                body = bytes(range(256)) * (size // 256)
                await one.send(B, message(size, body))
                assert (await next_of(other))[1].body == body

    run(work())


def test_a_peer_that_is_away_costs_nothing_and_hears_the_newest_when_it_comes(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            assert not one.is_reachable(B)
            for number in range(QUEUE_MESSAGES + 5):
                await one.send(B, message(number))
            await asyncio.sleep(0.05)
            assert not one.is_reachable(B)
            other = await net.start(B)
            assert (await next_of(other))[1].fields["number"] == 5, "the oldest are lost, the rest arrives"
            await until(lambda: one.is_reachable(B))

    run(work())


def test_a_peer_that_dies_is_missed_and_found_again(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            await one.send(B, message(1))
            await next_of(other)
            await other.close()
            await until(lambda: not one.is_reachable(B))
            await one.send(B, message(2))
            again = await net.start(B)
            assert (await next_of(again))[1].id == "m2"
            await again.send(A, message(3))
            assert await next_of(one) == (B, message(3))

    run(work())


def test_a_peer_whose_machine_has_taken_the_first_call_is_coming_until_it_was_waited_for_in_vain(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_transport, "CONNECT_TIMEOUT_S", 0.3)

    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            assert not one.is_coming(B), "nobody has called it"
            with socket.create_server(("127.0.0.1", 0)) as listening:  # nobody answers there
                net.ports[B] = listening.getsockname()[1]
                await one.send(B, message(1))
                await until(lambda: one.is_coming(B))
                assert not one.is_reachable(B)
                await until(lambda: not one.is_coming(B))
                await asyncio.sleep(0.2)
                assert not one.is_coming(B), "a second call is no better than the first"
            other = await net.start(B)
            await next_of(other)
            await until(lambda: one.is_coming(B) and one.is_reachable(B))

    run(work())


def test_a_peer_that_refuses_calls_is_not_coming(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            with socket.create_server(("127.0.0.1", 0)) as gone:
                net.ports[B] = gone.getsockname()[1]
            await one.send(B, message(1))
            for _ in range(20):
                assert not one.is_coming(B)
                await asyncio.sleep(0.005)

    run(work())


def test_a_peer_that_is_to_be_called_for_the_first_time_when_it_is_its_turn_is_coming(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What keeps it waiting is this process, which shakes hands with many; who has refused a call is not coming."""
    monkeypatch.setattr(handshakes, "TURN_S", 2 * WAIT_S)

    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            with socket.create_server(("127.0.0.1", 0)) as gone:
                net.ports[B] = gone.getsockname()[1]
            for is_coming in (True, False):
                async with AsyncExitStack() as stack:
                    for _ in range(handshakes.AT_ONCE):
                        await stack.enter_async_context(one._turns.turn())
                    await one.send(B, message(1))
                    await asyncio.sleep(0.2)
                    assert one.is_coming(B) == is_coming
                    assert not one.is_reachable(B)
                await asyncio.sleep(0.1)
                assert not one.is_coming(B)

    run(work())


def test_closing_ends_the_inbox_and_silences_send(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            heard: list[MessageId] = []

            async def listen() -> None:
                async for _, item in other.inbox():
                    heard.append(item.id)

            listening = asyncio.create_task(listen())
            await one.send(B, message(1))
            await until(lambda: bool(heard))
            await other.close()
            await asyncio.wait_for(listening, WAIT_S)
            await other.close()
            await other.send(A, message(9))
            assert [item async for item in other.inbox()] == []
            assert heard == ["m1"]

    run(work())


@pytest.mark.parametrize("who", ["sae", "other-net", "nameless", "odd", "expired", "stranger"])
def test_nobody_else_is_heard(files: dict[str, TlsFiles], who: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        async with network(files) as net:
            other = await net.start(B)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", other.port, ssl=client_context(files[who]))
                writer.write(encode_message(message(666)))
                assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
                writer.transport.abort()
            except OSError:
                pass  # the refusal may come as an alert or a reset
            one = await net.start(A)
            await one.send(B, message(1))
            assert await next_of(other) == (A, message(1))

    with caplog.at_level(logging.WARNING):
        run(work())
    assert ("turned away" in caplog.text) == (who not in ("expired", "stranger"))


@pytest.mark.parametrize("who", ["c", "sae", "stranger"])
def test_nothing_is_said_to_anybody_else(files: dict[str, TlsFiles], who: str) -> None:
    """A node that listens at B's address with another certificate gets no message."""

    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            false = await net.start(B, files=who)
            await one.send(B, message(1))
            await asyncio.sleep(0.15)
            assert not one.is_reachable(B)
            await false.close()
            assert [item async for item in false.inbox()] == []
            true = await net.start(B)
            assert await next_of(true) == (A, message(1))

    run(work())


def test_lines_of_one_node_share_what_is_loaded_and_each_takes_its_own_peer_alone(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other, third = await net.start(A), await net.start(B), await net.start(C)
            for receiver, node in ((B, other), (C, third)):
                await one.send(receiver, message(1))
                assert await next_of(node) == (A, message(1))
            loaded = one._tls._of_peers
            assert loaded is not None
            assert {one._lines[peer]._context._context for peer in (B, C)} == {loaded}  # type: ignore[attr-defined]
            net.ports[C] = net.ports[B]
            await third.close()
            await until(lambda: not one.is_reachable(C))
            await one.send(C, message(2))
            await asyncio.sleep(0.2)
            await one.send(B, message(3))
            assert await next_of(other) == (A, message(3)), "what was for C did not come to B"
            assert not one.is_reachable(C)

    run(work())


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", encode_frame(1, {}, b"x"), (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big"), b"\x00" * 20],
    ids=["http", "another frame", "too long", "zeros"],
)
def test_what_is_no_message_ends_the_line_but_not_the_transport(
    files: dict[str, TlsFiles], data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with network(files) as net:
            other = await net.start(B)
            reader, writer = await asyncio.open_connection("127.0.0.1", other.port, ssl=client_context(files["a"]))
            writer.write(data)
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), WAIT_S) == b""
            writer.transport.abort()
            one = await net.start(A)
            await one.send(B, message(1))
            assert await next_of(other) == (A, message(1))

    with caplog.at_level(logging.WARNING):
        run(work())
    assert "what is no message" in caplog.text


def test_a_new_call_takes_the_place_of_the_old(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            other = await net.start(B)
            calls = []
            for number in (1, 2):
                streams = await asyncio.open_connection("127.0.0.1", other.port, ssl=client_context(files["a"]))
                streams[1].write(encode_message(message(number)))
                assert await next_of(other) == (A, message(number))
                calls.append(streams)
            with suppress(ConnectionResetError):
                assert await asyncio.wait_for(calls[0][0].read(), WAIT_S) == b""
            assert other.is_reachable(A)
            for _, writer in calls:
                writer.transport.abort()
            await until(lambda: A not in other._callers)

    run(work())


def test_a_port_in_use_is_a_configuration_error(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            with pytest.raises(ConfigurationError, match="choose a free port"):
                await net.start(B, port=one.port)

    run(work())


@pytest.mark.parametrize("sleeps", [True, False])
def test_a_peer_that_sleeps_is_called_when_there_is_something_to_say_to_it_and_not_before(
    files: dict[str, TlsFiles], sleeps: bool
) -> None:
    """One that does not is called at once, and again and again."""

    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            await one.send(B, message(1))
            await next_of(other)
            if sleeps:
                net.asleep.add(B)
            await other.close()
            calls = list[asyncio.StreamWriter]()
            server = await asyncio.start_server(lambda _, writer: calls.append(writer), "127.0.0.1", net.ports[B])
            if sleeps:
                await asyncio.sleep(0.3)  # thirty times the first pause
                assert not calls
                assert one.is_reachable(B), "it is there for whoever calls it"
                await one.send(B, message(2))
            await until(lambda: bool(calls))
            for writer in calls:
                writer.close()
            server.close()
            await server.wait_closed()
            calls.clear()
            again = await net.start(B, port=net.ports[B])
            if not sleeps:
                await one.send(B, message(2))
            assert (await next_of(again))[1] == message(2), "what waits for it is said, however long it takes to wake"

    run(work())


def test_who_has_called_is_answered_on_its_line_and_dialled_when_that_ends(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            await one.send(B, message(1))
            assert await next_of(other) == (A, message(1))
            for number in range(2, 60):
                await other.send(A, message(number, bytes(10_000)))
            for number in range(2, 60):
                assert await next_of(one) == (B, message(number, bytes(10_000)))
            assert not other._lines, "no second line was made"
            await one.close()
            await until(lambda: not other.is_reachable(A))
            await other.send(A, message(60))
            again = await net.start(A)
            assert await next_of(again) == (B, message(60))
            await again.send(B, message(61))
            assert await next_of(other) == (A, message(61))

    run(work())


def test_a_caller_that_reads_nothing_is_dialled_before_much_waits_for_it(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            other = await net.start(B)
            _, writer = await asyncio.open_connection("127.0.0.1", other.port, ssl=client_context(files["a"]))
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            writer.write(encode_message(message(1)))
            assert await next_of(other) == (A, message(1))
            for number in range(200):
                await other.send(A, message(number, bytes(100_000)))
            waiting = other._callers[A].transport.get_write_buffer_size()
            assert waiting < 2 * ANSWER_BUFFER_BYTES
            one = await net.start(A)
            assert (await next_of(one))[0] == B, "the rest waits for a line of one's own"
            writer.transport.abort()

    run(work())


def test_two_that_dial_each_other_at_once_hear_each_other(files: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            for number in range(50):
                await one.send(B, message(number))
                await other.send(A, message(number))
            for number in range(50):
                assert await next_of(other) == (A, message(number))
                assert await next_of(one) == (B, message(number))

    run(work())


def test_a_caller_that_went_to_sleep_is_dialled_when_there_is_something_to_say_to_it(
    files: dict[str, TlsFiles],
) -> None:
    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            await one.send(B, message(1))
            await next_of(other)
            await other.send(A, message(2))
            await next_of(one)
            net.asleep.add(A)
            await one.close()
            await until(lambda: A not in other._callers)
            await asyncio.sleep(0.1)
            assert not other._lines
            again = await net.start(A)
            await other.send(A, message(3))
            assert await next_of(again) == (B, message(3))

    run(work())


def test_what_waits_for_a_turn_to_dial_is_said_to_a_peer_that_calls_meanwhile(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshakes, "TURN_S", 2 * WAIT_S)

    async def work() -> None:
        async with network(files) as net:
            one, other = await net.start(A), await net.start(B)
            async with AsyncExitStack() as stack:
                for _ in range(handshakes.AT_ONCE):
                    await stack.enter_async_context(other._turns.turn())
                await other.send(A, message(1))
                await asyncio.sleep(0.05)
                await one.send(B, message(2))
                assert await next_of(other) == (A, message(2))
                assert await next_of(one) == (B, message(1)), "on the call, while the own line waits on"
            await until(lambda: not other._lines)

    run(work())


def test_an_answer_that_is_no_message_ends_the_line_alone(
    files: dict[str, TlsFiles], caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with network(files) as net:
            one = await net.start(A)
            calls = list[asyncio.StreamWriter]()

            async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                calls.append(writer)
                writer.write(b"GET / HTTP/1.1\r\n\r\n")

            server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_context(files["b"]))
            net.ports[B] = server.sockets[0].getsockname()[1]
            await one.send(B, message(1))
            await until(lambda: len(calls) > 1)
            server.close()
            for writer in calls:
                writer.transport.abort()
            true = await net.start(B)
            await one.send(B, message(2))
            assert (await next_of(true))[0] == A

    with caplog.at_level(logging.WARNING):
        run(work())
    assert "b answered what is no message" in caplog.text


def test_files_that_are_at_odds_after_the_start_keep_nobody_from_dialling(
    files: dict[str, TlsFiles], tmp_path: Path
) -> None:
    key = tmp_path / "b.key"
    key.write_bytes(files["b"].key.read_bytes())
    odd = {**files, "b": replace(files["b"], key=key)}

    async def work() -> None:
        async with network(odd) as net:
            one, other = await net.start(A), await net.start(B)
            key.write_bytes(files["c"].key.read_bytes())
            await one.send(B, message(1))
            await next_of(other)
            await other.send(A, message(2))
            await next_of(one)
            await one.close()
            await until(lambda: not other.is_reachable(A))
            again = await net.start(A)
            await other.send(A, message(3))
            assert await next_of(again) == (B, message(3))

    run(work())
