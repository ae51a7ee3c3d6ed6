"""Delay scanning: when each detector's gate meets the pulse.

Steps and windows are the paper's (Nature 589, 214, Methods: 12.5 ps, 100 ms, four detectors at once). Random
polarizations are sent, so that each detector sees the same mean light whatever the fibre turns.

The paper sets the delay of the highest count. Near its crest the curve is flat: one step beside it costs 1.2 %, little
more than the noise of a window at 16 dB. So the single highest count is more than a step off for 7 % of the detectors
at 16 dB and for 22 % at 27 dB (240 detectors of twins each). Here all counts of the upper
half of the crest vote: a parabola through the logarithm of the counts, dead time put back, weighted by the counts. Its
crest, rounded to a step, is set; the highest step is reported beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import CalibrationFailed
from qanat.physics.counting import fired_odds
from qanat.quantum_layer.calibration.results import DelayScan, Floats, Integers
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.wire import NUM_DETECTORS

WINDOW_S: Final = 0.1
ENOUGH_CLICKS: Final = 1000
"""Clicks of the highest step that make the fit good to a tenth of a step."""
LEAST_CONTRAST: Final = 2.0
"""A crest stands out by at least this factor; a sine gate's by more than ten."""
DEAD_SHARE: Final = 0.02
"""A detector with less than this share of what its neighbours count does not work."""
HEADROOM_DB: Final = 3.0


def scan_delays(bench: Bench) -> Procedure[DelayScan]:
    """Scan one gate period; sets the delays. Raises CalibrationFailed: no-light, detector-dead, no-delay-maximum."""
    begun_s = bench.elapsed_s
    bench.send("random")
    bench.shine(0.0)
    while True:
        counts = yield from _scan(bench)
        crest = counts.max(axis=0)
        if crest.max() == 0 and bench.knobs.brightness_db < bench.info.brightness_db[1]:
            wanted_db = bench.info.brightness_db[1]
        elif 0 < crest.max() < ENOUGH_CLICKS and bench.knobs.brightness_db < bench.info.brightness_db[1]:
            wanted_db = bench.knobs.brightness_db + 10 * np.log10(ENOUGH_CLICKS / crest.max()) + HEADROOM_DB
        else:
            break
        bench.note(f"at most {crest.max()} clicks per step: the delay scan is repeated with more light")
        bench.shine(float(wanted_db))
    _check_detectors(counts)
    crests_ps = [_crest_ps(bench, counts[:, detector], detector) for detector in range(NUM_DETECTORS)]
    steps = tuple(round(crest_ps / bench.info.delay_step_ps) % len(counts) for crest_ps in crests_ps)
    bench.knobs = replace(bench.knobs, delay_steps=steps)
    return DelayScan(
        step_ps=bench.info.delay_step_ps,
        counts=counts,
        delays_ps=tuple(step * bench.info.delay_step_ps for step in steps),
        crests_ps=tuple(crests_ps),
        highest_ps=tuple(float(step * bench.info.delay_step_ps) for step in counts.argmax(axis=0)),
        brightness_db=bench.knobs.brightness_db,
        link_time_s=bench.elapsed_s - begun_s,
    )


def _scan(bench: Bench) -> Procedure[Integers]:
    num_steps = round(bench.info.gate_period_ps / bench.info.delay_step_ps)
    rows = []
    for step in range(num_steps):
        bench.knobs = replace(bench.knobs, delay_steps=(step,) * NUM_DETECTORS)
        rows.append((yield from bench.count(WINDOW_S)))
    return np.array(rows)


def _check_detectors(counts: Integers) -> None:
    totals = counts.sum(axis=0)
    if totals.max() == 0 or (counts.max(axis=0) < 50).all():
        raise CalibrationFailed(
            "no light arrives at any detector, at the brightest setting of the transmitter",
            remedy="look for a dark laser, an unplugged fibre or a wrong switch port; measure the fibre's loss",
            code="no-light",
        )
    dead = [str(place) for place in range(NUM_DETECTORS) if totals[place] < DEAD_SHARE * np.median(totals)]
    if dead:
        raise CalibrationFailed(
            f"detector {', '.join(dead)} does not count while the others do",
            remedy="look at its bias, its cooler and its fibre; without it the link makes no key that the proof covers",
            code="detector-dead",
        )


def _crest_ps(bench: Bench, counts: Integers, detector: int) -> float:
    """Return where the crest of one detector's curve is (ps, from 0 to below the gate period)."""
    odds = fired_odds(counts, num_slots=bench.num_slots(WINDOW_S), dead_slots=bench.info.hold_off_slots)
    smooth = sum(np.roll(odds, shift) for shift in range(-2, 3)) / 5
    assert isinstance(smooth, np.ndarray), "a sum of arrays"
    noise = smooth.max() / np.sqrt(5.0 * max(int(counts.max()), 1))
    if smooth.max() < LEAST_CONTRAST * smooth.min() or smooth.max() - smooth.min() < 6 * noise:
        raise CalibrationFailed(
            f"the counting rate of detector {detector} has no maximum over its gate delay",
            remedy="look at its delay line and at the gate signal; or light that is not pulsed enters the fibre",
            code="no-delay-maximum",
        )
    centre = int(smooth.argmax())
    near = np.roll(odds, len(odds) // 2 - centre)
    weights = np.roll(counts, len(odds) // 2 - centre).astype(np.float64)
    offset = _parabola_crest(near, weights, floor=float(np.median(np.sort(odds)[: len(odds) // 4])))
    return float((centre + offset) % len(odds) * bench.info.delay_step_ps)


def _parabola_crest(odds: Floats, weights: Floats, *, floor: float) -> float:
    """Return where the crest is, in steps from the middle of the array."""
    middle = len(odds) // 2
    signal = odds - floor
    reach = 1
    while reach < middle - 1 and min(signal[middle - reach], signal[middle + reach]) > 0.4 * signal[middle]:
        reach += 1
    places: NDArray[np.float64] = np.arange(-reach, reach + 1, dtype=np.float64)
    part = slice(middle - reach, middle + reach + 1)
    logs = np.log(np.maximum(signal[part], 1e-15))
    curve, slope, _ = np.polyfit(places, logs, 2, w=np.sqrt(np.maximum(weights[part], 1.0)))
    return float(np.clip(-slope / (2 * curve), -reach, reach)) if curve < 0 else 0.0
