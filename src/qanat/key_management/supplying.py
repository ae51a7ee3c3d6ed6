"""Giving keys to applications: from stock, by relay, or after key has been made (steps 2 to 5, 8 and 4)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from qanat.ground.clock import Deadline
from qanat.ground.errors import (
    BadParameter,
    KeyManagementError,
    KeyShortage,
    LinkFailed,
    NodeSilent,
    NoRoute,
    RequestError,
    RequirementUnmet,
)
from qanat.ground.events import EventKind
from qanat.ground.identifiers import (
    EventId,
    KeyID,
    NodeId,
    RequestId,
    SaeId,
    SaePair,
    uuid4_from,
)
from qanat.ground.keys import KeyStatus, PoolId, PoolLevel, SecretKey
from qanat.ground.requirements import NO_REQUIREMENTS, Repeatable, Requirements
from qanat.ground.route_policy import ANY_ROUTE
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import keys_payable, relay_bits
from qanat.key_management.admission import Admission
from qanat.key_management.asking import WaysUnknown
from qanat.key_management.asks import Ask, Looks, Parked
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.demands import Demand, DemandDesk
from qanat.key_management.making import Making
from qanat.key_management.pools import is_reached
from qanat.key_management.quotas import Quotas
from qanat.key_management.relay import RelayOrigin
from qanat.key_management.repeats import KeyWish, Repeats
from qanat.key_management.vouching import Vouching
from qanat.key_management.wire import Routes
from qanat.key_management.wished_ways import WishedWays


@dataclass(frozen=True, slots=True)
class GivenKeys:
    """Keys given to a master. ``event_id`` is the event of step 4: the cause of whatever the application does next.
    ``unmet``: by name, what was preferred of their way and could not be had (``WishedWays.unmet``)."""

    keys: tuple[SecretKey, ...]
    event_id: EventId
    request_id: RequestId
    classical_route: tuple[NodeId, ...]
    unmet: tuple[str, ...] = ()


class Supplying:
    """What applications are given at one node. ``is_cut_off``: whether no other node speaks with it any more."""

    def __init__(
        self,
        context: Context,
        *,
        relay: RelayOrigin,
        demands: DemandDesk,
        vouching: Vouching,
        is_cut_off: Callable[[], bool],
    ) -> None:
        self._context = context
        self._is_cut_off = is_cut_off
        self._vouching = vouching
        self._admission = Admission(context)
        self._quotas = Quotas(context)
        self._relay = relay
        self._wished = WishedWays(context, relay.ways.desk)
        self._demands = demands
        self._repeats = Repeats(context)
        self._making = Making(context, relay=relay, wished=self._wished, quotas=self._quotas, repeats=self._repeats)
        self._parked = Parked()
        self._num_open = 0
        self._quiet_since_s = context.clock.monotonic_s()

    @property
    def is_idle(self) -> bool:
        """Whether nobody has asked this node for keys for a while, and nobody waits."""
        quiet_s = self._context.clock.monotonic_s() - self._quiet_since_s
        is_quiet = self._num_open == 0 and quiet_s >= self._context.settings.idle_after_s
        return is_quiet and not self._demands.is_anybody_waiting

    async def get_status(self, pair: SaePair) -> KeyStatus:
        """Return what is in stock for ``pair``; raises UnknownNode, NotEntitled, BadParameter.

        Counted are the keys that wait end to end, and those that link key could carry on the best of the ways that are
        not known to be dead: this node's stock towards the next node, or what a later hop has said to hold since it was
        short. What other hops hold is not known here, so fewer may come at once. Nothing counts for two whose sites
        would not have it given: that is no fault of a question about the stock. Link key carries nothing from a site
        that is cut off.
        """
        context, settings = self._context, self._context.settings
        target = self._admission.node_of_slave(pair)
        refusal = self._admission.refusal(target)
        ready = payable = 0
        if not refusal:
            counting = context.store.count_keys(pair, size_bits=settings.key_size_bits)
            ready, levels = await context.tasks.together(counting, context.store.levels())
            payable = self._payable(target, levels)
        most = min(settings.max_key_count, self._quotas.most(pair))
        return KeyStatus(
            source_kme=context.network.kme(context.node),
            target_kme=context.network.kme(target),
            master=pair.master,
            slave=pair.slave,
            key_size_bits=settings.key_size_bits,
            min_key_size_bits=settings.min_key_size_bits,
            max_key_size_bits=settings.max_key_size_bits,
            stored_key_count=min(most, ready + payable),
            max_key_count=most,
            max_keys_per_request=settings.max_keys_per_request,
            max_additional_slaves=settings.max_additional_slaves,
            ready_key_count=ready,
            refusal=refusal,
        )

    async def get_keys(self, wish: KeyWish, *, patience_s: float) -> GivenKeys:
        """Give the master the fresh keys of a wish; see ``KeyManager.get_keys``."""
        deadline = Deadline.after(self._context.clock, patience_s)
        self._num_open += 1
        try:
            return await self._get_keys(wish, deadline)
        except RequestError as fault:
            self._context.recorder.record(
                EventKind.KEYS_REFUSED,
                cause=wish.cause,
                request_id=wish.request_id,
                master=wish.master,
                slave=" ".join(wish.slaves),
                why=str(fault),
            )
            raise
        finally:
            self._num_open -= 1
            self._quiet_since_s = self._context.clock.monotonic_s()

    async def get_keys_by_id(
        self, key_ids: Sequence[KeyID], *, caller: SaeId, master: SaeId, nonce: str | None
    ) -> Sequence[SecretKey]:
        """Hand out keys by their ids; see ``KeyManager.get_keys_by_id``."""
        context, most = self._context, self._context.settings.max_keys_per_request
        try:
            self._admission.check_here(caller)
            partner = context.network.site_of(master).node
            if not 0 < len(key_ids) <= most or len(set(key_ids)) != len(key_ids):
                raise BadParameter(f"{len(key_ids)} key ids", remedy=f"name 1 to {most} ids, each once")
            await self._vouching.require(partner, Deadline.after(context.clock, context.settings.wait_s))
            repeat = self._repeats.call(caller, nonce, "dec_keys", master, *key_ids)
            keys = await context.store.supply_by_id(key_ids, sae=caller, master=master, repeat=repeat)
            return self._repeats.note(repeat, keys)
        except RequestError as fault:
            context.recorder.record(EventKind.KEYS_REFUSED, master=master, slave=caller, why=str(fault))
            raise

    def forget_abandoned(self) -> None:
        """Forget requests that ended in a shortage and were not taken up again."""
        self._parked.forget(begun_before_s=self._context.clock.monotonic_s() - self._context.settings.demand_patience_s)

    async def forget_answers(self) -> None:
        """Destroy kept answers whose time has passed."""
        await self._repeats.forget()

    # --- inside ---

    async def _get_keys(self, wish: KeyWish, deadline: Deadline) -> GivenKeys:
        self._admission.check_amount(wish.count, wish.size_bits)
        pair, nodes = self._admission.check_slaves(wish.master, wish.slaves)
        wish = self._as_all_have_it(wish, nodes)
        if (repeat := self._repeats.of(wish)) is not None and (given := await self._again(wish, nodes, repeat)):
            return given
        await self._check_ready(wish, nodes)
        ask = self._parked.take(wish) or self._begin(pair, nodes, wish, deadline)
        ask.deadline = deadline
        try:
            return await self._serve(ask, wish, deadline)
        except KeyManagementError:
            self._parked.keep(wish, ask)
            raise

    def _as_all_have_it(self, wish: KeyWish, nodes: Sequence[NodeId]) -> KeyWish:
        """Return a wish for keys of several that asks of each way what all their sites state for theirs."""
        policy = self._context.network.policy_among((self._context.node, *nodes)) if len(nodes) > 1 else ANY_ROUTE
        if policy == ANY_ROUTE:
            return wish
        return replace(wish, require=replace(wish.require, policy=wish.require.policy.joined(policy)))

    async def _again(self, wish: KeyWish, nodes: Sequence[NodeId], repeat: Repeatable) -> GivenKeys | None:
        """Return what this very call was answered before, or None. Nothing is spent, and no step is recorded."""
        context = self._context
        if (keys := await context.store.repeated(repeat)) is None:
            return None
        request_id = wish.request_id or RequestId(uuid4_from(context.entropy.public_bytes(16)))
        event = context.recorder.record(
            EventKind.KEYS_REPEATED, cause=wish.cause, request_id=request_id, master=wish.master, num_keys=len(keys)
        )
        unmet = self._wished.unmet(keys, nodes[0], prefer=wish.prefer, kept=wish.require)
        with contextlib.suppress(NoRoute):  # it is a hint for the message, and the keys are given already
            return GivenKeys(tuple(keys), event.id, request_id, context.routes.classical_route(nodes[0]), unmet)
        return GivenKeys(tuple(keys), event.id, request_id, (), unmet)

    async def _check_ready(self, wish: KeyWish, nodes: Sequence[NodeId]) -> None:
        """Raise KeyShortage when the wish requires that every slave's site answers now, and one does not."""
        if not (wish.require.far_side_ready or wish.prefer.far_side_ready):
            return
        for node in dict.fromkeys(nodes):
            deadline = Deadline.after(self._context.clock, self._context.settings.reach_patience_s)
            if node != self._context.node and not await is_reached(self._context, node, deadline):
                raise KeyShortage(
                    f"the key manager of {node!r} does not answer, so its application could not fetch the keys",
                    remedy="ask again when it is up",
                )

    def _begin(self, pair: SaePair, nodes: Sequence[NodeId], wish: KeyWish, deadline: Deadline) -> Ask:
        context = self._context
        trace = Trace(context.recorder, wish.request_id) if wish.request_id else context.recorder.new_request()
        trace.last = wish.cause
        trace.record(EventKind.KEY_ASKED, master=pair.master, slave=pair.slave)
        far = tuple(node for node in dict.fromkeys(nodes) if node != context.node)
        most = context.network.priority(pair.master)
        priority = most if wish.priority is None else min(wish.priority, most)
        return Ask(pair, nodes[0], far, trace, context.clock.monotonic_s(), priority, deadline)

    async def _serve(self, ask: Ask, wish: KeyWish, deadline: Deadline) -> GivenKeys:
        try:
            await self._find_routes(ask, deadline)
        except NoRoute:
            self._wished.refuse_unjoined(ask.far, wish.require)
            raise
        for node in ask.far:
            await self._vouching.require(node, deadline)
        failed: dict[Routes, KeyShortage] = {}
        looks = Looks(deadline, most_s=self._context.settings.wait_s, at_once=ask.demand is not None)
        while True:
            if ask.demand is not None:
                await self._settle(ask, ask.demand, looks, failed)
            try:
                keys = await self._take_or_make(ask, wish, deadline, failed)
            except PoolShort as shortage:
                if not self._is_waiting_on(ask.demand, shortage.routes):
                    await self._ask_for(ask, wish, shortage, failed)
            except KeyShortage:
                if ask.demand is None or looks.are_over:
                    raise
            else:
                break
        if ask.demand is not None:
            self._demands.withdraw(ask.demand)
        route, origin = list(keys[0].route), keys[0].origin
        event = ask.trace.record(
            EventKind.KEY_GIVEN,
            master=ask.pair.master,
            slave=ask.pair.slave,
            num_keys=wish.count,
            size_bits=wish.size_bits,
            route=route,
            origin=origin,
        )
        unmet = self._wished.unmet(keys, ask.target, prefer=wish.prefer, kept=ask.kept)
        return GivenKeys(tuple(keys), event.id, ask.trace.request_id, ask.classical_route, unmet)

    async def _find_routes(self, ask: Ask, deadline: Deadline) -> None:
        """Record step 3 once per request; raises NoRoute."""
        routes = self._context.routes
        if ask.far:
            await routes.wait(deadline)
        if not ask.classical_route:
            classical_route = routes.classical_route(ask.target)
            key_routes = [routes.key_route(node) for node in ask.far]
            key_route = routes.key_route(ask.target)
            ask.classical_route = classical_route
            ask.trace.record(
                EventKind.CLASSICAL_ROUTE_FOUND,
                route=list(classical_route),
                key_route=list(key_route),
                key_routes=[list(route) for route in key_routes],
            )

    def _is_waiting_on(self, demand: Demand | None, routes: Routes) -> bool:
        """Return whether a call that finds all ways short goes on waiting for its demand, and does not ask for key on
        these routes instead, since the way of its demand is closed."""
        return demand is not None and (
            demand.word.routes == routes or not self._relay.ways.are_closed(demand.word.routes)
        )

    async def _ask_for(self, ask: Ask, wish: KeyWish, shortage: PoolShort, failed: dict[Routes, KeyShortage]) -> None:
        """Open a demand for key on the routes that are short, in place of that on others."""
        if shortage.routes in failed:  # there is no better way
            raise failed[shortage.routes] from None
        if ask.demand is not None:
            self._demands.withdraw(ask.demand)
            ask.demand = None
        try:
            ask.demand = await self._demands.open(
                ask.trace,
                pair=ask.pair,
                target=shortage.routes[0][-1] if shortage.routes else ask.target,
                needed_bits=len(ask.far) * relay_bits(count=wish.count, size_bits=wish.size_bits),
                short=shortage.short,
                routes=shortage.routes,
                priority=ask.priority,
            )
        except KeyShortage as refused:
            if wish.prefer == NO_REQUIREMENTS:
                raise
            failed[shortage.routes] = refused  # what is only preferred of the way may give way

    async def _settle(self, ask: Ask, demand: Demand, looks: Looks, failed: dict[Routes, KeyShortage]) -> None:
        """Wait for key that was asked for, or until it is time to look whether another way has some. That none can be
        made on its ways is noted: others may be open. Raises KeyShortage when the time is up."""
        await self._demands.wait(demand, looks.next)
        if demand.state == "open" and not looks.are_over:
            looks.note_look()
            await self._relay.ways.close_silent(demand.word.routes)
            return
        try:
            self._demands.check(demand)
        except KeyShortage as fault:
            if demand.state == "open":
                raise
            failed[demand.word.routes] = fault
        finally:
            if demand.state != "open":
                ask.demand = None

    async def _take_or_make(
        self, ask: Ask, wish: KeyWish, deadline: Deadline, failed: Mapping[Routes, KeyShortage]
    ) -> Sequence[SecretKey]:
        """Return keys that are as preferred, where that can be, else as required. ``failed``: on these ways no key can
        be made.

        Raises RequirementUnmet, PoolShort, KeyShortage, StoreFailed.
        """
        refusal: RequirementUnmet | WaysUnknown | KeyShortage | None = None
        for require in (choices := [*wish.require.with_preferences(wish.prefer)]):
            ask.kept = require
            try:
                if require.asks_for_way:
                    return await self._take_or_make_by_way(ask, wish, require, deadline)
                return await self._take_or_make_such(ask, wish, require)
            except PoolShort as short:
                if require == choices[-1] or short.routes not in failed:
                    raise
                refusal = failed[short.routes]
            except (RequirementUnmet, WaysUnknown, LinkFailed, NodeSilent) as fault:
                refusal = fault
        assert refusal is not None
        raise refusal.told if isinstance(refusal, WaysUnknown) else refusal

    async def _take_or_make_by_way(
        self, ask: Ask, wish: KeyWish, require: Requirements, deadline: Deadline
    ) -> Sequence[SecretKey]:
        """Return keys that went a way as required: from stock where their record says so, else made for this call."""
        self._wished.refuse_impossible(ask.far or (self._context.node,), require)
        if not ask.far:
            return await self._take_or_make_such(ask, wish, require)
        is_recorded = len(ask.far) == 1 == require.disjoint_routes  # the record of keys names the way to one site
        if is_recorded and require.measure is None:
            with contextlib.suppress(KeyShortage):
                return await self._making.take(ask, wish, require)
        is_strict = wish.require.measure is not None
        told = await self._wished.ways(ask.far, require, deadline, is_strict=is_strict)
        if is_recorded and require.measure is not None and (first := told[ask.far[0]]).is_best:
            with contextlib.suppress(KeyShortage):
                return await self._making.take(ask, wish, require, way=first.ways[0])
        self._refuse_cut_off(ask)
        if self._demands.goes_first(ask.target, priority=ask.priority):
            raise PoolShort((), routes=tuple(told[node].ways[0] for node in ask.far[:1]))
        return await self._making.make(ask, wish, require, told)

    async def _take_or_make_such(self, ask: Ask, wish: KeyWish, require: Requirements) -> Sequence[SecretKey]:
        """Return keys from stock; what is missing there is made first, and given together with what is there."""
        if require.disjoint_routes > 1 and ask.far:  # what never leaves this node meets every requirement of its way
            self._refuse_cut_off(ask)
            return await self._making.make(ask, wish, require)
        try:
            return await self._making.take(ask, wish, require)
        except KeyShortage:
            self._refuse_cut_off(ask)
            in_stock = await self._making.num_in_stock(ask, wish, require)
        if ask.far and self._demands.goes_first(ask.target, priority=ask.priority):
            raise PoolShort(())  # what is there is for those who wait; the controller says when it is this one's turn
        return await self._making.make(ask, wish, require, from_stock=min(in_stock, wish.count - 1))

    def _refuse_cut_off(self, ask: Ask) -> None:
        """Raise NodeSilent where keys would have to be made with other sites, and none speaks with this one: to find
        that by their silence takes seconds, and blames them."""
        if ask.far and self._is_cut_off():
            raise NodeSilent("too few keys lie ready", remedy="ask again when other sites speak with this one")

    def _payable(self, target: NodeId, levels: Mapping[PoolId, PoolLevel]) -> int:
        context, settings = self._context, self._context.settings
        if target == context.node:
            return settings.max_keys_per_request
        if self._is_cut_off():
            return 0
        most_bits = 0
        for way in self._relay.ways.not_dead(target):
            level = levels.get(PoolId(context.links.towards(way[1]), context.node))
            further_bits = [pool.available_bits for pool in self._relay.ways.shorts_on(way)]
            most_bits = max(most_bits, min([level.available_bits if level is not None else 0, *further_bits]))
        return keys_payable(available_bits=most_bits, size_bits=settings.key_size_bits)
