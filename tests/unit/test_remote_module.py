"""A site's QKD modules in another process, over real mutual TLS: calls, events, broken lines, lives, strangers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qanat.adapters import module_desk, module_line
from qanat.adapters.module_wire import Hello, Welcome, decode_word, encode_word
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel, connect_channel
from qanat.adapters.tls import TlsFiles, client_context, server_context
from qanat.ground.errors import (
    BlockUnknown,
    ChannelClosed,
    ChannelError,
    ConfigurationError,
    KeyManagementError,
    QanatError,
    QberTooHigh,
    QuantumLayerError,
    StaleEpoch,
    UnknownNode,
)
from qanat.ground.framing import encode_frame
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId
from qanat.ground.orders import Alarm, KeyBlockReady, LinkQuality, ModuleEvent, OrderEnded
from qanat.ground.ports import QKDModule
from unit.module_fakes import CAPABILITY, HERE, LINK, PEER, WAIT_S, Stand, a_block, an_order, make_files, until

Work = Callable[[Stand], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return make_files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_line, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(module_line, "LONGEST_PAUSE_S", 0.02)


def run(files: dict[str, TlsFiles], work: Work) -> None:
    async def main() -> None:
        async with asyncio.timeout(3 * WAIT_S), Stand(files) as stand:
            await work(stand)

    asyncio.run(main())


def quality(progress: float = 0.5) -> LinkQuality:
    return LinkQuality(OrderId("order"), LINK, progress, 3.25, qber=0.0051, sifted_bits=7, details={"mu": 0.5})


EVENTS: list[ModuleEvent] = [
    quality(),
    Alarm("qber-high", "critical", "too many errors", "look at the fibre", LINK),
    Alarm("hot", "warning", "the detector is warm", "cool it"),
    KeyBlockReady(BlockId("b"), OrderId("order"), 128),
    OrderEnded(OrderId("order"), 1),
    OrderEnded(OrderId("other"), 0, "the other end did not start"),
]


def test_a_remote_module_is_as_the_module_itself(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        remote: QKDModule = stand.remote
        assert (remote.node, remote.module_id, remote.origin) == (HERE, stand.module.module_id, "device")
        assert remote.capability(PEER) == CAPABILITY
        with pytest.raises(UnknownNode):
            remote.capability(NodeId("third"))

        order = an_order()
        await remote.start(order)
        (started,) = stand.module.started.values()
        assert started == order
        assert started.pads is not None
        assert started.pads.pool == order.pads.pool if order.pads else False
        assert started.pads.secret.reveal() == bytes(range(128))
        await remote.stop(order.order_id)
        assert stand.module.stopped == {order.order_id}

        block = a_block("b")
        stand.module.make(block)
        for _ in range(2):
            fetched = await remote.fetch(block.block_id)
            assert fetched == block
            assert fetched.bits == block.bits
        await remote.release(block.block_id, kept=True)
        assert stand.module.released == {block.block_id: True}

    run(files, work)


def test_an_orders_pads_are_wiped_once_the_module_has_them(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        order = an_order()
        await stand.remote.start(order)
        assert order.pads is not None
        with pytest.raises(ValueError, match="wiped"):
            order.pads.secret.reveal()

    run(files, work)


def test_events_arrive_as_they_are_and_in_order(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        for event in EVENTS[:3]:
            stand.module.tell(event)  # nobody listens yet
        await stand.begin_life()
        for event in EVENTS[3:]:
            stand.module.tell(event)
        await until(lambda: len(stand.heard) == len(EVENTS))
        assert stand.heard == EVENTS

    run(files, work)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (BlockUnknown("no such block"), BlockUnknown),
        (QberTooHigh("7 %", remedy="look at the fibre"), QberTooHigh),
        (StaleEpoch("of the past"), KeyManagementError),
        (type("Odd", (QanatError,), {})("odd"), QuantumLayerError),
    ],
)
def test_errors_cross_with_their_class_and_words(
    files: dict[str, TlsFiles], fault: QanatError, kind: type[QanatError]
) -> None:
    """But for a stale epoch: that of a module must not be taken for the key manager's own."""

    async def work(stand: Stand) -> None:
        await stand.begin_life()

        def fail(_: str) -> None:
            raise fault

        stand.module.meanwhile = fail
        for call in (
            stand.remote.fetch(BlockId("b")),
            stand.remote.release(BlockId("b"), kept=False),
            stand.remote.start(an_order()),
        ):
            with pytest.raises(QanatError) as caught:
                await call
            assert (type(caught.value), caught.value.message, caught.value.remedy) == (
                kind,
                fault.message,
                fault.remedy,
            )

    run(files, work)


def test_an_answer_that_is_lost_is_asked_for_again(files: dict[str, TlsFiles]) -> None:
    """The line breaks while the module is at work, once in each call."""

    async def work(stand: Stand) -> None:
        await stand.begin_life()
        broken: set[str] = set()

        def cut_once(call: str) -> None:
            if call not in broken:
                broken.add(call)
                stand.wire.cut()

        stand.module.meanwhile = cut_once
        stand.module.make(a_block("b"))
        await stand.remote.start(an_order())
        assert (await stand.remote.fetch(BlockId("b"))).bits == a_block("b").bits
        await stand.remote.release(BlockId("b"), kept=True)
        await stand.remote.stop(OrderId("order"))
        twice = ["start", "fetch", "release", "stop"]
        await until(lambda: [call for call, _ in stand.module.calls] == [call for call in twice for _ in range(2)])
        assert list(stand.module.started) == ["order"]
        assert stand.wire.num_calls == 5

    run(files, work)


async def one_order_of_two_blocks(stand: Stand) -> None:
    """Start an order, hear of its two blocks, fetch and release them, hear that it ended; all of it once."""
    await stand.remote.start(an_order())
    expected: list[ModuleEvent] = []
    for number in range(2):
        bits = bytes([number]) * 400
        expected.append(quality(number / 2))
        stand.module.tell(expected[-1])
        expected.append(stand.module.make(a_block(f"b{number}", bits=bits)))
        await until(lambda: len(stand.heard) >= len(expected))
        assert (await stand.remote.fetch(BlockId(f"b{number}"))).bits.reveal() == bits
        await stand.remote.release(BlockId(f"b{number}"), kept=True)
    expected.append(OrderEnded(OrderId("order"), 2))
    stand.module.tell(expected[-1])
    await until(lambda: len(stand.heard) >= len(expected) and stand.module.released == {"b0": True, "b1": True})
    assert stand.heard == expected
    assert list(stand.module.started) == ["order"]


@pytest.mark.slow
def test_a_line_may_break_after_any_byte(files: dict[str, TlsFiles]) -> None:
    """Whatever is cut off, nothing is lost and no event comes twice."""

    def calls_when_cut_after(num_bytes: int) -> int:
        calls: list[int] = []

        async def work(stand: Stand) -> None:
            await stand.begin_life()
            stand.wire.budget = num_bytes
            await one_order_of_two_blocks(stand)
            calls.append(stand.wire.num_calls)

        run(files, work)
        return calls[0]

    assert calls_when_cut_after(10**6) == 1
    calls = [calls_when_cut_after(num_bytes) for num_bytes in range(0, 5000, 101)]
    assert calls.count(2) > 25, "most cuts fell into the middle of the work"


def but_alarms(heard: list[ModuleEvent]) -> list[ModuleEvent]:
    """That nobody answered is told or not, as it happens that somebody calls while nobody does."""
    return [event for event in heard if not isinstance(event, Alarm)]


def test_with_another_process_of_the_modules_old_orders_have_ended_and_none_is_started_again(
    files: dict[str, TlsFiles],
) -> None:
    """The pads of an order are spent by the first process that had it."""

    async def work(stand: Stand) -> None:
        await stand.begin_life()
        await stand.remote.start(an_order("running"))
        stand.module.make(a_block("b", order="running"))
        stand.module.tell(OrderEnded(OrderId("elsewhere"), 0))
        await until(lambda: len(stand.heard) == 2)

        def die(_: str) -> None:
            stand.wire.close()

        stand.module.meanwhile = die
        starting = asyncio.create_task(stand.remote.start(an_order("asked")))
        await until(lambda: not stand.site.is_connected)
        await stand.remote.release(BlockId("b"), kept=True)
        await stand.server.stop()
        await stand.start_server()
        stand.wire.is_open = True
        with pytest.raises(QuantumLayerError, match="has ended"):
            await starting
        await until(lambda: len(but_alarms(stand.heard)) >= 3)
        ended = but_alarms(stand.heard)[2]
        assert isinstance(ended, OrderEnded)
        assert (ended.order_id, ended.blocks_made) == ("running", 1)
        assert "has ended" in (ended.fault or "")

        with pytest.raises(BlockUnknown):
            await stand.remote.fetch(BlockId("b"))
        stand.module.tell(quality())  # its first event has a number that the last process used
        await until(lambda: len(but_alarms(stand.heard)) == 4)
        assert stand.module.started == {}
        assert ("release", "b") not in stand.module.calls

    run(files, work)


def test_a_new_life_of_the_site_is_offered_every_block_that_was_not_released(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        offers = [stand.module.make(a_block(name)) for name in ("kept", "heard", "gone")]
        await until(lambda: len(stand.heard) == 3)
        await stand.remote.release(BlockId("gone"), kept=True)
        await stand.end_life()
        late = [quality(), stand.module.make(a_block("late")), OrderEnded(OrderId("order"), 4)]
        for event in (late[0], late[2]):
            stand.module.tell(event)
        await stand.begin_life()
        await until(lambda: len(stand.heard) >= 5)
        assert stand.heard == [offers[0], offers[1], late[1], late[0], late[2]]
        for block_id in list(stand.module.blocks):
            await stand.remote.fetch(block_id)
            await stand.remote.release(block_id, kept=False)
        assert stand.module.blocks == {}
        await stand.end_life()
        await stand.begin_life()
        stand.module.tell(quality(0.9))
        await until(lambda: bool(stand.heard))
        assert stand.heard == [quality(0.9)]

    run(files, work)


def test_a_site_that_stays_away_costs_a_bounded_memory(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_desk, "MAX_KEPT_EVENTS", 8)

    async def work(stand: Stand) -> None:
        ready = stand.module.make(a_block("b"))
        for number in range(50):
            stand.module.tell(quality(number / 50))
        stand.module.tell(ended := OrderEnded(OrderId("order"), 1))
        await stand.begin_life()
        await until(lambda: ended in stand.heard)
        assert stand.heard == [ready, *(quality(number / 50) for number in range(44, 50)), ended]

    run(files, work)


def test_while_the_line_is_down_stop_and_release_are_remembered(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        stand.module.make(a_block("b"))
        stand.wire.close()
        await until(lambda: not stand.site.is_connected)
        await stand.remote.release(BlockId("b"), kept=False)
        await stand.remote.stop(OrderId("order"))
        assert stand.module.calls == []
        stand.wire.is_open = True
        await until(lambda: stand.module.calls == [("release", "b"), ("stop", "order")])
        assert stand.module.released == {"b": False}

    run(files, work)


def test_a_start_that_is_not_answered_fails_and_the_order_is_stopped(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_line, "CALL_TIMEOUT_S", 0.05)

    async def work(stand: Stand) -> None:
        await stand.begin_life()
        stand.wire.close()
        await until(lambda: not stand.site.is_connected)
        order = an_order()
        with pytest.raises(QuantumLayerError, match="do not answer within"):
            await stand.remote.start(order)
        assert order.pads is not None
        with pytest.raises(ValueError, match="wiped"):
            order.pads.secret.reveal()
        with pytest.raises(QuantumLayerError, match="do not answer within"):
            await stand.remote.fetch(BlockId("b"))
        stand.wire.is_open = True
        await until(lambda: stand.module.calls == [("stop", "order")])

    run(files, work)


def test_a_call_that_breaks_every_line_is_given_up(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        stand.module.meanwhile = lambda call: stand.wire.cut() if call == "fetch" else None
        with pytest.raises(QuantumLayerError, match="broke the line"):
            await stand.remote.fetch(BlockId("b"))
        assert len(stand.module.calls) == module_line.MAX_TRIES
        await stand.remote.stop(OrderId("order"))

    run(files, work)


def test_a_new_call_takes_the_place_of_the_old(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        old = await call_by_hand(stand)
        assert isinstance(decode_word(await old.receive(timeout_s=WAIT_S)), Welcome)
        await stand.begin_life()
        with pytest.raises(ChannelClosed):
            await old.receive(timeout_s=WAIT_S)
        await stand.remote.stop(OrderId("order"))
        assert stand.desk.is_connected
        old.abort()
        await stand.end_life()
        await until(lambda: not stand.desk.is_connected)

    run(files, work)


async def call_by_hand(stand: Stand, *, files: str = HERE) -> TcpChannel:
    channel = await connect_channel("127.0.0.1", stand.server.port, tls=client_context(stand.files[files]))
    await channel.send(encode_word(Hello("a life")))
    return channel


async def answer_to_hello(stand: Stand, *, files: str) -> bytes:
    channel = await call_by_hand(stand, files=files)
    try:
        return await channel.receive(timeout_s=WAIT_S)
    finally:
        channel.abort()


@pytest.mark.parametrize("who", [PEER, "sae", "nameless", "expired", "stranger"])
def test_nobody_but_the_site_is_served(files: dict[str, TlsFiles], who: str, caplog: pytest.LogCaptureFixture) -> None:
    async def work(stand: Stand) -> None:
        with pytest.raises(ChannelError):
            await answer_to_hello(stand, files=who)
        assert not stand.desk.is_connected
        await stand.begin_life()
        await stand.remote.stop(OrderId("order"))

    with caplog.at_level(logging.WARNING):
        run(files, work)
    assert ("turned away" in caplog.text) == (who not in ("expired", "stranger"))


def away_alarms(stand: Stand) -> list[tuple[str | None, bool]]:
    alarms = (event for event in stand.heard if isinstance(event, Alarm) and event.code == "module-away")
    return [(event.link_id, event.is_cleared) for event in alarms]


def test_an_alarm_lasts_while_the_process_with_the_module_does_not_answer(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        await stand.remote.start(an_order())
        await stand.server.stop()
        await until(lambda: away_alarms(stand) == [(LINK, False)])
        (alarm,) = stand.heard
        assert isinstance(alarm, Alarm)
        assert "--apart here" in alarm.remedy
        await stand.start_server()
        await until(lambda: away_alarms(stand) == [(LINK, False), (LINK, True)])
        kinds = [type(event) for event in stand.heard]
        assert kinds == [Alarm, OrderEnded, Alarm]  # what ran there has ended before the link is tried again

    run(files, work)


def test_a_line_that_is_had_again_at_once_is_no_alarm(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        for _ in range(3):
            stand.wire.cut()
            await stand.remote.stop(OrderId("order"))
        event = quality()
        stand.module.tell(event)
        await until(lambda: event in stand.heard)
        assert away_alarms(stand) == []

    run(files, work)


@pytest.mark.parametrize("who", [PEER, "sae", "stranger"])
def test_nobody_but_the_site_is_called(files: dict[str, TlsFiles], who: str) -> None:
    """Whoever listens in the place of the modules with another certificate does not hear a word."""

    async def work(stand: Stand) -> None:
        heard: list[bytes] = []

        async def accept(channel: TcpChannel) -> None:
            heard.append(await channel.receive(timeout_s=WAIT_S))

        false = ChannelServer(accept, tls=server_context(files[who]))
        await false.start()
        true_port, stand.wire.target = stand.wire.target, false.port
        with pytest.raises(ConfigurationError, match=r"do not answer.*--apart here"):
            await stand.begin_life(patience_s=0.1)
        assert heard == []
        await false.stop()
        stand.wire.target = true_port
        await stand.begin_life()

    run(files, work)


NO_WORDS = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "another protocol": encode_frame(1, {}, b"x"),
    "too long": (64 * 2**20).to_bytes(4, "big"),
    "zeros": bytes(20),
    "no module": encode_frame(0x63, {"call": 1}),
}


@pytest.mark.parametrize("data", [*NO_WORDS.values(), encode_word(Welcome("x", ()))], ids=[*NO_WORDS, "welcome"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
def test_what_a_site_may_not_say_ends_the_line_and_nothing_else(
    files: dict[str, TlsFiles], data: bytes, is_first: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def work(stand: Stand) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", stand.server.port, ssl=client_context(stand.files[HERE])
        )
        if not is_first:
            writer.write(encode_word(Hello("life")))
            await reader.readexactly(4)
        writer.write(data)
        try:
            async with asyncio.timeout(WAIT_S):
                while await reader.read(1000):
                    pass
        except ConnectionResetError:
            pass
        writer.transport.abort()
        await stand.begin_life()
        await stand.remote.stop(OrderId("order"))
        assert stand.module.calls == [("stop", "order")]

    with caplog.at_level(logging.WARNING):
        run(files, work)
    assert "a connection ended" in caplog.text


def test_a_call_for_a_module_that_is_not_there_is_refused(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        stand.remote.module_id = ModuleId("another")
        with pytest.raises(UnknownNode, match="same network file"):
            await stand.remote.stop(OrderId("order"))

    run(files, work)


def test_no_key_byte_enters_a_log_or_a_repr(files: dict[str, TlsFiles], caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []

    async def work(stand: Stand) -> None:
        await stand.begin_life()
        bits = b"\xabSECRET-KEY-BITS\xcd"

        def fail_loudly(call: str) -> None:
            stand.wire.cut()

        stand.module.make(a_block("b", bits=bits))
        order = an_order()
        shown.append(repr(order))
        await stand.remote.start(order)
        stand.module.meanwhile = fail_loudly
        with pytest.raises(QuantumLayerError) as caught:
            await stand.remote.fetch(BlockId("b"))
        stand.module.meanwhile = lambda _: None
        block = await stand.remote.fetch(BlockId("b"))
        assert block.bits.reveal() == bits
        shown.extend((repr(block), repr(caught.value), str(stand.heard), repr(stand.module.started)))

    with caplog.at_level(logging.DEBUG):
        run(files, work)
    text = caplog.text + "".join(shown)
    assert "SECRET" not in text
    assert bytes(range(20, 40)).hex() not in text
    assert repr(bytes(range(33, 60)))[2:-1] not in text
