"""Filling end-to-end pools in idle time, so that who asks finds keys at both ends and waits for no relay.

The network says which applications want how many keys to lie ready (``PreparedKeys``); the master's key manager makes
them, batch by batch, when nobody asks it for anything. A prepared key is like any other: made once, supplied once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from qanat.ground.clock import Deadline
from qanat.ground.errors import KeyManagementError, RequestError, StaleEpoch
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, RequestId, SaePair, uuid4_from
from qanat.ground.key_ids import MAX_KEYS
from qanat.ground.tracing import Trace
from qanat.key_management.accounts import relay_bits
from qanat.key_management.context import Context, PoolShort
from qanat.key_management.demands import DemandDesk
from qanat.key_management.quotas import Quotas
from qanat.key_management.relay import RelayJob, RelayOrigin
from qanat.key_management.supplying import Supplying


@dataclass(frozen=True, slots=True)
class EndToEndPool:
    """Keys that are to lie ready between two applications, the master's here."""

    pair: SaePair
    target: NodeId
    count: int
    size_bits: int

    def batch_keys(self, batch_bits: int) -> int:
        """Return how many keys one batch carries."""
        return max(1, min(MAX_KEYS, batch_bits // self.size_bits))


class Preparing:
    """The end-to-end pools that begin at one node."""

    def __init__(self, context: Context, *, supplying: Supplying, relay: RelayOrigin, demands: DemandDesk) -> None:
        self._context = context
        self._supplying = supplying
        self._relay = relay
        self._demands = demands
        self._quotas = Quotas(context)
        self.pools = _pools_of(context)

    async def run(
        self, pool: EndToEndPool, aloud: Callable[[Callable[[], Awaitable[None]], str], Awaitable[None]]
    ) -> None:
        """Keep one pool full for ever; ``aloud`` does a piece of work and records its failure.

        To be run as a task for each pool: one whose links are slow does not hold up the others.
        """
        clock, settings = self._context.clock, self._context.settings
        while True:
            await aloud(partial(self._top_up, pool), f"preparing keys {pool.pair.master} to {pool.pair.slave}")
            await clock.sleep_until(clock.monotonic_s() + settings.tick_s)

    async def _top_up(self, pool: EndToEndPool) -> None:
        """Bring a pool to its count, unless somebody asks meanwhile. A shortage is no fault: it waits a while."""
        try:
            while self._supplying.is_idle and (missing := await self._missing(pool)):
                await self._fill(pool, min(missing, pool.batch_keys(self._context.settings.prepare_batch_bits)))
        except StaleEpoch:
            raise
        except (KeyManagementError, RequestError):
            await self._rest()

    async def _missing(self, pool: EndToEndPool) -> int:
        """Return how many keys a pool lacks; no more than may wait."""
        in_stock = await self._context.store.count_keys(pool.pair, size_bits=pool.size_bits)
        return max(0, min(pool.count, self._quotas.most(pool.pair)) - in_stock)

    async def _fill(self, pool: EndToEndPool, count: int) -> None:
        """Relay one batch; where link key is short, have it made first, after what others wait for."""
        context = self._context
        await context.routes.wait(Deadline.after(context.clock, context.settings.wait_s))
        request_id = RequestId(uuid4_from(context.entropy.public_bytes(16)))
        trace = Trace(context.recorder, request_id)
        trace.record(EventKind.POOL_FILLING, master=pool.pair.master, slave=pool.pair.slave, num_keys=count)
        try:
            await self._relay.make_batch(RelayJob(pool.pair, (pool.target,), count, pool.size_bits, trace))
        except PoolShort as shortage:
            demand = await self._demands.open(
                trace,
                pair=pool.pair,
                target=pool.target,
                needed_bits=relay_bits(count=count, size_bits=pool.size_bits),
                short=shortage.short,
                routes=shortage.routes,
                is_idle=True,
            )
            await self._demands.settle(demand, Deadline.after(context.clock, context.settings.demand_patience_s))

    async def _rest(self) -> None:
        clock = self._context.clock
        await clock.sleep_until(clock.monotonic_s() + self._context.settings.prepare_pause_s)


def _pools_of(context: Context) -> tuple[EndToEndPool, ...]:
    """Return the pools whose master is at this node and whose slave is at another."""
    network, pools = context.network, []
    for keys in network.prepared_keys:
        pair = SaePair(network.sae(keys.master), network.sae(keys.slave))
        here, there = (network.site_of(sae).node for sae in (pair.master, pair.slave))
        if here == context.node != there:
            pools.append(EndToEndPool(pair, there, keys.count, keys.size_bits))
    return tuple(pools)
