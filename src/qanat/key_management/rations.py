"""What pairs may take of link key: without asking, as long as they keep to their share; and never above a cap.

Shares come from the controller. A batch within the share goes at once where there is stock; one beyond it asks the
controller first, who gives what others have no use for. So a pair is never refused for its share alone, and cannot take
away from stock what another was promised. Caps stand in the network file.

A share is of certain ways, and what each of them carries is a rate like the share: a batch on another way, or on one
that has carried its part, is beyond the share, for it takes what others have shares of. Each rate is a bucket
(``buckets``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.ground.agreements import agreement_of
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.network import Network
from qanat.ground.ports import Clock
from qanat.ground.units import format_rate
from qanat.key_management.buckets import SHARE_BURST_S, STRICT_BURST_S, Bucket
from qanat.key_management.parts import Parts
from qanat.key_management.wire import Ration, Routes

GRANT_S = 10.0
"""A grant of the controller that nobody has used for so long is none any more."""
SHORT_S = 10.0
"""So long after a batch was lost to a hop that was short, further on, batches ask first, within their share too: the
controller knows what all hops hold, and a batch that fails half-way has burned pads. So long after one had to wait for
key they do so too, where others of the pair wait or are on their way: those would be lost together."""
AT_ONCE_S = 0.5
"""A demand that was met so soon did not have to wait."""
GUARANTEED, WITHIN, BEYOND = 0, 1, 2
"""How a demand stands (``GenerationRequest.standing``)."""


@dataclass(slots=True)
class _Pair:
    """One share: its two rates, and what the controller has granted beyond it."""

    share: Bucket
    guarantee: Bucket
    granted_bits: int = 0
    granted_s: float = 0.0
    lost_until_s: float = 0.0
    waited_until_s: float = 0.0

    def pay(self, num_bits: int, *, now_s: float) -> int:
        """Take a batch out of the share, where that is not used up; return how it stands."""
        guaranteed, within = self.guarantee.level(now_s) > 0, self.share.level(now_s) > 0
        if not (guaranteed or within):
            return BEYOND
        self.share.bits -= num_bits
        most_bits = self.guarantee.burst_s * self.guarantee.bits_per_s
        floor = -num_bits - most_bits  # the share goes on where the guarantee has ended
        self.guarantee.bits = max(self.guarantee.bits - num_bits, floor)
        return GUARANTEED if guaranteed else WITHIN

    def granted(self, now_s: float) -> int:
        """Return what was granted and not taken."""
        if now_s - self.granted_s > GRANT_S:
            self.granted_bits = 0
        return self.granted_bits


class Rations:
    """The shares and caps of the pairs that begin at one node."""

    def __init__(self, network: Network, clock: Clock) -> None:
        self._clock = clock
        self._pairs: dict[tuple[str, NodeId], _Pair] = {}
        declared = network.sharing.pairs if network.sharing is not None else ()
        pairs = {SaePair(network.sae(row.master), network.sae(row.slave)): row for row in declared}
        self._agreements = {pair: agreement_of(row.master, row.slave) for pair, row in pairs.items()}
        self.parts = Parts(clock)
        now_s = clock.monotonic_s()
        self._caps = {
            pair: Bucket.full(row.cap_bits_per_s, burst_s=STRICT_BURST_S, now_s=now_s)
            for pair, row in pairs.items()
            if row.cap_bits_per_s is not None
        }

    def learn(self, rows: Sequence[Ration]) -> None:
        """Take new shares in place of all before."""
        now_s, before = self._clock.monotonic_s(), self._pairs
        self._pairs = {}
        for row in rows:
            key = (row.agreement, row.target)
            pair = before.get(key)
            if pair is None:
                pair = _Pair(
                    Bucket.full(row.bits_per_s, burst_s=SHARE_BURST_S, now_s=now_s),
                    Bucket.full(row.guaranteed_bits_per_s, burst_s=STRICT_BURST_S, now_s=now_s),
                )
            pair.share.set_rate(row.bits_per_s, now_s=now_s)
            pair.guarantee.set_rate(row.guaranteed_bits_per_s, now_s=now_s)
            self._pairs[key] = pair

    def agreement(self, pair: SaePair) -> str:
        """Return the name of what a pair of applications has declared; empty for nothing."""
        return self._agreements.get(pair, "")

    def check_cap(self, pair: SaePair) -> None:
        """Raise KeyShortage for a pair that has had as much as its cap allows."""
        cap, now_s = self._caps.get(pair), self._clock.monotonic_s()
        if cap is not None and cap.level(now_s) <= 0:
            raise KeyShortage(
                f"{pair.master!r} has had as much key with {pair.slave!r} as its cap allows,"
                f" {format_rate(cap.bits_per_s)}",
                remedy="ask again when the hint says so, ask for less, or have the cap in the network file raised",
                retry_after_s=max(1.0, cap.wait_s(now_s)),
            )

    def may_take(self, pair: SaePair, ways: Routes, num_bits: int, *, is_alone: bool) -> bool:
        """Return whether a batch may go these ways without asking the controller: where nothing is shared, every one.

        ``is_alone``: no other batch of the pair waits for key or is on its way.
        """
        known, now_s = self._of(pair, ways[0][-1]), self._clock.monotonic_s()
        if known is None or known.granted(now_s) >= num_bits:
            return True
        if now_s < known.lost_until_s or (now_s < known.waited_until_s and not is_alone):
            return False
        return known.share.level(now_s) > 0 and self._are_of_share(known, ways)

    def note_short(self, pair: SaePair, target: NodeId) -> None:
        """A batch of a pair was lost to a hop further on that held too little."""
        if (known := self._of(pair, target)) is not None:
            known.lost_until_s = self._clock.monotonic_s() + SHORT_S

    def enter(self, pair: SaePair, target: NodeId, ways: Routes, num_bits: int) -> int:
        """Return how a new demand of a pair stands. It pays out of the share at once, as far as that goes."""
        if (known := self._of(pair, target)) is None:
            return WITHIN
        return self._pay(known, ways, num_bits) if self._are_of_share(known, ways) else BEYOND

    def leave(self, pair: SaePair, target: NodeId, ways: Routes, num_bits: int, *, standing: int) -> None:
        """There will be no key for a demand: give back what it has paid."""
        known = self._of(pair, target)
        if known is not None and standing != BEYOND:
            known.share.bits += num_bits
            known.guarantee.bits += num_bits
            self.parts.pay(ways, -num_bits)

    def grant(self, pair: SaePair, target: NodeId, num_bits: int, *, waited_s: float) -> None:
        """The controller has key for a demand: one batch of it need not ask again, nor pay."""
        if (known := self._of(pair, target)) is not None:
            now_s = self._clock.monotonic_s()
            known.granted_bits, known.granted_s = known.granted(now_s) + num_bits, now_s
            if waited_s > AT_ONCE_S:
                known.waited_until_s = now_s + SHORT_S

    def take(self, pair: SaePair, ways: Routes, num_bits: int) -> None:
        """Count a try of a batch against the pair's share: each takes link key."""
        now_s, known = self._clock.monotonic_s(), self._of(pair, ways[0][-1])
        if known is None:
            return
        if known.granted(now_s) >= num_bits:
            known.granted_bits -= num_bits
        else:
            self._pay(known, ways, num_bits)

    def count(self, pair: SaePair, num_bits: int) -> None:
        """Count a batch against the pair's cap, once, however often it is tried; less than zero gives it back."""
        if (cap := self._caps.get(pair)) is not None:
            cap.level(self._clock.monotonic_s())
            cap.bits -= num_bits

    def _are_of_share(self, known: _Pair, ways: Routes) -> bool:
        """Return whether a batch may count as within the share on these ways. What was guaranteed may go any way."""
        return self.parts.are_left(ways) or known.guarantee.level(self._clock.monotonic_s()) > 0

    def _pay(self, known: _Pair, ways: Routes, num_bits: int) -> int:
        standing = known.pay(num_bits, now_s=self._clock.monotonic_s())
        if standing != BEYOND:
            self.parts.pay(ways, num_bits)
        return standing

    def _of(self, pair: SaePair, target: NodeId) -> _Pair | None:
        return self._pairs.get((self.agreement(pair), target))
