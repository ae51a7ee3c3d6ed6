"""The picture of a day's ground track: the whole Earth, the stations' surroundings, the cone of their coverage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from qanat.apps.pictures.coverage_cone import cone_height, draw_cone
from qanat.apps.pictures.geography import Box, Frame, Point, Projection
from qanat.apps.pictures.globe import areas_in, counted_on, lines_in, ring_on_map, world_projection
from qanat.apps.pictures.labels import Mark, place_labels
from qanat.apps.pictures.map_ground import draw_ground, draw_scale_bar, halo
from qanat.apps.pictures.png import PngSheet
from qanat.apps.pictures.styles import sheet_alone
from qanat.apps.pictures.surface import Shifted, Surface
from qanat.apps.pictures.svg import Sheet
from qanat.orbits.earth import utc_text
from qanat.orbits.ground_track import Coverage, GroundTrack, night_rim
from qanat.orbits.stations import Station
from qanat.orbits.sun import Light

WIDTH: Final = 980.0
HEAD: Final = 64.0
GAP: Final = 46.0
STRIP: Final = 34.0
"""Height of the legend."""
MARGIN: Final = 34.0
WIDEST_DEG: Final = 150.0
"""Surroundings wider than this are not drawn apart from the whole Earth."""
MOST_TIMES: Final = 40
"""More passes than this get no times."""
MARK: Final = 4.5
LEGEND: Final = (
    ("track", "sunlit"),
    ("track shadowed", "in the Earth's shadow"),
    ("track seen", "above the mask by day"),
    ("track dark", "above it, dark at the station"),
)


@dataclass(frozen=True, slots=True)
class GroundMap:
    """What is drawn: tracks over the same moments; ``covered``: cones of the first satellite; ``satellites``: all
    of them at ``moment_utc_s``, as (name, latitude, longitude); night is where the Sun is ``sun_below_deg`` low."""

    title: str
    tracks: Sequence[GroundTrack]
    stations: Sequence[Station]
    covered: Sequence[Coverage]
    satellites: Sequence[tuple[str, float, float]]
    moment_utc_s: float
    mask_deg: float
    sun_below_deg: float


class _Spot(NamedTuple):
    latitude_deg: float
    longitude_deg: float


def draw_ground_track(ground: GroundMap, *, as_png: bool) -> bytes:
    """Return the picture as the bytes of an SVG or PNG file."""
    world, near = world_projection(WIDTH), _surroundings(ground)
    tops = [HEAD, HEAD + world.height + STRIP + GAP]
    cone = [one for one in ground.covered if one.station == ground.covered[0].station]
    height = tops[1] + (near.height + GAP if near else 0.0) + (cone_height(cone) if cone else 0.0)
    surface: Sheet | PngSheet
    if as_png:
        surface = PngSheet(WIDTH, height)
    else:
        surface = Sheet(WIDTH, height, label=ground.title, kind="map", style_sheet=sheet_alone(with_sky=True))
    surface.text(14, 28, ground.title, "strong")
    surface.text(14, 48, _subtitle(ground), "tiny muted")
    _draw_map(Shifted(surface, 0, tops[0]), world, ground, with_times=False)
    _draw_legend(Shifted(surface, 0, tops[0] + world.height), bool(ground.covered))
    if near:
        surface.text(14, tops[1] - 12, "Around the stations, with the times of rise (UTC)", "label strong")
        _draw_map(Shifted(surface, 0, tops[1]), near, ground, with_times=True)
        draw_scale_bar(Shifted(surface, 0, tops[1]), near, 14.0, near.height - 14.0)
        tops.append(tops[1] + near.height + GAP)
    if cone:
        draw_cone(Shifted(surface, 0, tops[-1]), cone, satellite=ground.satellites[0][0])
    return surface.render() if isinstance(surface, PngSheet) else surface.render_file().encode()


def _subtitle(ground: GroundMap) -> str:
    first, last = (utc_text(float(ground.tracks[0].utc_s[place]), digits=0) for place in (0, -1))
    num_lines, num_all, moment = len(ground.tracks), len(ground.satellites), utc_text(ground.moment_utc_s, digits=0)
    names = ", ".join(track.satellite for track in ground.tracks)
    who = names if num_all == num_lines else f"{num_all} satellites, {num_lines} of them as lines"
    return (
        f"{who}, {first} to {last}; dots and night at {moment} (darker: the Sun {ground.sun_below_deg:g} degrees below)"
    )


def _surroundings(ground: GroundMap) -> Projection | None:
    """Return the map of all cones of coverage; None where it would be as wide as the whole Earth's or has a pole."""
    rims = [ring_on_map(one.latitude_deg, one.longitude_deg) for one in ground.covered]
    points = [point for rim in rims for point in rim]
    if not points or max(abs(y) for _, y in points) > 84:
        return None
    spots = [_Spot(y, (x + 180) % 360 - 180) for x, y in points]
    found = Projection.around(spots, Frame(WIDTH, 260.0, 520.0, margin_x=MARGIN, margin_y=MARGIN))
    return found if found.window.high_x - found.window.low_x <= WIDEST_DEG else None


def _draw_map(surface: Surface, projection: Projection, ground: GroundMap, *, with_times: bool) -> None:
    draw_ground(surface, projection)
    window = projection.window
    for depression_deg in sorted({0.0, ground.sun_below_deg}):
        ring = ring_on_map(*night_rim(ground.moment_utc_s, depression_deg=depression_deg))
        for area in areas_in(ring, window):
            surface.polygon(_on_sheet(area, projection), "night")
    lowest_deg = min((one.elevation_deg for one in ground.covered), default=0.0)
    for one in ground.covered:
        words = "cover" if one.elevation_deg == lowest_deg else "cover lower"
        rim = ring_on_map(one.latitude_deg, one.longitude_deg)
        for line in lines_in([*rim, rim[0]] if rim[-1][1] not in (90.0, -90.0) else rim[:-2], window):
            surface.polyline(_on_sheet(line, projection), words)
    runs = [run for track in ground.tracks for run in _runs(track, ground)]
    for style, points in sorted(runs, key=lambda run: _rank(run[0])):
        for line in lines_in(points, window):
            surface.polyline(_on_sheet(line, projection), style)
    for name, latitude_deg, longitude_deg in ground.satellites:
        for x, y in _spots(latitude_deg, longitude_deg, projection):
            surface.circle(x, y, 3.5, "fill light", tip=name)
    _name(surface, projection, ground, _times(ground) if with_times else [])


def _on_sheet(points: Sequence[Point], projection: Projection) -> list[Point]:
    return [(projection.x_counted_on(x), projection.y(y)) for x, y in points]


def _spots(latitude_deg: float, longitude_deg: float, projection: Projection) -> Iterator[Point]:
    window = projection.window
    if window.low_y <= latitude_deg <= window.high_y:
        for turn_deg in (-360, 0, 360):
            if window.low_x <= longitude_deg + turn_deg <= window.high_x:
                yield projection.x_counted_on(longitude_deg + turn_deg), projection.y(latitude_deg)


def _kinds(track: GroundTrack, ground: GroundMap) -> list[str]:
    """Return the style of each moment."""
    is_seen = track.elevation_deg >= ground.mask_deg
    is_dark = is_seen & (track.sun_elevation_deg < -ground.sun_below_deg)
    shadowed = track.light == Light.UMBRA
    return [
        "track dark" if dark else "track seen" if seen else "track shadowed" if shade else "track"
        for dark, seen, shade in zip(np.any(is_dark, axis=1), np.any(is_seen, axis=1), shadowed, strict=True)
    ]


def _rank(style: str) -> int:
    return [words for words, _ in LEGEND].index(style)


def _runs(track: GroundTrack, ground: GroundMap) -> Iterator[tuple[str, list[Point]]]:
    """Yield stretches of one style, each with its points counted on; neighbours share a point."""
    points, kinds = counted_on(track.latitude_deg, track.longitude_deg), _kinds(track, ground)
    first = 0
    for place in range(1, len(points) + 1):
        if place == len(points) or kinds[place] != kinds[first]:
            yield kinds[first], points[first : place + 1]
            first = place


def _times(ground: GroundMap) -> list[tuple[float, float, str]]:
    """Return (latitude, longitude, time) of the begins of what stations see."""
    found = []
    for track in ground.tracks:
        is_seen = np.any(track.elevation_deg >= ground.mask_deg, axis=1)
        for place in np.flatnonzero(is_seen & ~np.concatenate(([False], is_seen[:-1]))).tolist():
            text = utc_text(float(track.utc_s[place]), digits=0)[11:16]
            found.append((float(track.latitude_deg[place]), float(track.longitude_deg[place]), text))
    return found if len(found) <= MOST_TIMES else []


def _name(
    surface: Surface, projection: Projection, ground: GroundMap, times: Sequence[tuple[float, float, str]]
) -> None:
    """Draw stations, and write their names and the times where they have room."""
    marks = []
    for station in ground.stations:
        for x, y in _spots(station.latitude_deg, station.longitude_deg, projection):
            surface.circle(x, y, MARK, "user outlined fine", tip=station.name)
            marks.append(Mark(x, y, MARK + 1, station.name, 12.0))
    num_stations = len(marks)
    for latitude_deg, longitude_deg, text in times:
        marks += [Mark(x, y, 2.0, text, 11.5) for x, y in _spots(latitude_deg, longitude_deg, projection)]
    room = Box(30, 18, projection.width - 4, projection.height - 4)
    for place, label in enumerate(place_labels(marks, [], room, [True] * len(marks))):
        if label is not None:
            words = "small strong" if place < num_stations else "tiny"
            surface.text(label.x, label.y, label.text, f"{words} {halo(projection)}", anchor=label.anchor)


def _draw_legend(surface: Surface, with_cones: bool) -> None:
    x, y = 14.0, 18.0
    for style, words in (*LEGEND, *((("cover", "rim of the coverage"),) if with_cones else ())):
        surface.polyline([(x, y), (x + 26, y)], style)
        surface.text(x + 32, y + 4, words, "tiny muted")
        x += 52 + 6.5 * len(words)
