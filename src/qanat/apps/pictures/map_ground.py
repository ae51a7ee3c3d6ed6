"""What lies under a network on its map: sea and land, a grid of degrees, the scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from qanat.apps.pictures.geography import KM_PER_DEG, Box, Point, Projection
from qanat.apps.pictures.land import outlines_for, pieces_in
from qanat.apps.pictures.surface import Surface
from qanat.apps.pictures.svg import round_step

MOST_UNITS_OFF = 8.0
"""Land is drawn while its outlines are off by no more than this on the sheet."""
GRID_LINES_UNITS = 160.0
"""A grid's lines are less than so far apart, and more than 0.4 of it: their degrees need room."""
BAR_UNITS = 120.0


def shows_land(projection: Projection) -> bool:
    """Return whether the packaged outlines are fine enough for this map."""
    return outlines_for(projection.window).off_by_deg * KM_PER_DEG * projection.units_per_km <= MOST_UNITS_OFF


def draw_ground(surface: Surface, projection: Projection) -> None:
    """Draw sea and land where they are known well enough, else a plain panel; then the grid."""
    with_land = shows_land(projection)
    surface.rectangle(0, 0, projection.width, projection.height, "sea" if with_land else "panel", round_by=3)
    if with_land:
        window = projection.window
        for piece, is_water in pieces_in(outlines_for(window), window):
            corners = [(projection.x_counted_on(x), projection.y(y)) for x, y in piece]
            surface.polygon(corners, "sea" if is_water else "land")
        for piece, _ in pieces_in(outlines_for(window), window):
            for line in _coasts(piece, window):
                surface.polyline([(projection.x_counted_on(x), projection.y(y)) for x, y in line], "coast")
    _draw_grid(surface, projection, "stroke map-grid" if with_land else "stroke grid")


def halo(projection: Projection) -> str:
    """Return the style words of a text that stands on the map."""
    return "halo on-map" if shows_land(projection) else "halo"


def _coasts(ring: Sequence[Point], window: Box) -> Iterator[list[Point]]:
    """Yield the parts of a ring that are coast: not its cuts at the map's edge, nor the line along the south pole."""
    line: list[Point] = []
    for one, other in pairwise([*ring, ring[0]]):
        if _is_cut(one, other, window):
            if len(line) > 1:
                yield line
            line = []
        else:
            line = [*line, other] if line else [one, other]
    if len(line) > 1:
        yield line


def _is_cut(one: Point, other: Point, window: Box) -> bool:
    if max(one[1], other[1]) < -89.5 or (one[0] == other[0] and min(one[1], other[1]) < -89.5):
        return True
    edges = ((0, window.low_x), (0, window.high_x), (1, window.low_y), (1, window.high_y))
    return any(abs(one[axis] - edge) < 1e-9 and abs(other[axis] - edge) < 1e-9 for axis, edge in edges)


def _draw_grid(surface: Surface, projection: Projection, style: str) -> None:
    window, words = projection.window, f"tiny muted {halo(projection)}"
    step_deg = round_step((window.high_x - window.low_x) * GRID_LINES_UNITS / projection.width)
    digits = max(0, -math.floor(math.log10(step_deg)))
    for number in range(math.ceil(window.low_x / step_deg), math.floor(window.high_x / step_deg) + 1):
        x = projection.x_counted_on(number * step_deg)
        surface.line(x, 0, x, projection.height, style)
        if 40 < x < projection.width - 50:
            longitude = (number * step_deg + 180) % 360 - 180
            surface.text(x + 4, 14, _degrees(longitude, "E", "W", digits), words)
    low, high = max(-90.0, window.low_y), min(90.0, window.high_y)
    for number in range(math.ceil(low / step_deg), math.floor(high / step_deg) + 1):
        y = projection.y(number * step_deg)
        surface.line(0, y, projection.width, y, style)
        if 24 < y < projection.height - 4:
            surface.text(6, y - 4, _degrees(number * step_deg, "N", "S", digits), words)


def _degrees(value_deg: float, positive: str, negative: str, digits: int) -> str:
    side = "" if value_deg == 0 or abs(value_deg) == 180 else f" {positive if value_deg > 0 else negative}"
    return f"{abs(value_deg):.{digits}f}°{side}"


def draw_scale_bar(surface: Surface, projection: Projection, x: float, y: float) -> float:
    """Draw a bar of a round length; returns how far to the right it reaches, its figure included."""
    bar_km = round_step(BAR_UNITS / projection.units_per_km)
    length = bar_km * projection.units_per_km
    for end in (x, x + length):
        surface.line(end, y - 4, end, y + 4, "stroke ink")
    surface.line(x, y, x + length, y, "stroke ink")
    figure = f"{bar_km:g} km" if bar_km >= 1 else f"{1000 * bar_km:g} m"
    surface.text(x + length + 8, y + 4, figure, "tiny")
    return x + length + 14 + 7 * len(figure)
