"""Lines and areas of the whole Earth on a flat map: counted on beyond 180 degrees, cut at the map's edges."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from qanat.apps.pictures.geography import KM_PER_DEG, Box, Point, Projection, clipped
from qanat.orbits.earth import Floats

HALF_TURN_DEG: Final = 180.0


def world_projection(width: float) -> Projection:
    """Return the map of the whole Earth, one scale east and north."""
    units_per_deg = width / 360
    return Projection(
        middle_latitude_deg=0.0,
        west_deg=-180.0,
        east_deg=180.0,
        north_deg=90.0,
        units_per_km=units_per_deg / KM_PER_DEG,
        left=0.0,
        top=0.0,
        width=width,
        height=180 * units_per_deg,
    )


def counted_on(latitudes_deg: Floats, longitudes_deg: Floats) -> list[Point]:
    """Return a line's points (longitude, latitude) without jumps at 180 degrees."""
    longitudes = np.unwrap(longitudes_deg, period=360)
    return list(zip(longitudes.tolist(), latitudes_deg.tolist(), strict=True))


def ring_on_map(latitudes_deg: Floats, longitudes_deg: Floats) -> list[Point]:
    """Return a closed line's points (longitude, latitude), counted on; one round a pole is led along the pole.

    The line runs from north by east about what it encloses: westwards about the north pole, eastwards about the south.
    """
    points = counted_on(latitudes_deg, longitudes_deg)
    first, last = points[0], points[-1]
    closing_deg = (first[0] - last[0] + HALF_TURN_DEG) % 360 - HALF_TURN_DEG
    goes_round = round((last[0] + closing_deg - first[0]) / 360)
    if not goes_round:
        return points
    pole_deg = 90.0 if goes_round < 0 else -90.0
    end = (first[0] + 360 * goes_round, first[1])
    return [*points, end, (end[0], pole_deg), (first[0], pole_deg)]


def areas_in(ring: Sequence[Point], window: Box) -> Iterator[list[Point]]:
    """Yield what of an area, counted on, lies in a window of degrees."""
    for turn_deg in _turns(ring, window):
        if piece := clipped([(x + turn_deg, y) for x, y in ring], window):
            yield piece


def lines_in(points: Sequence[Point], window: Box) -> Iterator[list[Point]]:
    """Yield the pieces of an open line, counted on, that lie in a window of degrees."""
    for turn_deg in _turns(points, window):
        piece: list[Point] = []
        for one, other in pairwise((x + turn_deg, y) for x, y in points):
            cut = _cut(one, other, window)
            if cut is None:
                if len(piece) > 1:
                    yield piece
                piece = []
                continue
            if piece and piece[-1] != cut[0]:
                yield piece
                piece = []
            piece = [*piece, cut[1]] if piece else list(cut)
        if len(piece) > 1:
            yield piece


def _turns(points: Sequence[Point], window: Box) -> range:
    """Return by how many degrees a line must be moved to lie in a window, once or several times."""
    xs = [x for x, _ in points]
    first = math.ceil((window.low_x - max(xs)) / 360)
    last = math.floor((window.high_x - min(xs)) / 360)
    return range(360 * first, 360 * last + 1, 360)


def _cut(one: Point, other: Point, window: Box) -> tuple[Point, Point] | None:
    """Return what of a straight piece lies in a box (Liang and Barsky, 1984); None where nothing does."""
    across, along = other[0] - one[0], other[1] - one[1]
    first, last = 0.0, 1.0
    for step, room in (
        (-across, one[0] - window.low_x),
        (across, window.high_x - one[0]),
        (-along, one[1] - window.low_y),
        (along, window.high_y - one[1]),
    ):
        if step == 0:
            if room < 0:
                return None
        elif step < 0:
            first = max(first, room / step)
        else:
            last = min(last, room / step)
    if first > last:
        return None
    begin = one if first == 0 else (one[0] + first * across, one[1] + first * along)
    end = other if last == 1 else (one[0] + last * across, one[1] + last * along)
    return begin, end
