"""What ``qanat passes`` was asked for, and the passes that are found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanat.apps.cli.passes_sources import satellites_named, stations_named
from qanat.apps.cli.presentation import people_console
from qanat.apps.machine import is_search_compiled
from qanat.ground.errors import BadParameter
from qanat.orbits.described import Pass, describe
from qanat.orbits.earth import DAY_S, utc_s_of, utc_text
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit, check_age
from qanat.orbits.stations import Station
from qanat.orbits.sun import check_depression


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


def tell_first_use() -> None:
    """Say on standard error that the first search is compiled: nothing else happens for some seconds."""
    if not is_search_compiled():
        people_console().print("preparing (once): compiling the search for passes, some seconds", soft_wrap=True)


def search(options: PassesOptions) -> Found:
    """Read what is named and find the passes."""
    if options.start is None:
        raise BadParameter("no --start", remedy="give the first moment, such as --start 2016-12-19T12:00")
    start_utc_s = utc_s_of(options.start)
    span = Span(start_utc_s, start_utc_s + options.days * DAY_S)
    check_depression(options.sun_below_deg)
    if not abs(options.ut1_minus_utc_s) < 1:
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
