"""The origin's part of a key relay: make keys, send them along the route, and make them suppliable once they arrived.

    spend the first hop's pads -> put the keys, unconfirmed -> send -> verdict of the last node -> confirm

Every step is durable before the next one shows. A batch without a verdict is in doubt: its keys are destroyed at both
ends, its pads stay spent, and another try takes fresh ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyNotFound, KeyShortage, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, NodeId, SaePair, Topic, uuid4_from
from qanat.ground.keys import BitRange, Selection
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import relay_bits
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.pools import answers, spend_for_hop
from qanat.key_management.quotas import Quotas
from qanat.key_management.sealing import seal, secret_keys
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import (
    PoolShortage,
    Relay,
    RelayDelivered,
    RelayFailed,
    RelayVoid,
    RelayVoided,
)

VOID_TRIES = 60
"""How often the far end is asked to destroy a batch in doubt. Nobody was told its key ids: giving up is harmless."""


@dataclass(frozen=True, slots=True)
class RelayJob:
    """A wish for ``count`` keys of ``size_bits`` shared by two applications at the ends of ``route``."""

    pair: SaePair
    route: tuple[NodeId, ...]
    count: int
    size_bits: int
    trace: Trace


@dataclass(slots=True)
class _Carried:
    """A batch on its way, whose verdict is awaited."""

    route: tuple[NodeId, ...]
    verdict: RelayDelivered | RelayFailed | None = None


@dataclass(frozen=True, slots=True)
class _Cut:
    """A route on which ``silent`` does not answer ``at``."""

    at: NodeId
    silent: NodeId
    until_monotonic_s: float


@dataclass(slots=True)
class _Doubt:
    """A batch to be destroyed at both ends; what is left to do."""

    word: Relay
    here: bool = True
    there: bool = True
    tries: int = 0


class RelayOrigin:
    """Relays batches of keys that begin at this node."""

    def __init__(self, context: Context, vouching: Vouching) -> None:
        self._context = context
        self._vouching = vouching
        self._quotas = Quotas(context)
        self._full: dict[SaePair, tuple[float, str]] = {}
        self._carried: dict[str, _Carried] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._cuts: dict[tuple[NodeId, ...], _Cut] = {}
        self._shorts: dict[NodeId, tuple[PoolShortage, ...]] = {}

    async def make_keys(self, job: RelayJob) -> None:
        """Make keys that the master of the pair can be supplied and the slave can fetch by id.

        Raises PoolShort when a hop has too little link key, KeyShortage when no try got through or a node of the route
        does not answer, StoreFailed.
        """
        self._refuse_cut(job.route)
        self._refuse_full(job.pair)
        await self._quotas.check(job.pair, more=job.count)
        needed_bits = relay_bits(count=job.count, size_bits=job.size_bits)
        if short := [pool for pool in self._shorts.get(job.route[-1], ()) if pool.available_bits < needed_bits]:
            raise PoolShort(tuple(short))  # a batch would burn pads of the hops before that pool, in vain
        settings, why = self._context.settings, ""
        patience_s = (
            settings.relay_tries * settings.relay_timeout_s
        )  # as long as all tries would take: it burns no pads
        for _ in range(settings.relay_tries):
            if not await answers(self._context, self._vouching, job.route[1], patience_s=patience_s):
                self._cut(job.route, at=self._context.node, silent=job.route[1])
            failure = await self._try(job)
            if failure is None:
                return
            if failure.short:
                self._shorts[job.route[-1]] = failure.short
                raise PoolShort(failure.short)
            if failure.silent is not None:
                self._cut(job.route, at=failure.node, silent=failure.silent)
            if failure.is_full:
                until_s = self._context.clock.monotonic_s() + settings.failed_retry_s
                self._full[job.pair] = (until_s, f"{failure.node}: {failure.why}")
                self._refuse_full(job.pair)
            why = f"{failure.node}: {failure.why}"
        raise KeyShortage(
            f"keys could not be relayed along {' - '.join(job.route)}; the last try ended at {why}",
            remedy="look at the nodes of the route and the lines between them",
        )

    def on_key_made(self, target: NodeId) -> None:
        """Hear that every hop to ``target`` holds key again."""
        self._shorts.pop(target, None)

    def on_verdict(self, sender: NodeId, verdict: RelayDelivered | RelayFailed) -> None:
        """Hear how a batch fared. A verdict that nobody waits for came too late: that batch was destroyed."""
        carried = self._carried.get(verdict.relay_id)
        if carried is None or carried.verdict is not None:
            return
        may_say = carried.route[-1:] if isinstance(verdict, RelayDelivered) else carried.route[1:]
        if sender in may_say:
            carried.verdict = verdict
            self._context.tasks.notify(_topic(verdict.relay_id))

    def on_voided(self, sender: NodeId, word: RelayVoided) -> None:
        """Hear that the far end has destroyed a batch in doubt."""
        doubt = self._doubts.get(word.relay_id)
        if doubt is not None and sender == doubt.word.route[-1]:
            doubt.there = False

    async def tick(self) -> None:
        """Go on destroying what is in doubt."""
        for doubt in list(self._doubts.values()):
            await self._destroy(doubt)

    def _cut(self, route: tuple[NodeId, ...], *, at: NodeId, silent: NodeId) -> NoReturn:
        """A node of the route does not answer: burn no pads on it for a while, and say so."""
        until_s = self._context.clock.monotonic_s() + self._context.settings.cut_route_pause_s
        self._cuts[route] = _Cut(at, silent, until_s)
        self._refuse_cut(route)
        raise AssertionError("a route that has just been cut is refused")

    def _refuse_cut(self, route: tuple[NodeId, ...]) -> None:
        """Raise KeyShortage while a route is cut."""
        cut, now_s = self._cuts.get(route), self._context.clock.monotonic_s()
        if cut is None:
            return
        if now_s >= cut.until_monotonic_s:
            del self._cuts[route]
            return
        raise KeyShortage(
            f"no key can be carried to {route[-1]!r}: {cut.silent!r}, a node on the way, does not answer {cut.at!r}",
            remedy=f"bring the key manager of {cut.silent!r} up again; the line then goes on by itself",
            retry_after_s=max(1.0, cut.until_monotonic_s - now_s),
        )

    def _refuse_full(self, pair: SaePair) -> None:
        """Raise KeyShortage while no more keys of a pair may wait at its far end: a batch would burn pads in vain."""
        until_s, why = self._full.get(pair, (0.0, ""))
        left_s = until_s - self._context.clock.monotonic_s()
        if left_s > 0:
            remedy = "have the other application fetch its keys"
            raise KeyShortage(f"no more keys can be made: {why}", remedy=remedy, retry_after_s=max(1.0, left_s))
        self._full.pop(pair, None)

    async def _try(self, job: RelayJob) -> RelayFailed | None:
        """Return None when the keys are suppliable, else why this batch was destroyed."""
        word, body = await self._begin(job)
        verdict = await self._carry(word, body, job)
        failure = await self._confirm(word, job) if isinstance(verdict, RelayDelivered) else verdict
        if failure is not None:
            await self._fail(word, failure, job)
        return failure

    async def _begin(self, job: RelayJob) -> tuple[Relay, bytes]:
        """Spend, make the keys, keep them unconfirmed, and return what is to be sent."""
        context = self._context
        spent = await spend_for_hop(
            context,
            following=job.route[1],
            num_bits=relay_bits(count=job.count, size_bits=job.size_bits),
            request_id=job.trace.request_id,
        )
        with_keys = context.entropy.secret_bytes(job.count * job.size_bits // 8)
        links = tuple(context.network.link_between(*hop).link_id for hop in pairwise(job.route))
        word, body = seal(
            Relay(
                relay_id=uuid4_from(context.entropy.public_bytes(16)),
                route=job.route,
                hop=1,
                link_id=spent.pool.link_id,
                pad_range=BitRange(()),
                master=job.pair.master,
                slave=job.pair.slave,
                key_ids=tuple(KeyID(uuid4_from(context.entropy.public_bytes(16))) for _ in range(job.count)),
                size_bits=job.size_bits,
                origin=context.routes.origin(links),
                created_utc_s=context.clock.utc_s(),
                request_id=job.trace.request_id,
                tag="",
            ),
            with_keys,
            spent,
        )
        keys = secret_keys(word, with_keys)
        with_keys.wipe()
        try:
            await context.store.put(keys, entitled=frozenset({job.pair.master}), confirmed=False)
        except StoreFailed as fault:
            self._record_failed(word, self._failed(word, f"the key store cannot write: {fault}"), job)
            raise
        return word, body

    async def _carry(self, word: Relay, body: bytes, job: RelayJob) -> RelayDelivered | RelayFailed:
        """Send the batch, the same bytes again and again, until there is a verdict or it is too late for one."""
        context, settings = self._context, self._context.settings
        patience_s = settings.relay_patience_s(len(word.route) - 1)
        deadline = Deadline.after(context.clock, patience_s)
        carried = self._carried[word.relay_id] = _Carried(word.route)
        try:
            while not deadline.has_passed:
                await context.courier.send(word.route[1], word, cause=job.trace.last, body=body)
                if carried.verdict is None:
                    again_s = min(deadline.monotonic_s, context.clock.monotonic_s() + settings.relay_resend_s)
                    await context.tasks.wait(_topic(word.relay_id), until_monotonic_s=again_s)
                if carried.verdict is not None:
                    return carried.verdict
        finally:
            del self._carried[word.relay_id]
        return self._failed(word, f"no verdict from {word.route[-1]} within {patience_s:g} s")

    async def _confirm(self, word: Relay, job: RelayJob) -> RelayFailed | None:
        context = self._context
        try:
            await context.store.confirm_keys(word.key_ids)
        except (StoreFailed, KeyNotFound) as fault:
            return self._failed(word, f"the keys arrived, but could not be confirmed here: {fault}")
        hops = len(word.route) - 1
        key_bits = len(word.key_ids) * word.size_bits
        qkd_bits = hops * relay_bits(count=len(word.key_ids), size_bits=word.size_bits)
        context.recorder.record(
            EventKind.KEYS_RELAYED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=word.relay_id,
            route=list(word.route),
            num_keys=len(word.key_ids),
            hops=hops,
            key_bits=key_bits,
            authentication_bits=qkd_bits - hops * key_bits,
            qkd_bits=qkd_bits,
        )
        return None

    async def _fail(self, word: Relay, failure: RelayFailed, job: RelayJob) -> None:
        """Say that a batch failed, and destroy its keys at both ends."""
        self._record_failed(word, failure, job)
        doubt = self._doubts[word.relay_id] = _Doubt(word)
        await self._destroy(doubt)

    def _record_failed(self, word: Relay, failure: RelayFailed, job: RelayJob) -> None:
        self._context.recorder.record(
            EventKind.RELAY_FAILED,
            cause=job.trace.last,
            request_id=job.trace.request_id,
            relay_id=word.relay_id,
            node_at_fault=failure.node,
            why=failure.why,
            burned_bits=word.pad_range.num_bits,
        )

    async def _destroy(self, doubt: _Doubt) -> None:
        context, word = self._context, doubt.word
        doubt.tries += 1
        if doubt.there:
            await context.courier.send(word.route[-1], RelayVoid(word.relay_id, word.key_ids))
        if doubt.here:
            doubt.here = not await self._void_here(word.key_ids)
        if not doubt.here and (not doubt.there or doubt.tries >= VOID_TRIES):
            self._doubts.pop(word.relay_id, None)

    async def _void_here(self, key_ids: Sequence[KeyID]) -> bool:
        try:
            num_voided = await self._context.store.void(Selection(key_ids=frozenset(key_ids)))
        except StoreFailed:
            return False  # they stay unconfirmed, which nobody is supplied; the next tick tries again
        self._context.recorder.record(EventKind.KEYS_VOIDED, num_keys=num_voided, why="relay in doubt")
        return True

    def _failed(self, word: Relay, why: str) -> RelayFailed:
        return RelayFailed(word.relay_id, self._context.node, why, ())


def _topic(relay_id: str) -> Topic:
    return Topic(f"relay/{relay_id}")
