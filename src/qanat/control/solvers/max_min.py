"""Max-min fairness over all paths: the least rate per weight as high as it can be, then the next, and so on.

Level by level, all demands not yet settled are lifted together as far as the links allow. The prices at that point tell
who is settled: a demand whose paths all cost something can have no more without another having less, for all of them
together use up what the prices say there is. (By strict complementarity, which an interior point reaches, those are
all such demands; one that is missed is settled by the next level, which is then of the same height.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.climbing import Reached, climb, first_paths
from qanat.control.solvers.interior import InteriorPoint
from qanat.control.solvers.newton import Problem
from qanat.control.solvers.paths import Floats, Flows, Market, Paths

LEVEL_TOLERANCE = 1e-7
SLACKNESS = 1e-8
"""The rates of settled demands may be so much lower while others are lifted, so that there is room to move."""
SETTLING = 100.0
"""A demand is settled when its part of the prices is so many times what the level's bound is off."""


@dataclass(frozen=True, slots=True)
class LevelJudge:
    """Of a level: how high all rises are lifted while the others keep their floors."""

    problem: Problem
    rise: Floats

    def value(self, rates: Floats, /) -> float:
        """Return the level; lowered by as much as the worst kept floor is missed."""
        is_held = self.rise == 0
        floor = np.where(is_held, self.problem.floor, 0.0)
        kept = float(np.min(rates[floor > 0] / floor[floor > 0], initial=1.0))
        return kept * float(np.min(rates[~is_held] / self.rise[~is_held]))

    def bound(self, lengths: Floats, budget: float, /) -> float:
        """Return what the level cannot exceed: what the prices leave for those who rise, by what one level costs."""
        floor = np.where(self.rise == 0, self.problem.floor, 0.0)
        return max(0.0, budget - float(lengths @ floor)) / float(lengths @ self.rise)


def lifted(
    market: Market, paths: Paths, capacity: Floats, *, floor: Floats, rise: Floats, flows: Floats, tolerance: float
) -> tuple[Reached, Floats]:
    """Return how high ``rise`` can be lifted above nothing while those without rise keep ``floor``; and all flows.

    flows: of the paths, to begin with. ``paths`` grows.
    """
    held = np.where(rise > 0, 0.0, floor * (1 - SLACKNESS))
    problem = Problem(capacity, np.ones_like(rise), None, held, np.full_like(rise, np.inf), rise)
    rates = paths.totals(flows)
    start = 0.9 * flows + (0.1 * rates / paths.num_paths)[paths.demand]
    level = 0.5 * float(np.min(rates[rise > 0] / rise[rise > 0]))
    point = InteriorPoint(problem, paths, start, level=level)
    reached = climb(problem, market, paths, point, LevelJudge(problem, rise), tolerance=tolerance)
    return reached, point.flows


def max_min_flows(graph: RouteGraph, demands: Sequence[Demand]) -> Flows:
    """Return the flows of max-min fairness of demands that are all joined by some route.

    Value and bound are of the level whose proof leaves most open. Raises ValueError for guarantees.
    """
    if any(demand.guaranteed_bits_per_s for demand in demands):
        raise ValueError("max-min fairness keeps no guarantees: take a finite alpha for demands that have one")
    market = Market(graph, demands)
    weight = np.array([demand.weight for demand in demands])
    paths, flows = first_paths(market, weight)
    unit = float(np.min(market.capacity / np.maximum(paths.loads(flows), 1e-300)))
    cap = np.array([demand.cap_bits_per_s for demand in demands]) / unit
    capacity = market.capacity / unit
    settled, is_open = np.zeros_like(weight), np.ones(len(weight), dtype=bool)
    worst: Reached | None = None
    while is_open.any():
        reached, flows = lifted(
            market,
            paths,
            capacity,
            floor=settled,
            rise=np.where(is_open, weight, 0.0),
            flows=flows,
            tolerance=LEVEL_TOLERANCE,
        )
        worst = reached if worst is None or reached.gap > worst.gap else worst
        is_sated = is_open & (cap <= weight * reached.value)
        settles = is_sated if is_sated.any() else _settled(reached, weight, is_open)
        settled = np.where(settles, np.minimum(cap, weight * reached.value), settled)
        is_open &= ~settles
    assert worst is not None, "there is at least one demand"
    surplus = settled / np.maximum(paths.totals(reached.flows), 1e-300)
    given = reached.flows * np.minimum(1.0, surplus)[paths.demand]
    return Flows(market, paths, given * unit, worst.value * unit, worst.bound * unit)


def _settled(reached: Reached, weight: Floats, is_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    parts = np.where(is_open, reached.lengths * weight, 0.0)
    parts /= parts.sum()
    least = min(SETTLING * max(reached.gap, LEVEL_TOLERANCE), float(parts.max()))
    return np.asarray(is_open & (parts >= least))
