"""Passes as JSON and CSV have them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

from qanat.apps.cli.passes_search import Found
from qanat.orbits.described import Pass
from qanat.orbits.earth import coverage_angle_deg, utc_text

NEGLECTED: Final = (
    "refraction, polar motion, leap seconds between the epoch and the pass, UT1 - UTC unless it is given: "
    "docs/explanation/orbits-and-passes.md has what each does"
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


def passes_csv(passes: Sequence[Pass]) -> str:
    """Return passes as comma-separated text, a line each."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = (
        *("satellite", "station", "rise_utc", "culmination_utc", "set_utc", "duration_s", "max_elevation_deg"),
        *("min_range_km", "nearest_utc", "dark", "dark_s", "sun_elevation_deg", "up_at_start", "up_at_end"),
    )
    groups = ("azimuths_deg", "satellite_light")
    writer.writerow([*columns, *(f"{group}_{at}" for group in groups for at in ("rise", "culmination", "set"))])
    for one in passes:
        record = pass_record(one)
        writer.writerow(
            [*(record[column] for column in columns), *(value for group in groups for value in record[group])]
        )
    return text.getvalue()
