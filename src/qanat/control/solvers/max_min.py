"""Max-min fairness over all paths: the least rate per weight as high as it can be, then the next, and so on.

Level by level, all demands not yet settled are lifted together as far as the links allow (``levels``). The prices tell
who is settled: a demand whose paths all cost something can have no more without another having less, since all of them
together use up what there is at these prices. One that is missed is settled by the next level, of the same height.

Where the first full link carries only what has no other way, as every link of a line, a star or a tree, nothing has to
be solved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.arrays import Floats
from qanat.control.solvers.climbing import first_paths, fitted
from qanat.control.solvers.levels import LEVEL_TOLERANCE, Level, Question, Standing, as_divided, divided_anew
from qanat.control.solvers.paths import Flows, Market

SETTLING = 1e-6
"""A demand is settled when its part of what the prices sum up to is no less than this."""
TRACE = 1e-9
"""A path that has less than this part of its demand's rate is forgotten, to be found again where it helps."""
TOUCHED_LEVELS = 10
"""So many levels after it last divided its rate anew, a demand is taken to be one who will again."""
MANY = 2000
"""Of demands: with so many, only those divide anew who must, lest the programs become large."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That some demands can have no more: under these prices of the links (by row of the market) all rates, each times
    the length of its demand's shortest path, add up to all that the links have, and who has a length above zero has
    no higher rate per weight than ``height`` in bit/s. ``settles``: by demand, whom it holds for."""

    height: float
    prices: Floats
    settles: NDArray[np.bool_]


def max_min_flows(graph: RouteGraph, demands: Sequence[Demand]) -> Flows:
    """Return the flows of max-min fairness of demands that are all joined by some route.

    Value and bound are of the level whose proof leaves most open. Raises ValueError for guarantees.
    """
    return MaxMin(graph, demands).flows()


class MaxMin:
    """The rates of demands that are all joined by some route, settled level by level."""

    def __init__(self, graph: RouteGraph, demands: Sequence[Demand]) -> None:
        """Raises ValueError for guarantees."""
        if any(demand.guaranteed_bits_per_s for demand in demands):
            raise ValueError("max-min fairness keeps no guarantees: take a finite alpha for demands that have one")
        self.market = Market(graph, demands)
        self._weight = np.array([demand.weight for demand in demands])
        self._paths, flows = first_paths(self.market, self._weight)
        self._parts = (1 / self._paths.num_paths)[self._paths.demand]
        self._unit = float(np.min(self.market.capacity / np.maximum(self._paths.loads(flows), 1e-300)))
        self._cap = np.array([demand.cap_bits_per_s for demand in demands]) / self._unit
        self._rates = np.zeros(len(demands))
        self._is_open = np.ones(len(demands), dtype=bool)
        self._standing = Standing.at_first(self._paths)
        self._rested = np.full(len(demands), TOUCHED_LEVELS)
        self.proofs: list[Proof] = []

    def flows(self) -> Flows:
        """Settle everybody, and return what each path carries; ``proofs`` then has what settled whom."""
        levels = []
        while self._is_open.any():
            if (level := self._next()) is not None:
                levels.append(level)
        least = float(np.min(self._rates / self._weight))
        worst = max(levels, key=lambda level: level.gap, default=None)
        value, bound = (worst.height, worst.bound) if worst is not None else (least, least)
        capacity, given = self.market.capacity, self._parts * self._rates[self._paths.demand] * self._unit
        carried = fitted(self._paths, capacity, given)
        return Flows(self.market, self._paths, carried, value * self._unit, bound * self._unit)

    def _next(self) -> Level | None:
        """Settle those whose caps are reached as all divide their rates now; or else those of the next level."""
        rise = np.where(self._is_open, self._weight, 0.0)
        asked = Question(self.market, self.market.capacity / self._unit, self._rates, rise, self._standing)
        level, _ = as_divided(asked, self._paths, self._parts)
        if self._sated(level.height):
            return None
        if level.gap > LEVEL_TOLERANCE:
            level = self._solved(asked)
            if self._sated(level.height):
                return None
        settles = self._is_open & (level.parts >= min(SETTLING, float(level.parts.max())))
        self._rates = np.where(settles, self._weight * level.height, self._rates)
        self._is_open &= ~settles
        self._standing = level.standing
        self.proofs.append(Proof(level.height * self._unit, level.standing.prices, settles))
        return level

    def _sated(self, height: float) -> bool:
        """Give their caps to those who reach them at a height, and return whether anybody does."""
        is_sated = self._is_open & (self._cap <= self._weight * height * (1 + 1e-12))
        self._rates = np.where(is_sated, self._cap, self._rates)
        self._is_open &= ~is_sated
        return bool(is_sated.any())

    def _solved(self, asked: Question) -> Level:
        """Return the level when each divides its rate as is best, and have all divide it so from now on."""
        paths = self._paths
        is_free = self._rested < TOUCHED_LEVELS if len(self._rates) < MANY else np.zeros(len(self._rates), dtype=bool)
        before = is_free.copy()
        level = divided_anew(asked, paths, self._parts, is_free)
        if level is None:
            raise ArithmeticError("what was settled can be carried, but for rounding")
        self._rested = np.where(is_free & ~before, 0, self._rested + 1)
        parts = level.flows / np.maximum(paths.totals(level.flows), 1e-300)[paths.demand]
        is_used = parts > TRACE
        paths.keep(is_used)
        self._parts = parts[is_used] / paths.totals(parts[is_used])[paths.demand]
        return level
