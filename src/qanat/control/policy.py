"""What to order, decided from counts alone. Pure: the service and the simulated year call the same function.

Key is made when a demand found too little of it, on every hop of its route that is short, one order per link at a time,
and never beyond the cap of a pool (unless one demand asks for more than that at once). Stock is given to the demands of
the highest rank first (``DemandView.rank``: guarantees, priorities, shares), and in the order in which they came; on
links that several pairs share, those beyond their share take only what is above a part set aside for the others.
Demands of idle time, which fill
end-to-end pools, come after all others, and set only a few links to work at a time, the emptiest first: whoever asks
meanwhile does not wait behind the whole network. Links through optical switches take turns (``switching``).

What is foretold of links counts too (``forecasting``): a link that will give less than is spent of it is filled before,
in idle time as long as that lasts and then at once; one that is out, or will be before a block is made, gets no order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanat.control.forecasting import blocks_before_out, is_pressing, is_short_for_gap, lack_for_gap_bits
from qanat.control.switching import Need, Ports, in_idle_time, in_turn
from qanat.control.views import DemandView, LinkOrder, LinkView, NetworkView, Orders, Policy
from qanat.ground.identifiers import LinkId, NodeId

__all__ = ["DemandView", "LinkOrder", "LinkView", "NetworkView", "Orders", "Policy", "decide"]

NOTHING_SET_ASIDE: Mapping[LinkId, int] = {}


def decide(view: NetworkView, policy: Policy) -> Orders:
    """Return what to do.

    Stock counts once: what a satisfied demand takes is not there for a later one. A demand that waits for one link
    holds nothing back on the others, so that a small demand does not wait behind a large one; what all of them lack
    together is what is ordered. What is set aside for those within their shares is not there for those beyond: without
    it whoever asks most would take key as soon as it is made, and those with a share of the link would find too little,
    most often on ways of many hops, where each must hold key at the same time.
    """
    stock = {
        (link_id, node): bits for link_id, link in view.links.items() for node, bits in link.available_bits.items()
    }
    left_bits = dict(stock)
    satisfied: list[str] = []
    waits_for: dict[str, tuple[LinkId, ...]] = {}
    demands = sorted(view.demands, key=lambda demand: demand.rank)
    set_aside = {link_id: link.set_aside_bits for link_id, link in view.links.items() if link.set_aside_bits}
    for demand in demands:
        needed_bits, not_for_it = demand.needed_bits, set_aside if demand.is_beyond_share else NOTHING_SET_ASIDE
        short = tuple(hop[0] for hop in demand.hops if stock.get(hop, 0) < needed_bits + not_for_it.get(hop[0], 0))
        lacking_bits = needed_bits * demand.times
        for hop in demand.hops:
            left_bits[hop] = left_bits.get(hop, 0) - lacking_bits
        if short:
            waits_for[demand.demand_id] = short
            if demand.standing == 0:  # what was guaranteed is not taken away in smaller parts meanwhile
                lacking = [hop for hop in demand.hops if hop[0] in short]
                stock.update({hop: max(0, stock.get(hop, 0) - demand.needed_bits) for hop in lacking})
            continue
        satisfied.append(demand.demand_id)
        for hop in demand.hops:
            stock[hop] -= demand.needed_bits
    generate = _to_work(view, _Waiting(demands, waits_for), _deficits(left_bits, view.links, policy), policy)
    return Orders(tuple(generate), tuple(satisfied), waits_for)


class _Waiting:
    """Who waits for which link."""

    def __init__(self, demands: Sequence[DemandView], waits_for: Mapping[str, tuple[LinkId, ...]]) -> None:
        self.by_link: dict[LinkId, list[DemandView]] = {}
        for demand in demands:
            for link_id in dict.fromkeys(waits_for.get(demand.demand_id, ())):
                self.by_link.setdefault(link_id, []).append(demand)

    def urgent(self, link_id: LinkId) -> list[DemandView]:
        """Return those who wait for a link now, and do not merely fill idle time."""
        return [demand for demand in self.by_link.get(link_id, ()) if not demand.is_idle]


def _deficits(
    left_bits: Mapping[tuple[LinkId, NodeId], int], links: Mapping[LinkId, LinkView], policy: Policy
) -> dict[LinkId, int]:
    """Return what all demands together lack on each link, in its worse direction; negative for what is over. What must
    lie ready for a gap soon lacks too."""
    deficits: dict[LinkId, int] = {}
    for (link_id, _), bits in left_bits.items():
        deficits[link_id] = max(-bits, deficits.get(link_id, -bits))
    for link_id, link in links.items():
        if link.gap_bits and is_pressing(link, policy):
            left = {node: left_bits.get((link_id, node), 0) for node in link.available_bits}
            deficits[link_id] = max(deficits.get(link_id, 0), lack_for_gap_bits(link, left))
    return deficits


def _to_work(view: NetworkView, waiting: _Waiting, deficits: Mapping[LinkId, int], policy: Policy) -> list[LinkOrder]:
    """Return the orders to give: to all links that somebody waits for, those through switches by turns, and of those
    for idle time to as many as may be."""
    links = view.links
    free = [link_id for link_id, link in links.items() if _is_free(link, policy)]
    wanted = [link_id for link_id in free if link_id in waiting.by_link or _is_low(links[link_id], policy)]
    wanted += [link_id for link_id in free if link_id not in wanted and _is_behind(links[link_id], policy)]
    needed = {link_id: None for link_id in wanted if waiting.urgent(link_id) or _is_first(links[link_id], policy)}
    ports = Ports(
        running=[link for link in links.values() if link.has_order], wanted=[links[link_id] for link_id in wanted]
    )
    needs = [_need(link_id, links[link_id], waiting, deficits, policy) for link_id in needed if links[link_id].kept]
    through = in_turn(needs, ports, policy)
    chosen = [link_id for link_id in needed if not links[link_id].kept] + through
    room = policy.idle_orders_at_once - sum(link.has_order for link in links.values()) - len(chosen)
    idle = {link_id: links[link_id] for link_id in wanted if link_id not in needed}
    chosen += in_idle_time(idle, room, ports, policy)
    return [_order(link_id, links[link_id], waiting, deficits, policy) for link_id in chosen]


def _need(link_id: LinkId, link: LinkView, waiting: _Waiting, deficits: Mapping[LinkId, int], policy: Policy) -> Need:
    urgent = waiting.urgent(link_id)
    priority = max((demand.priority for demand in urgent), default=0)
    return Need(
        link_id,
        link,
        num_demands=sum(demand.times for demand in urgent),
        priority=priority,
        lack_bits=2 * deficits[link_id],
        is_pressing=is_pressing(link, policy),
    )


def _order(
    link_id: LinkId, link: LinkView, waiting: _Waiting, deficits: Mapping[LinkId, int], policy: Policy
) -> LinkOrder:
    """Return the order to a link. In idle time it is of one block where others share its ports or nobody has asked: who
    asks meanwhile waits no longer than for that."""
    demands = waiting.by_link.get(link_id, [])
    is_short = not demands or (bool(link.kept) and not waiting.urgent(link_id))
    num_blocks = 1 if is_short and not is_pressing(link, policy) else _num_blocks(link, deficits[link_id], policy)
    if (most := blocks_before_out(link, policy)) is not None:
        num_blocks = min(num_blocks, most)
    return LinkOrder(link_id, num_blocks, tuple(demand.demand_id for demand in demands))


def _is_low(link: LinkView, policy: Policy) -> bool:
    """Return whether a link is to work in idle time: below the level of that, which is higher where a gap is foretold,
    or to be tried. Both of its ends must have said what they have, and be awake where nothing is foretold."""
    is_low = (not link.sleeps and link.least_bits < policy.idle_level_bits) or is_short_for_gap(link) or link.is_to_try
    return len(link.available_bits) > 1 and is_low


def _is_free(link: LinkView, policy: Policy) -> bool:
    """Return whether a link may have an order: one that is to be out before it has made a block may not."""
    return not link.has_order and not link.rests and blocks_before_out(link, policy) != 0


def _is_behind(link: LinkView, policy: Policy) -> bool:
    """Return whether a link is to work before its sharers ask again; those through switches go by turns alone."""
    is_full = max(link.available_bits.values(), default=0) >= policy.pool_cap_bits
    return not link.kept and not is_full and link.least_bits < link.ahead_bits


def _is_first(link: LinkView, policy: Policy) -> bool:
    """Return whether a link is to work as if somebody waited for it."""
    return is_pressing(link, policy) or _is_behind(link, policy)


def _num_blocks(link: LinkView, deficit_bits: int, policy: Policy) -> int:
    """Return how many blocks cover the worse direction's deficit; one while it is unknown what a block gives."""
    if not link.block_bits:
        return 1
    room_bits = policy.pool_cap_bits - max(link.available_bits.values(), default=0)
    per_block_bits = max(1, link.block_bits // 2)  # half of a block serves each direction
    wanted = -(-min(deficit_bits, max(room_bits, per_block_bits)) // per_block_bits)
    return max(1, min(wanted, policy.max_blocks_per_order))
