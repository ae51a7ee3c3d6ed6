"""Linear programs handed to HiGHS: what they give is what scipy gives, and nothing is printed beside."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from qanat.control.solvers.programs import PRESOLVED, greatest


def program(seed: int, *, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return worth, bounds and a matrix of a program that has an end: every column is bounded by some row."""
    draw = np.random.default_rng(seed)
    matrix = draw.random((rows, columns)) * (draw.random((rows, columns)) < 0.2)
    matrix[draw.integers(rows, size=columns), np.arange(columns)] += 0.5
    return draw.random(columns), 1 + 5 * draw.random(rows), matrix


def entries_of(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rows, columns = np.nonzero(matrix)
    return rows, columns, matrix[rows, columns]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (60, 30), (20, 90), (40, PRESOLVED + 1)])
def test_the_optimum_and_its_prices_are_those_of_scipy(seed: int, rows: int, columns: int) -> None:
    worth, bounds, matrix = program(seed, rows=rows, columns=columns)
    told = linprog(-worth, A_ub=matrix, b_ub=bounds)

    found = greatest(worth, bounds, entries_of(matrix))

    assert found is not None
    assert found.values @ worth == pytest.approx(-told.fun, rel=1e-9)
    assert found.prices @ bounds == pytest.approx(-told.fun, rel=1e-9), "prices prove that there is no more"
    assert (matrix @ found.values <= bounds * (1 + 1e-9)).all()
    assert (found.values >= 0).all()
    assert (found.prices @ matrix >= worth * (1 - 1e-9) - 1e-9).all()


def test_entries_of_the_same_place_add_up() -> None:
    worth, bounds, matrix = program(7, rows=12, columns=9)
    rows, columns, values = entries_of(matrix)
    order = np.random.default_rng(7).permutation(2 * len(rows))
    halves = tuple(np.concatenate([part, part])[order] for part in (rows, columns, values / 2))

    found, whole = greatest(worth, bounds, halves), greatest(worth, bounds, (rows, columns, values))

    assert found is not None
    assert whole is not None
    assert found.values @ worth == pytest.approx(whole.values @ worth, rel=1e-12)


def test_rows_and_columns_without_entries_are_kept() -> None:
    found = greatest(np.array([0.0, 2.0]), np.array([9.0, 4.0, 9.0]), (np.array([1]), np.array([1]), np.array([2.0])))

    assert found is not None
    assert found.values.tolist() == [0.0, 2.0]
    assert found.prices.tolist() == [0.0, 1.0, 0.0]


def test_what_cannot_be_kept_is_none_and_what_has_no_end_is_an_error() -> None:
    one = np.array([0]), np.array([0]), np.array([1.0])

    assert greatest(np.ones(1), -np.ones(1), one) is None
    with pytest.raises(ArithmeticError, match="2 columns"):
        greatest(np.ones(2), np.ones(1), one)


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    greatest(*program(1, rows=6, columns=4)[:2], entries_of(program(1, rows=6, columns=4)[2]))

    assert capfd.readouterr() == ("", "")
