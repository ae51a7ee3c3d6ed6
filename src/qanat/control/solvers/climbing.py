"""To the optimum over all paths: flows over those known, new paths under their prices, until a bound is met."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from qanat.control.solvers.arrays import Floats
from qanat.control.solvers.interior import InteriorPoint
from qanat.control.solvers.newton import Problem
from qanat.control.solvers.paths import Market, Paths

MOST_STEPS = 200
FIRST_ROUNDS = 6
"""So many times each demand looks for its shortest path before the first flows, each time past what was loaded."""
EAGERNESS = 4.0
PATIENCE = 5
ROUNDING = 1e-5
"""A gap below this that has not shrunk for PATIENCE steps is what rounding leaves."""


class Judge(Protocol):
    """Says how good rates are, and how good they could be at most."""

    def value(self, rates: Floats, /) -> float: ...

    def bound(self, lengths: Floats, budget: float, /) -> float: ...


@dataclass(frozen=True, slots=True)
class Reached:
    """Flows of the paths that the links can carry, what they are worth, and what is proven to be the most."""

    flows: Floats
    value: float
    bound: float

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.value / self.bound) if self.bound > 0 else 1.0


def first_paths(market: Market, weight: Floats, known: Paths | None = None) -> tuple[Paths, Floats]:
    """Return some good paths of every demand, behind those that are known, and flows over them in proportion to the
    weights.

    The prices of a round grow with the loads of those before it (multiplicative weights), so that the paths spread.
    """
    paths = known if known is not None else Paths(len(market.capacity), len(weight))
    loads = np.zeros_like(market.capacity)
    everybody = np.ones(len(weight), dtype=bool)
    for _ in range(FIRST_ROUNDS):
        use = loads / market.capacity
        market.shortest(np.exp(EAGERNESS * use / max(float(use.max()), 1e-300)) / market.capacity)
        demands, found = market.paths(everybody)
        lengths = np.array([len(rows) for rows in found], dtype=np.int64)
        loads += np.bincount(
            np.concatenate([np.zeros(0, dtype=np.int64), *found]), np.repeat(weight[demands], lengths), len(loads)
        )
        paths.add(demands, found)
    return paths, (weight / paths.num_paths)[paths.demand]


def fitted(paths: Paths, capacity: Floats, flows: Floats) -> Floats:
    """Return flows that the links can carry, each as much smaller as its worst link asks."""
    loads = np.maximum(paths.loads(flows), 1e-300)
    return flows * paths.least_along(np.minimum(1.0, capacity / loads))


def carried(problem: Problem, paths: Paths, flows: Floats) -> Floats:
    """Return flows that the links can carry and that exceed no cap."""
    fitting = fitted(paths, problem.capacity, flows)
    return np.asarray(fitting * np.minimum(1.0, problem.cap / np.maximum(paths.totals(fitting), 1e-300))[paths.demand])


def climb(
    problem: Problem, market: Market, paths: Paths, point: InteriorPoint, judge: Judge, *, tolerance: float
) -> Reached:
    """Return the best that is reached when no more than ``tolerance`` of the optimum is missing, or after MOST_STEPS.

    ``paths`` grows by the shortest paths under the prices, once the flows over those known are nearly the best. With
    floors no path is forgotten, since without it they might not be kept.
    """
    has_floors = bool(np.isfinite(problem.floor).any())
    best: Reached | None = None
    since_best, bound = 0, math.inf
    for _ in range(MOST_STEPS):
        try:
            point.step()
        except ArithmeticError:
            if best is None:
                raise
            break  # what was reached says itself how good it is
        lengths = market.shortest(point.prices)
        budget = float(point.prices @ problem.capacity)
        bound = min(bound, judge.bound(lengths, budget))  # whatever was proven once holds
        now = _reached(problem, paths, point, judge, bound)
        since_best += 1
        if best is None or now.value > best.value:
            best, since_best = now, 0
        best = replace(best, bound=bound)
        if best.gap <= tolerance or (since_best >= PATIENCE and best.gap < ROUNDING):
            break
        along = paths.along(point.prices)
        cheapest = np.full(len(lengths), np.inf)
        np.minimum.at(cheapest, paths.demand, along)
        inner = 1 - now.value / judge.bound(cheapest, budget)
        is_better = lengths < cheapest * (1 - 0.2 * now.gap)
        if has_floors and not is_better.any():  # who has a floor buys so much that a little less makes up the gap
            is_better = lengths < cheapest * (1 - ROUNDING)
        if inner > 0.25 * now.gap or not is_better.any():
            continue
        if has_floors:
            fresh = paths.add(*market.paths(is_better))
            if len(fresh):
                point = point.anew(fresh)
                best, since_best = replace(best, flows=np.concatenate([best.flows, np.zeros(len(fresh))])), 0
            continue
        is_near = along < cheapest[paths.demand] * (1 + 0.5 * now.gap)
        is_kept = is_near | (point.flows > 1e-3 * paths.totals(point.flows)[paths.demand])
        paths.keep(is_kept)
        point.keep(is_kept)
        point.take_up(paths.add(*market.paths(is_better)), gap=now.gap)
        best, since_best = _reached(problem, paths, point, judge, bound), 0  # of the paths that there are now
    assert best is not None, "there is at least one step"
    return best


def _reached(problem: Problem, paths: Paths, point: InteriorPoint, judge: Judge, bound: float) -> Reached:
    flows = carried(problem, paths, point.flows)
    return Reached(flows, judge.value(paths.totals(flows)), bound)
