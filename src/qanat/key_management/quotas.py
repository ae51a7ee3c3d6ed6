"""How many keys may wait at a node: for two applications, and for one of them with all others.

Keys for several slaves count for the master with each of them, and every one of these quotas holds for them.
"""

from __future__ import annotations

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import SaePair, members_of
from qanat.key_management.context import Context


class QuotaReached(KeyShortage):
    """Too many keys wait already. Stays inside this room; whoever asks hears of a shortage."""


class Quotas:
    """The quotas of one node, from the network's rules. Of a key each end counts its own copy."""

    def __init__(self, context: Context) -> None:
        self._context = context
        network = context.network
        self._rules = network.stock
        self._of_pair = {
            SaePair(network.sae(rule.master), network.sae(rule.slave)): rule.max_keys
            for rule in self._rules.pairs
            if rule.max_keys is not None
        }

    def most(self, pair: SaePair) -> int:
        """Return how many keys of a pair may wait; for several slaves what the least of their quotas allows."""
        return min(self._of_pair.get(one, self._rules.max_keys_per_pair) for one in _pairs_of(pair))

    async def check(self, pair: SaePair, *, more: int) -> None:
        """Raise QuotaReached when ``more`` keys of a pair would be too many here."""
        held = await self._context.store.held_keys()
        for one in _pairs_of(pair):
            of_pair = sum(count for other, count in held.items() if one in _pairs_of(other))
            if of_pair + more > self.most(one):
                raise self._reached(f"{of_pair} keys of {one.master!r} with {one.slave!r}", self.most(one))
        for sae in (pair.master, *members_of(pair.slave)):
            of_sae = sum(count for other, count in held.items() if sae in (other.master, *members_of(other.slave)))
            if of_sae + more > self._rules.max_keys_per_application:
                raise self._reached(f"{of_sae} keys of {sae!r}", self._rules.max_keys_per_application)

    def _reached(self, what: str, most: int) -> QuotaReached:
        return QuotaReached(
            f"{what} wait at {self._context.node!r} already, and {most} may",
            remedy="have the applications that these keys wait for fetch them",
            retry_after_s=self._context.settings.failed_retry_s,
        )


def _pairs_of(pair: SaePair) -> tuple[SaePair, ...]:
    """Return the master with each of its slaves."""
    return tuple(SaePair(pair.master, slave) for slave in members_of(pair.slave))
