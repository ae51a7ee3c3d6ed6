"""The second backbone of the paper's outlook: any one relay may fail, and all but its own users stay joined.

The authority on graphs is networkx; what is served is what the simulated day says.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import networkx as nx
import pytest

from qanat.apps.networks import load_network
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network, network_yaml, parse_network
from qanat.ground.network.building import build_network
from qanat.ground.network.second_backbone import (
    BACKBONE,
    MEAN_SPAN_KM,
    SECOND_BACKBONE,
    SECOND_JOINTS,
    backbone_line,
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
