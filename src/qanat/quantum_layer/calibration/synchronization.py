"""Synchronization: when the clicks of each detector come, against the common clock.

As the paper does it (Nature 589, 214, Methods): pulses at 100 kHz, time tags, a histogram in bins of 90 ps, and the
most frequent bin is the correction; four detectors at once. The states are random, so that all detectors see light.

Where a system counts only what comes in a coincidence window (400 ps in the paper's 40-MHz systems), the window stands
round the correction from then on; which share of the clicks it keeps is told.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from qanat.ground.errors import CalibrationFailed
from qanat.physics.timing import histogram
from qanat.quantum_layer.calibration.results import Integers, Synchronization
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.wire import NUM_DETECTORS, Measure, Tags

BIN_PS: Final = 90
PERIOD_PS: Final = 10_000_000
"""Of the synchronization pulses: 100 kHz."""
PROBE_S: Final = 0.1
WINDOW_S: Final = 0.5
PEAK_PS: Final = 11 * BIN_PS
"""Width in which a pulse's clicks lie: five standard deviations of the jitter to each side and more."""
ENOUGH_CLICKS: Final = 100
"""Clicks of the poorest detector about its most frequent bin, in a probe, that make the brightness right."""
LEAST_PEAK: Final = 20
"""Clicks in the most frequent bin; of 111,112 bins none has three by dark clicks alone."""


def synchronize(bench: Bench) -> Procedure[Synchronization]:
    """Find each detector's correction. Raises CalibrationFailed: no-light, no-synchronization."""
    begun_s = bench.elapsed_s
    bench.send("random")
    bench.shine(0.0)
    bench.knobs = replace(bench.knobs, is_slow=True)
    while bench.knobs.brightness_db < bench.info.brightness_db[1]:
        probe = _by_detector((yield from _tags(bench, PROBE_S)))
        fewest = min(_in_peak(some) for some in probe)
        if fewest >= ENOUGH_CLICKS:
            break
        missing_db = 10 * math.log10(1.5 * ENOUGH_CLICKS / max(fewest, 5))
        bench.shine(bench.knobs.brightness_db + max(1.0, missing_db))
    tags = yield from _tags(bench, WINDOW_S)
    brightness_db = bench.knobs.brightness_db
    bench.knobs = replace(bench.knobs, is_slow=False)
    bench.shine(0.0)
    offsets = _by_detector(tags)
    histograms = np.array([histogram(some, bin_ps=BIN_PS, period_ps=PERIOD_PS) for some in offsets])
    _check(histograms)
    corrections = [float((place + 0.5) * BIN_PS) for place in histograms.argmax(axis=1)]
    window_ps = bench.info.window_ps
    return Synchronization(
        bin_ps=BIN_PS,
        period_ps=PERIOD_PS,
        histograms=histograms,
        corrections_ps=tuple(corrections),
        num_clicks=tuple(int(some.size) for some in offsets),
        window_ps=window_ps,
        kept=tuple(_kept(*one, window_ps=window_ps) for one in zip(offsets, corrections, strict=True))
        if window_ps
        else (),
        brightness_db=brightness_db,
        link_time_s=bench.elapsed_s - begun_s,
    )


def _by_detector(tags: Tags) -> list[Integers]:
    return [tags.offsets_ps[tags.detectors == detector] for detector in range(NUM_DETECTORS)]


def _in_peak(offsets_ps: Integers) -> int:
    """Return how many clicks lie about the most frequent bin; dark clicks and after-pulses lie all over the period."""
    if not offsets_ps.size:
        return 0
    highest = int(histogram(offsets_ps, bin_ps=BIN_PS, period_ps=PERIOD_PS).argmax())
    return _within(offsets_ps, (highest + 0.5) * BIN_PS, width_ps=PEAK_PS)


def _within(offsets_ps: Integers, centre_ps: float, *, width_ps: float) -> int:
    """Return how many clicks lie within half of ``width_ps`` round a time of the period."""
    apart_ps = (offsets_ps - centre_ps + PERIOD_PS / 2) % PERIOD_PS - PERIOD_PS / 2
    return int((np.abs(apart_ps) <= width_ps / 2).sum())


def _kept(offsets_ps: Integers, correction_ps: float, *, window_ps: int) -> float:
    """Return the share of the peak's clicks that a window round the correction keeps."""
    peak = _within(offsets_ps, correction_ps, width_ps=max(PEAK_PS, window_ps))
    return _within(offsets_ps, correction_ps, width_ps=window_ps) / peak


def _tags(bench: Bench, window_s: float) -> Procedure[Tags]:
    reading = yield from bench.read(Measure("tags", window_s, bench.knobs))
    assert reading.tags is not None, "the reading was decoded as tags"
    return reading.tags


def _check(histograms: Integers) -> None:
    poor = [str(place) for place, some in enumerate(histograms) if some.max() < LEAST_PEAK]
    if poor:
        raise CalibrationFailed(
            f"the time tags of detector {', '.join(poor)} have no most frequent time",
            remedy="look at the 100-kHz clock and the time-to-digital converter; or too little light arrives",
            code="no-synchronization",
        )
