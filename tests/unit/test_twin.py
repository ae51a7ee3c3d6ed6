"""The two modules of a twin link behind the port of a QKD device."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.adapters.system import SystemClock, SystemEntropy
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.errors import BlockUnknown, ConfigurationError, QuantumLayerError, UnknownNode
from qanat.ground.identifiers import BlockId, LinkId, NodeId, OrderId
from qanat.ground.keys import BitRange, KeyBlock, PoolId, SecretBytes, SpentBits
from qanat.ground.network import Link
from qanat.ground.orders import Alarm, GenerationOrder, KeyBlockReady, ModuleEvent, OrderEnded
from qanat.ground.ports import Job
from qanat.ground.randomness import SeededChance
from qanat.quantum_layer import twin as twin_module
from qanat.quantum_layer.block_job import LinkRun
from qanat.quantum_layer.reports import BlockReport, FaultReport, encode_report
from qanat.quantum_layer.twin import TwinLink, TwinModule

LINK = Link(name="one-other", transmitter="one", receiver="other", system="backbone-625", loss_db=10, length_km=40)
ONE, OTHER = LINK.ends


class InlinePool:
    """A KernelPool that answers at once with a made-up block for each end; remembers the runs it was given."""

    num_workers = 1

    def __init__(self, *, fails: Exception | None = None) -> None:
        self.runs: list[LinkRun] = []
        self._fails = fails

    async def run(self, job: Job[Any], /, *, priority: int = 0) -> Any:
        raise AssertionError("a twin streams")

    async def stream(self, job: Job[Any], /, *, priority: int = 0) -> AsyncIterator[bytes]:
        (run,) = job.arguments
        self.runs.append(run)
        if self._fails is not None:
            raise self._fails
        for node, peer in ((ONE, OTHER), (OTHER, ONE)):
            yield encode_report(BlockReport(node, a_block(run, node, peer)))

    async def close(self, *, grace_s: float) -> None:
        return


def a_block(run: LinkRun, node: NodeId, peer: NodeId) -> KeyBlock:
    return KeyBlock(
        block_id=BlockId(f"block-{run.order_id}-{run.pads[0][0]}"),
        order_id=run.order_id,
        link_id=run.link_id,
        local=node,
        peer=peer,
        origin="twin",
        protocol="decoy-bb84",
        num_bits=64,
        bits=SecretBytes(bytes(8)),
        eps_sec=1e-9,
        eps_cor=1e-15,
        finished_utc_s=0.0,
    )


def an_order(node: NodeId, *, num_blocks: int = 1, pads: bool = True) -> GenerationOrder:
    size = SESSION_PAD_BITS // 8
    secret = SecretBytes(b"".join(bytes([number]) * size for number in range(num_blocks)))
    return GenerationOrder(
        order_id=OrderId("order"),
        link_id=LINK.link_id,
        local=node,
        peer=LINK.peer_of(node),
        role="transmitter" if node == ONE else "receiver",
        num_blocks=num_blocks,
        pads=SpentBits(PoolId(LINK.link_id, None), BitRange(()), secret) if pads else None,
    )


def a_twin(pool: InlinePool, tasks: AsyncioTasks) -> TwinLink:
    return TwinLink(LINK, pool=pool, tasks=tasks, clock=SystemClock(), chance=SeededChance(1), entropy=SystemEntropy())


async def events_until_end(module: TwinModule) -> list[ModuleEvent]:
    seen: list[ModuleEvent] = []
    async with asyncio.timeout(5):
        async for event in module.events():
            seen.append(event)
            if isinstance(event, OrderEnded):
                break
    return seen


def test_both_ends_get_their_blocks_and_can_fetch_them_until_released() -> None:
    async def scenario() -> None:
        pool = InlinePool()
        async with AsyncioTasks() as tasks:
            link = a_twin(pool, tasks)
            for node in LINK.ends:
                await link.modules[node].start(an_order(node, num_blocks=2))
                await link.modules[node].start(an_order(node, num_blocks=2))  # idempotent
            for node in LINK.ends:
                module = link.modules[node]
                events = await events_until_end(module)
                ready = [event for event in events if isinstance(event, KeyBlockReady)]
                assert len(ready) == 2
                assert events[-1] == OrderEnded(OrderId("order"), 2, None)
                first = await module.fetch(ready[0].block_id)
                first.bits.wipe()
                assert (await module.fetch(ready[0].block_id)).bits.num_bits == 64  # repeatable, whatever became of it
                await module.release(ready[0].block_id, kept=True)
                await module.release(ready[0].block_id, kept=True)
                with pytest.raises(BlockUnknown):
                    await module.fetch(ready[0].block_id)
        assert [run.pads[0] for run in pool.runs] == [bytes(128), b"\x01" * 128]  # no block gets another one's pads

    asyncio.run(scenario())


def test_no_block_is_begun_where_no_light_comes_through_the_switches() -> None:
    async def scenario() -> None:
        pool = InlinePool()
        async with AsyncioTasks() as tasks:
            link = a_twin(pool, tasks)
            link._is_lit = lambda: len(pool.runs) < 1
            for node in LINK.ends:
                await link.modules[node].start(an_order(node, num_blocks=3))
            for node in LINK.ends:
                ended = (await events_until_end(link.modules[node]))[-1]
                assert isinstance(ended, OrderEnded)
                assert (ended.blocks_made, ended.fault) == (1, "no light comes through the switches")
        assert len(pool.runs) == 1

    asyncio.run(scenario())


def test_a_worker_that_dies_ends_the_order_at_both_ends() -> None:
    async def scenario() -> None:
        async with AsyncioTasks() as tasks:
            link = a_twin(InlinePool(fails=QuantumLayerError("the worker died")), tasks)
            for node in LINK.ends:
                await link.modules[node].start(an_order(node))
            for node in LINK.ends:
                events = await events_until_end(link.modules[node])
                assert events == [OrderEnded(OrderId("order"), 0, "the worker died")]

    asyncio.run(scenario())


@pytest.mark.parametrize("slip", [ArithmeticError("lost a quarter"), ValueError("a slip"), MemoryError("full")])
def test_a_job_that_raises_anything_ends_the_order_and_not_the_node(slip: Exception) -> None:
    async def scenario() -> None:
        async with AsyncioTasks() as tasks:  # would raise the slip if it got this far
            link = a_twin(InlinePool(fails=slip), tasks)
            for node in LINK.ends:
                await link.modules[node].start(an_order(node, num_blocks=3))
            for node in LINK.ends:
                alarm, ended = await events_until_end(link.modules[node])
                assert isinstance(alarm, Alarm)
                assert (alarm.code, alarm.severity, alarm.link_id) == ("JobFailed", "critical", LINK.link_id)
                assert isinstance(ended, OrderEnded)
                assert ended.blocks_made == 0
                assert str(slip) in (ended.fault or "")

    asyncio.run(scenario())


def wiped(secret: SecretBytes) -> bool:
    try:
        secret.reveal()
    except ValueError:
        return True
    return False


class PadWatch:
    """Remembers every secret that a link cuts out of an order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.secrets: list[SecretBytes] = []
        part = SecretBytes.part

        def watched(secret: SecretBytes, start: int, stop: int) -> SecretBytes:
            self.secrets.append(part(secret, start, stop))
            return self.secrets[-1]

        monkeypatch.setattr(SecretBytes, "part", watched)


@pytest.mark.parametrize("fails", [None, QuantumLayerError("dark"), ValueError("a slip")])
def test_after_the_end_no_pad_is_left(monkeypatch: pytest.MonkeyPatch, fails: Exception | None) -> None:
    watch = PadWatch(monkeypatch)

    async def scenario() -> None:
        async with AsyncioTasks() as tasks:
            link = a_twin(InlinePool(fails=fails), tasks)
            orders = [an_order(node, num_blocks=3) for node in LINK.ends]
            for order in orders:
                await link.modules[order.local].start(order)
                assert order.pads is not None
                assert wiped(order.pads.secret)  # the link has taken them
            assert len(watch.secrets) == 6
            assert not any(map(wiped, watch.secrets))
            again = an_order(ONE, num_blocks=3)
            await link.modules[ONE].start(again)
            assert again.pads is not None
            assert wiped(again.pads.secret)
            for node in LINK.ends:
                await events_until_end(link.modules[node])
            assert all(map(wiped, watch.secrets))

    asyncio.run(scenario())


def test_a_stop_wipes_the_pads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = PadWatch(monkeypatch)

    async def scenario() -> None:
        pool = InlinePool()
        async with AsyncioTasks() as tasks:
            link = a_twin(pool, tasks)
            await link.modules[ONE].start(an_order(ONE))
            await link.modules[ONE].stop(OrderId("order"))
            assert [wiped(secret) for secret in watch.secrets] == [True]
            await link.modules[OTHER].start(an_order(OTHER))
            for node in LINK.ends:
                assert await events_until_end(link.modules[node]) == [
                    OrderEnded(OrderId("order"), 0, "the order was stopped")
                ]
        assert pool.runs == []

    asyncio.run(scenario())


def test_the_memory_of_orders_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_module, "MAX_ENDED_ORDERS", 4)

    async def scenario() -> None:
        async with AsyncioTasks() as tasks:
            link = a_twin(InlinePool(), tasks)
            for number in range(10):
                for node in LINK.ends:
                    await link.modules[node].start(replace(an_order(node), order_id=OrderId(f"order-{number}")))
                for node in LINK.ends:
                    await events_until_end(link.modules[node])
            assert link.num_remembered_orders == 4

    asyncio.run(scenario())


class FaultyPool(InlinePool):
    """Answers with a fault at each end: the first failed by itself, the second heard an ABORT."""

    async def stream(self, job: Job[Any], /, *, priority: int = 0) -> AsyncIterator[bytes]:
        yield encode_report(FaultReport(ONE, "QberTooHigh", "too many errors", "look", is_root=True))
        yield encode_report(FaultReport(OTHER, "QberTooHigh", "the other party stopped", "its log", is_root=False))


def test_what_only_the_peer_said_is_a_warning_and_no_alarm_of_the_peers_code() -> None:
    """Anybody on the line can forge an ABORT: it must not raise a critical alarm of his choosing."""

    async def scenario() -> None:
        async with AsyncioTasks() as tasks:
            link = a_twin(FaultyPool(), tasks)
            for node in LINK.ends:
                await link.modules[node].start(an_order(node))
            root, _ = await events_until_end(link.modules[ONE])
            echo, ended = await events_until_end(link.modules[OTHER])
            assert root == Alarm("QberTooHigh", "critical", "too many errors", "look", LINK.link_id)
            assert echo == Alarm("PeerStopped", "warning", "the other party stopped", "its log", LINK.link_id)
            assert ended == OrderEnded(OrderId("order"), 0, "too many errors", "look")

    asyncio.run(scenario())


def test_one_end_alone_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(twin_module, "PEER_PATIENCE_S", 0.01)

    async def scenario() -> None:
        pool = InlinePool()
        async with AsyncioTasks() as tasks:
            link = a_twin(pool, tasks)
            await link.modules[ONE].start(an_order(ONE))
            (ended,) = await events_until_end(link.modules[ONE])
            assert isinstance(ended, OrderEnded)
            assert "did not start" in (ended.fault or "")
            await link.modules[OTHER].start(an_order(OTHER))  # too late: the order was given up
            late = await events_until_end(link.modules[OTHER])
            assert late[-1] == OrderEnded(OrderId("order"), 0, "the order was stopped")
        assert pool.runs == []

    asyncio.run(scenario())


def test_an_order_without_pads_is_refused_and_a_strange_peer_unknown() -> None:
    async def scenario() -> None:
        async with AsyncioTasks() as tasks:
            module = a_twin(InlinePool(), tasks).modules[ONE]
            with pytest.raises(ConfigurationError, match="without pads"):
                await module.start(an_order(ONE, pads=False))
            with pytest.raises(UnknownNode):
                module.capability(NodeId("third"))
            capability = module.capability(OTHER)
            assert capability.link_id == LinkId("one-other")
            assert capability.expected_rate_bits_per_s > 100_000

    asyncio.run(scenario())


def test_what_is_ordered_waits_until_the_twin_is_ready_and_may_be_stopped_before() -> None:
    async def scenario() -> None:
        pool, is_ready = InlinePool(), asyncio.Event()
        async with AsyncioTasks() as tasks:
            link = TwinLink(
                LINK,
                pool=pool,
                tasks=tasks,
                clock=SystemClock(),
                chance=SeededChance(1),
                entropy=SystemEntropy(),
                until_ready=is_ready.wait,
            )
            stopped = OrderId("stopped")
            for node in LINK.ends:
                await link.modules[node].start(replace(an_order(node), order_id=stopped))
                await link.modules[node].start(an_order(node))
            for _ in range(50):
                await asyncio.sleep(0)
            assert pool.runs == []
            await link.modules[ONE].stop(stopped)
            is_ready.set()
            first = await events_until_end(link.modules[ONE])
            assert [event.order_id for event in first if isinstance(event, OrderEnded)] == [stopped]
            assert (await events_until_end(link.modules[ONE]))[-1] == OrderEnded(OrderId("order"), 1, None)
            assert [run.order_id for run in pool.runs] == [OrderId("order")]

    asyncio.run(scenario())


@pytest.mark.parametrize(("disturbance", "told"), [(0.0, [True, False]), (0.01, [False, False])])
def test_the_first_block_alone_is_short_and_only_where_nothing_disturbs(disturbance: float, told: list[bool]) -> None:
    async def scenario() -> None:
        pool = InlinePool()
        async with AsyncioTasks() as tasks:
            link = TwinLink(
                LINK.model_copy(update={"disturbance": disturbance}),
                pool=pool,
                tasks=tasks,
                clock=SystemClock(),
                chance=SeededChance(1),
                entropy=SystemEntropy(),
                first_is_short=True,
            )
            for node in LINK.ends:
                await link.modules[node].start(an_order(node, num_blocks=2))
            await events_until_end(link.modules[ONE])
        assert [run.is_short for run in pool.runs] == told

    asyncio.run(scenario())
