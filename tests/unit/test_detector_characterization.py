"""Characterization: the record's values come back from clicks alone, and each estimator alone on clicks by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.ground.errors import CalibrationFailed, ConfigurationError
from qanat.physics.detectors import RECTANGULAR_GATED, SINE_GATED, UP_CONVERSION
from qanat.quantum_layer.calibration.characterization import (
    Characterization,
    Run,
    afterpulse_odds,
    characterize,
    dark_odds,
    dead_time,
    efficiency_of,
    wilson,
)
from qanat.quantum_layer.calibration.detectors import DETECTORS, DetectorRecord, detector_named
from qanat.quantum_layer.device_twin.detector_clicks import characterize_twin, draw_run


def misses(record: DetectorRecord, found: Characterization) -> int:
    pairs = (
        (found.efficiency, record.efficiency),
        (found.p_dark_per_gate, record.p_dark_per_gate),
        (found.dead_gates, record.dead_gates),
        (found.p_afterpulse, record.p_afterpulse),
    )
    return sum(not estimate.holds(value) for estimate, value in pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.campaign if name == "ingaas-sine" else ()) for name in sorted(DETECTORS)],
)
def test_the_record_comes_back_from_clicks(name: str) -> None:
    """Four intervals of 99.9 % over three seeds: a false alarm in 80 sets of seeds; these are fixed."""
    record = DETECTORS[name]
    assert sum(misses(record, characterize_twin(record, np.random.default_rng(seed))) for seed in range(3)) == 0


@pytest.mark.slow
def test_another_detector_is_told_from_the_record() -> None:
    """What is recovered is of the clicks, not of the record: each value changed is noticed."""
    record = DETECTORS["up-conversion"]
    other = replace(record, efficiency=0.25, p_dark_per_gate=2.2e-6, dead_time_s=64e-9, p_afterpulse=0.02)
    found = characterize_twin(other, np.random.default_rng(1))
    assert misses(other, found) == 0
    assert misses(record, found) == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "efficiency", [0.055, *(pytest.param(more, marks=pytest.mark.campaign) for more in (0.088, 0.11, 0.121))]
)
def test_each_of_four_unlike_detectors_comes_back_by_itself(efficiency: float) -> None:
    """A receiver's detectors may differ; the intervals are narrow enough to tell each from all others."""
    record = replace(DETECTORS["ingaas-sine"], efficiency=efficiency)
    found = characterize_twin(record, np.random.default_rng(21))
    assert misses(record, found) == 0
    others = {0.055, 0.088, 0.11, 0.121} - {efficiency}
    assert not any(found.efficiency.holds(other) for other in others)


def test_dead_time_is_the_shortest_interval_less_one() -> None:
    found = dead_time(Run(np.array([0, 11, 22, 35, 46] * 1) + 0, 50, 1, 3.0))
    assert found.value == 10
    assert found.low <= 10 == found.high


def test_dark_odds_leave_out_what_may_be_after_pulses() -> None:
    """Dead time 1 gate, shadow 20: intervals of 5 are after-pulses, intervals of 120 hold 100 gates and one click."""
    clicks = np.cumsum([120, 5] * 50)
    found = dark_odds(Run(clicks, int(clicks[-1]) + 1), dead_gates=1)
    assert found.value == pytest.approx(1 / 100)


def test_efficiency_counts_live_lit_gates_only() -> None:
    """Gates 0, 10, 20, ...; each click puts the next lit gate to sleep, and every live one clicks in this run."""
    clicks = np.arange(0, 1000, 20)
    asleep = efficiency_of(Run(clicks[:-1], 1000, 10, 1.0), 15, wilson(0, 10**9))
    awake = efficiency_of(Run(clicks[:-1], 1000, 10, 1.0), 5, wilson(0, 10**9))
    assert asleep.value == pytest.approx(-np.log(1 - 49 / 51), rel=1e-6)
    assert awake.value == pytest.approx(-np.log(1 - 49 / 100), rel=1e-6)


def test_after_pulses_are_clicks_that_follow_in_dark_gates() -> None:
    """Lit gates 0, 100, 200, ... all click, every tenth is followed by a click 30 gates later."""
    lit = np.arange(0, 100_000, 100)
    clicks = np.sort(np.concatenate([lit, lit[::10] + 30]))
    found = afterpulse_odds(Run(clicks, 100_000, 100, 1.0), 20, wilson(0, 10**9))
    # the lit gate after an after-pulse has another click 70 gates before it and is left out
    assert found.value == pytest.approx(100 / 899, rel=0.02)


def test_wilson_intervals_hold_what_they_say() -> None:
    """10,000 draws of 500 trials at 3 %: 99.9 % of the intervals hold it, within 5 sigma."""
    draws = np.random.default_rng(1).binomial(500, 0.03, 10_000)
    held = np.mean([wilson(int(count), 500).holds(0.03) for count in draws])
    assert held == pytest.approx(0.999, abs=5 * (0.001 / 10_000) ** 0.5 + 5e-4)


def test_after_pulses_come_after_the_hold_off_and_as_often_as_said() -> None:
    record = replace(DETECTORS["ingaas-rectangular"], p_afterpulse=0.3)
    run = draw_run(record, np.random.default_rng(1), num_gates=4 * 10**8)
    gaps = np.diff(run.clicks)
    assert gaps.min() > record.dead_gates
    soon = float(np.mean(gaps < record.dead_gates + 400))
    assert soon == pytest.approx(0.3, abs=5 * (0.21 / gaps.size) ** 0.5 + 400 * record.p_dark_per_gate)


def test_too_few_clicks_are_refused() -> None:
    few = Run(np.arange(0, 100, 20), 1000, 10, 1.0)
    with pytest.raises(CalibrationFailed, match="only 5 clicks"):
        characterize(few, few, few)


def test_an_unknown_detector_is_named_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="ingaas-sine"):
        detector_named("eye")


def test_on_the_bench_every_gate_counts_and_a_system_sees_its_share() -> None:
    """After-pulses come in every gate of 1.25 GHz, or all over 1.6 ns; half of them are in gates with a pulse, or a
    quarter in the window."""
    bench = {name: DETECTORS[name].p_afterpulse for name in DETECTORS}
    assert bench["ingaas-sine"] * 625e6 / SINE_GATED.gate_rate_hz == pytest.approx(SINE_GATED.p_afterpulse)
    assert bench["up-conversion"] * 400e-12 / 1.6e-9 == pytest.approx(UP_CONVERSION.p_afterpulse)
    assert bench["ingaas-rectangular"] == RECTANGULAR_GATED.p_afterpulse
