"""Where a gate is, from counts against its delay: the crest of a sine gate, the middle of a rectangular one.

**Crest.** Near its crest the curve is flat: one step beside it costs 1.2 %, little more than the noise of a window at
16 dB. So the single highest count is more than a step off for 7 % of the detectors at 16 dB and for 22 % at 27 dB (240
detectors of twins each). Here all counts of the upper half of the crest vote: a parabola through the logarithm of the
counts, dead time put back, weighted by the counts.

**Plateau.** All steps on a plateau have the same odds, and the highest count is anywhere on it. The middle lies halfway
between the two edges, each where a line through the counts of the rise crosses half of the plateau's height (full width
at half maximum, the usual measure of a gate). What bends the line bends it alike on both sides.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import CalibrationFailed
from qanat.quantum_layer.calibration.results import Floats, Integers

LEAST_CONTRAST: Final = 2.0
"""A crest stands out by at least this factor; a sine gate's by more than ten."""
RISE_STEPS: Final = 4
"""Steps on each side of an edge that its line is fitted to: 50 ps, half of a rise of 90 ps (standard deviation)."""


def crest(odds: Floats, counts: Integers, *, detector: int) -> float:
    """Return where the crest of one detector's curve is, in steps from 0 to below the period.

    odds: float64, shape (steps,), of firing per live slot; counts: int64, the same shape. The curve is periodic.
    Raises CalibrationFailed (no-delay-maximum).
    """
    smooth = _smooth(odds)
    noise = smooth.max() / np.sqrt(5.0 * max(int(counts.max()), 1))
    if smooth.max() < LEAST_CONTRAST * smooth.min() or smooth.max() - smooth.min() < 6 * noise:
        raise no_maximum(detector)
    centre = int(smooth.argmax())
    near = np.roll(odds, len(odds) // 2 - centre)
    weights = np.roll(counts, len(odds) // 2 - centre).astype(np.float64)
    offset = _parabola_crest(near, weights, floor=float(np.median(np.sort(odds)[: len(odds) // 4])))
    return (centre + offset) % len(odds)


def _parabola_crest(odds: Floats, weights: Floats, *, floor: float) -> float:
    """Return where the crest is, in steps from the middle of the array."""
    middle_place = len(odds) // 2
    signal = odds - floor
    reach = 1
    while (
        reach < middle_place - 1
        and min(signal[middle_place - reach], signal[middle_place + reach]) > 0.4 * signal[middle_place]
    ):
        reach += 1
    places: NDArray[np.float64] = np.arange(-reach, reach + 1, dtype=np.float64)
    part = slice(middle_place - reach, middle_place + reach + 1)
    logs = np.log(np.maximum(signal[part], 1e-15))
    curve, slope, _ = np.polyfit(places, logs, 2, w=np.sqrt(np.maximum(weights[part], 1.0)))
    return float(np.clip(-slope / (2 * curve), -reach, reach)) if curve < 0 else 0.0


def coarse_middle(steps: Integers, counts: Integers, *, period: int, detector: int) -> int:
    """Return about where a plateau is, in steps: the mean of the coarse steps above half of the highest count.

    steps, counts: int64, shape (n,), over a period of ``period`` steps. A plateau wider than the distance of two coarse
    steps has its middle within half of that distance. Raises CalibrationFailed (no-delay-maximum).
    """
    floor, top = float(np.median(counts)), int(counts.max())
    if top < LEAST_CONTRAST * floor or top - floor < 6 * np.sqrt(top):
        raise no_maximum(detector)
    above = steps[counts > (floor + top) / 2]
    # measured from one of them, the short way round the period
    from_first = (above - above[0] + period // 2) % period - period // 2
    return round(float(above[0] + from_first.mean())) % period


def middle(odds: Floats, *, floor: float, detector: int) -> float:
    """Return where the middle of one detector's plateau is, in steps from the first.

    odds: float64, shape (steps,), of firing per live slot, over the plateau and both edges. floor: the odds in the
    dark. Raises CalibrationFailed (no-delay-maximum) where an edge is not in sight.
    """
    smooth = np.convolve(odds, np.full(5, 0.2), mode="same")
    is_above = smooth > (floor + smooth.max()) / 2
    half = (floor + float(np.median(smooth[is_above]))) / 2
    above = np.flatnonzero(smooth > half)
    edges = int(above[0]), int(above[-1])
    if edges[0] < RISE_STEPS or edges[1] >= len(odds) - RISE_STEPS:
        raise CalibrationFailed(
            f"the plateau of detector {detector} has no edge where its gate should end",
            remedy="look whether its gate is wider than the device says, and whether light from outside enters",
            code="no-delay-maximum",
        )
    return (_crossing(odds, edges[0], half) + _crossing(odds, edges[1], half)) / 2


def _crossing(odds: Floats, about: int, half: float) -> float:
    """Return where a line through the odds round ``about`` crosses ``half``, in steps."""
    places = np.arange(about - RISE_STEPS, about + RISE_STEPS + 1, dtype=np.float64)
    slope, start = np.polyfit(places, odds[about - RISE_STEPS : about + RISE_STEPS + 1], 1)
    crossing = (half - start) / slope if slope else float(about)
    return float(np.clip(crossing, about - RISE_STEPS, about + RISE_STEPS))


def _smooth(odds: Floats) -> Floats:
    smooth = sum(np.roll(odds, shift) for shift in range(-2, 3)) / 5
    assert isinstance(smooth, np.ndarray), "a sum of arrays"
    return smooth


def no_maximum(detector: int) -> CalibrationFailed:
    """Return what is said of a detector whose counts do not follow its gate delay."""
    return CalibrationFailed(
        f"the counting rate of detector {detector} has no maximum over its gate delay",
        remedy="look at its delay line and at the gate signal; or light that is not pulsed enters the fibre",
        code="no-delay-maximum",
    )
