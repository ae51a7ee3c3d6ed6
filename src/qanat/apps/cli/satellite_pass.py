"""``qanat pass``: one pass of a satellite, as a budget in dB, as light, and as key; and the paper's own passes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qanat.apps.cli.paper_passes import PaperRow, paper_record, paper_rows
from qanat.apps.cli.pass_options import PassCase, PassOptions, case_of
from qanat.apps.cli.presentation import RunView, people_console, show_table
from qanat.apps.pictures.files import write_picture
from qanat.apps.pictures.paper_passes import draw_figure_3
from qanat.apps.pictures.satellite_pass import draw_pass
from qanat.ground.errors import ConfigurationError
from qanat.ground.randomness import SeededChance
from qanat.ground.units import format_rate
from qanat.orbits.downlink import LINK_TERMS, TERMS
from qanat.orbits.earth import utc_text
from qanat.orbits.nature2021 import figure_3a, figure_3c
from qanat.orbits.pass_light import block_counts, block_length
from qanat.orbits.pass_optimum import Optimum, optimal_source
from qanat.orbits.track_csv import pass_columns, write_pass
from qanat.protocols.decoy import SecretLength
from qanat.protocols.proofs import proof_named
from qanat.quantum_layer.pass_run import PassFigures, run_pass
from qanat.simulation.entropy import SimulationEntropy

MOST_ROWS = 15


def run_satellite_pass(options: PassOptions, *, as_json: bool, as_csv: bool, out: Path | None) -> int:
    """Compute a pass and print what came of it. Returns 0 when key is made, and, of a live run, alike at both ends."""
    proof_named(options.proof)
    _check_folder(out)
    case = case_of(options)
    for warning in case.found.warnings:
        people_console().print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    length = block_length(
        block_counts([case.light] * options.passes), case.light.protocol, proof=options.proof, f_ec=options.f_ec
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
        _print(options, case, length, optimum, live)
    return 0 if length.num_bits > 0 and (live is None or live.all_held) else 1


def run_paper(*, as_json: bool, out: Path | None) -> int:
    """Print what is fitted to the paper's passes and what follows without a fit. Returns 0.

    out: the folder for Fig. 3 as the model has it, and the rows as JSON.
    """
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
        _print_paper(kind, [row for row in rows if row.kind == kind])
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
        "proof": options.proof,
        "proof_in_words": length.proof,
        "phase_error_upper": list(length.phase_error_upper),
        "optimum": None if optimum is None else _optimum_record(optimum),
        "live": None if live is None else _live_record(live),
        "columns": dict(pass_columns(budget, light, secret_bits=length.num_bits // options.passes)),
        "provenance": {
            "sifted_bits, qber, secret_bits": "predicted (model): the link model second by second, and the proof",
            "live": None if live is None else "predicted (photon level, real distillation); no key leaves",
            "rules_the_air": budget.downlink.air.rule,
            "terms": dict(budget.origins),
            "fitted": asdict(case.fitted),
            "parameters": dict(case.system.origins),
        },
    }


def _dated(case: PassCase) -> dict[str, Any]:
    told = case.found.told
    if told is None:
        return {"rise_utc": None, "set_utc": None, "dark": None, "warnings": []}
    return {
        "rise_utc": utc_text(told.rise_utc_s),
        "set_utc": utc_text(told.set_utc_s),
        "dark": told.dark,
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


def _print(
    options: PassOptions, case: PassCase, length: SecretLength, optimum: Optimum | None, live: PassFigures | None
) -> None:
    budget, light = case.budget, case.light
    console = people_console(is_answer=True)
    title = f"{budget.track.satellite} over {budget.track.station}, source {case.mode.name}: losses in dB"
    show_table(console, title, ("s", "km", "degrees", *TERMS, "total", "sifted"), _loss_rows(case))
    lost_s = light.step_s * int((~budget.is_tracked).sum())
    seconds = light.step_s * len(budget.track)
    rows = [
        *_moments(case),
        ("seconds", f"{seconds:g}" + (f", of which not tracked: {lost_s:g}" if lost_s else "")),
        ("sifted bits (signal, equal bases)", f"{light.sifted_bits:,.0f}"),
        ("greatest sifted rate", format_rate(float(light.sifted_rate_bits_per_s.max()))),
        ("QBER", f"{100 * light.qber:.3f} %"),
        (
            f"secret bits by {options.proof}" + (f", {options.passes} passes" if options.passes > 1 else ""),
            f"{length.num_bits:,}",
        ),
        ("secret rate", format_rate(length.num_bits / (seconds * options.passes))),
        *_optimum_rows(optimum),
        *_live_rows(live),
    ]
    show_table(console, "The pass", ("figure", "value"), rows)
    for alarm in live.alarms if live else ():
        console.print(f"alarm {alarm.code}: {alarm.text}\n  what to do: {alarm.remedy}", style="red", soft_wrap=True)
    console.print(
        f"Of the air, the {budget.downlink.air.rule} description rules. Where the terms come from", markup=False
    )
    for name in TERMS:
        where = "link" if name in LINK_TERMS else "receiver"
        console.print(f"  {name} ({where}): {budget.origins[name]}", soft_wrap=True, markup=False)


def _loss_rows(case: PassCase) -> list[tuple[str, ...]]:
    """Some moments of the pass, evenly spread, with the first, the best and the last."""
    budget, light = case.budget, case.light
    track, rate = budget.track, light.sifted_rate_bits_per_s
    last = len(track) - 1
    places = sorted({round(last * part / (MOST_ROWS - 1)) for part in range(MOST_ROWS)} | {int(rate.argmax())})
    return [
        (
            f"{track.utc_s[place] - track.utc_s[0]:.0f}",
            f"{track.range_km[place]:.0f}",
            f"{track.elevation_deg[place]:.1f}",
            *(f"{budget.terms_db[name][place]:.2f}" for name in TERMS),
            f"{budget.total_db[place]:.2f}",
            format_rate(float(rate[place])) if budget.is_tracked[place] else "not tracked",
        )
        for place in places
    ]


def _moments(case: PassCase) -> list[tuple[str, str]]:
    told = case.found.told
    if told is None:
        return []
    moments = f"{utc_text(told.rise_utc_s, digits=0)} to {utc_text(told.set_utc_s, digits=0)}"
    return [
        ("from rise to set", moments),
        ("greatest elevation, least range", f"{told.max_elevation_deg:.1f} degrees, {told.min_range_km:.1f} km"),
        ("dark at the station", "yes" if told.dark else "NO"),
    ]


def _optimum_rows(optimum: Optimum | None) -> list[tuple[str, str]]:
    if optimum is None:
        return []
    source = optimum.source
    mu, nu, _ = source.mean_photon_numbers
    return [
        ("best source: photons, signal and decoy", f"{mu:.3f}, {nu:.3f}"),
        ("best source: odds of signal, decoy, vacuum", ", ".join(f"{p:.3f}" for p in source.p_intensities)),
        ("best source: odds of the rectilinear basis", f"{source.p_rectilinear:.3f}"),
        ("secret bits with it", f"{optimum.secret_bits:,} (as it is: {optimum.secret_bits_before:,})"),
    ]


def _live_rows(live: PassFigures | None) -> list[tuple[str, str]]:
    if live is None:
        return []
    return [
        ("photon level: pulses, detections", f"{live.pulses:,}, {live.detections:,}"),
        ("photon level: sifted bits", f"{live.sifted_bits:,}"),
        ("photon level: QBER", "-" if live.qber is None else f"{100 * live.qber:.3f} %"),
        ("distilled: verified bits, secret bits", f"{live.key_bits:,}, {live.secret_bits:,}"),
        ("keys identical at both ends", {True: "yes", False: "NO", None: "-"}[live.keys_identical]),
    ]


def _print_paper(kind: str, rows: Sequence[PaperRow]) -> None:
    show_table(
        people_console(is_answer=True),
        kind,
        ("quantity", "paper", "here", "here / paper", "unit"),
        [(row.name, row.paper_text, row.here_text, row.ratio_text, row.unit) for row in rows],
    )


def _check_folder(out: Path | None) -> None:
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is no folder", remedy="name a folder; it is made if it is not there")


def _write(out: Path, record: dict[str, Any], table: str, case: PassCase, live: PassFigures | None) -> None:
    _make_folder(out)
    title = f"{case.budget.track.satellite} over {case.budget.track.station}, source {case.mode.name}"
    drawn = () if live is None else live.qber_by_step
    picture = draw_pass(case.budget, case.light, title=title, as_png=False, drawn_qber=drawn)
    write_picture(out / "pass.svg", picture)
    write_picture(out / "pass.csv", table.encode())
    write_picture(out / "pass.json", (json.dumps(record, indent=2) + "\n").encode())


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigurationError(f"cannot make {out}: {fault.strerror}", remedy="name a folder that can be") from None
