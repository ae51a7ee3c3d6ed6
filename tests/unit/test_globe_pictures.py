"""Lines and areas of the whole Earth on a flat map, and the pictures made of them."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from qanat.apps.cli.passes_search import Found, PassesOptions, search
from qanat.apps.cli.passes_track import ground_map, track_record
from qanat.apps.pictures.geography import Box, Point
from qanat.apps.pictures.globe import areas_in, counted_on, lines_in, ring_on_map, world_projection
from qanat.apps.pictures.ground_track import draw_ground_track
from qanat.orbits.earth import utc_s_of
from qanat.orbits.ground_track import circle_about, night_rim, sun_above

WORLD = Box(-180, -90, 180, 90)


def is_inside(areas: list[list[Point]], x: float, y: float) -> bool:
    count = 0
    for points in areas:
        for (x1, y1), (x2, y2) in zip(points, [*points[1:], points[0]], strict=True):
            if (y1 > y) != (y2 > y):
                count += x < x1 + (y - y1) / (y2 - y1) * (x2 - x1)
    return count % 2 == 1


@pytest.mark.parametrize("moment", ["2016-12-19T04:18", "2016-06-19T22:04", "2017-03-20T00:00", "2017-09-01T13:00"])
@pytest.mark.parametrize("depression_deg", [0.0, 12.0])
def test_the_area_of_the_night_is_where_the_sun_is_low(moment: str, depression_deg: float) -> None:
    utc_s = utc_s_of(moment)
    areas = list(areas_in(ring_on_map(*night_rim(utc_s, depression_deg=depression_deg)), WORLD))
    sun_latitude, sun_longitude = np.radians(sun_above(utc_s))
    for latitude_deg in range(-85, 90, 17):
        for longitude_deg in range(-177, 180, 22):
            latitude, east = np.radians(latitude_deg), np.radians(longitude_deg) - sun_longitude
            sine = np.sin(latitude) * np.sin(sun_latitude) + np.cos(latitude) * np.cos(sun_latitude) * np.cos(east)
            height_deg = np.degrees(np.arcsin(sine))
            if abs(height_deg + depression_deg) > 1:
                assert is_inside(areas, longitude_deg, latitude_deg) == (height_deg < -depression_deg)


@pytest.mark.parametrize("place", [(85.0, 10.0), (-85.0, -170.0), (40.0, 179.0), (0.0, 0.0)])
def test_the_area_of_a_circle_holds_its_middle_and_not_the_other_side(place: tuple[float, float]) -> None:
    areas = list(areas_in(ring_on_map(*circle_about(*place, radius_deg=20.0)), WORLD))
    assert is_inside(areas, place[1], place[0])
    assert not is_inside(areas, (place[1] + 360.0) % 360 - 180, -place[0])


def test_a_line_of_many_orbits_is_wholly_on_the_map() -> None:
    longitudes = np.linspace(0, -5_400, 1_801)
    pieces = list(lines_in(counted_on(np.zeros(1_801), (longitudes + 180) % 360 - 180), WORLD))
    assert sum(piece[0][0] - piece[-1][0] for piece in pieces) == pytest.approx(5_400)
    assert all(-180 <= x <= 180 for piece in pieces for x, _ in piece)


def test_a_line_is_cut_at_all_edges() -> None:
    assert list(lines_in([(-10, 0), (0, 10), (10, 0), (20, 0)], Box(-5, -5, 15, 8))) == [
        [(-5, 5), (-2, 8)],
        [(2, 8), (10, 0), (15, 0)],
    ]


def test_the_world_has_one_scale() -> None:
    world = world_projection(720.0)
    assert (world.x_counted_on(-180), world.x_counted_on(180)) == (0, 720)
    assert (world.y(90), world.y(-90)) == (pytest.approx(0), pytest.approx(360))


def found(**changes: object) -> Found:
    options = {
        "satellites": ("micius",),
        "stations": ("nanshan", "xinglong"),
        "start": "2016-12-19T04:00",
        "days": 1.0,
        "min_elevation_deg": 5.0,
        "sun_below_deg": 12.0,
    }
    return search(PassesOptions(**{**options, **changes}))  # type: ignore[arg-type]


def test_the_map_of_a_night_names_stations_and_times_and_has_both_cones_of_the_paper() -> None:
    ground = ground_map(found(), ())
    text = draw_ground_track(ground, as_png=False).decode()
    words = re.findall(r">([^<>]+)</text>", text)
    assert words.count("nanshan") == 3, "on both maps and under the cone"
    assert {"16:48", "18:22"} <= set(words)
    assert "20°: cone of 140°, range 1,200 km" in words
    assert "5°: cone of 170°, range 2,086 km" in words
    assert text.count('class="track dark"') >= 4
    assert "nan" not in text.replace("nanshan", "")
    record = track_record(ground)
    assert record["moment_utc"].startswith("2016-12-19T18:26:1"), "of the highest dark pass"
    assert [(one["station"], one["coverage_angle_deg"]) for one in record["coverage"]] == [
        *(("nanshan", 170.0), ("nanshan", 140.0), ("xinglong", 170.0), ("xinglong", 140.0))
    ]
    (track,) = record["tracks"]
    assert len(track["utc"]) == 2_881
    assert ["xinglong"] in track["seen_in_the_dark_by"]


@pytest.mark.parametrize(
    "changes",
    [
        {"satellites": ("geo:110",), "min_elevation_deg": 20.0},
        {"satellites": ("circular:600,98",), "stations": ("90,0,0", "-89,180,0")},
        {"satellites": ("circular:600,70", "geo:-170"), "stations": ("65,170", "64,-178")},
        {"satellites": ("walker-star:780,86.4,66/6/2",), "days": 0.05},
        {"days": 30.0, "min_elevation_deg": 85.0},
    ],
)
def test_maps_of_poles_date_line_fleets_and_no_pass_are_drawn(changes: dict[str, object]) -> None:
    ground = ground_map(found(**changes), (40.0,))
    text = draw_ground_track(ground, as_png=False).decode()
    assert not re.search(r'"nan|[ ",]nan[ ",]', text)
    points = re.findall(r'<polyline class="track[^"]*" points="([^"]+)"', text)
    xs = [float(pair.split(",")[0]) for line in points for pair in line.split()]
    assert min(xs) >= -0.01
    assert max(xs) <= 980.01


@pytest.mark.slow
def test_a_png_has_night_over_land_and_sea() -> None:
    ground = ground_map(found(), ())
    picture = Image.open(io.BytesIO(draw_ground_track(ground, as_png=True))).convert("RGB")
    by_day, by_night = (picture.getpixel((round(2 * x), round(2 * (64 + y)))) for x, y in ((130, 245), (800, 245)))
    assert isinstance(by_day, tuple)
    assert isinstance(by_night, tuple)
    assert sum(by_day) > sum(by_night) + 60
