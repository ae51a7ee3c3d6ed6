"""How far a count may lie from its mean: the allowance for chance, as a choice of one bound.

A count is a sum of independent 0 or 1 (the events that had one intensity, among ``num_trials`` events of a basis, each
of which had it or not, once the photon numbers are given: Lim et al., PRA 89, 022307 (2014), supplement). Every method
bounds the mean from both sides by the count, and a random sample of known odds from below; each bound fails with odds
``eps_term``.

- Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), theorems 1, 2 and 4: ``sqrt(num_trials / 2 ln(1/eps))``, whatever the
  count.
- Chernoff, multiplicative: a count x has mean E with ``x ln(x/E) + E - x = ln(1/eps)`` at the bound, solved for E, not
  approximated. It follows from the moment bound exp(E (e^t - 1)) of the same sum (Mitzenmacher, Upfal, Probability and
  Computing, theorem 4.4), so it also holds for a sample without replacement (Hoeffding, theorem 4).
- The smaller of the two, for the count and for the rest ``num_trials - x``. All are increasing functions of x, so for a
  given mean each fails in one tail, and the tails are nested: the smaller bound fails no more often than ``eps_term``.
- Gaussian: ``z sqrt(x)``, z the quantile of the normal law for ``eps_term``. It is an approximation, not a bound.
- None: the counts are taken for their means.

Quantities are numbers, or float64 arrays of one shape: then every operation is element by element.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Quantity: TypeAlias = float | NDArray[np.float64]
"""A number, or one per link."""

_NEWTON_STEPS: Final = 60
_RESOLUTION: Final = 4e-16
_SERIES_BELOW: Final = 0.05
_EXPONENTIAL: Final = tuple(1 / math.factorial(n) for n in range(2, 12))
_LOGARITHMIC: Final = tuple((-1) ** n / (n * (n - 1)) for n in range(2, 16))
"""Terms of two series; 0.05 to the power of the last lies below the resolution of float64 there."""


class Method(enum.Enum):
    """How chance is allowed for."""

    HOEFFDING = "Hoeffding"
    CHERNOFF_LITERAL = "Chernoff as it stands"
    CHERNOFF = "Chernoff or Hoeffding, the smaller"
    GAUSSIAN = "Gaussian"
    NONE = "no fluctuation"


@dataclass(frozen=True, slots=True)
class Deviation:
    """The allowance for chance: each of the proof's error terms fails with odds ``eps_term``.

    sampling_power: the term for random sampling, and the fewest errors it is used from, are asked for
    ``eps_term ** sampling_power``. Published lengths have 1; keys are made with 2: where a bound on the phase errors
    fails with odds p, the state lies within a purified distance of sqrt(p) of one for which it holds.
    """

    eps_term: float
    method: Method = Method.HOEFFDING
    sampling_power: float = 1.0

    def hoeffding(self, num_trials: Quantity) -> Any:
        """How far a sum of ``num_trials`` independent 0 or 1 (or a sample without replacement) strays, one-sided."""
        return np.sqrt(np.asarray(num_trials) / 2 * self._log_odds)

    def mean_lower(self, count: Quantity, *, num_trials: Quantity) -> Any:
        """Bound the mean of ``count``, of ``num_trials``, from below."""
        match self.method:
            case Method.HOEFFDING:
                return count - self.hoeffding(num_trials)
            case Method.CHERNOFF_LITERAL:
                return mean_of_count(count, self._log_odds, upper=False)
            case Method.CHERNOFF:
                rest = num_trials - mean_of_count(num_trials - count, self._log_odds, upper=True)
                literal = mean_of_count(count, self._log_odds, upper=False)
                return np.maximum(np.maximum(literal, rest), count - self.hoeffding(num_trials))
            case Method.GAUSSIAN:
                return count - self._quantile * np.sqrt(count)
        return count

    def mean_upper(self, count: Quantity, *, num_trials: Quantity) -> Any:
        """Bound the mean of ``count``, of ``num_trials``, from above."""
        match self.method:
            case Method.HOEFFDING:
                return count + self.hoeffding(num_trials)
            case Method.CHERNOFF_LITERAL:
                return mean_of_count(count, self._log_odds, upper=True)
            case Method.CHERNOFF:
                rest = num_trials - mean_of_count(num_trials - count, self._log_odds, upper=False)
                literal = mean_of_count(count, self._log_odds, upper=True)
                return np.minimum(np.minimum(literal, rest), count + self.hoeffding(num_trials))
            case Method.GAUSSIAN:
                return count + self._quantile * np.sqrt(count)
        return count

    def sample_lower(self, num_events: Quantity, *, share: Quantity) -> Any:
        """Bound from below how many of ``num_events`` are in a random sample that takes each with odds ``share``."""
        mean = np.asarray(num_events * share)
        match self.method:
            case Method.HOEFFDING:
                bound = mean - self.hoeffding(num_events)
            case Method.CHERNOFF_LITERAL:
                bound = count_of_mean(mean, self._log_odds, upper=False)
            case Method.CHERNOFF:
                rest = num_events - count_of_mean(num_events - mean, self._log_odds, upper=True)
                bound = np.maximum(rest, count_of_mean(mean, self._log_odds, upper=False))
                bound = np.maximum(bound, mean - self.hoeffding(num_events))
            case Method.GAUSSIAN:
                bound = mean - self._quantile * np.sqrt(np.maximum(0.0, mean * (1 - share)))
            case Method.NONE:
                bound = mean
        return np.maximum(0.0, bound)

    def random_sampling(self, *, error_rate: Quantity, num_key: Quantity, num_test: Quantity) -> Any:
        """How much the error rate of ``num_key`` events may exceed that seen in ``num_test``: gamma of the paper.

        The same for every method but none, for which it is 0. The two numbers must be positive.
        """
        spread = np.maximum(0.0, error_rate * (1 - np.asarray(error_rate)))
        if self.method is Method.NONE:
            return 0.0 * spread
        size = (num_key + np.asarray(num_test)) / (num_key * np.asarray(num_test))
        safe = np.where(spread > 0, spread, 0.25)
        bits = np.log2(np.maximum(1.0, size / safe / self.eps_term ** (2 * self.sampling_power)))
        return np.sqrt(size * spread / math.log(2) * bits)

    def min_errors(self) -> float:
        """The fewest errors from which ``random_sampling`` is used.

        It is a normal approximation, and allows too little when almost no error was seen: none among n test events
        still leaves about log2(1/eps) errors in as many key events.
        """
        return 0.0 if self.method is Method.NONE else self.sampling_power * math.log2(1 / self.eps_term)

    @property
    def _log_odds(self) -> float:
        return math.log(1 / self.eps_term)

    @property
    def _quantile(self) -> float:
        return -NormalDist().inv_cdf(self.eps_term) if self.eps_term < 0.5 else 0.0


def mean_of_count(count: Quantity, log_odds: float, *, upper: bool) -> Any:
    """Solve ``x ln(x/E) + E - x = log_odds`` for the mean E above or below the count x (zero or more).

    With E = x e^w: e^w - 1 - w = log_odds / x. A count of 0 has the upper bound log_odds and the lower bound 0.
    """
    x = np.asarray(count, dtype=np.float64)
    gap = log_odds / np.where(x > 0, x, 1.0)
    root = np.sqrt(2 * gap)
    w = _newton(np.log1p(gap + root) if upper else -gap - root, gap, _excess_of_mean)
    return np.where(x > 0, x * np.exp(w), log_odds if upper else 0.0)


def count_of_mean(mean: Quantity, log_odds: float, *, upper: bool) -> Any:
    """Solve ``x ln(x/E) + E - x = log_odds`` for the count x above or below the mean E (zero or more).

    With x = E (1 + d): (1 + d) ln(1 + d) - d = log_odds / E. Below, there is no solution for a mean of log_odds or
    less: every count is possible then, and the bound is 0.
    """
    e = np.asarray(mean, dtype=np.float64)
    gap = log_odds / np.where(e > 0, e, 1.0)
    solvable = (e > 0) & (upper | (gap < 1))
    gap = np.where(solvable, gap, 0.5)
    if upper:
        start = gap / 3 + np.sqrt(gap**2 / 9 + 2 * gap)
    else:
        start = np.maximum(-np.sqrt(2 * gap), (1 - gap) ** 2 / 4 - 1)
    return np.where(solvable, e * (1 + _newton(start, gap, _excess_of_count)), 0.0)


def _newton(start: Any, gap: Any, excess: Callable[[Any], tuple[Any, Any]]) -> Any:
    """Solve excess(y) = gap. The functions are convex and ``start`` lies beyond the root, so no step overshoots."""
    y = start
    for _ in range(_NEWTON_STEPS):
        value, slope = excess(y)
        flat = slope == 0
        new = y - np.where(flat, 0.0, (value - gap) / np.where(flat, 1.0, slope))
        if np.all(np.abs(new - y) <= _RESOLUTION * np.abs(new)):
            return new
        y = new
    return y


def _excess_of_mean(w: Any) -> tuple[Any, Any]:
    """e^w - 1 - w and its slope."""
    slope = np.expm1(w)
    return np.where(np.abs(w) < _SERIES_BELOW, _series(w, _EXPONENTIAL), slope - w), slope


def _excess_of_count(d: Any) -> tuple[Any, Any]:
    """(1 + d) ln(1 + d) - d and its slope."""
    slope = np.log1p(d)
    return np.where(np.abs(d) < _SERIES_BELOW, _series(d, _LOGARITHMIC), (1 + d) * slope - d), slope


def _series(y: Any, coefficients: tuple[float, ...]) -> Any:
    """Return y^2 (c0 + c1 y + ...): near 0 the closed forms would cancel."""
    total = 0.0 * y
    for coefficient in reversed(coefficients):
        total = coefficient + y * total
    return total * y * y
