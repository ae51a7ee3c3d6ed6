"""Timing: how well a gate meets a pulse, and when a click is seen.

Pulse and jitter are taken as Gaussian in time and given by their full width at half maximum (FWHM). There are three
shapes of gates:

    sine         a gate's efficiency follows its bias; near its crest a sine-wave gate is close to a Gaussian of its
                 effective width. What the tails do is not measured by the procedures that rest on this model: they
                 look at the crest.
    rectangular  a box of the gate's width, its edges smeared by pulse and jitter: a plateau between two rises
    none         a free-running detector, which accepts a pulse at any time
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FWHM_PER_SIGMA: Final = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a normal law over its standard deviation: 2.355."""

_erf = np.vectorize(math.erf, otypes=[np.float64])

GateShape = Literal["sine", "rectangular", "none"]


@dataclass(frozen=True, slots=True)
class GateTiming:
    """Times of one system: period and effective width of gates, width of pulses, jitter of clicks (all FWHM).

    Without gates, ``gate_period_s`` is the time between two pulses, and ``gate_width_s`` as long.
    """

    gate_period_s: float
    gate_width_s: float
    pulse_width_s: float
    jitter_s: float
    shape: GateShape = "sine"

    @property
    def overlap_sigma_s(self) -> float:
        """Standard deviation of a sine gate's counting rate against its delay: pulse and gate together."""
        return math.hypot(self.gate_width_s, self.pulse_width_s) / FWHM_PER_SIGMA

    @property
    def rise_sigma_s(self) -> float:
        """Standard deviation of what smears the edges of a rectangular gate: pulse and jitter together.

        The jitter stands for that of the gate's edges too, of which the records say nothing.
        """
        return math.hypot(self.pulse_width_s, self.jitter_s) / FWHM_PER_SIGMA

    @property
    def arrival_sigma_s(self) -> float:
        """Standard deviation of a click's time stamp.

        Where in the pulse and in the gate the photon came, and the jitter of avalanche, electronics and time-to-digital
        converter on top. A sine gate chooses among the photons of a pulse: the product of two Gaussians, whose inverse
        variances add. A rectangular gate that meets its pulse, and no gate, take the whole pulse.
        """
        if self.shape != "sine":
            return self.rise_sigma_s
        inside = 1 / math.hypot(1 / self.gate_width_s, 1 / self.pulse_width_s)
        return math.hypot(inside, self.jitter_s) / FWHM_PER_SIGMA

    def relative_efficiency(self, offset_s: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the efficiency for pulses that meet their gate ``offset_s`` off its centre, relative to the best.

        Gates repeat, so a pulse that leaves one gate enters the next: the curve has the gates' period.
        offset_s: float64, any shape; the result has the same.
        """
        offset = np.asarray(offset_s, dtype=np.float64)
        if self.shape == "none":
            return np.ones_like(offset)
        nearest = offset - self.gate_period_s * np.round(offset / self.gate_period_s)
        total = np.zeros_like(nearest)
        for neighbour in (-1, 0, 1):
            total += self._one_gate(nearest - neighbour * self.gate_period_s)
        return np.minimum(total, 1.0)

    def _one_gate(self, offset: NDArray[np.float64]) -> NDArray[np.float64]:
        """The share of a pulse that a single gate accepts."""
        if self.shape == "sine":
            return np.asarray(np.exp(-0.5 * (offset / self.overlap_sigma_s) ** 2))
        half, rise = self.gate_width_s / 2, math.sqrt(2) * self.rise_sigma_s
        return np.asarray(_erf((offset + half) / rise) - _erf((offset - half) / rise)) / 2


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
