"""The origin's part in a key relay: make keys, send them along the route, and make them suppliable once they arrived.

    spend the first hop's pads -> put the keys, unconfirmed -> send -> verdict of the last node -> confirm

Every step is durable before the next one shows. A batch without a verdict is in doubt: its keys are destroyed at both
ends, its pads stay spent, and another try takes fresh ones.

Keys for slaves at several sites go to each site by a relay of its own, under pads of its own, all under the same ids.
They become suppliable when the last of these sites holds them, and are destroyed everywhere when one relay fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyNotFound, KeyShortage, StoreFailed
from qanat.ground.events import EventKind
from qanat.ground.identifiers import KeyID, NodeId, SaePair, Topic, members_of, uuid4_from
from qanat.ground.keys import BitRange, PoolId, SecretBytes, Selection, SpentBits
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import relay_bits
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.pools import answers, available_bits, spend_for_hop
from qanat.key_management.sealing import seal, secret_keys
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
    """A wish for ``count`` keys of ``size_bits`` shared by applications at the ends of ``routes``.

    The slave of ``pair`` may stand for several applications; ``routes`` holds one route to each of their nodes but this
    one, the longest first.
    """

    pair: SaePair
    routes: tuple[tuple[NodeId, ...], ...]
    count: int
    size_bits: int
    trace: Trace


@dataclass(slots=True)
class _Carried:
    """A batch on its way, whose verdict is awaited; ``topic`` is what wakes who waits for it."""

    route: tuple[NodeId, ...]
    topic: Topic
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

    def __init__(self, context: Context) -> None:
        self._context = context
        self._carried: dict[str, _Carried] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._cuts: dict[tuple[NodeId, ...], _Cut] = {}
        self._shorts: dict[NodeId, tuple[PoolShortage, ...]] = {}

    async def make_keys(self, job: RelayJob) -> None:
        """Make keys that the master of the pair can be supplied and the slave can fetch by id.

        Raises PoolShort when a hop has too little link key, KeyShortage when no try got through or a node of the route
        does not answer, StoreFailed.
        """
        settings, why = self._context.settings, ""
        self._refuse_hopeless(job)
        patience_s = (
            settings.relay_tries * settings.relay_timeout_s
        )  # as long as all tries would take: it burns no pads
        for _ in range(settings.relay_tries):
            for route in job.routes:
                if not await answers(self._context, route[1], patience_s=patience_s):
                    self._cut(route, at=self._context.node, silent=route[1])
            lost = await self._try(job)
            if lost is None:
                return
            route, failure = lost
            if failure.short:
                self._shorts[route[-1]] = failure.short
                raise PoolShort(failure.short, target=route[-1])
            if failure.silent is not None:
                self._cut(route, at=failure.node, silent=failure.silent)
            why = f"{failure.node}: {failure.why}"
        lines = ", ".join(" - ".join(route) for route in job.routes)
        raise KeyShortage(
            f"keys could not be relayed along {lines}; the last try ended at {why}",
            remedy="look at the nodes of the route and the lines between them",
        )

    def _refuse_hopeless(self, job: RelayJob) -> None:
        """Raise KeyShortage while a route is cut, PoolShort while one is known to have too little key."""
        needed_bits = relay_bits(count=job.count, size_bits=job.size_bits)
        for route in job.routes:
            self._refuse_cut(route)
            if short := [pool for pool in self._shorts.get(route[-1], ()) if pool.available_bits < needed_bits]:
                # a batch would burn pads of the hops before that pool, in vain
                raise PoolShort(tuple(short), target=route[-1])

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
            self._context.tasks.notify(carried.topic)

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

    async def _try(self, job: RelayJob) -> tuple[tuple[NodeId, ...], RelayFailed] | None:
        """Return None when the keys are suppliable, else why they were destroyed, and on which route."""
        sealed = await self._begin(job)
        lost = await self._carry(sealed, job) or await self._confirm([word for word, _ in sealed], job)
        if lost is None:
            return None
        failed, failure = lost
        for word, _ in sealed:
            why = failure if word is failed else self._failed(word, f"given up with {failed.relay_id}")
            await self._fail(word, why, job, here=word is sealed[0][0])
        return failed.route, failure

    async def _begin(self, job: RelayJob) -> list[tuple[Relay, bytes]]:
        """Spend, make the keys, keep them unconfirmed, and return what is to be sent."""
        context = self._context
        num_bits = relay_bits(count=job.count, size_bits=job.size_bits)
        await self._refuse_short(job, num_bits)
        key_ids = tuple(KeyID(uuid4_from(context.entropy.public_bytes(16))) for _ in range(job.count))
        links = [context.network.link_between(*hop).link_id for route in job.routes for hop in pairwise(route)]
        origin, created_utc_s = context.routes.origin(links), context.clock.utc_s()
        with_keys, sealed = context.entropy.secret_bytes(job.count * job.size_bits // 8), []
        try:
            for route in job.routes:
                spent = await self._spend(job, route, num_bits)
                plain = Relay(
                    relay_id=uuid4_from(context.entropy.public_bytes(16)),
                    route=route,
                    hop=1,
                    link_id=spent.pool.link_id,
                    pad_range=BitRange(()),
                    master=job.pair.master,
                    slave=job.pair.slave,
                    key_ids=key_ids,
                    size_bits=job.size_bits,
                    origin=origin,
                    created_utc_s=created_utc_s,
                    request_id=job.trace.request_id,
                    tag="",
                )
                sealed.append(seal(plain, with_keys, spent))
            await self._keep_here(job, [word for word, _ in sealed], with_keys)
        finally:
            with_keys.wipe()
        return sealed

    async def _refuse_short(self, job: RelayJob, num_bits: int) -> None:
        """Raise PoolShort before anything is spent where several routes begin on links that cannot pay for all."""
        if len(job.routes) == 1:
            return  # the spend itself tells
        context = self._context
        for following in dict.fromkeys(route[1] for route in job.routes):
            targets = [route[-1] for route in job.routes if route[1] == following]
            pool = PoolId(context.links.towards(following), context.node)
            if (there := await available_bits(context, pool)) < len(targets) * num_bits:
                raise PoolShort((PoolShortage(pool.link_id, context.node, there),), target=targets[0])

    async def _spend(self, job: RelayJob, route: tuple[NodeId, ...], num_bits: int) -> SpentBits:
        try:
            return await spend_for_hop(
                self._context, following=route[1], num_bits=num_bits, request_id=job.trace.request_id
            )
        except PoolShort as fault:
            raise PoolShort(fault.short, target=route[-1]) from None

    async def _keep_here(self, job: RelayJob, words: Sequence[Relay], with_keys: SecretBytes) -> None:
        """Put the keys, unconfirmed, for the master and those of the slaves that are at this node too."""
        context = self._context
        slaves = [slave for slave in members_of(job.pair.slave) if context.network.site_of(slave).node == context.node]
        keys = secret_keys(words[0], with_keys, hops=sum(len(word.route) - 1 for word in words))
        try:
            await context.store.put(keys, entitled=frozenset({job.pair.master, *slaves}), confirmed=False)
        except StoreFailed as fault:
            for word in words:
                self._record_failed(word, self._failed(word, f"the key store cannot write: {fault}"), job)
            raise

    async def _carry(self, sealed: Sequence[tuple[Relay, bytes]], job: RelayJob) -> tuple[Relay, RelayFailed] | None:
        """Send the batch to every site, the same bytes again and again, until all have it, one has failed, or it is too
        late; return None when all have it."""
        context, settings = self._context, self._context.settings
        patience_s = settings.relay_patience_s(max(len(word.route) - 1 for word, _ in sealed))
        deadline = Deadline.after(context.clock, patience_s)
        topic = Topic(f"relay/{sealed[0][0].relay_id}")
        for word, _ in sealed:
            self._carried[word.relay_id] = _Carried(word.route, topic)
        try:
            while not deadline.has_passed:
                for word, body in self._undecided(sealed):
                    await context.courier.send(word.route[1], word, cause=job.trace.last, body=body)
                again_s = min(deadline.monotonic_s, context.clock.monotonic_s() + settings.relay_resend_s)
                while self._undecided(sealed) and self._first_failure(sealed) is None:
                    if not await context.tasks.wait(topic, until_monotonic_s=again_s):
                        break
                if (lost := self._first_failure(sealed)) is not None:
                    return lost
                if not self._undecided(sealed):
                    return None
            word = self._undecided(sealed)[0][0]
            return word, self._failed(word, f"no verdict from {word.route[-1]} within {patience_s:g} s")
        finally:
            for word, _ in sealed:
                del self._carried[word.relay_id]

    def _undecided(self, sealed: Sequence[tuple[Relay, bytes]]) -> list[tuple[Relay, bytes]]:
        return [(word, body) for word, body in sealed if self._carried[word.relay_id].verdict is None]

    def _first_failure(self, sealed: Sequence[tuple[Relay, bytes]]) -> tuple[Relay, RelayFailed] | None:
        for word, _ in sealed:
            verdict = self._carried[word.relay_id].verdict
            if isinstance(verdict, RelayFailed):
                return word, verdict
        return None

    async def _confirm(self, words: Sequence[Relay], job: RelayJob) -> tuple[Relay, RelayFailed] | None:
        context = self._context
        try:
            await context.store.confirm_keys(words[0].key_ids)
        except (StoreFailed, KeyNotFound) as fault:
            return words[0], self._failed(words[0], f"the keys arrived, but could not be confirmed here: {fault}")
        for word in words:
            self._record_relayed(word, job)
        return None

    def _record_relayed(self, word: Relay, job: RelayJob) -> None:
        hops = len(word.route) - 1
        key_bits = len(word.key_ids) * word.size_bits
        qkd_bits = hops * relay_bits(count=len(word.key_ids), size_bits=word.size_bits)
        self._context.recorder.record(
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

    async def _fail(self, word: Relay, failure: RelayFailed, job: RelayJob, *, here: bool) -> None:
        """Say that a batch failed, and destroy its keys at the far end, and ``here`` where another has not."""
        self._record_failed(word, failure, job)
        doubt = self._doubts[word.relay_id] = _Doubt(word, here=here)
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
