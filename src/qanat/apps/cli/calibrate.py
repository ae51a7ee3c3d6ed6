"""``qanat calibrate``: the three procedures against a device behind a pipe, as figures and as pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from qanat.adapters.device_pipe import DevicePipe
from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.pictures.calibration import draw_calibration
from qanat.apps.pictures.files import check_picture_name, write_picture
from qanat.ground.errors import QberTooHigh
from qanat.ground.ports import Job
from qanat.quantum_layer.calibration.procedure import Outcome, Plan, carry_out
from qanat.quantum_layer.calibration.results import Calibration, Watch
from qanat.quantum_layer.calibration.session import Bench, CalibrationSession, Procedure, run_session
from qanat.quantum_layer.calibration.upkeep import LOST_ABOVE
from qanat.quantum_layer.device_twin.device import open_device
from qanat.quantum_layer.device_twin.settings import TwinSettings

DETECTORS = ("H", "V", "+", "-")


class CalibrateOptions(NamedTuple):
    """What the command line said."""

    system: str
    loss_db: float
    seed: int
    drift_rad_per_sqrt_s: float
    watch_s: float
    with_feedback: bool
    faults: tuple[str, ...]


def run_calibrate(options: CalibrateOptions, *, out: Path | None, as_json: bool) -> int:
    """Calibrate and print. Returns 0; a calibration that fails raises, and so does, at the end, a run that aborts."""
    check_picture_name(out)
    outcome = _carry_out(options)
    title = f"Calibration of {options.system} over {options.loss_db:g} dB, seed {options.seed}"
    if out is not None:
        write_picture(out, draw_calibration(*outcome, title=title, as_png=out.suffix.lower() == ".png"))
    if as_json:
        print(json.dumps(_record(options, outcome), indent=2))
    else:
        _print(title, outcome)
    watched = outcome.watch
    if watched is not None and watched.aborted_at_s is not None:
        raise QberTooHigh(
            f"the error rate passed {watched.abort_above:.0%} after {watched.aborted_at_s:.1f} s of drift",
            remedy="the polarization has drifted away: run with feedback, or look why the feedback cannot follow",
        )
    return 0


def _carry_out(options: CalibrateOptions) -> Outcome:
    settings = TwinSettings(
        options.system,
        options.loss_db,
        options.seed,
        drift_rad_per_sqrt_s=options.drift_rad_per_sqrt_s,
        faults=options.faults,
    )
    _ = settings.record  # a system that there is not is refused here, not in the device
    plan = Plan(options.watch_s if options.drift_rad_per_sqrt_s else 0.0, options.with_feedback)

    def procedure(bench: Bench) -> Procedure[Outcome]:
        return carry_out(bench, plan)

    with DevicePipe(Job(open_device, (settings,))) as device:
        return run_session(CalibrationSession(procedure), device.exchange)


def _print(title: str, outcome: Outcome) -> None:
    console = people_console(is_answer=True)
    found, watched = outcome
    console.print(f"[bold]{title}[/]\n")
    fitted = "fitted middle, ps" if found.delay.method == "plateau" else "fitted crest, ps"
    delays = ("gate delay, ps", fitted, "highest count, ps") if found.delay.delays_ps else ("gate delay",)
    window = (f"clicks within {found.synchronization.window_ps} ps",) if found.synchronization.kept else ()
    show_table(
        console,
        "Detectors",
        ("detector", *delays, "clicks there", "sync. correction, ns", *window),
        [_detector_row(found, place) for place in range(4)],
    )
    show_table(
        console,
        "Extinction after feedback (dark clicks taken away, dead time put back)",
        ("state", "ratio", "2-sigma lower bound", "wrong port, %"),
        [
            (one.state, f"{one.ratio:.0f}:1", f"{one.ratio_lower:.0f}:1", f"{one.p_wrong:.3%}".removesuffix("%"))
            for one in found.feedback.extinctions
        ],
    )
    for line in _lines(found, watched):
        console.print(f"  {line}", soft_wrap=True)


def _detector_row(found: Calibration, place: int) -> tuple[str, ...]:
    delay, synchronization = found.delay, found.synchronization
    told = (delay.delays_ps, delay.centres_ps, delay.highest_ps) if delay.delays_ps else ()
    return (
        DETECTORS[place],
        *(f"{one[place]:,.1f}" for one in told),
        *(() if told else (delay.method,)),
        f"{int(delay.counts[:, place].max()):,}",
        f"{synchronization.corrections_ps[place] / 1e3:,.3f}",
        *(f"{share:.1%}" for share in synchronization.kept[place : place + 1]),
    )


def _lines(found: Calibration, watched: Watch | None) -> list[str]:
    feedback = found.feedback
    errors = [
        f"{name} {error:.2%} +- {sigma:.2%}"
        for name, error, sigma in zip(
            ("rectilinear", "diagonal"), feedback.optical_errors, feedback.optical_error_sigmas, strict=True
        )
    ]
    parts = (found.delay, feedback, found.synchronization)
    seconds = " + ".join(f"{part.link_time_s:.1f}" for part in parts)
    lines = [
        f"optical error: {', '.join(errors)}",
        f"detectors live during feedback: {', '.join(f'{share:.0%}' for share in feedback.live_fraction)} of the time",
        f"link time lost: {found.link_time_s:.1f} s ({seconds}: delay, polarization, synchronization)",
        *(f"abnormality at {text}" for text in found.abnormalities),
    ]
    if watched is not None:
        end_s = float(watched.elapsed_s[-1])
        lines.append(
            f"under drift: QBER {watched.qber[0]:.2%} at first, {watched.qber.max():.2%} at most, "
            f"{watched.qber[-1]:.2%} at the end ({end_s:.0f} s)"
        )
        lines.append(
            f"  optical error while key was made: {watched.mean_optical_error:.3%} in the mean, "
            f"{watched.most_optical_error:.2%} at most (worse basis, over a second); 100:1 is {LOST_ABOVE:.2%}"
        )
        lines.append(
            f"  {len(watched.feedbacks)} feedbacks took {watched.link_time_s:.1f} s, {watched.link_time_s / end_s:.1%} "
            "of the run"
        )
        lines.extend(f"  abnormality at {text}" for text in watched.abnormalities)
    return lines


def _record(options: CalibrateOptions, outcome: Outcome) -> dict[str, Any]:
    found, watched = outcome
    feedback = found.feedback
    return {
        **options._asdict(),
        "delay_method": found.delay.method,
        "delays_ps": found.delay.delays_ps,
        "delay.centres_ps": found.delay.centres_ps,
        "delay_highest_counts_ps": found.delay.highest_ps,
        "extinctions": {
            one.state: {"ratio": one.ratio, "ratio_lower": one.ratio_lower, "p_wrong": one.p_wrong}
            for one in feedback.extinctions
        },
        "optical_errors": dict(zip(("rectilinear", "diagonal"), feedback.optical_errors, strict=True)),
        "optical_error_sigmas": dict(zip(("rectilinear", "diagonal"), feedback.optical_error_sigmas, strict=True)),
        "attempts": dict(zip(("rectilinear", "diagonal"), feedback.attempts, strict=True)),
        "synchronization_ps": found.synchronization.corrections_ps,
        "window_ps": found.synchronization.window_ps,
        "kept_in_window": found.synchronization.kept,
        "link_time_s": {
            "delay": found.delay.link_time_s,
            "polarization": feedback.link_time_s,
            "synchronization": found.synchronization.link_time_s,
            "total": found.link_time_s,
        },
        "abnormalities": found.abnormalities,
        "watch": None if watched is None else _watch_record(watched),
        "provenance": "predicted (photon level: counts of a digital twin, drawn from their exact law)",
    }


def _watch_record(watched: Watch) -> dict[str, Any]:
    return {
        "duration_s": float(watched.elapsed_s[-1]),
        "qber_first": float(watched.qber[0]),
        "qber_most": float(watched.qber.max()),
        "qber_last": float(watched.qber[-1]),
        "feedbacks_s": watched.feedbacks,
        "mean_optical_error": watched.mean_optical_error,
        "most_optical_error": watched.most_optical_error,
        "link_time_s": watched.link_time_s,
        "aborted_at_s": watched.aborted_at_s,
        "abnormalities": watched.abnormalities,
    }
