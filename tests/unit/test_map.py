"""Maps as pictures: what stands where, that nothing covers a name, and that SVG and PNG show the same."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from qanat.apps.networks import load_network
from qanat.apps.pictures.geography import Box, Projection
from qanat.apps.pictures.labels import Label, Mark, place_labels
from qanat.apps.pictures.link_classes import classes_of
from qanat.apps.pictures.map import draw_map, draw_map_png, draw_map_svg
from qanat.apps.pictures.png import DOTS_PER_UNIT, can_draw, drawable
from qanat.apps.pictures.styles import MAP_PALETTE, PALETTE, style_of
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Link, Network, Site

SVG = "{http://www.w3.org/2000/svg}"


def site(name: str, latitude_deg: float, longitude_deg: float, *, kind: str = "relay", title: str = "") -> Site:
    return Site.model_validate(
        {"name": name, "kind": kind, "title": title, "latitude_deg": latitude_deg, "longitude_deg": longitude_deg}
    )


def network_of(sites: Sequence[Site], pairs: Sequence[tuple[str, str]], *, loss_db: float = 10.0) -> Network:
    links = tuple(
        Link(name=f"{a}-{b}", transmitter=a, receiver=b, system="backbone-625", loss_db=loss_db + k % 12, length_km=900)
        for k, (a, b) in enumerate(pairs)
    )
    return Network(format="qanat-network/1", name="n", sites=tuple(sites), links=links)


def grid(side: int) -> Network:
    """Sites a quarter of a degree apart, each linked to the next in both directions."""
    sites = [site(f"n-{i}-{j}", 45 + 0.25 * i, 5 + 0.35 * j) for i in range(side) for j in range(side)]
    across = [(f"n-{i}-{j}", f"n-{i}-{j + 1}") for i in range(side) for j in range(side - 1)]
    along = [(f"n-{i}-{j}", f"n-{i + 1}-{j}") for i in range(side - 1) for j in range(side)]
    return network_of(sites, across + along)


def texts(picture: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(picture).iter() if element.tag.endswith("text")]


def pixel(png: bytes, x: float, y: float) -> str:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    found = image.getpixel((round(x * DOTS_PER_UNIT), round(y * DOTS_PER_UNIT)))
    assert isinstance(found, tuple)
    return "#{:02x}{:02x}{:02x}".format(*found)


def test_the_backbone_shows_every_name_and_a_legend() -> None:
    network = load_network("beijing-shanghai")
    rates = {link.link_id: 1e3 * (20 + 7 * k) for k, link in enumerate(network.links)}
    words = texts(draw_map_svg(network, rates))
    for one in network.sites:
        assert any(word.startswith(one.title) for word in words), one.title
    assert "User in Beijing (alice)" in words
    assert "QKD links: secret key rate, kbit/s" in words
    assert {"below 50", "50 to 100", "100 to 200", "200 or more", "100 km"} <= set(words)
    assert "link of a user, drawn longer than it is" in words
    assert "least: beijing-user-link, 20.0 kbit/s" in words


@pytest.mark.slow
def test_land_and_sea_lie_where_they_are() -> None:
    """In the PNG, at places far from any site, line and name: one on land, one in the Yellow Sea."""
    network = load_network("beijing-shanghai")
    png = draw_map_png(network, {})
    places = {}
    svg = ET.fromstring(draw_map_svg(network, {}))
    for element in svg.iter(f"{SVG}polygon"):
        tip = element.find(f"{SVG}title")
        if tip is not None and tip.text in ("Beijing", "Shanghai"):
            corners = [tuple(map(float, point.split(","))) for point in element.get("points", "").split()]
            places[tip.text] = (corners[0][0], corners[1][1])
    beijing, shanghai = places["Beijing"], places["Shanghai"]
    east = (shanghai[0] - beijing[0]) / (121.474 - 116.407)
    south = (shanghai[1] - beijing[1]) / (39.904 - 31.230)

    def at(latitude_deg: float, longitude_deg: float) -> str:
        return pixel(png, beijing[0] + east * (longitude_deg - 116.407), beijing[1] + south * (39.904 - latitude_deg))

    sea, land = MAP_PALETTE["sea"][0], MAP_PALETTE["land"][0]
    assert [at(35.4, 122.4), at(38.6, 119.6)] == [sea, sea], "Yellow Sea, Bohai sea"
    assert [at(35.4, 114.6), at(36.6, 120.6), at(33.4, 119.4)] == [land, land, land], "Henan, Shandong, Jiangsu"


def test_a_small_network_has_no_land_that_would_be_wrong() -> None:
    town = network_of([site("a", 48.2, 16.37), site("b", 48.209, 16.38)], [("a", "b")])
    assert "land" not in [element.get("class") for element in ET.fromstring(draw_map(town, {})).iter()]
    assert "500 m" in texts(draw_map(town, {})) or "200 m" in texts(draw_map(town, {}))


def test_sites_on_both_sides_of_180_degrees_hang_together() -> None:
    pacific = [site("suva", -18.14, 178.44), site("apia", -13.83, -171.76)]
    projection = Projection.around(pacific)
    (x1, y1), (x2, y2) = (projection.place(one) for one in pacific)
    assert 0 < x1 < x2 < projection.width, "Apia is east of Suva"
    drawn_km = math.hypot(x2 - x1, y2 - y1) / projection.units_per_km
    assert drawn_km == pytest.approx(1142, rel=0.01), "great circle, by the haversine formula"
    words = texts(draw_map(network_of(pacific, [("suva", "apia")]), {}))
    assert "180°" in words
    assert any(word.endswith("° W") for word in words)


@pytest.mark.parametrize("side", [5, 10])
def test_names_on_a_crowded_map_cover_no_name_and_no_mark(side: int) -> None:
    marks = [Mark(40 + 70.0 * i, 40 + 60.0 * j, 5.0, f"n-{i}-{j}", 12.0) for i in range(side) for j in range(side)]
    lines = [((one.x, one.y), (other.x, other.y)) for one, other in itertools.pairwise(marks)]
    labels = [label for label in place_labels(marks, lines, Box(0, 0, 800, 700)) if label]
    assert len(labels) == side * side
    assert_nothing_is_covered(labels, marks)


def assert_nothing_is_covered(labels: Sequence[Label], marks: Sequence[Mark]) -> None:
    for one, other in itertools.combinations(labels, 2):
        assert not one.box.overlaps(other.box), (one.text, other.text)
    for label in labels:
        assert not any(label.box.overlaps(mark.box) for mark in marks), label.text


def test_a_name_without_room_is_left_out_and_counted() -> None:
    heap = [Mark(50.0 + k % 3, 50.0 + k // 3, 5.0, "a long name that stays", 12.0) for k in range(40)]
    labels = place_labels(heap, [], Box(0, 0, 250, 120))
    kept = [label for label in labels if label]
    assert 0 < len(kept) < len(heap)
    assert_nothing_is_covered(kept, heap)
    # on a map, sites in one place
    many = network_of([site(f"s{k}", 40, 116 + 1e-9 * k) for k in range(60)], [("s0", f"s{k}") for k in range(1, 60)])
    assert any(word.endswith("names had no room") for word in texts(draw_map(many, {})))


def test_names_keep_off_links_where_they_can() -> None:
    mark = Mark(100, 100, 5, "name", 12)
    (label,) = place_labels([mark], [((100.0, 100.0), (200.0, 100.0))], Box(0, 0, 200, 200))
    assert label is not None
    assert label.anchor == "end", "to the west, where no link runs"


def test_a_hundred_sites_are_all_named() -> None:
    words = texts(draw_map_svg(grid(10), {}))
    assert {one.name for one in grid(10).sites} <= set(words)
    assert {"below 50", "200 or more"}.isdisjoint(words)
    assert "QKD links: loss, dB" in words


def test_figures_stand_along_links_only_where_they_touch_nothing() -> None:
    ring = [
        site(f"s{k}", 48 + 0.6 * math.cos(k * 2 * math.pi / 5), 16 + 0.9 * math.sin(k * 2 * math.pi / 5))
        for k in range(5)
    ]
    roomy = network_of(ring, [(f"s{k}", f"s{(k + 1) % 5}") for k in range(5)])
    assert "10 dB, 900 km of fibre" in texts(draw_map(roomy, {}))
    star = network_of(
        [
            site("hub", 48, 16),
            *(site(f"s{k}", 48 + 0.6 * math.cos(k * 0.6), 16 + 0.9 * math.sin(k * 0.6)) for k in range(10)),
        ],
        [("hub", f"s{k}") for k in range(10)],
    )
    assert not any("of fibre" in word for word in texts(draw_map(star, {})))


def test_users_too_near_to_their_relay_are_pulled_apart_around_it() -> None:
    network = network_of(
        [
            site("hub", 36.65, 117.12, title="Hub"),
            site("far", 31.2, 121.4, title="Far"),
            *(site(f"u{k}", 36.65 + 0.01 * k, 117.12, kind="user") for k in range(1, 7)),
        ],
        [("hub", "far"), *(("hub", f"u{k}") for k in range(1, 7))],
    )
    root = ET.fromstring(draw_map(network, {}))
    users = [
        (float(circle.get("cx", "")), float(circle.get("cy", "")))
        for circle in root.iter("circle")
        if (tip := circle.find("title")) is not None and (tip.text or "").startswith("u")
    ]
    assert len(users) == 6
    assert min(math.dist(one, other) for one, other in itertools.combinations(users, 2)) > 12
    apart = [line for line in root.iter("line") if "apart" in line.get("class", "")]
    assert len(apart) == 6 + 1, "six links and the legend"


def test_links_fall_into_classes_by_rate_then_by_loss() -> None:
    network = network_of([site("a", 0, 0), site("b", 0, 1), site("c", 0, 2)], [("a", "b"), ("b", "c")])
    rates = {LinkId("a-b"): 30e3, LinkId("b-c"): 210e3}
    classes = classes_of(network, rates)
    assert classes.borders == (50, 100, 200)
    assert [classes.style(link.link_id) for link in network.links] == ["link class-0", "link class-4"]
    assert [words for _, words in classes.legend()] == ["200 or more", "100 to 200", "50 to 100", "below 50"]
    assert classes_of(network, {**rates, LinkId("a-b"): 0.0}).style(LinkId("a-b")) == "link dry"
    partly = classes_of(network, {LinkId("a-b"): 1e3})
    assert partly.style(LinkId("b-c")) == "link unknown"
    assert partly.legend()[-1] == ("link unknown", "not known")
    by_loss = classes_of(network, {})
    assert by_loss.style(LinkId("a-b")) == "link class-4", "the least loss is drawn widest"
    assert by_loss.style(LinkId("b-c")) == "link class-0"


@pytest.mark.parametrize("rates", [{}, {LinkId("a-b"): 0.0}, {LinkId("a-b"): 5.0}])
def test_one_value_makes_one_class(rates: dict[LinkId, float]) -> None:
    network = network_of([site("a", 0, 0), site("b", 0, 1)], [("a", "b")])
    assert len(classes_of(network, rates).legend()) == 1


def test_a_file_carries_its_style_and_a_page_brings_its_own() -> None:
    network = load_network("three-nodes")
    alone, inside = draw_map_svg(network, {}), draw_map(network, {})
    root = ET.fromstring(alone)
    assert root.tag == f"{SVG}svg"
    ground = root.find(f"{SVG}rect")
    assert ground is not None
    assert ground.get("fill") == "#ffffff"
    assert "var(" not in alone
    assert PALETTE["user"] in alone
    assert "prefers-color-scheme: dark" in inside
    assert PALETTE["user"] not in inside, "users have the page's colour"
    assert "http" not in alone.replace(SVG.strip("{}"), "")


@pytest.mark.slow
def test_a_png_is_white_around_the_map_and_of_the_svgs_size() -> None:
    network = load_network("three-nodes")
    png = draw_map_png(network, {})
    box = ET.fromstring(draw_map_svg(network, {})).get("viewBox", "").split()
    image = Image.open(io.BytesIO(png))
    assert image.size == tuple(round(DOTS_PER_UNIT * float(side)) for side in box[2:])
    assert pixel(png, 970, float(box[3]) - 3) == "#ffffff"
    assert draw_map_png(network, {}) == png, "the same every time"


def test_letters_that_the_font_lacks_are_told() -> None:
    assert drawable("Zürich – 5 km?") == "Zurich - 5 km?"
    assert can_draw("Zürich?")
    assert not can_draw("北京")
    odd = network_of([site("beijing", 40, 116, title="北京"), site("b", 40.1, 116)], [("beijing", "b")])
    plain = network_of([site("beijing", 40, 116), site("b", 40.1, 116)], [("beijing", "b")])
    assert draw_map_png(odd, {}) == draw_map_png(plain, {}), "its name stands there instead"
    assert "北京" in texts(draw_map_svg(odd, {}))


def test_styles_lie_over_one_another_in_the_order_of_the_table() -> None:
    assert style_of("label strong halo on-map").stroke == "land"
    assert style_of("label strong halo").stroke == "panel"
    assert style_of("fill light").stroke == "none"
    assert style_of("link class-2 apart").dash == 3


@pytest.mark.parametrize("name", ["urumqi-shanghai", "nature2021"])
def test_names_keep_off_the_downlinks_of_a_satellite(name: str) -> None:
    elements = list(ET.fromstring(draw_map_svg(load_network(name), {})).iter())
    names = {one.text: one.attrib for one in elements if one.attrib.get("class", "").startswith("small")}
    lines = [one.attrib for one in elements if one.attrib.get("class") == "link trunk"]
    ends = [((float(one["x1"]), float(one["y1"])), (float(one["x2"]), float(one["y2"]))) for one in lines]
    shares = [k / 999 for k in range(1000)]
    points = [(x1 + share * (x2 - x1), y1 + share * (y2 - y1)) for (x1, y1), (x2, y2) in ends for share in shares]
    for text in ("Nanshan ground station", "Micius"):
        said, width = names[text], 0.56 * 12 * len(text)
        x, y = float(said["x"]), float(said["y"])
        left = x - {"start": 0.0, "middle": width / 2, "end": width}[said["text-anchor"]]
        assert not any(left < px < left + width and y - 11 < py < y + 2.7 for px, py in points), text
