"""What ``qanat pass`` prints for people: losses, sums, and where they come from; the paper's figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from qanat.apps.cli.paper_passes import PaperRow
from qanat.apps.cli.pass_options import MOST_PASSES, PassCase, PassOptions
from qanat.apps.cli.pass_source import listed_passes
from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.units import format_rate
from qanat.orbits.downlink import LINK_TERMS, TERMS
from qanat.orbits.earth import utc_text
from qanat.orbits.pass_light import PassLight, passes_for_key
from qanat.orbits.pass_optimum import Optimum
from qanat.protocols.decoy import SecretLength
from qanat.quantum_layer.pass_run import PassFigures

MOST_ROWS: Final = 15
HALF: Final = 0.5
SHOWN_DB: Final = 0.005
"""A term that changes by less along a pass shows one figure, and no column."""


def print_pass(
    options: PassOptions, case: PassCase, length: SecretLength, optimum: Optimum | None, live: PassFigures | None
) -> None:
    """Print a pass: losses at some moments, the sums, and where the terms come from."""
    budget, light = case.budget, case.light
    console = people_console(is_answer=True)
    title = f"{budget.track.satellite} over {budget.track.station}, source {case.mode.name}: losses in dB"
    console.print(f"{title}\n", style="bold", soft_wrap=True, markup=False, highlight=False)
    changing = [name for name in TERMS if np.ptp(budget.terms_db[name]) >= SHOWN_DB]
    show_table(
        console, "Along the pass", ("s", "km", "degrees", *changing, "total", "sifted"), _loss_rows(case, changing)
    )
    constant = ", ".join(f"{name} {budget.terms_db[name][0]:.2f}" for name in TERMS if name not in changing)
    if constant:
        console.print(f"the same all along: {constant}\n", soft_wrap=True, markup=False)
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
    if len(passes := case.found.passes) > 1:
        console.print(f"passes of these 24 hours (--number): {listed_passes(passes)}", soft_wrap=True, markup=False)
    for warning in case.found.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    for alarm in live.alarms if live else ():
        console.print(f"alarm {alarm.code}: {alarm.text}\n  what to do: {alarm.remedy}", style="red", soft_wrap=True)
    if not length.num_bits:
        console.print(f"no key: {why_no_key(length, options, case.light)}", soft_wrap=True, markup=False)
    console.print(
        f"Of the air, the {budget.downlink.air.rule} description rules. Where the terms come from", markup=False
    )
    for name in TERMS:
        where = "link" if name in LINK_TERMS else "receiver"
        console.print(f"  {name} ({where}): {budget.origins[name]}", soft_wrap=True, markup=False)


def why_no_key(length: SecretLength, options: PassOptions, light: PassLight) -> str:
    """Return which bound of the proof leaves no key, and how many such passes in one block would give some."""
    if not light.sifted_bits:
        return (
            "not a click came: the cameras that point the telescopes never see a beacon, or the losses leave "
            "nothing; look at the column `sifted` and at the total losses, and take a nearer pass"
        )
    if not any(length.single_photon_lower):
        why = "the bound on single photons is 0 in both bases: too few bits for the proof"
    elif min(length.phase_error_upper) >= HALF:
        why = "the bound on phase errors is 50 %: too few bits, or too many errors, in the basis that tests the other"
    else:
        why = "what error correction tells and the proof takes off is more than the single photons give"
    needed = passes_for_key(light, proof=options.proof, f_ec=options.f_ec, most=MOST_PASSES)
    if needed is None:
        return f"{why}; not even {MOST_PASSES:,} such passes in one block give any: take a higher pass"
    return f"{why}; {needed:,} such passes in one block give some (--passes {needed}), or take a higher pass"


def _loss_rows(case: PassCase, changing: Sequence[str]) -> list[tuple[str, ...]]:
    """Some moments of the pass, evenly spread, with the first, the best and the last; changing: terms that do."""
    budget, light = case.budget, case.light
    track, rate = budget.track, light.sifted_rate_bits_per_s
    last = len(track) - 1
    places = sorted({round(last * part / (MOST_ROWS - 1)) for part in range(MOST_ROWS)} | {int(rate.argmax())})
    return [
        (
            f"{track.utc_s[place] - track.utc_s[0]:.0f}",
            f"{track.range_km[place]:.0f}",
            f"{track.elevation_deg[place]:.1f}",
            *(f"{budget.terms_db[name][place]:.2f}" for name in changing),
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
        ("dark at the station", "yes" if told.dark else f"NO, the Sun at {told.sun_elevation_deg:.0f} degrees"),
        ("satellite at rise, culmination, set", ", ".join(light.name.lower() for light in told.light)),
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


def print_paper(kind: str, rows: Sequence[PaperRow]) -> None:
    """Print the paper's figures of one kind beside ours."""
    show_table(
        people_console(is_answer=True),
        kind,
        ("quantity", "paper", "here", "here / paper", "unit"),
        [(row.name, row.paper_text, row.here_text, row.ratio_text, row.unit) for row in rows],
    )
