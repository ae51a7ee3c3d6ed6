"""Land and sea, from the packaged outlines (land.json says what they are, where they come from and their licence)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from qanat.apps.pictures.geography import Box, Point, clipped
from qanat.ground.data import read_text


@dataclass(frozen=True, slots=True)
class Ring:
    """A closed line in degrees; its last point is not repeated. ``is_water``: an inland sea, not land.

    Longitudes are counted on beyond 180 degrees where the line crosses that meridian.
    """

    points: tuple[Point, ...]
    box: Box
    is_water: bool


@dataclass(frozen=True, slots=True)
class Outlines:
    """The land in ``box``; its lines may be ``off_by_deg`` beside the originals. Land first, then water in it."""

    name: str
    box: Box
    off_by_deg: float
    rings: tuple[Ring, ...]


@cache
def all_outlines() -> tuple[Outlines, ...]:
    """Return the packaged outlines, the finest first; the last are the whole world's."""
    areas = [
        Outlines(
            name=area["name"],
            box=Box(*area["box_deg"]),
            off_by_deg=area["off_by_deg"],
            rings=tuple(
                _ring(text, area["unit_deg"], is_water=kind == "water")
                for kind in ("land", "water")
                for text in area[kind]
            ),
        )
        for area in json.loads(read_text("apps.pictures", "land.json"))["areas"]
    ]
    return tuple(sorted(areas, key=lambda area: area.off_by_deg))


def _ring(text: str, unit_deg: float, *, is_water: bool) -> Ring:
    numbers = [int(word) for word in text.split()]
    x = y = 0
    points = []
    for step_x, step_y in zip(numbers[::2], numbers[1::2], strict=True):
        x, y = x + step_x, y + step_y
        points.append((x * unit_deg, y * unit_deg))
    xs, ys = zip(*points, strict=True)
    return Ring(tuple(points), Box(min(xs), min(ys), max(xs), max(ys)), is_water)


def outlines_for(window: Box) -> Outlines:
    """Return the finest outlines that cover the whole window (degrees), else the world's."""
    return next((area for area in all_outlines() if area.box.holds(window)), all_outlines()[-1])


def pieces_in(outlines: Outlines, window: Box) -> Iterator[tuple[list[Point], bool]]:
    """Yield (points, whether water) of what lies in a window of degrees, which may reach beyond 180 east or west."""
    for ring in outlines.rings:
        for turn_deg in (-360, 0, 360):
            if ring.box.moved(turn_deg, 0).overlaps(window):
                piece = clipped([(x + turn_deg, y) for x, y in ring.points], window)
                if piece:
                    yield piece, ring.is_water


def is_land(*, latitude_deg: float, longitude_deg: float) -> bool:
    """Return whether a place is on land, by the finest outlines that there are of it."""
    outlines = outlines_for(Box(longitude_deg, latitude_deg, longitude_deg, latitude_deg))
    count = 0
    for ring in outlines.rings:
        for turn_deg in (-360, 0, 360):
            x = longitude_deg + turn_deg
            if ring.box.holds(Box(x, latitude_deg, x, latitude_deg)):
                count += _surrounds(ring, x, latitude_deg)
    return count % 2 == 1


def _surrounds(ring: Ring, x: float, y: float) -> bool:
    """Whether a ray to the east crosses the ring an odd number of times."""
    crossings = 0
    before_x, before_y = ring.points[-1]
    for here_x, here_y in ring.points:
        if (before_y > y) != (here_y > y):
            crossings += x < before_x + (y - before_y) / (here_y - before_y) * (here_x - before_x)
        before_x, before_y = here_x, here_y
    return crossings % 2 == 1
