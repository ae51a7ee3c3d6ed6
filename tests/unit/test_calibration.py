"""Calibration sessions: what they find on a twin, what they report, and what dead time does to a ratio."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from qanat.ground.errors import CalibrationFailed, ConfigurationError, FrameError, QuantumLayerError
from qanat.ground.framing import decode_frame, encode_frame
from qanat.physics.counting import fired_odds
from qanat.quantum_layer.calibration.delay import scan_delays
from qanat.quantum_layer.calibration.feedback import LIVE_AT_LEAST, WINDOW_S
from qanat.quantum_layer.calibration.procedure import Outcome, Plan, carry_out
from qanat.quantum_layer.calibration.session import Bench, CalibrationSession, Procedure, run_session
from qanat.quantum_layer.calibration.wire import (
    COMMAND,
    Knobs,
    Measure,
    decode_command,
    decode_reading,
    encode_command,
)
from qanat.quantum_layer.device_twin.device import DeviceTwin
from qanat.quantum_layer.device_twin.settings import TwinSettings
from unit.calibration_support import calibrated


def twin(seed: int = 1, *, loss_db: float = 16.0, drift: float = 0.0, faults: tuple[str, ...] = ()) -> DeviceTwin:
    return DeviceTwin(TwinSettings("backbone-625", loss_db, seed, drift_rad_per_sqrt_s=drift, faults=faults))


def test_a_calibration_costs_the_time_of_its_windows() -> None:
    """64 steps of 100 ms alone are 6.4 s; the device's clock says what all of it costs."""
    start = calibrated(1)
    found = start.found
    assert found.delay.link_time_s == pytest.approx(6.4, abs=0.1)
    assert found.link_time_s == pytest.approx(start.device.elapsed_s)
    assert found.abnormalities == ()


def test_the_optical_error_comes_out_of_the_calibration() -> None:
    """What is measured is what the twin's optics do, within 5 standard errors."""
    for seed in range(3):
        start = calibrated(seed)
        truth = start.device.optical_errors(start.knobs)
        for basis in (0, 1):
            sigma = start.found.feedback.optical_error_sigmas[basis]
            # detectors differ by up to 5 % in efficiency, which the mean over both states cancels to first order
            assert start.found.feedback.optical_errors[basis] == pytest.approx(truth[basis], abs=5 * sigma + 1e-4)
            assert 0.002 < truth[basis] < 1 / 101


def test_another_seed_finds_other_delays_and_the_same_seed_the_same() -> None:
    one, again, other = (calibrated(seed).found for seed in (5, 5, 6))
    assert one.delay.centres_ps == again.delay.centres_ps
    assert one.delay.centres_ps != other.delay.centres_ps


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("no-light", "no-light"),
        ("detector-dead", "detector-dead"),
        ("delay-stuck", "no-delay-maximum"),
        ("controller-stuck", "controller-stuck"),
        ("poor-splitter", "ratio-not-reached"),
        ("clock-lost", "no-synchronization"),
    ],
)
def test_a_fault_is_named_with_its_remedy(fault: str, code: str) -> None:
    with pytest.raises(CalibrationFailed) as caught:
        calibrated(1, faults=(fault,))
    assert caught.value.code == code
    assert caught.value.remedy


def test_three_squeezers_are_enough() -> None:
    assert min(calibrated(2, faults=("squeezer-stuck",)).true_ratios) >= 100


def test_a_splitter_below_100_to_1_is_tried_five_times_and_each_try_recorded() -> None:
    device = twin(faults=("poor-splitter",))
    noted: list[Bench] = []

    def procedure(bench: Bench) -> Procedure[Outcome]:
        noted.append(bench)
        return (yield from carry_out(bench, Plan()))

    with pytest.raises(CalibrationFailed, match="in 5 attempts"):
        run_session(CalibrationSession(procedure), device.answer)
    assert len([text for text in noted[0].abnormalities if "is not 100:1" in text]) == 5


def test_a_long_link_is_scanned_again_with_more_light() -> None:
    device = twin(loss_db=45.0)
    found = run_session(CalibrationSession(scan_delays), device.answer)
    assert found.brightness_db > 10
    assert found.counts.max() > 1000


def test_dead_time_at_calibration_brightness_does_not_falsify_the_ratio() -> None:
    """The same optics, aligned, at brightnesses 40 dB apart.

    In the brightest the detector of H sleeps nearly always, in the dimmest dark clicks fill that of V: raw counts say
    less than half of the ratio. Dead time put back, each count is that of the light and the dark within 5 standard
    errors. What the session says of H holds within its own error and the detectors' 5 % of mismatch each.
    """
    start = calibrated(3)
    device, truth = start.device, start.true_ratios[0]
    assert min(start.found.feedback.live_fraction) >= LIVE_AT_LEAST
    raw_ratios = []
    for brightness_db in (-10.0, 10.0, 30.0):
        knobs = replace(start.knobs, light="H", brightness_db=brightness_db)
        reading = decode_reading(device.answer(encode_command(Measure("counts", 1.0, knobs))), "counts")
        assert reading.counts is not None
        counts = reading.counts[:2]
        light = fired_odds(counts, num_slots=625_000_000, dead_slots=625)
        expected = device.firing_odds(knobs)[0, :2]
        assert np.all(np.abs(light / expected - 1) < 5 / np.sqrt(counts))
        raw_ratios.append(counts[0] / counts[1])
    assert raw_ratios[0] < 0.5 * truth
    assert raw_ratios[2] < 0.2 * truth
    seen = start.found.feedback.extinctions[0]
    assert seen.p_wrong == pytest.approx(1 / (1 + truth), abs=5 * seen.p_wrong_sigma + 0.1 / truth)


@pytest.mark.slow
def test_feedback_holds_a_drifting_link_and_without_it_the_run_aborts() -> None:
    def run(*, with_feedback: bool) -> Outcome:
        plan = Plan(watch_s=120.0, with_feedback=with_feedback)
        return run_session(CalibrationSession(lambda bench: carry_out(bench, plan)), twin(3, drift=0.03).answer)

    held, lost = run(with_feedback=True).watch, run(with_feedback=False).watch
    assert held is not None
    assert lost is not None
    assert held.aborted_at_s is None
    assert len(held.feedbacks) >= 2
    for _, stop_s in held.feedbacks[:-1]:
        after = held.qber[(held.elapsed_s > stop_s) & (held.elapsed_s < stop_s + 1)]
        assert after.max() < 0.01, "the error rate comes back"
    assert held.qber.max() < 0.04
    assert 0 < held.link_time_s < 0.2 * 120
    assert lost.aborted_at_s is not None
    assert lost.qber[-1] > 0.05
    assert lost.feedbacks == ()


def test_a_link_that_does_not_drift_needs_no_feedback() -> None:
    watched = run_session(CalibrationSession(lambda bench: carry_out(bench, Plan(watch_s=3.0))), twin(4).answer).watch
    assert watched is not None
    assert watched.feedbacks == ()
    assert watched.qber[-1] < 0.007


def test_commands_survive_their_frames() -> None:
    knobs = Knobs("H", is_slow=True, brightness_db=-3.5, delay_steps=(1, 2, 3, 4), retardances_rad=((1.5,) * 4,) * 2)
    command = Measure("tags", WINDOW_S, knobs)
    assert decode_command(encode_command(command)) == command
    assert decode_command(encode_command(None)) is None


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"do": "measure"},
        {"do": "measure", "what": "counts", "window_s": -1.0, "knobs": {}},
        {"do": "measure", "what": "counts", "window_s": 1.0, "knobs": {"light": "H"}},
        {"do": "measure", "what": "keys", "window_s": 1.0, "knobs": {}},
    ],
)
def test_a_device_refuses_what_is_no_command_and_lives_on(header: dict[str, object]) -> None:
    device = twin()
    frame = encode_frame(COMMAND, header)  # type: ignore[arg-type]
    with pytest.raises(FrameError):
        decode_command(frame)
    with pytest.raises(QuantumLayerError, match="the device says"):
        decode_reading(device.answer(frame), "counts")
    assert decode_frame(device.answer(encode_command(None))).kind == 0x61


def test_a_device_refuses_settings_that_it_does_not_have() -> None:
    for knobs in (Knobs(brightness_db=99.0), Knobs(retardances_rad=((99.0,) * 4,) * 2)):
        with pytest.raises(QuantumLayerError, match="the device says"):
            decode_reading(twin().answer(encode_command(Measure("counts", 0.1, knobs))), "counts")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"loss_db": -1.0}, "loss"),
        ({"drift_rad_per_sqrt_s": 5.0}, "drift"),
        ({"faults": ("tired",)}, "known faults"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, object], words: str) -> None:
    given = {"system": "backbone-625", "loss_db": 16.0, "seed": 1, **settings}
    with pytest.raises(ConfigurationError, match=words):
        TwinSettings(**given)  # type: ignore[arg-type]


def test_a_system_without_times_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigurationError, match="backbone-625"):
        _ = TwinSettings("micius", 16.0, 1).timing
