"""Max-min fairness over all paths: the least rate per weight as high as it can be, then the next, and so on.

Level by level, all demands not yet settled are lifted together as far as the links allow: a linear program over paths,
which HiGHS solves, and to which the shortest paths under its prices are added until none is missing. The prices tell
who is settled: a demand whose paths all cost something can have no more without another having less, since all of them
together use up what there is at these prices. One that is missed is settled by the next level, of the same height.

Where no two paths join the same sites, all grow together until a link is full, whose demands then stand still.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.climbing import first_paths, fitted
from qanat.control.solvers.lifting import lift
from qanat.control.solvers.paths import Floats, Flows, Market, Paths

LEVEL_TOLERANCE = 1e-7
SLACKNESS = 1e-9
"""Those who are settled may have so much less while others are lifted: what rounding may take."""
SETTLING = 1e-6
"""A demand is settled when its part of what the prices sum up to is no less than this."""
MOST_ROUNDS = 100


@dataclass(frozen=True, slots=True)
class Level:
    """How high everybody who rises is lifted, what it cannot exceed, and the proof.

    parts: by demand, of what one level more would cost at the prices of the links.
    """

    height: float
    bound: float
    flows: Floats
    parts: Floats

    @property
    def gap(self) -> float:
        return max(0.0, 1 - self.height / self.bound) if self.bound > 0 else 0.0


def lifted(market: Market, paths: Paths, capacity: Floats, *, floor: Floats, rise: Floats) -> Level | None:
    """Return how high ``rise`` can be lifted while each demand keeps ``floor``; None when the floors cannot be kept.

    ``floor`` and ``rise``: by demand, in the unit of ``capacity``; who rises has no floor. ``paths`` grows.
    """
    floor = floor * (1 - SLACKNESS)
    for _ in range(MOST_ROUNDS):
        found = lift(paths.crossings(np.ones(len(paths.rows))), capacity, owners=paths.demand, floor=floor, rise=rise)
        if found is None:
            return None
        prices = found.prices + 1e-12 * float(found.prices.mean())  # no link is for nothing: a search sees no free ones
        lengths = market.shortest(prices)
        cost = float(lengths @ rise)
        level = Level(
            height=found.height,
            bound=(float(prices @ capacity) - float(lengths @ floor)) / cost,
            flows=found.flows,
            parts=lengths * rise / cost,
        )
        if level.gap <= LEVEL_TOLERANCE or not len(paths.add(*market.paths(lengths < found.worth * (1 - 1e-9)))):
            break
    return level


def max_min_flows(graph: RouteGraph, demands: Sequence[Demand]) -> Flows:
    """Return the flows of max-min fairness of demands that are all joined by some route.

    Value and bound are of the level whose proof leaves most open. Raises ValueError for guarantees.
    """
    if any(demand.guaranteed_bits_per_s for demand in demands):
        raise ValueError("max-min fairness keeps no guarantees: take a finite alpha for demands that have one")
    market = Market(graph, demands)
    weight = np.array([demand.weight for demand in demands])
    cap = np.array([demand.cap_bits_per_s for demand in demands])
    paths, flows = first_paths(market, weight)
    if market.is_forest:
        return _filled(market, paths, weight, cap)
    unit = float(np.min(market.capacity / np.maximum(paths.loads(flows), 1e-300)))
    rates, worst, flows = _level_by_level(market, paths, unit, weight, cap)
    surplus = rates / np.maximum(paths.totals(flows), 1e-300)
    given = np.asarray(flows * unit * np.minimum(1.0, surplus)[paths.demand])
    return Flows(market, paths, fitted(paths, market.capacity, given), worst.height * unit, worst.bound * unit)


def _level_by_level(
    market: Market, paths: Paths, unit: float, weight: Floats, cap: Floats
) -> tuple[Floats, Level, Floats]:
    """Return the rates, the level whose proof leaves most open, and flows that carry the rates, by units."""
    rates, is_open = np.zeros_like(weight), np.ones(len(weight), dtype=bool)
    levels = []
    while is_open.any():
        rise = np.where(is_open, weight, 0.0)
        level = lifted(market, paths, market.capacity / unit, floor=rates, rise=rise)
        assert level is not None, "what was settled can be carried"
        levels.append(level)
        is_sated = is_open & (cap <= weight * level.height * unit)
        settles = is_sated if is_sated.any() else _settled(level, is_open)
        rates = np.where(settles, np.minimum(cap / unit, weight * level.height), rates)
        is_open &= ~settles
    return rates, max(levels, key=lambda level: level.gap), levels[-1].flows


def _settled(level: Level, is_open: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.asarray(is_open & (level.parts >= min(SETTLING, float(level.parts.max()))))


def _filled(market: Market, paths: Paths, weight: Floats, cap: Floats) -> Flows:
    """Let all grow by weight until a link is full or a cap is reached, and again, each over the one path it has."""
    rates, grows = np.zeros_like(weight), np.ones(len(weight), dtype=bool)
    by_path = paths.demand
    while grows.any():
        pull = paths.loads((weight * grows)[by_path])
        left = np.maximum(market.capacity - paths.loads((rates * ~grows)[by_path]), 0.0)
        heights = np.where(pull > 0, left / np.maximum(pull, 1e-300), np.inf)
        height = min(float(heights.min()), float((cap / weight)[grows].min()))
        is_full = np.where(heights <= height * (1 + 1e-12), 0.0, 1.0)
        is_sated = cap <= weight * height * (
            1 + 1e-12
        )  # of caps that are reached together each must be, rounding or not
        stops = grows & ((paths.totals(paths.least_along(is_full)) == 0) | is_sated)
        rates = np.where(stops, np.minimum(cap, weight * height), rates)
        grows &= ~stops
    least = float(np.min(rates / weight))
    return Flows(market, paths, rates[by_path], least, least)
