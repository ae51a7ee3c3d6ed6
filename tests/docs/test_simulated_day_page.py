"""The figures of the page on simulated days are what the simulation gives today."""

from __future__ import annotations

from pathlib import Path

import pytest

from qanat.apps.cli.simulate_tables import percent
from qanat.apps.networks import load_network
from qanat.ground.network.second_backbone import SECOND_BACKBONE, with_second_backbone
from qanat.simulation.day.demand import Demand
from qanat.simulation.day.run import Case, DayTerms, Part, cases_of, count_pairs, run_case, simulate

PAGE = (Path(__file__).parents[2] / "docs/explanation/simulated-day.md").read_text(encoding="utf-8")
PAPER = load_network("nature2021")


def cells(begin: str) -> list[str]:
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| {begin}"))
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_second_backbone_and_the_number_of_days_are_as_the_page_says() -> None:
    closed = with_second_backbone(PAPER)
    sites = [site for site in closed.sites if site.counted_as == SECOND_BACKBONE]
    spans = [link for link in closed.links if link.counted_as == SECOND_BACKBONE]
    assert (len(sites), len(spans)) == (29, 28)
    assert f"{len(sites)} relays, {len(spans)} spans of 58 to 63 km and 14.5 to 15.8 dB" in PAGE
    assert {round(link.length_km) for link in spans} == {58, 62, 63}
    assert {min(link.loss_db for link in spans), max(link.loss_db for link in spans)} == {14.48, 15.8}
    assert f"{len(cases_of(PAPER))} days" in PAGE
    assert f"(in `nature2021` {count_pairs(DayTerms(PAPER, Demand())):,};" in PAGE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "part"),
    [
        ("nothing", None),
        ("`beijing-control`", Part("ring node", "beijing-control")),
        ("`jinan-switch-1`", Part("switch", "jinan-switch-1")),
        ("`jinan`", Part("backbone relay", "jinan")),
    ],
)
def test_a_row_of_the_table_is_what_the_case_gives(row: str, part: Part | None) -> None:
    terms = DayTerms(PAPER, Demand(num_pairs=500))
    found: list[str] = []
    for second in (False, True):
        result = run_case(terms, Case(part, second))
        detour = result.longest_detour.hops_more if result.longest_detour else 0
        shares = [percent(result.success_rate), percent(result.success_rate_of_others)]
        found += [*shares, str(result.pairs_cut_off), str(detour)]
    assert cells(row) == found


@pytest.mark.slow
def test_the_day_is_as_the_page_says() -> None:
    result = simulate(DayTerms(PAPER, Demand()))
    near, far = result.classes["near"], result.classes["far"]
    for tally in (near, far):
        assert f"{tally.asked:,}, all but {tally.waiting}" in PAGE
        assert tally.served + tally.waiting == tally.asked
    assert [f"{100 * (1 - tally.waited / tally.served):.1f} %" for tally in (near, far)] == cells("served at once")
    waits = [f"{tally.mean_wait_s:.1f}, {tally.longest_wait_s:.0f}" for tally in (near, far)]
    assert waits == cells("mean wait, longest wait (s)")
    assert f"{sum(link.blocks for link in result.links):,} blocks" in PAGE
