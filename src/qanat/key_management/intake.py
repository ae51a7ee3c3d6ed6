"""Blocks from modules into pools: durable at both ends before a bit of them counts.

    module: block ready -> fetch -> store.add_block (durable here) -> "block-stored" to the peer
    both ends durable   -> store.confirm -> module.release -> "stock-report" to the controller

The word to the peer is repeated until the peer is known to be durable too. An end that will never hold the block (it
restarted, or its module failed) says so, and the other end voids it. What the store knows decides; memory only saves
questions.
"""

from __future__ import annotations

from dataclasses import dataclass

from qanat.ground.clock import Deadline
from qanat.ground.errors import BlockUnknown, PeerProtocolError, QuantumLayerError, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, BlockId, LinkId, NodeId, OrderId
from qanat.ground.keys import BlockName, KeyBlock, PoolId, Selection
from qanat.ground.orders import KeyBlockReady
from qanat.ground.ports import QKDModule
from qanat.key_management.accounts import ReserveWatch, reserve_bits
from qanat.key_management.context import Context
from qanat.key_management.memory import forget_oldest
from qanat.key_management.pools import available_bits
from qanat.key_management.sessions import Sessions
from qanat.key_management.wire import BlocksMissing, BlockStored, Heard, StockReport

ANNOUNCED = "satellite-announcement"
"""``KeyBlock.protocol`` of a block that a satellite has announced. What it was made of is spent and can be had nowhere
again, so it stays in doubt over a restart until the peer says whether it has it."""
ANNOUNCED_ORDER = "announced "
"""How the order of a block begins that no module made: a satellite has announced it."""
OFFERED_AGAIN_S = 5.0
"""Within this time of its start a node is offered what modules that outlived its last process still have."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A block that is durable here and not yet known to be durable at the peer."""

    block_id: BlockId
    order_id: OrderId
    link_id: LinkId
    peer: NodeId
    num_bits: int
    module: QKDModule | None


class Intake:
    """Takes the blocks of all modules of one node into its store."""

    def __init__(self, context: Context, sessions: Sessions) -> None:
        self._context = context
        self._sessions = sessions
        self._waiting: dict[BlockId, _Waiting] = {}
        self._taken: dict[BlockId, None] = {}
        self._watches: dict[LinkId, ReserveWatch] = {}
        self._began_monotonic_s = context.clock.monotonic_s()

    @property
    def may_rest(self) -> bool:
        """Whether no block waits for the peer's word."""
        return not self._waiting

    async def on_block_ready(self, module: QKDModule, ready: KeyBlockReady) -> None:
        """Make a finished block durable and tell the peer; a block that cannot be kept is destroyed, aloud.

        A module that outlived a crash may offer a block twice: the second time is ignored.
        """
        context = self._context
        if ready.block_id in self._taken:
            return
        block = await self._fetch(module, ready)
        if block is None:
            return
        self._sessions.expect(block.order_id, block.block_id)
        context.recorder.record(
            EventKind.BLOCK_DISTILLED,
            cause=self._sessions.cause_of(block.order_id),
            block_id=block.block_id,
            order_id=block.order_id,
            link_id=block.link_id,
            num_bits=block.num_bits,
            eps_sec=block.eps_sec,
            eps_cor=block.eps_cor,
        )
        await self._take_in(block, module)

    async def resume(self) -> None:
        """After a restart: ask on for what the last process did not see confirmed, of the blocks that are kept."""
        context = self._context
        if any(context.network.link(link_id).kind == "announced" for link_id in context.links.link_ids):
            for block in await context.store.unconfirmed_blocks(ANNOUNCED):
                self._wait_for_peer(block, module=None)

    async def on_announced(self, block: BlockName) -> None:
        """An announced block is durable here: tell the peer."""
        await self._announce(self._wait_for_peer(block, module=None))

    async def _take_in(self, block: KeyBlock, module: QKDModule) -> None:
        """Make a block durable and tell the peer, or destroy it, aloud."""
        why = self._why_unfit(module, block) or await self._make_durable(block)
        self._taken[block.block_id] = None
        forget_oldest(self._taken)
        if why:
            await self._drop(module, block.block_id, block.order_id, block.peer, why)
            return
        await self._announce(self._wait_for_peer(block, module=module))

    async def on_block_stored(self, heard: Heard, word: BlockStored) -> None:
        """The peer is durable: confirm the block here, or say that it will never be here."""
        waiting = self._waiting.get(word.block_id)
        if not self._is_neighbour(heard.sender) or (waiting is not None and waiting.peer != heard.sender):
            return
        try:
            await self._confirm(word.block_id)
        except BlockUnknown:
            if not await self._may_come(word):
                await self._context.courier.send(heard.sender, BlocksMissing((word.block_id,)))
            return
        if not word.confirmed:
            answer = BlockStored(word.block_id, word.order_id, confirmed=True)
            await self._context.courier.send(heard.sender, answer)

    async def on_blocks_missing(self, heard: Heard, word: BlocksMissing) -> None:
        """The peer does not hold these blocks: bits that only one end knows are of no use, destroy them."""
        if not word.block_ids or not self._is_neighbour(heard.sender):
            return
        named = Selection(block_ids=frozenset(word.block_ids), block_peer=heard.sender)
        await self._context.store.void(named)
        for block_id in word.block_ids:
            waiting = self._waiting.get(block_id)
            if waiting is not None and waiting.peer != heard.sender:
                continue
            self._record_dropped(block_id, f"{heard.sender} does not hold it")
            if waiting is not None:
                del self._waiting[block_id]
                await self._release(waiting, kept=False)

    async def tick(self) -> None:
        """Say again what no peer has confirmed."""
        for waiting in list(self._waiting.values()):
            await self._announce(waiting)

    async def watch_reserves(self) -> None:
        """Raise the alarm of every link whose authentication reserve comes to its end."""
        for pool, level in (await self._context.store.levels()).items():
            if not pool.is_reserve:
                continue
            watch, recorder = self._watch(pool.link_id), self._context.recorder
            if watch.crosses_down(level.available_bits):
                recorder.alarm(
                    "reserve-low",
                    f"only {level.available_bits} bits of authentication reserve are left",
                    "let the link make key, which fills the reserve, or bring new initial key to both ends",
                    about=pool.link_id,
                    link_id=pool.link_id,
                )
            elif not watch.is_low:
                recorder.alarm_over("reserve-low", pool.link_id)

    # --- inside ---

    def _wait_for_peer(self, block: BlockName | KeyBlock, *, module: QKDModule | None) -> _Waiting:
        """Note a block that is durable here; ``module``: whose it is; None: announced."""
        waiting = _Waiting(block.block_id, block.order_id, block.link_id, block.peer, block.num_bits, module)
        self._waiting[block.block_id] = waiting
        return waiting

    async def _may_come(self, word: BlockStored) -> bool:
        """Return whether a module here may still hand out a block of this order: also one of an earlier life of this
        node, since a module that outlived it offers its blocks again; or a satellite may still announce it here. The
        peer asks again."""
        if word.order_id.startswith(ANNOUNCED_ORDER):
            return await self._context.store.block_stage(word.block_id) is None
        age_s = self._context.clock.monotonic_s() - self._began_monotonic_s
        return age_s < OFFERED_AGAIN_S or self._sessions.may_yield(word.order_id)

    def _watch(self, link_id: LinkId) -> ReserveWatch:
        settings = self._context.settings
        alarm_bits = reserve_bits(days=settings.reserve_alarm_days, sessions_per_day=settings.sessions_of(link_id))
        return self._watches.setdefault(link_id, ReserveWatch(alarm_bits))

    def _why_unfit(self, module: QKDModule, block: KeyBlock) -> str:
        links = self._context.links
        if not links.has(block.link_id) or links.peer(block.link_id) != block.peer or block.local != links.node:
            return f"the block is said to be of link {block.link_id!r} to {block.peer!r}, which is not this module's"
        if block.origin != module.origin:
            return f"a module of origin {module.origin!r} handed out a block of origin {block.origin!r}"
        return ""

    async def _fetch(self, module: QKDModule, ready: KeyBlockReady) -> KeyBlock | None:
        """Return a finished block; None when the module no longer has it, or hands nothing out however often asked."""
        context, why = self._context, ""
        for _ in range(context.settings.store_tries):
            try:
                return await module.fetch(ready.block_id)
            except BlockUnknown:
                return None
            except (QuantumLayerError, PeerProtocolError) as fault:
                why = f"the module does not hand it out: {fault}"
            await self._pause()
        peer = next((peer for link_id, peer in self._peers() if context.links.module(link_id) is module), None)
        await self._drop(module, ready.block_id, ready.order_id, peer, why)
        return None

    async def _make_durable(self, block: KeyBlock) -> str:
        """Return an empty text once the block is durable, else why it is not. Waits for a store that cannot write."""
        context, why = self._context, ""
        for _ in range(context.settings.store_tries):
            try:
                await context.store.add_block(block)
            except StoreFailed as fault:
                why = f"the key store cannot write: {fault}"
            else:
                return ""
            await self._pause()
        return why

    async def _pause(self) -> None:
        clock = self._context.clock
        await clock.sleep_until(Deadline.after(clock, self._context.settings.store_retry_s).monotonic_s)

    async def _announce(self, waiting: _Waiting) -> None:
        word = BlockStored(waiting.block_id, waiting.order_id, confirmed=False)
        await self._context.courier.send(waiting.peer, word)

    async def _confirm(self, block_id: BlockId) -> None:
        """Confirm a block here; raises BlockUnknown. When it was waiting for that, release, record and report it."""
        context, before = self._context, self._waiting.get(block_id)
        try:
            await context.store.confirm(block_id)
        except BlockUnknown:
            # one that has become durable here meanwhile is not lost: the peer hears of it, and says so again
            if before is not None and block_id in self._waiting:
                del self._waiting[block_id]
                await self._release(before, kept=False)
            raise
        waiting = self._waiting.pop(block_id, None)
        if waiting is None:
            return
        context.recorder.record(
            EventKind.BLOCK_STORED,
            cause=self._sessions.cause_of(waiting.order_id),
            block_id=block_id,
            link_id=waiting.link_id,
            num_bits=waiting.num_bits,
        )
        await self._hand_back(waiting.module, block_id, kept=True)
        await self._report_stock(waiting)
        await self._sessions.settle(waiting.order_id, block_id)

    async def _report_stock(self, waiting: _Waiting) -> None:
        context = self._context
        try:
            stock_bits = await available_bits(context, PoolId(waiting.link_id, context.node))
        except StoreFailed:
            return  # the next announcement tells it
        await context.courier.send(CONTROLLER, StockReport(waiting.link_id, stock_bits, waiting.num_bits))

    async def _release(self, waiting: _Waiting, *, kept: bool) -> None:
        await self._hand_back(waiting.module, waiting.block_id, kept=kept)
        await self._sessions.settle(waiting.order_id, waiting.block_id)

    async def _hand_back(self, module: QKDModule | None, block_id: BlockId, *, kept: bool) -> None:
        """Have the module forget a block. That it cannot is its operator's care, and holds nothing else up."""
        if module is None:
            return
        try:
            await module.release(block_id, kept=kept)
        except (QuantumLayerError, PeerProtocolError) as fault:
            self._context.recorder.alarm(
                "module-keeps-block",
                f"module {module.module_id} did not release block {block_id}: {fault.message}",
                fault.remedy or "look at the device; its copy of the block is to be destroyed",
                about=module.module_id,
            )

    async def _drop(
        self, module: QKDModule | None, block_id: BlockId, order_id: OrderId, peer: NodeId | None, why: str
    ) -> None:
        """Destroy a block that will never be here, and have the peer destroy it too."""
        self._record_dropped(block_id, why)
        if peer is not None and self._is_neighbour(peer):
            await self._context.courier.send(peer, BlocksMissing((block_id,)))
        await self._hand_back(module, block_id, kept=False)
        await self._sessions.settle(order_id, block_id)

    def _record_dropped(self, block_id: BlockId, why: str) -> None:
        self._context.recorder.record(EventKind.BLOCK_DROPPED, block_id=block_id, why=why)

    def _is_neighbour(self, node: NodeId) -> bool:
        return any(peer == node for _, peer in self._peers())

    def _peers(self) -> list[tuple[LinkId, NodeId]]:
        links = self._context.links
        return [(link_id, links.peer(link_id)) for link_id in links.link_ids]
