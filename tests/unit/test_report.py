"""The report: it holds what the record says, asks nothing of the network, and keeps strangers' text in its place."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from xml.etree import ElementTree as ET

import pytest

from qanat.apps.pictures.map import Projection, draw_map
from qanat.apps.pictures.svg import Sheet, round_step
from qanat.apps.report import DemoResult, PoolSample, life_of_key, render_report, wording
from qanat.apps.report.charts import draw_deviation, draw_life, ticks
from qanat.apps.report.pools_picture import draw_pools
from qanat.apps.report.steps_picture import LANE_OF_STEP, LANES, delivered_requests, draw_steps
from qanat.ground.events import STEP_TEXTS
from qanat.ground.identifiers import LinkId
from qanat.ground.network import Network, Site
from qanat.ground.network.description import great_circle_km
from unit.report_reader import Reader, pictures, texts
from unit.report_sample import FIRST, SECOND, sample_events, sample_network, sample_result

RESULT = sample_result()
RATES = {LinkId(link.link_id): link.secret_rate_bits_per_s for link in RESULT.links}
REPORT = render_report(RESULT)


def test_the_document_is_well_formed_and_loads_nothing() -> None:
    reader = Reader(REPORT)
    assert reader.open_tags == []
    assert reader.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
    assert {name for name, _ in reader.attributes}.isdisjoint({"src", "srcset", "onload", "action"})
    anchors = {f"#{value}" for name, value in reader.attributes if name == "id"}
    assert {value for name, value in reader.attributes if name == "href"} <= anchors, "links stay on the page"
    assert not re.search(r"https?:|//[a-z]|url\(|@import", REPORT)
    assert "default-src 'none'" in REPORT


def test_every_table_scrolls_by_itself_where_the_page_is_narrow() -> None:
    num_tables = len(re.findall(r"<table\b", REPORT))
    assert num_tables > 5
    assert len(re.findall(r'<div class="wide"><table\b', REPORT)) == num_tables


def test_every_picture_says_in_words_what_it_shows() -> None:
    found = pictures(REPORT)
    assert len(found) > 6
    for picture in found:
        assert picture.get("aria-label")
        width, height = map(float, picture.get("viewBox", "").split()[2:])
        assert width > 0
        assert height > 0


@pytest.mark.parametrize(
    "figure",
    [
        *(
            "FAKE-letter.bin (10.0 MB)",
            "10 keys of 128 bits",
            "over 1 trusted relay",
            "All checks held",
            "4,194,304",
            "1.111",
        ),
        *("1,234.6", "123.5", "9.990 × 10⁻¹⁰", "cascade 456,789", "235.4", "79.3", "28.1", "to the bit", "0.0.fake"),
        *("suzhou → kunshan → shanghai", "all 321", "10.3 dB, 41.1 km of fibre", "Nothing was tuned"),
    ],
)
def test_the_report_holds_what_the_record_says(figure: str) -> None:
    assert figure in Reader(REPORT).text


def test_each_kind_of_number_is_marked_and_explained() -> None:
    titles = [value for name, value in Reader(REPORT).attributes if name == "title"]
    for word in ("input", "photon level", "formula", "this run", "Table 1"):
        assert any(word in title for title in titles), word


def test_a_check_that_failed_is_said_first() -> None:
    failed = dataclasses.replace(RESULT.checks[1], held=False)
    text = Reader(render_report(dataclasses.replace(RESULT, checks=(RESULT.checks[0], failed)))).text
    assert text.index("A check failed") < text.index("FAKE: every key is the same at both ends: failed")
    assert "All checks held" not in text


def test_unequal_keys_and_accounts_are_shouted() -> None:
    link = dataclasses.replace(RESULT.links[0], keys_identical=False)
    relay = dataclasses.replace(RESULT.relays[0], qkd_bits_spent=1)
    text = Reader(render_report(dataclasses.replace(RESULT, links=[link], relays=[relay]))).text
    assert "NO 321" in text
    assert "does not add up" in text


def test_a_strangers_text_stays_text() -> None:
    nasty = "<script>alert(1)</script>&"
    transfer = dataclasses.replace(RESULT.transfers[0], name=nasty)
    sites = [site.model_copy(update={"title": nasty}) for site in RESULT.network.sites]
    network = RESULT.network.model_copy(update={"title": nasty, "sites": tuple(sites)})
    document = render_report(dataclasses.replace(RESULT, transfers=[transfer], network=network))
    reader = Reader(document)
    assert "script" not in reader.tags
    assert reader.text.count(nasty) >= 3
    assert pictures(document)


def test_an_empty_run_has_a_report() -> None:
    bare = DemoResult(RESULT.network, (), (), (), (), started_utc_s=0.0, duration_s=1.0)
    reader = Reader(render_report(bare))
    assert reader.open_tags == []
    assert "No file was sent" in reader.text
    assert "Nothing was delivered" in reader.text


def test_both_requests_are_drawn_step_by_step() -> None:
    requests = delivered_requests(sample_events())
    assert [tuple(request.numbers) for request in requests] == [FIRST, SECOND]
    for request in requests:
        words = texts(ET.fromstring(draw_steps(request)))
        assert [word for word in words if word.isdigit()] == [str(step) for step in request.numbers]
        assert all(STEP_TEXTS[step] in words for step in request.numbers)
        assert "+0 ms" in words
    assert "9.41 s" in texts(ET.fromstring(draw_steps(requests[0]))), "how long key was made"
    assert "photons to key:" not in texts(ET.fromstring(draw_steps(requests[1])))


def test_events_without_their_causes_are_no_record() -> None:
    torn = [event for event in sample_events() if event.step != 6]
    with pytest.raises(KeyError):
        delivered_requests(torn)


def test_every_step_joins_two_lanes_of_the_diagram() -> None:
    assert set(LANE_OF_STEP) == set(STEP_TEXTS)
    assert {lane for pair in LANE_OF_STEP.values() for lane in pair} <= set(LANES)


def test_the_map_keeps_distances_and_north() -> None:
    """Over 100 km an equirectangular map about its middle is true to better than 0.3 %."""
    network = sample_network()
    projection = Projection.around(network.sites)
    for one in network.sites:
        for other in network.sites:
            drawn_km = math.dist(projection.place(one), projection.place(other)) / projection.units_per_km
            assert drawn_km == pytest.approx(great_circle_km(one, other), rel=3e-3, abs=1e-9)
    suzhou, kunshan, shanghai = (projection.place(site) for site in network.sites)
    assert suzhou[0] < kunshan[0] < shanghai[0]
    assert kunshan[1] < suzhou[1] < shanghai[1]
    assert projection.longitude_deg(projection.x(121.1)) == pytest.approx(121.1)
    assert projection.latitude_deg(projection.y(31.3)) == pytest.approx(31.3)


def test_the_map_names_every_site_and_link() -> None:
    words = texts(ET.fromstring(draw_map(sample_network(), RATES)))
    for site in RESULT.network.sites:
        assert site.title in words
    assert "10.3 dB, 41.1 km of fibre" in words
    assert "42.0 kbit/s secret" in words
    assert "10 km" in words


@pytest.mark.parametrize("spread_deg", [0.0, 1e-4, 40.0])
def test_any_network_can_be_drawn(spread_deg: float) -> None:
    sites = tuple(
        Site(name=name, kind="user", latitude_deg=-10 + 2 * k * spread_deg, longitude_deg=-k * spread_deg)
        for k, name in enumerate(("a", "b"))
    )
    (link,) = (sample_network().links[0].model_copy(update={"transmitter": "a", "receiver": "b"}),)
    network = Network.model_construct(
        format="qanat-network/1", name="n", title="", sites=sites, links=(link,), applications=()
    )
    picture = ET.fromstring(draw_map(network, {}))
    assert "nan" not in ET.tostring(picture, encoding="unicode")
    assert {"a", "b"} <= set(texts(picture))


def test_the_life_of_a_key_adds_up() -> None:
    stages = life_of_key(
        detections=1000, sifted_bits=500, key_bits=300, verified_bits=290, leaked_bits=40, secret_bits=100
    )
    assert [stage.num_bits for stage in stages] == [1000, 500, 300, 290, 250, 100]
    words = texts(ET.fromstring(draw_life(stages, title="a link")))
    lost = [int(word.split(":")[0].removeprefix("− ")) for word in words if word.startswith("−")]
    assert sum(lost) == 900
    assert sum(lost) + stages[-1].num_bits == stages[0].num_bits


def test_pools_are_drawn_in_steps_and_named() -> None:
    samples = [PoolSample(float(t), name, t * bits) for t in range(4) for name, bits in (("x", 10), ("y", 1000))]
    picture = ET.fromstring(draw_pools(samples))
    assert {"x", "y", "3 kbit"} <= set(texts(picture))
    for series in picture.iter("polyline"):
        points = [tuple(map(float, point.split(","))) for point in series.get("points", "").split()]
        assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(points))


@pytest.mark.parametrize(("sigma", "mark"), [(0.0, "mark-drawn"), (-4.9, "mark-drawn"), (7.0, "mark-alarm")])
def test_a_deviation_beyond_five_sigma_is_an_alarm(sigma: float, mark: str) -> None:
    (circle,) = ET.fromstring(draw_deviation(sigma)).iter("circle")
    assert circle.get("class") == mark
    assert 5 <= float(circle.get("cx", "0")) <= 145


def test_a_sheet_escapes_and_rounds() -> None:
    sheet = Sheet(10, 10, label='a "b" <c>')
    sheet.text(1 / 3, 2, "<&>", "x", anchor="end", turned_deg=12.345)
    sheet.path("M 0 0", 'y"')
    root = ET.fromstring(sheet.render())
    (text,) = root.iter("text")
    assert (text.text, text.get("x"), text.get("transform")) == ("<&>", "0.33", "rotate(12.35 0.33 2)")
    assert root.get("aria-label") == 'a "b" <c>'


@pytest.mark.parametrize(
    ("low", "high", "expected"), [(0, 10, [0, 2, 4, 6, 8, 10]), (8.8, 11.1, [8.8, 9, 9.2, 9.4]), (0, 0, [0])]
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, about=5)[: len(expected)] == expected


@pytest.mark.parametrize(("value", "step"), [(1, 1), (1.9, 1), (4.99, 2), (5, 5), (70, 50), (0.03, 0.02), (999, 500)])
def test_steps_are_one_two_five(value: float, step: float) -> None:
    assert round_step(value) == step


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (wording.count(1234567), "1,234,567"),
        (wording.percent(0.01234), "1.23 %"),
        (wording.scientific(9.99e-10, digits=2), "9.99 × 10⁻¹⁰"),
        (wording.scientific(0), "0"),
        (wording.kilobits_per_s(1_234_567), "1,234.6"),
        (wording.seconds(0.0412), "41 ms"),
        (wording.seconds(0.9996), "1.00 s"),
        (wording.seconds(9.414), "9.41 s"),
        (wording.seconds(123.456), "123.5 s"),
        (wording.short_bits(4_194_304), "4.19 Mbit"),
        (wording.short_bits(12), "12 bit"),
        (wording.milliseconds(0.00321), "3.2 ms"),
        (wording.milliseconds(0.00996), "10 ms"),
        (wording.milliseconds(0.0612), "61 ms"),
    ],
)
def test_numbers_are_printed_as_people_read_them(said: str, expected: str) -> None:
    assert said == expected
