"""How many clicks a detector with a hold-off gives in a window: the exact law, draws from it, and the way back.

A detector that fires with odds p in each live slot, and is dead for D slots after a click, gives its n-th click in slot
(sum of n geometric gaps) + (n - 1) D. The sum of gaps is at most m exactly when m trials hold n successes, so

    P(count >= n) = P(Binomial(N - (n - 1) D, p) >= n) = I_p(n, N - (n - 1) D - n + 1)

for a window of N slots that begins live, with the regularized incomplete beta function I (Abramowitz and Stegun,
26.5.24). Nothing is approximated. Tests compare the law with detectors drawn click by click.

**After-pulses.** With odds q a click leaves a charge, which goes after the hold-off in each slot with odds 1 - r and is
then a click, unless light or darkness fired the detector first and took it away (``kernels.photon_sampling``). The
silent slots to the next click are then geometric with odds p, or, with a charge on its way, the lesser of two geometric
numbers: geometric too, with odds 1 - r (1 - p). So n clicks take two negative binomial numbers, which are drawn, not
their n gaps: ``draw_counts_with_charges``.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

LEAST_LEAP: Final = 100
"""Fewer clicks than this are drawn gap by gap."""
REACH: Final = 9.0
"""A leap ends so many standard deviations before the window does."""


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


def draw_counts_with_charges(
    generator: np.random.Generator,
    *,
    num_slots: int,
    p_fire: Floats,
    dead_slots: int,
    p_afterpulse: float,
    decay_slots: float,
) -> Counts:
    """Draw the clicks of detectors with after-pulses in one window; int64, the shape of ``p_fire`` (one-dimensional).

    p_fire: odds that light or darkness fires a live detector in a slot. decay_slots: mean time of a charge's release
    after the hold-off. A window begins live and without charges. Without after-pulses this is ``draw_counts``.
    """
    if p_afterpulse == 0:
        return draw_counts(generator, num_slots=num_slots, p_fire=p_fire, dead_slots=dead_slots)
    kept = math.exp(-1 / decay_slots)
    drawn = [
        _Renewal(generator, float(p), 1 - kept * (1 - float(p)), p_afterpulse, dead_slots).count(num_slots)
        if p > 0
        else 0
        for p in p_fire
    ]
    return np.array(drawn, dtype=np.int64)


def share_by_charges(p_fire: Floats, *, p_afterpulse: float, decay_slots: float) -> Floats:
    """Return the share of clicks for which a charge alone is enough, whatever light there is; the shape of ``p_fire``.

    A charge goes before light or darkness fires, or in the same slot: q (1 - r) / (1 - r (1 - p)).
    """
    kept = math.exp(-1 / decay_slots)
    return np.asarray(p_afterpulse * (1 - kept) / (1 - kept * (1 - p_fire)), dtype=np.float64)


class _Renewal:
    """One detector: odds of firing per live slot without and with a charge, odds of a charge, dead slots."""

    def __init__(self, generator: np.random.Generator, p: float, p_charged: float, q: float, dead_slots: int) -> None:
        self._generator, self._dead = generator, dead_slots
        self._p, self._p_charged, self._q = p, p_charged, q
        gaps = ((1 - q, 1 / p), (q, 1 / p_charged))
        mean = sum(share * gap for share, gap in gaps)
        second = sum(share * (2 * gap * gap - gap) for share, gap in gaps)
        self._cycle, self._spread = dead_slots + mean, math.sqrt(max(second - mean * mean, 0.0))

    def count(self, num_slots: int) -> int:
        """Draw how many clicks a window has: leaps that stop short of its end, then gap by gap."""
        left, clicks, is_charged = num_slots, 0, False
        while left > 0:
            expected = left / self._cycle
            leap = int(expected - REACH * math.sqrt(expected) * self._spread / self._cycle) - 1
            if leap >= LEAST_LEAP:
                taken = self._slots_of(leap, is_charged=is_charged)
                if taken > left:  # odds below 10^-11, from a negative binomial number of 100: drawn again
                    continue
            else:
                leap, taken = self._gap_by_gap(left, is_charged=is_charged)
            clicks, left, is_charged = clicks + leap, left - taken, True
        return clicks

    def _slots_of(self, clicks: int, *, is_charged: bool) -> int:
        """Draw the slots that so many clicks and their hold-offs take."""
        charged = int(self._generator.binomial(clicks - (not is_charged), self._q))
        silent = sum(
            int(self._generator.negative_binomial(number, odds))
            for number, odds in ((clicks - charged, self._p), (charged, self._p_charged))
            if number > 0
        )
        return silent + clicks * (1 + self._dead)

    def _gap_by_gap(self, left: int, *, is_charged: bool) -> tuple[int, int]:
        """Draw clicks; returns how many fit and the slots they take: all that are left when one did not."""
        expected = left / self._cycle
        size = min(512, int(expected + 6 * math.sqrt(expected)) + 16)
        odds = np.where(self._generator.random(size) < self._q, self._p_charged, self._p)
        odds[0] = odds[0] if is_charged else self._p
        after = np.cumsum(self._generator.geometric(odds) + self._dead)
        fit = int(np.searchsorted(after, left + self._dead, side="right"))
        return fit, int(after[-1]) if fit == after.size else left


def fired_odds(counts: Counts, *, num_slots: int, dead_slots: int) -> Floats:
    """Return the odds of firing per live slot that counts speak of: count / (slots in which the detector was live).

    counts: int64. What dead time hides is put back, so that ratios of the result are ratios of light.
    Its relative standard error is 1 / sqrt(count). Float64, the shape of ``counts``.
    """
    live_slots = np.maximum(num_slots - counts * dead_slots, counts)
    return np.asarray(counts / np.maximum(live_slots, 1), dtype=np.float64)
