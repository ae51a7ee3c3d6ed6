"""What lies idle though somebody could have it: given out, and nobody has less for it.

The fair mean of a large alpha is that of those who have least, and where one has little whatever is done, because of a
cap or of a thin link, it is next to blind for the others: shares that leave half of a network idle may miss a
thousandth of the optimum. But who has more while nobody has less makes any fair mean larger, so nothing that is free is
left over: it is divided by an alpha that sees all, beside what they have already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from qanat.control.graph import RouteGraph
from qanat.control.sharing import Demand
from qanat.control.solvers.arrays import Bools, Floats
from qanat.control.solvers.fair import fair_flows, fair_mean
from qanat.control.solvers.paths import Flows

SEES_ALL: Final = 2.0
"""Up to this alpha the fair mean sees what everybody has."""
FREE: Final = 0.01
"""A way is free where each of its links has at least such a part of its capacity left."""
KEPT: Final = 1 - 1e-4
"""So much of what all have they keep: an interior point needs room to move in."""
TOLERANCE: Final = 1e-3
AT_CAP: Final = 1 - 1e-3


def refilled(graph: RouteGraph, demands: Sequence[Demand], flows: Flows, alpha: float) -> Flows:
    """Return flows that give out what ``flows`` leave free; those themselves where nothing is, and where no more could
    be found without taking from somebody.

    demands: all joined by some route, as in ``fair_flows``; ``flows`` keep their guarantees.
    """
    rates = flows.paths.totals(flows.flows)
    if alpha <= SEES_ALL or not _is_free(demands, flows, rates):
        return flows
    floors = np.maximum(rates * KEPT, [demand.guaranteed_bits_per_s for demand in demands])
    weight = np.array([demand.weight for demand in demands])
    has_all = _has_all(demands, rates)
    # who has all of his cap weighs so much that what he has is like what the others have, or he would blind alpha 2 too
    usual = float(np.median((rates / weight)[~has_all]))
    kept = [
        replace(demand, guaranteed_bits_per_s=min(floor, demand.cap_bits_per_s), weight=own)
        for demand, floor, own in zip(
            demands, floors.tolist(), np.where(has_all, rates / usual, weight).tolist(), strict=True
        )
    ]
    with contextlib.suppress(ArithmeticError):
        used = np.flatnonzero(flows.flows > 0)
        ways = flows.paths.demand[used], [flows.paths.rows[place] for place in used]
        more = fair_flows(graph, kept, alpha=SEES_ALL, tolerance=TOLERANCE, ways=ways)
        found = more.paths.totals(more.flows)
        value = fair_mean(found, weight, alpha=alpha)
        if (found >= floors * (1 - 1e-6)).all() and found.sum() > rates.sum():
            return replace(more, value=value, bound=flows.bound)
    return flows


def _is_free(demands: Sequence[Demand], flows: Flows, rates: Floats) -> bool:
    """Return whether somebody who is below his cap could have more over links that are not full."""
    is_full = flows.paths.loads(flows.flows) > (1 - FREE) * flows.market.capacity
    return bool((flows.market.shortest(is_full.astype(float)) < 1)[~_has_all(demands, rates)].any())


def _has_all(demands: Sequence[Demand], rates: Floats) -> Bools:
    """Return who has all of his cap."""
    return np.asarray(rates >= AT_CAP * np.array([demand.cap_bits_per_s for demand in demands]))
