"""``qanat pass``: one pass of a satellite, as a budget in dB, as light, and as key; and the paper's own passes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qanat.apps.cli.paper_passes import paper_record, paper_rows
from qanat.apps.cli.pass_options import MOST_PASSES, PassCase, PassOptions, case_of
from qanat.apps.cli.pass_tables import print_paper, print_pass, why_no_key
from qanat.apps.cli.passes_search import tell_first_use
from qanat.apps.cli.presentation import RunView, people_console
from qanat.apps.pictures.files import write_picture
from qanat.apps.pictures.paper_passes import draw_figure_3
from qanat.apps.pictures.satellite_pass import draw_pass
from qanat.ground.errors import ConfigurationError, RequestError
from qanat.ground.randomness import SeededChance
from qanat.orbits.earth import utc_text
from qanat.orbits.nature2021 import figure_3a, figure_3c
from qanat.orbits.pass_light import block_counts, block_length, passes_for_key
from qanat.orbits.pass_optimum import Optimum, optimal_source
from qanat.orbits.track_csv import SHARED_OUT, pass_columns, write_pass
from qanat.protocols.decoy import SecretLength, SecurityParameters
from qanat.protocols.proofs import proof_named
from qanat.quantum_layer.pass_run import PassFigures, run_pass
from qanat.simulation.entropy import SimulationEntropy


def run_satellite_pass(options: PassOptions, *, as_json: bool, as_csv: bool, out: Path | None) -> int:
    """Compute a pass and print what came of it. Returns 0 when key is made, and, of a live run, alike at both ends."""
    if as_json and as_csv:
        raise RequestError("--json and --csv both print to standard output", remedy="leave one of them out")
    proof_named(options.proof)
    _check_folder(out)
    if options.source.date is not None:
        tell_first_use()
    case = case_of(options)
    if as_json or as_csv:  # else the answer says it itself
        for warning in case.found.warnings:
            people_console().print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    length = block_length(
        block_counts([case.light], times=options.passes), case.light.protocol, proof=options.proof, f_ec=options.f_ec
    )
    optimum = (
        optimal_source(case.system, [case.budget] * options.passes, f_ec=options.f_ec) if options.optimise else None
    )
    live = None if options.live_seed is None else _run_live(case, options.live_seed)
    record = _record(options, case, length, optimum, live)
    table = write_pass(case.budget, case.light, secret_bits=length.num_bits // options.passes)
    if out is not None:
        _write(out, record, table, case, live)
    if as_json:
        print(json.dumps(record, indent=2))
    elif as_csv:
        print(table, end="")
    else:
        print_pass(options, case, length, optimum, live)
    return 0 if length.num_bits > 0 and (live is None or live.all_held) else 1


def run_paper(options: PassOptions, *, as_json: bool, as_csv: bool, out: Path | None) -> int:
    """Print what is fitted to the paper's passes and what follows without a fit. Returns 0.

    out: the folder for Fig. 3 as the model has it, and the rows as JSON. Raises RequestError where ``options`` ask for
    anything else: these passes are what they are.
    """
    if options != PassOptions() or as_csv:
        raise RequestError(
            "--paper computes the paper's own passes, with nothing else changed",
            remedy="give --json and --out with it alone; its CSV files are in the folder of --out",
        )
    _check_folder(out)
    rows = paper_rows()
    if out is not None:
        _make_folder(out)
        near, far = figure_3a(), figure_3c()
        write_picture(out / "figure-3.svg", draw_figure_3(near, far).encode())
        for name, one in (("figure-3a", near), ("figure-3c", far)):
            write_picture(out / f"{name}.csv", write_pass(one.budget, one.light, secret_bits=0).encode())
        write_picture(out / "paper.json", (json.dumps(paper_record(rows), indent=2) + "\n").encode())
    if as_json:
        print(json.dumps(paper_record(rows), indent=2))
        return 0
    console = people_console(is_answer=True)
    for kind in dict.fromkeys(row.kind for row in rows):
        print_paper(kind, [row for row in rows if row.kind == kind])
    console.print("where each number is from: docs/explanation/a-downlink-in-decibels.md", soft_wrap=True)
    return 0


def _run_live(case: PassCase, seed: int) -> PassFigures:
    chance = SeededChance(seed).child("pass")
    with RunView() as view:
        view.say(f"{len(case.budget.track)} moments of light, photon by photon, and distillation at both ends")
        return run_pass(
            case.light,
            case.budget,
            chance=chance,
            entropy=SimulationEntropy(chance.child("entropy")),
            on_progress=lambda share: view.show_progress("light", share),
        )


def _record(
    options: PassOptions, case: PassCase, length: SecretLength, optimum: Optimum | None, live: PassFigures | None
) -> dict[str, Any]:
    budget, light = case.budget, case.light
    seconds = light.step_s * len(budget.track)
    best = int(light.sifted_rate_bits_per_s.argmax())
    return {
        "satellite": budget.track.satellite,
        "station": budget.track.station,
        "mode": case.mode.name,
        **_dated(case),
        "seconds": seconds,
        "tracked_s": light.step_s * int(budget.is_tracked.sum()),
        "max_elevation_deg": float(budget.track.elevation_deg.max()),
        "min_range_km": float(budget.track.range_km.min()),
        "max_range_km": float(budget.track.range_km.max()),
        "least_loss_db": float(budget.total_db.min()),
        "greatest_loss_db": float(budget.total_db.max()),
        "passes": options.passes,
        "sifted_bits": light.sifted_bits * options.passes,
        "qber": light.qber,
        "peak_sifted_rate_bits_per_s": float(light.sifted_rate_bits_per_s[best]),
        "secret_bits": length.num_bits,
        "secret_rate_bits_per_s": length.num_bits / (seconds * options.passes),
        "why_no_key": None if length.num_bits else why_no_key(length, options, light),
        "passes_for_key": passes_for_key(light, proof=options.proof, f_ec=options.f_ec, most=MOST_PASSES),
        "f_ec": options.f_ec,
        "security": asdict(SecurityParameters()),
        "signal_disclosed": light.protocol.signal_disclosed,
        "proof": options.proof,
        "proof_in_words": length.proof,
        "phase_error_upper": list(length.phase_error_upper),
        "optimum": None if optimum is None else _optimum_record(optimum),
        "live": None if live is None else _live_record(live),
        "columns": dict(pass_columns(budget, light, secret_bits=length.num_bits // options.passes)),
        "provenance": {
            "sifted_bits, qber, secret_bits": "predicted (model): the link model second by second, and the proof",
            "live": None if live is None else "predicted (photon level, real distillation); no key leaves",
            f"columns.{SHARED_OUT}": "the secret bits of the block, shared out in proportion to the sifted bits",
            "f_ec, signal_disclosed": "stated parameter: bits told over the Shannon limit; share of the signal told",
            "security": "stated parameter: failure probabilities of one block",
            "rules_the_air": budget.downlink.air.rule,
            "terms": dict(budget.origins),
            "fitted": asdict(case.fitted),
            "parameters": dict(case.system.origins),
        },
    }


def _dated(case: PassCase) -> dict[str, Any]:
    told = case.found.told
    if told is None:
        names = ("rise_utc", "set_utc", "dark", "satellite_light", "passes_of_the_day")
        return {**dict.fromkeys(names), "warnings": []}
    return {
        "rise_utc": utc_text(told.rise_utc_s),
        "set_utc": utc_text(told.set_utc_s),
        "dark": told.dark,
        "satellite_light": [light.name.lower() for light in told.light],
        "passes_of_the_day": [
            {
                "number": number,
                "rise_utc": utc_text(one.rise_utc_s),
                "max_elevation_deg": one.max_elevation_deg,
                "dark": one.dark,
                "taken": one is told,
            }
            for number, one in enumerate(case.found.passes, start=1)
        ],
        "warnings": list(case.found.warnings),
    }


def _optimum_record(optimum: Optimum) -> dict[str, Any]:
    return {
        "mean_photon_numbers": list(optimum.source.mean_photon_numbers),
        "p_intensities": list(optimum.source.p_intensities),
        "p_rectilinear": optimum.source.p_rectilinear,
        "secret_bits": optimum.secret_bits,
        "secret_bits_before": optimum.secret_bits_before,
        "proof": "hoeffding",
    }


def _live_record(live: PassFigures) -> dict[str, Any]:
    names = ("pulses", "detections", "sifted_bits", "qber", "key_bits", "leaked_bits", "f_ec", "secret_bits")
    return {
        **{name: getattr(live, name) for name in names},
        "keys_identical": live.keys_identical,
        "alarms": [asdict(alarm) for alarm in live.alarms],
        "sifted_by_step": list(live.sifted_by_step),
        "qber_by_step": list(live.qber_by_step),
    }


def _check_folder(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is no folder", remedy="name a folder; it is made if it is not there")


def _write(out: Path, record: dict[str, Any], table: str, case: PassCase, live: PassFigures | None) -> None:
    _make_folder(out)
    title = f"{case.budget.track.satellite} over {case.budget.track.station}, source {case.mode.name}"
    drawn = [] if live is None else _drawn_qber(case, live)
    picture = draw_pass(case.budget, case.light, title=title, as_png=False, drawn_qber=drawn)
    write_picture(out / "pass.svg", picture)
    write_picture(out / "pass.csv", table.encode())
    write_picture(out / "pass.json", (json.dumps(record, indent=2) + "\n").encode())


def _drawn_qber(case: PassCase, live: PassFigures) -> list[tuple[float, float]]:
    """Return the error rates of a live run with the seconds since the pass began; it leaves out what is not tracked."""
    since_s = (case.budget.track.utc_s - case.budget.track.utc_s[0])[case.budget.is_tracked]
    light_s = ((place + 0.5) * live.step_s for place in range(len(live.qber_by_step)))
    places = (min(int(second / case.light.step_s), len(since_s) - 1) for second in light_s)
    return [
        (float(since_s[place]), value)
        for place, value in zip(places, live.qber_by_step, strict=True)
        if value is not None
    ]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigurationError(f"cannot make {out}: {fault.strerror}", remedy="name a folder that can be") from None
