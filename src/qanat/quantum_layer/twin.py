"""The digital twin of a QKD link: two modules behind the port that real devices stand behind, and one worker job.

Nature, Alice and Bob run in a worker process (``block_worker``); photons and sifted bits never leave it. Here are only
the orders that go in and the finished blocks that come out, each end's from that end's own session.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from qanat.ground.alarms import module_alarm
from qanat.ground.errors import BlockUnknown, ConfigurationError, QanatError, UnknownNode
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId, Topic
from qanat.ground.keys import KeyBlock, Origin, SecretBytes
from qanat.ground.network import Link
from qanat.ground.orders import (
    Alarm,
    GenerationOrder,
    KeyBlockReady,
    LinkCapability,
    LinkQuality,
    ModuleEvent,
    OrderEnded,
)
from qanat.ground.ports import Chance, Clock, Entropy, Job, KernelPool, Tasks
from qanat.quantum_layer.block_job import LinkRun
from qanat.quantum_layer.block_worker import distil_link
from qanat.quantum_layer.forecast import expected_capability
from qanat.quantum_layer.reports import BlockReport, FaultReport, decode_report

PEER_PATIENCE_S = 30.0
"""How long one end waits for the other to start the same order."""
FAR_S = 3600.0

MAX_ENDED_ORDERS = 1024
"""Ended orders whose ids are kept, so that a repeated start is known for one; beyond, the oldest are forgotten."""


class Fault(NamedTuple):
    """Why an order ended early, and what helps."""

    text: str
    remedy: str = ""


STOPPED = Fault("the order was stopped")
DARK = Fault("no light comes through the switches", "look whether the controller drives them, and how they stand")

JOB_SLIPS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError),
    *(OSError, RuntimeError, TypeError, ValueError),
)
"""What a job can raise beside QanatError: slips of a program, or a machine at its end. They cost the order, and an
operator hears of them; the node and its stock of keys live on."""


class TwinModule:
    """One end of a twin link: a QKDModule."""

    origin: Origin = "twin"

    def __init__(self, link: TwinLink, node: NodeId) -> None:
        self.node = node
        self.module_id = ModuleId(f"{link.link.name}.{node}")
        self._link = link
        self._events: deque[ModuleEvent] = deque()
        self._blocks: dict[BlockId, KeyBlock] = {}
        self._topic = Topic(f"module {self.module_id}")

    def capability(self, peer: NodeId, /) -> LinkCapability:
        if {self.node, peer} != set(self._link.link.ends):
            raise UnknownNode(f"module {self.module_id} cannot reach {peer!r}")
        return self._link.capability()

    async def start(self, order: GenerationOrder, /) -> None:
        if order.pads is None:
            raise ConfigurationError(
                f"order {order.order_id} came without pads; a twin authenticates with the link's own key",
                remedy="let the key manager spend the pads before it starts the module",
            )
        self._link.start(self, order)

    async def stop(self, order_id: OrderId, /) -> None:
        self._link.stop(order_id)

    async def events(self) -> AsyncIterator[ModuleEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            await self._link.tasks.wait(self._topic, until_monotonic_s=self._link.clock.monotonic_s() + FAR_S)

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        try:
            block = self._blocks[block_id]
        except KeyError:
            raise BlockUnknown(f"module {self.module_id} has no block {block_id}") from None
        return replace(block, bits=SecretBytes(block.bits.reveal()))

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:  # noqa: ARG002 - forgotten either way
        block = self._blocks.pop(block_id, None)
        if block is not None:
            block.bits.wipe()

    @property
    def holds_blocks(self) -> bool:
        """Whether there are blocks that its key manager has not released."""
        return bool(self._blocks)

    def keep(self, block: KeyBlock) -> None:
        """Take a finished block from the link's job and announce it."""
        self._blocks[block.block_id] = block
        self.tell(KeyBlockReady(block.block_id, block.order_id, block.num_bits))

    def tell(self, event: ModuleEvent) -> None:
        """Queue an event for the key manager."""
        self._events.append(event)
        self._link.tasks.notify(self._topic)


@dataclass(slots=True)
class _OpenOrder:
    """An order on its way: which ends have started it, and the pads that each still has, one secret per block."""

    pads: dict[NodeId, deque[SecretBytes]] = field(default_factory=dict)
    is_stopped: bool = False

    def wipe(self) -> None:
        """Overwrite all pads that no block took."""
        for left in self.pads.values():
            for secret in left:
                secret.wipe()
            left.clear()


class TwinLink:
    """Both modules of one link, and the job that runs when both have started the same order."""

    def __init__(
        self,
        link: Link,
        *,
        pool: KernelPool,
        tasks: Tasks,
        clock: Clock,
        chance: Chance,
        entropy: Entropy,
        is_lit: Callable[[], bool] = lambda: True,
        until_ready: Callable[[], Awaitable[object]] | None = None,
        first_is_short: bool = False,
    ) -> None:
        """``is_lit``: whether light comes through the switches on its way, asked before each block. ``until_ready``:
        what every order waits for before its first one. ``first_is_short``: the first block is as short as is worth it
        (``forecast.short_block_bits``), so that who waits for a link without key has some soon."""
        self._is_lit = is_lit
        self._until_ready = until_ready
        self.link = link
        self.tasks = tasks
        self.clock = clock
        self.modules = {node: TwinModule(self, node) for node in link.ends}
        self._pool = pool
        self._chance = chance
        self._entropy = entropy
        self._orders: dict[OrderId, _OpenOrder] = {}
        self._ended: OrderedDict[OrderId, set[NodeId]] = OrderedDict()
        self._capability: LinkCapability | None = None
        # the forecast does not know of a disturbance, which a short block may not bear
        self._next_is_short = first_is_short and not link.disturbance

    def capability(self) -> LinkCapability:
        """Return what the analytic model expects of this link."""
        if self._capability is None:
            link = self.link
            self._capability = expected_capability(link.link_id, link.system, loss_db=link.loss_db, pairs=link.pairs)
        return self._capability

    @property
    def num_remembered_orders(self) -> int:
        """How many orders this link knows of: open ones, and the ids of ended ones."""
        return len(self._orders) + len(self._ended)

    def start(self, module: TwinModule, order: GenerationOrder) -> None:
        """Note that one end is ready; the light goes on when both are. The order's pads are the link's from here on."""
        assert order.pads is not None
        open_order = self._orders.get(order.order_id)
        if order.order_id in self._ended or (open_order is not None and module.node in open_order.pads):
            order.pads.secret.wipe()
            if open_order is None:
                self._end(order.order_id, [module.node], 0, STOPPED)
            return
        open_order = self._orders.setdefault(order.order_id, _OpenOrder())
        open_order.pads[module.node] = _taken_pads(order.pads.secret, order.num_blocks)
        if len(open_order.pads) == 2:
            self.tasks.start(self._make_key(order.order_id, open_order), name=f"{self.link.name} {order.order_id}")
        else:
            self.tasks.start(self._await_peer(order.order_id, open_order), name=f"{self.link.name} waits")

    def stop(self, order_id: OrderId) -> None:
        """End an order; its unfinished key dies in the worker, its pads die here."""
        open_order = self._orders.get(order_id)
        if open_order is None:
            return
        open_order.is_stopped = True
        open_order.wipe()
        if len(open_order.pads) < 2:
            self._end(order_id, list(open_order.pads), 0, STOPPED)

    async def _await_peer(self, order_id: OrderId, open_order: _OpenOrder) -> None:
        try:
            await self.clock.sleep_until(self.clock.monotonic_s() + PEER_PATIENCE_S)
        finally:
            if len(open_order.pads) < 2:
                open_order.wipe()
        if len(open_order.pads) < 2 and not open_order.is_stopped:
            self._end(order_id, list(open_order.pads), 0, Fault("the other end of the link did not start"))

    async def _make_key(self, order_id: OrderId, open_order: _OpenOrder) -> None:
        made, fault = 0, None
        try:
            if self._until_ready is not None:
                await self._until_ready()
            for _ in range(min(map(len, open_order.pads.values()))):
                if open_order.is_stopped:
                    break
                if (fault := self._fault_of_light()) is not None:
                    break
                fault = await self._run_block(self._next_run(order_id, open_order, made), open_order)
                if fault is not None:
                    break
                made += 1
        finally:
            open_order.wipe()
        self._end(order_id, list(self.modules), made, STOPPED if open_order.is_stopped else fault)

    def _fault_of_light(self) -> Fault | None:
        """Return why there is no light now, or None."""
        return None if self._is_lit() else DARK

    def _job(self, run: LinkRun) -> Job[bytes]:
        """Return what a worker does to make a block."""
        return Job(distil_link, (run,))

    def _next_run(self, order_id: OrderId, open_order: _OpenOrder, number: int) -> LinkRun:
        transmitter, receiver = self.link.ends
        is_short, self._next_is_short = self._next_is_short, False
        return LinkRun(
            link_id=self.link.link_id,
            order_id=order_id,
            ends=self.link.ends,
            system=self.link.system,
            loss_db=self.link.loss_db,
            disturbance=self.link.disturbance,
            pairs=self.link.pairs,
            chance=self._chance.child(order_id, number),
            entropy=self._entropy,
            pads=(open_order.pads[transmitter].popleft().take(), open_order.pads[receiver].popleft().take()),
            is_short=is_short,
        )

    async def _run_block(self, run: LinkRun, open_order: _OpenOrder) -> Fault | None:
        """Run one amplification block; returns why it failed, or None."""
        job = self._job(run)
        fault: Fault | None = None
        try:
            async with aclosing(self._pool.stream(job)) as reports:  # type: ignore[type-var]
                async for data in reports:
                    if open_order.is_stopped:
                        return STOPPED
                    fault = self._deliver(decode_report(data), fault)
        except QanatError as failure:
            fault = Fault(failure.message, failure.remedy)
        except JOB_SLIPS as slip:
            remedy = "this is a fault of the program or of this machine: keep the log and report it"
            fault = Fault(f"the worker's job failed: {type(slip).__name__}: {slip}", remedy)
            self.tell_both(module_alarm("JobFailed", *fault, self.link.link_id))
        return fault

    def _deliver(self, report: LinkQuality | BlockReport | FaultReport, fault: Fault | None) -> Fault | None:
        """Hand a report to the modules; returns the fault of this block so far, the root rather than its echo."""
        match report:
            case LinkQuality():
                self.tell_both(report)
            case BlockReport(at=node, block=block):
                self.modules[node].keep(replace(block, finished_utc_s=self.clock.utc_s()))
            case FaultReport(at=node, is_root=is_root):
                self.modules[node].tell(self._alarm(report))
                return Fault(report.text, report.remedy) if is_root or fault is None else fault
        return fault

    def _alarm(self, report: FaultReport) -> Alarm:
        """Return the alarm of a fault. What only the peer said, in a word that anybody can forge, is a warning."""
        if report.is_root:
            return module_alarm(report.code, report.text, report.remedy, self.link.link_id)
        return module_alarm("PeerStopped", report.text, report.remedy, self.link.link_id)

    def _end(self, order_id: OrderId, nodes: list[NodeId], made: int, fault: Fault | None) -> None:
        """Tell these ends, once each, that the order has ended, and keep no more of it than its id."""
        self._orders.pop(order_id, None)
        told = self._ended.setdefault(order_id, set())
        for node in nodes:
            if node not in told:
                told.add(node)
                self.modules[node].tell(OrderEnded(order_id, made, *(fault or (None,))))
        while len(self._ended) > MAX_ENDED_ORDERS:
            self._ended.popitem(last=False)

    def tell_both(self, event: ModuleEvent) -> None:
        """Tell both ends something that concerns the link as a whole."""
        for module in self.modules.values():
            module.tell(event)


def _taken_pads(secret: SecretBytes, num_blocks: int) -> deque[SecretBytes]:
    """Return an order's pads, cut block by block, and overwrite what the order itself held."""
    size = len(secret) // num_blocks
    pads = deque(secret.part(number * size, (number + 1) * size) for number in range(num_blocks))
    secret.wipe()
    return pads
