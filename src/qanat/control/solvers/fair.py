"""Alpha-fair sharing of a network's key among demands, over all paths there are, with a proof of how good it is.

The declared objective is the fair mean (``fair_mean``) of the demands' rates by weight. An interior-point method finds
the flows over given paths; at every step the shortest paths under its prices are taken up, and the same prices give
a bound that no sharing whatever can exceed (``fair_bound``). It ends when the two meet.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.arrays import Floats, Ints
from qanat.control.solvers.climbing import Reached, carried, climb, first_paths
from qanat.control.solvers.interior import InteriorPoint
from qanat.control.solvers.lifting import lift
from qanat.control.solvers.newton import Problem
from qanat.control.solvers.paths import Flows, Market, Paths

HALVINGS = 100
ROUNDING = 1e-6
SLACK = 4e-7
"""Of a floor so much may be missing: rounding, here and where what is found is told, stays within ROUNDING."""
Ways: TypeAlias = tuple[Ints, Sequence[Ints]]
"""Paths: by path, the place of its demand, and the links that it takes, by row of the market."""


def fair_mean(rates: Floats, weight: Floats, *, alpha: float) -> float:
    """Return the power mean, of degree 1 - alpha, of the rates per weight.

    With alpha 0 it is the arithmetic mean (throughput), 1 the geometric (proportional fairness), 2 the harmonic, and it
    tends to the least (max-min). It grows with the sum of the alpha-fair utilities w u(x / w), so the two have the same
    optimum; being in bit/s, a part of it means something.
    """
    if not (rates > 0).all() and alpha >= 1:
        return 0.0
    each = rates / weight
    if alpha == 1:
        return math.exp(float(weight @ np.log(each)) / float(weight.sum()))
    middle = float(each.max()) or 1.0
    mean = float(weight @ (each / middle) ** (1 - alpha) / weight.sum())
    return middle * math.pow(mean, 1 / (1 - alpha))


def fair_bound(problem: Problem, lengths: Floats, budget: float) -> float:
    """Return what the fair mean cannot exceed, from any prices of the links.

    lengths: of the shortest paths under the prices, by demand. budget: prices times capacities. A demand that gets x
    takes up at least x times its length of the budget; the best that can be bought for it bounds the best that can be
    carried.
    """
    floor = np.maximum(problem.floor, 0.0)
    if problem.alpha == 0:
        return fair_mean(_bought_in_order(floor, problem.cap, lengths, budget), problem.weight, alpha=0.0)

    power = -1 / problem.alpha

    def bought(price: float) -> Floats:
        return np.asarray(np.clip(problem.weight * (price * lengths) ** power, floor, problem.cap))

    low, high = -700.0, 700.0  # of the price's logarithm
    if not (np.isfinite(problem.cap).any() or floor.any()):
        return fair_mean(bought(1.0) * (budget / float(lengths @ bought(1.0))), problem.weight, alpha=problem.alpha)
    if float(lengths @ problem.cap) <= budget:
        return fair_mean(problem.cap, problem.weight, alpha=problem.alpha)
    with np.errstate(over="ignore"):
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            too_much = float(lengths @ bought(math.exp(middle))) > budget
            low, high = (middle, high) if too_much else (low, middle)
        return fair_mean(bought(math.exp(low)), problem.weight, alpha=problem.alpha)


def _bought_in_order(floor: Floats, cap: Floats, lengths: Floats, budget: float) -> Floats:
    """Return the rates that have the largest sum for a budget: after the floors the shortest first."""
    rates, left = floor.copy(), budget - float(lengths @ floor)
    for place in np.argsort(lengths):
        more = min(cap[place] - rates[place], max(0.0, left) / lengths[place])
        rates[place] += more
        left -= more * lengths[place]
        if left <= 0:
            break
    return rates


@dataclass(frozen=True, slots=True)
class _ByFairMean:
    problem: Problem

    def misses(self, rates: Floats) -> bool:
        """Return whether a guarantee is missed by more than rounding."""
        return bool((rates < self.problem.floor * (1 - SLACK)).any())

    def value(self, rates: Floats, /) -> float:
        """Return the fair mean; nothing while a guarantee is missed by more than rounding."""
        if self.misses(rates):
            return 0.0
        return fair_mean(rates, self.problem.weight, alpha=self.problem.alpha)

    def bound(self, lengths: Floats, budget: float, /) -> float:
        return fair_bound(self.problem, lengths, budget)


def fair_flows(
    graph: RouteGraph, demands: Sequence[Demand], *, alpha: float, tolerance: float, ways: Ways | None = None
) -> Flows:
    """Return alpha-fair flows of demands that are all joined by some route, for a finite alpha.

    ``ways``: over which the guarantees can all be kept. Over other paths alone they might not be, and no prices would
    tell which paths are missing.
    """
    market = Market(graph, demands)
    weight = np.array([demand.weight for demand in demands])
    known = Paths(len(market.capacity), len(weight))
    if ways is not None:
        known.add(*ways)
    paths, flows = first_paths(market, weight, known)
    unit = float(np.min(market.capacity / np.maximum(paths.loads(flows), 1e-300)))
    problem = Problem(
        capacity=market.capacity / unit,
        weight=weight,
        alpha=alpha,
        floor=np.array([demand.guaranteed_bits_per_s or -math.inf for demand in demands]) / unit,
        cap=np.array([demand.cap_bits_per_s for demand in demands]) / unit,
    )
    start = 0.5 * np.minimum(flows, (problem.cap / paths.num_paths)[paths.demand])
    judge = _ByFairMean(problem)
    reached = climb(problem, market, paths, InteriorPoint(problem, paths, start), judge, tolerance=tolerance)
    if judge.misses(paths.totals(reached.flows)):
        reached = _mended(problem, paths, reached, judge)
    return Flows(market, paths, reached.flows * unit, reached.value * unit, reached.bound * unit)


def _mended(problem: Problem, paths: Paths, reached: Reached, judge: _ByFairMean) -> Reached:
    """Return flows over the same paths that keep all floors, and lift everybody as far as they can towards what was
    reached; what was reached where there are none."""
    floor = np.maximum(problem.floor, 0.0)
    rise = np.maximum(paths.totals(reached.flows) - floor, 0.0)
    usage = paths.crossings(np.ones(len(paths.rows)))
    found = lift(usage, problem.capacity, owners=paths.demand, floor=floor * (1 - SLACK), rise=rise)
    if found is None:
        return reached
    wanted = np.minimum(floor + rise * min(1.0, found.height), problem.cap)
    totals = np.maximum(paths.totals(found.flows), 1e-300)
    flows = carried(problem, paths, found.flows * np.minimum(1.0, wanted / totals)[paths.demand])
    return replace(reached, flows=flows, value=judge.value(paths.totals(flows)))
