"""The packaged land outlines against places that every atlas shows on land or in the sea."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from qanat.apps.networks import load_network
from qanat.apps.pictures.geography import Box, clipped
from qanat.apps.pictures.land import all_outlines, is_land, outlines_for, pieces_in
from qanat.ground.data import read_text

TOOL = Path(__file__).parents[2] / "tools" / "land_outlines.py"


@pytest.mark.parametrize(
    ("place", "latitude_deg", "longitude_deg"),
    [
        ("Beijing", 39.90, 116.41),
        ("Jinan", 36.65, 117.12),
        ("Hefei", 31.82, 117.23),
        ("Shanghai", 31.23, 121.47),
        ("Qingdao", 36.10, 120.37),
        ("Chongming island", 31.65, 121.45),
        ("Nanshan observatory", 43.475, 87.177),
        ("Vienna", 48.21, 16.37),
        ("Suva, near 180 degrees", -17.95, 178.2),
        ("Chukotka, beyond 180 degrees", 67.0, -175.0),
        ("the south pole", -89.0, 10.0),
    ],
)
def test_a_place_on_land_is_on_land(place: str, latitude_deg: float, longitude_deg: float) -> None:
    assert is_land(latitude_deg=latitude_deg, longitude_deg=longitude_deg), place


@pytest.mark.parametrize(
    ("place", "latitude_deg", "longitude_deg"),
    [
        ("Bohai sea", 38.7, 119.5),
        ("Yellow Sea", 35.0, 122.5),
        ("East China sea", 30.0, 124.0),
        ("Hangzhou bay", 30.45, 121.3),
        ("Caspian sea, inside land", 42.0, 50.5),
        ("Atlantic", 30.0, -40.0),
        ("Pacific at 180 degrees", 10.0, 179.9),
        ("Tyrrhenian sea", 40.0, 12.0),
    ],
)
def test_a_place_at_sea_is_at_sea(place: str, latitude_deg: float, longitude_deg: float) -> None:
    assert not is_land(latitude_deg=latitude_deg, longitude_deg=longitude_deg), place


def test_every_site_of_the_packaged_networks_is_on_land() -> None:
    for name in ("beijing-shanghai", "three-nodes", "one-switch"):
        for site in load_network(name).sites:
            assert is_land(latitude_deg=site.latitude_deg, longitude_deg=site.longitude_deg), site.name


@pytest.mark.slow
def test_land_covers_its_share_of_the_globe() -> None:
    """29 % of the surface is land (CRC Handbook: 148.9 of 510.1 million km2); a grid in equal areas, to 1.5 %."""
    fine, num = 45, 30
    latitudes = [(2 * (k + 0.5) / num - 1) for k in range(num)]
    hits = sum(
        is_land(latitude_deg=_arcsine_deg(share), longitude_deg=-180 + 360 * (k + 0.5) / fine)
        for share in latitudes
        for k in range(fine)
    )
    assert hits / (fine * num) == pytest.approx(0.292, abs=0.015)


def _arcsine_deg(value: float) -> float:
    return math.degrees(math.asin(value))


def test_the_data_say_where_they_are_from_and_stay_small() -> None:
    text = read_text("apps.pictures", "land.json")
    data = json.loads(text)
    assert len(text) < 150_000
    assert "Natural Earth" in data["origin"]
    assert data["licence"] == "public domain"
    assert Path(data["made_by"]).name == TOOL.name
    assert TOOL.exists()
    assert [area.name for area in all_outlines()] == ["east China", "the world"], "the finest first"


def test_a_map_takes_the_finest_outlines_that_cover_it() -> None:
    assert outlines_for(Box(116, 30, 122, 40)).name == "east China"
    assert outlines_for(Box(116, 30, 130, 40)).name == "the world"
    assert outlines_for(Box(178, -20, 182, -15)).name == "the world"


@pytest.mark.parametrize("low_x", [176.0, -184.0])
def test_land_across_180_degrees_is_found_whole_from_both_sides(low_x: float) -> None:
    """Chukotka at 67 to 68 degrees north reaches from the west of the meridian to about 175 degrees west."""
    (piece,) = [piece for piece, _ in pieces_in(all_outlines()[-1], Box(low_x, 67.2, low_x + 14, 68))]
    across = [x for x, _ in piece]
    assert min(across) == pytest.approx(low_x)
    assert low_x + 8 < max(across) < low_x + 10.5
    assert sum(179.99 < abs(x) < 180.01 for x in across) == 0, "no seam"


def test_what_is_cut_to_a_box_stays_in_it() -> None:
    square = [(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (0.0, 4.0)]
    assert sorted(clipped(square, Box(1, 1, 9, 9))) == [(1, 1), (1, 4), (4, 1), (4, 4)]
    assert clipped(square, Box(5, 5, 6, 6)) == []
    assert sorted(clipped(square, Box(1, 1, 2, 2))) == [(1, 1), (1, 2), (2, 1), (2, 2)], "a box inside is all land"
