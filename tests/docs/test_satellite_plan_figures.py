"""What the page on planning satellites prints is what `qanat plan` finds today."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from qanat.apps.cli.plan_satellites_record import demand_means, record_of, value_in_the_mean
from qanat.apps.cli.satellite_planning import SatellitePlanOptions, planned
from qanat.ground.errors import RequestError
from qanat.orbits.weather import Sky, weather_of
from qanat.planning.high_orbits import greatest_background, high_key, paper_links

pytestmark = pytest.mark.slow  # plans of a year

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to-plan-satellites.md").read_text(encoding="utf-8")
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")
BOTH = (HOW_TO, REPRODUCTION)
MICIUS = SatellitePlanOptions(
    ("micius",), ("nanshan", "xinglong"), "2016-12-19", min_elevation_deg=5.0, accept_stale=True
)
FLEET = {"start": "2026-01-01", "days": 28.0, "demands": ("nanshan,xinglong,60", "40,-4,nanshan,100")}


def test_the_year_of_micius_its_percentiles_and_its_users() -> None:
    found = planned(MICIUS)
    weeks = [one.week for one in (*found.by_station, found.of_all)]
    means = ", ".join(f"{week.exact_mean / 1e6:.1f}" for week in weeks if week and week.exact_mean)
    both, pair, year = found.of_all.week, found.by_demand[0].week, found.of_all.span
    assert both is not None
    assert pair is not None
    low, middle, high = (value / 1e6 for value in both.percentiles)
    years = " | ".join(f"{value / 1e6:,.0f}" for value in year.percentiles)
    assert f"| {means} | {low:.1f} (both) | {middle:.1f} | {high:.0f} | {years} |" in HOW_TO
    assert f"69.0 (10 / 50 / 90 %: {low:.1f} / {middle:.1f} / {high:.0f})" in REPRODUCTION
    one, two, three = (f"{value / 1e6:.1f}" for value in pair.percentiles)
    assert f"| {pair.mean / 1e6:.1f} | {one} | {two} | {three} |" in HOW_TO
    assert f"{pair.mean / 1e6:.1f} ({one} / {two} / {three})" in REPRODUCTION
    paper, ours, _ = record_of(found)["users"]
    for page in BOTH:
        assert f"{paper['users']:,}" in page
        assert f"{ours['users']:,}" in page
    always = 2 * found.of_all.span.exact_mean / 365 * 7 / 1e6  # type: ignore[operator]
    assert f"gives {always:.0f} for both stations together, and 36 at odds of {36 / always:.2f}" in HOW_TO
    assert f"| predicted; 36 would be odds of {36 / always:.2f} |" in REPRODUCTION


def test_the_levels_of_the_constellations() -> None:
    shares = []
    for form in ("6/3/1", "12/3/1", "24/6/1"):
        options = SatellitePlanOptions((f"walker-delta:1200,53,{form}",), ("nanshan", "xinglong", "40,-4"), **FLEET)  # type: ignore[arg-type]
        found = planned(options)
        means = demand_means(found)
        shares.append(f"{value_in_the_mean(found, means):.2f}")
        if form == "6/3/1":
            week = found.by_demand[0].week
            assert week is not None
            words = " ".join(HOW_TO.split())
            assert f"less than {week.percentiles[0] / 1e6:.0f} of its 60 Mbit" in words
            first, second = (f"{one.bits / 1e6:.1f}" for one in means)
            assert f"in the mean: {first} of 60 Mbit and {second} of 100, a least share of {shares[0]}," in words
            assert f"it would be {found.schedule.shares.value:.2f}." in words
    assert f"the share is {shares[1]}, with 24 in six planes {shares[2]}" in HOW_TO


def test_the_plan_of_a_high_orbit() -> None:
    high = SatellitePlanOptions(
        ("circular:20200,55",), ("43.47546,87.17669,2080",), "2026-01-01", days=7.0, telescope_m=2.0
    )
    week = planned(replace(high, divergence_urad=2.0, jitter_urad=0.25)).of_all.week
    assert week is not None
    assert week.exact_mean is not None
    assert f"has {week.exact_mean / 1e6:.0f} Mbit a week in the mean. With Micius' jitter" in HOW_TO
    with pytest.raises(RequestError, match="pointing 14"):
        planned(replace(high, divergence_urad=2.0))
    with pytest.raises(RequestError, match="none gives key"):
        planned(replace(high, divergence_urad=3.0, jitter_urad=0.0))


def test_the_high_orbits() -> None:
    links = {(link.name, link.shape): link for link in paper_links()}
    geo = [links["GEO, 36,000 km", shape] for shape in ("top-hat", "gaussian")]  # type: ignore[index]
    stands = [greatest_background(link, block_s=36_000.0) for link in geo]
    night = high_key(geo[0], background_times=1.0, block_s=36_000.0)
    assert night.secret_bits_per_s == 0
    assert f"its error rate is {100 * night.qber:.0f} %" in " ".join(HOW_TO.split())
    assert f"({stands[0]:.2f} times; a Gaussian beam: {stands[1]:.2f})" in HOW_TO
    assert f"with {stands[0]:.2f} times the fitted sky's light, or {stands[1]:.2f} with a Gaussian beam" in REPRODUCTION
    near = [
        high_key(links["MEO, 20,200 km", shape], background_times=1.0, block_s=36_000.0).secret_bits_per_s / 1e3  # type: ignore[index]
        for shape in ("top-hat", "gaussian")
    ]
    assert f"there is key: {near[0]:.1f} kbit/s, or {near[1]:.1f} with the Gaussian beam" in HOW_TO
    assert f"| {near[0]:.1f}, Gaussian {near[1]:.1f} |" in REPRODUCTION


def test_the_example_of_weather_is_read_and_holds() -> None:
    text = HOW_TO.split("```yaml\n")[1].split("```")[0]
    weather = weather_of(yaml.safe_load(text), usual=Sky((0.5,), 24.0), source="the page")
    assert weather.sky("nanshan").p_clear[8] == 0.7
    assert weather.region_of == {"xinglong": "north"}
