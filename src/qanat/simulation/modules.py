"""QKD links without light: two modules that agree on an order hand out the same random bits after a while.

Nothing is distilled; what is true to the port is the conversation: orders, events, blocks that can be fetched until
they are released, ends that crash, sessions that fail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from qanat.ground.errors import BlockUnknown, UnknownNode
from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId, uuid4_from
from qanat.ground.keys import KeyBlock, Origin, SecretBytes, SpentBits
from qanat.ground.network import Link
from qanat.ground.orders import GenerationOrder, KeyBlockReady, LinkCapability, LinkQuality, ModuleEvent, OrderEnded
from qanat.ground.ports import Entropy
from qanat.simulation.dice import Dice
from qanat.simulation.invariants import Witness
from qanat.simulation.ports import Hazard, Mailbox
from qanat.simulation.scheduler import Scheduler, effect

PEER_TIMEOUT_S = 10.0
WAY_S = 0.001
"""How long a call of a key manager takes to its module, and its answer back."""


@dataclass(slots=True)
class _Run:
    """An order under way: which ends take part, and how many blocks they have made."""

    order: GenerationOrder
    pads: dict[NodeId, SpentBits] = field(default_factory=dict)
    blocks_made: int = 0
    has_ended: bool = False


class SimulatedLink:
    """A link with its two modules. ``survives`` says whether modules outlive the crash of their key manager, ``is_lit``
    whether light comes through the switches on its way."""

    def __init__(
        self,
        link: Link,
        *,
        scheduler: Scheduler,
        dice: Dice,
        entropy: Entropy,
        witness: Witness,
        origin: Origin,
        block_bits: int,
        survives: bool,
        p_session_fails: Callable[[], float],
        is_lit: Callable[[], bool] = lambda: True,
    ) -> None:
        self.link = link
        self.origin = origin
        self.block_bits = block_bits
        self.block_time_s = 0.5
        self._scheduler = scheduler
        self._dice = dice
        self._entropy = entropy
        self._witness = witness
        self._survives = survives
        self._p_session_fails = p_session_fails
        self._is_lit = is_lit
        self._runs: dict[OrderId, _Run] = {}
        self.modules = {node: SimulatedModule(self, node, scheduler) for node in link.ends}
        witness.link_origins[link.link_id] = origin

    def crash(self, node: NodeId) -> None:
        """The node of one end has died: unless devices stand there, its module goes with it."""
        module = self.modules[node]
        module.restart(forget=not self._survives)
        if not self._survives:
            for order_id, run in self._runs.items():
                if node in run.pads:
                    self.end(order_id, "the other end's module has gone", silent=node)

    def join(self, order: GenerationOrder, pads: SpentBits) -> None:
        """One end is ready. With both, the light goes on; an end that stays alone gives up."""
        self._witness.session_started(self.link.link_id, order.order_id, pads)
        run = self._runs.setdefault(order.order_id, _Run(order))
        if run.has_ended:
            self.modules[order.local].tell(OrderEnded(order.order_id, 0, "the other end has given up"))
            return
        run.pads[order.local] = pads
        if len(run.pads) < 2:
            self._scheduler.call_after(PEER_TIMEOUT_S, lambda: self._give_up_waiting(run))
            return
        if len({pads.secret.reveal() for pads in run.pads.values()}) != 1:
            # a device that outlived its key manager may hold pads of that life: the first tag does not fit
            self.end(order.order_id, "authentication failed")
            return
        self._scheduler.call_after(self.block_time_s, lambda: self._make_block(run))

    def end(self, order_id: OrderId, fault: str | None, *, silent: NodeId | None = None) -> None:
        """End an order at both ends; the ``silent`` one is not told."""
        run = self._runs.get(order_id)
        if run is None or run.has_ended:
            return
        run.has_ended = True
        for node in run.pads:
            if node != silent:
                ended = OrderEnded(order_id, run.blocks_made, fault)
                self._tell_later(self.modules[node], ended)

    def tell_both(self, event: ModuleEvent) -> None:
        """Tell both ends something that both modules see."""
        for module in self.modules.values():
            self._tell_later(module, event)

    def _give_up_waiting(self, run: _Run) -> None:
        if len(run.pads) < 2:
            self.end(run.order.order_id, "the other end did not start")

    def _make_block(self, run: _Run) -> None:
        if run.has_ended:
            return
        if not self._is_lit():
            self.end(run.order.order_id, "no light comes through the switches")
            return
        if self._dice.happens(self._p_session_fails()):
            self.end(run.order.order_id, "QBER too high")
            return
        run.blocks_made += 1
        block_id = BlockId(uuid4_from(self._entropy.public_bytes(16)))
        bits = self._entropy.secret_bytes(self.block_bits // 8)
        for node in run.pads:
            self._hand_out(run, node, block_id, SecretBytes(bits.reveal()))
        if run.blocks_made == run.order.num_blocks:
            self.end(run.order.order_id, None)
        else:
            self._scheduler.call_after(self.block_time_s, lambda: self._make_block(run))

    def _hand_out(self, run: _Run, node: NodeId, block_id: BlockId, bits: SecretBytes) -> None:
        module, order_id = self.modules[node], run.order.order_id
        module.blocks[block_id] = KeyBlock(
            block_id=block_id,
            order_id=order_id,
            link_id=self.link.link_id,
            local=node,
            peer=self.link.peer_of(node),
            origin=self.origin,
            protocol="simulated",
            num_bits=self.block_bits,
            bits=bits,
            eps_sec=1e-10,
            eps_cor=1e-15,
            finished_utc_s=self._scheduler.now_s,
        )
        self._tell_later(module, LinkQuality(order_id, self.link.link_id, 1.0, self.block_time_s, qber=0.01))
        self._tell_later(module, KeyBlockReady(block_id, order_id, self.block_bits))

    def _tell_later(self, module: SimulatedModule, event: ModuleEvent) -> None:
        """Events reach the two key managers at different moments, but each in order."""
        module.events_due_s = max(module.events_due_s, self._scheduler.now_s) + self._dice.between(0.0, 0.05)
        life = module.life
        self._scheduler.call_at(module.events_due_s, lambda: module.tell(event) if module.life == life else None)


class SimulatedModule:
    """One end of a SimulatedLink: see the port ``ground.ports.QKDModule``.

    ``hazard`` is that of the key manager that calls: it may die before or after what it asks has happened.
    """

    def __init__(self, of: SimulatedLink, node: NodeId, scheduler: Scheduler) -> None:
        self.node = node
        self.module_id = ModuleId(f"{of.link.link_id}/{node}")
        self.origin: Origin = of.origin
        self.blocks: dict[BlockId, KeyBlock] = {}
        self.events_due_s = 0.0
        self.life = 0
        self.hazard: Hazard | None = None
        self._of = of
        self._scheduler = scheduler
        self._orders: dict[OrderId, None] = {}
        self._events: Mailbox[ModuleEvent] = Mailbox(scheduler)

    def capability(self, peer: NodeId, /) -> LinkCapability:
        link = self._of.link
        if link.peer_of(self.node) != peer:
            raise UnknownNode(f"{self.module_id} does not reach {peer!r}")
        return LinkCapability(link.link_id, self._of.block_bits / self._of.block_time_s, self._of.block_time_s)

    async def start(self, order: GenerationOrder, /) -> None:
        await self._reach()
        if order.order_id not in self._orders:
            self._orders[order.order_id] = None
            assert order.pads is not None
            copy = replace(order.pads, secret=SecretBytes(order.pads.secret.take()))
            self._of.join(order, copy)
        await self._return()

    async def stop(self, order_id: OrderId, /) -> None:
        await self._reach()
        self._of.end(order_id, "stopped by a key manager")
        await self._return()

    def events(self) -> AsyncIterator[ModuleEvent]:
        return self._events

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        await self._reach()
        await self._return()
        if block_id not in self.blocks:
            raise BlockUnknown(f"{self.module_id} has no block {block_id}")
        return self.blocks[block_id]

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:  # noqa: ARG002 - forgotten either way
        await self._reach()
        if block := self.blocks.pop(block_id, None):
            block.bits.wipe()
        await self._return()

    def tell(self, event: ModuleEvent) -> None:
        self._events.put(event)

    def restart(self, *, forget: bool) -> None:
        """The key manager has died. What it did not release is offered again, unless the module died with it."""
        self._events = Mailbox(self._scheduler)
        if forget:
            self.life += 1
            self.blocks.clear()
            self._orders.clear()
        for block in self.blocks.values():
            self.tell(KeyBlockReady(block.block_id, block.order_id, block.num_bits))

    async def _reach(self) -> None:
        """The way of a call to the module; a crash may come on it, or on the way back."""
        if self.hazard is not None:
            self.hazard.threaten(within_s=2 * WAY_S)
        await effect(lambda task: self._scheduler.resume_after(WAY_S, task))

    async def _return(self) -> None:
        await effect(lambda task: self._scheduler.resume_after(WAY_S, task))
