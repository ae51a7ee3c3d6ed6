"""What pairs may take of link key: without asking, as long as they keep to their share; and never above a cap.

Shares come from the controller. A batch within the share goes at once where there is stock; one beyond it asks the
controller first, who gives what others have no use for. So a pair is never refused for its share alone, and cannot take
away from stock what another was promised. Caps stand in the network file.

A share is of certain ways, and what each of them carries is a rate like the share: a batch on another way, or on one
that has carried its part, is beyond the share, for it takes what others have shares of. Each rate is a bucket
(``buckets``).

Keys for several slaves count for the master with each of them: what holds for any of these pairs holds for such keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.ground.agreements import agreement_of
from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId, SaePair, members_of
from qanat.ground.network import Network
from qanat.ground.ports import Stopwatch
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

    def standing(self, now_s: float) -> int:
        """Return how a batch would stand now."""
        if self.guarantee.level(now_s) > 0:
            return GUARANTEED
        return WITHIN if self.share.level(now_s) > 0 else BEYOND

    def pay(self, num_bits: int, *, now_s: float) -> int:
        """Take a batch out of the share, where that is not used up; return how it stands."""
        if (standing := self.standing(now_s)) == BEYOND:
            return BEYOND
        self.share.level(now_s)
        self.share.bits -= num_bits
        most_bits = self.guarantee.burst_s * self.guarantee.bits_per_s
        floor = -num_bits - most_bits  # the share goes on where the guarantee has ended
        self.guarantee.bits = max(self.guarantee.bits - num_bits, floor)
        return standing

    def wait_s(self, way_s: float, *, now_s: float) -> float:
        """Return in how many seconds a batch may not be beyond the share; ``way_s``: in how many its way has a part."""
        return min(max(self.share.wait_s(now_s), way_s), self.guarantee.wait_s(now_s))

    def is_full(self, now_s: float) -> bool:
        """Return whether it holds all that a new one would."""
        return self.share.is_full(now_s) and self.guarantee.is_full(now_s)

    def granted(self, now_s: float) -> int:
        """Return what was granted and not taken."""
        if now_s - self.granted_s > GRANT_S:
            self.granted_bits = 0
        return self.granted_bits


class Rations:
    """The shares and caps of the pairs that begin at one node."""

    def __init__(self, network: Network, clock: Stopwatch) -> None:
        self._clock = clock
        self._pairs: dict[tuple[str, NodeId], _Pair] = {}
        self._gone: dict[tuple[str, NodeId], _Pair] = {}
        self._sites = {network.sae(app.name): NodeId(app.site) for app in network.applications}
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
        """Take new shares in place of all before.

        Who drops out and comes back before time has filled his bucket finds it as full as time has made it.
        """
        now_s, before = self._clock.monotonic_s(), self._gone | self._pairs
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
        self._gone = {key: pair for key, pair in before.items() if key not in self._pairs and not pair.is_full(now_s)}

    def agreement(self, pair: SaePair, target: NodeId) -> str:
        """Return the name of what a pair of applications has declared; empty for nothing. For several slaves at
        ``target``: of those declared the one that has the least left."""
        now_s = self._clock.monotonic_s()
        declared = [name for name in self._agreements_of(pair, target) if name]
        known = [name for name in declared if (name, target) in self._pairs]
        least = min(known, key=lambda name: self._pairs[name, target].share.level(now_s), default="")
        return least or next(iter(declared), "")

    def check_cap(self, pair: SaePair) -> None:
        """Raise KeyShortage for a pair that has had as much as its cap allows, or a master with any of its slaves."""
        now_s = self._clock.monotonic_s()
        spent = [(cap.wait_s(now_s), one, cap) for one, cap in self._caps_of(pair) if cap.level(now_s) <= 0]
        if spent:
            wait_s, one, cap = max(spent, key=lambda row: row[0])
            raise KeyShortage(
                f"{one.master!r} has had as much key with {one.slave!r} as its cap allows,"
                f" {format_rate(cap.bits_per_s)}",
                remedy="ask again when the hint says so, ask for less, or have the cap in the network file raised",
                retry_after_s=max(1.0, wait_s),
            )

    def may_take(self, pair: SaePair, ways: Routes, num_bits: int, *, is_alone: bool) -> bool:
        """Return whether a batch may go these ways without asking the controller: where nothing is shared, every one.

        ``is_alone``: no other batch of the pair waits for key or is on its way.
        """
        return all(
            self._may_take(known, ways, num_bits, is_alone=is_alone) for known in self._all_of(pair, ways[0][-1])
        )

    def wait_s(self, pair: SaePair, target: NodeId, ways: Routes) -> float:
        """Return in how many seconds a batch of a pair may stand within its share on these ways; infinite where it has
        none there."""
        way_s = 0.0 if self.parts.are_left(ways) else min(map(self.parts.wait_s, ways))
        now_s, every = self._clock.monotonic_s(), self._all_of(pair, target)
        return max((known.wait_s(way_s, now_s=now_s) for known in every), default=0.0)

    def note_short(self, pair: SaePair, target: NodeId) -> None:
        """A batch of a pair was lost to a hop further on that held too little."""
        for known in self._all_of(pair, target):
            known.lost_until_s = self._clock.monotonic_s() + SHORT_S

    def enter(self, pair: SaePair, target: NodeId, ways: Routes, num_bits: int) -> int:
        """Return how a new demand of a pair stands. It pays out of the share at once, as far as that goes; where one
        of several is used up, none pays."""
        now_s, every = self._clock.monotonic_s(), self._all_of(pair, target)
        if any(known.standing(now_s) == BEYOND or not self._are_of_share(known, ways) for known in every):
            return BEYOND
        return self._pay(every, ways, num_bits)

    def leave(self, pair: SaePair, target: NodeId, ways: Routes, num_bits: int, *, standing: int) -> None:
        """There will be no key for a demand: give back what it has paid."""
        every = self._all_of(pair, target) if standing != BEYOND else ()
        for known in every:
            known.share.bits += num_bits
            known.guarantee.bits += num_bits
        if every:
            self.parts.pay(ways, -num_bits)

    def grant(self, pair: SaePair, target: NodeId, num_bits: int, *, waited_s: float) -> None:
        """The controller has key for a demand: one batch of it need not ask again, nor pay."""
        now_s = self._clock.monotonic_s()
        for known in self._all_of(pair, target):
            known.granted_bits, known.granted_s = known.granted(now_s) + num_bits, now_s
            if waited_s > AT_ONCE_S:
                known.waited_until_s = now_s + SHORT_S

    def take(self, pair: SaePair, ways: Routes, num_bits: int) -> None:
        """Count a try of a batch against the pair's share: each takes link key."""
        now_s, paying = self._clock.monotonic_s(), list[_Pair]()
        for known in self._all_of(pair, ways[0][-1]):
            if known.granted(now_s) >= num_bits:
                known.granted_bits -= num_bits
            else:
                paying.append(known)
        self._pay(paying, ways, num_bits)

    def count(self, pair: SaePair, num_bits: int) -> None:
        """Count a batch against the pair's cap, once, however often it is tried; less than zero gives it back.

        ``num_bits``: of the way to one site. Each of several slaves has what went to its own."""
        for _, cap in self._caps_of(pair):
            cap.level(self._clock.monotonic_s())
            cap.bits -= num_bits

    def _may_take(self, known: _Pair, ways: Routes, num_bits: int, *, is_alone: bool) -> bool:
        now_s = self._clock.monotonic_s()
        if known.granted(now_s) >= num_bits:
            return True
        if now_s < known.lost_until_s or (now_s < known.waited_until_s and not is_alone):
            return False
        return known.share.level(now_s) > 0 and self._are_of_share(known, ways)

    def _are_of_share(self, known: _Pair, ways: Routes) -> bool:
        """Return whether a batch may count as within the share on these ways. What was guaranteed may go any way."""
        return self.parts.are_left(ways) or known.guarantee.level(self._clock.monotonic_s()) > 0

    def _pay(self, every: Sequence[_Pair], ways: Routes, num_bits: int) -> int:
        """Have each pay that can; return how the worst stands. The ways carry the batch once."""
        now_s = self._clock.monotonic_s()
        standings = [known.pay(num_bits, now_s=now_s) for known in every]
        if any(standing != BEYOND for standing in standings):
            self.parts.pay(ways, num_bits)
        return max(standings, default=WITHIN)

    def _all_of(self, pair: SaePair, target: NodeId) -> Sequence[_Pair]:
        """Return the shares that keys to ``target`` are of: one, where there is a single slave, or none."""
        found = (self._pairs.get((name, target)) for name in self._agreements_of(pair, target))
        return tuple(known for known in found if known is not None)

    def _agreements_of(self, pair: SaePair, target: NodeId) -> tuple[str, ...]:
        """Return the agreements of a master with its slaves at ``target``, each once; empty for what is undeclared."""
        if not self._agreements:
            return ("",)
        there = (slave for slave in members_of(pair.slave) if self._sites.get(slave, target) == target)
        return tuple(dict.fromkeys(self._agreements.get(SaePair(pair.master, slave), "") for slave in there))

    def _caps_of(self, pair: SaePair) -> list[tuple[SaePair, Bucket]]:
        """Return the caps of a master with its slaves; keys for one at its own site take no link key."""
        if not self._caps:
            return []
        here = self._sites.get(pair.master)
        slaves = [slave for slave in members_of(pair.slave) if self._sites.get(slave) != here]
        every = (SaePair(pair.master, slave) for slave in slaves)
        return [(one, self._caps[one]) for one in every if one in self._caps]
