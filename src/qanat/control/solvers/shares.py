"""What is asked of the solvers: shares of the network's key for all demands, and whether a guarantee can be given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from qanat.control.graph import Route, RouteGraph
from qanat.control.sharing import MAX_MIN, Admission, Demand, Share, Sharing
from qanat.control.solvers.climbing import first_paths
from qanat.control.solvers.fair import ROUNDING, Ways, fair_flows, fair_mean
from qanat.control.solvers.levels import lifted
from qanat.control.solvers.max_min import max_min_flows
from qanat.control.solvers.paths import Flows, Market
from qanat.control.solvers.refilling import refilled
from qanat.ground.errors import RequestError

TRACE = 1e-6
"""A path that carries less than this part of its demand's rate is not told."""
TRACE_OF_GUARANTEE = 1e-9
"""For a demand with a guarantee, which is not to be missed by what is left out."""


def share(graph: RouteGraph, demands: Sequence[Demand], *, alpha: float = 1.0, tolerance: float = 1e-3) -> Sharing:
    """Return what each demand gets of the links' rates (``graph.width``, in bit/s), over all paths there are.

    alpha: zero or more, or ``MAX_MIN``. tolerance: such a part of the optimum may be missing; what is missing is in the
    answer. Raises UnknownNode; RequestError when the guarantees cannot all be kept; ValueError for an alpha that is
    none, and for guarantees under max-min.

    Half of a link's rate is for each direction: a demand whose keys begin at both ends by turns loads both the same.
    """
    if not alpha >= 0:
        raise ValueError(f"alpha is zero or more, not {alpha}")
    joined = _joined(graph, demands)
    for demand, is_joined in zip(demands, joined, strict=True):
        if demand.guaranteed_bits_per_s and not is_joined:
            raise RequestError(
                f"no route joins the ends of demand {demand.demand_id!r}, which has a guarantee",
                remedy="take the guarantee back, or bring links up again",
            )
    groups = _merged([demand for demand, is_joined in zip(demands, joined, strict=True) if is_joined])
    if not groups:
        return Sharing(alpha, tuple(_nothing(demand) for demand in demands), 0.0, 0.0)
    merged = [one for one, _ in groups]
    ways = _ways_of_guarantees(graph, merged)
    if alpha == MAX_MIN:
        flows = max_min_flows(graph, merged)
    else:
        flows = refilled(graph, merged, fair_flows(graph, merged, alpha=alpha, tolerance=tolerance, ways=ways), alpha)
    shares = _shares(flows, groups)
    told = tuple(shares.get(demand.demand_id, _nothing(demand)) for demand in demands)
    value = flows.value
    if alpha != MAX_MIN:  # of the rates as they are told
        rates = np.array([math.fsum(shares[one.demand_id].rate_bits_per_s for one in members) for _, members in groups])
        value = fair_mean(rates, np.array([one.weight for one in merged]), alpha=alpha)
    return Sharing(alpha, told, value, flows.bound)


def admit(graph: RouteGraph, admitted: Sequence[Demand], demand: Demand) -> Admission:
    """Return whether ``demand`` can be guaranteed its rate while those admitted before keep what they were.

    What is free beyond guarantees is of no account. Raises UnknownNode; ValueError for a demand without a guarantee.
    """
    if not demand.guaranteed_bits_per_s:
        raise ValueError(f"demand {demand.demand_id!r} asks for no guarantee")
    held = [one for one in admitted if one.guaranteed_bits_per_s]
    joined = _joined(graph, [*held, demand])
    if not joined.all():
        return Admission(is_admitted=False, possible_bits_per_s=0.0)
    level, _ = _lifted_guarantees(graph, held, [demand])
    possible = min(level * demand.guaranteed_bits_per_s, demand.cap_bits_per_s)
    return Admission(possible >= demand.guaranteed_bits_per_s * (1 - ROUNDING), possible)


def _nothing(demand: Demand) -> Share:
    return Share(demand.demand_id, 0.0, ())


def _lifted_guarantees(graph: RouteGraph, held: Sequence[Demand], raised: Sequence[Demand]) -> tuple[float, Ways]:
    """Return which multiple of their guarantees ``raised`` can have while ``held`` keep theirs, zero if they cannot,
    and the paths that carry it, of both."""
    market = Market(graph, [*held, *raised])
    guarantees = np.array([one.guaranteed_bits_per_s for one in (*held, *raised)])
    unit = float(guarantees.mean())
    guarantees, capacity = guarantees / unit, market.capacity / unit
    paths, _ = first_paths(market, guarantees)
    rises = np.arange(len(guarantees)) >= len(held)
    floor, rise = np.where(rises, 0.0, guarantees), np.where(rises, guarantees, 0.0)
    level = lifted(market, paths, capacity, floor=floor, rise=rise)
    if level is None:  # over the paths that are known: those that ``held`` need are looked for first
        of_held = lifted(market, paths, capacity, floor=np.zeros_like(floor), rise=floor)
        if of_held is None or of_held.height < 1 - ROUNDING:
            return 0.0, (paths.demand[:0], [])
        level = lifted(market, paths, capacity, floor=floor * min(1.0, of_held.height), rise=rise)
    if level is None:
        return 0.0, (paths.demand[:0], [])
    is_used = level.flows > 0
    return level.height, (paths.demand[is_used], list(compress(paths.rows, is_used)))


def _ways_of_guarantees(graph: RouteGraph, demands: Sequence[Demand]) -> Ways | None:
    """Return paths over which all guarantees can be kept; None where there are none. Raises RequestError where they
    cannot be kept."""
    places = [place for place, demand in enumerate(demands) if demand.guaranteed_bits_per_s]
    if not places:
        return None
    level, (of_demand, rows) = _lifted_guarantees(graph, [], [demands[place] for place in places])
    if level < 1 - ROUNDING:
        raise RequestError(
            f"the guarantees of {len(places)} demands cannot all be kept: {level:.1%} of each could be",
            remedy="lower them or take some back, or bring links up again; what was promised at admission fitted then",
        )
    return np.array(places)[of_demand], rows


def _joined(graph: RouteGraph, demands: Sequence[Demand]) -> NDArray[np.bool_]:
    market = Market(graph, demands)
    return np.isfinite(market.shortest(np.ones_like(market.capacity)))


def _merged(demands: Sequence[Demand]) -> list[tuple[Demand, list[Demand]]]:
    """Return demands that stand for all, with those that each stands for: the same pair, without guarantee and cap."""
    groups: dict[object, list[Demand]] = {}
    for demand in demands:
        is_plain = math.isinf(demand.cap_bits_per_s) and not demand.guaranteed_bits_per_s
        key = (demand.source, demand.target, demand.policy) if is_plain else demand.demand_id
        groups.setdefault(key, []).append(demand)
    return [
        (replace(members[0], weight=math.fsum(one.weight for one in members)), members) for members in groups.values()
    ]


def _shares(flows: Flows, groups: Sequence[tuple[Demand, list[Demand]]]) -> dict[str, Share]:
    """Return the shares by demand; those that are one to the solver share its paths by their weights."""
    routes: list[list[tuple[Route, float]]] = [[] for _ in groups]
    rates = flows.paths.totals(flows.flows)
    for place, rows, rate in zip(flows.paths.demand.tolist(), flows.paths.rows, flows.flows.tolist(), strict=True):
        least = TRACE_OF_GUARANTEE if groups[place][0].guaranteed_bits_per_s else TRACE
        if rate > least * rates[place]:
            routes[place].append((flows.market.route(place, rows), rate))
    shares = {}
    for (whole, members), found in zip(groups, routes, strict=True):
        found.sort(key=lambda one: (-one[1], one[0]))
        for demand in members:
            part = demand.weight / whole.weight
            told = tuple((route, rate * part) for route, rate in found)
            shares[demand.demand_id] = Share(demand.demand_id, math.fsum(rate for _, rate in told), told)
    return shares
