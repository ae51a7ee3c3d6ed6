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
from scipy.sparse import csc_array, sparray

from qanat.control.solvers.arrays import Floats

PRESOLVED = 3000
"""Programs of fewer columns are solved sooner as they are."""


@dataclass(frozen=True, slots=True)
class Lift:
    """flows: over each column. height: how high everybody who rises is lifted. prices: of the limits. worth: by owner,
    what one more unit for him is worth at these prices."""

    flows: Floats
    height: float
    prices: Floats
    worth: Floats


def lift(
    usage: sparray,
    capacity: Floats,
    *,
    owners: NDArray[np.int64],
    floor: Floats,
    rise: Floats,
    with_all_limits: bool = False,
) -> Lift | None:
    """Return the highest lift of ``rise`` by which each owner gets his ``floor`` and ``rise`` times the height; None
    where the floors cannot be kept.

    usage: limits x columns, not negative. capacity: of the limits. owners: by column, whose it is. floor, rise: by
    owner, in the unit of ``capacity``. with_all_limits: of limits that do alike the solver chooses which has the price,
    where else it is the first.
    """
    ways = np.bincount(owners, minlength=len(floor))
    is_only = ways[owners] == 1  # who has one way alone takes it: it need not be looked for
    alone = owners[is_only]
    used = usage.tocoo()
    links, columns, uses = used.row, used.col, used.data
    of_only = is_only[columns]
    by_only = owners[columns[of_only]], uses[of_only], links[of_only]
    pull, held = (
        np.asarray(np.bincount(by_only[2], by_only[1] * each[by_only[0]], len(capacity)), dtype=np.float64)
        for each in (rise, floor)
    )
    owner_rows = np.flatnonzero(ways != 1)
    count = int((~is_only).sum())
    place = np.cumsum(~is_only) - 1
    limits = np.ones(len(capacity), dtype=np.bool_)
    if not with_all_limits:
        limits = _that_matter(capacity - held, pull, links[~of_only])
    row_of_limit, row_of = np.cumsum(limits) - 1, int(limits.sum()) + np.cumsum(ways != 1) - 1
    limit_rows = np.flatnonzero(limits)
    pulled = np.flatnonzero(limits & (pull > 0))
    entries = [
        (row_of_limit[links[~of_only]], place[columns[~of_only]], uses[~of_only]),
        (row_of_limit[pulled], np.full(len(pulled), count), pull[pulled]),
        (row_of[owners[~is_only]], np.arange(count), np.full(count, -1.0)),
        (row_of[owner_rows], np.full(len(owner_rows), count), rise[owner_rows]),
    ]
    rows, places, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    found = linprog(
        np.concatenate([np.zeros(count), [-1.0]]),
        A_ub=csc_array((values, (rows, places)), shape=(len(limit_rows) + len(owner_rows), count + 1)),
        b_ub=np.concatenate([(capacity - held)[limits], -floor[owner_rows]]),
        method="highs",
        options={"presolve": count > PRESOLVED},
    )
    if found.x is None:
        return None
    height = float(found.x[-1])
    duals = np.maximum(-found.ineqlin.marginals, 0.0)
    prices, worth = np.zeros(len(capacity)), np.zeros(len(floor))
    prices[limits], worth[owner_rows] = duals[: len(limit_rows)], duals[len(limit_rows) :]
    worth += np.bincount(by_only[0], by_only[1] * prices[by_only[2]], len(floor))
    flows = np.zeros(len(owners))
    flows[~is_only] = np.maximum(found.x[:-1], 0.0)
    flows[is_only] = floor[alone] + rise[alone] * height
    return Lift(flows, height, prices, worth)


def _that_matter(left: Floats, pull: Floats, shared: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which limits the program needs: those of ways that can be chosen (``shared``), and, of those that only
    bound the height, the one that bounds it most."""
    matters = left < 0  # whether that is rounding is the solver's to say
    matters[shared] = True
    heights = np.where((pull > 0) & ~matters, left / np.maximum(pull, 1e-300), np.inf)
    first = int(np.argmin(heights))
    matters[first] |= bool(np.isfinite(heights[first]))
    return np.asarray(matters, dtype=np.bool_)
