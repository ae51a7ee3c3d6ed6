"""The ground track that ``qanat passes --out`` draws: which day, which satellites, and the data behind the picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Any, Final

import numpy as np

from qanat.apps.cli.passes_search import Found
from qanat.apps.pictures.ground_track import GroundMap
from qanat.orbits.described import Pass
from qanat.orbits.earth import DAY_S, Floats, below, coverage_angle_deg, utc_text
from qanat.orbits.ground_track import Coverage, GroundTrack, coverage, ground_track, night_rim, sun_above
from qanat.orbits.propagation import earth_fixed
from qanat.orbits.sun import Light

STEP_S: Final = 30.0
MOST_TRACKS: Final = 3
"""Lines of more satellites than this would hide each other: they are dots at one moment."""
PAPERS_CONE_DEG: Final = 20.0
"""Fig. 3b of Nature 589, 214 (2021) has a cone of 140 degrees."""
COLUMNS: Final = (
    *("utc", "latitude_deg", "longitude_deg", "height_km", "satellite_light"),
    *("seen_by", "seen_in_the_dark_by"),
)


def ground_map(found: Found, elevations_deg: Sequence[float]) -> GroundMap:
    """Return the map of a day: the one about the best pass, dark where there is such a one, else the first.

    elevations_deg: of the cones of coverage beside that of the mask; none: the paper's, where it is above the mask.
    """
    options, span = found.options, found.span
    best = best_pass(found.passes)
    middle_utc_s = min(span.start_utc_s + DAY_S / 2, 0.5 * (span.start_utc_s + span.end_utc_s))
    moment_utc_s = middle_utc_s if best is None else best.culmination_utc_s
    first_utc_s = max(span.start_utc_s, min(moment_utc_s - DAY_S / 2, span.end_utc_s - DAY_S))
    utc_s = np.arange(first_utc_s, min(first_utc_s + DAY_S, span.end_utc_s) + STEP_S / 2, STEP_S)
    orbits = sorted(found.orbits, key=lambda orbit: best is not None and orbit.name != best.satellite)
    turned = options.ut1_minus_utc_s
    tracks = [ground_track(orbit, found.stations, utc_s, ut1_minus_utc_s=turned) for orbit in orbits[:MOST_TRACKS]]
    spots = [below(earth_fixed(orbit, np.array([moment_utc_s]), ut1_minus_utc_s=turned)[0]) for orbit in orbits]
    radius_km = float(np.mean(np.linalg.norm(orbits[0].inertial(utc_s)[0], axis=1)))
    mask_deg = options.min_elevation_deg
    more_deg = elevations_deg or [one for one in (PAPERS_CONE_DEG,) if one > mask_deg]
    cones = [
        coverage(station, radius_km=radius_km, elevation_deg=elevation_deg)
        for station in found.stations
        for elevation_deg in sorted({mask_deg, *more_deg})
    ]
    names = ", ".join(station.name for station in found.stations[:6])
    more = f" and {len(found.stations) - 6} more" if len(found.stations) > 6 else ""
    return GroundMap(
        title=f"Ground track and coverage: {names}{more}",
        tracks=tracks,
        stations=found.stations,
        covered=cones,
        satellites=[
            (orbit.name, float(spot[0][0]), float(spot[1][0])) for orbit, spot in zip(orbits, spots, strict=True)
        ],
        moment_utc_s=moment_utc_s,
        mask_deg=mask_deg,
        sun_below_deg=options.sun_below_deg,
    )


def best_pass(passes: Sequence[Pass]) -> Pass | None:
    """Return the highest pass of those that have some darkness, or else of all; None where there is none."""
    return max(passes, key=lambda one: (bool(one.dark_parts), one.max_elevation_deg), default=None)


def track_record(ground: GroundMap) -> dict[str, Any]:
    """Return the data of the picture as JSON has them."""
    latitude_deg, longitude_deg = sun_above(ground.moment_utc_s)
    return {
        "moment_utc": utc_text(ground.moment_utc_s),
        "min_elevation_deg": ground.mask_deg,
        "sun_overhead": {"latitude_deg": round(latitude_deg, 4), "longitude_deg": round(longitude_deg, 4)},
        "night": [
            {"sun_below_deg": below_deg, "rim": _rim(*night_rim(ground.moment_utc_s, depression_deg=below_deg))}
            for below_deg in sorted({0.0, ground.sun_below_deg})
        ],
        "coverage_of": f"{ground.satellites[0][0]} at its mean distance from the middle of the Earth",
        "coverage": [_cone(one) for one in ground.covered],
        "satellites_at_moment": [
            {"name": name, "latitude_deg": round(latitude, 4), "longitude_deg": round(longitude, 4)}
            for name, latitude, longitude in ground.satellites
        ],
        "tracks": [
            {"satellite": track.satellite, **dict(zip(COLUMNS, zip(*_rows(track, ground), strict=True), strict=True))}
            for track in ground.tracks
        ],
    }


def track_csv(ground: GroundMap) -> str:
    """Return the tracks, a line per satellite and moment; the stations that see it are parted by semicolons."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["satellite", *COLUMNS])
    for track in ground.tracks:
        writer.writerows([track.satellite, *row[:-2], *map(";".join, row[-2:])] for row in _rows(track, ground))
    return text.getvalue()


def _rows(track: GroundTrack, ground: GroundMap) -> Iterator[tuple[Any, ...]]:
    """Yield a row per moment, in the order of ``COLUMNS``."""
    is_seen = track.elevation_deg >= ground.mask_deg
    is_dark = is_seen & (track.sun_elevation_deg < -ground.sun_below_deg)
    names = [station.name for station in ground.stations]
    for place, utc_s in enumerate(track.utc_s.tolist()):
        yield (
            utc_text(utc_s, digits=0),
            round(float(track.latitude_deg[place]), 4),
            round(float(track.longitude_deg[place]), 4),
            round(float(track.height_km[place]), 3),
            Light(track.light[place]).name.lower(),
            list(compress(names, is_seen[place])),
            list(compress(names, is_dark[place])),
        )


def _cone(one: Coverage) -> dict[str, Any]:
    return {
        "station": one.station,
        "elevation_deg": one.elevation_deg,
        "coverage_angle_deg": coverage_angle_deg(one.elevation_deg),
        "range_km": round(one.range_km, 3),
        "ground_km": round(one.ground_km, 3),
        "rim": _rim(one.latitude_deg, one.longitude_deg),
    }


def _rim(latitudes_deg: Floats, longitudes_deg: Floats) -> list[list[float]]:
    """Return [latitude, longitude] of a closed line's points."""
    return np.stack((latitudes_deg, longitudes_deg), axis=-1).round(4).tolist()  # type: ignore[no-any-return]
