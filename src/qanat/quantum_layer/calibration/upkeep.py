"""When a link that makes key stops to be aligned again: decided by counts, of events whose bits both ends know.

**Polarization.** The paper aligns each basis until one port counts 100 times the other (Nature 589, 214, Methods). So a
link has lost its alignment when the share of light in the wrong port of a basis is above 1 / 101. That share is not
the error rate: dark clicks and after-pulses are wrong half of the time, whatever the optics do. With n events, k of
them wrong, of which m are noise, the optical error is (k - m / 2) / (n - m). The alignment counts as lost when this is
above 1 / 101 by three standard errors over the last second, or over so many seconds as make 10,000 events per basis.
With 20,000 events in the window a basis at exactly 100:1 is taken for lost in one window of 1,500, one at 0.8 % in one
of 4 x 10^9 (binomial tails).

**Delay.** Clicks fall when pulses leave the middle of their gates, whatever the fibre does to polarization. They count
as fallen when the last second has less than 90 % of what the first second after the last scan had, and the difference
is no chance (five standard errors).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from qanat.quantum_layer.calibration.feedback import TARGET_RATIO
from qanat.quantum_layer.calibration.results import Floats

LOST_ABOVE: Final = 1 / (1 + TARGET_RATIO)
"""Share of the light in the wrong port at 100:1."""
LOST_SIGMAS: Final = 3.0
SPAN_S: Final = 1.0
ENOUGH_EVENTS: Final = 10_000
"""Per basis: a hundred errors at 100:1."""
FALLEN_TO: Final = 0.9
"""A tenth of the counts is worth a scan of 6.5 s when it would last for more than a minute."""
FALLEN_SIGMAS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Matched signal events of a window, per basis; float64, shape (2,) each.

    noise: how many of the events are expected to be dark clicks or after-pulses.
    """

    duration_s: float
    events: Floats
    wrong: Floats
    noise: Floats

    def __add__(self, other: Sample) -> Sample:
        """Two windows as one."""
        return Sample(
            self.duration_s + other.duration_s,
            self.events + other.events,
            self.wrong + other.wrong,
            self.noise + other.noise,
        )

    def __sub__(self, other: Sample) -> Sample:
        """A window without a part of it."""
        return self + Sample(-other.duration_s, -other.events, -other.wrong, -other.noise)

    @property
    def qber(self) -> float:
        """Error rate of both bases together; 0 without events."""
        return float(self.wrong.sum() / max(self.events.sum(), 1.0))

    @property
    def optical_errors(self) -> Floats:
        """Error rate of each basis less what noise gives; float64, shape (2,), 0 where nothing was seen."""
        return np.asarray(np.maximum(self.wrong - self.noise / 2, 0.0) / self._of_light, dtype=np.float64)

    @property
    def optical_error(self) -> float:
        """The same of both bases together."""
        light = float((self.events - self.noise).sum())
        return max(float((self.wrong - self.noise / 2).sum()), 0.0) / max(light, 1.0)

    @property
    def is_lost(self) -> bool:
        """Whether some basis has certainly lost 100:1."""
        sigmas = np.sqrt(np.maximum(self.wrong, 1.0)) / self._of_light
        return bool((self.optical_errors - LOST_SIGMAS * sigmas > LOST_ABOVE).any())

    @property
    def _of_light(self) -> Floats:
        return np.maximum(self.events - self.noise, 1.0)


NOTHING: Final = Sample(0.0, np.zeros(2), np.zeros(2), np.zeros(2))
"""A window of no time."""


class AlignmentWatch:
    """Looks at the samples of the last second, or of as many seconds as hold enough events."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque()
        self.total = NOTHING
        """All that is looked at, as one window."""

    def add(self, sample: Sample) -> None:
        """Take the next window; drop the oldest that are not needed any more."""
        self._samples.append(sample)
        self.total += sample
        while _is_enough(shorter := self.total - self._samples[0]):
            self.total = shorter
            self._samples.popleft()

    def forget(self) -> None:
        """Begin anew: the optics were changed."""
        self._samples.clear()
        self.total = NOTHING

    @property
    def is_full(self) -> bool:
        """Whether a whole second is known."""
        return _is_whole(self.total)

    @property
    def has_lost(self) -> bool:
        """Whether the alignment has certainly been lost."""
        return self.is_full and self.total.is_lost


class CountsWatch:
    """Compares the clicks of the last second with those of the first second after a delay scan."""

    def __init__(self) -> None:
        self._windows: deque[tuple[float, int]] = deque()
        self._first: tuple[float, int] | None = None

    def add(self, duration_s: float, num_clicks: int) -> None:
        """Take the clicks of the next window."""
        self._windows.append((duration_s, num_clicks))
        while len(self._windows) > 1 and self._duration_s() - self._windows[0][0] >= SPAN_S:
            self._windows.popleft()
        if self._first is None and self._duration_s() >= SPAN_S:
            self._first = (self._duration_s(), self._num_clicks())

    def forget(self) -> None:
        """Begin anew: the delays were set again."""
        self._windows.clear()
        self._first = None

    @property
    def has_fallen(self) -> bool:
        """Whether the clicks have certainly become fewer than nine tenths."""
        if self._first is None or self._duration_s() < SPAN_S:
            return False
        first_s, first_clicks = self._first
        expected = first_clicks * self._duration_s() / first_s
        sigma = math.sqrt(max(self._num_clicks(), 1) + max(expected, 1.0))
        return self._num_clicks() < FALLEN_TO * expected and expected - self._num_clicks() > FALLEN_SIGMAS * sigma

    def _duration_s(self) -> float:
        return sum(duration_s for duration_s, _ in self._windows) + 1e-9

    def _num_clicks(self) -> int:
        return sum(num_clicks for _, num_clicks in self._windows)


def _is_whole(sample: Sample) -> bool:
    return sample.duration_s > SPAN_S - 1e-9  # twenty windows of 50 ms are a second


def _is_enough(sample: Sample) -> bool:
    return _is_whole(sample) and float(sample.events.min()) >= ENOUGH_EVENTS
