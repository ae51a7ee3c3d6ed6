"""The calendar of nights that ``qanat passes --out`` writes: the stations' links, and the data behind the picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from qanat.apps.cli.pass_source import optics_of
from qanat.apps.cli.passes_search import Found
from qanat.orbits.earth import utc_text
from qanat.orbits.nature2021 import downlink
from qanat.orbits.stations import Station
from qanat.physics.micius import micius_system
from qanat.physics.source_modes import THIS_WORK
from qanat.planning.night_calendar import F_EC, KINDS, PROOF, Calendar, Night, night_calendar
from qanat.planning.pass_keys import StationLink

BUDGET: Final = (
    f"predicted (model): clear sky, Micius' telescope and source {THIS_WORK.name!r} on every satellite, the usable "
    f"passes of each satellite in a night in one block, {PROOF} at 1e-9, f_EC {F_EC:g}; the light of the Moon, of a "
    "sunlit satellite and of cities is left out"
)
KINDS_MEAN: Final = {
    "usable": "dark at the station in part or whole, above the mask, the satellite in the Earth's umbra at culmination",
    "sunlit": "the same, but the satellite sees the Sun or a part of it at culmination",
    "low": "dark at culmination, above the horizon, below the mask",
    "light": "above the mask, never dark",
}


def calendar_of(found: Found) -> Calendar:
    """Return the calendar of what was searched."""
    options = found.options
    return night_calendar(
        found.orbits,
        found.stations,
        [link_at(station) for station in found.stations],
        found.span,
        min_elevation_deg=options.min_elevation_deg,
        depression_deg=options.sun_below_deg,
        ut1_minus_utc_s=options.ut1_minus_utc_s,
    )


def link_at(station: Station) -> StationLink | None:
    """Return the link that ``qanat pass`` takes for a station; None where it has no telescope."""
    ground = optics_of(station)
    if ground is None:
        return None
    return StationLink(replace(downlink(ground), camera=None), micius_system(THIS_WORK, ground))


def calendar_titles(found: Found) -> tuple[str, str]:
    """Return the title and the line under it."""
    options, names = found.options, ", ".join(orbit.name for orbit in found.orbits)
    who = names if len(found.orbits) <= 3 else f"{len(found.orbits)} satellites"
    first, last = (utc_text(moment)[:10] for moment in (found.span.start_utc_s, found.span.end_utc_s))
    return (
        f"Nights with {who}, {first} to {last}",
        f"above {options.min_elevation_deg:g} degrees; dark: the Sun {options.sun_below_deg:g} degrees below; bars: "
        "secret key of a night's usable passes, each satellite's in one block, paler with the sunlit ones; clear sky",
    )


def calendar_record(found: Found, calendar: Calendar) -> dict[str, Any]:
    """Return the calendar as JSON has it: nights, and sums per station."""
    return {
        "start_utc": utc_text(found.span.start_utc_s),
        "end_utc": utc_text(found.span.end_utc_s),
        "min_elevation_deg": found.options.min_elevation_deg,
        "sun_below_deg": found.options.sun_below_deg,
        "night": "from noon to noon of local mean solar time, by the date of its evening",
        "kinds": KINDS_MEAN,
        "provenance": {"sifted_bits, secret_bits": BUDGET},
        "stations": [_sums(station, calendar.of(station)) for station in calendar.stations],
        "nights": [_night_record(night) for night in calendar.nights],
    }


def calendar_csv(calendar: Calendar) -> str:
    """Return the nights as comma-separated text, a line each."""
    text = io.StringIO()
    records = [_night_record(night) for night in calendar.nights]
    columns = [name for name in records[0] if name != "dark_parts_utc"] if records else []
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _sums(station: Station, mine: Sequence[Night]) -> dict[str, Any]:
    known = mine[0].secret_bits is not None
    return {
        "name": station.name,
        "nights": len(mine),
        "nights_with_usable": sum(night.num_passes["usable"] > 0 for night in mine),
        **{kind: sum(night.num_passes[kind] for night in mine) for kind in KINDS},
        "usable_s": round(sum(night.usable_s for night in mine), 3),
        **{
            name: round(sum(getattr(night, name) for night in mine)) if known else None
            for name in ("sifted_bits", "secret_bits", "secret_bits_with_sunlit")
        },
    }


def _night_record(night: Night) -> dict[str, Any]:
    return {
        "station": night.station,
        "evening": night.evening,
        "dark_s": round(night.dark_s, 3),
        "dark_parts_utc": [[utc_text(begin), utc_text(end)] for begin, end in night.dark_parts],
        **{str(kind): count for kind, count in night.num_passes.items()},
        "usable_s": round(night.usable_s, 3),
        "sunlit_s": round(night.sunlit_s, 3),
        "highest_deg": None if night.highest_deg is None else round(night.highest_deg, 4),
        "sifted_bits": None if night.sifted_bits is None else round(night.sifted_bits),
        "secret_bits": None if night.secret_bits is None else int(night.secret_bits),
        "secret_bits_with_sunlit": None
        if night.secret_bits_with_sunlit is None
        else int(night.secret_bits_with_sunlit),
        "is_cut": night.is_cut,
    }
