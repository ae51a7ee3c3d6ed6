"""What the pages say of the paper's network, of Table 1 and of the network file is what the code has."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from qanat.apps.network_review import NetworkReview, review
from qanat.apps.networks import load_network
from qanat.apps.pictures.map import draw_map_svg
from qanat.apps.satellite_review import review_sky
from qanat.ground.network import (
    Application,
    ClassicalLink,
    Downlink,
    Link,
    Network,
    Port,
    Router,
    Site,
    Switch,
    Trunk,
)
from qanat.quantum_layer.forecast import link_forecast

DOCS = Path(__file__).parents[2] / "docs"
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")
EXPLANATION = (DOCS / "explanation" / "the-paper-network.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference-network-file.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def found() -> NetworkReview:
    paper = load_network("nature2021")
    return replace(review(paper), downlinks=review_sky(paper, now_utc_s=0.0).downlinks)


def test_the_table_of_rates_is_what_the_formulas_give(found: NetworkReview) -> None:
    differences = []
    for row in found.table:
        if row.ours is None:
            continue
        (line,) = (
            text
            for text in REPRODUCTION.splitlines()
            if text.lower().startswith(f"| {row.network} | {row.ours.relays},")
        )
        ours = " / ".join(f"{rate:.1f}" for rate in row.ours.rate_kbit_per_s if rate is not None)
        paper = " / ".join(f"{rate:g}" for rate in row.paper.rate_kbit_per_s if rate is not None)
        assert line.endswith(f"| {paper} | {ours} |")
        assert f"| {row.ours.relays}, {row.ours.nodes}, {row.ours.users}, {row.ours.links} |" in line
        if isinstance(row.ours.length_km, tuple):
            assert "here {:,.0f}-{:,.0f} |".format(*row.ours.length_km) in line
            assert f"here {row.ours.loss_db[0]:.1f} / - / {row.ours.loss_db[2]:.1f} |" in line
        means = row.ours.rate_kbit_per_s[1], row.paper.rate_kbit_per_s[1]
        if row.network in ("beijing", "jinan", "hefei", "shanghai") and None not in means:
            differences.append(f"{100 * (means[0] / means[1] - 1):+.0f}")  # type: ignore[operator]
    assert f"({', '.join(differences)} %)" in REPRODUCTION


def test_xinglong_with_a_system_of_the_cities_would_be_as_the_page_says() -> None:
    rates = [
        link_forecast("metro-40-i", loss_db=loss_db).secret_rate_bits_per_s / 1e3 for loss_db in (10.7, 14.7, 20.5)
    ]
    assert " / ".join(f"{rate:.1f}" for rate in rates) in " ".join(REPRODUCTION.split())
    assert [round(paper / rate) for paper, rate in zip((40.5, 2.9), rates[::2], strict=True)] == [6, 27]


@pytest.mark.slow
def test_the_map_on_the_page_is_that_of_the_file(found: NetworkReview) -> None:
    kept = DOCS / "images" / "nature2021.svg"
    drawn = draw_map_svg(found.network, {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in found.links})
    assert drawn == kept.read_text(encoding="utf-8"), f"run qanat network show nature2021 --out {kept}"


def test_the_explanation_counts_what_is_in_the_file(found: NetworkReview) -> None:
    network = found.network
    words = " ".join(EXPLANATION.split())
    through = sum(bool(link.through) for link in network.links)
    assert f"{len(network.sites)} sites, {len(network.switches)} all-pass switches, {len(network.links)} links" in words
    assert (
        f"of which {through} go through switches, {len(network.applications)} users, {len(network.routers)} routers"
        in words
    )
    users = [site for site in network.sites if site.kind == "user"]
    senders = sum(site.equipment == "transmitter" for site in users)
    assert f"{senders} of the {len(users)} user nodes" in words
    assert f"{len(users) - senders} have both" in words
    spans = [link for link in network.links if link.counted_as == "backbone"]
    mean_db = sum(link.pairs * link.loss_db for link in spans) / sum(link.pairs for link in spans)
    assert f"over the 135 pairs it is {mean_db:.1f}" in words


def test_the_arithmetic_of_jinan_and_shanghai() -> None:
    assert 3 * (16 * 15 // 2) + 53 == 413
    assert [both for both in range(43) if both * (both - 1) // 2 + both * (42 - both) == 426] == [12]
    assert 3 * (16 - 1 - 2) + 11 == 50
    assert 5 + 14 + 7 * 6 // 2 + 7 * 6 == 82


@pytest.mark.parametrize(
    "part", [Network, Site, Link, Downlink, Switch, Port, Trunk, Router, ClassicalLink, Application]
)
def test_every_field_of_a_network_file_stands_in_the_reference(part: type[Network]) -> None:
    written = set(re.findall(r"`([a-z_]+)`", REFERENCE)) | {"format", "through"}
    assert set(part.model_fields) <= written
