"""How many clicks a detector with a hold-off gives in a window: the exact law, draws from it, and the way back.

A detector that fires with odds p in each live slot, and is dead for D slots after a click, gives its n-th click in slot
(sum of n geometric gaps) + (n - 1) D. The sum of gaps is at most m exactly when m trials hold n successes, so

    P(count >= n) = P(Binomial(N - (n - 1) D, p) >= n) = I_p(n, N - (n - 1) D - n + 1)

for a window of N slots that begins live, with the regularized incomplete beta function I (Abramowitz and Stegun,
26.5.24). Nothing is approximated. Tests compare the law with detectors drawn click by click.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]


def count_survival(counts: Counts, *, num_slots: int, p_fire: Floats, dead_slots: int) -> Floats:
    """Return the odds of at least ``counts`` clicks in a window of ``num_slots`` that begins live.

    counts: int64; p_fire: float64, odds of firing in a live slot; shapes that broadcast. Returns float64.
    """
    trials = num_slots - (counts - 1) * dead_slots
    possible = (trials >= counts) & (counts > 0)
    n = np.where(possible, counts, 1)
    odds = betainc(n, np.where(possible, trials - n + 1, 1), p_fire)
    return np.asarray(np.where(counts <= 0, 1.0, np.where(possible, odds, 0.0)), dtype=np.float64)


def draw_counts(generator: np.random.Generator, *, num_slots: int, p_fire: Floats, dead_slots: int) -> Counts:
    """Draw the clicks of detectors in one window, each from its exact law; int64, the shape of ``p_fire``.

    The largest n with P(count >= n) >= u, for a uniform u, by bisection: 20 evaluations of the law.
    """
    uniform = 1.0 - generator.random(p_fire.shape)  # in (0, 1]: n = 0 always fits
    low = np.zeros(p_fire.shape, dtype=np.int64)
    high = np.full(p_fire.shape, num_slots // (dead_slots + 1) + 2, dtype=np.int64)
    low, high = _bracket(low, high, uniform, num_slots=num_slots, p_fire=p_fire, dead_slots=dead_slots)
    while (high - low > 1).any():
        middle = (low + high) // 2
        fits = count_survival(middle, num_slots=num_slots, p_fire=p_fire, dead_slots=dead_slots) >= uniform
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return low


def _bracket(
    low: Counts, high: Counts, uniform: Floats, *, num_slots: int, p_fire: Floats, dead_slots: int
) -> tuple[Counts, Counts]:
    """Narrow the bounds to nine standard deviations about the mean where the draw lies there: nearly always."""
    live = 1 / (1 + p_fire * dead_slots)
    mean = num_slots * p_fire * live
    reach = 9 * np.sqrt(mean * live**2 + 1) + 4
    near_low = np.clip(np.floor(mean - reach), 0, high - 1).astype(np.int64)
    near_high = np.clip(np.ceil(mean + reach), near_low + 1, high).astype(np.int64)
    law = {"num_slots": num_slots, "p_fire": p_fire, "dead_slots": dead_slots}
    is_above = count_survival(near_low, **law) >= uniform  # type: ignore[arg-type]
    is_below = count_survival(near_high, **law) < uniform  # type: ignore[arg-type]
    inside = is_above & is_below
    return np.where(inside, near_low, low), np.where(inside, near_high, high)


def fired_odds(counts: Counts, *, num_slots: int, dead_slots: int) -> Floats:
    """Return the odds of firing per live slot that counts speak of: count / (slots in which the detector was live).

    counts: int64. What dead time hides is put back, so that ratios of the result are ratios of light.
    Its relative standard error is 1 / sqrt(count). Float64, the shape of ``counts``.
    """
    live_slots = np.maximum(num_slots - counts * dead_slots, counts)
    return np.asarray(counts / np.maximum(live_slots, 1), dtype=np.float64)
