"""What clicks tell of a detector: efficiency, dark counts, dead time, after-pulses, each with an interval.

The standard method with weak coherent pulses of known mean photon number (Hadfield, Nat. Photonics 3, 696 (2009);
Zhang, Itzler, Zbinden, Pan, Light Sci. Appl. 4, e286 (2015)). Three runs, each a list of gate numbers with a click:

    bright   light in every gate: the shortest interval is the dead time and one gate
    dark     laser off: clicks per live gate, without those that may be after-pulses
    pulsed   one gate in ``pulse_gates`` is lit: clicks per live lit gate give the efficiency,
             1 - exp(-mu efficiency) of what darkness leaves; clicks that follow in dark gates give the after-pulses

Which gates were live is known from the clicks and the dead time, so each estimate is a share of counted trials. The
intervals hold 99.9 % each (3.29 standard errors; Wilson's form, J. Am. Stat. Assoc. 22, 209 (1927)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import CalibrationFailed

SIGMAS: Final = 3.29
P_MISS: Final = 1e-3
LEAST_CLICKS: Final = 1000
Gates = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Run:
    """Clicks of one run. clicks: int64, increasing, shape (n,): gates that clicked, of ``num_gates`` in all.

    pulse_gates: gates from one lit gate to the next, the first being gate 0; 0 for a dark run.
    """

    clicks: Gates
    num_gates: int
    pulse_gates: int = 0
    mean_photons: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that holds the truth with odds of 99.9 %."""

    value: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether the interval holds a value."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Characterization:
    """What was recovered. dead_gates: whole gates; the others are odds."""

    efficiency: Estimate
    p_dark_per_gate: Estimate
    dead_gates: Estimate
    p_afterpulse: Estimate


def characterize(bright: Run, dark: Run, pulsed: Run) -> Characterization:
    """Recover a detector's values; raises CalibrationFailed when a run has too few clicks to say anything."""
    for name, run in (("bright", bright), ("dark", dark), ("pulsed", pulsed)):
        if run.clicks.size < LEAST_CLICKS:
            raise CalibrationFailed(
                f"only {run.clicks.size} clicks in the {name} run; {LEAST_CLICKS} are needed",
                remedy="run longer, or with more light; look whether the detector is biased and cooled",
                code="detector-dead",
            )
    dead = dead_time(bright)
    dead_gates = round(dead.value)
    p_dark = dark_odds(dark, dead_gates)
    efficiency = efficiency_of(pulsed, dead_gates, p_dark)
    return Characterization(efficiency, p_dark, dead, afterpulse_odds(pulsed, dead_gates, p_dark))


def dead_time(bright: Run) -> Estimate:
    """Return the dead time in gates: the shortest interval less one.

    Among n intervals, each ending in the first live gate with odds p, none does with odds (1 - p)^n; then the dead time
    is shorter than it seems. p is estimated from the mean interval.
    """
    intervals = np.diff(bright.clicks)
    shortest = int(intervals.min())
    p_fire = 1 / max(1.0, float(intervals.mean()) - shortest + 1)
    miss = 0 if p_fire >= 1 else math.floor(math.log(P_MISS) / (intervals.size * math.log1p(-p_fire)))
    return Estimate(shortest - 1.0, max(0.0, shortest - 1.0 - miss), shortest - 1.0)


def dark_odds(dark: Run, dead_gates: int) -> Estimate:
    """Return the odds of a dark count per gate, from clicks with no other click in the 20 dead times before.

    After-pulses follow soon after a click: only gates that far from the last click are counted, as trials and clicks.
    """
    shadow = 20 * dead_gates
    gaps = np.diff(dark.clicks)
    clean = gaps > shadow
    trials = int((gaps[clean] - shadow).sum())
    return wilson(int(clean.sum()), trials)


def efficiency_of(pulsed: Run, dead_gates: int, p_dark: Estimate) -> Estimate:
    """Return the efficiency from the share of live lit gates that clicked.

    ln((1 - darkness) / (1 - share)) / mu; the error of mu, which the light's own calibration gives, is not included.
    """
    is_lit = pulsed.clicks % pulsed.pulse_gates == 0
    num_lit = -(-pulsed.num_gates // pulsed.pulse_gates)
    asleep = _multiples(pulsed.clicks + 1, pulsed.clicks + 1 + dead_gates, pulsed.pulse_gates)
    share = wilson(int(is_lit.sum()), num_lit - asleep)
    darkness = math.log1p(-p_dark.value)
    value, low, high = ((darkness - math.log1p(-odds)) / pulsed.mean_photons for odds in _parts(share))
    return Estimate(value, low, high)


def afterpulse_odds(pulsed: Run, dead_gates: int, p_dark: Estimate) -> Estimate:
    """Return the odds that a click is followed by an after-pulse.

    Of each click in a lit gate: is there a click in a dark gate before the next lit one? A dark count may be it, with
    odds known. Clicks whose own dead time was preceded closely by another click are left out.
    """
    clicks, period = pulsed.clicks, pulsed.pulse_gates
    previous = np.concatenate([[-period], clicks[:-1]])
    following = np.concatenate([clicks[1:], [pulsed.num_gates + period]])
    counted = (clicks % period == 0) & (clicks - previous >= period) & (clicks + period <= pulsed.num_gates)
    followed = following[counted] - clicks[counted] < period
    share = wilson(int(followed.sum()), int(counted.sum()))
    live_gates = period - 1 - dead_gates
    value, low, high = (
        1 - (1 - odds) / (1 - dark) ** live_gates
        for odds, dark in zip(_parts(share), (p_dark.value, p_dark.high, p_dark.low), strict=True)
    )
    return Estimate(value, low, high)


def wilson(successes: int, trials: int) -> Estimate:
    """Return a share of trials with Wilson's interval of SIGMAS standard errors."""
    if not 0 <= successes <= trials or trials < 1:
        raise ValueError(f"{successes} successes in {trials} trials")
    share, spread = successes / trials, SIGMAS**2 / trials
    middle = (share + spread / 2) / (1 + spread)
    reach = SIGMAS / (1 + spread) * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return Estimate(share, middle - reach, middle + reach)


def _parts(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def _multiples(start: Gates, stop: Gates, period: int) -> int:
    """Return how many multiples of ``period`` the ranges [start, stop) hold together."""
    return int((-(-stop // period) - (-(-start // period))).sum())
