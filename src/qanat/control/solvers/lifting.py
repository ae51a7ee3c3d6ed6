"""The linear program behind max-min fairness and capacity: how high all can be lifted over the ways that are known.

A column is a way, or a tree of ways, of one owner: a demand, or all demands of a source. What each unit over a column
uses of every limit (links; in planning also ports and trunks of switches) is given. HiGHS solves it; the prices of the
limits then tell whether a way that is not among the columns would help.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import coo_array, csc_array, hstack, sparray, vstack

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Lift:
    """flows: over each column. height: how high everybody who rises is lifted. prices: of the limits. worth: by owner,
    what one more unit for him is worth at these prices."""

    flows: Floats
    height: float
    prices: Floats
    worth: Floats


def lift(usage: sparray, capacity: Floats, *, owners: NDArray[np.int64], floor: Floats, rise: Floats) -> Lift | None:
    """Return the highest lift of ``rise`` by which each owner gets his ``floor`` and ``rise`` times the height; None
    where the floors cannot be kept.

    usage: limits x columns, not negative. capacity: of the limits. owners: by column, whose it is. floor, rise: by
    owner, in the unit of ``capacity``.
    """
    count = len(owners)
    gets = coo_array((np.full(count, -1.0), (owners, np.arange(count))), shape=(len(floor), count))
    limits = hstack([usage, csc_array((len(capacity), 1))])
    found = linprog(
        np.concatenate([np.zeros(count), [-1.0]]),
        A_ub=vstack([limits, hstack([gets, coo_array(rise[:, None])])]),
        b_ub=np.concatenate([capacity, -floor]),
        method="highs",
    )
    if found.x is None:
        return None
    prices = np.maximum(-found.ineqlin.marginals, 0.0)
    return Lift(np.maximum(found.x[:-1], 0.0), float(found.x[-1]), prices[: len(capacity)], prices[len(capacity) :])
