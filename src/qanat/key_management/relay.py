"""The origin's part of a key relay: make keys, send them along their ways, make them suppliable once they arrived.

    spend the first hops' pads -> put the keys, unconfirmed -> send -> verdicts of the last nodes -> confirm

Every step is durable before the next one shows. A batch without a verdict is in doubt: its keys are destroyed at both
ends, its pads stay spent, and another try takes fresh ones, on another way where there is one. Keys that go over
several ways or to several nodes become suppliable when the last of these holds all of them, and fail everywhere when
one way fails.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qanat.ground.clock import Deadline
from qanat.ground.errors import (
    KeyManagementError,
    KeyNotFound,
    KeyShortage,
    RequestError,
    RequirementUnmet,
    StoreFailed,
)
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaeId, SaePair, Topic, members_of
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import PoolId, SpentBits
from qanat.key_management.batches import Batch, RelayJob, make_batches
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.demands import DemandDesk
from qanat.key_management.doubts import Doubt, Doubts
from qanat.key_management.multipath import collusion_threshold
from qanat.key_management.passed_over import PassedOver
from qanat.key_management.pools import answers, opened, spend_for_hop
from qanat.key_management.quotas import Quotas
from qanat.key_management.verdicts import Carried, Verdicts, alarm_altered
from qanat.key_management.vouching import Vouching
from qanat.key_management.ways import Tried, Way, Ways, Wish
from qanat.key_management.wire import PoolShortage, RelayDelivered, RelayFailed, RelayVoided, Routes

__all__ = ["RelayJob", "RelayOrigin"]

RESENT_TIMES = 8
"""A batch is not sent more often again while it waits long for its verdict than at a few even steps."""
LOOK_AT_WAY = "look at the nodes of the route and the lines between them"
ASK_AGAIN = "ask again in a moment, with the same request id where there is one"


@dataclass(frozen=True, slots=True)
class _Lost:
    """Why a job's keys came to nothing, and on which ways (all of them, where nobody knows). ``is_unheard``: nobody
    has said what became of them; ``is_full``: as many keys of the pair wait at the far end as may; ``is_altered``: the
    far end holds others than were sent; ``is_coming``: a node is just coming up."""

    ways: Routes
    node: NodeId
    why: str
    short: tuple[PoolShortage, ...] = ()
    silent: NodeId | None = None
    is_unheard: bool = False
    is_full: bool = False
    is_altered: bool = False
    is_coming: bool = False


class RelayOrigin:
    """Relays batches of keys that begin at this node."""

    def __init__(self, context: Context, vouching: Vouching, demands: DemandDesk) -> None:
        self._context = context
        self._vouching = vouching
        self._demands = demands
        self._quotas = Quotas(context)
        self._full: dict[SaePair, tuple[float, str]] = {}
        self._under_way: Counter[SaePair] = Counter()
        self.ways = Ways(context)
        self._passed_over = PassedOver(context, demands, self.ways)
        self.doubts = Doubts(context)
        self._verdicts = Verdicts(context, self.doubts)
        self._carried = self._verdicts.carried

    @property
    def may_rest(self) -> bool:
        """Whether no batch of this node is under way or in doubt."""
        return not self._carried and not any(self._under_way.values()) and self.doubts.are_settled

    async def make_batch(self, job: RelayJob) -> KeyIds:
        """Make keys that the master of the pair can be supplied and the slave can fetch by id; return their ids.

        Raises NoRoute, RequirementUnmet; PoolShort when a hop has too little link key; KeyShortage when no try got
        through or a node on the way does not answer; StoreFailed.
        """
        if job.shares > 1 < len(job.targets):
            raise RequirementUnmet("keys for several sites go over one route to each", remedy="ask for each by itself")
        self._refuse_full(job.pair)
        self._context.routes.rations.check_cap(job.pair)
        await self._quotas.check(job.pair, more=job.count)
        tried = Tried(short=dict(job.short))
        try:
            return await self._make(job, tried)
        except (RequestError, KeyManagementError):  # there are no keys for which it would count
            self._context.routes.rations.count(job.pair, -tried.counted_bits)
            raise

    async def on_verdict(self, sender: NodeId, verdict: RelayDelivered | RelayFailed) -> None:
        """Hear how a batch fared, from its last node or by the way back."""
        await self._verdicts.hear(sender, verdict)

    def on_voided(self, sender: NodeId, word: RelayVoided) -> None:
        """Hear that the far end has destroyed a batch in doubt."""
        self.doubts.on_voided(sender, word)

    async def tick(self) -> None:
        """Go on destroying what is in doubt, and asking for key where a way is short."""
        await self.doubts.tick()
        await self._passed_over.tick()
        self._verdicts.tick()

    # --- inside ---

    async def _make(self, job: RelayJob, tried: Tried) -> KeyIds:
        """Try one way after the other; return the ids of keys that arrived. Raises as ``make_batch``.

        A way that is found closed costs none of the tries: this batch does not go it again, and others may be open.
        """
        wishes = [Wish(target, job.shares, job.hop_bits, job.max_hops, job.told.get(target)) for target in job.targets]
        why, tries_left = "", self._context.settings.relay_tries
        remedy = LOOK_AT_WAY
        while tries_left:
            ways = [self.ways.choose(wish, tried) for wish in wishes]
            if self._is_too_late(job, ways, tried):
                break
            if await self._is_silent(job, ways, wishes):
                continue
            self._ask_first(job, wishes, ways, tried)
            outcome = await self._try(job, ways, tried)
            if not isinstance(outcome, _Lost):
                return outcome
            self._learn(job, wishes, outcome, tried)
            tries_left -= outcome.silent is None or not self.ways.are_closed(outcome.ways)
            if outcome.short and outcome.node != self._context.node:
                self._note_short(job)
            if outcome.is_full:
                until_s = self._context.clock.monotonic_s() + self._context.settings.failed_retry_s
                self._full[job.pair] = (until_s, f"{outcome.node}: {outcome.why}")
                self._refuse_full(job.pair)
            why = f"{' - '.join(outcome.ways[0])}; it ended at {outcome.node}: {outcome.why}"
            remedy = ASK_AGAIN if outcome.is_coming else LOOK_AT_WAY
        for wish in wishes:
            self.ways.choose(wish, tried)  # says what is short or silent, if anything is
            self.ways.say_short(wish, tried)
        told = "".join(f"; {words}" for wish in wishes for words in self.ways.suspects(wish))
        raise KeyShortage(
            f"keys could not be relayed to {', '.join(job.targets)}; the last try went along {why}{told}",
            remedy=remedy,
        )

    def _is_too_late(self, job: RelayJob, ways: Sequence[Routes], tried: Tried) -> bool:
        """Return whether only ways are left that have failed this batch before, and its caller waits no longer."""
        has_failed = any(tried.failures[way] for routes in ways for way in routes)
        return has_failed and job.deadline is not None and job.deadline.has_passed

    def _ask_first(self, job: RelayJob, wishes: Sequence[Wish], ways: Sequence[Routes], tried: Tried) -> None:
        """Raise PoolShort for a batch beyond its pair's share: the controller is to say when."""
        rations, num_bits = self._context.routes.rations, job.shares * job.hop_bits
        is_alone = not (self._under_way[job.pair] or self._demands.is_waiting(job.pair))
        for wish, routes in zip(wishes, ways, strict=True):  # a demand is of one target; the next one asks then
            if not rations.may_take(job.pair, routes, num_bits, is_alone=is_alone):
                raise self.ways.to_ask_for(wish, tried, routes)

    def _note_short(self, job: RelayJob) -> None:
        for target in job.targets:
            self._context.routes.rations.note_short(job.pair, target)

    def _count(self, job: RelayJob, ways: Sequence[Routes], tried: Tried) -> None:
        """Take note of what a try takes of its pair's share, and of its ways; of the pair's cap the first one alone."""
        routes_book, num_bits = self._context.routes, job.shares * job.hop_bits
        for routes in ways:
            routes_book.rations.take(job.pair, routes, num_bits)
        if not tried.counted_bits:
            tried.counted_bits = num_bits
            routes_book.rations.count(job.pair, tried.counted_bits)
        for way in (way for routes in ways for way in routes):
            routes_book.spreading.note_sent(way, job.hop_bits)

    async def _is_silent(self, job: RelayJob, ways: Sequence[Routes], wishes: Sequence[Wish]) -> bool:
        """Return whether the first node of a way does not answer, and close the ways that go there.

        Where there is no other way to take, it gets as long as all tries would take: waiting burns no pads. So sites of
        a way that sleep are all opened before keys are sent on it: a batch does not wait so long for its verdict.
        Raises KeyShortage when its caller waits no longer, and some are still being opened.
        """
        settings = self._context.settings
        alone_s, among_others_s = settings.relay_tries * settings.relay_timeout_s, settings.reach_patience_s
        for routes, wish in zip(ways, wishes, strict=True):
            patience_s = among_others_s if self.ways.has_others(wish) else alone_s
            for way in routes:
                if (silent := await self._silent_on(way, patience_s, job.deadline)) is not None:
                    self.ways.close(wishes, at=way[way.index(silent) - 1], silent=silent)
                    return True
        return False

    async def _silent_on(self, way: Way, patience_s: float, waited: Deadline | None) -> NodeId | None:
        context, vouching, wake_s = self._context, self._vouching, self._context.settings.wake_patience_s
        if (sleeping := await opened(context, vouching, way[1:], patience_s=wake_s, last=waited)) is not None:
            return sleeping
        following, last = way[1], Deadline.after(context.clock, max(patience_s, wake_s))
        is_there = await answers(context, vouching, following, patience_s=patience_s, last=last)
        return None if is_there else following

    def _learn(self, job: RelayJob, wishes: Sequence[Wish], lost: _Lost, tried: Tried) -> None:
        """Take down what a failed try has shown of its ways."""
        tried.failures.update(lost.ways)
        for way in lost.ways if lost.short else ():
            tried.short[way] = lost.short
            if lost.node != self._context.node:  # what is here is looked up when it is needed
                self.ways.note_short(way, lost.short)
                self._passed_over.note(way, job.pair, job.hop_bits)
        if lost.is_unheard or lost.is_altered:
            self.ways.note_lost(lost.ways)
        if lost.is_unheard:  # once a call: it is not to take twice as long with each try
            self.ways.note_unheard(way for way in lost.ways if tried.failures[way] == 1)
        if lost.silent is not None:
            self.ways.close(wishes, at=lost.node, silent=lost.silent)

    async def _try(self, job: RelayJob, ways: Sequence[Routes], tried: Tried) -> _Lost | KeyIds:
        """Return the ids of keys that are suppliable now, or why they were destroyed."""
        self._under_way[job.pair] += 1
        try:
            return await self._spend_and_carry(job, ways, tried)
        finally:
            self._under_way[job.pair] -= 1

    async def _spend_and_carry(self, job: RelayJob, ways: Sequence[Routes], tried: Tried) -> _Lost | KeyIds:
        spent = await self._spend(job, ways)
        if isinstance(spent, _Lost):
            return spent
        self._count(job, ways, tried)
        batches = await self._begin(job, ways, spent)
        lost = await self._carry(batches, job) or await self._confirm(batches, job)
        if lost is None:
            return batches[0].ids
        if lost.is_altered:
            alarm_altered(self._context, lost.node, lost.ways, cause=job.trace.last)
        for batch in batches:
            self._record_failed(job, lost, relay_id=batch.relay_id, burned_bits=batch.first_hop_bits)
            word = batch.words[0]
            doubt = Doubt(word.relay_id, word.ids_from, word.num_keys, batch.target, here=batch is batches[0])
            await self.doubts.enter(doubt)
        return lost

    async def _spend(self, job: RelayJob, ways: Sequence[Routes]) -> list[list[SpentBits]] | _Lost:
        """Spend the first hop's bits of every way; where one cannot pay, none should, if that can be known before."""
        all_ways = [way for routes in ways for way in routes]
        if len(all_ways) > 1 and (lost := await self._first_short(job, all_ways)) is not None:
            return lost
        spent: list[list[SpentBits]] = []
        for routes in ways:
            spent.append([])
            for way in routes:
                try:
                    spent[-1].append(await self._spend_first(job, way))
                except PoolShort as fault:
                    lost = _Lost((way,), self._context.node, fault.message, fault.short)
                    self._burn(job, spent, lost)
                    return lost
                except StoreFailed as fault:
                    self._burn(job, spent, _Lost((way,), self._context.node, f"the key store cannot write: {fault}"))
                    raise
        return spent

    async def _spend_first(self, job: RelayJob, way: Way) -> SpentBits:
        return await spend_for_hop(
            self._context, following=way[1], num_bits=job.hop_bits, request_id=job.trace.request_id
        )

    async def _first_short(self, job: RelayJob, ways: Sequence[Way]) -> _Lost | None:
        """Return which way cannot pay its first hop, before any has paid."""
        levels, node = await self._context.store.levels(), self._context.node
        needed_bits = Counter[PoolId]()
        for way in ways:
            pool = PoolId(self._context.links.towards(way[1]), node)
            needed_bits[pool] += job.hop_bits
            available_bits = levels[pool].available_bits if pool in levels else 0
            if available_bits < needed_bits[pool]:
                short = (PoolShortage(pool.link_id, node, available_bits),)
                return _Lost((way,), node, f"pool {pool} has {available_bits} bits", short)
        return None

    def _refuse_full(self, pair: SaePair) -> None:
        """Raise KeyShortage while no more keys of a pair may wait at its far end: a batch would burn pads in vain."""
        until_s, why = self._full.get(pair, (0.0, ""))
        left_s = until_s - self._context.clock.monotonic_s()
        if left_s > 0:
            remedy = "have the applications that these keys wait for fetch them"
            raise KeyShortage(f"no more keys can be made: {why}", remedy=remedy, retry_after_s=max(1.0, left_s))
        self._full.pop(pair, None)

    def _burn(self, job: RelayJob, spent: Sequence[Sequence[SpentBits]], lost: _Lost) -> None:
        """Wipe what the first ways of a job have spent when a later one could not; say so."""
        taken = [bits for of_target in spent for bits in of_target]
        for bits in taken:
            bits.secret.wipe()
        if taken:
            burned_bits = sum(bits.bits.num_bits for bits in taken)
            self._record_failed(job, lost, relay_id="", burned_bits=burned_bits)

    async def _begin(
        self, job: RelayJob, ways: Sequence[Routes], spent: Sequence[Sequence[SpentBits]]
    ) -> Sequence[Batch]:
        """Make the keys, keep them unconfirmed, and return what is to be sent."""
        keys, batches = make_batches(self._context, job, ways, spent)
        self._vouching.note_shared(job.targets)
        try:
            await self._context.store.put_batch(keys, entitled=self._entitled_here(job), confirmed=False)
        except StoreFailed as fault:
            lost = _Lost(ways[0], self._context.node, f"the key store cannot write: {fault}")
            for batch in batches:
                self._record_failed(job, lost, relay_id=batch.relay_id, burned_bits=batch.first_hop_bits)
            raise
        finally:
            keys.secret.wipe()
        return batches

    def _entitled_here(self, job: RelayJob) -> frozenset[SaeId]:
        """Return the master, and those of the slaves that are at this node too."""
        network, node = self._context.network, self._context.node
        here = [slave for slave in members_of(job.pair.slave) if network.site_of(slave).node == node]
        return frozenset({job.pair.master, *here})

    async def _carry(self, batches: Sequence[Batch], job: RelayJob) -> _Lost | None:
        """Send the batches, the same bytes again and again, until all have arrived, one has failed, or it is too late;
        return None when all have arrived."""
        context, settings = self._context, self._context.settings
        began_s, ways = context.clock.monotonic_s(), tuple(way for batch in batches for way in batch.routes)
        patience_s = self._patience_s(job, ways)
        deadline, topic = Deadline.after(context.clock, patience_s), Topic(f"relay/{batches[0].relay_id}")
        self._carried.update({batch.relay_id: Carried(batch, topic) for batch in batches})
        try:
            while not deadline.has_passed:
                await self._send_undecided(batches, job)
                pause_s = max(settings.relay_resend_s, patience_s / RESENT_TIMES)
                again_s = min(deadline.monotonic_s, context.clock.monotonic_s() + pause_s)
                while self._undecided(batches):
                    if (lost := self._first_failure(batches)) is not None:
                        return lost
                    if not await context.tasks.wait(topic, until_monotonic_s=again_s):
                        break
                else:
                    if (lost := self._first_failure(batches)) is None:
                        self._verdicts.note_arrived(batches, cause=job.trace.last)
                        self.ways.note_heard(ways, after_s=context.clock.monotonic_s() - began_s)
                    return lost
            if not (late := self._undecided(batches)):
                if (lost := self._first_failure(batches)) is None:
                    self._verdicts.note_arrived(batches, cause=job.trace.last)
                return lost
            why = self._unheard(late[0], patience_s)
            return _Lost(late[0].routes, context.node, why, is_unheard=True)
        finally:
            for batch in batches:
                del self._carried[batch.relay_id]

    def _unheard(self, batch: Batch, patience_s: float) -> str:
        """Return in words by which lines a verdict did not come."""
        why, direct = f"no verdict from {batch.target} within {patience_s:g} s", (batch.target, self._context.node)
        if all(len(way) == 2 for way in batch.routes):
            return why
        return f"{why}, neither on the line from {direct[0]} to {direct[1]} nor back along the way"

    def _patience_s(self, job: RelayJob, ways: Routes) -> float:
        """Return how long the verdict on a batch is awaited: where these ways are slow, as long as its caller waits."""
        least_s = max(self._context.settings.relay_patience_s(len(way) - 1) for way in ways)
        longer_s = max(map(self.ways.patience_s, ways))
        return longer_s if job.deadline is None else max(least_s, min(longer_s, job.deadline.left_s))

    async def _send_undecided(self, batches: Sequence[Batch], job: RelayJob) -> None:
        for batch in batches:
            for word, body in zip(batch.words, batch.bodies, strict=True):
                if self._carried[batch.relay_id].verdict is None:
                    await self._context.courier.send(word.route[1], word, cause=job.trace.last, body=body)

    def _undecided(self, batches: Sequence[Batch]) -> list[Batch]:
        return [batch for batch in batches if self._carried[batch.relay_id].verdict is None]

    def _first_failure(self, batches: Sequence[Batch]) -> _Lost | None:
        for batch in batches:
            verdict = self._carried[batch.relay_id].verdict
            if isinstance(verdict, RelayFailed):
                way = batch.routes[verdict.share - 1]
                said = {"is_full": verdict.is_full, "is_coming": verdict.is_coming}
                return _Lost((way,), verdict.node, verdict.why, verdict.short, verdict.silent, **said)
        return next((self._altered(batch) for batch in batches if self._differs(batch)), None)

    def _differs(self, batch: Batch) -> bool:
        """Return whether the far end has a batch, and not as it was sent."""
        verdict = self._carried[batch.relay_id].verdict
        return isinstance(verdict, RelayDelivered) and verdict.check != batch.check

    def _altered(self, batch: Batch) -> _Lost:
        relays = sorted({node for way in batch.routes for node in way[1:-1]})
        why = f"it holds other keys than were sent; altered at {' or '.join(relays) or 'an end'}"
        return _Lost(batch.routes, batch.target, why, is_altered=True)

    async def _confirm(self, batches: Sequence[Batch], job: RelayJob) -> _Lost | None:
        try:
            await (job.confirm or self._context.store.confirm_batch)(batches[0].ids)
        except (StoreFailed, KeyNotFound) as fault:
            why = f"the keys arrived, but could not be confirmed here: {fault}"
            return _Lost(batches[0].routes, self._context.node, why)
        for batch in batches:
            self._record_relayed(batch, job)
        return None

    def _record_relayed(self, batch: Batch, job: RelayJob) -> None:
        key_bits, qkd_bits = job.count * job.size_bits, batch.hops * job.hop_bits
        self._context.recorder.record(
            EventKind.KEYS_RELAYED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=batch.relay_id,
            route=list(batch.trusted_routes[0]),
            routes=[list(way) for way in batch.trusted_routes],
            threshold=collusion_threshold(batch.trusted_routes),
            num_keys=job.count,
            hops=batch.hops,
            key_bits=key_bits,
            authentication_bits=qkd_bits - batch.hops * key_bits,
            qkd_bits=qkd_bits,
        )

    def _record_failed(self, job: RelayJob, lost: _Lost, *, relay_id: str, burned_bits: int) -> None:
        self._context.recorder.record(
            EventKind.RELAY_FAILED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=relay_id,
            route=list(lost.ways[0]),
            node_at_fault=lost.node,
            why=lost.why,
            burned_bits=burned_bits,
        )
