"""A line to QKD modules on which nothing comes, though it stands: who is called away, and who is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qanat.adapters import module_line
from qanat.adapters.module_wire import Hello, Welcome, decode_word, encode_word
from qanat.adapters.tcp_channel import ChannelServer, TcpChannel
from qanat.adapters.tls import TlsFiles, server_context
from qanat.ground.errors import ChannelTimeout, QuantumLayerError
from qanat.ground.identifiers import BlockId, OrderId
from qanat.ground.orders import GenerationOrder, OrderEnded
from unit.module_fakes import HERE, LINK, WAIT_S, Stand, a_block, an_order, make_files, until
from unit.test_remote_module import away_alarms, quality

LOOK_S = 0.03


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    return make_files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module_line, "FIRST_PAUSE_S", 0.005)
    monkeypatch.setattr(module_line, "LONGEST_PAUSE_S", 0.02)
    monkeypatch.setattr(module_line, "LOOK_PERIOD_S", LOOK_S)
    monkeypatch.setattr(module_line, "CALL_TIMEOUT_S", WAIT_S)


def run(files: dict[str, TlsFiles], work: Callable[[Stand], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(3 * WAIT_S), Stand(files) as stand:
            await work(stand)

    asyncio.run(main())


async def hang(stand: Stand) -> None:
    """Have the process with the modules stand still until that is told."""
    stand.wire.flows.clear()
    await until(lambda: away_alarms(stand) == [(LINK, False)])
    assert not stand.site.is_connected


def test_modules_that_stand_still_are_away_until_they_go_on_and_then_hear_what_was_held_back(
    files: dict[str, TlsFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module_line, "CALL_TIMEOUT_S", 0.05)

    async def work(stand: Stand) -> None:
        await stand.begin_life()
        for _ in range(2):
            stand.heard.clear()
            stand.module.calls.clear()
            await hang(stand)
            await stand.remote.stop(OrderId("order"))
            with pytest.raises(QuantumLayerError, match="do not answer within"):
                await stand.remote.fetch(BlockId("b"))
            stand.wire.flows.set()
            await until(lambda: away_alarms(stand) == [(LINK, False), (LINK, True)])
            assert stand.site.is_connected
            await until(lambda: stand.module.calls == [("stop", "order")])
            stand.module.tell(quality())
            await until(lambda: quality() in stand.heard)
        assert stand.wire.num_calls == 1, "the line was kept"

    run(files, work)


def test_modules_that_are_ended_where_they_stood_still_are_told_once(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        await stand.remote.start(an_order())
        await hang(stand)
        stand.wire.close()
        stand.wire.flows.set()
        await stand.server.stop()
        num_tries = stand.wire.num_calls
        await until(lambda: stand.wire.num_calls > num_tries + 3)
        await stand.start_server()
        stand.wire.is_open = True
        await until(lambda: away_alarms(stand)[1:] == [(LINK, True)])
        ended = [event for event in stand.heard if isinstance(event, OrderEnded)]
        assert [event.order_id for event in ended] == ["order"]

    run(files, work)


def test_a_module_that_is_at_work_for_long_is_not_away(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        is_done = asyncio.Event()

        async def start(order: GenerationOrder, /) -> None:
            stand.module.started[order.order_id] = order
            await is_done.wait()

        stand.module.start = start  # type: ignore[method-assign]
        starting = asyncio.create_task(stand.remote.start(an_order()))
        await until(lambda: bool(stand.module.started))
        stopping = asyncio.create_task(stand.remote.stop(OrderId("other")))
        asked = stand.site.line._last_ping
        await until(lambda: stand.site.line._last_ping > asked + module_line.SILENT_LOOKS)
        assert stand.heard == []
        assert stand.module.calls == [], "calls are made one after the other all the same"
        is_done.set()
        await asyncio.gather(starting, stopping)
        assert stand.module.calls == [("stop", "other")]

    run(files, work)


def test_a_site_that_stood_still_itself_does_not_blame_its_modules(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        for _ in range(3):
            time.sleep(2 * module_line.SILENT_LOOKS * LOOK_S)  # noqa: ASYNC251 - nothing runs meanwhile, on purpose
            await asyncio.sleep(LOOK_S)
        stand.module.tell(quality())
        await until(lambda: bool(stand.heard))
        assert stand.heard == [quality()]

    run(files, work)


def test_a_long_word_on_a_slow_line_is_no_silence(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        await stand.begin_life()
        block = a_block("b", bits=bytes(2**21))
        stand.module.make(block)
        await until(lambda: len(stand.heard) == 1)
        stand.wire.pause_s = LOOK_S / 2  # at least 32 pieces
        assert (await stand.remote.fetch(block.block_id)).bits == block.bits
        assert away_alarms(stand) == []

    run(files, work)


def test_older_modules_are_not_asked_whether_they_live(files: dict[str, TlsFiles]) -> None:
    async def work(stand: Stand) -> None:
        is_checked = asyncio.Event()

        async def accept(channel: TcpChannel) -> None:
            assert isinstance(decode_word(await channel.receive(timeout_s=WAIT_S)), Hello)
            card = stand.desk._card(stand.desk._outboxes[stand.module.module_id])
            await channel.send(encode_word(Welcome("an older one", (card,))))
            with pytest.raises(ChannelTimeout):
                await channel.receive(timeout_s=3 * module_line.SILENT_LOOKS * LOOK_S)
            is_checked.set()

        older = ChannelServer(accept, tls=server_context(files[HERE]))
        await older.start()
        stand.wire.target = older.port
        await stand.begin_life()
        await is_checked.wait()
        assert stand.heard == []
        await stand.end_life()
        await older.stop()

    run(files, work)
