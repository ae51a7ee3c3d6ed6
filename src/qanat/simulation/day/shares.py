"""What the controller and the key managers of a network make of its declared sharing, at rate level: their own pure
parts, with a run's clock and without messages between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qanat.control.claims import Claim
from qanat.control.graph import Route
from qanat.control.posing import Posing, usable_rate, words_of
from qanat.control.sharing import Settled, SharingProblem
from qanat.control.solvers.by_name import settle
from qanat.ground.agreements import agreement_of
from qanat.ground.identifiers import LinkId, NodeId, SaePair
from qanat.ground.network import Network, SharingRules
from qanat.ground.ports import Stopwatch
from qanat.key_management.rations import Rations
from qanat.key_management.spreading import Spreading
from qanat.key_management.wire import GenerationRequest, SharesPushed
from qanat.simulation.day.demand import Pair
from qanat.simulation.day.plan import DayPlan

NOTHING_SHARED = SharesPushed(0, 0, (), ())


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks for keys, and with whom: two applications, the sites of both, and what they have declared (or empty)."""

    source: NodeId
    target: NodeId
    saes: SaePair
    agreement: str
    priority: int

    @property
    def word(self) -> GenerationRequest:
        """What tells the controller that it asks."""
        return GenerationRequest("", self.source, self.target, 0, (), None, agreement=self.agreement)


@dataclass(frozen=True, slots=True)
class SiteBooks:
    """What the key manager of one site counts."""

    rations: Rations
    spreading: Spreading

    def in_turn(self, target: NodeId, ways: Sequence[Route], num_bits: int) -> list[Route]:
        """Return ways to a target, those first that have not carried their part, and whose turn it is."""
        in_turn = self.spreading.in_turn(target, tuple(ways), num_bits=num_bits)
        return sorted(in_turn, key=lambda way: not self.rations.parts.are_left((way,)))

    def to_ask_for(self, way: Route, ways: Sequence[Route]) -> Route:
        """Return on which way a batch that may not go ``way`` at once asks for key: where that has carried its part,
        the one that may carry more the soonest."""
        parts = self.rations.parts
        return way if parts.are_left((way,)) else min((way, *ways), key=parts.wait_s)


class Shares:
    """The shares of one network as they are now, and what its key managers count by them."""

    def __init__(self, plan: DayPlan, rules: SharingRules, clock: Stopwatch, *, turning_share: float) -> None:
        """``turning_share``: as in ``Policy``. Nobody shares yet, and no link gives anything."""
        network = plan.network
        self._plan, self._clock = plan, clock
        self._rules, self._turning_share = rules, turning_share
        self._posing = Posing(network, rules, turning_share=turning_share)
        self.sites = {node: SiteBooks(Rations(network, clock), Spreading()) for node in network.nodes}
        self._told: dict[NodeId, SharesPushed] = {}
        self._problem: SharingProblem | None = None
        self._settled: Settled | None = None
        self.ahead: frozenset[LinkId] = frozenset()
        """Links that some pair that asks now has a share of."""
        self.contended: frozenset[LinkId] = frozenset()
        """Those of them that make key on order, and of which several pairs have shares."""

    def note(self, askers: Iterable[Asker]) -> None:
        """These have too little key now."""
        for asker in askers:
            self._posing.claims.note(asker.word, now_s=self._clock.monotonic_s())

    def look(self, shares_of_rates: Mapping[LinkId, float]) -> bool:
        """Find the shares anew if anything has changed that they follow from, and tell all key managers; return whether
        it had. ``shares_of_rates``: which share of its forecast each link gives now."""
        for link in self._plan.links:
            rate = shares_of_rates[link.link_id] * usable_rate(link.rate_bits_per_s, link.block_bits)
            self._posing.note_rate(link.link_id, rate)
        problem, claims = self._posing.now(self._clock.monotonic_s())
        if problem == self._problem:
            return False
        self._problem, self._settled = problem, settle(problem)
        sharers = self._posing.sharers(self._settled, claims)
        on_order = {link.link_id for link in self._plan.network.links if link.makes_key_on_order}
        self.ahead = frozenset(sharers)
        self.contended = frozenset(link_id for link_id, number in sharers.items() if number > 1) & on_order
        self._tell(self._settled, claims)
        return True

    def _tell(self, settled: Settled, claims: Sequence[Claim]) -> None:
        words = words_of(settled, claims)
        for node, site in self.sites.items():
            word = words.get(node, NOTHING_SHARED)
            if word != self._told.get(node, NOTHING_SHARED):
                self._told[node] = word
                site.spreading.learn(word.spreads)
                site.rations.learn(word.rations)
                site.rations.parts.learn(word.spreads)

    def if_all_ask(self, askers: Iterable[Asker]) -> dict[frozenset[NodeId], float]:
        """Return what each two sites would have, both directions together, if all these asked without end and no link
        were out."""
        posing = Posing(self._plan.network, self._rules, turning_share=self._turning_share)
        for link in self._plan.links:
            posing.note_rate(link.link_id, usable_rate(link.rate_bits_per_s, link.block_bits))
        for asker in askers:
            posing.claims.note(asker.word, now_s=0.0)
        return by_ends(settle(posing.now(0.0)[0]))

    def weights(self) -> dict[frozenset[NodeId], float]:
        """Return the weight of every two sites that share."""
        demands = () if self._problem is None else self._problem.demands
        return {frozenset((demand.source, demand.target)): demand.weight for demand in demands}

    @property
    def settled(self) -> Settled | None:
        """The shares that hold; None where none were ever found."""
        return self._settled


def by_ends(settled: Settled) -> dict[frozenset[NodeId], float]:
    """Return what shares give every two sites that have any, in bit/s, both directions together."""
    rates: dict[frozenset[NodeId], float] = {}
    for share in settled.sharing.shares:
        for route, rate in share.routes:
            ends = frozenset((route[0], route[-1]))
            rates[ends] = rates.get(ends, 0.0) + rate
    return rates


def askers_of(network: Network, pairs: Sequence[Pair]) -> tuple[Asker, ...]:
    """Return who asks in each slot: of two sites those applications that have declared something, or the first of each.

    One after the other ``one`` of a pair with the other, and the other with it.
    """
    first: dict[NodeId, str] = {}
    for app in network.applications:
        first.setdefault(NodeId(app.site), app.name)
    site_of = {app.name: NodeId(app.site) for app in network.applications}
    declared = {
        (site_of[row.master], site_of[row.slave]): (row.master, row.slave)
        for row in reversed(network.sharing.pairs if network.sharing is not None else ())
    }
    askers = []
    for pair in pairs:
        for source, target in ((pair.one, pair.other), (pair.other, pair.one)):
            back = declared.get((target, source))
            names = declared.get((source, target)) or (back[::-1] if back else None)
            master, slave = names or (first[source], first[target])
            saes = SaePair(network.sae(master), network.sae(slave))
            agreement = agreement_of(master, slave) if names else ""
            askers.append(Asker(source, target, saes, agreement, network.priority(saes.master)))
    return tuple(askers)
