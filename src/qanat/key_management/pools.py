"""Questions about neighbours and the pools of link key shared with them, which several parts ask."""

from __future__ import annotations

from collections.abc import Sequence

from qanat.ground.clock import Deadline
from qanat.ground.errors import BlockUnknown, KeyShortage
from qanat.ground.identifiers import BlockId, NodeId, RequestId
from qanat.ground.keys import BitRange, PoolId, SpentBits, Use
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import PoolShortage

REACH_PERIOD_S = 0.05


async def spend_for_hop(context: Context, *, following: NodeId, num_bits: int, request_id: RequestId) -> SpentBits:
    """Spend the bits of one relay hop from this node to the ``following`` one; raises PoolShort, StoreFailed."""
    pool = PoolId(context.links.towards(following), context.node)
    try:
        return await context.store.spend(pool, num_bits=num_bits, use=Use.RELAY, request_id=request_id)
    except KeyShortage:
        shortage = PoolShortage(pool.link_id, context.node, await available_bits(context, pool))
        raise PoolShort((shortage,)) from None


async def answers(
    context: Context, vouching: Vouching, neighbour: NodeId, *, patience_s: float, last: Deadline
) -> bool:
    """Return whether a neighbour can be reached and vouches for this store.

    It has ``patience_s`` for that; one that may be just coming up has time until ``last``, and no longer.
    """
    while True:
        deadline = Deadline.after(context.clock, min(patience_s, last.left_s))
        if await is_reached(context, neighbour, deadline) and await vouching.wait(neighbour, deadline):
            return True
        if last.has_passed or not context.courier.is_coming(neighbour):
            return False


async def opened(
    context: Context, vouching: Vouching, way: Sequence[NodeId], *, patience_s: float, last: Deadline | None = None
) -> NodeId | None:
    """Call all nodes of a way that sleep, and wait until none is being opened; return one that still is when for
    ``patience_s`` no site at all has been opened.

    One that cannot be opened is not waited for: it shows by its silence. Sites of other ways have their turn too, so
    the next one's comes as long as any is opened. Raises KeyShortage when some are still being opened at ``last``:
    that goes on, and nobody is to blame for it.
    """
    opening, num_opened = context.courier.is_opening, context.courier.num_opened
    waiting = [node for node in way if opening(node)]
    await vouching.wake(waiting)
    deadline = Deadline.after(context.clock, patience_s)
    before = num_opened()
    while waiting:
        if deadline.has_passed:
            return waiting[0]
        if last is not None and last.has_passed:
            raise KeyShortage(
                f"{len(waiting)} of the {len(way)} sites on the way, {waiting[0]} among them, are still being opened",
                remedy="ask again in a moment, with the same request id where there is one",
                retry_after_s=context.settings.wait_s,
            )
        await _look_again(context, deadline)
        left, now = [node for node in waiting if opening(node)], num_opened()
        if len(left) < len(waiting) or now > before:  # they are opened one after the other
            deadline = Deadline.after(context.clock, patience_s)
        waiting, before = left, now
    return None


async def is_reached(context: Context, node: NodeId, deadline: Deadline) -> bool:
    """Return whether a node can be reached before ``deadline``."""
    while not context.courier.is_reachable(node):
        if deadline.has_passed:
            return False
        await _look_again(context, deadline)
    return True


async def _look_again(context: Context, deadline: Deadline) -> None:
    await context.clock.sleep_until(min(deadline.monotonic_s, context.clock.monotonic_s() + REACH_PERIOD_S))


async def available_bits(context: Context, pool: PoolId) -> int:
    """Return what a pool of this node could spend now; zero for one that was never filled."""
    level = (await context.store.levels()).get(pool)
    return level.available_bits if level is not None else 0


async def missing_blocks(context: Context, bits: BitRange) -> tuple[BlockId, ...]:
    """Return which blocks of a range that a peer spends are not here.

    Those that are here become confirmed: the peer's spend proves that it holds them.
    """
    missing = []
    for block_id in sorted({piece.block_id for piece in bits.slices}):
        try:
            await context.store.confirm(block_id)
        except BlockUnknown:
            missing.append(block_id)
    return tuple(missing)
