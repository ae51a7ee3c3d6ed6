"""The second backbone of the paper's outlook: any one relay may fail, and all but its own users stay joined.

The authority on graphs is networkx; what is served is what the simulated day says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Literal

import networkx as nx
import pytest
from typer.testing import CliRunner

from qanat.apps.cli.main import app
from qanat.apps.networks import load_network
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Application, Link, Network, Site, network_yaml, parse_network
from qanat.ground.network.building import build_network
from qanat.ground.network.second_backbone import (
    BACKBONE,
    MEAN_SPAN_KM,
    SECOND_BACKBONE,
    SECOND_JOINTS,
    backbone_line,
    relays_that_part,
    with_second_backbone,
)
from qanat.simulation.day.demand import Demand
from qanat.simulation.day.faults import own_users
from qanat.simulation.day.run import Case, DayTerms, Part, run_case

PAPER = load_network("nature2021")
CLOSED = with_second_backbone(PAPER)
RELAYS = [site.name for site in CLOSED.sites if site.counted_as in (BACKBONE, SECOND_BACKBONE)]
FIRST = [site.name for site in PAPER.sites if site.counted_as == BACKBONE]


def components(network: Network, without: str) -> Iterator[set[str]]:
    """Yield what hangs together by keys when a site is gone: relays, and the users at them; users pass nothing on."""
    relays = {site.name for site in network.sites if site.kind == "relay"} - {without}
    graph = nx.Graph()
    graph.add_nodes_from(relays)
    graph.add_edges_from(link.ends for link in network.links if set(link.ends) <= relays)
    for part in nx.connected_components(graph):
        ends = {
            end for link in network.links if part & set(link.ends) and without not in link.ends for end in link.ends
        }
        yield part | ends


def users(network: Network) -> set[str]:
    """Sites with applications that trusted relays join to the others: no direct keys, and not Urumqi, which only the
    satellite joins."""
    sites = {app.site for app in PAPER.applications}
    return {
        site.name
        for site in network.sites
        if site.name in sites and not site.direct_keys_only and site.longitude_deg > 100
    }


def cut_off(network: Network, without: str) -> set[str]:
    """Return the users who are not with most of the others when a site is gone, but for its own."""
    others = users(network) - own_users(network, [without])
    most = max(components(network, without), key=lambda part: len(part & others))
    return others - most


@pytest.mark.parametrize("relay", RELAYS)
def test_with_it_any_one_relay_may_fail_and_all_but_its_own_users_stay_joined(relay: str) -> None:
    assert cut_off(CLOSED, relay) == set()


@pytest.mark.parametrize("relay", FIRST)
def test_without_it_every_relay_of_the_backbone_cuts_some_off(relay: str) -> None:
    assert len(cut_off(PAPER, relay)) > 10


def test_the_line_is_the_papers_from_beijing_to_shanghai() -> None:
    names = [site.name for site in backbone_line(PAPER)]
    assert names == FIRST
    assert (len(names), names[0], names[-1]) == (32, "beijing", "shanghai")


def test_it_has_a_way_of_its_own_by_the_stated_rules() -> None:
    added = [site for site in CLOSED.sites if site.counted_as == SECOND_BACKBONE]
    spans = [link for link in CLOSED.links if link.counted_as == SECOND_BACKBONE]
    joints = [link for link in CLOSED.links if link.counted_as == SECOND_JOINTS]
    assert [link.ends for link in spans] == list(pairwise(site.node for site in added))
    assert [link.receiver for link in joints] == [
        "beijing-relay-07",
        "jinan-relay-02",
        "hefei-relay-03",
        "shanghai-relay-03",
    ]
    assert not {link.receiver for link in PAPER.links if link.counted_as == "joints"} & {
        link.receiver for link in joints
    }, "no city's two joints end at one relay"
    for link in spans:
        assert link.length_km <= MEAN_SPAN_KM
        assert link.loss_db == pytest.approx(0.25 * link.length_km, abs=0.01)
        assert link.length_km > CLOSED.span_km(link)
    assert all(part.assumed for part in (*added, *spans, *joints))


def test_the_network_itself_stays_as_it_was_and_the_new_one_holds_as_a_file() -> None:
    assert CLOSED.sites[: len(PAPER.sites)] == PAPER.sites
    assert set(PAPER.links) < set(CLOSED.links)
    assert CLOSED.applications == PAPER.applications
    assert parse_network(network_yaml(CLOSED), source="closed") == CLOSED


def own_network(*, heading: str, with_farm: bool) -> Network:
    """Five relays in a line, at each of its ends a town with a ring of three relays; at its beginning perhaps a farm
    too, with a relay of its own."""
    sites = [_site(f"b{number}", 100 + 0.5 * number, BACKBONE) for number in range(5)]
    links = [_fibre(one.name, other.name, 60) for one, other in pairwise(sites)]
    for town, longitude, end in (("west", 99.9, "b0"), ("east", 102.1, "b4")):
        ring = [_site(f"{town}{number}", longitude, heading and town) for number in range(3)]
        users = [_site(f"{relay.name}-user", longitude, kind="user") for relay in ring]
        sites += [*ring, *users]
        links += [_fibre(end, ring[0].name, 12)]
        links += [_fibre(one.name, other.name, 16) for one, other in pairwise([*ring, ring[0]])]
        links += [_fibre(user.name, relay.name, 8) for user, relay in zip(users, ring, strict=True)]
    if with_farm:
        sites += [_site("farm", 100.1), _site("farm-user", 100.1, kind="user")]
        links += [_fibre("b0", "farm", 16), _fibre("farm-user", "farm", 8)]
    applications = [Application(name=f"app-{site.name}", site=site.name) for site in sites if site.kind == "user"]
    return Network(
        format="qanat-network/1", name="own", sites=tuple(sites), links=tuple(links), applications=tuple(applications)
    )


def _site(name: str, longitude: float, counted_as: str = "", kind: Literal["user", "relay"] = "relay") -> Site:
    return Site(name=name, kind=kind, latitude_deg=35, longitude_deg=longitude, counted_as=counted_as)


def _fibre(one: str, other: str, km: float) -> Link:
    system = "backbone-625"
    return Link(name=f"{one}-{other}", transmitter=one, receiver=other, system=system, loss_db=0.25 * km, length_km=km)


@pytest.mark.parametrize("heading", ["", "named"])
def test_a_city_is_found_by_the_links_whether_it_is_counted_as_something_or_not(heading: str) -> None:
    """Without a heading the second chain was once joined to the ends of the first, whose loss then parted others."""
    own = own_network(heading=heading, with_farm=False)
    closed = with_second_backbone(own)
    joints = [link.receiver for link in closed.links if link.counted_as == SECOND_JOINTS]
    assert joints == ["west1", "east1"]
    assert relays_that_part(closed) == ()
    for relay in relays_that_part(own):
        terms = DayTerms(own, Demand(num_pairs=15), seed=1)
        without, with_second = (run_case(terms, Case(Part("backbone relay", relay), has)) for has in (False, True))
        assert without.pairs_cut_off == 9, "three users in each town"
        assert (with_second.pairs_cut_off, with_second.success_rate_of_others) == (0, 1.0)
    assert relays_that_part(own) == tuple(f"b{number}" for number in range(5))


def test_a_relay_whose_loss_still_parts_others_is_named() -> None:
    closed = with_second_backbone(own_network(heading="", with_farm=True))
    assert relays_that_part(closed) == ("b0",)
    assert relays_that_part(CLOSED) == ()
    assert set(relays_that_part(PAPER)) == set(FIRST)


def test_simulate_warns_of_such_a_relay(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(network_yaml(own_network(heading="", with_farm=True)), encoding="utf-8")
    asked = ["simulate", str(file), "--second-backbone"]
    shown, record = (CliRunner().invoke(app, [*asked, *more], terminal_width=4000) for more in ([], ["--json"]))
    assert "the loss of b0 still parts others" in shown.stdout
    (warning,) = json.loads(record.stdout)["warnings"]
    assert warning.startswith("the loss of b0 still parts others")


def test_where_there_is_no_city_it_is_joined_to_the_ends() -> None:
    line = load_network("beijing-shanghai")
    closed = with_second_backbone(line)
    joints = [link.receiver for link in closed.links if link.counted_as == SECOND_JOINTS]
    assert joints == ["beijing", "shanghai"]


def test_what_has_no_line_or_two_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no backbone that could be closed"):
        with_second_backbone(build_network("line", num_nodes=4))
    with pytest.raises(ConfigurationError, match="a second backbone already"):
        with_second_backbone(CLOSED)
    kept = [link for link in PAPER.described_links if set(link.ends) != {"taian", "qufu"}]
    broken = Network(**{name: getattr(PAPER, name) for name in Network.model_fields} | {"links": tuple(kept)})
    with pytest.raises(ConfigurationError, match="no backbone that could be closed"):
        with_second_backbone(broken)


@pytest.mark.slow
@pytest.mark.parametrize("relay", ["beijing", "jinan", "xuzhou", "hefei", "shanghai"])
def test_at_rate_level_all_others_are_served_with_it_and_not_without(relay: str) -> None:
    terms = DayTerms(PAPER, Demand(num_pairs=150), seed=1)
    part = Part("backbone relay", relay)
    without, closed = (run_case(terms, Case(part, second)) for second in (False, True))
    assert without.pairs_cut_off > 20
    assert without.success_rate_of_others < 0.9
    assert closed.pairs_cut_off == 0
    assert closed.success_rate_of_others > 0.98, "but for the first hours, when pools are empty"
