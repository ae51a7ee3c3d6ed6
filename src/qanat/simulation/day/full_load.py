"""A network at full load, at rate level: all pairs ask without end, in both directions, and what they get is set beside
the optimum of the declared objective.

Each caller asks for keys of one size, one a call, and asks again as soon as it has an answer. Callers begin one after
the other, over a time in which each has a few batches; what is counted begins after that, and lasts until the pair that
is to get least has had several batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.control.posing import USABLE
from qanat.control.sharing import MAX_MIN, Settled
from qanat.control.solvers.fair import fair_mean
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Application, Network, SharingRules
from qanat.ground.network.building import build_network
from qanat.ground.randomness import SeededChance
from qanat.key_management.accounts import relay_bits
from qanat.simulation.day.books import Hop
from qanat.simulation.day.demand import Demand, Pair, Requests, joined_pairs
from qanat.simulation.day.engine import Day
from qanat.simulation.day.plan import DayPlan, link_plan
from qanat.simulation.day.serving import Slot
from qanat.simulation.day.shared_day import SharedDay
from qanat.simulation.day.shares import by_ends

FAMILIES = ("line", "ring", "star", "tree", "grid", "random-geometric")
BLOCK_BITS = 240_000
BLOCK_TIME_S = 10.0
"""What each link makes in networks of the families: 24 kbit/s."""
CALL_PAUSE_S = 0.02
"""So long after an answer a caller asks again."""
REFUSED_PAUSE_S = 0.5
LEAST_S = 120.0
LEAST_OF_ONE_S = 600.0
"""Where one pair alone counts, the one that gets least of its level, and not the mean of all."""
BATCHES_BEFORE = 2.0
BATCHES_COUNTED = 4.0


@dataclass(frozen=True, slots=True)
class Reached:
    """What all pairs got, beside the optimum of the declared objective of what is shared.

    Rates are of link key in bit/s as each hop pays it, both directions together, by pair: by what was counted, and,
    since that is wrong by up to one batch of a caller, by the pace of the answers. ``mean_bits_per_s``: the declared
    objective of the counted rates, a power mean; with max-min the least pace; ``bound_bits_per_s``: what no sharing
    whatever of the shared part of the links can exceed. ``begin_s``: from then on was counted, for ``counted_s``.
    """

    alpha: float
    pairs: tuple[Pair, ...]
    rates_bits_per_s: tuple[float, ...]
    paced_bits_per_s: tuple[float, ...]
    optimum_bits_per_s: tuple[float, ...]
    mean_bits_per_s: float
    bound_bits_per_s: float
    begin_s: float
    counted_s: float
    num_late: int

    @property
    def of_declared(self) -> float:
        """The common factor by which all rates of the optimum would have to shrink to be worth as little; above 1 is
        possible, since what is kept back is used too."""
        return self.mean_bits_per_s / self.bound_bits_per_s

    @property
    def of_whole(self) -> float:
        """The same beside the optimum of all that links give."""
        return USABLE * self.of_declared

    @property
    def least_of_optimum(self) -> float:
        """What that pair got which got least, of what the optimum gives it."""
        both = zip(self.paced_bits_per_s, self.optimum_bits_per_s, strict=True)
        return min((got / best for got, best in both if best > 0), default=1.0)

    @property
    def jain_index(self) -> float:
        """Jain's fairness index of the rates."""
        return _jain(self.rates_bits_per_s)

    @property
    def jain_index_at_optimum(self) -> float:
        return _jain(self.optimum_bits_per_s)


class LoadedDay(SharedDay):
    """One run in which each of the pairs' slots is a caller without end."""

    def __init__(self, plan: DayPlan, pairs: Sequence[Pair], *, key_bits: int, seed: int) -> None:
        nothing = Requests(pairs, [], [], [])
        demand = Demand(max(1, len(pairs)), key_bits=key_bits, keys_per_request=1)
        super().__init__(plan, nothing, demand=demand, horizon_s=math.inf, ready_blocks=1)
        self._seed = seed
        self._handlers["call"] = lambda slot, _: self._on_call(slot)
        num = 2 * len(pairs)
        self._everybody = set(range(num))
        self._begin_s = math.inf
        self._answers = np.zeros(num)
        self._first_s, self._last_s = np.zeros(num), np.zeros(num)
        self._shares.note(self._askers)
        self._heard, self._hear_again_s = self._everybody, 0.0
        self._on_share()

    def count(self, *, begin_s: float, counted_s: float) -> tuple[list[float], list[float]]:
        """Run, and return what each hop has paid for each pair, in bit/s: by what was counted, and by the pace of its
        callers' answers. Raises BooksDisagree as ``run``."""
        words = SeededChance(self._seed).child("callers").seed_words()
        order = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words))).permutation(len(self._everybody))
        for place, slot in enumerate(order.tolist()):
            self._push(begin_s / 2 * place / len(order), "call", slot)
        self._begin_s, self._horizon_s = begin_s, begin_s + counted_s
        Day.run(self)
        rates = self._answers * self._needed_bits / counted_s
        return _both_ways(rates), _both_ways(self._paced(counted_s) * self._needed_bits)

    def _paced(self, counted_s: float) -> NDArray[np.float64]:
        """Return how many answers each caller has a second: between the first and the last that were counted, and not
        farther than one answer from their number."""
        between_s, answers = self._last_s - self._first_s, self._answers
        pace = np.divide(answers - 1, between_s, out=np.zeros(len(answers)), where=between_s > 0)
        return np.clip(pace, np.maximum(answers - 1, 0) / counted_s, (answers + 1) / counted_s)

    @property
    def settled(self) -> Settled:
        """The shares of all pairs."""
        settled = self._shares.settled
        assert settled is not None, "they were found at the beginning"
        return settled

    @property
    def num_late(self) -> int:
        """How many calls have ended without a key."""
        return sum(tally.late for tally in self._tallies.values())

    def weights(self) -> list[float]:
        """Return the weight of each pair in the declared objective."""
        weights = self._shares.weights()
        return [weights.get(frozenset((pair.one, pair.other)), 1.0) for pair in self._requests.pairs]

    def _asking(self) -> set[Slot]:
        return self._everybody

    def _on_call(self, slot: Slot) -> None:
        self._tally(slot >> 1).asked += 1
        self._serve_or_open(slot, asked_s=self._now_s)

    def _serve(self, slot: Slot, hops: tuple[Hop, ...], *, asked_s: float) -> None:
        super()._serve(slot, hops, asked_s=asked_s)
        if (now_s := self._now_s) >= self._begin_s:
            if not self._answers[slot]:
                self._first_s[slot] = now_s
            self._answers[slot] += 1
            self._last_s[slot] = now_s
        self._push(self._now_s + CALL_PAUSE_S, "call", slot)

    def _on_late(self, number: int) -> None:
        capped, waiting = self._capped.get(number), self._waiting.open.get(number)
        super()._on_late(number)
        if capped is not None or waiting is not None:
            slot = waiting.slot if waiting is not None else capped[0] if capped is not None else 0
            self._push(self._now_s + REFUSED_PAUSE_S, "call", slot)


def full_load(
    plan: DayPlan,
    pairs: Sequence[Pair] | None = None,
    *,
    key_bits: int = 1024,
    seed: int = 1,
    begin_s: float | None = None,
    counted_s: float | None = None,
) -> Reached:
    """Let pairs ask without end, and return what they got. ``pairs``: None for all sites with applications.

    ``begin_s``, ``counted_s``: None for as long as the pair that is to get least needs for a few batches. Raises
    ConfigurationError for a network that declares no sharing, or where no two sites with applications are joined.
    """
    if pairs is None:
        pairs = joined_pairs(plan.network, rates_bits_per_s=plan.rates)
    if not pairs:
        raise ConfigurationError(
            f"no two sites with applications of {plan.network.name!r} are joined by trusted relays",
            remedy="look at it with `qanat network check`",
        )
    day = LoadedDay(plan, pairs, key_bits=key_bits, seed=seed)
    shared = by_ends(day.settled)
    optimum = [shared.get(frozenset((pair.one, pair.other)), 0.0) for pair in pairs]
    least = min((rate for rate in optimum if rate > 0), default=math.inf)
    batch_s = 2 * relay_bits(count=1, size_bits=key_bits) / least  # of the one direction
    begin_s = max(LEAST_S, BATCHES_BEFORE * batch_s) if begin_s is None else begin_s
    alpha, bound = day.settled.sharing.alpha, day.settled.sharing.bound_bits_per_s
    least_s = LEAST_OF_ONE_S if alpha == MAX_MIN else LEAST_S
    counted_s = max(least_s, BATCHES_COUNTED * batch_s) if counted_s is None else counted_s
    rates, paced = day.count(begin_s=begin_s, counted_s=counted_s)
    if alpha == MAX_MIN:
        mean, bound = min(paced), min(optimum)
    else:
        mean = fair_mean(np.array(rates), np.array(day.weights()), alpha=alpha)
    return Reached(
        alpha=alpha,
        pairs=tuple(pairs),
        rates_bits_per_s=tuple(rates),
        paced_bits_per_s=tuple(paced),
        optimum_bits_per_s=tuple(optimum),
        mean_bits_per_s=mean,
        bound_bits_per_s=bound,
        begin_s=begin_s,
        counted_s=counted_s,
        num_late=day.num_late,
    )


def family_plan(kind: str, num_sites: int, rules: SharingRules) -> DayPlan:
    """Return a network of a shape of ``qanat network build`` with an application at each site and equal links."""
    network = build_network(kind, num_nodes=num_sites)
    apps = tuple(Application(name=f"app-{site.name}", site=site.name) for site in network.sites)
    loaded: Network = network.model_copy(update={"applications": apps, "sharing": rules})
    return DayPlan(
        loaded, planned=lambda net, link: link_plan(net, link, block_bits=BLOCK_BITS, block_time_s=BLOCK_TIME_S)
    )


def _both_ways(rates: NDArray[np.float64]) -> list[float]:
    return [float(rate) for rate in rates.reshape(-1, 2).sum(axis=1)]


def _jain(rates: Sequence[float]) -> float:
    squares = math.fsum(rate**2 for rate in rates)
    return math.fsum(rates) ** 2 / (len(rates) * squares) if squares else 1.0
