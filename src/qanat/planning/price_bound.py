"""How good any answer to a large linear program can be, by prices of its rows; and an answer near the best.

Whatever the prices: gains . x (x within 0 and ``upper``, rows x <= limits) is at most limits . prices plus, of each
unknown, ``upper`` times what its gain exceeds its prices by. So the bound needs no trust in how prices were found.

They are found by the primal-dual method of Chambolle and Pock (J. Math. Imaging Vis. 40, 120, 2011) with steps scaled
by row and column (Pock and Chambolle, ICCV 2011), begun anew now and then at the mean of the steps, as Applegate et
al. do (NeurIPS 2021). A round costs two products with the rows; HiGHS, which is exact, takes minutes where this takes
seconds to the last per cent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qanat.planning.pass_keys import Floats

NUM_ROUNDS: Final = 3_000
LOOK_EVERY: Final = 100
FIRST_EPOCH: Final = 400
"""Rounds until it is begun anew for the first time; each later epoch is longer by as many."""
TINY: Final = 1e-12


@dataclass(frozen=True, slots=True)
class LinearProgram:
    """Make gains . x as great as can be, 0 <= x <= upper, rows x <= limits; rows: a sparse matrix (m, n), no row or
    limit of which forbids x = 0."""

    gains: Floats
    rows: Any
    limits: Floats
    upper: Floats


@dataclass(frozen=True, slots=True)
class PriceBound:
    """bound: what no x exceeds. near: an x that may break rows a little, near the best."""

    bound: float
    near: Floats


def bound_by_prices(program: LinearProgram, *, num_rounds: int = NUM_ROUNDS, weight: float = 1.0) -> PriceBound:
    """Return the least bound that so many rounds find, and the point that goes with it.

    weight: of the unknowns' steps over the prices', to begin with; it rules how soon, not whether, the bound holds.
    """
    walk = _Walk(program, weight)
    best, epoch = PriceBound(walk.bound(walk.prices), walk.near), 1
    for done in range(1, num_rounds + 1):
        walk.step()
        if done % LOOK_EVERY:
            continue
        candidates = [(walk.bound(prices), prices, near) for prices, near in walk.points()]
        value, prices, near = min(candidates, key=lambda one: one[0])
        if value < best.bound:
            best = PriceBound(value, near.copy())
        if walk.num_steps >= FIRST_EPOCH * epoch:
            walk.begin_anew(prices, near)
            epoch += 1
    return best


class _Walk:
    """The steps, and their sums since it was begun anew."""

    def __init__(self, program: LinearProgram, weight: float) -> None:
        self._program = program
        self._columns = program.rows.T.tocsr()
        size = abs(program.rows)
        self._step = 1 / np.maximum(np.asarray(size.sum(axis=0)).ravel(), TINY)
        self._price_step = 1 / np.maximum(np.asarray(size.sum(axis=1)).ravel(), TINY)
        self._weight = weight
        self.near, self.prices = np.zeros(program.gains.size), np.zeros(program.limits.size)
        self._begin(self.prices, self.near)

    def bound(self, prices: Floats) -> float:
        """Return what no x exceeds, by these prices."""
        program = self._program
        over = np.maximum(0.0, program.gains - self._columns @ prices)
        return float(program.limits @ prices + program.upper @ over)

    def step(self) -> None:
        program, weight = self._program, self._weight
        further = self.near + weight * self._step * (program.gains - self._columns @ self.prices)
        further = np.clip(further, 0.0, program.upper)
        excess = program.rows @ (2 * further - self.near) - program.limits
        self.prices = np.maximum(0.0, self.prices + self._price_step / weight * excess)
        self.near = further
        self._near_sum += self.near
        self._prices_sum += self.prices
        self.num_steps += 1

    def points(self) -> list[tuple[Floats, Floats]]:
        """Return prices and unknowns as they are, and their means since it was begun anew."""
        return [
            (self.prices, self.near),
            (self._prices_sum / self.num_steps, self._near_sum / self.num_steps),
        ]

    def begin_anew(self, prices: Floats, near: Floats) -> None:
        """Go on from this point, with the steps of prices and unknowns weighed by how far each has come."""
        came = float(np.linalg.norm((near - self._from[1]) / np.sqrt(self._step)))
        prices_came = float(np.linalg.norm((prices - self._from[0]) / np.sqrt(self._price_step)))
        if came > 0 and prices_came > 0:
            self._weight = float(np.sqrt(self._weight * came / prices_came))
        self._begin(prices.copy(), near.copy())

    def _begin(self, prices: Floats, near: Floats) -> None:
        self.prices, self.near = prices, near
        self._from = (prices, near)
        self._prices_sum, self._near_sum = np.zeros_like(prices), np.zeros_like(near)
        self.num_steps = 0
