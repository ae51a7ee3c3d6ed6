"""Clicks of one detector, one by one: light, darkness, dead time and after-pulses, gate by gate at the price of clicks.

After each click a carrier may be left (odds ``p_afterpulse``). It is released at an exponential time after the hold-off
and fires the detector if that is live then; if another click has put it to sleep, the carrier is lost.
"""

from __future__ import annotations

import heapq
import math
from typing import Final

import numpy as np

from qanat.quantum_layer.calibration.characterization import Characterization, Gates, Run, characterize
from qanat.quantum_layer.calibration.detectors import DetectorRecord

BRIGHT_PHOTONS: Final = 3.0
PULSED_PHOTONS: Final = 0.5
BRIGHT_CLICKS: Final = 1200
DARK_CLICKS: Final = 20_000
LIT_CLICKS: Final = 60_000
PULSE_DECAYS: Final = 12
"""The next pulse comes so many decay times after the hold-off: what is released later is one in 10^5."""


def draw_run(
    record: DetectorRecord,
    generator: np.random.Generator,
    *,
    num_gates: int,
    pulse_gates: int = 0,
    mean_photons: float = 0.0,
) -> Run:
    """Draw the clicks of a run of ``num_gates`` gates; every ``pulse_gates``-th is lit, from gate 0 on."""
    candidates = _primary_gates(record, generator, num_gates, pulse_gates, mean_photons)
    carriers: list[int] = []
    clicks: list[int] = []
    live_from = 0
    decay_gates = record.afterpulse_decay_s * record.gate_rate_hz
    draws = iter(generator.random((2, 2 * candidates.size + 16)).T.tolist())
    for gate in [*candidates.tolist(), num_gates]:
        while carriers and carriers[0] <= gate:
            released = heapq.heappop(carriers)
            if released >= live_from and released < num_gates:
                live_from = _click(record, released, decay_gates, clicks, carriers, next(draws))
        if live_from <= gate < num_gates:
            live_from = _click(record, gate, decay_gates, clicks, carriers, next(draws))
    return Run(np.array(clicks, dtype=np.int64), num_gates, pulse_gates, mean_photons)


def _click(
    record: DetectorRecord, gate: int, decay_gates: float, clicks: list[int], carriers: list[int], draw: list[float]
) -> int:
    """Record a click, leave a carrier perhaps; returns the first gate at which the detector is live again."""
    clicks.append(gate)
    live_from = gate + 1 + record.dead_gates
    if draw[0] < record.p_afterpulse:
        heapq.heappush(carriers, live_from + int(-math.log(1 - draw[1]) * decay_gates))
    return live_from


def _primary_gates(
    record: DetectorRecord, generator: np.random.Generator, num_gates: int, pulse_gates: int, mean_photons: float
) -> Gates:
    """Draw the gates in which light or darkness would fire a live detector."""
    dark = _bernoulli(generator, num_gates, record.p_dark_per_gate)
    if not pulse_gates:
        return dark
    p_light = -math.expm1(-mean_photons * record.efficiency)
    lit = pulse_gates * _bernoulli(generator, -(-num_gates // pulse_gates), p_light)
    return np.union1d(dark, lit).astype(np.int64)


def _bernoulli(generator: np.random.Generator, num_trials: int, odds: float) -> Gates:
    """Return which of independent trials succeed: int64, increasing."""
    expected = num_trials * odds
    size = int(expected + 8 * math.sqrt(expected)) + 16
    found = np.cumsum(generator.geometric(odds, size)) - 1
    assert found[-1] >= num_trials, "eight standard deviations are enough"
    return found[found < num_trials].astype(np.int64)


def characterize_twin(record: DetectorRecord, generator: np.random.Generator) -> Characterization:
    """Run the three measurements on a twin of ``record`` and recover its values from the clicks alone."""
    decay_gates = round(record.afterpulse_decay_s * record.gate_rate_hz)
    pulse_gates = record.dead_gates + 1 + PULSE_DECAYS * decay_gates
    bright = draw_run(
        record, generator, num_gates=BRIGHT_CLICKS * (record.dead_gates + 5), pulse_gates=1, mean_photons=BRIGHT_PHOTONS
    )
    dark = draw_run(record, generator, num_gates=round(DARK_CLICKS / record.p_dark_per_gate))
    pulsed = draw_run(
        record,
        generator,
        num_gates=round(LIT_CLICKS / (PULSED_PHOTONS * record.efficiency)) * pulse_gates,
        pulse_gates=pulse_gates,
        mean_photons=PULSED_PHOTONS,
    )
    return characterize(bright, dark, pulsed)
