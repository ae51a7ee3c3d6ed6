"""All of calibration in order, and the link under drift with or without feedback."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from qanat.ground.constants import QBER_ABORT
from qanat.physics.analytic import renewal
from qanat.physics.clicks import dark_odds
from qanat.physics.systems import system_named
from qanat.quantum_layer.calibration.delay import scan_delays
from qanat.quantum_layer.calibration.feedback import WINDOW_S, align_polarization
from qanat.quantum_layer.calibration.results import Calibration, Integers, Watch
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.synchronization import synchronize
from qanat.quantum_layer.calibration.upkeep import NOTHING, AlignmentWatch, Sample
from qanat.quantum_layer.calibration.wire import Measure

SIGNAL: Final = 0
"""Place of the signal among the intensities of a record."""


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
    """Run the protocol in 50-ms windows and look at the errors of the last second.

    When 100:1 is lost (``upkeep.AlignmentWatch``) the link stops for a feedback, if there is one; above ``abort_above``
    the run ends.
    """
    begun_s, first_abnormality = bench.elapsed_s, len(bench.abnormalities)
    last_second, whole = AlignmentWatch(), NOTHING
    times, rates, worst, feedbacks = [], [], [0.0], []
    aborted_at_s = None
    while bench.elapsed_s - begun_s < duration_s:
        bench.send("bb84")
        reading = yield from bench.read(Measure("signals", WINDOW_S, bench.knobs))
        assert reading.counts is not None, "the reading was decoded as counts"
        sample = _sample(bench, reading.counts)
        last_second.add(sample)
        whole += sample
        times.append(bench.elapsed_s - begun_s)
        rates.append(last_second.total.qber)
        if not last_second.is_full:
            continue
        worst.append(float(last_second.total.optical_errors.max()))
        if last_second.total.qber > abort_above:
            aborted_at_s = times[-1]
            break
        if with_feedback and last_second.has_lost:
            stopped_s = bench.elapsed_s
            yield from align_polarization(bench)
            feedbacks.append((stopped_s - begun_s, bench.elapsed_s - begun_s))
            last_second.forget()
    return Watch(
        elapsed_s=np.array(times),
        qber=np.array(rates),
        feedbacks=tuple(feedbacks),
        aborted_at_s=aborted_at_s,
        abort_above=abort_above,
        link_time_s=sum(stop - start for start, stop in feedbacks),
        mean_optical_error=whole.optical_error,
        most_optical_error=max(worst),
        abnormalities=tuple(bench.abnormalities[first_abnormality:]),
    )


def _sample(bench: Bench, signals: Integers) -> Sample:
    """Return the matched events of a window. signals: int64, shape (4, 4), clicks by state sent and detector.

    Double clicks count as one click of each detector, which moves the rate by less than their share. Dark clicks and
    after-pulses are those of the system's record, for detectors that click as often as these do: all clicks are the
    signal's and so many more as decoy pulses have light.
    """
    system, num_slots = system_named(bench.info.system), bench.num_slots(WINDOW_S)
    light = np.array(system.source.p_intensities) * np.array(system.source.mean_photon_numbers)
    p_click = signals.sum(axis=0) / num_slots * light.sum() / light[SIGNAL]
    p_fire = p_click / np.maximum(1 - p_click * np.array(system.memory.hold_off_slots), p_click)
    live, charge = renewal(p_fire, system.memory)
    num_matched = num_slots * system.source.p_intensities[SIGNAL] / 2  # two of four states
    noise = num_matched * (dark_odds(system) * live + charge)
    blocks = [signals[2 * basis : 2 * basis + 2, 2 * basis : 2 * basis + 2] for basis in (0, 1)]
    return Sample(
        duration_s=WINDOW_S,
        events=np.array([block.sum() for block in blocks], dtype=np.float64),
        wrong=np.array([block[0, 1] + block[1, 0] for block in blocks], dtype=np.float64),
        noise=noise.reshape(2, 2).sum(axis=1),
    )
