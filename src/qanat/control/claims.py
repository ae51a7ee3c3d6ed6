"""Who wants key now: the pairs that a network file declares, and pairs of sites that have asked for key of late.

A share is of two sites, whichever of them begins: half of each link's key is for each direction. So a pair that may
have 1,000 bit/s in its one direction claims 2,000 of the links, and the other direction may have as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from qanat.control.routing import policies_of_sites, policy_between
from qanat.control.sharing import MAX_MIN, Demand
from qanat.ground.agreements import agreement_of
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network, SharingOfPair, SharingRules
from qanat.key_management.wire import GenerationRequest

DIRECTIONS = 2


@dataclass(frozen=True, slots=True)
class Claim:
    """A demand with what it is of: the agreement of two applications, or (empty) all others of two sites.
    ``is_awake``: it has asked for key of late."""

    agreement: str
    demand: Demand
    is_awake: bool = True


def alpha_of(rules: SharingRules) -> float:
    """Return the alpha of the declared objective."""
    return MAX_MIN if rules.alpha == "max-min" else float(rules.alpha)


class Claims:
    """The demand set of one network. Pairs that nothing is declared for leave it when they have asked for nothing for
    the declared window; those that were promised a rate hold that, and no more."""

    def __init__(self, network: Network, rules: SharingRules) -> None:
        self._network = network
        self._window_s = rules.window_s
        self._policies = policies_of_sites(network)
        self.declared: Mapping[str, Claim] = {claim.demand.demand_id: claim for claim in self._declared(rules)}
        self._heard_s: dict[str, float] = {}
        self._others: dict[str, Claim] = {}

    def note(self, word: GenerationRequest, *, now_s: float) -> None:
        """Take down that a pair has too little key."""
        ends = sorted((word.source, word.target))
        if ends[0] == ends[1] or any(self._network.find_site(end) is None for end in ends):
            return
        demand_id = word.agreement
        if demand_id not in self.declared:
            demand_id = " - ".join(ends)  # never like an agreement: applications may be called as sites are
            self._others.setdefault(demand_id, Claim("", self._demand(demand_id, *ends)))
        self._heard_s[demand_id] = now_s

    def now(self, now_s: float) -> tuple[Claim, ...]:
        """Return who wants key, the declared ones first and in their order."""
        for demand_id in [one for one, heard_s in self._heard_s.items() if now_s - heard_s > self._window_s]:
            del self._heard_s[demand_id]
            self._others.pop(demand_id, None)
        declared = (self._awake(claim) for claim in self.declared.values())
        others = (self._others[demand_id] for demand_id in sorted(self._others))
        return (*(claim for claim in declared if claim is not None), *others)

    def _awake(self, claim: Claim) -> Claim | None:
        """Return a declared claim; of one that has asked for nothing of late only what was promised to it."""
        demand = claim.demand
        if demand.demand_id in self._heard_s:
            return claim
        if not demand.guaranteed_bits_per_s:
            return None
        return replace(claim, demand=replace(demand, cap_bits_per_s=demand.guaranteed_bits_per_s), is_awake=False)

    def _declared(self, rules: SharingRules) -> Iterator[Claim]:
        """Yield a claim for every two applications, of which the file may name both directions."""
        of_both: dict[str, list[SharingOfPair]] = {}
        for pair in rules.pairs:
            of_both.setdefault(agreement_of(pair.master, pair.slave), []).append(pair)
        sites = {app.name: NodeId(app.site) for app in self._network.applications}
        for agreement, pairs in of_both.items():
            ends = sorted((sites[pairs[0].master], sites[pairs[0].slave]))
            caps = [math.inf if pair.cap_bits_per_s is None else pair.cap_bits_per_s for pair in pairs]
            demand = replace(
                self._demand(agreement, *ends),
                weight=max(pair.weight for pair in pairs),
                cap_bits_per_s=DIRECTIONS * max(caps),
                guaranteed_bits_per_s=DIRECTIONS * max(pair.guaranteed_bits_per_s for pair in pairs),
            )
            yield Claim(agreement, demand)

    def _demand(self, demand_id: str, source: NodeId, target: NodeId) -> Demand:
        return Demand(demand_id, source, target, policy=policy_between(self._policies, source, target))
