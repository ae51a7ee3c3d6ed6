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
from scipy.sparse import coo_array, hstack, sparray, vstack

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
    ways = np.bincount(owners, minlength=len(floor))
    is_only = ways[owners] == 1  # who has one way alone takes it: it need not be looked for
    limits, alone = usage.tocsc(), owners[is_only]
    only = limits[:, is_only]
    chosen, owner_rows = limits[:, ~is_only], np.flatnonzero(ways != 1)
    count = chosen.shape[1]
    row_of = np.cumsum(ways != 1) - 1
    gets = coo_array(
        (np.full(count, -1.0), (row_of[owners[~is_only]], np.arange(count))), shape=(len(owner_rows), count)
    )
    found = linprog(
        np.concatenate([np.zeros(count), [-1.0]]),
        A_ub=vstack(
            [
                hstack([chosen, coo_array((only @ rise[alone])[:, None])]),
                hstack([gets, coo_array(rise[owner_rows][:, None])]),
            ]
        ),
        b_ub=np.concatenate([capacity - only @ floor[alone], -floor[owner_rows]]),
        method="highs",
    )
    if found.x is None:
        return None
    height = float(found.x[-1])
    duals = np.maximum(-found.ineqlin.marginals, 0.0)
    prices, worth = duals[: len(capacity)], np.zeros(len(floor))
    worth[owner_rows] = duals[len(capacity) :]
    worth[alone] = only.T @ prices
    flows = np.zeros(len(owners))
    flows[~is_only] = np.maximum(found.x[:-1], 0.0)
    flows[is_only] = floor[alone] + rise[alone] * height
    return Lift(flows, height, prices, worth)
