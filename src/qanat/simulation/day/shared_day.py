"""A day of a network that declares sharing: who may take key from stock, over which way, and who asks first, is decided
by what the key managers decide it by (``shares``).

Requests come one by one, since each counts against a share. One beyond its share, or on a way that has carried its
part, opens a demand; it is within its share as soon as that has grown, which key managers see at each tick. Decisions
come as thick as the controller's (``control.pacing``). Not of this level: how long solving takes; the shares hold from
the tick at which somebody new was seen to ask.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from qanat.control.graph import Route
from qanat.control.pacing import PAUSE_S
from qanat.control.policy import DemandView, LinkView
from qanat.control.posing import set_aside_bits
from qanat.ground.errors import ConfigurationError, KeyShortage
from qanat.key_management.rations import BEYOND
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.day.books import Hop
from qanat.simulation.day.demand import Demand, Requests
from qanat.simulation.day.engine import Day
from qanat.simulation.day.plan import DayPlan
from qanat.simulation.day.serving import Slot
from qanat.simulation.day.shares import Shares, askers_of
from qanat.simulation.day.tally import DayResult, PairKey
from qanat.simulation.day.waiting import Open
from qanat.simulation.day.ways import hops_along

TICK_S = KeyManagerSettings().tick_s


class SharedDay(Day):
    """One run of a network that declares sharing. Make it, ``run`` it once."""

    def __init__(self, plan: DayPlan, requests: Requests, *, demand: Demand, horizon_s: float, **terms: Any) -> None:
        """``terms``: as ``Day`` takes them. Raises ConfigurationError for a network that declares no sharing."""
        if (rules := plan.network.sharing) is None:
            raise ConfigurationError(f"{plan.network.name!r} declares no sharing", remedy="give it a section `sharing`")
        super().__init__(plan, requests, demand=demand, horizon_s=horizon_s, **terms)
        self._window_s = rules.window_s
        self._shares = Shares(plan, rules, self._clock, turning_share=self._policy.turning_share)
        self._askers = askers_of(plan.network, requests.pairs)
        self._hops_of: dict[Route, tuple[Hop, ...]] = {}
        self._ways_of: dict[Slot, tuple[Route, ...]] = {}
        self._open_of: Counter[Slot] = Counter()
        self._capped: dict[int, tuple[Slot, float]] = {}
        self._beyond: dict[tuple[Slot, Route], dict[int, None]] = {}
        self._reign = 0
        self._is_due = False
        self._next_act_s = -math.inf
        self._heard: set[Slot] = set()
        self._hear_again_s = math.inf
        self._given_bits: Counter[Slot] = Counter()
        """What each hop of the ways has paid for the keys of each slot."""
        self._handlers["act"] = lambda *_: self._on_act()
        self._handlers["raise"] = self._on_raise
        self._handlers["share"] = lambda *_: self._on_share()
        self._handlers["ask"] = lambda number, _: self._on_uncapped(number)
        self._push(0.0, "share", 0)

    # --- requests ---

    def _serve_until(self, until_s: float) -> tuple[float, Slot] | None:
        """Return the next request before that moment: each is looked at by itself."""
        if (coming := self._desk.coming()) is None or coming[0] >= until_s:
            return None
        self._desk.leave_next()
        return coming

    def _open(self, slot: Slot, *, asked_s: float) -> None:
        self._serve_or_open(slot, asked_s=asked_s)

    def _serve_or_open(self, slot: Slot, *, asked_s: float) -> None:
        """Serve a request over a way that its share may take, or have it ask for key first; refuse it for want of a
        way."""
        if not (ways := self._ways_now(slot)):
            self._tally(slot >> 1).cut_off += 1
            return
        asker = self._askers[slot]
        site = self._shares.sites[asker.source]
        if self._has_to_wait_for_cap(slot, asked_s):
            return
        is_alone = not self._open_of[slot]
        for _ in ways:
            in_turn = site.in_turn(asker.target, ways, self._needed_bits)
            if (way := next(filter(self._is_able, in_turn), None)) is None:
                break
            if not site.rations.may_take(asker.saes, (way,), self._needed_bits, is_alone=is_alone):
                self._ask_for(slot, site.to_ask_for(way, in_turn), asked_s)
                return
            if self._books.holds(self._hops_of[way], self._needed_bits):
                self._take(slot, way, asked_s)
                return
            self._try_in_vain(slot, way)
        self._ask_for(slot, site.in_turn(asker.target, ways, self._needed_bits)[0], asked_s)

    def _take(self, slot: Slot, way: Route, asked_s: float) -> None:
        """Serve a request from stock; links that are to hold key ahead may have to work for it."""
        asker = self._askers[slot]
        self._shares.sites[asker.source].rations.take(asker.saes, (way,), self._needed_bits)
        self._give(slot, way, asked_s)
        links = (hop >> 1 for hop in self._hops_of[way])
        if any(link not in self._orders and self._waiting.is_behind(link) for link in links):
            self._act()

    def _try_in_vain(self, slot: Slot, way: Route) -> None:
        """Send a batch on a way that turns out to be short; further on than at its first hop, that burns pads."""
        asker, hops = self._askers[slot], self._hops_of[way]
        site = self._shares.sites[asker.source]
        if self._books.stock[hops[0]] >= self._needed_bits:
            site.rations.take(asker.saes, (way,), self._needed_bits)
            site.rations.note_short(asker.saes, asker.target)
            site.spreading.note_sent(way, self._needed_bits)
        self._learn_short(hops)

    def _is_able(self, way: Route) -> bool:
        """Return whether a way is not known to be short."""
        hops = self._hops_of[way]
        if hops in self._known_short and self._books.holds(hops, self._needed_bits):
            self._known_short.discard(hops)  # the controller is asked for such ways, and says so
        return hops not in self._known_short

    def _ask_for(self, slot: Slot, way: Route, asked_s: float) -> None:
        """Open a demand for key on a way."""
        asker, number = self._askers[slot], next(self._serial)
        site, hops = self._shares.sites[asker.source], self._hops_of[way]
        standing = site.rations.enter(asker.saes, asker.target, (way,), self._needed_bits)
        site.spreading.note_awaited(way, self._needed_bits, demand_id=str(number))
        names = tuple(self._names[hop] for hop in hops)
        view = DemandView(str(number), names, self._needed_bits, priority=asker.priority, standing=standing)
        waiting = Open(slot, asked_s, hops, view, route=way, opened_s=self._now_s)
        self._waiting.add(number, waiting)
        self._open_of[slot] += 1
        self._push(asked_s + self._patience_s, "late", number)
        self._note_asking(slot)
        self._wait_for_share(number, waiting)
        self._act()

    def _give(self, slot: Slot, way: Route, asked_s: float) -> None:
        """Serve a request over a way that its share has paid for."""
        asker = self._askers[slot]
        site = self._shares.sites[asker.source]
        site.rations.count(asker.saes, self._needed_bits)
        site.spreading.note_sent(way, self._needed_bits)
        route = way if way[0] == self._requests.pairs[slot >> 1].one else way[::-1]
        first, before = self._routes.get(route, (len(self._routes), 0))
        self._routes[route] = (first, before + 1)
        self._given_bits[slot] += self._needed_bits
        self._serve(slot, self._hops_of[way], asked_s=asked_s)

    def _meet(self, number: int) -> Open:
        waiting = self._closed(number)
        assert waiting is not None, "the policy was shown it"
        self._known_short.discard(waiting.hops)
        asker, ways = self._askers[waiting.slot], (waiting.route,)
        rations = self._shares.sites[asker.source].rations
        waited_s = self._now_s - waiting.opened_s
        rations.grant(asker.saes, asker.target, self._needed_bits, waited_s=waited_s)
        if not self._has_to_wait_for_cap(waiting.slot, waiting.asked_s):
            rations.take(asker.saes, ways, self._needed_bits)
            self._give(waiting.slot, waiting.route, waiting.asked_s)
        return waiting

    def _closed(self, number: int) -> Open | None:
        """Take out a demand; None where it is not open any more."""
        if (waiting := self._waiting.remove(number)) is not None:
            self._wait_no_more(number, waiting)
            self._open_of[waiting.slot] -= 1
            self._note_asking(waiting.slot)
        return waiting

    def _on_late(self, number: int) -> None:
        if (capped := self._capped.pop(number, None)) is not None:
            self._tally(capped[0] >> 1).late += 1
        elif (waiting := self._withdrawn(number)) is not None:
            self._tally(waiting.pair).late += 1

    def _withdrawn(self, number: int) -> Open | None:
        """Take back a demand, with what it has paid; None where it is not open any more."""
        if (waiting := self._closed(number)) is None:
            return None
        asker, ways = self._askers[waiting.slot], (waiting.route,)
        site = self._shares.sites[asker.source]
        standing = waiting.view.standing
        site.rations.leave(asker.saes, asker.target, ways, self._needed_bits, standing=standing)
        site.spreading.note_given_up(waiting.route, demand_id=str(number))
        return waiting

    # --- caps ---

    def _has_to_wait_for_cap(self, slot: Slot, asked_s: float) -> bool:
        """Return whether a pair has had its cap: then who asks does so again when there is more, as he is told to."""
        asker = self._askers[slot]
        try:
            self._shares.sites[asker.source].rations.check_cap(asker.saes)
        except KeyShortage as fault:
            number = next(self._serial)
            self._capped[number] = slot, asked_s
            again_s, late_s = self._now_s + (fault.retry_after_s or TICK_S), asked_s + self._patience_s
            self._push(min(again_s, late_s), "ask" if again_s < late_s else "late", number)
            return True
        return False

    def _on_uncapped(self, number: int) -> None:
        slot, asked_s = self._capped.pop(number)
        self._serve_or_open(slot, asked_s=asked_s)

    def _pairs_waiting(self) -> list[int]:
        return [*super()._pairs_waiting(), *(slot >> 1 for slot, _ in self._capped.values())]

    # --- shares ---

    def _wait_for_share(self, number: int, waiting: Open) -> None:
        """See again how a demand stands that is beyond its share, when that may have grown: of those that wait for the
        same, which is one share on one way, the oldest first."""
        if waiting.view.standing == BEYOND:
            queue = self._beyond.setdefault((waiting.slot, waiting.route), {})
            queue[number] = None
            if len(queue) == 1:
                self._raise_next(waiting.slot, waiting.route)

    def _raise_next(self, slot: Slot, way: Route) -> None:
        """Look at the oldest that waits for a share on a way at the tick by which that may have grown."""
        asker, number = self._askers[slot], next(iter(self._beyond[slot, way]))
        wait_s = self._shares.sites[asker.source].rations.wait_s(asker.saes, asker.target, (way,))
        if wait_s < math.inf:
            tick = math.floor((self._now_s + wait_s) / TICK_S) + 1
            self._push(tick * TICK_S, "raise", number, self._reign)

    def _wait_no_more(self, number: int, waiting: Open) -> None:
        """A demand is not beyond its share any more, or is closed."""
        key = (waiting.slot, waiting.route)
        if number in (queue := self._beyond.get(key, {})):
            was_first = next(iter(queue)) == number
            del queue[number]
            if was_first and queue:
                self._raise_next(*key)

    def _on_raise(self, number: int, reign: int) -> None:
        waiting = self._waiting.open.get(number)
        if waiting is None or reign != self._reign or waiting.view.standing != BEYOND:
            return
        asker = self._askers[waiting.slot]
        rations = self._shares.sites[asker.source].rations
        standing = rations.enter(asker.saes, asker.target, (waiting.route,), self._needed_bits)
        if standing == BEYOND:
            self._raise_next(waiting.slot, waiting.route)
            return
        waiting.view = replace(waiting.view, standing=standing)
        self._wait_no_more(number, waiting)
        if self._waiting.look_at(number):
            self._act()

    def _note_asking(self, slot: Slot) -> None:
        """Somebody asks for more than is there, or has done so till now."""
        self._shares.note((self._askers[slot],))
        if slot not in self._heard:
            self._heard.add(slot)
            self._hear_again_s = self._now_s

    def _asking(self) -> set[Slot]:
        """Return who asks for more than is there."""
        return {waiting.slot for waiting in self._waiting.open.values()}

    def _on_share(self) -> None:
        """See whether who shares, or what links give, has changed: at each tick after somebody new has asked, and often
        enough that nobody is forgotten who does, or kept who does not."""
        self._push(self._now_s + TICK_S, "share", 0)
        if self._now_s < self._hear_again_s:
            return
        asking = self._asking()
        self._shares.note(self._askers[slot] for slot in asking)
        self._hear_again_s = self._now_s + self._window_s / 2 if asking or self._shares.ahead else math.inf
        self._heard = asking
        if self._shares.look({link.link_id: self._usable_now(number) for number, link in enumerate(self._plan.links)}):
            self._renew()

    def _usable_now(self, link: int) -> float:
        """Return which share of its forecast a link gives now; nothing while it or a site at its end is out."""
        plan, graph = self._plan.links[link], self._graph
        is_up = graph.link_is_up[link] and all(graph.node_is_up[graph.number[end]] for end in plan.ends)
        return self._share_now(link) if is_up else 0.0

    def _renew(self) -> None:
        """Other shares hold: all that waits is looked at anew, and what waits beyond its share on a way without a part
        chooses anew. Key managers (``DemandDesk``) have only those do so whose way had a part: here that ends alike."""
        self._reign += 1
        self._ways_of.clear()
        number = self._plan.number
        block_bits = {link_id: self._plan.links[number[link_id]].block_bits for link_id in self._shares.ahead}
        self._waiting.share(
            ahead_bits={number[link_id]: bits for link_id, bits in block_bits.items()},
            aside_bits={number[link_id]: set_aside_bits(block_bits[link_id]) for link_id in self._shares.contended},
        )
        self._open_anew(
            [
                number
                for (slot, way), queue in self._beyond.items()
                if self._has_lost_its_part(slot, way)
                for number in queue
            ]
        )
        for key in [key for key, queue in self._beyond.items() if queue]:
            self._raise_next(*key)
        self._act()

    def _has_lost_its_part(self, slot: Slot, way: Route) -> bool:
        """Return whether a way carries nothing of a share that others carry."""
        asker = self._askers[slot]
        shared = self._shares.sites[asker.source].spreading.ways(asker.target)
        return bool(shared) and way not in shared

    # --- orders ---

    def _act(self) -> None:
        """Have the policy decide soon, once for all causes that come meanwhile."""
        if not self._is_due:
            self._is_due = True
            self._push(max(self._now_s, self._next_act_s), "act", 0)

    def _on_act(self) -> None:
        self._is_due, self._next_act_s = False, self._now_s + PAUSE_S
        super()._act()

    def _has_work(self) -> bool:
        return super()._has_work() or bool(self._shares.ahead)

    def _goes_on(self, link: int) -> bool:
        return super()._goes_on(link) or self._plan.links[link].link_id in self._shares.ahead

    def _link_view(self, number: int) -> LinkView:
        view = super()._link_view(number)
        if (link_id := self._plan.links[number].link_id) not in self._shares.ahead:
            return view
        aside_bits = set_aside_bits(view.block_bits) if link_id in self._shares.contended else 0
        return replace(view, ahead_bits=max(1, view.block_bits), set_aside_bits=aside_bits)

    # --- ways ---

    def _ways_now(self, slot: Slot) -> tuple[Route, ...]:
        """Return the ways of a slot that are whole: those that shares were found on, and the widest."""
        if slot not in self._ways_of:
            asker, widest = self._askers[slot], self._ways[slot >> 1]
            shared = self._shares.sites[asker.source].spreading.ways(asker.target)
            own = () if widest is None else (widest.route[:: 1 if widest.route[0] == asker.source else -1],)
            ways = [way for way in dict.fromkeys((*shared, *own)) if self._is_whole(way)]
            for way in ways:
                self._hops_of.setdefault(way, hops_along(way, self._graph, self._plan))
            self._ways_of[slot] = tuple(ways)
        return self._ways_of[slot]

    def _is_whole(self, way: Route) -> bool:
        graph = self._graph
        links = (graph.link_is_up[graph.link_number[link_id]] for link_id in graph.links_along(way))
        return all(graph.node_is_up[graph.number[node]] for node in way) and all(links)

    def _ask_again(self, pairs: set[int]) -> None:
        """Open anew the demands on ways that are not whole any more, and of pairs that have another widest way."""
        self._ways_of.clear()
        self._hear_again_s = self._now_s
        gone = [
            number
            for number, waiting in self._waiting.open.items()
            if waiting.pair in pairs or not self._is_whole(waiting.route)
        ]
        self._open_anew(gone)

    def _open_anew(self, numbers: Iterable[int]) -> None:
        """Have those who wait for these demands choose a way again."""
        for number in numbers:
            waiting = self._withdrawn(number)
            assert waiting is not None, "it waits"
            self._serve_or_open(waiting.slot, asked_s=waiting.asked_s)

    def _note_counts(self) -> None:
        """Nothing was served by the desk."""

    def run(self) -> DayResult:
        """Run to the end, as ``Day.run``; the result says what each pair got beside its share."""
        shares = self._shares.if_all_ask(self._askers)
        found, asked = super().run(), self._desk.asked().tolist()
        per_s = 1 / self._horizon_s
        pairs = enumerate(zip(self._requests.pairs, self._classes, asked, strict=True))
        keys = tuple(
            PairKey(
                kind,
                times * self._needed_bits * per_s,
                (self._given_bits[2 * number] + self._given_bits[2 * number + 1]) * per_s,
                shares.get(frozenset((pair.one, pair.other)), 0.0),
            )
            for number, (pair, kind, times) in pairs
        )
        return replace(found, pair_keys=keys)
