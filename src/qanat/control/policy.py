"""What to order, decided from counts alone. Pure: the service and the simulated year call the same function.

Key is made when a demand found too little of it, on every hop of its route that is short, one order per link at a time,
and never beyond the cap of a pool (unless one demand asks for more than that at once). Stock is given to the demands of
the highest priority first, and in the order in which they came. Demands of idle time, which fill
end-to-end pools, come after all others, and set only a few links to work at a time, the emptiest first: whoever asks
meanwhile does not wait behind the whole network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qanat.ground.identifiers import LinkId, NodeId


@dataclass(frozen=True, slots=True)
class Policy:
    """Limits, in bits and blocks."""

    pool_cap_bits: int = 64_000_000
    max_blocks_per_order: int = 4
    idle_orders_at_once: int = 4
    """So many links may be at work when an order for a demand of idle time is given."""


@dataclass(frozen=True, slots=True)
class LinkView:
    """A link as the controller knows it: each end's stock to send under, the bits of its last block (0: unknown).

    ``rests``: it has failed, and is not to be tried yet.
    """

    available_bits: Mapping[NodeId, int]
    block_bits: int = 0
    has_order: bool = False
    rests: bool = False


@dataclass(frozen=True, slots=True)
class DemandView:
    """A demand: every hop (link, sending node) must hold ``needed_bits``.

    ``is_idle``: it can wait for all others; of the rest a higher ``priority`` goes first.
    """

    demand_id: str
    hops: tuple[tuple[LinkId, NodeId], ...]
    needed_bits: int
    is_idle: bool = False
    priority: int = 0


@dataclass(frozen=True, slots=True)
class NetworkView:
    """All that a decision rests on; demands in the order in which they came."""

    links: Mapping[LinkId, LinkView]
    demands: Sequence[DemandView]


@dataclass(frozen=True, slots=True)
class LinkOrder:
    """Make ``num_blocks`` blocks on a link, for these demands."""

    link_id: LinkId
    num_blocks: int
    demand_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Orders:
    """The decision: links to set to work, demands whose key is there, and what links each open demand waits for."""

    generate: tuple[LinkOrder, ...]
    satisfied: tuple[str, ...]
    waits_for: Mapping[str, tuple[LinkId, ...]]


def decide(view: NetworkView, policy: Policy) -> Orders:
    """Return what to do.

    Stock counts once: what a satisfied demand takes is not there for a later one. A demand that waits for one link
    holds nothing back on the others, so that a small demand does not wait behind a large one; what all of them lack
    together is what is ordered.
    """
    stock = {
        (link_id, node): bits for link_id, link in view.links.items() for node, bits in link.available_bits.items()
    }
    left_bits = dict(stock)
    satisfied: list[str] = []
    waits_for: dict[str, tuple[LinkId, ...]] = {}
    demands = sorted(view.demands, key=lambda demand: (demand.is_idle, -demand.priority))
    for demand in demands:
        short = tuple(hop[0] for hop in demand.hops if stock.get(hop, 0) < demand.needed_bits)
        for hop in demand.hops:
            left_bits[hop] = left_bits.get(hop, 0) - demand.needed_bits
        if short:
            waits_for[demand.demand_id] = short
            continue
        satisfied.append(demand.demand_id)
        for hop in demand.hops:
            stock[hop] -= demand.needed_bits
    urgent = {link_id for demand in demands if not demand.is_idle for link_id in waits_for.get(demand.demand_id, ())}
    generate = [
        LinkOrder(link_id, _num_blocks(view.links[link_id], link_id, left_bits, policy), _waiting(link_id, waits_for))
        for link_id in _to_work(view, urgent, waits_for, policy)
    ]
    return Orders(tuple(generate), tuple(satisfied), waits_for)


def _to_work(
    view: NetworkView, urgent: set[LinkId], waits_for: Mapping[str, tuple[LinkId, ...]], policy: Policy
) -> list[LinkId]:
    """Return the links to give an order: all that somebody waits for, and of those for idle time as many as may be."""
    free = [
        link_id
        for link_id, link in view.links.items()
        if not link.has_order and not link.rests and _waiting(link_id, waits_for)
    ]
    needed = [link_id for link_id in free if link_id in urgent]
    num_busy = sum(link.has_order for link in view.links.values()) + len(needed)
    idle = sorted(set(free) - urgent, key=lambda link_id: (_least_bits(view.links[link_id]), link_id))
    return needed + idle[: max(0, policy.idle_orders_at_once - num_busy)]


def _least_bits(link: LinkView) -> int:
    return min(link.available_bits.values(), default=0)


def _waiting(link_id: LinkId, waits_for: Mapping[str, tuple[LinkId, ...]]) -> tuple[str, ...]:
    return tuple(demand_id for demand_id, links in waits_for.items() if link_id in links)


def _num_blocks(link: LinkView, link_id: LinkId, left_bits: Mapping[tuple[LinkId, NodeId], int], policy: Policy) -> int:
    """Return how many blocks cover the worse direction's deficit; one while it is unknown what a block gives."""
    if not link.block_bits:
        return 1
    deficit_bits = max(-bits for (of_link, _), bits in left_bits.items() if of_link == link_id)
    room_bits = policy.pool_cap_bits - max(link.available_bits.values(), default=0)
    per_block_bits = max(1, link.block_bits // 2)  # half of a block serves each direction
    wanted = -(-min(deficit_bits, max(room_bits, per_block_bits)) // per_block_bits)
    return max(1, min(wanted, policy.max_blocks_per_order))
