"""Keys for one call: taken from stock, or made for it and given to it before any other call can take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qanat.ground.errors import KeyNotFound, KeyShortage, StoreFailed
from qanat.ground.identifiers import NodeId, SaePair, members_of, uuid4_from
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import Origin, SecretKey
from qanat.ground.requirements import Requirements
from qanat.key_management.asking import NOTHING_TOLD, ToldWays
from qanat.key_management.asks import Ask
from qanat.key_management.batches import Confirm, RelayJob
from qanat.key_management.context import Context
from qanat.key_management.doubts import Doubt
from qanat.key_management.quotas import Quotas
from qanat.key_management.relay import RelayOrigin
from qanat.key_management.repeats import KeyWish, Repeats
from qanat.key_management.wished_ways import WishedWays


class Making:
    """Makes keys at one node for those who ask it."""

    def __init__(
        self, context: Context, *, relay: RelayOrigin, wished: WishedWays, quotas: Quotas, repeats: Repeats
    ) -> None:
        self._context = context
        self._relay = relay
        self._wished = wished
        self._quotas = quotas
        self._repeats = repeats

    async def num_in_stock(self, ask: Ask, wish: KeyWish, require: Requirements) -> int:
        """Return how many keys ``take`` could find."""
        fit = self._wished.fit(require)
        return await self._context.store.count_keys(ask.pair, size_bits=wish.size_bits, fit=fit)

    async def take(
        self, ask: Ask, wish: KeyWish, require: Requirements, *, way: tuple[NodeId, ...] | None = None
    ) -> Sequence[SecretKey]:
        """Return keys from stock; ``way``: those that went just this one. Raises KeyShortage."""
        repeat = self._repeats.of(wish)
        keys = await self._context.store.supply(
            ask.pair,
            count=wish.count,
            size_bits=wish.size_bits,
            request_id=ask.trace.request_id,
            fit=self._wished.fit(require, way=way),
            repeat=repeat,
        )
        return self._repeats.note(repeat, keys)

    async def make(
        self,
        ask: Ask,
        wish: KeyWish,
        require: Requirements,
        told: Mapping[NodeId, ToldWays] = NOTHING_TOLD,
        *,
        from_stock: int = 0,
    ) -> Sequence[SecretKey]:
        """Make keys that fulfil what is required of their way, and return them, the last of so many: ``from_stock`` of
        them are taken from there. Raises RequirementUnmet where no way does; PoolShort, KeyShortage.

        They are given in the transaction that makes them suppliable, so no other call can take them. What is to come
        from stock others may take meanwhile: then all are made.
        """
        given: Sequence[SecretKey] | None = None
        for more in (from_stock, 0):

            async def give(ids: KeyIds, more: int = more) -> None:
                nonlocal given
                given = await self._give_just(ask, wish, require, ids, from_stock=more)

            if ask.far:
                await self._relay.make_batch(self._job(ask, wish, require, wish.count - more, told, give))
            else:
                await self._make_here(ask.pair, wish.count - more, wish.size_bits, give)
            if given is not None:
                return given
        raise AssertionError("keys that were made for a call were not given to it")

    # --- inside ---

    async def _give_just(
        self, ask: Ask, wish: KeyWish, require: Requirements, ids: KeyIds, *, from_stock: int
    ) -> Sequence[SecretKey] | None:
        """Give a call the keys that were made for it, after the oldest ``from_stock`` of the stock; None where there
        are not so many any more."""
        repeat = self._repeats.of(wish)
        keys = await self._context.store.confirm_and_supply(
            ids,
            pair=ask.pair,
            from_stock=from_stock,
            size_bits=wish.size_bits,
            request_id=ask.trace.request_id,
            fit=self._wished.fit(require),
            repeat=repeat,
        )
        return None if keys is None else self._repeats.note(repeat, keys)

    def _job(
        self,
        ask: Ask,
        wish: KeyWish,
        require: Requirements,
        count: int,
        told: Mapping[NodeId, ToldWays],
        confirm: Confirm,
    ) -> RelayJob:
        # when its time is up, that way is tried too: who says that it has got its key may have died meanwhile
        demand = None if ask.deadline.has_passed else ask.demand
        waited_for = demand.word if demand is not None and demand.state == "open" else None
        return RelayJob(
            ask.pair,
            ask.far,
            count,
            wish.size_bits,
            ask.trace,
            shares=require.disjoint_routes,
            max_hops=require.max_hops,
            told=told,
            deadline=ask.deadline,
            short={} if waited_for is None else dict.fromkeys(waited_for.routes, waited_for.short),
            confirm=confirm,
        )

    async def _make_here(self, pair: SaePair, count: int, size_bits: int, confirm: Confirm) -> None:
        """Make keys for two applications of this node: they travel over no link and spend none of its key."""
        context = self._context
        await self._quotas.check(pair, more=count)
        ids = KeyIds(uuid4_from(context.entropy.public_bytes(16)), count)
        keys = [
            SecretKey(
                key_id=key_id,
                pair=pair,
                secret=context.entropy.secret_bytes(size_bits // 8),
                route=(context.node,),
                origin=self._own_origin(),
                created_utc_s=context.clock.utc_s(),
                qkd_bits_spent=0,
            )
            for key_id in ids.spelled()
        ]
        entitled = frozenset({pair.master, *members_of(pair.slave)})
        await context.store.put(keys, entitled=entitled, confirmed=False)
        try:
            await confirm(ids)
        except (StoreFailed, KeyNotFound) as fault:
            await self._relay.doubts.enter(Doubt(ids.ids_from, ids.ids_from, count, context.node, there=False))
            if isinstance(fault, StoreFailed):
                raise
            why = "the keys that were made for this call have been destroyed since, with all others of these two"
            raise KeyShortage(why, remedy="ask again in a moment") from fault

    def _own_origin(self) -> Origin:
        links = self._context.links
        origins = {links.origin(link_id) for link_id in links.link_ids}
        return "device" if origins == {"device"} else "twin"
