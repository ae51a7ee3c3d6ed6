"""Alpha-fair sharing of a network's key among demands, over all paths there are, with a proof of how good it is.

The declared objective is the fair mean (``fair_mean``) of the demands' rates by weight. An interior-point method finds
the flows over given paths; at every step the shortest paths under its prices are taken up, and the same prices give
a bound that no sharing whatever can exceed (``fair_bound``). It ends when the two meet.
"""

from __future__ import annotations

import contextlib
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
from qanat.control.solvers.max_min import MaxMin
from qanat.control.solvers.newton import Problem
from qanat.control.solvers.paths import Flows, Market, Paths

HALVINGS = 100
LARGEST = 600.0
"""The logarithm of what is taken for no limit."""
STEEPEST = (1e3, 1e6, 1e12, math.inf)
"""What a bit/s may be worth to a demand at its cap, in turn until the optimum is met; see ``_eased``."""
NEARLY_MAX_MIN = 20.0
"""From this alpha on max-min is tried first. The fair mean is then that of those who have least, and says next to
nothing of how the others divide what they have; all levels of max-min do."""
POOR = 0.05
"""With more than this part missing it is worth to settle all levels of max-min, which takes long where many ask."""
MOST_PROOFS = 20
"""Of levels whose prices are looked at for a bound."""
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
    scale = float(each.max() if alpha < 1 else each.min()) or 1.0  # so that no power overflows
    mean = float(weight @ (each / scale) ** (1 - alpha) / weight.sum())
    return scale * math.pow(mean, 1 / (1 - alpha))


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

    with np.errstate(divide="ignore"):
        logarithms = np.log(lengths)

    def bought(logarithm_of_price: float) -> Floats:
        most = np.exp(np.minimum(power * (logarithm_of_price + logarithms), LARGEST))
        return np.asarray(np.clip(problem.weight * most, floor, problem.cap))

    low, high = -LARGEST * max(1.0, problem.alpha), LARGEST * max(1.0, problem.alpha)
    if not (np.isfinite(problem.cap).any() or floor.any()):
        return fair_mean(bought(0.0) * (budget / float(lengths @ bought(0.0))), problem.weight, alpha=problem.alpha)
    if float(lengths @ problem.cap) <= budget:
        return fair_mean(problem.cap, problem.weight, alpha=problem.alpha)
    with np.errstate(over="ignore"):
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            too_much = float(lengths @ bought(middle)) > budget
            low, high = (middle, high) if too_much else (low, middle)
    return fair_mean(bought(low), problem.weight, alpha=problem.alpha)


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
    found: Flows | None = None
    bound = math.inf
    is_levelled = alpha >= NEARLY_MAX_MIN and ways is None
    if is_levelled:
        found = _or_levelled(graph, demands, None, bound, alpha=alpha, ways=None)
        if found.value >= (1 - tolerance) * found.bound:
            return found
        bound = found.bound
    has_caps = any(math.isfinite(demand.cap_bits_per_s) for demand in demands)
    for worth in STEEPEST if has_caps else STEEPEST[-1:]:
        with contextlib.suppress(ArithmeticError):
            flows = _climbed(market, demands, alpha=alpha, worth=worth, tolerance=tolerance, ways=ways)
            bound = min(bound, flows.bound)
            found = flows if found is None or flows.value > found.value else found
            if found.value >= (1 - tolerance) * bound:
                return replace(found, bound=bound)
    if found is not None and (is_levelled or found.value >= (1 - POOR) * bound):
        return replace(found, bound=bound)
    return _or_levelled(graph, demands, found, bound, alpha=alpha, ways=ways)


def _climbed(
    market: Market, demands: Sequence[Demand], *, alpha: float, worth: float, tolerance: float, ways: Ways | None
) -> Flows:
    """Return what the interior point reaches with ``worth`` (``_eased``). Raises ArithmeticError where it takes no
    step."""
    weight = np.array([demand.weight for demand in demands])
    paths, flows = first_paths(market, weight, _known(market, ways, num_demands=len(weight)))
    problem, unit = _problem(market, demands, paths, flows, alpha=alpha)
    eased = _eased(problem, worth)
    start = 0.5 * np.minimum(flows, (problem.cap / paths.num_paths)[paths.demand])
    judge = _ByFairMean(problem)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        point = InteriorPoint(eased, paths, start)
    reached = climb(eased, market, paths, point, judge, tolerance=tolerance)
    if judge.misses(paths.totals(reached.flows)):
        reached = _mended(problem, paths, reached, judge)
    return Flows(market, paths, reached.flows * unit, reached.value * unit, reached.bound * unit)


def _known(market: Market, ways: Ways | None, *, num_demands: int) -> Paths:
    paths = Paths(len(market.capacity), num_demands)
    if ways is not None:
        paths.add(*ways)
    return paths


def _problem(
    market: Market, demands: Sequence[Demand], paths: Paths, flows: Floats, *, alpha: float
) -> tuple[Problem, float]:
    """Return what is wanted, and its unit in bit/s: what all have who divide the links by weight."""
    unit = float(np.min(market.capacity / np.maximum(paths.loads(flows), 1e-300)))
    problem = Problem(
        capacity=market.capacity / unit,
        weight=np.array([demand.weight for demand in demands]),
        alpha=alpha,
        floor=np.array([demand.guaranteed_bits_per_s or -math.inf for demand in demands]) / unit,
        cap=np.array([demand.cap_bits_per_s for demand in demands]) / unit,
    )
    return problem, unit


def _eased(problem: Problem, worth: float) -> Problem:
    """Return a problem in which a bit/s is worth no more than so much to a demand that has all of its cap, where that
    is worth 1 to one that has its weight.

    The power -alpha of a small cap has no place beside the others' in floating-point numbers. A demand whose weight is
    less still takes all of its cap, as long as its way is not dearer; whether the optimum was met so, the bound of the
    problem itself says.
    """
    if not problem.alpha:
        return problem
    return replace(problem, weight=np.minimum(problem.weight, problem.cap * worth ** (1 / problem.alpha)))


def _or_levelled(
    graph: RouteGraph, demands: Sequence[Demand], found: Flows | None, bound: float, *, alpha: float, ways: Ways | None
) -> Flows:
    """Return the better of what was found and of what lifts all alike: level by level, or, beside guarantees, together
    over the ways that keep these. For a large alpha that is nearly the optimum; the bound says how nearly."""
    market, weight = Market(graph, demands), np.array([demand.weight for demand in demands])
    prices = [1 / market.capacity]
    if ways is not None:
        paths, _ = first_paths(market, weight, _known(market, ways, num_demands=len(weight)))
        problem, unit = _problem(market, demands, paths, (weight / paths.num_paths)[paths.demand], alpha=alpha)
        nothing = Reached(np.zeros(len(paths.rows)), 0.0, math.inf)
        carried_bits = _mended(problem, paths, nothing, _ByFairMean(problem), rise=weight).flows * unit
    else:
        levels = MaxMin(graph, demands)
        flows = levels.flows()
        paths, carried_bits = flows.paths, flows.flows
        prices += [proof.prices for proof in levels.proofs[:MOST_PROOFS]]
        problem, unit = _problem(market, demands, paths, (weight / paths.num_paths)[paths.demand], alpha=alpha)
    for each in prices:
        bound = min(bound, fair_bound(problem, market.shortest(each), float(each @ problem.capacity)) * unit)
    value = fair_mean(paths.totals(carried_bits), weight, alpha=alpha)
    if found is not None and found.value >= value:
        return replace(found, bound=bound)
    return Flows(market, paths, carried_bits, value, bound)


def _mended(
    problem: Problem, paths: Paths, reached: Reached, judge: _ByFairMean, *, rise: Floats | None = None
) -> Reached:
    """Return flows over the same paths that keep all floors, and lift everybody as far as they can towards what was
    reached, or as ``rise`` says; what was reached where there are none."""
    floor = np.maximum(problem.floor, 0.0)
    if is_towards := rise is None:
        rise = np.maximum(paths.totals(reached.flows) - floor, 0.0)
    rows, steps = paths.steps()
    found = lift(
        (rows, steps, np.ones(len(rows))), problem.capacity, owners=paths.demand, floor=floor * (1 - SLACK), rise=rise
    )
    if found is None:
        return reached
    wanted = np.minimum(floor + rise * (min(1.0, found.height) if is_towards else found.height), problem.cap)
    totals = np.maximum(paths.totals(found.flows), 1e-300)
    flows = carried(problem, paths, found.flows * np.minimum(1.0, wanted / totals)[paths.demand])
    return replace(reached, flows=flows, value=judge.value(paths.totals(flows)))
