"""The folder of ``qanat passes --out``: the passes, the ground track, the calendar, each with the data behind it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from qanat.apps.cli.passes_calendar import calendar_csv, calendar_of, calendar_record, calendar_titles
from qanat.apps.cli.passes_records import passes_csv, record_of
from qanat.apps.cli.passes_search import Found
from qanat.apps.cli.passes_track import ground_map, track_csv, track_record
from qanat.apps.pictures.files import write_picture
from qanat.apps.pictures.ground_track import draw_ground_track
from qanat.apps.pictures.night_calendar import draw_calendar
from qanat.ground.errors import BadParameter, ConfigurationError


def check_folder(out: Path | None) -> None:
    """Raise ConfigurationError where a folder cannot be one; asked before the work whose pictures it gets."""
    if out is not None and out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is no folder", remedy="name a folder; it is made if it is not there")


def check_cones(elevations_deg: Sequence[float]) -> None:
    """Raise BadParameter unless each is from 0 to below 90 degrees."""
    for elevation_deg in elevations_deg:
        if not 0 <= elevation_deg < 90:
            raise BadParameter(
                f"no cone of coverage begins at {elevation_deg:g} degrees of elevation",
                remedy="give --coverage from 0 to below 90 degrees; the paper's cones are of 5 and 20",
            )


def write_folder(out: Path, found: Found, cones_deg: Sequence[float]) -> None:
    """Write everything; raises ConfigurationError where it cannot be written."""
    make_folder(out)
    write_picture(out / "passes.csv", passes_csv(found.passes).encode())
    _write_json(out / "passes.json", record_of(found))
    ground = ground_map(found, cones_deg)
    write_picture(out / "ground-track.svg", draw_ground_track(ground, as_png=False))
    write_picture(out / "ground-track.csv", track_csv(ground).encode())
    _write_json(out / "ground-track.json", track_record(ground))
    calendar, (title, subtitle) = calendar_of(found), calendar_titles(found)
    picture = draw_calendar(calendar, title=title, subtitle=subtitle, as_png=False)
    write_picture(out / "calendar.svg", picture)
    write_picture(out / "calendar.csv", calendar_csv(calendar).encode())
    _write_json(out / "calendar.json", calendar_record(found, calendar))


def make_folder(out: Path) -> None:
    """Make a folder; raises ConfigurationError where it cannot be made."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise ConfigurationError(f"cannot make {out}: {fault.strerror}", remedy="name a folder that can be") from None


def _write_json(path: Path, record: object) -> None:
    write_picture(path, (json.dumps(record, indent=1) + "\n").encode())
