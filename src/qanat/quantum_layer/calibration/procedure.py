"""All of calibration in order, and the link under drift with or without feedback."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

import numpy as np

from qanat.ground.constants import QBER_ABORT
from qanat.quantum_layer.calibration.delay import scan_delays
from qanat.quantum_layer.calibration.feedback import WINDOW_S, align_polarization
from qanat.quantum_layer.calibration.results import Calibration, Integers, Watch
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.synchronization import synchronize
from qanat.quantum_layer.calibration.wire import Measure

WINDOWS_OF_A_SECOND: Final = round(1 / WINDOW_S)
FEEDBACK_ABOVE: Final = 0.02
"""Error rate at which the link stops for feedback: four times what a calibrated link has, well below the abort."""


class Plan(NamedTuple):
    """What to do: calibrate, then watch the link for ``watch_s`` seconds (0: not at all)."""

    watch_s: float = 0.0
    with_feedback: bool = True


class Outcome(NamedTuple):
    """What came of a plan."""

    calibration: Calibration
    watch: Watch | None


def calibrate(bench: Bench) -> Procedure[Calibration]:
    """Delay, polarization, synchronization: each needs the one before."""
    delay = yield from scan_delays(bench)
    feedback = yield from align_polarization(bench)
    synchronization = yield from synchronize(bench)
    return Calibration(
        system=bench.info.system,
        delay=delay,
        feedback=feedback,
        synchronization=synchronization,
        abnormalities=tuple(bench.abnormalities),
        link_time_s=delay.link_time_s + feedback.link_time_s + synchronization.link_time_s,
    )


def carry_out(bench: Bench, plan: Plan) -> Procedure[Outcome]:
    """Calibrate, and watch if asked to."""
    calibration = yield from calibrate(bench)
    watched = None
    if plan.watch_s > 0:
        watched = yield from watch(bench, duration_s=plan.watch_s, with_feedback=plan.with_feedback)
    return Outcome(calibration, watched)


def watch(bench: Bench, *, duration_s: float, with_feedback: bool, abort_above: float = QBER_ABORT) -> Procedure[Watch]:
    """Run the protocol in 50-ms windows and look at the error rate of the last second.

    Above FEEDBACK_ABOVE the link stops for a feedback, if there is one; above ``abort_above`` the run ends. Windows
    rather than seconds decide only after a whole second since the start or the last feedback.
    """
    begun_s, last_second = bench.elapsed_s, deque[Integers](maxlen=WINDOWS_OF_A_SECOND)
    times, rates, feedbacks = [], [], []
    first_abnormality = len(bench.abnormalities)
    aborted_at_s = None
    while bench.elapsed_s - begun_s < duration_s:
        bench.send("bb84")
        reading = yield from bench.read(Measure("signals", WINDOW_S, bench.knobs))
        assert reading.counts is not None, "the reading was decoded as counts"
        last_second.append(reading.counts)
        qber = error_rate(np.sum(last_second, axis=0))
        times.append(bench.elapsed_s - begun_s)
        rates.append(qber)
        if len(last_second) < WINDOWS_OF_A_SECOND:
            continue
        if qber > abort_above:
            aborted_at_s = times[-1]
            break
        if with_feedback and qber > FEEDBACK_ABOVE:
            stopped_s = bench.elapsed_s
            yield from align_polarization(bench)
            feedbacks.append((stopped_s - begun_s, bench.elapsed_s - begun_s))
            last_second.clear()
    return Watch(
        elapsed_s=np.array(times),
        qber=np.array(rates),
        feedbacks=tuple(feedbacks),
        aborted_at_s=aborted_at_s,
        abort_above=abort_above,
        link_time_s=sum(stop - start for start, stop in feedbacks),
        abnormalities=tuple(bench.abnormalities[first_abnormality:]),
    )


def error_rate(signals: Integers) -> float:
    """Return the error rate of matched bases; signals: int64, shape (4, 4), clicks by state sent and detector.

    Double clicks count as one click of each detector, which moves the rate by less than their share.
    """
    blocks = [signals[0:2, 0:2], signals[2:4, 2:4]]
    wrong = sum(int(block[0, 1] + block[1, 0]) for block in blocks)
    return wrong / max(1, sum(int(block.sum()) for block in blocks))
