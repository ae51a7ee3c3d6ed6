"""Delay scanning: when each detector's gate meets the pulse.

Steps and windows are the paper's (Nature 589, 214, Methods: 12.5 ps, 100 ms, four detectors at once). Random
polarizations are sent, so that each detector sees the same mean light whatever the fibre turns. The paper sets the
delay of the highest count; it is reported here beside what is set, which is fitted (``delay_fit``): the crest of a sine
gate, the middle between the two edges of a rectangular one.

**Rectangular gates** come every 25 ns: 2,000 steps, 200 s of link time. Here coarse steps, no wider than half a gate,
find each plateau; then each detector's delay goes over its own plateau and both edges in the paper's steps.

**No gate**: nothing to delay. One window of light and one of darkness say whether all detectors count.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from qanat.ground.errors import CalibrationFailed
from qanat.physics.counting import fired_odds
from qanat.quantum_layer.calibration.delay_fit import coarse_middle, crest, middle
from qanat.quantum_layer.calibration.results import DelayMethod, DelayScan, Floats, Integers
from qanat.quantum_layer.calibration.session import Bench, Procedure
from qanat.quantum_layer.calibration.wire import NUM_DETECTORS

WINDOW_S: Final = 0.1
ENOUGH_CLICKS: Final = 1000
"""Clicks by light of the highest step that make a fit good to a tenth of a step."""
LEAST_CLICKS: Final = 50
"""Clicks by light of the highest step without which there is no light."""
DEAD_SHARE: Final = 0.02
"""A detector with less than this share of what its neighbours count does not work."""
HEADROOM_DB: Final = 3.0
EDGE_ROOM: Final = 0.2
"""How far beyond where an edge may be the fine steps go, in widths of the gate: 320 ps, 3.5 times its rise."""


def scan_delays(bench: Bench) -> Procedure[DelayScan]:
    """Find the delays and set them. Raises CalibrationFailed: no-light, detector-dead, no-delay-maximum."""
    begun_s = bench.elapsed_s
    match bench.info.gate_shape:
        case "sine":
            found = yield from _scan_crests(bench)
        case "rectangular":
            found = yield from _scan_plateaus(bench)
        case "none":
            found = yield from _count_once(bench)
    return replace(found, link_time_s=bench.elapsed_s - begun_s)


def _scan_crests(bench: Bench) -> Procedure[DelayScan]:
    assert bench.info.gate_period_ps is not None, "a gate has a period"
    num_steps = round(bench.info.gate_period_ps / bench.info.delay_step_ps)
    steps = _alike(np.arange(num_steps))
    counts = yield from _with_enough_light(bench, steps, dark=None)
    centres = [crest(_odds(bench, one), one, detector=place) for place, one in enumerate(counts.T)]
    return _set(bench, "crest", steps, counts, np.array(centres), num_coarse=0)


def _scan_plateaus(bench: Bench) -> Procedure[DelayScan]:
    """Coarse steps over the period, then each detector's own plateau and edges step by step."""
    period_ps, width_ps = bench.info.gate_period_ps, bench.info.gate_width_ps
    assert period_ps is not None, "a gate has a period"
    assert width_ps is not None, "a gate has a width"
    step_ps = bench.info.delay_step_ps
    num_steps = round(period_ps / step_ps)
    stride = max(1, int(width_ps / 2 / step_ps))
    coarse = _alike(np.arange(0, num_steps, stride))
    seen = yield from _with_enough_light(bench, coarse, dark=None)
    about = [coarse_middle(coarse[:, 0], one, period=num_steps, detector=place) for place, one in enumerate(seen.T)]
    # a plateau's middle lies within half a coarse step of the coarse one
    reach = math.ceil((width_ps / 2 + width_ps * EDGE_ROOM) / step_ps + stride / 2)
    fine = np.array(about) + np.arange(-reach, reach + 1)[:, None]
    counts = yield from _scan(bench, fine % num_steps)
    floors = [float(np.median(_odds(bench, one))) for one in seen.T]
    offsets = [
        middle(_odds(bench, one), floor=floor, detector=place)
        for place, (one, floor) in enumerate(zip(counts.T, floors, strict=True))
    ]
    steps = np.concatenate([coarse, fine % num_steps])
    centres = (fine[0] + np.array(offsets)) % num_steps
    return _set(bench, "plateau", steps, np.concatenate([seen, counts]), centres, num_coarse=len(coarse))


def _count_once(bench: Bench) -> Procedure[DelayScan]:
    bench.send("off")
    dark = yield from bench.count(WINDOW_S)
    steps = _alike(np.zeros(1, dtype=np.int64))
    counts = yield from _with_enough_light(bench, steps, dark=dark)
    return DelayScan(
        "no gate", bench.info.delay_step_ps, 0.0, steps, counts, 0, (), (), (), bench.knobs.brightness_db, 0.0
    )


def _set(
    bench: Bench, method: DelayMethod, steps: Integers, counts: Integers, centres: Floats, *, num_coarse: int
) -> DelayScan:
    """Set the fitted delays (in steps) and say so; the cost is filled in by the caller."""
    step_ps, period_ps = bench.info.delay_step_ps, float(bench.info.gate_period_ps or 0)
    num_steps = round(period_ps / step_ps)
    chosen = tuple(int(step) for step in np.round(centres).astype(np.int64) % num_steps)
    bench.knobs = replace(bench.knobs, delay_steps=chosen)
    highest = steps[counts.argmax(axis=0), np.arange(NUM_DETECTORS)]
    return DelayScan(
        method=method,
        step_ps=step_ps,
        period_ps=period_ps,
        steps=steps,
        counts=counts,
        num_coarse=num_coarse,
        delays_ps=tuple(step * step_ps for step in chosen),
        centres_ps=tuple(float(centre * step_ps) for centre in centres),
        highest_ps=tuple(float(step * step_ps) for step in highest),
        brightness_db=bench.knobs.brightness_db,
        link_time_s=0.0,
    )


def _with_enough_light(bench: Bench, steps: Integers, *, dark: Integers | None) -> Procedure[Integers]:
    """Scan, and scan again with more light until some step has enough clicks; then every detector has counted.

    dark: clicks in the dark, shape (4,); without them the scan's own median says it, for a gate that misses the pulse
    sees darkness.
    """
    bench.send("random")
    bench.shine(0.0)
    highest_db = bench.info.brightness_db[1]
    while True:
        counts = yield from _scan(bench, steps)
        by_light = counts.max(axis=0) - (np.median(counts, axis=0) if dark is None else dark)
        most = float(by_light.max())
        if most >= ENOUGH_CLICKS or bench.knobs.brightness_db >= highest_db:
            break
        bench.note(f"at most {most:.0f} clicks by light per step: the delay scan is repeated with more light")
        bench.shine(bench.knobs.brightness_db + 10 * math.log10(ENOUGH_CLICKS / max(most, 10.0)) + HEADROOM_DB)
    _check_detectors(counts, by_light)
    return counts


def _scan(bench: Bench, steps: Integers) -> Procedure[Integers]:
    """Count with the gates at each row of steps; int64, the shape of ``steps``: (windows, 4)."""
    rows = []
    for row in steps.tolist():
        bench.knobs = replace(bench.knobs, delay_steps=tuple(row))
        rows.append((yield from bench.count(WINDOW_S)))
    return np.array(rows)


def _alike(steps: Integers) -> Integers:
    """The same steps for all detectors; int64, shape (n, 4)."""
    return np.repeat(steps.astype(np.int64)[:, None], NUM_DETECTORS, axis=1)


def _odds(bench: Bench, counts: Integers) -> Floats:
    return fired_odds(counts, num_slots=bench.num_slots(WINDOW_S), dead_slots=bench.info.hold_off_slots)


def _check_detectors(counts: Integers, by_light: Floats) -> None:
    totals = counts.sum(axis=0)
    if (by_light < LEAST_CLICKS).all():
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
