"""Timing: how well a gate meets a pulse, and when a click is seen.

Pulse, gate and jitter are taken as Gaussian in time and given by their full width at half maximum (FWHM). A gate's
efficiency follows its bias; near its crest a sine-wave gate is close to a Gaussian of its effective width. What the
tails do is not measured by the procedures that rest on this model: they look at the crest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA: Final = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a normal law over its standard deviation: 2.355."""


@dataclass(frozen=True, slots=True)
class GateTiming:
    """Times of one system: period and effective width of gates, width of pulses, jitter of clicks (all FWHM)."""

    gate_period_s: float
    gate_width_s: float
    pulse_width_s: float
    jitter_s: float

    @property
    def overlap_sigma_s(self) -> float:
        """Standard deviation of the counting rate's curve against the gate delay: pulse and gate together."""
        return math.hypot(self.gate_width_s, self.pulse_width_s) / FWHM_PER_SIGMA

    @property
    def arrival_sigma_s(self) -> float:
        """Standard deviation of a click's time stamp about the gate's centre.

        Where in the pulse and in the gate the photon came: the product of two Gaussians, whose inverse variances add.
        The jitter of avalanche, electronics and time-to-digital converter comes on top.
        """
        inside = 1 / math.hypot(1 / self.gate_width_s, 1 / self.pulse_width_s)
        return math.hypot(inside, self.jitter_s) / FWHM_PER_SIGMA

    def relative_efficiency(self, offset_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the efficiency for pulses that meet their gate ``offset_s`` off its centre, relative to the best.

        Gates repeat, so a pulse that leaves one gate enters the next: the curve has the gates' period.
        offset_s: float64, any shape; the result has the same.
        """
        offset = np.asarray(offset_s, dtype=np.float64)
        nearest = offset - self.gate_period_s * np.round(offset / self.gate_period_s)
        total = np.zeros_like(nearest)
        for neighbour in (-1, 0, 1):
            total += np.exp(-0.5 * ((nearest - neighbour * self.gate_period_s) / self.overlap_sigma_s) ** 2)
        return np.minimum(total, 1.0)


def histogram(offsets_ps: NDArray[np.int64], *, bin_ps: int, period_ps: int) -> NDArray[np.int64]:
    """Return how many clicks fall into each bin of the period; int64, shape (ceil(period / bin),).

    offsets_ps: int64, shape (n,), each from 0 to below ``period_ps``. The last bin is shorter where the period is no
    multiple of the bin.
    """
    num_bins = -(-period_ps // bin_ps)
    return np.bincount(offsets_ps // bin_ps, minlength=num_bins).astype(np.int64)


def circular_distance(one: float, other: float, *, period: float) -> float:
    """Return how far two points of a circle of this circumference are apart, the short way."""
    apart = abs(one - other) % period
    return min(apart, period - apart)
