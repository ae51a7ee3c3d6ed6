"""The report of a long line: the way of the keys, its pictures, and a page on which nothing is lost in the crowd."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from xml.etree import ElementTree as ET

import pytest

from qanat.apps.report import DemoResult, PoolSample, render_report
from qanat.apps.report.charts import RateCurve, RatePoint, draw_rates
from qanat.apps.report.deviations import (
    Deviation,
    all_deviations,
    draw_deviations,
    expected_in_bin,
    spread_of,
)
from qanat.apps.report.line import bounding_link, hops_of_key, in_order, place_name, telling_links
from qanat.apps.report.line_picture import draw_line
from qanat.apps.report.pools_picture import MOST_LINES, draw_pools
from qanat.apps.report.steps_picture import delivered_requests, draw_steps
from qanat.apps.report.wall_time import AFTER, BEFORE, MAKING, draw_wall_time, stretches_of, total_of_phases
from unit.report_backbone_sample import GENERATION_S, NUM_SPANS, RELAYS, ROUTE, backbone_link, backbone_result
from unit.report_reader import Reader, pictures, texts
from unit.report_sample import sample_result

RESULT = backbone_result()
REPORT = render_report(RESULT)
HOPS = hops_of_key(RESULT)
MOST_BYTES = 3_000_000


def rows(document: str) -> list[str]:
    """Return the texts of all rows of tables."""
    return [Reader(row).text for row in re.findall(r"<tr[ >].*?</tr>", document, flags=re.DOTALL)]


def with_loss(result: DemoResult, name: str, loss_db: float) -> DemoResult:
    """Return the run with another loss on one link, and what the sample's line of rates makes of it."""
    network = result.network
    links = tuple(link.model_copy(update={"loss_db": loss_db}) if link.name == name else link for link in network.links)
    made = tuple(backbone_link(link, random.Random(9)) for link in links)
    return dataclasses.replace(result, network=network.model_copy(update={"links": links}), links=made)


def test_the_page_is_well_formed_small_and_loads_nothing() -> None:
    reader = Reader(REPORT)
    assert reader.open_tags == []
    assert reader.tags.isdisjoint({"script", "link", "img", "iframe"})
    anchors = {f"#{value}" for name, value in reader.attributes if name == "id"}
    assert {value for name, value in reader.attributes if name == "href"} == anchors
    assert not re.search(r"https?:|//[a-z]|url\(|@import", REPORT)
    assert len(REPORT.encode()) < MOST_BYTES
    assert not re.search(r"[\s\",>-](nan|inf)[\s\",<]", REPORT)
    assert all(picture.get("aria-label") for picture in pictures(REPORT))


def test_every_link_has_its_row_and_the_one_that_bounds_is_marked() -> None:
    found = rows(REPORT)
    for link in RESULT.links:
        mark = " ◂" if link.loss_db == 20.5 else ""
        assert any(row.startswith(f"{link.link_id}{mark} {link.loss_db:.1f} ") for row in found), link.link_id
    assert REPORT.count('class="bounding"') == 1


def test_backbone_spans_stand_beside_table_1_without_the_user_links() -> None:
    losses = [link.loss_db for link in RESULT.network.links if link.counted_as]
    mean = sum(losses) / NUM_SPANS
    (row,) = (row for row in rows(REPORT) if row.startswith("loss, dB"))
    assert f"10.3 {mean:.1f} 20.5 10.3 16.0 20.5" in row
    assert "no agreement" in row
    (row,) = (row for row in rows(REPORT) if row.startswith("secret, kbit/s"))
    assert "28.1 79.3 235.4 0.93" in row


def test_each_statement_says_yes_or_no() -> None:
    found = rows(REPORT)
    (caption,) = (row for row in found if row.startswith("all 31 links: higher than 28.4 kbit/s"))
    assert "Fig. 4b, caption no least 26.0 30 of 31 links" in caption
    assert caption.endswith("yes")
    (greatest,) = (row for row in found if row.startswith("greatest rate 235.4 kbit/s"))
    assert re.search(r"Table 1 no greatest 200\.0 .* greatest 242\.\d yes$", greatest)
    (slow,) = (row for row in found if re.match(r"yuhui-wuxu 20\.5 26\.0", row))
    assert re.search(r" 24,\d{3},\d{3} 29\d 28,\d{3},\d{3} 33\d 32\.\d$", slow)
    assert "composable" in Reader(REPORT).text


def test_a_network_without_backbone_is_compared_with_points_only() -> None:
    text = Reader(render_report(sample_result())).text
    assert "statements on the rates" not in text
    assert "least loss, greatest rate" in text


def test_the_rate_from_end_to_end_is_the_least_on_the_way_and_names_the_link() -> None:
    text = Reader(REPORT).text
    assert "26.0 kbit/s P , bounded by yuhui-wuxu (20.5 dB" in text
    assert "More than 20 kbit/s on every link of this way: yes" in text


def test_a_tenth_more_loss_on_one_span_moves_its_row_and_the_minimum() -> None:
    perturbed = with_loss(RESULT, "yuhui-wuxu", 22.55)
    document = render_report(perturbed)
    assert not any(row.startswith("yuhui-wuxu ◂ 20.5 ") for row in rows(document))
    assert any(row.startswith("yuhui-wuxu ◂ 22.") for row in rows(document))
    before, after = bounding_link(HOPS), bounding_link(hops_of_key(perturbed))
    assert before is not None
    assert after is not None
    assert after.secret_rate_bits_per_s < 0.75 * before.secret_rate_bits_per_s
    assert "never" in Reader(document).text, "endless keys give less than 28.1 kbit/s there"


def test_a_way_with_a_silent_link_has_no_rate() -> None:
    silent = dataclasses.replace(RESULT, links=RESULT.links[1:])
    text = Reader(render_report(silent)).text
    assert bounding_link(hops_of_key(silent)) is None
    assert "its rate from end to end is not known" in text
    assert texts(ET.fromstring(draw_line(hops_of_key(silent)))).count("no key") == 1
    assert f"No key was made in this run on {RESULT.links[0].link_id}" in text


def test_a_silent_span_is_told() -> None:
    silent = dataclasses.replace(RESULT, links=[link for link in RESULT.links if link.loss_db != 20.5])
    assert "1 more span is counted as backbone and made no key in this run" in Reader(render_report(silent)).text


def test_hops_follow_the_route_and_places_are_told_apart() -> None:
    assert len(HOPS) == len(ROUTE) - 1
    assert [HOPS[0].start, *(hop.stop for hop in HOPS)] == ["Beijing (user)", *RELAYS, "Shanghai (user)"]
    assert place_name(sample_result().network, "suzhou") == "Suzhou"
    assert place_name(sample_result().network, "not a site") == "not a site"


def test_links_off_the_way_come_last() -> None:
    backwards = RESULT.links[::-1]
    assert in_order(backwards, HOPS) == list(RESULT.links)
    assert in_order(backwards, HOPS[5:])[-5:] == list(RESULT.links[:5][::-1])


def test_details_are_open_for_telling_links_and_folded_for_the_rest() -> None:
    backbone = [link.name for link in RESULT.network.links if link.counted_as]
    telling = telling_links(RESULT.links, bounding_link(HOPS), backbone=backbone)
    assert [link.loss_db for link in telling] == [10.3, 20.5]
    assert telling_links([], None) == []
    assert REPORT.count('<details class="deep">') == 1 + len(RESULT.links) - len(telling)
    assert sum("what became of the bits" in (p.get("aria-label") or "") for p in pictures(REPORT)) == len(RESULT.links)


def test_checks_that_hold_are_folded_and_a_failed_one_never() -> None:
    failed = dataclasses.replace(RESULT.checks[-1], held=False)
    document = render_report(dataclasses.replace(RESULT, checks=(*RESULT.checks[:-1], failed)))
    shown = document[: document.index("<details")]
    assert "A check failed" in shown
    assert "bits spent add up: failed" in shown
    assert Reader(document).text.count("every key block is the same") == len(RESULT.links)


def test_the_line_shows_every_hop_every_place_and_the_papers_lines() -> None:
    picture = ET.fromstring(draw_line(HOPS))
    words = texts(picture)
    assert set(RELAYS) <= set(words)
    for hop in HOPS:
        assert hop.result is not None
        assert f"{hop.result.secret_rate_bits_per_s / 1e3:.1f}" in words
    assert {"235.4, greatest", "50.0, two thirds", "28, all", "20.5, greatest"} <= set(words)
    styles = [element.get("class") for element in picture.iter("rect")]
    assert styles.count("bar-bound") == 2, "one bar, one mark in the legend"
    assert styles.count("bar-loss") == len(HOPS)
    assert len([p for p in picture.iter("polygon") if p.get("class") == "gap"]) == 2, "user links are cut"
    assert float(picture.get("viewBox", "").split()[3]) > 500


def test_the_bars_of_the_line_keep_proportion() -> None:
    bars = [r for r in ET.fromstring(draw_line(HOPS)).iter("rect") if r.get("class") in {"bar", "bar-bound"}]
    heights = [float(bar.get("height", 0)) for bar in bars if float(bar.get("y", 0)) > 40]
    rates = [hop.result.secret_rate_bits_per_s for hop in HOPS if hop.is_backbone and hop.result is not None]
    assert [h / heights[0] for h in heights] == pytest.approx([r / rates[0] for r in rates], rel=1e-3)


def test_a_line_without_backbone_has_no_lines_of_the_paper() -> None:
    hops = hops_of_key(sample_result())
    words = texts(ET.fromstring(draw_line(hops)))
    assert not any("greatest" in word for word in words)
    assert {"Suzhou", "Kunshan", "Shanghai", "123.5"} <= set(words)


def test_many_pools_become_a_band_strips_in_order_and_their_first_key() -> None:
    order = [hop.link.name for hop in HOPS]
    picture = ET.fromstring(draw_pools(RESULT.pool_samples, order=order))
    words = texts(picture)
    assert [word for word in words if word in order] == order
    assert sum(word.startswith("key after ") for word in words) == len(order)
    assert {"greatest", "median", "least", "keys ready end to end", "alice to bob"} <= set(words)
    assert sum(element.get("class") == "band-fill" for element in picture.iter("polygon")) == 1
    assert len(ET.tostring(picture)) < 200_000


def test_a_strip_turns_dark_when_its_pool_holds_key() -> None:
    samples = [PoolSample(float(t), f"p{n}", 0 if n == 3 else 80 * t) for n in range(MOST_LINES + 1) for t in (0, 1, 2)]
    picture = ET.fromstring(draw_pools(samples))
    words = texts(picture)
    assert words.count("no key") == 1
    assert words.count("key after 1.0 s") == MOST_LINES
    left, width = 150.0, 690.0
    shaded = [r for r in picture.iter("rect") if (r.get("class") or "").startswith("h") and r.get("height") == "11"]
    assert len(shaded) == MOST_LINES, "half full from 1 s to 2 s; what comes at the end has no width"
    assert {(float(r.get("x", 0)), float(r.get("width", 0))) for r in shaded if r.get("class") == "h4"} == {
        (left + width / 2, width / 2)
    }


def test_keys_ready_end_to_end_have_an_axis_of_their_own_beside_few_pools() -> None:
    samples = [PoolSample(float(t), "x", 10**6 * t) for t in range(3)]
    ready = [PoolSample(float(t), "a to b", 256 * t, is_end_to_end=True) for t in range(3)]
    words = texts(ET.fromstring(draw_pools([*samples, *ready])))
    assert {"link pools", "keys ready end to end", "2 Mbit", "500 bit", "a to b"} <= set(words)
    assert "keys ready end to end" not in texts(ET.fromstring(draw_pools(samples)))


def test_deviations_are_all_drawn_and_counted() -> None:
    found = all_deviations(RESULT.links)
    assert len(found) == len(RESULT.links) * 3 * 2
    picture = ET.fromstring(draw_deviations(found))
    assert len([c for c in picture.iter("circle") if c.get("class") == "dot"]) == len(found)
    spread = spread_of(found)
    assert abs(spread.mean) < 4 * spread.mean_error
    assert abs(spread.deviation - 1) < 4 * spread.deviation_error
    assert spread.expected_beyond_2 == pytest.approx(0.0455 * len(found), rel=1e-3)
    assert f"Of {len(found)} values" in Reader(REPORT).text


def test_a_deviation_out_of_all_bounds_is_shouted() -> None:
    found = [*all_deviations(RESULT.links), Deviation("far", "decoy", "gain", -40.0)]
    picture = ET.fromstring(draw_deviations(found))
    assert len([c for c in picture.iter("circle") if c.get("class") == "mark-alarm"]) == 1
    assert spread_of(found).furthest.link_id == "far"


def test_the_normal_curve_is_that_of_tables() -> None:
    """Within one and two standard errors lie 68.27 % and 95.45 % (any table of the normal distribution)."""
    assert expected_in_bin(-1, 1, 100) == pytest.approx(68.27, abs=0.005)
    assert expected_in_bin(-2, 2, 100) == pytest.approx(95.45, abs=0.005)


def test_where_the_time_went_adds_up_to_the_run() -> None:
    stretches = stretches_of(RESULT, delivered_requests(RESULT.events))
    assert stretches[0].begin_s == 0
    assert stretches[-1].end_s == RESULT.duration_s
    assert all(one.end_s == other.begin_s for one, other in itertools.pairwise(stretches))
    totals = dict(total_of_phases(stretches))
    assert sum(totals.values()) == pytest.approx(RESULT.duration_s)
    assert totals[MAKING] == pytest.approx(GENERATION_S)
    assert totals[BEFORE] == pytest.approx(4.0)
    assert totals[AFTER] > 0
    assert MAKING in texts(ET.fromstring(draw_wall_time(stretches)))


@pytest.mark.parametrize("wrong_by_s", [-1e6, 1e6])
def test_a_wall_clock_that_jumped_breaks_no_sum(wrong_by_s: float) -> None:
    result = dataclasses.replace(RESULT, started_utc_s=RESULT.started_utc_s + wrong_by_s)
    stretches = stretches_of(result, delivered_requests(result.events))
    assert sum(one.length_s for one in stretches) == pytest.approx(result.duration_s)


def test_the_steps_say_how_much_they_were_about() -> None:
    words = texts(ET.fromstring(draw_steps(delivered_requests(RESULT.events)[0])))
    assert "generation-route-found, controller, 34 nodes" in words
    assert "generation-ordered, controller, 33 links" in words
    assert "key-given, user-beijing, 128 keys" in words
    assert "31.4 s" in words


def test_the_door_is_measured_against_its_goal() -> None:
    assert "user-beijing 4,321 2.1 ms 11 ms 61 ms below 20 ms yes" in rows(REPORT)
    assert RESULT.door_latency is not None
    slow = dataclasses.replace(RESULT, door_latency=dataclasses.replace(RESULT.door_latency, p99_s=0.02))
    assert "user-beijing 4,321 2.1 ms 20 ms 61 ms below 20 ms no" in rows(render_report(slow))


def test_accounts_are_summed_to_the_bit() -> None:
    spent = sum(account.qkd_bits_spent for account in RESULT.relays)
    assert f"took {spent:,} bits of QKD key" in Reader(REPORT).text
    wrong = [dataclasses.replace(RESULT.relays[0], qkd_bits_spent=1), *RESULT.relays[1:]]
    text = Reader(render_report(dataclasses.replace(RESULT, relays=wrong))).text
    assert "does not add up" in text
    assert "to the bit, in each batch" not in text


def test_curves_stay_inside_the_frame() -> None:
    curve = RateCurve("a formula", "solid", [(10.0, 1e9), (11.0, 1e5), (12.0, 1.0)])
    picture = ET.fromstring(draw_rates([RatePoint("drawn", 10.0, 5e4), RatePoint("paper", 12.0, 2e5)], [curve]))
    (line,) = picture.iter("polyline")
    assert len(line.get("points", "").split()) == 1
    assert "a formula" in texts(picture)
