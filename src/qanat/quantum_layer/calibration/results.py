"""What calibration found, as records: for the link, for people, and for pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


DelayMethod = Literal["crest", "plateau", "no gate"]


@dataclass(frozen=True, slots=True)
class DelayScan:
    """The gate delays. steps: int64, shape (windows, 4): where each detector's gate stood. counts: the same shape.

    method: how the delay was found: by the crest of a sine gate, by the middle of a rectangular gate's plateau, or not
    at all, as there is no gate to delay; then there is one window, and the next three are empty.
    delays_ps: what is set, a whole number of steps. centres_ps: the fitted crests, or middles of plateaus. highest_ps:
    the step with the single highest count, which noise may move. num_coarse: how many windows at the beginning looked
    for the plateaus in coarse steps. period_ps: of the gates, 0 without.
    """

    method: DelayMethod
    step_ps: float
    period_ps: float
    steps: Integers
    counts: Integers
    num_coarse: int
    delays_ps: tuple[float, ...]
    centres_ps: tuple[float, ...]
    highest_ps: tuple[float, ...]
    brightness_db: float
    link_time_s: float


@dataclass(frozen=True, slots=True)
class FeedbackPoint:
    """One 50-ms window of the feedback: when, with which state, and the extinction ratio seen."""

    elapsed_s: float
    state: str
    ratio: float


@dataclass(frozen=True, slots=True)
class Extinction:
    """The extinction reached for one state: ratio, its 2-sigma lower bound, the wrong share and its standard error."""

    state: str
    ratio: float
    ratio_lower: float
    p_wrong: float
    p_wrong_sigma: float


@dataclass(frozen=True, slots=True)
class Feedback:
    """The polarization feedback in both bases. brightness_db and live_fraction: one per basis, as calibrated with.

    ``optical_errors``: odds that a photon of the right basis takes the wrong port, from the extinctions of both states
    of the basis.
    """

    points: Sequence[FeedbackPoint]
    extinctions: tuple[Extinction, ...]
    optical_errors: tuple[float, float]
    optical_error_sigmas: tuple[float, float]
    brightness_db: tuple[float, float]
    live_fraction: tuple[float, float]
    attempts: tuple[int, int]
    link_time_s: float


@dataclass(frozen=True, slots=True)
class Synchronization:
    """Histograms around the most frequent bins. corrections_ps: centres of those bins. num_clicks: per detector.

    histograms: int64, shape (4, bins): all bins of the period. window_ps: the coincidence window that stands round each
    correction from now on; None where every click in its slot counts. kept: share of the pulses' clicks, per detector,
    that come in it; empty without a window.
    """

    bin_ps: int
    period_ps: int
    histograms: Integers
    corrections_ps: tuple[float, ...]
    num_clicks: tuple[int, ...]
    window_ps: int | None
    kept: tuple[float, ...]
    brightness_db: float
    link_time_s: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """All three procedures, in order. ``link_time_s`` is what they cost: no key is made meanwhile."""

    system: str
    delay: DelayScan
    feedback: Feedback
    synchronization: Synchronization
    abnormalities: tuple[str, ...]
    link_time_s: float


@dataclass(frozen=True, slots=True)
class Watch:
    """A run of the protocol under drift, window by window. qber: over the last second. All shape (n,), float64.

    ``feedbacks``: when the link stopped for feedback and when it went on, s. ``aborted_at_s``: when the error rate
    passed the abort threshold; None when it never did. ``link_time_s``: spent on feedback. ``mean_optical_error``: of
    all key generation, both bases, time average. ``most_optical_error``: of the worse basis over a second.
    """

    elapsed_s: Floats
    qber: Floats
    feedbacks: Sequence[tuple[float, float]]
    aborted_at_s: float | None
    abort_above: float
    link_time_s: float
    mean_optical_error: float
    most_optical_error: float
    abnormalities: tuple[str, ...]
