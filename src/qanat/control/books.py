"""What the controller remembers. None of it is durable: after a restart the key managers say it again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from qanat.control.policy import DemandView, LinkView, NetworkView, Policy
from qanat.control.posing import set_aside_bits
from qanat.control.turns import Turns, ports_of
from qanat.ground.identifiers import EventId, LinkId, NodeId, OrderId
from qanat.ground.keys import Origin
from qanat.ground.network import Network
from qanat.key_management.wire import GenerationFailed, GenerationRequest, LinkReport, OrderState, PoolShortage, Routes

AWAY_AGAIN_S = 5.0
"""Who asked for key of a link whose module is away may ask again so soon: to say so costs no pads, and the module may
be back."""
START_IT = "start it again, its site's alarm names the command; the link is then tried at once"
UNREPEATED_S = 30.0
"""A demand that was not said again for so long is none any more."""


@dataclass(slots=True)
class LinkBook:
    """One link: what its ends said last."""

    ends: tuple[NodeId, NodeId]
    available_bits: dict[NodeId, int] = field(default_factory=dict)
    rates_bits_per_s: dict[NodeId, float] = field(default_factory=dict)
    origins: dict[NodeId, Origin] = field(default_factory=dict)
    ages_s: dict[NodeId, float | None] = field(default_factory=dict)
    block_bits: int = 0
    rests_until_s: float = float("-inf")
    failures_in_a_row: int = 0
    restarts_in_a_row: int = 0
    last_fault: OrderFault | None = None
    away: set[NodeId] = field(default_factory=set)
    """The ends where the process with the module does not answer."""
    certificates_ended: dict[NodeId, str] = field(default_factory=dict)
    """What the ends said of their own certificates; empty while these count."""
    is_to_try: bool = False
    """Its modules are back, and it has had no order since."""

    @property
    def has_failed(self) -> bool:
        """Whether its last order failed."""
        return self.failures_in_a_row > 0

    @property
    def fault(self) -> OrderFault | None:
        """Why it makes no key now, as far as that is known."""
        if self.away:
            if ended := [end for end in sorted(self.away) if self.certificates_ended.get(end)]:
                text = ", and ".join(self.certificates_ended[end] for end in ended)
                return OrderFault(text, renewal(*ended), by_module=True)
            ends = " and ".join(sorted(self.away))
            return OrderFault(f"the process with its QKD modules does not answer {ends}", START_IT, by_module=True)
        return self.last_fault

    @property
    def again_s(self) -> float | None:
        """After how long it is worth asking for its key again, where that is known."""
        return AWAY_AGAIN_S if self.away else None

    def rests(self, now_s: float) -> bool:
        """Return whether it is to have no order now: after a failed one for a while, and while a module is away."""
        return bool(self.away) or now_s < self.rests_until_s

    def is_failing(self, now_s: float, *, tries: int) -> bool:
        """Return whether a module of it is away, or it has failed ``tries`` times in a row and rests from it."""
        return bool(self.away) or (self.failures_in_a_row >= tries and now_s < self.rests_until_s)

    def note_module(self, node: NodeId, *, is_away: bool) -> None:
        """Take down whether the module of one end answers. When those of both do again, the link is tried at once."""
        if is_away:
            self.away.add(node)
        elif self.away:
            self.away.discard(node)
            if not self.away:
                self.failures_in_a_row = self.restarts_in_a_row = 0
                self.rests_until_s = float("-inf")
                self.is_to_try = True

    @property
    def origin(self) -> Origin:
        """Device only when both ends have said so."""
        (one, other), said = self.ends, self.origins
        return "device" if said.get(one) == said.get(other) == "device" else "twin"

    @property
    def rate_bits_per_s(self) -> float:
        """The lower of what the two ends expect; zero while one is silent."""
        one, other = self.ends
        return min(self.rates_bits_per_s.get(one, 0.0), self.rates_bits_per_s.get(other, 0.0))


@dataclass(frozen=True, slots=True)
class OrderFault:
    """Why an order failed, and what helps. ``by_module``: a QKD module or a switch said so, which makes it the link's
    fault. ``by_restart``: a key manager died meanwhile, which says nothing of the link."""

    text: str
    remedy: str = ""
    by_module: bool = False
    by_restart: bool = False


@dataclass(slots=True)
class OrderBook:
    """One generation order: which end is in which state (None: not heard of yet)."""

    order_id: OrderId
    link_id: LinkId
    num_blocks: int
    cause: EventId | None
    deadline_monotonic_s: float
    demand_ids: tuple[str, ...]
    states: dict[NodeId, OrderState | None]
    cancelled: str = ""
    awaits_turn: bool = False
    """Whether the switches still turn to its link: till then nobody hears of it."""
    turn_fault: OrderFault | None = None
    is_adopted: bool = False
    """Whether an earlier life of the controller gave it: then it is followed, not said again."""

    @property
    def restarted(self) -> NodeId | None:
        """An end that knows nothing of the order, since it has restarted; None when both do."""
        unknown = (node for node, state in self.states.items() if state is not None and state.state == "unknown")
        return next(unknown, None)

    @property
    def has_ended(self) -> bool:
        return all(state is not None and state.state != "running" for state in self.states.values())

    @property
    def fault(self) -> OrderFault | None:
        """Why the order did not end well, in the words of the end that knows best; None when it did."""
        if self.turn_fault is not None:
            return self.turn_fault
        states = [state for state in self.states.values() if state is not None]
        faults = [OrderFault(state.fault, state.remedy, state.by_module) for state in states if state.fault]
        if self.restarted is not None:  # whatever else went wrong may come of that
            is_made = any(not state.fault and state.blocks_made >= self.num_blocks for state in states)
            return None if is_made else OrderFault(f"{self.restarted} has restarted", by_restart=True)
        if by_module := [fault for fault in faults if fault.by_module]:
            return by_module[0]
        if self.cancelled:
            return OrderFault(self.cancelled)
        if faults:
            return min(faults, key=lambda fault: fault.text.startswith("the peer refused"))
        return None


@dataclass(slots=True)
class DemandBook:
    """One demand of a key manager, heard of last at ``heard_s``. ``ordered`` is the event of step 7, once it was
    recorded."""

    word: GenerationRequest
    routes: Routes
    hops: tuple[tuple[LinkId, NodeId], ...]
    found: EventId
    heard_s: float
    ordered: EventId | None = None
    failed_orders: int = 0
    failure: GenerationFailed | None = None


def renewal(*nodes: NodeId) -> str:
    """Return what helps where certificates of sites have ended."""
    return (
        f"make a new one with `qanat pki renew {' '.join(nodes)}`, and bring it and its key to where the old ones lie;"
        " all else goes on by itself"
    )


class Books:
    """Links, orders and demands, and the view of them that the policy decides on.

    ``expected``: what holds of ends of links until they speak: so sites that sleep have routes, which stay as they are
    when they wake.
    """

    def __init__(
        self,
        network: Network,
        *,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        expected: Iterable[tuple[NodeId, LinkReport]] = (),
    ) -> None:
        self._is_awake = is_awake
        self.links = {link.link_id: LinkBook(link.ends) for link in network.links}
        self._unordered = frozenset(link.link_id for link in network.links if not link.makes_key_on_order)
        self._relayed = frozenset(link.link_id for link in network.relayed_links)
        self.turns = Turns({link.link_id: ports_of(network, link) for link in network.links})
        self.orders: dict[OrderId, OrderBook] = {}
        self.demands: dict[str, DemandBook] = {}
        self.ahead: frozenset[LinkId] = frozenset()
        """Links that are to hold a block at each end, since pairs that ask for key now have shares of them."""
        self.contended: frozenset[LinkId] = frozenset()
        """Those of them of which several pairs have shares."""
        self.switches_rest_until_s = float("-inf")
        """Until then no link through switches is ordered: an order of an earlier life may run there."""
        for node, report in expected:
            self.note_report(node, report)

    def order_on(self, link_id: LinkId) -> OrderBook | None:
        """Return the outstanding order of a link."""
        return next((order for order in self.orders.values() if order.link_id == link_id), None)

    def failing_link(
        self, hops: Sequence[tuple[LinkId, NodeId]], *, needed_bits: int, tries: int, now_s: float
    ) -> LinkId | None:
        """Return a link of a route that is short and fails: see ``LinkBook.is_failing``."""
        for link_id, node in hops:
            book = self.links[link_id]
            if book.available_bits.get(node, 0) >= needed_bits:
                continue
            if book.is_failing(now_s, tries=tries):
                return link_id
        return None

    def away_link(self, demand: DemandBook) -> LinkId | None:
        """Return a link that a demand finds short and whose module is away."""
        for link_id, node in demand.hops:
            book = self.links[link_id]
            if book.away and book.available_bits.get(node, 0) < demand.word.needed_bits:
                return link_id
        return None

    def failing_links(self, *, tries: int, now_s: float) -> list[LinkId]:
        """Return the links that fail: see ``LinkBook.is_failing``."""
        return [link_id for link_id, book in self.links.items() if book.is_failing(now_s, tries=tries)]

    @property
    def away_links(self) -> frozenset[LinkId]:
        """The links of which a module does not answer."""
        return frozenset(link_id for link_id, book in self.links.items() if book.away)

    def note_report(self, node: NodeId, report: LinkReport, *, certificate_ended: str = "") -> None:
        """Take down what one end of a link says of it; ``certificate_ended``: and of its own certificate."""
        book = self.links.get(report.link_id)
        if book is not None and node in book.ends:
            book.available_bits[node] = report.available_bits
            book.rates_bits_per_s[node] = report.expected_rate_bits_per_s
            book.origins[node] = report.origin
            book.ages_s[node] = report.oldest_age_s
            book.certificates_ended[node] = certificate_ended
            if report.module_away is not None:  # what is not known yet neither begins an outage nor ends one
                book.note_module(node, is_away=report.module_away)

    def note_stock(self, node: NodeId, link_id: LinkId, available_bits: int, *, block_bits: int = 0) -> None:
        """Take down what one end of a link may send under it."""
        book = self.links.get(link_id)
        if book is not None and node in book.ends:
            book.available_bits[node] = available_bits
            book.block_bits = block_bits or book.block_bits

    def note_shortage(self, shortage: PoolShortage) -> None:
        self.note_stock(shortage.sender, shortage.link_id, shortage.available_bits)

    def note_waits(self, waits_for: Mapping[str, Sequence[LinkId]], *, now_s: float) -> None:
        """Take down since when somebody waits for an order to each link through switches; idle time does not."""
        wanted = {link_id for demand_id in waits_for if self._is_urgent(demand_id) for link_id in waits_for[demand_id]}
        wanted.difference_update([order.link_id for order in self.orders.values()])
        self.turns.note_waits(wanted, now_s=now_s)

    def awaits_switch(self, link_id: LinkId) -> bool:
        """Return whether a link through switches waits for its turn at their ports, or for them to have turned."""
        if not self.turns.is_switched(link_id):
            return False
        order = self.order_on(link_id)
        return order is None or order.awaits_turn

    def note_repeated(self, demand: DemandBook, word: GenerationRequest, *, now_s: float) -> None:
        """A key manager says a demand again: how it stands may have changed, and nothing else."""
        demand.word, demand.heard_s = replace(demand.word, standing=word.standing), now_s

    def forget_unrepeated(self, *, now_s: float) -> None:
        """Forget demands that nobody waits for any more: key managers repeat theirs at every tick."""
        for demand_id in [name for name, one in self.demands.items() if now_s - one.heard_s > UNREPEATED_S]:
            del self.demands[demand_id]

    def open_demands(self, order: OrderBook) -> list[DemandBook]:
        """Return the demands of an order that are still open."""
        return [self.demands[demand_id] for demand_id in order.demand_ids if demand_id in self.demands]

    def _is_urgent(self, demand_id: str) -> bool:
        return not self.demands[demand_id].word.is_idle

    def spend(self, demand: DemandBook) -> None:
        """Count a satisfied demand's key as gone until the ends report again."""
        for link_id, node in demand.hops:
            stock = self.links[link_id].available_bits
            stock[node] = max(0, stock.get(node, 0) - demand.word.needed_bits)

    def is_ordered(self, link_id: LinkId) -> bool:
        """Whether a link makes key when it is told to; a satellite's does when it passes."""
        return link_id not in self._unordered

    def view(self, *, now_s: float, with_links: Collection[LinkId] = ()) -> NetworkView:
        """Return what the policy decides on: of a network's many links those that are at work or asked for, and
        those of ``with_links`` that keys go over."""
        busy = {order.link_id for order in self.orders.values()}
        to_try = [link_id for link_id, book in self.links.items() if book.is_to_try]
        concerned = busy.union(
            self.ahead, to_try, (link_id for demand in self.demands.values() for link_id, _ in demand.hops)
        )
        return NetworkView(
            links={
                link_id: self._link_view(link_id, book, has_order=link_id in busy, now_s=now_s)
                for link_id, book in self.links.items()
                if link_id in concerned or (link_id in with_links and link_id in self._relayed)
            },
            demands=[
                DemandView(
                    demand_id,
                    demand.hops,
                    demand.word.needed_bits,
                    demand.word.is_idle,
                    demand.word.priority,
                    demand.word.standing,
                )
                for demand_id, demand in self.demands.items()
            ],
        )

    def _set_aside_bits(self, link_id: LinkId, book: LinkBook) -> int:
        """Return what is not for those beyond their share. Of a link that makes no key on order nothing is set aside,
        for there might never be more."""
        is_shared = link_id in self.contended and link_id not in self._unordered
        return set_aside_bits(book.block_bits) if is_shared else 0

    def _link_view(self, link_id: LinkId, book: LinkBook, *, has_order: bool, now_s: float) -> LinkView:
        is_switched = self.turns.is_switched(link_id)
        rests = book.rests(now_s) or (is_switched and now_s < self.switches_rest_until_s)
        return LinkView(
            available_bits=dict(book.available_bits),
            block_bits=book.block_bits,
            has_order=has_order,
            rests=rests or link_id in self._unordered,
            rate_bits_per_s=book.rate_bits_per_s,
            sleeps=not all(map(self._is_awake, book.ends)),
            is_to_try=book.is_to_try,
            ahead_bits=max(1, book.block_bits) if link_id in self.ahead else 0,
            set_aside_bits=self._set_aside_bits(link_id, book),
            **self.turns.view(link_id, now_s=now_s),
        )


def with_idle_level(policy: Policy, network: Network) -> Policy:
    """Return a policy with the level to which the network's file has idle time fill links, where it names one."""
    level_bits = network.stock.link_key_idle_bits
    return replace(policy, idle_level_bits=level_bits) if level_bits else policy
