"""The arithmetic of docs/paper-inconsistencies.md."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from qanat.apps.networks import load_network
from qanat.ground.identifiers import NodeId
from qanat.ground.network.description import great_circle_km
from qanat.orbits.stations import packaged_stations
from qanat.physics.optics import bandwidth_nm

PAGE = (Path(__file__).parents[2] / "docs" / "paper-inconsistencies.md").read_text(encoding="utf-8")
SPEED_OF_LIGHT_NM_PER_S = 2.99792458e17


def test_ten_gigahertz_at_1550_nanometres_are_80_picometres() -> None:
    """By two wavelengths 10 GHz apart, not by the formula that the page gives."""
    middle_hz = SPEED_OF_LIGHT_NM_PER_S / 1550
    apart_nm = SPEED_OF_LIGHT_NM_PER_S / (middle_hz - 5e9) - SPEED_OF_LIGHT_NM_PER_S / (middle_hz + 5e9)
    assert apart_nm == pytest.approx(0.0801, abs=5e-5)
    assert bandwidth_nm(bandwidth_hz=10e9, wavelength_nm=1550) == pytest.approx(apart_nm, rel=1e-6)
    assert "= 0.0801 nm" in PAGE


def test_a_mismatch_of_nanometres_does_not_fit_the_filter() -> None:
    assert round(2.9 / bandwidth_nm(bandwidth_hz=10e9, wavelength_nm=1550)) == 36
    assert "36 times the width" in PAGE


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        (f"{100 * (19.6 / 16.6 - 1):.0f} % apart", "19.6 kbit/s (text), 16.6"),
        (f"135 / 31 = {135 / 31:.1f}", "31 (text), 135"),
        (f"{11.2 / 5:.0f} to {26.3 / 5:.0f} times apart", "around 5 kbit/s"),
    ],
)
def test_ratios_on_the_page_are_those_of_its_figures(figure: str, words: str) -> None:
    (row,) = (line for line in PAGE.splitlines() if words in line)
    assert figure in row


def test_a_blinding_power_and_a_hundredth_of_it_are_not_one_figure() -> None:
    blinding_mw = 10 ** (-20 / 10)
    assert f"{1000 * blinding_mw:.0f} uW: a hundredth" in PAGE


def test_the_counts_of_table_1_that_cannot_be_as_they_stand() -> None:
    assert 3 * (16 * 15 // 2) == 360
    assert 360 + 53 == 413
    for words in ("3 x 120 = 360 pairs, with 53 more links 413", "426 pairs and 11 fibres", "14 sites need 13 links"):
        assert words in PAGE
    assert round(5 * 51.7) == 258
    network = load_network("nature2021")
    ends = network.site(NodeId("beijing-control")), network.site(NodeId("xinglong"))
    assert f"the station lies {great_circle_km(*ends):.0f} km from Beijing" in PAGE


def test_a_week_of_the_satellite_is_two_of_its_passes_and_its_users_depend_on_what_8_kbit_are() -> None:
    assert round(36 / 17.4) == 2
    assert "36 Mbit are two such passes in a week" in PAGE
    by_word, by_round = (int(36e6 * 10 / 7 / bits) for bits in (64 * 128, 8_000))
    assert f"it is {by_word:,} takers, by 8,000 bits {by_round:,}" in PAGE


def test_the_two_ground_stations_are_less_than_2600_km_apart() -> None:
    stations = packaged_stations()
    west, east = stations["nanshan"], stations["xinglong"]
    places = [(math.radians(one.latitude_deg), math.radians(one.longitude_deg)) for one in (west, east)]
    (first, here), (second, there) = places
    cosine = math.sin(first) * math.sin(second) + math.cos(first) * math.cos(second) * math.cos(there - here)
    apart_km = round(6371 * math.acos(cosine))
    assert f"their coordinates are {apart_km:,} km apart" in PAGE
