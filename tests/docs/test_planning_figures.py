"""What the pages on planning print is what `qanat plan` finds today."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

import pytest
import typer

from qanat.apps.cli.main import app
from qanat.apps.cli.plan import NetworkOptions, Planned, planned
from qanat.apps.networks import load_network
from qanat.ground.identifiers import NodeId
from qanat.ground.network.second_backbone import with_second_backbone
from qanat.planning.limits import link_rates
from qanat.planning.measuring import side_by_side
from qanat.planning.placement import Wish, along_a_way
from qanat.planning.prices import Prices
from qanat.planning.reach import Part, Reach
from qanat.planning.shapes import Plan
from qanat.planning.spans import needs_for

pytestmark = pytest.mark.slow  # most of it is the paper's network, read and looked at again and again

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to-plan-a-network.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference-plan.md").read_text(encoding="utf-8")
REPRODUCTION = (DOCS / "reproduction.md").read_text(encoding="utf-8")
FLAT = " ".join(HOW_TO.split())


@pytest.fixture(scope="module")
def grounded() -> Planned:
    """The paper's network, and the same without its satellite."""
    return planned(NetworkOptions("nature2021", without=("micius",)))


@pytest.fixture(scope="module")
def ringed() -> Planned:
    return planned(NetworkOptions("nature2021", second_backbone=True))


@pytest.mark.campaign
def test_users_served(ringed: Planned) -> None:
    paper, one, several = ringed.before.served
    for page in (FLAT, REPRODUCTION):
        for row in (paper, one, several):
            assert f"{row.pairs_of_users:,}" in page
            assert f"{row.rate_bits_per_s / 1e3:.1f} kbit/s" in page
    banks = planned(NetworkOptions("beijing-shanghai", keys_per_minute=10)).before.served[0]
    assert f"| {banks.pairs_of_users:,} | input" in REPRODUCTION


@pytest.mark.campaign
def test_what_the_papers_network_carries_with_and_without_its_satellite(grounded: Planned) -> None:
    whole, ground = grounded.before.everyone, grounded.after and grounded.after.everyone
    assert whole is not None
    assert ground is not None
    each, of_ground = whole.flow.level_bits_per_s, ground.flow.level_bits_per_s
    assert f"all {whole.pairs:,} pairs that relays can join ask at once, each has {each:.1f} bit/s" in FLAT
    assert f"every {128 / each:.0f} seconds" in FLAT
    assert [limit.name for limit in whole.flow.binding] == ["nanshan-xinglong-by-micius"]
    assert f"each of the other {ground.pairs:,} pairs has {of_ground:.1f} bit/s" in FLAT
    assert f"every {128 / of_ground:.0f} seconds" in FLAT
    assert all(limit.name.startswith("beijing-relay-") for limit in ground.flow.binding)
    assert len(ground.flow.binding) == 2
    assert whole.pairs - ground.pairs == grounded.pairs_lost
    assert f"Urumqi is cut off: {grounded.pairs_lost} pairs" in FLAT


@pytest.mark.campaign
def test_what_the_papers_network_carries(ringed: Planned) -> None:
    before, after = ringed.before, ringed.after
    assert before.between is not None
    assert f"{before.between.flow.level_bits_per_s / 1e3:.1f} kbit/s, and `{before.between.cut[0]}`" in FLAT
    assert after is not None
    assert after.between is not None
    assert f"the flow from Beijing to Shanghai rises to {after.between.flow.level_bits_per_s / 1e3:.1f} kbit/s" in FLAT
    assert after.bill.cost / before.bill.cost == pytest.approx(1.46, abs=0.01)


@pytest.mark.campaign
def test_losses_with_and_without_a_second_backbone(grounded: Planned) -> None:
    paper = grounded.before.network
    reach = Reach(paper, grounded.before.rates_bits_per_s)
    (hefei,) = reach.losses([Part("site", "hefei")])
    assert f"{hefei.pairs_lost:,} of {reach.pairs():,} pairs lose their way" in FLAT
    relays = [Part("site", site.name) for site in paper.sites if site.counted_as == "backbone"]
    assert all(loss.pairs_lost for loss in reach.losses(relays))
    ring = with_second_backbone(paper)
    spared = sum(not loss.pairs_lost for loss in Reach(ring, link_rates(ring)).losses(relays))
    assert f"| {spared} of {len(relays)} | predicted" in REPRODUCTION
    assert f"any one of the {spared} relays of the backbone" in FLAT


def test_pairs_and_relays() -> None:
    paper = load_network("nature2021")
    needs = needs_for(paper, link_rates(paper), NodeId("beijing"), NodeId("shanghai"), rate_bits_per_s=250e3)
    short = [need for need in needs if need.more]
    more = sum(need.more for need in needs)
    assert f"here {len(short)} of {len(needs)} spans and {more} pairs" in FLAT
    assert next(need.pairs_needed for need in needs if need.link.name == "hefei-dashu") == 11
    way = along_a_way(Wish(28.1e3, "backbone-625", Prices()), length_km=1978)
    assert f"finds {len(way.relays)} relays and {len(way.spans)} spans with one pair each" in FLAT
    assert way.pairs == len(way.spans)


def test_the_table_of_shapes() -> None:
    for name, one in side_by_side(Plan(15, 15.0, 0.312, "metro-40-i"), Prices()).items():
        assert one is not None
        lost = max(one.relay_loss, one.switch_loss) / one.pairs
        row = (
            f"| {name} | {one.bill.detectors} | {one.bill.cost:.0f} | {one.trust.mean:.1f}, {one.trust.most} | "
            f"{100 * lost:.0f} % | {one.each_bits_per_s:,.0f} |"
        )
        assert row in HOW_TO


def test_the_reference_has_every_price_and_every_option() -> None:
    for name, price in asdict(Prices()).items():
        assert f"| `{name}` | {price:g} |" in REFERENCE
    commands = typer.main.get_command(app).commands["plan"].commands  # type: ignore[attr-defined]
    rows = [line for line in REFERENCE.splitlines() if line.startswith("| `qanat plan")]
    for name, command in commands.items():
        place = "[NETWORK]" if name == "network" else name
        (row,) = (line for line in rows if line.startswith(f"| `qanat plan {place}"))
        told = set(re.findall(r"--[a-z-]+", row)) | {"--json"}
        assert {option for one in command.params for option in one.opts if option.startswith("--")} == told
