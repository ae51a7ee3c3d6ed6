"""An interior-point method for flows over given paths, with as many unknowns in its linear system as there are links.

Wanted are the flows f of the paths, at least zero, that make the most of the sum of the demands' utilities, so that

    the loads of the links stay within their capacities      A f + s = c         price y of each link
    each demand gets its floor                               B f - a = floor     price lambda
    no demand gets more than its cap                         B f + q = cap       price v

with the slacks s, a, q at least zero. It is Mehrotra's predictor-corrector method from an infeasible start (S. Wright,
Primal-Dual Interior-Point Methods, 1997, chapter 10). The Hessian over the paths is a diagonal and one rank per demand:
its inverse is written down, and what is left is a symmetric system over the links.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.control.solvers.arrays import Floats, Ints
from qanat.control.solvers.newton import Move, Pair, Problem, Residuals, System, pair_where
from qanat.control.solvers.paths import Paths

STEP = 0.995
"""The part of the way to the boundary that is gone at most."""
CENTRED = 0.01
"""No product of a slack and its price is left to be less than this part of their mean: steps from there are short."""
STRAYING = 3.0
"""What a bit/s is worth to a demand is kept to this factor of the slope of its utility."""

FRESH = 0.1
"""A point that begins anew has so much of a demand's rate on a path that was added."""
LEAST = 0.02
"""A point that begins anew has no less on a path than this part of the mean of the demand's paths."""


class InteriorPoint:
    """The point at which the method is. ``flows``: by path; ``prices``: by link."""

    def __init__(self, problem: Problem, paths: Paths, flows: Floats) -> None:
        self._problem, self._paths = problem, paths
        rates = paths.totals(flows)
        worth = problem.slope(rates)
        self._value = worth
        each_link = float(np.mean(worth)) / max(1.0, float(np.mean(paths.along(np.ones_like(problem.capacity)))))
        self._f = pair_where(flows, 0.5 * worth[paths.demand], np.ones_like(flows))
        slack = np.maximum(problem.capacity - paths.loads(flows), 0.1 * problem.capacity)
        self._s = pair_where(slack, np.full_like(slack, each_link), np.ones_like(slack))
        above = rates - problem.floor
        has_floor = np.isfinite(problem.floor).astype(float)
        self._a = pair_where(np.maximum(above, 0.1 * rates), 0.1 * worth, has_floor)
        has_cap = np.isfinite(problem.cap).astype(float)
        self._q = pair_where(np.maximum(problem.cap - rates, 0.1 * rates), 0.1 * worth, has_cap)

    @property
    def flows(self) -> Floats:
        return self._f.slack

    @property
    def prices(self) -> Floats:
        return self._s.price

    @property
    def centre(self) -> float:
        """The mean product of a slack and its price: zero at the optimum."""
        pairs = self._pairs()
        products = sum(float(pair.slack @ pair.price) for pair in pairs)
        return products / sum(float(pair.has.sum()) for pair in pairs)

    def worth(self) -> Floats:
        """Return what a bit/s more is worth to each demand now."""
        return self._value + self._a.price - self._q.price

    def keep(self, is_kept: NDArray[np.bool_]) -> None:
        """Forget the paths that ``Paths.keep`` forgets."""
        f = self._f
        self._f = Pair(f.slack[is_kept], f.price[is_kept], f.has[is_kept])

    def take_up(self, demands: Ints, *, gap: float) -> None:
        """Start to use the paths that were added for ``demands``.

        The point steps back from the boundary as far as ``gap``, the part of the optimum that is missing, says that
        there is still to go.
        """
        rates = self._paths.totals(np.concatenate([self.flows, np.zeros(len(demands))]))
        share = min(0.1, max(1e-3, gap))
        flows = share * rates[demands]
        self._f.slack *= 1 - share * np.isin(self._paths.demand[: self.flows.size], demands)
        fresh = np.ones(self._f.slack.size + flows.size)
        self._f = Pair(np.concatenate([self._f.slack, flows]), np.concatenate([self._f.price, flows]), fresh)
        centre = 0.3 * gap * float(self.worth() @ rates) / sum(float(pair.has.sum()) for pair in self._pairs())
        self._f.price[-flows.size :] = centre / flows
        self._step_back(centre)

    def anew(self, demands: Ints) -> InteriorPoint:
        """Return a new point, at flows like those now, that uses the paths that were added for ``demands`` as well.

        With floors a step back does not do: prices of links that floors fill are so large that no step back along them
        leaves flows that the links can nearly carry.
        """
        paths = self._paths
        rates = paths.totals(np.concatenate([self.flows, np.zeros(len(demands))]))
        flows = np.concatenate([self.flows, FRESH * rates[demands]])
        least = LEAST * (paths.totals(flows) / paths.num_paths)[paths.demand]
        return InteriorPoint(self._problem, paths, np.maximum(flows, least))

    def _step_back(self, centre: float) -> None:
        """Raise every product of a slack and its price that is below ``centre`` to it."""
        rates, worth, of_path = self._paths.totals(self.flows), self.worth(), self._paths.demand
        self._f.lift(centre, slacks=rates[of_path], prices=worth[of_path])
        self._s.lift(centre, slacks=self._problem.capacity, prices=float(np.mean(self.prices)))
        for pair in (self._a, self._q):
            pair.lift(centre, slacks=rates, prices=worth)

    def step(self) -> None:
        """Take one step towards the optimum; raises ArithmeticError where rounding allows no further one."""
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            self._step()

    def _step(self) -> None:
        self._step_back(CENTRED * self.centre)
        slope = self._problem.slope(self._paths.totals(self.flows))
        self._value = np.clip(self._value, slope / STRAYING, slope * STRAYING)
        system = System(self._problem, self._paths, self._pairs(), self._residuals(), self._value)
        plain = system.move(0.0, None)
        now = self.centre
        reach = self._reaches(plain)
        target = now * (self._centre_after(plain, *reach) / now) ** 3 if now > 0 else 0.0
        move = system.move(min(max(target, 1e-4 * now), 0.5 * now), plain)
        self._follow(move, *(min(1.0, STEP * reach) for reach in self._reaches(move)))

    def _pairs(self) -> tuple[Pair, Pair, Pair, Pair]:
        return self._f, self._s, self._a, self._q

    def _residuals(self) -> Residuals:
        problem, paths = self._problem, self._paths
        rates = paths.totals(self.flows)
        return Residuals(
            rates=rates,
            links=problem.capacity - paths.loads(self.flows) - self._s.slack,
            floors=_where_finite(rates - problem.floor - self._a.slack, problem.floor),
            caps=_where_finite(problem.cap - rates - self._q.slack, problem.cap),
            worth=self.worth()[paths.demand] - paths.along(self.prices) + self._f.price,
        )

    def _changes(self, move: Move) -> tuple[tuple[Pair, Floats, Floats], ...]:
        return (
            (self._f, move.flow, move.reduced),
            (self._s, move.slack, move.price),
            (self._a, move.above, move.lift),
            (self._q, move.below, move.brake),
        )

    def _reaches(self, move: Move) -> tuple[float, float]:
        """Return how far slacks and prices may go."""
        changes = self._changes(move)
        slacks = min(pair.room(change, of_price=False) for pair, change, _ in changes)
        prices = min(pair.room(change, of_price=True) for pair, _, change in changes)
        falls = move.value < 0
        return slacks, min(prices, float(np.min(self._value[falls] / -move.value[falls], initial=1e9)))

    def _centre_after(self, move: Move, slacks: float, prices: float) -> float:
        by_slack, by_price = min(1.0, slacks), min(1.0, prices)
        changes = self._changes(move)
        total = sum(
            float((pair.slack + by_slack * change) * pair.has @ (pair.price + by_price * of_price))
            for pair, change, of_price in changes
        )
        return max(0.0, total) / sum(float(pair.has.sum()) for pair, _, _ in changes)

    def _follow(self, move: Move, by_slack: float, by_price: float) -> None:
        for pair, change, of_price in self._changes(move):
            pair.slack += by_slack * change * pair.has
            pair.price += by_price * of_price * pair.has
        self._value = self._value + by_price * move.value


def _where_finite(values: Floats, limits: Floats) -> Floats:
    return np.where(np.isfinite(limits), values, 0.0)
