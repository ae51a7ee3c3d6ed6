"""The origin's part of a key relay: make keys, send them along their ways, make them suppliable once they arrived.

    spend the first hops' pads -> put the keys, unconfirmed -> send -> verdict of the last node -> confirm

Every step is durable before the next one shows. A batch without a verdict is in doubt: its keys are destroyed at both
ends, its pads stay spent, and another try takes fresh ones, on another way where there is one. A batch over several
ways is one batch: it arrives whole, or it fails whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyNotFound, KeyShortage, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, NodeId, SaePair, Topic, uuid4_from
from qanat.ground.keys import BitRange, PoolId, SpentBits
from qanat.ground.requirements import KeyRequirements
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import relay_bits
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.doubts import Doubt, Doubts
from qanat.key_management.multipath import collusion_threshold, key_ids_of
from qanat.key_management.pools import answers, spend_for_hop
from qanat.key_management.sealing import seal, secret_keys
from qanat.key_management.ways import Tried, Ways, Wish
from qanat.key_management.wire import (
    PoolShortage,
    Relay,
    RelayDelivered,
    RelayFailed,
    RelayVoided,
    Routes,
)

ALL_SHARES = 0
"""``RelayFailed.share`` when it is unknown on which way a batch was lost."""


@dataclass(frozen=True, slots=True)
class RelayJob:
    """A wish for ``count`` keys of ``size_bits`` shared by two applications, here and at ``target``."""

    pair: SaePair
    target: NodeId
    count: int
    size_bits: int
    trace: Trace
    requirements: KeyRequirements = field(default_factory=KeyRequirements)

    @property
    def hop_bits(self) -> int:
        """What one hop of the batch, or of a share of it, takes."""
        return relay_bits(count=self.count, size_bits=self.size_bits)


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch on its way: a word and a body for each of its shares."""

    relay_id: str
    routes: Routes
    words: tuple[Relay, ...]
    bodies: tuple[bytes, ...]

    @property
    def key_ids(self) -> tuple[KeyID, ...]:
        return key_ids_of(self.words)

    @property
    def burned_bits(self) -> int:
        return sum(word.pad_range.num_bits for word in self.words)


@dataclass(slots=True)
class _Carried:
    """A batch on its way, whose verdict is awaited."""

    routes: Routes
    verdict: RelayDelivered | RelayFailed | None = None


class RelayOrigin:
    """Relays batches of keys that begin at this node."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._carried: dict[str, _Carried] = {}
        self.ways = Ways(context)
        self.doubts = Doubts(context)

    async def make_keys(self, job: RelayJob) -> tuple[KeyID, ...]:
        """Make keys that the master of the pair can be supplied and the slave can fetch by id; return their ids.

        Raises NoRoute, RequirementNotMet; PoolShort when a hop has too little link key; KeyShortage when no try got
        through or a node on the way does not answer; StoreFailed.
        """
        wish, tried, why = Wish(job.target, job.requirements, job.hop_bits), Tried(), ""
        for _ in range(self._context.settings.relay_tries):
            routes = self.ways.choose(wish, tried)
            if await self._is_silent(routes, wish):
                continue
            outcome = await self._try(job, routes)
            if not isinstance(outcome, RelayFailed):
                return outcome
            self._learn(outcome, routes, tried)
            way = routes[max(0, outcome.share - 1)]
            why = f"along {' - '.join(way)}; it ended at {outcome.node}: {outcome.why}"
        self.ways.choose(wish, tried)  # says what is short or silent, if anything is
        raise KeyShortage(
            f"keys could not be relayed to {job.target!r}; the last try went {why}",
            remedy="look at the nodes of the route and the lines between them",
        )

    def on_verdict(self, sender: NodeId, verdict: RelayDelivered | RelayFailed) -> None:
        """Hear how a batch fared. A verdict that nobody waits for came too late: that batch was destroyed."""
        carried = self._carried.get(verdict.relay_id)
        if carried is None or carried.verdict is not None:
            return
        if isinstance(verdict, RelayDelivered):
            may_say = tuple(route[-1] for route in carried.routes)
        else:
            may_say = tuple(node for route in carried.routes[verdict.share - 1 : verdict.share] for node in route[1:])
        if sender in may_say:
            carried.verdict = verdict
            self._context.tasks.notify(_topic(verdict.relay_id))

    def on_voided(self, sender: NodeId, word: RelayVoided) -> None:
        """Hear that the far end has destroyed a batch in doubt."""
        self.doubts.on_voided(sender, word)

    async def tick(self) -> None:
        """Go on destroying what is in doubt."""
        await self.doubts.tick()

    # --- inside ---

    async def _is_silent(self, routes: Routes, wish: Wish) -> bool:
        """Return whether the first node of a way does not answer, and close the ways that go there.

        Where there is no other way to take, it gets as long as all tries would take: waiting burns no pads.
        """
        settings = self._context.settings
        alone_s, among_others_s = settings.relay_tries * settings.relay_timeout_s, settings.reach_patience_s
        patience_s = among_others_s if self.ways.has_others(wish) else alone_s
        for route in routes:
            if not await answers(self._context, route[1], patience_s=patience_s):
                self.ways.close(at=self._context.node, silent=route[1])
                return True
        return False

    def _learn(self, failure: RelayFailed, routes: Routes, tried: Tried) -> None:
        """Take down what a failed try has shown of its ways."""
        guilty = routes[failure.share - 1 : failure.share] if failure.share else routes
        tried.failures.update(guilty)
        for route in guilty if failure.short else ():
            tried.short[route] = failure.short
            if failure.node != self._context.node:  # what is here is looked up when it is needed
                self.ways.note_short(route, failure.short)
        if failure.silent is not None:
            self.ways.close(at=failure.node, silent=failure.silent)

    async def _try(self, job: RelayJob, routes: Routes) -> RelayFailed | tuple[KeyID, ...]:
        """Return the ids of keys that are suppliable now, or why this batch was destroyed."""
        spent = await self._spend(job, routes)
        if isinstance(spent, RelayFailed):
            return spent
        batch = await self._begin(job, routes, spent)
        verdict = await self._carry(batch, job)
        failure = await self._confirm(batch, job) if isinstance(verdict, RelayDelivered) else verdict
        if failure is None:
            return batch.key_ids
        self._record_failed(batch, failure, job)
        await self.doubts.enter(Doubt(batch.relay_id, batch.key_ids, job.target))
        return failure

    async def _spend(self, job: RelayJob, routes: Routes) -> list[SpentBits] | RelayFailed:
        """Spend the first hop's bits of every way; where one cannot pay, no other should, if that can be known."""
        context, spent = self._context, list[SpentBits]()
        if len(routes) > 1 and (failure := await self._first_short(job, routes)) is not None:
            return failure
        for number, route in enumerate(routes, start=1):
            try:
                spent.append(
                    await spend_for_hop(
                        context, following=route[1], num_bits=job.hop_bits, request_id=job.trace.request_id
                    )
                )
            except PoolShort as fault:
                self._burn(spent, job)
                return RelayFailed("", context.node, str(fault), fault.short, share=number)
            except StoreFailed:
                self._burn(spent, job)
                raise
        return spent

    async def _first_short(self, job: RelayJob, routes: Routes) -> RelayFailed | None:
        """Return which way cannot pay its first hop, before any has paid."""
        levels, node = await self._context.store.levels(), self._context.node
        for number, route in enumerate(routes, start=1):
            pool = PoolId(self._context.links.towards(route[1]), node)
            level = levels.get(pool)
            available_bits = level.available_bits if level is not None else 0
            if available_bits < job.hop_bits:
                short = (PoolShortage(pool.link_id, node, available_bits),)
                return RelayFailed("", node, f"pool {pool} has {available_bits} bits", short, share=number)
        return None

    def _burn(self, spent: list[SpentBits], job: RelayJob) -> None:
        """Wipe what the first ways of a batch have spent when a later one could not; say so."""
        burned_bits = sum(one.bits.num_bits for one in spent)
        for one in spent:
            one.secret.wipe()
        if burned_bits:
            self._record(job, relay_id="", node=self._context.node, why="another way cannot pay", bits=burned_bits)

    async def _begin(self, job: RelayJob, routes: Routes, spent: list[SpentBits]) -> _Batch:
        """Make the keys, keep them unconfirmed, and return what is to be sent."""
        shares = [self._context.entropy.secret_bytes(job.count * job.size_bits // 8) for _ in routes]
        words = self._words(job, routes)
        keys = secret_keys(words, shares)
        sealed = [seal(*one) for one in zip(words, shares, spent, strict=True)]
        for share in shares:
            share.wipe()
        batch = _Batch(words[0].relay_id, routes, tuple(word for word, _ in sealed), tuple(body for _, body in sealed))
        try:
            await self._context.store.put(keys, entitled=frozenset({job.pair.master}), confirmed=False)
        except StoreFailed as fault:
            self._record_failed(batch, self._failed(batch, f"the key store cannot write: {fault}"), job)
            raise
        return batch

    def _words(self, job: RelayJob, routes: Routes) -> list[Relay]:
        """Return the words of a batch, each with key ids of its own; pads and tags are yet to come."""
        context = self._context
        links = [context.network.link_between(*hop).link_id for route in routes for hop in pairwise(route)]
        relay_id, origin = uuid4_from(context.entropy.public_bytes(16)), context.routes.origin(links)
        return [
            Relay(
                relay_id=relay_id,
                route=route,
                hop=1,
                link_id=context.links.towards(route[1]),
                pad_range=BitRange(()),
                master=job.pair.master,
                slave=job.pair.slave,
                key_ids=tuple(KeyID(uuid4_from(context.entropy.public_bytes(16))) for _ in range(job.count)),
                size_bits=job.size_bits,
                origin=origin,
                created_utc_s=context.clock.utc_s(),
                request_id=job.trace.request_id,
                tag="",
                share=number,
                shares=len(routes),
            )
            for number, route in enumerate(routes, start=1)
        ]

    async def _carry(self, batch: _Batch, job: RelayJob) -> RelayDelivered | RelayFailed:
        """Send the batch, the same bytes again and again, until there is a verdict or it is too late for one."""
        context, settings = self._context, self._context.settings
        patience_s = settings.relay_patience_s(max(len(route) - 1 for route in batch.routes))
        deadline = Deadline.after(context.clock, patience_s)
        carried = self._carried[batch.relay_id] = _Carried(batch.routes)
        try:
            while not deadline.has_passed:
                for word, body in zip(batch.words, batch.bodies, strict=True):
                    if carried.verdict is None:
                        await context.courier.send(word.route[1], word, cause=job.trace.last, body=body)
                if carried.verdict is None:
                    again_s = min(deadline.monotonic_s, context.clock.monotonic_s() + settings.relay_resend_s)
                    await context.tasks.wait(_topic(batch.relay_id), until_monotonic_s=again_s)
                if carried.verdict is not None:
                    return carried.verdict
        finally:
            del self._carried[batch.relay_id]
        return self._failed(batch, f"no verdict from {job.target} within {patience_s:g} s")

    async def _confirm(self, batch: _Batch, job: RelayJob) -> RelayFailed | None:
        context = self._context
        try:
            await context.store.confirm_keys(batch.key_ids)
        except (StoreFailed, KeyNotFound) as fault:
            return self._failed(batch, f"the keys arrived, but could not be confirmed here: {fault}")
        hops = sum(len(route) - 1 for route in batch.routes)
        key_bits = job.count * job.size_bits
        qkd_bits = hops * job.hop_bits
        context.recorder.record(
            EventKind.KEYS_RELAYED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=batch.relay_id,
            route=list(batch.routes[0]),
            routes=[list(route) for route in batch.routes],
            threshold=collusion_threshold(batch.routes),
            num_keys=job.count,
            hops=hops,
            key_bits=key_bits,
            authentication_bits=qkd_bits - hops * key_bits,
            qkd_bits=qkd_bits,
        )
        return None

    def _record_failed(self, batch: _Batch, failure: RelayFailed, job: RelayJob) -> None:
        self._record(job, relay_id=batch.relay_id, node=failure.node, why=failure.why, bits=batch.burned_bits)

    def _record(self, job: RelayJob, *, relay_id: str, node: NodeId, why: str, bits: int) -> None:
        self._context.recorder.record(
            EventKind.RELAY_FAILED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=relay_id,
            node_at_fault=node,
            why=why,
            burned_bits=bits,
        )

    def _failed(self, batch: _Batch, why: str) -> RelayFailed:
        return RelayFailed(batch.relay_id, self._context.node, why, (), share=ALL_SHARES)


def _topic(relay_id: str) -> Topic:
    return Topic(f"relay/{relay_id}")
