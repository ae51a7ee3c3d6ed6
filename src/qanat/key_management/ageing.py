"""Stock that grows too old: destroyed at this end by its own clock, as at the other one by its own."""

from __future__ import annotations

from qanat.ground.events import EventKind
from qanat.ground.identifiers import SaePair
from qanat.ground.network import Network
from qanat.ground.stock import AgeLimits
from qanat.key_management.context import Context


def age_limits(network: Network) -> AgeLimits:
    """Return how old stock may grow in a network."""
    rules = network.stock
    links = (
        {}
        if rules.link_key_time_to_live_s is None
        else dict.fromkeys((link.link_id for link in network.links), rules.link_key_time_to_live_s)
    )
    pairs = {
        SaePair(network.sae(rule.master), network.sae(rule.slave)): rule.time_to_live_s
        for rule in rules.pairs
        if rule.time_to_live_s is not None
    }
    return AgeLimits(links=links, pairs=pairs, other_pairs_s=rules.key_time_to_live_s)


class Ageing:
    """Lets the stock of one node grow old."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limits = age_limits(context.network)

    async def tick(self) -> None:
        """Tell the store what time it is, and say what has expired."""
        clock = self._context.clock
        expired = await self._context.store.expire(self._limits, monotonic_s=clock.monotonic_s(), utc_s=clock.utc_s())
        if expired:
            self._context.recorder.record(
                EventKind.STOCK_EXPIRED,
                num_keys=expired.num_keys,
                bits={str(pool): bits for pool, bits in expired.bits.items()},
            )
