"""Shares of those whom the fair mean does not see: settled by the same objective among themselves.

With an alpha above 1 the fair mean is that of those who have least, and where one has little whatever is done, because
of a cap or of a thin link, it is next to blind for all others: shares that leave half of a network idle may miss a
thousandth of the optimum. In the optimum itself nothing lies idle, and what holds for all holds for any part beside
what the others have. So those whom the mean sees keep what they have, on the ways that they have it, and the rest is
settled anew over all that is left, by the mean of the rest; then the rest of those; until all have been seen.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csc_array, eye_array, hstack

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.arrays import Bools, Floats
from qanat.control.solvers.climbing import fitted
from qanat.control.solvers.fair import NEARLY_MAX_MIN, fair_flows, fair_mean
from qanat.control.solvers.paths import Flows, Paths

SEES_ALL: Final = 1.0
"""Up to this alpha the fair mean sees what everybody has, as much of it as his weight."""
UNSEEN: Final = 0.05
"""Who together make out no more of the mean's sum than this are not seen: a thousandth of it is 2 % of theirs."""
MOST_ROUNDS: Final = 8
MANY: Final = 1000
ROUNDS_OF_MANY: Final = 3
"""Among so many demands a round takes seconds."""
FREE: Final = 0.01
"""A way is free where each of its links has at least such a part of its capacity left."""
LEAST_LEFT: Final = 1e-5
"""Such a part of each link's capacity counts as left while the rest is settled: a link of none would be no link."""
FAR_BELOW: Final = 2.0
MOST_WAYS: Final = 2500
ROUNDING: Final = 1e-7
HELPS: Final = 1e-6
TOLERANCE: Final = 1e-3
AT_CAP: Final = 1 - 1e-3


def refilled(graph: RouteGraph, demands: Sequence[Demand], flows: Flows, alpha: float) -> Flows:
    """Return flows in which also those have their fair shares whom the mean of ``flows`` does not see.

    demands: all joined by some route, as in ``fair_flows``; ``flows`` keep their guarantees.
    """
    weight = np.array([demand.weight for demand in demands])
    if alpha >= NEARLY_MAX_MIN and flows.value < (1 - TOLERANCE) * flows.bound:
        flows = _without_surplus(graph, demands, flows, alpha)
    rest = np.ones(len(demands), dtype=bool)
    rounds = MOST_ROUNDS if len(demands) < MANY else ROUNDS_OF_MANY
    for _ in range(rounds if SEES_ALL < alpha < NEARLY_MAX_MIN else 0):
        rates = flows.paths.totals(flows.flows)
        rest = _unseen(rates, weight, rest, alpha) & ~_has_all(demands, rates)
        if not rest.any():
            break
        flows = _settled(graph, demands, flows, rest, alpha)
    for _ in range(rounds if alpha > SEES_ALL else 0):
        free = _have_free_ways(flows, demands)
        better = _settled(graph, demands, flows, free, alpha) if free.any() else flows
        if better is flows:
            break
        flows = better
    if (alpha > SEES_ALL or len(demands) < MANY) and len(flows.paths.rows) <= MOST_WAYS:
        flows = _topped_up(demands, _lifted_together(demands, flows))
    return replace(flows, value=fair_mean(flows.paths.totals(flows.flows), weight, alpha=alpha))


def _without_surplus(graph: RouteGraph, demands: Sequence[Demand], flows: Flows, alpha: float) -> Flows:
    """Return better flows than what lifts all alike beside guarantees, if there are any: those whose guarantee is more
    than the mean have no more than that."""
    paths, weight = flows.paths, np.array([demand.weight for demand in demands])
    floor = np.array([demand.guaranteed_bits_per_s for demand in demands])
    is_rich = floor > weight * flows.value
    if not is_rich.any() or is_rich.all():
        return flows
    part = np.where(is_rich, floor / paths.totals(flows.flows), 1.0)
    found = _settled(graph, demands, replace(flows, flows=flows.flows * part[paths.demand]), ~is_rich, alpha)
    value = fair_mean(found.paths.totals(found.flows), weight, alpha=alpha)
    return replace(found, value=value) if value > flows.value else flows


def _settled(graph: RouteGraph, demands: Sequence[Demand], flows: Flows, rest: Bools, alpha: float) -> Flows:
    """Return flows in which the mean of the ``rest`` is at its optimum and all others have what they had; ``flows``
    where no better ones could be found."""
    paths, capacity = flows.paths, flows.market.capacity
    places = np.flatnonzero(rest)
    is_others = ~rest[paths.demand]
    left = copy.copy(graph)
    left.width = list(graph.width)
    others_load = paths.loads(np.where(is_others, flows.flows, 0.0))
    true_left = np.maximum(capacity - others_load, 0.0)
    for link, width in flows.market.by_link(np.maximum(true_left, LEAST_LEFT * capacity)):
        left.width[link] = width
    before = paths.totals(flows.flows)[places]
    asking: list[Demand] = [
        replace(demands[place], guaranteed_bits_per_s=0.0)  # easier without, and it is looked whether it is kept
        if demands[place].guaranteed_bits_per_s < rate / FAR_BELOW
        else demands[place]
        for place, rate in zip(places.tolist(), before.tolist(), strict=True)
    ]
    ways = None
    if any(demand.guaranteed_bits_per_s for demand in asking):
        own = np.flatnonzero((flows.flows > 0) & ~is_others)
        ways = np.searchsorted(places, paths.demand[own]), [paths.rows[place] for place in own]
    with contextlib.suppress(ArithmeticError):
        found = fair_flows(left, asking, alpha=alpha, tolerance=TOLERANCE, ways=ways)
        fitting = fitted(found.paths, true_left, found.flows)
        after = found.paths.totals(fitting)
        weight = np.array([demand.weight for demand in asking])
        floor = np.array([demands[place].guaranteed_bits_per_s for place in places.tolist()])
        is_better = fair_mean(after, weight, alpha=alpha) > fair_mean(before, weight, alpha=alpha)
        if is_better and (after >= floor * (1 - 1e-6)).all():
            kept = np.flatnonzero((flows.flows > 0) & is_others)
            both = Paths(paths.num_rows, len(demands))
            both.add(paths.demand[kept], [paths.rows[place] for place in kept])
            both.add(places[found.paths.demand], found.paths.rows)
            return replace(flows, paths=both, flows=np.concatenate([flows.flows[kept], fitting]))
    return flows


def _lifted_together(demands: Sequence[Demand], flows: Flows) -> Flows:
    """Return flows in which all who are below their caps have more by one factor, as much as the links and caps let
    them: what is then left to be given out makes nobody of several alike the first."""
    paths, cap = flows.paths, np.array([demand.cap_bits_per_s for demand in demands])
    rates, may_have_more = paths.totals(flows.flows), ~_has_all(demands, paths.totals(flows.flows))
    lifted = np.where(may_have_more[paths.demand], flows.flows, 0.0)
    load = paths.loads(lifted)
    room = flows.market.capacity - paths.loads(flows.flows - lifted)
    is_used, has_some = load > 0, may_have_more & (rates > 0)
    if not is_used.any():
        return flows
    factor = min(float((room[is_used] / load[is_used]).min()), float((cap[has_some] / rates[has_some]).min()))
    return replace(flows, flows=flows.flows + max(0.0, factor - 1) * lifted)


def _topped_up(demands: Sequence[Demand], flows: Flows) -> Flows:
    """Return flows in which nobody has less, and nothing lies idle that only other ways of those who were settled keep
    from the rest: by a linear program, whose prices tell which ways are missing."""
    market, paths = flows.market, Paths(flows.paths.num_rows, flows.paths.num_demands)
    used = np.flatnonzero(flows.flows > 0)
    paths.add(flows.paths.demand[used], [flows.paths.rows[place] for place in used])
    rates = paths.totals(flows.flows[used])
    room = np.array([demand.cap_bits_per_s for demand in demands]) / rates - 1
    best = flows
    for _ in range(MOST_ROUNDS):
        num_ways, num_demands = len(paths.rows), len(demands)
        # unknown: each way's flow by its owner's rate, then by how much of that rate more everybody has
        loads = paths.crossings(rates[paths.demand]).multiply(1 / market.capacity[:, None])
        totals = csc_array((np.ones(num_ways), (paths.demand, np.arange(num_ways))), shape=(num_demands, num_ways))
        found = linprog(
            np.concatenate([np.zeros(num_ways), np.full(num_demands, -1.0)]),
            A_ub=hstack([loads, csc_array((len(market.capacity), num_demands))], format="csc"),
            b_ub=np.ones(len(market.capacity)),
            A_eq=hstack([totals, -eye_array(num_demands)], format="csc"),
            b_eq=np.full(num_demands, 1 - ROUNDING),
            bounds=[(0, None)] * num_ways + [(0, max(0.0, one) + ROUNDING) for one in room.tolist()],
            method="highs",
        )
        if found.x is None:
            break
        each = np.maximum(found.x[:num_ways], 0.0) * rates[paths.demand]
        best = replace(flows, paths=paths, flows=fitted(paths, market.capacity, each))
        prices = np.maximum(-found.ineqlin.marginals, 0.0) / market.capacity
        lengths = market.shortest(np.maximum(prices, 1e-15 * max(float(prices.max()), 1e-300)))
        would_help = lengths * rates < found.eqlin.marginals * (1 - HELPS)
        fresh = paths.add(*market.paths(would_help)) if would_help.any() else ()
        if not len(fresh):
            break
        best = replace(best, flows=np.concatenate([best.flows, np.zeros(len(fresh))]))
    gained = float(best.paths.totals(best.flows).sum()) / float(flows.paths.totals(flows.flows).sum()) - 1
    return best if gained > HELPS else flows  # who are alike stay so where it would be for roundings alone


def _unseen(rates: Floats, weight: Floats, among: Bools, alpha: float) -> Bools:
    """Return who of ``among`` is next to nothing in the sum that the fair mean of all of these goes by."""
    parts = np.zeros(len(rates))
    each = (rates / weight)[among]
    if len(each):
        parts[among] = weight[among] * (each / each.min()) ** (1 - alpha)
    order = np.argsort(parts)
    unseen = np.zeros(len(rates), dtype=bool)
    unseen[order] = np.cumsum(parts[order]) <= UNSEEN * parts.sum()
    return unseen & among


def _have_free_ways(flows: Flows, demands: Sequence[Demand]) -> Bools:
    """Return who is below his cap and could have more over links that are not full."""
    is_full = flows.paths.loads(flows.flows) > (1 - FREE) * flows.market.capacity
    has_free_way = flows.market.shortest(is_full.astype(float)) < 1
    return np.asarray(has_free_way & ~_has_all(demands, flows.paths.totals(flows.flows)))


def _has_all(demands: Sequence[Demand], rates: Floats) -> Bools:
    """Return who has all of his cap."""
    return np.asarray(rates >= AT_CAP * np.array([demand.cap_bits_per_s for demand in demands]))
