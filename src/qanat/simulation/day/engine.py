"""The engine of a simulated day: from one event to the next, with the policy and the accounts of the service.

What happens is a request, a block made, a failure, a repair, or a wait that grew too long; between these nothing is
looked at. A request whose route holds its bits is served at once, as by a key manager. One that finds too little has
burned the pads before the hop that is short; it opens a demand, and ``control.policy.decide`` says what to order, as in
the controller; the demand is met when a block has brought enough. A failure gives those whose route went over it
another one (``control.survival``), and their demands are opened anew on it; what a failed link was making is lost, with
the pads of its order.

What is foretold of links (``control.forecasting``) comes true: a link that is out makes no block, and what it was
making is lost; where it gives less, blocks take longer. Its stock can be sent under all the same. Whether the policy
was told is another matter (``is_foreseen``).

Not of this level, so not here: messages and how long they take, batches lost on the way, other ways that key managers
try while the widest is whole but short.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qanat.control.forecasting import Forecasts, Foresight
from qanat.control.graph import Route
from qanat.control.policy import DemandView, LinkView, NetworkView, Policy, decide
from qanat.control.routing import key_graph
from qanat.control.survival import Fault, Outage, Rerouted, RoutedPair, Survivor
from qanat.control.turns import Turns
from qanat.ground.orders import PassForecast
from qanat.key_management.accounts import relay_bits
from qanat.simulation.day.books import Books, Hop
from qanat.simulation.day.demand import Demand, Pair, Requests
from qanat.simulation.day.faults import Removal, links_of, outages_of, own_users
from qanat.simulation.day.passes import Announcements
from qanat.simulation.day.plan import DayPlan
from qanat.simulation.day.serving import Desk, Slot
from qanat.simulation.day.switching import PortsInUse
from qanat.simulation.day.tally import ClassTally, DayResult, Detour
from qanat.simulation.day.waiting import Open, Waiting
from qanat.simulation.day.ways import NO_WAY, Way, way_along

EventKind: TypeAlias = Literal[
    "fail", "mend", "block", "late", "span", "look", "pass", "act", "raise", "share", "ask", "call"
]
Handler: TypeAlias = Callable[[int, int], None]
"""Takes the number of what an event is of, and the serial number that it had when the event was entered."""
PATIENCE_S = 900.0
"""So long is a request kept waiting: what a key manager keeps a demand for (``KeyManagerSettings``)."""

LOOK_PERIOD_S = 60.0
"""So often is looked whether a pool is to be filled for what is foretold; the controller looks every second."""


@dataclass(slots=True)
class DayClock:
    """The time of a run, in seconds from its beginning."""

    now_s: float = 0.0

    def monotonic_s(self) -> float:
        """Return the time."""
        return self.now_s


@dataclass(slots=True)
class _Order:
    """An order that a link works at; ``serial`` tells it from an earlier one of the link."""

    serial: int
    blocks_left: int


class Day:
    """One run. Make it, ``run`` it once."""

    def __init__(
        self,
        plan: DayPlan,
        requests: Requests,
        *,
        demand: Demand,
        horizon_s: float,
        removals: Sequence[Removal] = (),
        ready_blocks: int = 0,
        policy: Policy | None = None,
        patience_s: float = PATIENCE_S,
        forecasts: Forecasts | None = None,
        is_foreseen: bool = True,
        passes: Sequence[PassForecast] = (),
    ) -> None:
        """``forecasts``: what comes of links, in seconds of the run; the policy is told if ``is_foreseen``. ``passes``:
        of satellites, in the same seconds; what has come of those before the run lies ready, if anything does.

        Raises ConfigurationError for a removal or a forecast of what is not there."""
        self._plan, self._requests, self._horizon_s = plan, requests, horizon_s
        self._policy, self._patience_s = policy or Policy(), patience_s
        self._books = Books(plan, ready_blocks=ready_blocks)
        self._batch = {"count": demand.keys_per_request, "size_bits": demand.key_bits}
        self._needed_bits = relay_bits(**self._batch)
        self._graph = key_graph(plan.network, plan.rates)
        self._clock = DayClock()
        self._serial = itertools.count()
        self._events: list[tuple[float, int, EventKind, int, int]] = []
        self._known_short: set[tuple[Hop, ...]] = set()
        self._orders: dict[int, _Order] = {}
        self._names = [(link.link_id, end) for link in plan.links for end in link.ends]
        self._turns = Turns({number: link.ports for number, link in enumerate(plan.links)})
        self._ports = PortsInUse([link.ports for link in plan.links])
        self._waiting = Waiting(self._names, self._books, self._ports, needed_bits=self._needed_bits)
        self._desk = Desk(requests, self._books, needed_bits=self._needed_bits)
        self._known = [ready_blocks > 0] * len(plan.links)
        self._decisions = 0
        self._coming = forecasts or Forecasts()
        self._foresight = Foresight(self._policy, now_s=0.0, forecasts=self._coming if is_foreseen else None)
        self._removals = [(removal, outages_of(plan.network, removal.name)) for removal in removals]
        self._own = own_users(plan.network, [removal.name for removal in removals])
        self._announcements = Announcements(plan.network, passes)
        self._tallies = {name: ClassTally() for name in ("near", "far", *(["sky"] if passes else []), "own")}
        self._routes: dict[Route, tuple[int, int]] = {}
        self._lost: set[int] = set()
        self._detour: Detour | None = None
        self._handlers: dict[EventKind, Handler] = {
            "block": self._on_block,
            "late": lambda number, _: self._on_late(number),
            "span": lambda link, _: self._on_span(link),
            "look": lambda *_: self._on_look(),
            "pass": lambda number, _: self._on_pass(number),
            "fail": lambda number, _: self._on_fault(number, is_over=False),
            "mend": lambda number, _: self._on_fault(number, is_over=True),
        }
        self._lay_out()
        self._lay_out_passes(is_ready=ready_blocks > 0)
        self._classes = [self._class_of(*both) for both in zip(requests.pairs, self._ways, strict=True)]

    def _lay_out(self) -> None:
        """Find the routes of the whole network, and enter what is to fail."""
        for link_id in self._plan.without_key:
            self._graph.set_link(link_id, is_up=False)
        pairs = self._requests.pairs
        routed = {str(number): RoutedPair(pair.one, pair.other, pair.policy) for number, pair in enumerate(pairs)}
        self._survivor = Survivor(self._graph, routed)
        self._ways = [self._way_of(number) for number in range(len(pairs))]
        self._first_ways = list(self._ways)
        self._tell_desk()
        self._lay_out_forecasts()
        for number, (removal, _) in enumerate(self._removals):
            self._push(removal.at_s, "fail", number)
            if removal.for_s is not None:
                self._push(removal.at_s + removal.for_s, "mend", number)

    def _lay_out_forecasts(self) -> None:
        for span in self._coming:
            self._plan.network.link(span.link_id)  # raises where there is none
            for time_s in (span.from_utc_s, span.until_utc_s):
                if span.link_id in self._plan.number and time_s >= 0:
                    self._push(time_s, "span", self._plan.number[span.link_id])
        if self._foresight:
            begin_s = min(span.from_utc_s for span in self._coming) - self._policy.look_ahead_s
            self._push(max(0.0, begin_s), "look", 0)

    def _lay_out_passes(self, *, is_ready: bool) -> None:
        """Enter the passes of the run; what was announced before it lies ready where anything does."""
        for place, one in enumerate(self._announcements.passes):
            if one.set_utc_s > 0:
                self._push(one.set_utc_s, "pass", place)
            elif is_ready:
                for link_id, num_bits in self._announcements.after(one):
                    self._books.bring(self._plan.number[link_id], num_bits, is_ready=True)

    def run(self) -> DayResult:
        """Run to the end and return what came of it; raises BooksDisagree when bits or requests were lost or found."""
        self._advance(0.0)
        while True:
            if (short := self._serve_until(self._next_s())) is not None:
                self._clock.now_s, slot = short
                self._open(slot, asked_s=self._now_s)
            elif self._next_s() <= self._horizon_s:
                self._advance(self._next_s())
            else:
                break
        self._note_counts()
        for pair in self._pairs_waiting():
            self._tally(pair).waiting += 1
        for pair, asked in enumerate(self._desk.asked().tolist()):
            self._tally(pair).asked += asked
        for tally in self._tallies.values():
            tally.check()
        self._books.check()
        routes = sorted(self._routes, key=lambda route: self._routes[route])
        return DayResult(
            classes=self._tallies,
            pairs=Counter(self._classes),
            pairs_cut_off=len(self._lost),
            longest_detour=self._detour,
            routes=Counter({route: self._routes[route][1] for route in routes}),
            links=tuple(self._books.of_links()),
            decisions=self._decisions,
            passes=self._announcements.tally,
        )

    def _pairs_waiting(self) -> list[int]:
        """Return the pair of each request that waits."""
        return [waiting.pair for waiting in self._waiting.open.values()]

    # --- events ---

    @property
    def _now_s(self) -> float:
        return self._clock.now_s

    def _push(self, time_s: float, kind: EventKind, subject: int, serial: int = 0) -> None:
        heapq.heappush(self._events, (time_s, next(self._serial), kind, subject, serial))

    def _next_s(self) -> float:
        """Return when something happens next but requests that find what they ask for."""
        return self._events[0][0] if self._events else math.inf

    def _advance(self, until_s: float) -> None:
        """Let everything happen that is due by then."""
        while self._events and self._events[0][0] <= until_s:
            self._clock.now_s, _, kind, subject, serial = heapq.heappop(self._events)
            self._handlers[kind](subject, serial)

    def _serve_until(self, until_s: float) -> tuple[float, Slot] | None:
        """Let the desk serve till then; one by one where it matters when each was served."""
        if not self._foresight:
            return self._desk.serve_until(until_s)
        while (coming := self._desk.coming()) is not None and coming[0] < until_s:
            if (short := self._desk.serve_until(until_s, at_most=1)) is not None:
                return short
            self._clock.now_s, slot = coming
            way = self._ways[slot >> 1]
            self._note_spent(() if way is None else way.hops[slot & 1])
        return None

    def _serve_or_open(self, slot: Slot, *, asked_s: float) -> None:
        """Serve a request on the route that its pair has now, refuse it for want of one, or leave it waiting."""
        way = self._ways[slot >> 1]
        if way is None:
            self._tally(slot >> 1).cut_off += 1
        elif self._books.holds(way.hops[slot & 1], self._needed_bits):
            self._serve(slot, way.hops[slot & 1], asked_s=asked_s)
        else:
            self._open(slot, asked_s=asked_s)

    def _open(self, slot: Slot, *, asked_s: float) -> None:
        """Leave a request waiting that finds too little; the policy hears of it where it may change anything."""
        way = self._ways[slot >> 1]
        assert way is not None, "some hop is short"
        hops = way.hops[slot & 1]
        self._learn_short(hops)
        number = next(self._serial)
        view = DemandView(str(number), tuple(self._names[hop] for hop in hops), self._needed_bits)
        self._waiting.add(number, Open(slot, asked_s, hops, view))
        self._push(asked_s + self._patience_s, "late", number)
        if self._wants_order(hops):
            self._act()

    def _wants_order(self, hops: tuple[Hop, ...]) -> bool:
        """Return whether a hop is short and its link neither at work nor known to wait for its turn at a switch."""
        stock = self._books.stock
        short = {hop >> 1 for hop in hops if stock[hop] < self._needed_bits} - self._plan.not_on_order
        return any(link not in self._orders and not self._turns.is_wanted(link) for link in short)

    def _learn_short(self, hops: tuple[Hop, ...]) -> None:
        """A way is found short at the cost of the pads before the hop that is; until key was made for it, its key
        manager remembers."""
        if hops not in self._known_short:
            self._known_short.add(hops)
            self._note_spent(self._books.burn(hops, **self._batch, needed_bits=self._needed_bits))

    def _serve(self, slot: Slot, hops: tuple[Hop, ...], *, asked_s: float) -> None:
        """Serve a request that has waited."""
        self._books.relay(hops, **self._batch, needed_bits=self._needed_bits)
        self._note_spent(hops)
        self._tally(slot >> 1).serve(self._now_s - asked_s)
        self._desk.note_later(slot)

    def _on_late(self, number: int) -> None:
        if (waiting := self._waiting.remove(number)) is not None:
            self._tally(waiting.pair).late += 1

    def _on_block(self, link: int, serial: int) -> None:
        """A block is made, unless its order was lost; what waits for the link is looked at again."""
        order = self._orders.get(link)
        if order is None or order.serial != serial:
            return
        self._books.add_block(link)
        self._known[link] = True
        self._waiting.on_block(link)
        order.blocks_left -= 1
        if order.blocks_left:
            self._push(self._now_s + self._block_time_s(link), "block", link, serial)
        else:
            self._end_order(link)
        if self._waiting.wait_for(link) or (self._goes_on(link) and not order.blocks_left):
            self._act()

    def _on_pass(self, place: int) -> None:
        """A satellite sets: what it has announced is shared by two stations now."""
        for link_id, num_bits in self._announcements.after(self._announcements.passes[place]):
            link = self._plan.number[link_id]
            self._books.bring(link, num_bits, is_ready=False)
            self._waiting.on_block(link)
            if self._waiting.wait_for(link):
                self._act()

    def _goes_on(self, link: int) -> bool:
        """Return whether a link, or another in its area, may be ordered though nobody waits for it."""
        return self._turns.is_switched(link) or self._plan.links[link].link_id in self._foresight.forecasts.links

    # --- orders ---

    def _act(self) -> None:
        """Let the policy decide on what is known now, and carry it out."""
        if not self._has_work():
            return
        self._decisions += 1
        seen, switched = self._view()
        view = self._foresight.applied(seen, utc_s=self._now_s, now_s=self._now_s)
        orders = decide(view, self._policy)
        for demand_id in orders.satisfied:
            self._meet(int(demand_id))
        self._waiting.settle()
        for order in orders.generate:
            self._begin(self._plan.number[order.link_id], order.num_blocks)
        waited_for = {link_id for waits in orders.waits_for.values() for link_id in waits}
        numbers = {self._plan.number[link_id] for link_id in waited_for if link_id in self._plan.number}
        self._turns.note_waits(numbers - self._orders.keys(), now_s=self._now_s, among=switched)

    def _has_work(self) -> bool:
        return bool(self._waiting.open or self._foresight)

    def _meet(self, number: int) -> Open:
        """Serve a request that has waited and may go now, and return it."""
        waiting = self._waiting.remove(number)
        assert waiting is not None, "the policy was shown it"
        self._known_short.discard(waiting.hops)
        self._serve(waiting.slot, waiting.hops, asked_s=waiting.asked_s)
        return waiting

    def _view(self) -> tuple[NetworkView, Set[int]]:
        """Return what the policy decides on, and all links in the areas of switches that it looks at: what has crossed
        a threshold, or the whole, where something comes of links with time alone."""
        if self._coming:
            return self._whole_view()
        concern = self._waiting.concern(self._orders)
        links = {self._plan.links[number].link_id: self._link_view(number) for number in concern.links}
        return NetworkView(links=links, demands=concern.demands), concern.switched

    def _whole_view(self) -> tuple[NetworkView, Set[int]]:
        """Return all links, since any can be filled in idle time, and all that waits."""
        links = {link.link_id: self._link_view(number) for number, link in enumerate(self._plan.links)}
        demands = [waiting.view for waiting in self._waiting.open.values()]
        return NetworkView(links, demands), self._ports.all_links

    def _link_view(self, number: int) -> LinkView:
        link, stock = self._plan.links[number], self._books.stock
        return LinkView(
            available_bits={link.ends[0]: stock[2 * number], link.ends[1]: stock[2 * number + 1]},
            block_bits=link.block_bits if self._known[number] else 0,
            has_order=number in self._orders,
            rests=self._share_now(number) <= 0 or number in self._plan.not_on_order,  # it was tried, and failed
            rate_bits_per_s=link.rate_bits_per_s,
            **self._turns.view(number, now_s=self._now_s),
        )

    def _begin(self, link: int, num_blocks: int) -> None:
        """Set a link to work; where the switches turn to it first, it is calibrated too."""
        order = self._orders[link] = _Order(next(self._serial), num_blocks)
        plan, turn_s = self._plan.links[link], 0.0
        self._ports.begin(link)
        if self._turns.begin(link, num_blocks=num_blocks):
            turn_s = plan.ports.turn_s + self._policy.recalibration_s
            self._turns.turned(link)  # with its order: nothing asks before that ends
        self._books.begin_sessions(link, num_blocks=num_blocks)
        self._push(self._now_s + turn_s + self._block_time_s(link), "block", link, order.serial)

    def _end_order(self, link: int) -> None:
        del self._orders[link]
        self._ports.end(link)
        self._waiting.touch(link)

    # --- what is foretold ---

    def _on_span(self, link: int) -> None:
        """A time that was foretold begins or ends: a link that is out loses the block that it was making."""
        if link in self._orders and self._share_now(link) <= 0:
            self._end_order(link)
        self._act()

    def _on_look(self) -> None:
        if any(span.until_utc_s > self._now_s for span in self._coming):
            self._push(self._now_s + LOOK_PERIOD_S, "look", 0)
        self._act()

    def _share_now(self, link: int) -> float:
        """Return which share of its rate a link gives now."""
        if not self._coming:
            return 1.0
        plan = self._plan.links[link]
        return self._coming.share_now(plan.link_id, utc_s=self._now_s, rate_bits_per_s=plan.rate_bits_per_s)

    def _block_time_s(self, link: int) -> float:
        """Return how long a block takes that begins now."""
        return self._plan.links[link].block_time_s / (self._share_now(link) or 1.0)

    def _note_spent(self, hops: tuple[Hop, ...]) -> None:
        for hop in hops if self._foresight else ():
            link = self._plan.links[hop >> 1]
            self._foresight.demand.note_spent((link.link_id, link.ends[hop & 1]), self._needed_bits, now_s=self._now_s)

    # --- failures ---

    def _on_fault(self, number: int, *, is_over: bool) -> None:
        """Take a part out, or put it back; whoever has another route now asks on it."""
        _, outages = self._removals[number]
        for outage in outages:
            self._announcements.note(outage, is_over=is_over)
        for link in {link for outage in outages for link in links_of(outage, self._plan)} & self._orders.keys():
            self._end_order(link)  # none of one that comes back
        changed = self._rerouted(outages, is_over=is_over)
        self._note_counts()
        for pair in sorted(changed):
            self._ways[pair] = self._way_of(pair)
            self._note_change(pair)
        self._tell_desk()
        self._ask_again(changed)
        self._act()

    def _rerouted(self, outages: Iterable[Outage], *, is_over: bool) -> set[int]:
        """Return the pairs that have another route now, or none any more. Of several links between the same two sites
        keys go over the first alone: nothing comes of the others."""
        number = self._plan.number
        used = [one for one in outages if one.fault is not Fault.LINK_DOWN or one.link_id in number]
        change: Rerouted = self._survivor.mend(*used) if is_over else self._survivor.fail(*used)
        return {int(name) for name in (*change.routes, *change.cut_off)}

    def _note_change(self, pair: int) -> None:
        """Note who is cut off, and how much longer a route has become."""
        before, after = self._first_ways[pair], self._ways[pair]
        if self._classes[pair] == "own" or before is None:
            return
        if after is None:
            self._lost.add(pair)
            return
        more = len(after.route) - len(before.route)
        if more > (self._detour.hops_more if self._detour else 0):
            self._detour = Detour(more, before.route, after.route)

    def _ask_again(self, pairs: set[int]) -> None:
        """Open the demands of these pairs anew, on the routes they have now; they have waited as long as they have."""
        for number in [number for number, waiting in self._waiting.open.items() if waiting.pair in pairs]:
            waiting = self._waiting.remove(number)
            assert waiting is not None, "it waits"
            self._serve_or_open(waiting.slot, asked_s=waiting.asked_s)

    # --- the desk ---

    def _tell_desk(self) -> None:
        """Tell the desk over which hops it serves now."""
        self._desk.set_ways([hops for way in self._ways for hops in (NO_WAY if way is None else way.hops)])

    def _note_counts(self) -> None:
        """Write down what the desk has served and refused, before routes change or at the end."""
        for count in self._desk.take_counts():
            tally, way = self._tally(count.slot >> 1), self._ways[count.slot >> 1]
            tally.served += count.served_at_once
            tally.cut_off += count.refused
            if way is None or not (served := count.served_at_once + count.served_later):
                continue
            hops = way.hops[count.slot & 1]
            if count.served_at_once:
                self._books.note_relayed(hops, times=count.served_at_once, **self._batch)
            first, before = self._routes.get(way.route, (count.first, 0))
            self._routes[way.route] = (min(first, count.first), before + served)

    # --- words ---

    def _class_of(self, pair: Pair, way: Way | None) -> str:
        if self._own & {pair.one, pair.other}:
            return "own"
        over_sky = way is not None and any(hop >> 1 in self._plan.not_on_order for hop in way.hops[0])
        return "sky" if over_sky else pair.kind

    def _way_of(self, pair: int) -> Way | None:
        return way_along(self._survivor.routes.get(str(pair)), self._graph, self._plan)

    def _tally(self, pair: int) -> ClassTally:
        return self._tallies[self._classes[pair]]
