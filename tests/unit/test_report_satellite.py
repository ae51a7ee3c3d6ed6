"""The report of a run by satellite: what it says of hops that are passes; beside the paper stands its network alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interop.satellite_house import TEXT
from qanat.apps.report import DemoResult, render_report
from qanat.apps.report.line import hops_of_key
from qanat.apps.report.line_picture import draw_line
from qanat.apps.report.result import PassResult, SpaceResult, Transfer
from qanat.apps.report.sections import tiles_of
from qanat.apps.report.space import legs_of, title_legs
from qanat.ground.network import Network, parse_network
from unit.report_sample import sample_link, sample_result

MINE = TEXT.replace("nanshan", "roof").replace("xinglong", "hill").replace("station:", "telescope: nanshan, station:")
WAY = ("west", "roof", "micius", "hill", "east")


def fake_pass(station: str, secret_bits: int) -> PassResult:
    return PassResult(
        link_id=f"micius-{station}",
        satellite="micius",
        station=station,
        rise_utc_s=1.5e9,
        set_utc_s=1.5e9 + 300,
        max_elevation_deg=55.5,
        min_range_km=666.6,
        loss_db=(27.7, 38.8),
        light_s=300.0,
        light_share=1.0,
        sifted_bits=4 * secret_bits,
        qber=0.0066,
        f_ec=1.05,
        secret_bits=secret_bits,
        expected_sifted_bits=4.0 * secret_bits,
        expected_qber=0.0065,
        expected_secret_bits=float(secret_bits),
        eps_total=1e-9,
        keys_identical=True,
        waited_s=3600.0,
        took_s=5.0,
        air="fitted (FAKE)",
    )


def run_in(network: Network, way: tuple[str, ...]) -> DemoResult:
    """A made-up run whose first file went by satellite."""
    sent = Transfer("FAKE.bin", 10_000_000, 10, True, 0.4, way, "fa" * 32, "first")
    legs = legs_of(network, way)
    passes = (fake_pass(way[1], 2_540_000), fake_pass(way[3], 7_730_000))
    links = (
        sample_link("west-link", ("west", way[1]), 10.3, 41.0, 1.0),
        sample_link("east-link", ("east", way[3]), 10.3, 41.0, 1.0),
    )
    space = SpaceResult(passes, (), sent, "", legs, title_legs(network, legs))
    return replace(sample_result(), network=network, transfers=(sent,), links=links, space=space)


@pytest.fixture
def mine() -> DemoResult:
    return run_in(parse_network(MINE, source="mine"), WAY)


def test_the_way_of_the_keys_is_fibre_and_the_ground_between_stations(mine: DemoResult) -> None:
    assert mine.space is not None
    (tile,) = (tile for tile in tiles_of(mine, hops_of_key(mine), None) if tile.what == "the way of the keys")
    assert tile.value == f"{mine.space.total_km:,.0f}"
    assert tile.note.startswith("82 of fibre and ")
    assert mine.space.total_km == pytest.approx(82 + sum(leg.length_km for leg in mine.space.legs if leg.note))


def test_hops_by_satellite_show_the_key_the_errors_and_the_loss_of_their_pass(mine: DemoResult) -> None:
    picture = draw_line(hops_of_key(mine))
    assert "no key" not in picture
    for words in ("2.54 Mbit in a pass", "7.73 Mbit in a pass", "loss, dB"):
        assert words in picture
    assert ">82<" in picture, "kilometres of fibre are those of fibres"
    silent = replace(mine, space=None)
    assert draw_line(hops_of_key(silent)).count("no pass") == 2


def test_a_network_of_ones_own_is_not_set_beside_the_papers_distances(mine: DemoResult) -> None:
    assert mine.space is not None
    assert mine.space.title == ()
    assert {leg.paper_km for leg in mine.space.legs} == {None}
    page = render_report(mine)
    for words in ("4,600", "2,600", "paper's title", "paper, km", "on 2 links, distilled"):
        assert words not in page
    assert "on 2 links of fibre and in 2 passes of a satellite" in page
    assert "no rate that holds from second to second" in page


def test_the_papers_own_is() -> None:
    text = TEXT.replace("length_km: 41}", "length_km: 41, counted_as: backbone}", 1)
    papers = run_in(parse_network(text, source="paper's"), ("west", "nanshan", "micius", "xinglong", "east"))
    assert papers.space is not None
    assert [leg.paper_km for leg in papers.space.title] == [2600, 2000, 4600]
    page = render_report(papers)
    assert "(paper: 4,600)" in page
    assert "paper, km" in page
    without_backbone = run_in(parse_network(TEXT, source="no backbone"), papers.space.transfer.key_route)
    assert without_backbone.space is not None
    assert without_backbone.space.title == ()
    assert 2600 in {leg.paper_km for leg in without_backbone.space.legs}
