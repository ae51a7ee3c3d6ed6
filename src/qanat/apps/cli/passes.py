"""``qanat passes``: when satellites pass over stations, how high, how near, and whether it is dark."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from qanat.apps.cli.passes_sources import satellites_named, stations_named
from qanat.apps.cli.presentation import people_console, show_table
from qanat.ground.errors import BadParameter
from qanat.orbits.described import Pass, describe
from qanat.orbits.earth import DAY_S, coverage_angle_deg, utc_s_of, utc_text
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit, check_age
from qanat.orbits.stations import Station
from qanat.orbits.sun import check_depression

NEGLECTED: Final = (
    "refraction, polar motion, leap seconds between the epoch and the pass, UT1 - UTC unless it is given: "
    "docs/explanation/orbits-and-passes.md has what each does"
)
MOST_PASSES_SHOWN: Final = 2_000
CUT_NOTES: Final = {
    (False, False): "",
    (True, False): "up at the start",
    (False, True): "up at the end",
    (True, True): "up all the time",
}


@dataclass(frozen=True, slots=True)
class PassesOptions:
    """What is asked, as it was typed."""

    satellites: tuple[str, ...]
    stations: tuple[str, ...]
    start: str | None
    days: float
    min_elevation_deg: float
    sun_below_deg: float
    only_dark: bool = False
    accept_stale: bool = False
    ut1_minus_utc_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, and of what."""

    options: PassesOptions
    orbits: Sequence[Orbit]
    stations: Sequence[Station]
    span: Span
    passes: Sequence[Pass]
    warnings: Sequence[str]
    why_none: str = ""


def run_passes(options: PassesOptions, *, as_json: bool, as_csv: bool) -> int:
    """Print the passes; returns 0, also where there are none. Raises for what cannot be searched."""
    if as_json and as_csv:
        raise BadParameter("--json and --csv both print to standard output", remedy="leave one of them out")
    found = search(options)
    console = people_console()
    for warning in found.warnings:
        console.print(f"[yellow]warning:[/] {warning}", soft_wrap=True)
    if as_json:
        print(json.dumps(record_of(found), indent=2))
    elif as_csv:
        _write_csv(found)
    else:
        _show(found)
    return 0


def search(options: PassesOptions) -> Found:
    """Read what is named and find the passes."""
    if options.start is None:
        raise BadParameter("no --start", remedy="give the first moment, such as --start 2016-12-19T12:00")
    start_utc_s = utc_s_of(options.start)
    span = Span(start_utc_s, start_utc_s + options.days * DAY_S)
    check_depression(options.sun_below_deg)
    if abs(options.ut1_minus_utc_s) >= 1:
        raise BadParameter("UT1 - UTC is below a second", remedy="give it in seconds, such as --ut1-utc -0.4")
    stations = [station for name in options.stations for station in stations_named(name)]
    orbits = [orbit for name in options.satellites for orbit in satellites_named(name, start_utc_s=start_utc_s)]
    _refuse_repeats("satellite", [orbit.name for orbit in orbits])
    _refuse_repeats("station", [station.name for station in stations])
    warnings = [
        warning
        for orbit in orbits
        if (warning := check_age(orbit, **_ends(span), accept_stale=options.accept_stale)) is not None
    ]
    table = find_passes(
        orbits,
        stations,
        span,
        min_elevation_deg=options.min_elevation_deg,
        ut1_minus_utc_s=options.ut1_minus_utc_s,
    )
    passes = describe(table, orbits, span, depression_deg=options.sun_below_deg)
    kept = [one for one in passes if one.dark_parts or not options.only_dark]
    why_none = "" if kept else _why_none(options, orbits, stations, span, num_light=len(passes))
    return Found(options, orbits, stations, span, kept, warnings, why_none)


def _ends(span: Span) -> dict[str, float]:
    return {"start_utc_s": span.start_utc_s, "end_utc_s": span.end_utc_s}


def _refuse_repeats(what: str, names: Sequence[str]) -> None:
    for name in sorted(set(names)):
        if names.count(name) > 1:
            raise BadParameter(f"the {what} {name} is there twice", remedy="name each once, or rename one in its file")


def _why_none(
    options: PassesOptions, orbits: Sequence[Orbit], stations: Sequence[Station], span: Span, *, num_light: int
) -> str:
    """Return why no pass is left, and what is nearest to one."""
    if num_light:
        return f"of {num_light} passes none is dark: the Sun is never {options.sun_below_deg:g} degrees below meanwhile"
    table = find_passes(orbits, stations, span, min_elevation_deg=0.0, ut1_minus_utc_s=options.ut1_minus_utc_s)
    if not len(table):
        return "no satellite rises above the horizon of any station in this span"
    best = int(table.max_elevation_deg.argmax())
    return (
        f"none comes above {options.min_elevation_deg:g} degrees: the highest is "
        f"{table.satellites[table.satellite[best]]} over {table.stations[table.station[best]].name} with "
        f"{table.max_elevation_deg[best]:.2f} degrees at {utc_text(float(table.culmination_utc_s[best]), digits=0)}"
    )


def record_of(found: Found) -> dict[str, Any]:
    """Return what is printed as JSON."""
    options = found.options
    return {
        "start_utc": utc_text(found.span.start_utc_s),
        "end_utc": utc_text(found.span.end_utc_s),
        "min_elevation_deg": options.min_elevation_deg,
        "coverage_angle_deg": coverage_angle_deg(options.min_elevation_deg),
        "sun_below_deg": options.sun_below_deg,
        "satellites": [
            {"name": orbit.name, "epoch_utc": None if orbit.epoch_utc_s is None else utc_text(orbit.epoch_utc_s)}
            for orbit in found.orbits
        ],
        "stations": [
            {
                "name": station.name,
                "latitude_deg": station.latitude_deg,
                "longitude_deg": station.longitude_deg,
                "altitude_m": station.altitude_m,
            }
            for station in found.stations
        ],
        "passes": [pass_record(one) for one in found.passes],
        "why_none": found.why_none or None,
        "warnings": list(found.warnings),
        "neglected": NEGLECTED,
    }


def pass_record(one: Pass) -> dict[str, Any]:
    """Return a pass as it stands in JSON."""
    return {
        "satellite": one.satellite,
        "station": one.station,
        "rise_utc": utc_text(one.rise_utc_s),
        "culmination_utc": utc_text(one.culmination_utc_s),
        "set_utc": utc_text(one.set_utc_s),
        "duration_s": round(one.duration_s, 3),
        "max_elevation_deg": round(one.max_elevation_deg, 4),
        "min_range_km": round(one.min_range_km, 3),
        "nearest_utc": utc_text(one.nearest_utc_s),
        "azimuths_deg": [round(azimuth, 3) for azimuth in one.azimuths_deg],
        "dark": one.dark,
        "dark_s": round(one.dark_s, 3),
        "dark_parts_utc": [[utc_text(begin), utc_text(end)] for begin, end in one.dark_parts],
        "sun_elevation_deg": round(one.sun_elevation_deg, 3),
        "satellite_light": [light.name.lower() for light in one.light],
        "up_at_start": one.up_at_start,
        "up_at_end": one.up_at_end,
    }


def _write_csv(found: Found) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    columns = (
        *("satellite", "station", "rise_utc", "culmination_utc", "set_utc", "duration_s", "max_elevation_deg"),
        *("min_range_km", "nearest_utc", "dark", "dark_s", "sun_elevation_deg", "up_at_start", "up_at_end"),
    )
    groups = ("azimuths_deg", "satellite_light")
    writer.writerow([*columns, *(f"{group}_{at}" for group in groups for at in ("rise", "culmination", "set"))])
    for one in found.passes:
        record = pass_record(one)
        writer.writerow(
            [*(record[column] for column in columns), *(value for group in groups for value in record[group])]
        )


def _show(found: Found) -> None:
    options, console = found.options, people_console(is_answer=True)
    mask_deg = options.min_elevation_deg
    first, last = (utc_text(moment, digits=0) for moment in (found.span.start_utc_s, found.span.end_utc_s))
    console.print(
        f"[bold]{len(found.passes)} passes[/]: {len(found.orbits)} satellites, {len(found.stations)} stations, {first} "
        f"to {last}, above {mask_deg:g} degrees (coverage angle {coverage_angle_deg(mask_deg):g}); dark: the Sun "
        f"{options.sun_below_deg:g} degrees below\n",
        soft_wrap=True,
    )
    if not found.passes:
        console.print(found.why_none, soft_wrap=True, markup=False)
        return
    columns = (
        *("satellite, station", "rise, UTC", "culmination", "set", "s", "elevation", "range, km", "azimuths"),
        *("dark", "satellite in"),
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
