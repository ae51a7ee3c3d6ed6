"""Generation orders at one end of a link: pads first, then the modules.

The transmitter's end spends the pads of the worst case from the reserve and says their range; the receiver's end spends
the same, starts its module and says so; then the transmitter starts. An order whose ends disagree ends with a fault at
both: its pads stay spent. Of two orders for one link the newer one wins, so that nothing waits for an order that a dead
controller or peer has left behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from qanat.ground.errors import BlockUnknown, KeyShortage, PadReused, QanatError, StaleEpoch, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, BlockId, EventId, LinkId, NodeId, OrderId, RequestId
from qanat.ground.keys import BitRange, PoolId, SpentBits, Use
from qanat.ground.orders import GenerationOrder, OrderEnded
from qanat.key_management.accounts import session_bits
from qanat.key_management.context import Context
from qanat.key_management.memory import forget_oldest
from qanat.key_management.pools import missing_blocks
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import (
    BlocksMissing,
    GenerationCommand,
    Heard,
    OrderCancel,
    OrderPoll,
    OrderState,
    SessionPads,
    SessionReady,
    SessionRefused,
)

MOST_PASSES_MISSED = 3
PASS_PATIENCE_S = 600.0
"""A pass whose order has not ended when so many have begun since, or one has after so long, has been forgotten."""
MAX_ENDED_ORDERS = 256
PADS_PATIENCE_S = 8.0
"""So long the receiver's end waits for the pads of an order; the other end says them at once, and then each tick."""


@dataclass(slots=True)
class _Order:
    """An order at this end. ``preparing`` until the module was started.

    ``unsettled`` are blocks that are neither confirmed nor dropped: while there are any, the controller is told that
    the order runs, so that it does not order anew what is about to arrive.
    """

    order_id: OrderId
    link_id: LinkId
    num_blocks: int
    cause: EventId | None
    state: Literal["preparing", "running", "ended"] = "preparing"
    pad_range: BitRange | None = None
    pads: SpentBits | None = field(default=None, repr=False)
    blocks_made: int = 0
    fault: str | None = None
    remedy: str = ""
    by_module: bool = False
    unsettled: set[BlockId] = field(default_factory=set)
    began_monotonic_s: float = 0.0
    is_spending: bool = False
    passes_missed: set[OrderId] = field(default_factory=set)
    """Of a satellite's order: passes that have begun since and waited for its end."""


class Sessions:
    """The orders of all links of one node."""

    def __init__(self, context: Context, vouching: Vouching) -> None:
        self._context = context
        self._vouching = vouching
        self._orders: dict[OrderId, _Order] = {}
        self._not_here: dict[BlockId, float] = {}
        """Blocks that a peer spent of and that never were here, with when that was first heard."""

    def running_on(self, link_id: LinkId) -> OrderId | None:
        """Return the order that is not ended on a link."""
        live = [order for order in self._orders.values() if order.link_id == link_id and order.state != "ended"]
        return live[-1].order_id if live else None

    @property
    def may_rest(self) -> bool:
        """Whether every order has ended and all of its blocks are settled."""
        return all(order.state == "ended" and not order.unsettled for order in self._orders.values())

    def may_yield(self, order_id: OrderId) -> bool:
        """Return whether the module here may still hand out a block of this order."""
        order = self._orders.get(order_id)
        return order is not None and order.state != "ended"

    def cause_of(self, order_id: OrderId) -> EventId | None:
        """Return the event that caused an order (step 7), where it is known."""
        order = self._orders.get(order_id)
        return order.cause if order is not None else None

    def expect(self, order_id: OrderId, block_id: BlockId) -> None:
        """Take note of a block on its way into the store."""
        if order := self._orders.get(order_id):
            order.unsettled.add(block_id)

    async def settle(self, order_id: OrderId, block_id: BlockId) -> None:
        """A block is confirmed or dropped: an order that waited for nothing else is now said to have ended."""
        order = self._orders.get(order_id)
        if order is not None and block_id in order.unsettled:
            order.unsettled.remove(block_id)
            if order.state == "ended":
                await self._say_state(order_id, order.link_id)

    # --- the controller's words ---

    async def on_command(self, heard: Heard, word: GenerationCommand) -> None:
        """Begin an order unless it is known, and say how it stands."""
        fits = word.num_blocks > 0 and self._context.links.has(word.link_id)
        if fits and word.order_id not in self._orders:
            order = await self._enter(word.order_id, word.link_id, word.num_blocks, heard.cause)
            if self._context.links.role(word.link_id) == "transmitter":
                await self._prepare(order)
        await self._say_state(word.order_id, word.link_id)

    async def begin_pass(self, order_id: OrderId, link_id: LinkId) -> None:
        """Transmitter's end of a downlink: a pass has begun, and nobody needs to order it. Once a pass."""
        if order_id not in self._orders and self._is_over_for(order_id, self.running_on(link_id)):
            rose = self._context.recorder.record(EventKind.SATELLITE_ROSE, link_id=link_id, pass_id=order_id)
            await self._prepare(await self._enter(order_id, link_id, 1, rose.id))

    async def on_poll(self, word: OrderPoll) -> None:
        await self._say_state(word.order_id, word.link_id)

    async def on_cancel(self, word: OrderCancel) -> None:
        """End an order early and say how it stands."""
        if order := self._orders.get(word.order_id):
            order.unsettled.clear()
            await self._stop(order, word.why)
        await self._say_state(word.order_id, word.link_id)

    # --- the peer's words ---

    async def on_pads(self, heard: Heard, word: SessionPads) -> None:
        """Receiver's end: spend the same bits, start the module, say so. The same word again gets the same answer."""
        links = self._context.links
        if not links.has(word.link_id) or links.peer(word.link_id) != heard.sender:
            return
        order = self._orders.get(word.order_id)
        if why := self._why_unfit(word, order):
            await self._refuse(word, why)
            return
        if not self._vouching.is_vouched(heard.sender):
            return  # it says its pads again
        if order is None:
            order = await self._enter(word.order_id, word.link_id, word.num_blocks, heard.cause)
        if order.pad_range is None and order.state == "preparing":
            order.pad_range = word.pad_range
            await self._spend_peers_range(order)
        elif order.pad_range != word.pad_range:
            await self._refuse(word, "this order has begun with other pads; an end must have restarted")
            return
        if order.state == "running":
            ready = SessionReady(order.order_id, word.pad_range)
            await self._context.courier.send(heard.sender, ready, cause=order.cause)
        elif order.state == "ended":
            await self._refuse(word, order.fault or "the order has ended here")

    async def on_ready(self, sender: NodeId, word: SessionReady) -> None:
        """Transmitter's end: the peer's module runs, start ours."""
        order = self._order_of(sender, word)
        if order is not None and order.state == "preparing" and order.pads is not None:
            await self._start_module(order)

    async def on_refused(self, sender: NodeId, word: SessionRefused) -> None:
        """Transmitter's end: the peer cannot take part."""
        if order := self._order_of(sender, word):
            await self._stop(order, f"the peer refused: {word.why}")

    # --- the module's word, and chores ---

    async def on_module_ended(self, ended: OrderEnded) -> None:
        """The module has done with an order: record it and tell the controller."""
        order = self._orders.get(ended.order_id)
        if order is None or order.state == "ended":
            return
        order.blocks_made = ended.blocks_made
        order.remedy, order.by_module = ended.remedy, ended.fault is not None
        await self._end(order, ended.fault)

    async def tick(self) -> None:
        """Say the pads again where no answer came; give up where no pads came; forget what ended long ago."""
        for order in list(self._orders.values()):
            if order.state == "preparing" and order.pads is not None:
                await self._say_pads(order)
            elif self._waits_in_vain(order):
                await self._end(order, "the other end did not say which pads to use, or does not answer at all")
            elif order.state == "preparing" and self._context.links.role(order.link_id) == "transmitter":
                await self._prepare(order)
        ended = [order.order_id for order in self._orders.values() if order.state == "ended"]
        for order_id in ended[: max(0, len(ended) - MAX_ENDED_ORDERS)]:
            del self._orders[order_id]

    # --- inside ---

    def _is_over_for(self, pass_id: OrderId, before: OrderId | None) -> bool:
        """Return whether a new pass need not wait for the end of the order before it, which may still be distilled.

        That end never comes where both ends died when the module had said it: to a module an order that is begun again
        is the one it has done with, and no controller gives up what it did not order.
        """
        if before is None:
            return True
        order = self._orders[before]
        order.passes_missed.add(pass_id)
        age_s = self._context.clock.monotonic_s() - order.began_monotonic_s
        return len(order.passes_missed) >= MOST_PASSES_MISSED or age_s >= PASS_PATIENCE_S

    def _waits_in_vain(self, order: _Order) -> bool:
        """Return whether no pads will come: this end heard of an order, anew perhaps, that its other end has done with.

        So it is when the controller repeats an order to an end that died during it.
        """
        waited_s = self._context.clock.monotonic_s() - order.began_monotonic_s
        is_waiting = order.state == "preparing" and order.pad_range is None
        return is_waiting and waited_s > PADS_PATIENCE_S

    def _order_of(self, peer: NodeId, word: SessionReady | SessionRefused) -> _Order | None:
        """Return the order that a word of the peer is about; None for words about other pads than ours."""
        order = self._orders.get(word.order_id)
        if order is None or order.pad_range != word.pad_range or self._context.links.peer(order.link_id) != peer:
            return None
        return order

    def _why_unfit(self, word: SessionPads, order: _Order | None) -> str:
        """Return why a peer's pads cannot be those of an order, or an empty text."""
        if self._context.links.role(word.link_id) != "receiver":
            return "the pads of this link are its other end's to choose"
        if not word.num_blocks or word.pad_range.num_bits != session_bits(num_blocks=word.num_blocks):
            return f"{word.pad_range.num_bits} bits of pads are not those of {word.num_blocks} blocks"
        if order is not None and (order.link_id, order.num_blocks) != (word.link_id, word.num_blocks):
            return "this order was given here for another link, or for another number of blocks"
        return ""

    async def _enter(self, order_id: OrderId, link_id: LinkId, num_blocks: int, cause: EventId | None) -> _Order:
        older = [order for order in self._orders.values() if order.link_id == link_id and order.state != "ended"]
        now_s = self._context.clock.monotonic_s()
        order = self._orders[order_id] = _Order(order_id, link_id, num_blocks, cause, began_monotonic_s=now_s)
        for other in older:
            await self._stop(other, f"order {order_id} took its place")
        if not self._vouching.is_vouched(peer := self._context.links.peer(link_id)):
            await self._vouching.wake({peer})
        return order

    async def _prepare(self, order: _Order) -> None:
        """Transmitter's end: spend the pads, then tell their range; later, when the peer has yet to vouch."""
        if order.is_spending or not self._vouching.is_vouched(self._context.links.peer(order.link_id)):
            return
        order.is_spending = True
        pool = PoolId(order.link_id, None)
        try:
            spent = await self._context.store.spend(
                pool,
                num_bits=session_bits(num_blocks=order.num_blocks),
                use=Use.AUTHENTICATION,
                request_id=RequestId(order.order_id),
            )
        except KeyShortage:
            await self._end(order, "the link's authentication reserve is used up: bring new initial key to both ends")
            return
        except StoreFailed as fault:
            await self._end(order, f"the key store cannot write: {fault}")
            return
        if order.state == "ended":  # cancelled meanwhile: these pads are lost
            spent.secret.wipe()
            return
        order.pads, order.pad_range = spent, spent.bits
        await self._say_pads(order)

    async def _lost(self, missing: Sequence[BlockId]) -> tuple[BlockId, ...]:
        """Return which of these blocks will never be here. One that never was here may be new initial key: the peer,
        told that it is missing, would destroy the only other copy of what is still being brought."""
        now_s, lost = self._context.clock.monotonic_s(), []
        for block_id in missing:
            heard_s = self._not_here.setdefault(block_id, now_s)
            is_late = now_s - heard_s >= self._context.settings.initial_key_grace_s
            if is_late or await self._context.store.block_stage(block_id) is not None:
                lost.append(block_id)
        forget_oldest(self._not_here)
        return tuple(lost)

    async def _say_pads(self, order: _Order) -> None:
        assert order.pad_range is not None
        word = SessionPads(order.order_id, order.link_id, order.num_blocks, order.pad_range)
        await self._context.courier.send(self._context.links.peer(order.link_id), word, cause=order.cause)

    async def _spend_peers_range(self, order: _Order) -> None:
        assert order.pad_range is not None
        pool = PoolId(order.link_id, None)
        try:
            order.pads = await self._context.store.spend_range(pool, order.pad_range, use=Use.AUTHENTICATION)
        except PadReused:
            await self._end(order, "its pads were spent before")
        except BlockUnknown:
            missing = await missing_blocks(self._context, order.pad_range)
            if lost := await self._lost(missing):
                await self._context.courier.send(self._context.links.peer(order.link_id), BlocksMissing(lost))
                await self._end(order, "its pads are of a block that this end does not hold")
            else:
                await self._end(order, "its pads are of initial key that this end has not got yet: bring it here too")
        except StoreFailed as fault:
            await self._end(order, f"the key store cannot write: {fault}")
        else:
            await self._start_module(order)

    async def _start_module(self, order: _Order) -> None:
        context, link_id = self._context, order.link_id
        module = context.links.module(link_id)
        if order.state == "ended" or module is None:
            await self._stop(order, "no QKD module here serves the link")
            return
        order.state = "running"
        try:
            await module.start(
                GenerationOrder(
                    order_id=order.order_id,
                    link_id=link_id,
                    local=context.node,
                    peer=context.links.peer(link_id),
                    role=context.links.role(link_id),
                    num_blocks=order.num_blocks,
                    cause=order.cause,
                    pad_range=order.pad_range,
                    pads=order.pads,
                )
            )
        except StaleEpoch:
            raise
        except QanatError as fault:
            await self._end(order, f"the module did not start: {fault}")
        order.pads = None  # they are the module's now

    async def _refuse(self, word: SessionPads, why: str) -> None:
        peer = self._context.links.peer(word.link_id)
        await self._context.courier.send(peer, SessionRefused(word.order_id, word.pad_range, why))

    async def _stop(self, order: _Order, why: str) -> None:
        """End an order from outside: its module destroys what it has not finished."""
        if order.state == "ended":
            return
        was_running = order.state == "running"
        await self._end(order, why)
        module = self._context.links.module(order.link_id)
        if was_running and module is not None:
            await module.stop(order.order_id)

    async def _end(self, order: _Order, fault: str | None) -> None:
        order.state, order.fault = "ended", fault
        if order.pads is not None:
            order.pads.secret.wipe()
            order.pads = None
        self._context.recorder.record(
            EventKind.ORDER_ENDED,
            cause=order.cause,
            order_id=order.order_id,
            link_id=order.link_id,
            blocks_made=order.blocks_made,
            fault=fault,
        )
        await self._say_state(order.order_id, order.link_id)

    async def _say_state(self, order_id: OrderId, link_id: LinkId) -> None:
        order = self._orders.get(order_id)
        if order is None:
            word = OrderState(order_id, link_id, "unknown", 0, None)
        else:
            state = "ended" if order.state == "ended" and not order.unsettled else "running"
            word = OrderState(order_id, link_id, state, order.blocks_made, order.fault, order.remedy, order.by_module)
        await self._context.courier.send(CONTROLLER, word)
