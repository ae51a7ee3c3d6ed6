"""Figures that the pages print of satellites are what the code gives today."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.apps.cli.pass_options import PassOptions, case_of
from qanat.orbits.downlink import TERMS
from qanat.orbits.nature2021 import TABLE_3, figure_3a, figure_3c_end, pass_2017, pass_tiangong_2
from qanat.orbits.pass_light import block_counts, block_length
from qanat.physics.micius import FITTED
from qanat.physics.source_modes import SOURCE_MODES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "explanation" / "a-downlink-in-decibels.md").read_text(encoding="utf-8")
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")
INCONSISTENCIES = (DOCS / "paper-inconsistencies.md").read_text(encoding="utf-8")


def row_of(page: str, start: str) -> list[str]:
    (row,) = (line for line in page.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("term", [*TERMS, "total"])
def test_the_table_of_terms_near_and_far(term: str) -> None:
    near, far = figure_3a().budget, figure_3c_end().budget
    place = int(near.track.range_km.argmin())
    columns = [one.total_db if term == "total" else one.terms_db[term] for one in (near, far)]
    _, close, distant, *_ = row_of(PAGE, term)
    assert close == f"{columns[0][place]:.{0 if close == '0' else 2}f}"
    assert distant == f"{columns[1][0]:.{0 if distant == '0' else 2}f}"


def test_the_fitted_numbers_and_what_the_air_takes() -> None:
    budget = figure_3c_end().budget
    assert f"{FITTED.air_db:.3f} dB per air mass" in PAGE
    assert f"{FITTED.background_hz:,.0f} clicks per second" in PAGE
    assert f"{budget.air_db['fitted'][0]:.1f} dB at 5\ndegrees, against {budget.air_db['table'][0]:.1f}" in PAGE


def test_without_the_exposure_loop_the_link_is_lost_where_the_page_says() -> None:
    case = case_of(PassOptions(fixed_exposure=True))
    lost = ~case.budget.is_tracked
    assert f"{lost.sum()} of the {lost.size}" in PAGE.replace("\n", " ")
    assert case.budget.track.range_km[lost].min() == pytest.approx(1500, abs=60)


def test_modes_of_the_source_are_those_of_the_table() -> None:
    for mode in SOURCE_MODES.values():
        cells = row_of(PAGE, f"`{mode.name}`")
        assert cells[1] == f"{mode.pulse_rate_hz / 1e6:g} M"
        assert cells[4] == f"{mode.p_rectilinear:g}"


def test_rows_of_the_reproduction_page_that_formulas_give() -> None:
    light = figure_3a().light
    keys = [
        block_length(block_counts([light]), light.protocol, proof=proof, f_ec=1.1).num_bits
        for proof in ("hoeffding", "chernoff")
    ]
    assert row_of(REPRODUCTION, "secret key of the pass (Mbit)")[2] == " / ".join(f"{key / 1e6:.1f}" for key in keys)
    assert row_of(REPRODUCTION, "secret rate of the pass (kbit/s)")[2] == " / ".join(f"{k / 364e3:.1f}" for k in keys)
    peak = float(light.sifted_rate_bits_per_s.max())
    assert row_of(REPRODUCTION, "greatest sifted rate (kbit/s)")[2] == f"{peak / 1e3:.0f}"
    assert f"{10 * math.log10(462e3 / peak):.1f} dB above what" in INCONSISTENCIES
    assert f"642 is {10 * math.log10(642e3 / peak):.1f} dB above" in INCONSISTENCIES
    old = row_of(REPRODUCTION, "2017: sifted key by this link with that time's optics and source (Mbit)")
    then = pass_2017().light
    assert old[2] == f"{then.sifted_bits / 1e6:.2f}"
    assert row_of(REPRODUCTION, "2017: QBER by the same (%)")[2] == f"{100 * then.qber:.3f}"
    row = row_of(REPRODUCTION, "Tiangong-2: secret rate, 388 to 719 km (bit/s)")
    other = pass_tiangong_2()
    rates = [
        block_length(block_counts([other.light]), other.light.protocol, proof=proof, f_ec=1.1).num_bits
        / len(other.budget.track)
        for proof in ("hoeffding", "chernoff")
    ]
    assert row[1:3] == ["91", " / ".join(f"{rate:,.0f}" for rate in rates)]
    assert f"{rates[0] / 91:.0f} times too much" in row[3]
    missed = [
        block_length(block_counts([then]), then.protocol, proof=proof, f_ec=1.1).num_bits / 1e6
        for proof in ("hoeffding", "chernoff")
    ]
    assert row_of(REPRODUCTION, "2017: secret key by the same (Mbit)")[2] == " / ".join(f"{key:.2f}" for key in missed)


def test_both_columns_of_the_table_of_orbits_with_both_beams() -> None:
    leo, geo = TABLE_3
    swapped = [
        replace(row, beam=replace(row.beam, shape=shape)) for row, shape in ((leo, "top-hat"), (geo, "gaussian"))
    ]
    for row in (leo, geo, *swapped):
        assert f"{row.total_db():.1f}" in PAGE


def test_a_geostationary_satellite_stands_where_the_page_says() -> None:
    """By the triangle of station, satellite and the Earth's middle; radii 6,378 and 42,164 km."""

    def highest_deg(latitude_deg: float) -> float:
        angle = math.radians(latitude_deg)
        return math.degrees(math.atan2(math.cos(angle) - 6378.1 / 42164.2, math.sin(angle)))

    assert [round(highest_deg(latitude)) for latitude in (43.48, 40.40)] == [40, 43]
    assert "stands 40 and 43 degrees high at most" in INCONSISTENCIES
    assert highest_deg(17) > 70 > highest_deg(18)
    assert "within 17 degrees" in INCONSISTENCIES


def test_a_geostationary_orbit_is_below_40000_kilometres() -> None:
    """Kepler's third law for one turn in a sidereal day."""
    radius_km = (398600.4418 * (86164.0905 / (2 * math.pi)) ** 2) ** (1 / 3)
    assert radius_km - 6378.137 == pytest.approx(35_786, abs=1)
    assert pytest.approx(42.1, abs=0.05) == 2.34 * 2 * 1.5 * 2 * 3
