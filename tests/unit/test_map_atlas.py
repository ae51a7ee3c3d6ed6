"""The paper's network drawn: the backbone whole, cities and islands apart, switches with their fibres."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from qanat.apps.networks import load_network
from qanat.apps.pictures.atlas import Atlas, atlas_of
from qanat.apps.pictures.map import draw_map_png, draw_map_svg
from qanat.apps.pictures.surface import Shifted
from qanat.apps.pictures.svg import Sheet
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network
from qanat.ground.network.building import build_network
from qanat.ground.network.extracts import by_heading, extract_of, under_heading, without_satellites


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network("nature2021")


@pytest.fixture(scope="module")
def atlas(network: Network) -> Atlas:
    return atlas_of(network, {})


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter() if element.tag.endswith("text")]


def test_the_cities_are_drawn_apart_and_urumqi_where_no_satellite_joins_it(network: Network, atlas: Atlas) -> None:
    assert [inset.title for inset in atlas.insets] == ["Beijing", "Jinan", "Hefei", "Shanghai"]
    assert {"nanshan", "micius", "xinglong"} <= set(atlas.main.places)
    ground = atlas_of(without_satellites(network), {})
    assert [inset.title for inset in ground.insets] == ["Beijing", "Jinan", "Hefei", "Shanghai", "Urumqi"]
    assert [inset.frame is None for inset in ground.insets] == [False] * 4 + [True]
    assert "3 relays, 50 user nodes, 3 switches, 437 links" in [inset.subtitle for inset in atlas.insets]


def test_every_site_is_drawn_and_none_outside_its_part(network: Network, atlas: Atlas) -> None:
    plans = [atlas.main, *(inset.plan for inset in atlas.insets)]
    assert {node for plan in plans for node in plan.places} == set(network.nodes)
    for plan in plans:
        for x, y in (*plan.places.values(), *plan.switch_places.values()):
            assert 0 <= x <= plan.projection.width
            assert 0 <= y <= plan.projection.height
    assert "beijing-control" in atlas.main.places  # links lead from it out of the city
    assert not atlas.main.switch_places


def test_no_two_parts_overlap(atlas: Atlas) -> None:
    boxes = [(0.0, 0.0, atlas.main.projection.width, atlas.main.projection.height)]
    for inset in atlas.insets:
        size = inset.plan.projection
        boxes.append((inset.left, inset.top, inset.left + size.width, inset.top + size.height))
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert right <= atlas.width + 0.01
        assert bottom <= atlas.height + 0.01
        for other in boxes[:number]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_the_picture_names_every_relay_and_switch(network: Network) -> None:
    written = texts(draw_map_svg(network, {}))
    missing = [site.title for site in network.sites if site.kind == "relay" and site.title not in written]
    assert missing == []
    assert {"Beijing switch 2", "Jinan switch 3", "all-pass switch", "drawn apart below"} <= set(written)


def test_links_through_switches_are_the_fibres_they_share(network: Network) -> None:
    styles = [element.get("class") for element in ET.fromstring(draw_map_svg(network, {})).iter()]
    assert styles.count("link port") == sum(len(switch.ports) for switch in network.switches)
    assert styles.count("link trunk") == len(network.trunks) + len(network.downlinks) + 1, "one in the legend"


def test_a_network_without_crowds_or_islands_is_one_map() -> None:
    for whole in (load_network("beijing-shanghai"), build_network("grid", num_nodes=49)):
        assert atlas_of(whole, {}).insets == ()


@pytest.mark.slow
def test_what_is_under_one_heading_can_be_drawn_alone(network: Network) -> None:
    jinan = under_heading(network, "jinan")
    assert (len(jinan.sites), len(jinan.links), len(jinan.applications)) == (53, 437, 95)
    assert jinan.title.endswith(": jinan")
    beijing = under_heading(network, "beijing")
    assert len(beijing.sites) == 12 + 19  # with the ring nodes that the table leaves out
    assert draw_map_png(jinan, {}).startswith(b"\x89PNG")
    with pytest.raises(ConfigurationError, match="nothing in 'nature2021' is counted as 'jinn'") as caught:
        under_heading(network, "jinn")
    assert "jinan" in caught.value.remedy


def test_a_part_keeps_what_lies_between_its_sites(network: Network) -> None:
    groups = by_heading(network)
    part = extract_of(network, groups["shanghai"])
    assert len(part.links) == 82
    assert [switch.name for switch in part.switches] == ["shanghai-switch-1"]
    alone = extract_of(network, [node for node in groups["shanghai"] if part.site(node).kind == "relay"])
    assert alone.switches == ()
    assert len(alone.links) == 5


def test_a_shifted_sheet_moves_everything_that_is_drawn() -> None:
    plain, moved = (Sheet(100, 100, label="x") for _ in range(2))
    for sheet, by in ((plain, 0.0), (Shifted(moved, 30, 20), -30.0)):
        down = 2 * by / 3
        sheet.line(31 + by, 22 + down, 40 + by, 50 + down, "a", tip="t")
        sheet.rectangle(31 + by, 22 + down, 4, 5, "a")
        sheet.circle(31 + by, 22 + down, 4, "a")
        sheet.polyline([(31 + by, 22 + down), (35 + by, 24 + down)], "a")
        sheet.polygon([(31 + by, 22 + down), (35 + by, 24 + down)], "a")
        sheet.text(31 + by, 22 + down, "words", "a", anchor="end", turned_deg=5)
    assert plain.render() == moved.render()
