"""When a detector clicks: light and dark clicks in time, what it sleeps through, and its after-pulses."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from qanat.physics.counting import Floats
from qanat.physics.detectors import SinglePhotonDetector


def registered_ps(generator: np.random.Generator, times_ps: Floats, detector: SinglePhotonDetector) -> Floats:
    """Draw when a detector clicks to which light and darkness come at ``times_ps``; float64, increasing."""
    releases_ps: Iterator[float] = itertools.repeat(math.inf)
    if detector.p_afterpulse:
        releases_ps = _releases_ps(generator, detector, at_once=times_ps.size + 1)
    return clicks_in_time(np.sort(times_ps), dead_ps=detector.hold_off_s * 1e12, releases_ps=releases_ps)


def _releases_ps(generator: np.random.Generator, detector: SinglePhotonDetector, *, at_once: int) -> Iterator[float]:
    """Yield, click by click, how long after the hold-off its charge goes; infinite where it leaves none."""
    while True:
        leaves = generator.random(at_once) < detector.p_afterpulse
        times_ps = generator.exponential(detector.afterpulse_decay_s * 1e12, at_once)
        yield from np.where(leaves, times_ps, math.inf).tolist()


def clicks_in_time(times_ps: Floats, *, dead_ps: float, releases_ps: Iterator[float]) -> Floats:
    """Return the times at which a detector clicks to which light comes at ``times_ps`` (float64, sorted).

    It is dead for ``dead_ps`` after each click. releases_ps: one per click, how long after the hold-off the charge that
    it left goes; a click that comes first takes the charge away.
    """
    clicks: list[float] = []
    live_from, release = -math.inf, math.inf
    for time_ps in [*times_ps.tolist(), math.inf]:
        while release <= time_ps and release < math.inf:
            clicks.append(release)
            live_from = release + dead_ps
            release = live_from + next(releases_ps)
        if live_from <= time_ps < math.inf:
            clicks.append(time_ps)
            live_from = time_ps + dead_ps
            release = live_from + next(releases_ps)
    return np.array(clicks, dtype=np.float64)
