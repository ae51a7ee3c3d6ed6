"""A link that is calibrated first: its error comes out of it, drift moves it, feedback brings it back, or it aborts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from qanat.apps.cli.link import OpticsOptions, run_link_command
from qanat.apps.pictures.link import draw_link
from qanat.ground.errors import CalibrationFailed, ConfigurationError
from qanat.ground.randomness import SeededChance
from qanat.physics.analytic import link_model
from qanat.physics.clicks import cell_odds
from qanat.physics.systems import BACKBONE_625
from qanat.quantum_layer.device_twin.settings import TwinSettings
from qanat.quantum_layer.link_optics import LinkOptics
from qanat.quantum_layer.link_plan import LinkTask, plan_blocks
from qanat.quantum_layer.link_run import LinkFigures, run_link
from qanat.simulation.entropy import SimulationEntropy

TASK = LinkTask(system="backbone-625", loss_db=6.0, seconds=1.6, calibrate=True)
DRIFTING = LinkTask(system="backbone-625", loss_db=16.0, seconds=24.0, calibrate=True, drift_rad_per_sqrt_s=0.05)


def run(task: LinkTask, seed: int = 1) -> LinkFigures:
    chance = SeededChance(seed)
    return run_link(task, chance=chance, entropy=SimulationEntropy(chance.child("entropy")))


def test_a_calibrated_link_makes_key_with_the_error_that_its_calibration_found() -> None:
    """QBER against the calibrated error and half of the dark clicks: 1.7 million bits, five sigma of both."""
    figures = run(TASK)
    assert figures.all_held, figures.alarms
    optics = figures.optics
    assert optics is not None
    assert optics.stops == ()
    assert optics.calibration_s > 9
    assert optics.link_time_s == pytest.approx(1.6 + optics.calibration_s)
    assert optics.duty == pytest.approx(1.6 / optics.link_time_s)
    expected = sum(optics.optical_errors) / 2
    sigma = max(optics.optical_error_sigmas)
    assert figures.qber == pytest.approx(expected, abs=5 * sigma)
    assert optics.mean_optical_error == pytest.approx(expected, abs=5 * sigma)
    assert min(optics.optical_errors) > 0.002


@pytest.mark.slow
def test_the_same_seed_calibrates_to_the_same_and_another_seed_to_another() -> None:
    assert run(TASK) == run(TASK)
    one, other = run(TASK).optics, run(TASK, seed=2).optics
    assert one is not None
    assert other is not None
    assert one.optical_errors != other.optical_errors


def test_a_link_that_is_not_calibrated_has_its_records_error_and_no_optics() -> None:
    figures = run(replace(TASK, calibrate=False))
    assert figures.optics is None
    expected = link_model(BACKBONE_625, loss_db=TASK.loss_db).qber(0)
    assert figures.qber == pytest.approx(expected, abs=0.0004)  # five sigma of 1.7 million bits are 0.03 %


def test_optics_that_stand_still_are_told_once_and_again_after_an_alignment() -> None:
    optics = LinkOptics(TwinSettings("backbone-625", 16.0, 3))
    optics.calibrate()
    first = optics.odds(0.0)
    assert first is not None
    assert optics.odds(0.05) is None
    optics.realign()
    assert optics.odds(0.05) is not None
    assert first == pytest.approx(cell_odds(BACKBONE_625, loss_db=0.0, response=optics.response()), rel=0.2)


def test_what_light_meets_are_shares_efficiencies_and_gates_of_the_devices() -> None:
    optics = LinkOptics(TwinSettings("backbone-625", 16.0, 3))
    optics.calibrate()
    response, shares = optics.response(), optics.device.shares(optics.knobs)
    of_detectors = response / shares
    assert of_detectors == pytest.approx(np.tile(of_detectors[0], (4, 1)))
    stated = 0.11 * 10 ** (-(16.0 + 1.5) / 10)
    # mismatch of at most 5 %, and a gate that is at most a step (1.2 %) off
    assert np.all((of_detectors[0] > 0.938 * stated) & (of_detectors[0] < 1.05 * stated))
    assert len(set(of_detectors[0].tolist())) == 4


def test_drift_moves_delay_and_polarization_while_the_light_is_on() -> None:
    optics = LinkOptics(TwinSettings("backbone-625", 16.0, 5, delay_drift_ps_per_sqrt_s=3.0))
    optics.calibrate()
    before = optics.response()
    optics.odds(900.0)
    after = optics.response()
    assert after.sum() < 0.9 * before.sum()
    assert after / after.sum(axis=0) == pytest.approx(before / before.sum(axis=0))  # no polarization moved
    optics.rescan()
    assert optics.response().sum() == pytest.approx(before.sum(), rel=0.05)


@pytest.mark.slow
def test_under_drift_the_link_stops_for_feedback_and_the_block_goes_on() -> None:
    figures = run(DRIFTING)
    assert figures.all_held, figures.alarms
    assert figures.num_blocks == 1
    assert figures.secret_bits > 500_000
    optics = figures.optics
    assert optics is not None
    assert len(optics.stops) >= 1
    curve = [qber or 0.0 for qber in figures.qber_curve]
    for stop in optics.stops:
        assert max(stop.optical_errors) > 1 / 101
        place = round(stop.light_s)
        if place + 2 < len(curve):
            assert max(curve[place - 2 : place + 1]) > 0.0085, "the error rate rises"
            assert curve[place + 1] < max(curve[place - 2 : place + 1]), "and comes back"
    assert max(curve) < 0.03
    assert optics.stopped_s == pytest.approx(sum(stop.duration_s for stop in optics.stops))
    assert optics.link_time_s == pytest.approx(24.0 + optics.calibration_s + optics.stopped_s)
    assert 0.004 < optics.mean_optical_error < 0.01


@pytest.mark.slow
def test_without_feedback_the_sessions_themselves_abort(capsys: pytest.CaptureFixture[str]) -> None:
    figures = run(replace(DRIFTING, drift_rad_per_sqrt_s=0.15, with_feedback=False))
    codes = [alarm.code for alarm in figures.alarms]
    assert codes == ["QberTooHigh"]
    assert figures.alarms[0].remedy
    assert 0 < (figures.alarms[0].light_s or 0.0) <= 24.0
    assert b"alarm QberTooHigh" in draw_link(figures, title="lost", as_png=False)
    assert figures.optics is not None
    assert figures.optics.stops == ()
    assert figures.qber_curve[0] is not None
    assert figures.qber_curve[0] < 0.05 < max(qber or 0.0 for qber in figures.qber_curve)
    assert figures.secret_bits == 0
    lost = OpticsOptions(drift_rad_per_sqrt_s=0.15, with_feedback=False)
    status = run_link_command(
        "backbone-625", loss_db=16.0, seconds=24.0, seed=1, disturbance=0.0, as_json=False, optics=lost
    )
    assert status == 1
    assert "alarm QberTooHigh" in capsys.readouterr().out


@pytest.mark.campaign
def test_delays_are_scanned_again_when_the_counts_have_fallen() -> None:
    task = replace(DRIFTING, drift_rad_per_sqrt_s=0.0, delay_drift_ps_per_sqrt_s=5.0, seconds=120.0)
    figures = run(task)
    assert figures.all_held, figures.alarms
    optics = figures.optics
    assert optics is not None
    assert {stop.reason for stop in optics.stops} == {"delay"}
    clicks, begun = figures.clicks_curve, 0
    for place in (int(stop.light_s) for stop in optics.stops if stop.light_s < 118):
        # a stop may fall into the middle of a second
        assert clicks[place - 1] < 0.95 * clicks[begun], "the counts fall"
        assert clicks[place + 1] > 1.03 * clicks[place - 1], "and come back"
        begun = place + 1
    assert min(stop.duration_s for stop in optics.stops) > 6.4
    held = run(replace(task, with_feedback=False))
    assert min(held.clicks_curve) < min(clicks)


@pytest.mark.slow
def test_errors_that_alignment_does_not_explain_do_not_stop_the_link_for_ever() -> None:
    """Somebody flips photons: the first feedback shows that it is not the optics; the next ones come ever later."""
    figures = run(replace(DRIFTING, drift_rad_per_sqrt_s=0.0, disturbance=0.02))
    assert figures.all_held, figures.alarms
    optics = figures.optics
    assert optics is not None
    lights_s = [stop.light_s for stop in optics.stops]
    assert lights_s == pytest.approx([1.0, 3.0, 7.0, 15.0], abs=0.6)
    assert "so it is not the alignment" in optics.abnormalities[0]


def test_a_fibre_that_no_calibration_can_follow_is_told_before_any_light() -> None:
    with pytest.raises(CalibrationFailed, match="not 100:1"):
        run(replace(DRIFTING, drift_rad_per_sqrt_s=1.0))


@pytest.mark.slow
def test_a_feedback_that_fails_in_the_run_is_an_alarm_and_ends_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: LinkOptics) -> None:
        raise CalibrationFailed("the controller is stuck", remedy="free it", code="controller-stuck")

    monkeypatch.setattr(LinkOptics, "realign", fail)
    figures = run(DRIFTING)
    assert [(alarm.code, alarm.remedy) for alarm in figures.alarms] == [("CalibrationFailed", "free it")]
    assert figures.num_blocks == 0
    assert figures.pulses == 15_000_000_000, "the light goes on, as the link drifts"
    assert figures.optics is not None
    assert len(figures.optics.stops) == 1


def test_the_plan_of_a_calibrated_link_leaves_room_for_what_its_devices_may_lack() -> None:
    task = replace(DRIFTING, drift_rad_per_sqrt_s=0.0, seconds=60.0)
    stated, calibrated = plan_blocks(replace(task, calibrate=False)), plan_blocks(task)
    drifting = plan_blocks(replace(task, delay_drift_ps_per_sqrt_s=5.0))
    assert stated.block_bits * stated.num_blocks > calibrated.block_bits * calibrated.num_blocks
    assert calibrated.block_bits * calibrated.num_blocks > drifting.block_bits * drifting.num_blocks > 0


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"calibrate": False, "drift_rad_per_sqrt_s": 0.01}, "let the link be calibrated"),
        ({"calibrate": False, "delay_drift_ps_per_sqrt_s": 1.0}, "let the link be calibrated"),
        ({"calibrate": False, "with_feedback": False}, "let the link be calibrated"),
        ({"drift_rad_per_sqrt_s": 7.0}, "from 0 (none) to 1"),
        ({"drift_rad_per_sqrt_s": -0.1}, "from 0 (none) to 1"),
        ({"delay_drift_ps_per_sqrt_s": float("nan")}, "from 0 (none) to 100"),
    ],
)
def test_drifts_that_cannot_be_are_refused_with_the_remedy(change: dict[str, object], remedy: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        replace(TASK, **change)  # type: ignore[arg-type]
    assert remedy in refusal.value.remedy


@pytest.mark.slow
def test_the_picture_shows_error_rate_thresholds_and_stops(tmp_path: Path) -> None:
    figures = run(DRIFTING)
    root = ET.fromstring(draw_link(figures, title="a run", as_png=False))
    texts = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    for words in ("a run", "Error rate", "abort", "100:1", "polarization feedback", "Detections"):
        assert words in texts
    assert draw_link(figures, title="a run", as_png=True).startswith(b"\x89PNG")
    plain = draw_link(run(replace(TASK, calibrate=False)), title="not calibrated", as_png=False)
    assert b"polarization feedback" not in plain


@pytest.mark.parametrize(
    ("name", "why"), [("x.gif", "no picture"), ("no/such/x.png", "there is no folder"), ("x.svg", "it is a folder")]
)
def test_a_picture_that_cannot_be_is_refused_before_any_light(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "x.svg").mkdir()
    week_s = 7 * 86_400.0  # would take hours if it were run
    with pytest.raises(ConfigurationError, match=why):
        run_link_command(
            "backbone-625", loss_db=6.0, seconds=week_s, seed=1, disturbance=0.0, as_json=True, out=tmp_path / name
        )


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(3))
def test_twenty_minutes_of_drift_are_twenty_minutes_of_key(seed: int) -> None:
    """0.01 rad per root second, 24,000 tables: every block has its key, and no second is far from 100:1."""
    task = replace(DRIFTING, drift_rad_per_sqrt_s=0.01, delay_drift_ps_per_sqrt_s=1.0, seconds=1200.0)
    figures = run(task, seed=seed)
    assert figures.all_held, figures.alarms
    assert figures.num_blocks == plan_blocks(task).num_blocks > 20
    optics = figures.optics
    assert optics is not None
    assert len(optics.stops) > 3
    assert optics.duty > 0.9
    assert 0.004 < optics.mean_optical_error < 0.007
    assert max(qber or 0.0 for qber in figures.qber_curve) < 0.016
