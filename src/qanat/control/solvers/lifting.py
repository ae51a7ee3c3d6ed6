"""The linear program behind max-min fairness and capacity: how high all can be lifted over the ways that are known.

A column is a way, or a tree of ways, of one owner: a demand, or all demands of a source. What each unit over a column
uses of every limit (links; in planning also ports and trunks of switches) is given. HiGHS solves it; the prices of the
limits then tell whether a way that is not among the columns would help.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.control.solvers.arrays import Entries, Floats, Ints
from qanat.control.solvers.programs import greatest


@dataclass(frozen=True, slots=True)
class Lift:
    """flows: over each column. height: how high everybody who rises is lifted. prices: of the limits. worth: by owner,
    what one more unit for him is worth at these prices."""

    flows: Floats
    height: float
    prices: Floats
    worth: Floats


def lift(
    usage: Entries,
    capacity: Floats,
    *,
    owners: Ints,
    floor: Floats,
    rise: Floats,
    with_all_limits: bool = False,
) -> Lift | None:
    """Return the highest lift of ``rise`` by which each owner gets his ``floor`` and ``rise`` times the height; None
    where the floors cannot be kept.

    usage: limits, columns, and what a unit over the column uses of the limit, not negative; those of the same place
    add up. capacity: of the limits. owners: by column, whose it is. floor, rise: by owner, in the unit of ``capacity``.
    with_all_limits: of limits that do alike the solver chooses which has the price, where else it is the first.
    """
    ways = np.bincount(owners, minlength=len(floor))
    is_only = ways[owners] == 1  # who has one way alone takes it: it need not be looked for
    links, columns, uses = usage
    pull, held = (_loads(usage, np.where(is_only, each[owners], 0.0), len(capacity)) for each in (rise, floor))
    is_choice = ~is_only[columns]
    choices = links[is_choice], columns[is_choice], uses[is_choice]
    owner_rows = np.flatnonzero(ways != 1)
    count = int((~is_only).sum())
    place = np.cumsum(~is_only) - 1
    limits = np.ones(len(capacity), dtype=np.bool_)
    if not with_all_limits:
        limits = _that_matter(capacity - held, pull, choices[0])
    row_of_limit, row_of = np.cumsum(limits) - 1, int(limits.sum()) + np.cumsum(ways != 1) - 1
    limit_rows = np.flatnonzero(limits)
    pulled = np.flatnonzero(limits & (pull > 0))
    entries = [
        (row_of_limit[choices[0]], place[choices[1]], choices[2]),
        (row_of_limit[pulled], np.full(len(pulled), count), pull[pulled]),
        (row_of[owners[~is_only]], np.arange(count), np.full(count, -1.0)),
        (row_of[owner_rows], np.full(len(owner_rows), count), rise[owner_rows]),
    ]
    rows, places, values = (np.concatenate(parts) for parts in zip(*entries, strict=True))
    worth_of_height = np.concatenate([np.zeros(count), [1.0]])
    bounds = np.concatenate([(capacity - held)[limits], -floor[owner_rows]])
    if (found := greatest(worth_of_height, bounds, (rows, places, values))) is None:
        return None
    height = float(found.values[-1])
    prices, worth = np.zeros(len(capacity)), np.zeros(len(floor))
    prices[limits], worth[owner_rows] = found.prices[: len(limit_rows)], found.prices[len(limit_rows) :]
    costs = np.bincount(columns, uses * prices[links], len(owners))
    worth[owners[is_only]] += costs[is_only]
    flows = np.zeros(len(owners))
    flows[~is_only] = np.maximum(found.values[:-1], 0.0)
    flows[is_only] = (floor + rise * height)[owners[is_only]]
    return Lift(flows, height, prices, worth)


def _loads(usage: Entries, given: Floats, num_limits: int) -> Floats:
    """Return what is used of each limit when each column has what is ``given`` to it."""
    limits, columns, uses = usage
    return np.asarray(np.bincount(limits, uses * given[columns], num_limits), dtype=np.float64)


def _that_matter(left: Floats, pull: Floats, shared: Ints) -> NDArray[np.bool_]:
    """Return which limits the program needs: those of ways that can be chosen (``shared``), and, of those that only
    bound the height, the one that bounds it most."""
    matters = left < 0  # whether that is rounding is the solver's to say
    matters[shared] = True
    heights = np.where((pull > 0) & ~matters, left / np.maximum(pull, 1e-300), np.inf)
    first = int(np.argmin(heights))
    matters[first] |= bool(np.isfinite(heights[first]))
    return np.asarray(matters, dtype=np.bool_)
