"""``qanat passes``: when satellites pass over stations, how high, how near, and whether it is dark."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from qanat.apps.cli.passes_folder import check_cones, check_folder, write_folder
from qanat.apps.cli.passes_records import NEGLECTED, passes_csv, record_of
from qanat.apps.cli.passes_search import Found, PassesOptions, search, tell_first_use
from qanat.apps.cli.presentation import counted, people_console, show_table
from qanat.ground.errors import BadParameter
from qanat.orbits.described import Pass
from qanat.orbits.earth import coverage_angle_deg, utc_text

MOST_PASSES_SHOWN: Final = 2_000
CUT_NOTES: Final = {
    (False, False): "",
    (True, False): "up at the start",
    (False, True): "up at the end",
    (True, True): "up all the time",
}


def run_passes(
    options: PassesOptions, *, as_json: bool, as_csv: bool, out: Path | None = None, cones_deg: Sequence[float] = ()
) -> int:
    """Print the passes; returns 0, also where there are none. Raises for what cannot be searched.

    out: the folder for the pictures with the data behind them. cones_deg: elevations whose coverage is drawn.
    """
    if as_json and as_csv:
        raise BadParameter("--json and --csv both print to standard output", remedy="leave one of them out")
    if cones_deg and out is None:
        raise BadParameter("--coverage is drawn, and there is no --out", remedy="give a folder with --out")
    check_folder(out)
    check_cones(cones_deg)
    tell_first_use()
    found = search(options)
    console = people_console()
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    if out is not None:
        write_folder(out, found, cones_deg)
    if as_json:
        print(json.dumps(record_of(found), indent=2))
    elif as_csv:
        print(passes_csv(found.passes), end="")
    else:
        _show(found)
    return 0


def _show(found: Found) -> None:
    options, console = found.options, people_console(is_answer=True)
    mask_deg = options.min_elevation_deg
    first, last = (utc_text(moment, digits=0) for moment in (found.span.start_utc_s, found.span.end_utc_s))
    console.print(
        f"[bold]{counted(len(found.passes), 'pass', 'passes')}[/]: {counted(len(found.orbits), 'satellite')}, "
        f"{counted(len(found.stations), 'station')}, {first} to {last}, above {mask_deg:g} degrees (coverage angle "
        f"{coverage_angle_deg(mask_deg):g}); dark: the Sun {options.sun_below_deg:g} degrees below\n",
        soft_wrap=True,
    )
    if not found.passes:
        console.print(found.why_none, soft_wrap=True, markup=False)
        return
    columns = (
        *("satellite, station", "rise, UTC", "highest", "set", "s", "degrees", "km", "azimuths", "dark", "light"),
    )
    show_table(console, "Passes", columns, list(_rows(found.passes[:MOST_PASSES_SHOWN])))
    if len(found.passes) > MOST_PASSES_SHOWN:
        console.print(f"and {len(found.passes) - MOST_PASSES_SHOWN} more: --csv and --json have all", soft_wrap=True)
    console.print(f"left out: {NEGLECTED}", soft_wrap=True)


def _rows(passes: Sequence[Pass]) -> Iterator[tuple[str, ...]]:
    for one in passes:
        note = CUT_NOTES[one.up_at_start, one.up_at_end]
        yield (
            f"{one.satellite}, {one.station}{f' ({note})' if note else ''}",
            utc_text(one.rise_utc_s, digits=1).replace("T", " ").removesuffix("Z"),
            utc_text(one.culmination_utc_s, digits=1)[11:-1],
            utc_text(one.set_utc_s, digits=1)[11:-1],
            f"{one.duration_s:.0f}",
            f"{one.max_elevation_deg:.1f}",
            f"{one.min_range_km:,.1f}",
            " ".join(f"{azimuth:.0f}" for azimuth in one.azimuths_deg),
            "yes" if one.dark else f"{one.dark_s:.0f} s" if one.dark_parts else "no",
            " ".join(dict.fromkeys(light.name.lower() for light in one.light)),
        )
