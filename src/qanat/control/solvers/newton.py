"""Newton's equations of the interior-point method (``interior``), reduced to the links."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from qanat.control.solvers.arrays import Floats
from qanat.control.solvers.paths import Paths

MOST_DAMPING = 1e-4


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wanted, in units in which rates are about 1. By link: ``capacity``. By demand: all others.

    ``alpha``: of the utility w u(x / w), whose first derivative is (x / w)^-alpha.
    No ``floor``: minus infinity; no ``cap``: infinity.
    """

    capacity: Floats
    weight: Floats
    alpha: float
    floor: Floats
    cap: Floats

    def slope(self, rates: Floats) -> Floats:
        """Return the first derivative of each demand's utility."""
        return np.asarray((rates / self.weight) ** -self.alpha)


@dataclass(slots=True)
class Pair:
    """Slacks (or flows) and their prices, each above zero, where ``has``; elsewhere 1 and 0 for good."""

    slack: Floats
    price: Floats
    has: Floats

    @property
    def ratio(self) -> Floats:
        return self.price / self.slack

    def pull(self, target: float, correction: Floats | float) -> Floats:
        """Return by how much the price changes while the slack stands still."""
        return self.has * (target - correction) / self.slack - self.price

    def lift(self, centre: float, *, slacks: Floats, prices: Floats | float) -> None:
        """Raise the products below ``centre`` to it, each by the factor that is smaller for its scale."""
        is_low = (self.slack * self.price < centre) & (self.has > 0)
        is_tight = self.slack / slacks < self.price / prices
        slack, price = self.slack, self.price
        self.slack = np.where(is_low & is_tight, centre / np.where(is_low & is_tight, price, 1.0), slack)
        self.price = np.where(is_low & ~is_tight, centre / slack, price)

    def room(self, change: Floats, *, of_price: bool) -> float:
        """Return how far ``change`` may be followed."""
        now = self.price if of_price else self.slack
        shrinks = (change < 0) & (self.has > 0)
        return float(np.min(now[shrinks] / -change[shrinks], initial=1e9))


def pair_where(slack: Floats, price: Floats, has: Floats) -> Pair:
    return Pair(np.where(has > 0, slack, 1.0), has * price, has)


@dataclass(frozen=True, slots=True)
class Move:
    """Changes of flows, slacks and prices; of rates and what they are worth."""

    flow: Floats
    reduced: Floats
    slack: Floats
    price: Floats
    above: Floats
    lift: Floats
    below: Floats
    brake: Floats
    rates: Floats
    value: Floats


@dataclass(frozen=True, slots=True)
class Residuals:
    """By how much each equation is missed. ``worth``: by path."""

    rates: Floats
    links: Floats
    floors: Floats
    caps: Floats
    worth: Floats


class System:
    """Newton's equations at a point, reduced to the links and solved for several right-hand sides.

    How strongly a demand resists a change of its rate is h, of which ``lift`` comes from its floor. With th = f / z of
    a path and S their sum over a demand's paths, the inverse of the Hessian takes g to
    th ((g - mean g) + mean g / (1 + h S)): written so, nothing cancels where h is large.
    """

    def __init__(
        self,
        problem: Problem,
        paths: Paths,
        pairs: tuple[Pair, Pair, Pair, Pair],
        residuals: Residuals,
        value: Floats,
    ) -> None:
        self._problem, self._paths, self._at, self._value = problem, paths, residuals, value
        self._f, self._s, self._a, self._q = pairs
        self._theta = 1 / self._f.ratio
        self._sums = paths.totals(self._theta)
        self._lift = self._a.ratio
        self._bend = problem.alpha * value / residuals.rates
        self._rest = self._bend + self._q.ratio
        self._stiffness = 1 + (self._lift + self._rest) * self._sums
        self._factor = _factored(self._matrix())

    def _matrix(self) -> Floats:
        """Return A H^-1 A' + s / y: over single paths directly, over several with their common part taken off."""
        paths, theta = self._paths, self._theta
        is_single = paths.num_paths[paths.demand] == 1
        weights = np.where(is_single, theta / self._stiffness[paths.demand], theta)
        ones = paths.crossings(np.ones_like(theta))
        matrix = np.asarray((paths.crossings(weights) @ ones.T).toarray())
        several = paths.num_paths > 1
        if several.any():
            held = np.where(several, (self._stiffness - 1) / (self._stiffness * np.maximum(self._sums, 1e-300)), 0.0)
            by_demand = paths.by_demand(np.where(is_single, 0.0, theta))
            matrix -= np.asarray((by_demand.multiply(held) @ by_demand.T).toarray())
        matrix[np.diag_indices_from(matrix)] += 1 / self._s.ratio
        return matrix

    def move(self, target: float, before: Move | None) -> Move:
        """Return the step to the point where every product is ``target``; ``before`` corrects it to second order."""
        f, s, a, q = self._f, self._s, self._a, self._q
        paths, at = self._paths, self._at
        pull_f = f.pull(target, 0.0 if before is None else before.flow * before.reduced)
        pull_s = s.pull(target, 0.0 if before is None else before.slack * before.price) - s.ratio * at.links
        pull_a = a.pull(target, 0.0 if before is None else before.above * before.lift) - self._lift * at.floors
        pull_q = q.pull(target, 0.0 if before is None else before.below * before.brake) - q.ratio * at.caps
        pull_value = self._pull_of_value(before)
        bare = at.worth + pull_f - paths.along(pull_s) + pull_value[paths.demand]
        plain = bare - pull_q[paths.demand]
        tension = cho_solve(self._factor, paths.loads(self._through(plain + pull_a[paths.demand])))
        eased = paths.along(tension)
        flow = self._through(plain - eased + pull_a[paths.demand])
        rates = paths.totals(flow)
        lift = pull_a * (1 + self._rest * self._sums) - self._lift * self._sums * self._mean(plain - eased)
        brake = pull_q * (1 + (self._lift + self._bend) * self._sums) + q.ratio * self._sums * (
            self._mean(bare - eased) + pull_a
        )
        return Move(
            flow=flow,
            reduced=pull_f - flow / self._theta,
            slack=at.links - paths.loads(flow),
            price=pull_s + tension,
            above=at.floors + rates,
            lift=a.has * lift / self._stiffness,
            below=at.caps - rates,
            brake=q.has * brake / self._stiffness,
            rates=rates,
            value=pull_value - self._bend * rates,
        )

    def _mean(self, push: Floats) -> Floats:
        """Return the mean of a vector over the paths of each demand, by th."""
        return self._paths.totals(self._theta * push) / np.maximum(self._sums, 1e-300)

    def _pull_of_value(self, before: Move | None) -> Floats:
        """Return by how much what a bit/s is worth changes while the rate stands still.

        The equation is x value^(1 / alpha) = w, or below alpha 1 x^alpha value = w^alpha: products like those of slacks
        and prices, and as good to Newton's method, which value = (x / w)^-alpha is not.
        """
        alpha, rates, value, weight = self._problem.alpha, self._at.rates, self._value, self._problem.weight
        if not alpha:
            return np.zeros_like(value)
        turn = 0.0 if before is None else before.rates * before.value / rates
        if alpha < 1:
            bow = 0.0 if before is None else 0.5 * alpha * (alpha - 1) * value * (before.rates / rates) ** 2
            return np.asarray((weight / rates) ** alpha - value - alpha * turn - bow)
        bow = 0.0 if before is None else 0.5 * (1 / alpha - 1) * before.value**2 / value
        return np.asarray(alpha * value * (weight * value ** (-1 / alpha) / rates - 1) - turn - bow)

    def _through(self, push: Floats) -> Floats:
        """Return H^-1 times a vector over the paths."""
        means, demand = self._mean(push), self._paths.demand
        return self._theta * (push - means[demand] + (means / self._stiffness)[demand])


def _factored(matrix: Floats) -> tuple[Floats, bool]:
    """Return the Cholesky factor, of the matrix with a little more on its diagonal where rounding asks for it."""
    diagonal, damping = np.abs(np.diag(matrix)), 1e-14
    while damping < MOST_DAMPING and np.isfinite(matrix).all():
        try:
            factor, lower = cho_factor(matrix + np.diag(damping * diagonal), lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            damping *= 100
            continue
        return factor, lower
    raise ArithmeticError("the equations of the flows cannot be solved any more")
