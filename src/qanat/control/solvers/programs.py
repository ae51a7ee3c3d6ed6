"""Linear programs, handed to HiGHS as they are.

Max-min shares solve some hundred programs of a few dozen columns each. With so small ones, what stands between a caller
and the solver takes longer than the solver itself: docs/decisions/0014 has the figures.
"""

from __future__ import annotations

from dataclasses import dataclass

import highspy
import numpy as np

from qanat.control.solvers.arrays import Entries, Floats, Ints

PRESOLVED = 3000
"""Programs of fewer columns are solved sooner as they are."""


@dataclass(frozen=True, slots=True)
class Optimum:
    """values: by column. prices: by row, what one more unit of its bound is worth; not negative."""

    values: Floats
    prices: Floats


def greatest(worth: Floats, bounds: Floats, entries: Entries) -> Optimum | None:
    """Return what maximises ``worth`` x with x not negative and no row of ``entries`` times x above its bound; None
    where nothing keeps the bounds, or the solver finds nothing that does, as rounding has it.

    worth: by column. bounds: by row. entries: those of the same place add up. Raises ArithmeticError for what has no
    end.
    """
    starts, rows, values = _by_column(entries, len(bounds), len(worth))
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(worth), len(bounds)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = worth
    model.col_lower_, model.col_upper_ = np.zeros(len(worth)), np.full(len(worth), highspy.kHighsInf)
    model.row_lower_, model.row_upper_ = np.full(len(bounds), -highspy.kHighsInf), bounds
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = starts, rows, values
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("presolve", "on" if len(worth) > PRESOLVED else "off")
    solver.passModel(model)
    solver.run()
    status = solver.getModelStatus()
    if status == highspy.HighsModelStatus.kUnbounded:
        raise ArithmeticError(f"a linear program of {len(worth)} columns has no end: its bounds leave a way out")
    if status != highspy.HighsModelStatus.kOptimal:
        return None
    found = solver.getSolution()
    return Optimum(np.array(found.col_value), np.maximum(np.array(found.row_dual), 0.0))


def _by_column(entries: Entries, num_rows: int, num_columns: int) -> tuple[Ints, Ints, Floats]:
    """Return where each column starts, and the rows and values of all columns, one after the other."""
    rows, columns, values = entries
    places = columns * num_rows + rows
    order = np.argsort(places, kind="stable")
    places = places[order]
    firsts = np.flatnonzero(np.diff(places, prepend=-1))
    places = places[firsts]
    summed = np.add.reduceat(values[order], firsts) if len(firsts) else np.zeros(0)
    return np.searchsorted(places, num_rows * np.arange(num_columns + 1)), places % num_rows, summed
