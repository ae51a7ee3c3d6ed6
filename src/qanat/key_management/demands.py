"""Demands for key: what this key manager has asked of the controller, and what became of it (steps 5 to 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyShortage, LinkFailed, NodeSilent
from qanat.ground.events import EventKind
from qanat.ground.identifiers import CONTROLLER, EventId, NodeId, SaePair, Topic, uuid4_from
from qanat.ground.tracing import Trace
from qanat.key_management.context import Context
from qanat.key_management.rations import BEYOND, GRANT_S
from qanat.key_management.wire import GenerationDone, GenerationFailed, GenerationRequest, PoolShortage, Route, Routes

MAX_OPEN_PER_PAIR = 16
"""Two applications may have so many demands open at a time, so that one cannot keep the controller from all others."""

LONGEST_WAIT_S = 3600.0
"""Nobody is told to stay away for longer, whatever is foretold: forecasts change."""


@dataclass(slots=True)
class Demand:
    """One demand, for the keys of ``pair``.

    ``trace`` is the thread of the request that caused it; ``asked`` is the event of step 5. ``is_for_batch``: a batch
    is to follow when the key is there, which was planned on its way and is granted. ``had_part``: its one way carried a
    part of the pair's share when it was chosen. One that has "lapsed" is to be opened anew on another way.
    """

    word: GenerationRequest
    pair: SaePair
    trace: Trace
    asked: EventId
    asked_monotonic_s: float
    is_for_batch: bool = True
    had_part: bool = False
    state: Literal["open", "stored", "failed", "lapsed"] = "open"
    failure: GenerationFailed | None = None


@dataclass(frozen=True, slots=True)
class _Failed:
    """What the last failed demand for some routes met with, until when that is taken for the answer, and when there
    may be key."""

    failure: GenerationFailed
    needed_bits: int
    until_monotonic_s: float
    again_monotonic_s: float


class DemandDesk:
    """Asks the controller for key, repeats it until there is an answer, and wakes who waits for it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: dict[str, Demand] = {}
        self._failed: dict[Routes, _Failed] = {}
        self._stored: dict[str, tuple[float, Route]] = {}

    async def open(
        self,
        trace: Trace,
        *,
        pair: SaePair,
        target: NodeId,
        needed_bits: int,
        short: tuple[PoolShortage, ...],
        routes: Routes,
        is_idle: bool = False,
        priority: int | None = None,
        is_for_batch: bool = True,
    ) -> Demand:
        """Record step 5 and ask the controller to have every hop of ``routes`` to ``target`` hold ``needed_bits``.

        ``is_idle``: for keys that nobody has asked for yet. ``priority``: None for that of the pair's master.
        ``is_for_batch``: a batch waits for it, and is to go this way.

        Raises KeyShortage when the pair has too many demands open, and for ``refused_retry_s``, or until there may be
        key, after a demand for these routes has failed: LinkFailed where a link was the reason.
        """
        context = self._context
        self._refuse_failed(target, routes, needed_bits)
        if sum(demand.pair == pair for demand in self._open.values()) >= MAX_OPEN_PER_PAIR:
            raise KeyShortage(
                f"{pair.master!r} waits for key with {pair.slave!r} in {MAX_OPEN_PER_PAIR} requests already",
                remedy="take up one of those again by its request id, or wait until one of them was answered",
                retry_after_s=context.settings.wait_s,
            )
        event = trace.record(
            EventKind.GENERATION_ASKED,
            target=target,
            needed_bits=needed_bits,
            short=[f"{pool.link_id} from {pool.sender}: {pool.available_bits} bits" for pool in short],
        )
        word = GenerationRequest(
            priority=context.network.priority(pair.master) if priority is None else priority,
            demand_id=uuid4_from(context.entropy.public_bytes(16)),
            source=context.node,
            target=target,
            needed_bits=needed_bits,
            short=short,
            request_id=trace.request_id,
            is_idle=is_idle,
            routes=routes,
            standing=BEYOND if is_idle else context.routes.rations.enter(pair, target, routes, needed_bits),
            agreement=context.routes.rations.agreement(pair, target),
        )
        had_part = len(routes) == 1 and routes[0] in context.routes.spreading.ways(target)
        demand = Demand(word, pair, trace, event.id, context.clock.monotonic_s(), is_for_batch, had_part)
        if is_for_batch and len(routes) == 1:
            context.routes.spreading.note_awaited(routes[0], needed_bits, demand_id=word.demand_id)
        self._open[word.demand_id] = demand
        await self._ask(demand)
        return demand

    async def settle(self, demand: Demand, deadline: Deadline) -> None:
        """Return when the key is stored; raises KeyShortage when it cannot be made, or not until ``deadline``."""
        await self.wait(demand, deadline)
        self.check(demand)

    async def wait(self, demand: Demand, deadline: Deadline) -> None:
        """Return when a demand is no longer open, at ``deadline`` at the latest."""
        while demand.state == "open" and not deadline.has_passed:
            await self._context.tasks.wait(_topic(demand.word.demand_id), until_monotonic_s=deadline.monotonic_s)

    def check(self, demand: Demand) -> None:
        """Raise KeyShortage where there is no key for a demand, or not yet."""
        if demand.state == "open" and not self._context.courier.is_reachable(CONTROLLER):
            raise NodeSilent(
                f"too little key to {demand.word.target!r}, and there is no line to the controller, which orders more",
                remedy="bring the controller or its standby up again; the demand is said to it then",
                retry_after_s=self._context.settings.cut_route_pause_s,
            )
        if demand.state == "open":
            raise KeyShortage(
                f"too little key to {demand.word.target!r}; more is being made",
                remedy="ask again in a moment, with the same request id where there is one",
                retry_after_s=self._context.settings.wait_s,
            )
        if (failure := demand.failure) is not None:
            raise _shortage(demand.word.target, failure, self._again_s(failure))

    def goes_first(self, target: NodeId, *, priority: int) -> bool:
        """Return whether somebody of a higher priority waits for key to ``target``."""
        return any(
            demand.word.target == target and demand.word.priority > priority and not demand.word.is_idle
            for demand in self._open.values()
        )

    def is_waiting(self, pair: SaePair) -> bool:
        """Return whether a demand for a pair's keys is open that is not of idle time."""
        return any(demand.pair == pair and not demand.word.is_idle for demand in self._open.values())

    def is_asking(self, routes: Routes) -> bool:
        """Return whether a demand for key on just these routes is open."""
        return any(demand.word.routes == routes for demand in self._open.values())

    @property
    def may_rest(self) -> bool:
        """Whether nothing is asked for, and no batch may still come of what was."""
        return not self._open and not self._stored

    @property
    def is_anybody_waiting(self) -> bool:
        """Whether a demand is open that is not of idle time."""
        return any(not demand.word.is_idle for demand in self._open.values())

    def on_done(self, word: GenerationDone, cause: EventId | None) -> Routes:
        """Record step 8, caused by the controller's step 7, and wake who waits. Returns the routes with key now."""
        if demand := self._open.pop(word.demand_id, None):
            self._failed.pop(demand.word.routes, None)
            demand.trace.record(EventKind.KEY_STORED, cause=cause, target=demand.word.target)
            demand.state = "stored"
            waited_s = self._context.clock.monotonic_s() - demand.asked_monotonic_s
            if demand.is_for_batch:
                self._grant(demand, waited_s)
            self._context.tasks.notify(_topic(word.demand_id))
            return demand.word.routes
        return ()

    def on_failed(self, word: GenerationFailed) -> Routes:
        """Wake who waits with the reason why there will be no key, and remember it for who asks next. Returns the
        routes that will hold none."""
        if demand := self._open.pop(word.demand_id, None):
            demand.state, demand.failure = "failed", word
            self._leave(demand)
            if word.silent is None and not demand.word.is_idle:
                now_s, again_s = self._context.clock.monotonic_s(), self._again_s(word)
                until_s = now_s + min(again_s, self._context.settings.refused_retry_s)
                self._failed[demand.word.routes] = _Failed(word, demand.word.needed_bits, until_s, now_s + again_s)
            self._context.tasks.notify(_topic(word.demand_id))
            return demand.word.routes
        return ()

    def withdraw(self, demand: Demand) -> None:
        """Nobody waits for a demand any more: who did has gone another way. The controller forgets what is not
        repeated."""
        if self._open.pop(demand.word.demand_id, None):
            demand.state = "lapsed"
            self._leave(demand)

    def on_links_back(self) -> None:
        """Links that were out work again: whoever asks next is answered by the controller, not by what was."""
        self._failed.clear()

    def _refuse_failed(self, target: NodeId, routes: Routes, needed_bits: int) -> None:
        """Raise what the last demand for these routes met with, while that is fresh: to ask again, for as much or more,
        would be in vain."""
        if (failed := self._failed.get(routes)) is None:
            return
        now_s = self._context.clock.monotonic_s()
        if failed.until_monotonic_s <= now_s:
            del self._failed[routes]
        elif needed_bits >= failed.needed_bits:
            raise _shortage(target, failed.failure, failed.again_monotonic_s - now_s)

    def _again_s(self, failure: GenerationFailed) -> float:
        """Return after how long it is worth asking again."""
        settings = self._context.settings
        if failure.silent is not None:
            return settings.cut_route_pause_s
        return settings.refused_retry_s if failure.again_s is None else min(failure.again_s, LONGEST_WAIT_S)

    async def tick(self) -> None:
        """Repeat what is open; what is too old is given up, and so are batches that were granted and never came."""
        now_s = self._context.clock.monotonic_s()
        for demand_id, (stored_s, way) in list(self._stored.items()):
            if now_s - stored_s > GRANT_S:
                del self._stored[demand_id]
                self._context.routes.spreading.note_given_up(way, demand_id=demand_id)
        for demand in list(self._open.values()):
            if now_s - demand.asked_monotonic_s > self._context.settings.demand_patience_s:
                waited_s = self._context.settings.demand_patience_s
                self.on_failed(GenerationFailed(demand.word.demand_id, f"none came within {waited_s:.0f} s"))
            elif self._has_lost_its_part(demand):
                self._lapse(demand)
            else:
                self._raise_standing(demand)
                await self._ask(demand)

    def _grant(self, demand: Demand, waited_s: float) -> None:
        """The batch of a demand may go now, without asking again; its turn is planned till then."""
        routes, asked = self._context.routes, demand.word
        routes.rations.grant(demand.pair, asked.target, asked.needed_bits, waited_s=waited_s)
        if len(asked.routes) == 1:
            self._stored[asked.demand_id] = self._context.clock.monotonic_s(), asked.routes[0]

    def _raise_standing(self, demand: Demand) -> None:
        """A demand beyond its pair's share is within it when that has grown meanwhile; the oldest first."""
        word = demand.word
        if word.standing == BEYOND and not word.is_idle:
            standing = self._context.routes.rations.enter(demand.pair, word.target, word.routes, word.needed_bits)
            demand.word = replace(word, standing=standing)

    def _has_lost_its_part(self, demand: Demand) -> bool:
        """Return whether the way of a demand beyond its pair's share carried a part of it, and now another does: it
        would have what others leave on all hops at once, which may be never."""
        word = demand.word
        if word.is_idle or word.standing != BEYOND or not (demand.is_for_batch and demand.had_part):
            return False
        shared = self._context.routes.spreading.ways(word.target)
        return bool(shared) and word.routes[0] not in shared

    def _lapse(self, demand: Demand) -> None:
        """Have who waits choose a way anew."""
        self.withdraw(demand)
        self._context.tasks.notify(_topic(demand.word.demand_id))

    def _leave(self, demand: Demand) -> None:
        """No batch comes of a demand: give back what it has paid of its pair's share, and its turn."""
        asked, routes = demand.word, self._context.routes
        routes.rations.leave(demand.pair, asked.target, asked.routes, asked.needed_bits, standing=asked.standing)
        if len(asked.routes) == 1:
            routes.spreading.note_given_up(asked.routes[0], demand_id=asked.demand_id)

    async def _ask(self, demand: Demand) -> None:
        await self._context.courier.send(CONTROLLER, demand.word, cause=demand.asked)


def _shortage(target: NodeId, failure: GenerationFailed, retry_after_s: float) -> KeyShortage:
    remedy = failure.remedy or "look at the alarms of the links on the route"
    kind: type[KeyShortage] = KeyShortage
    what = "no key could be made to"
    if failure.silent is not None:
        kind, what = NodeSilent, "no key can be carried to"
    elif failure.by_link:
        kind = LinkFailed
    return kind(f"{what} {target!r}: {failure.why}", remedy=remedy, retry_after_s=max(1.0, retry_after_s))


def _topic(demand_id: str) -> Topic:
    return Topic(f"demand/{demand_id}")
