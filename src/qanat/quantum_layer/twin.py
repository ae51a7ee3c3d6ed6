"""The digital twin of a QKD link: two modules behind the port that real devices stand behind, and one worker job.

Nature, Alice and Bob run in a worker process (``link_job``); photons and sifted bits never leave it. Here are only the
orders that go in and the finished blocks that come out, each end's from that end's own session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace

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
from qanat.quantum_layer.forecast import expected_capability
from qanat.quantum_layer.link_job import LinkRun, distil_link
from qanat.quantum_layer.reports import BlockReport, FaultReport, decode_report

PEER_PATIENCE_S = 30.0
"""How long one end waits for the other to start the same order."""
FAR_S = 3600.0


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
    """An order on its way: which ends have started it, with which pads."""

    started: dict[NodeId, GenerationOrder]
    is_stopped: bool = False


class TwinLink:
    """Both modules of one link, and the job that runs when both have started the same order."""

    def __init__(
        self, link: Link, *, pool: KernelPool, tasks: Tasks, clock: Clock, chance: Chance, entropy: Entropy
    ) -> None:
        self.link = link
        self.tasks = tasks
        self.clock = clock
        self.modules = {node: TwinModule(self, node) for node in link.ends}
        self._pool = pool
        self._chance = chance
        self._entropy = entropy
        self._orders: dict[OrderId, _OpenOrder] = {}
        self._capability: LinkCapability | None = None

    def capability(self) -> LinkCapability:
        """Return what the analytic model expects of this link."""
        if self._capability is None:
            self._capability = expected_capability(self.link.link_id, self.link.system, loss_db=self.link.loss_db)
        return self._capability

    def start(self, module: TwinModule, order: GenerationOrder) -> None:
        """Note that one end is ready; the light goes on when both are."""
        open_order = self._orders.setdefault(order.order_id, _OpenOrder({}))
        if module.node in open_order.started:
            return
        open_order.started[module.node] = order
        if len(open_order.started) == 2:
            self.tasks.start(self._make_key(order.order_id, open_order), name=f"{self.link.name} {order.order_id}")
        else:
            self.tasks.start(self._await_peer(order.order_id, open_order), name=f"{self.link.name} waits")

    def stop(self, order_id: OrderId) -> None:
        """End an order; its unfinished key dies in the worker."""
        if order_id in self._orders:
            self._orders[order_id].is_stopped = True

    async def _await_peer(self, order_id: OrderId, open_order: _OpenOrder) -> None:
        await self.clock.sleep_until(self.clock.monotonic_s() + PEER_PATIENCE_S)
        if len(open_order.started) < 2:
            open_order.is_stopped = True
            for node in open_order.started:
                self.modules[node].tell(OrderEnded(order_id, 0, fault="the other end of the link did not start"))

    async def _make_key(self, order_id: OrderId, open_order: _OpenOrder) -> None:
        transmitter, receiver = self.link.ends
        first = open_order.started[transmitter]
        made, fault = 0, None
        for number in range(first.num_blocks):
            if open_order.is_stopped:
                fault = "the order was stopped"
                break
            run = LinkRun(
                link_id=self.link.link_id,
                order_id=order_id,
                ends=self.link.ends,
                system=self.link.system,
                loss_db=self.link.loss_db,
                disturbance=self.link.disturbance,
                chance=self._chance.child(order_id, number),
                entropy=self._entropy,
                pads=(_pads_of(first, number), _pads_of(open_order.started[receiver], number)),
            )
            fault = await self._run_block(run, open_order)
            if fault is not None:
                break
            made += 1
        for module in self.modules.values():
            module.tell(OrderEnded(order_id, made, fault))

    async def _run_block(self, run: LinkRun, open_order: _OpenOrder) -> str | None:
        """Run one amplification block; returns why it failed, or None."""
        job: Job[bytes] = Job(distil_link, (run,))
        fault: str | None = None
        try:
            async with aclosing(self._pool.stream(job)) as reports:  # type: ignore[type-var]
                async for data in reports:
                    if open_order.is_stopped:
                        return "the order was stopped"
                    fault = self._deliver(decode_report(data), fault)
        except QanatError as failure:
            fault = str(failure)
        return fault

    def _deliver(self, report: LinkQuality | BlockReport | FaultReport, fault: str | None) -> str | None:
        """Hand a report to the modules; returns the fault of this block so far, the root rather than its echo."""
        match report:
            case LinkQuality():
                for module in self.modules.values():
                    module.tell(report)
            case BlockReport(at=node, block=block):
                self.modules[node].keep(replace(block, finished_utc_s=self.clock.utc_s()))
            case FaultReport(at=node, code=code, text=text, remedy=remedy, is_root=is_root):
                self.modules[node].tell(Alarm(code, "critical", text, remedy, self.link.link_id))
                return text if is_root or fault is None else fault
        return fault


def _pads_of(order: GenerationOrder, number: int) -> bytes:
    assert order.pads is not None
    size = len(order.pads.secret) // order.num_blocks
    return order.pads.secret.part(number * size, (number + 1) * size).take()
