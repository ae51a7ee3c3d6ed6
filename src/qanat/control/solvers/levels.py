"""One level of max-min fairness: how high all who rise can be lifted together, with prices that prove it.

A linear program over the ways that are known, which HiGHS solves, and to which the shortest ways under its prices are
added until none is missing. Each demand divides what it gets among its ways as before; only those whose division the
prices show to be dear divide anew, the dearest first, so that a program is small however many demands there are.

What was settled at levels below is known by its own prices (``Standing``): under them all that is settled goes by
shortest ways and takes up all that the links have. New prices are looked at on top of these, a hundred times as large,
so that no way is proposed that what is settled cannot take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from qanat.control.solvers.arrays import Floats
from qanat.control.solvers.lifting import Lift, lift
from qanat.control.solvers.paths import Market, Paths

LEVEL_TOLERANCE = 1e-7
SLACKNESS = 1e-9
"""Those who are settled may have so much less while others are lifted: what rounding may take."""
NOTHING = 1e-12
"""Of the mean price: no link is for nothing, since a search sees no free ones."""
STANDING = 100.0
DEAREST = 0.8
"""The demands that divide anew make up at least this part of what could be saved."""
MOST_ROUNDS = 400


@dataclass(frozen=True, slots=True)
class Standing:
    """Prices of the links under which what is settled uses up all that is paid for, and by demand the shortest way's
    length under them. Who is not settled has a way that costs nothing."""

    prices: Floats
    lengths: Floats

    @classmethod
    def at_first(cls, paths: Paths) -> Standing:
        return cls(np.zeros(paths.num_rows), np.zeros(paths.num_demands))

    def under(self, market: Market, prices: Floats) -> tuple[Floats, Standing]:
        """Return by demand the length, under further prices, of its shortest way among those that are shortest here,
        and what stands when the further prices prove a level."""
        prices = prices + NOTHING * float(prices.mean())
        scale = STANDING * float(prices.max())
        together = self.prices + prices / scale
        lengths = market.shortest(together)
        return np.maximum(lengths - self.lengths, 0.0) * scale, Standing(together, lengths)


@dataclass(frozen=True, slots=True)
class Level:
    """How high everybody who rises is lifted, what it cannot exceed, and the proof.

    flows: by path. parts: by demand, of what one level more would cost at the prices of the links. standing: with them.
    """

    height: float
    bound: float
    flows: Floats
    parts: Floats
    standing: Standing

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.height / self.bound) if self.bound > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """capacity: by link. floor: by demand what it keeps, and rise by how much it rises with each level, in the same
    unit; who rises has no floor. standing: what is settled."""

    market: Market
    capacity: Floats
    floor: Floats
    rise: Floats
    standing: Standing

    def level(self, height: float, flows: Floats, prices: Floats) -> tuple[Level, Floats]:
        """Return the level that flows reach, with what these prices prove, and the demands' lengths under them."""
        lengths, standing = self.standing.under(self.market, prices)
        cost = float(lengths @ self.rise)
        bound = (float(prices @ self.capacity) - float(lengths @ self.floor)) / cost if cost > 0 else np.inf
        return Level(min(height, bound), bound, flows, lengths * self.rise / cost, standing), lengths


def lifted(market: Market, paths: Paths, capacity: Floats, *, floor: Floats, rise: Floats) -> Level | None:
    """Return how high ``rise`` can be lifted while each demand keeps ``floor``; None when the floors cannot be kept.

    ``floor`` and ``rise``: by demand, in the unit of ``capacity``; who rises has no floor. ``paths`` grows.
    """
    asked = Question(market, capacity, floor, rise, Standing.at_first(paths))
    return divided_anew(asked, paths, np.ones(len(paths.rows)), np.ones(len(floor), dtype=bool))


def as_divided(asked: Question, paths: Paths, parts: Floats) -> tuple[Level, int]:
    """Return the level when each demand divides its rate by ``parts`` (by path), and the link that is full first.

    The link's price alone is the proof: it holds where all that it carries has no other way.
    """
    settled, rising = parts * asked.floor[paths.demand], parts * asked.rise[paths.demand]
    pull, left = paths.loads(rising), np.maximum(asked.capacity - paths.loads(settled), 0.0)
    heights = np.where(pull > 0, left / np.maximum(pull, 1e-300), np.inf)
    first = int(np.argmin(heights))
    height = float(heights[first])
    level, _ = asked.level(height, settled + height * rising, (np.arange(len(pull)) == first).astype(float))
    return level, first


def divided_anew(asked: Question, paths: Paths, parts: Floats, is_free: NDArray[np.bool_]) -> Level | None:
    """Return the level when each demand may divide its rate as is best; None when the floors cannot be kept.

    ``parts``: by path, how it divides it until something better is seen. ``is_free``: by demand, who divides anew at
    once. Both ``paths`` and ``is_free`` are changed.
    """
    kept = Question(asked.market, asked.capacity, asked.floor * (1 - SLACKNESS), asked.rise, asked.standing)
    level: Level | None = None
    for _ in range(MOST_ROUNDS):
        found = _lift(kept, paths, parts, is_free)
        if found is None and is_free.all():
            return None
        if found is None:
            is_free[:] = True  # rounding left no room for who stays as before
            continue
        level, lengths = asked.level(found.height, _flows(found, paths, parts, is_free), found.prices)
        if level.gap <= LEVEL_TOLERANCE:
            break
        saved = (found.worth - lengths) * (asked.floor + asked.rise * found.height)
        is_dear = _dearest(saved, least=0.1 * LEVEL_TOLERANCE * float(found.prices @ asked.capacity) / len(saved))
        fresh = paths.add(*asked.market.paths(is_dear))
        if not len(fresh) and not (is_dear & ~is_free).any():
            break
        is_free |= is_dear
        parts = np.concatenate([parts, np.zeros(len(fresh))])
        level = replace(level, flows=np.concatenate([level.flows, np.zeros(len(fresh))]))  # if it must end here
    return level


def _dearest(saved: Floats, *, least: float) -> NDArray[np.bool_]:
    """Return the demands, those first that save most, that make up DEAREST of what all could save."""
    saved = np.where(saved > least, saved, 0.0)
    order = np.argsort(-saved, kind="stable")
    before = np.cumsum(saved[order]) - saved[order]
    is_dear = np.zeros(len(saved), dtype=bool)
    is_dear[order[before < DEAREST * saved.sum()]] = True
    return is_dear & (saved > 0)


def _lift(asked: Question, paths: Paths, parts: Floats, is_free: NDArray[np.bool_]) -> Lift | None:
    """Solve the program with a column for each path of who is free, and one for each of the others."""
    of_free = is_free[paths.demand]
    free, others = np.flatnonzero(of_free), np.flatnonzero(~is_free)
    column_of_path, column_of_demand = np.cumsum(of_free) - 1, len(free) + np.cumsum(~is_free) - 1
    column = np.where(of_free, column_of_path, column_of_demand[paths.demand])
    rows, steps = paths.steps()
    usage = rows, column[steps], np.where(of_free, 1.0, parts)[steps]
    owners = np.concatenate([paths.demand[free], others])
    return lift(usage, asked.capacity, owners=owners, floor=asked.floor, rise=asked.rise)


def _flows(found: Lift, paths: Paths, parts: Floats, is_free: NDArray[np.bool_]) -> Floats:
    of_free = is_free[paths.demand]
    num_free = int(of_free.sum())
    given = np.zeros(paths.num_demands)
    given[~is_free] = found.flows[num_free:]
    flows = parts * given[paths.demand]
    flows[of_free] = found.flows[:num_free]
    return np.asarray(flows)
