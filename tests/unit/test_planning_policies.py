"""Plans count only ways that sites would have their keys go (`keys_avoid`, `domestic_keys_only`): beside networkx and
control's own solver, which looks for ways by itself."""

from __future__ import annotations

from itertools import combinations

import networkx as nx
import numpy as np
import pytest

from qanat.apps.cli.main import app
from qanat.control.graph import RouteGraph
from qanat.control.sharing import MAX_MIN, Demand
from qanat.control.solvers.shares import share
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network, network_yaml
from qanat.ground.network.building import build_network
from qanat.planning.everyone import everyone
from qanat.planning.flow import most_between
from qanat.planning.limits import limited
from qanat.planning.reach import Part, Reach, places
from qanat.planning.variants import without
from unit.planning_support import network_of, rates_of

USERS = 7


def drawn(seed: int) -> tuple[Network, dict[LinkId, float]]:
    """A random network of users and relays in two regions, some stated in none; three users ask for something."""
    shape, chance = build_network("random-geometric", num_nodes=18, seed=seed), np.random.default_rng(seed)
    names = [site.name for site in shape.sites]
    asked: dict[int, dict[str, object]] = {
        0: {"keys_avoid": tuple(chance.choice(names[USERS:], 3, replace=False).tolist())},
        1: {"domestic_keys_only": True},
        2: {"domestic_keys_only": True, "keys_avoid": (names[USERS], names[3])},
    }
    sites = []
    for place, site in enumerate(shape.sites):
        region = "east" if place in asked else str(chance.choice(["east", "east", "east", "west", ""]))
        update = {"kind": "user" if place < USERS else "relay", "region": region} | asked.get(place, {})
        sites.append(site.model_copy(update=update))
    network = shape.model_copy(update={"sites": tuple(sites)})
    return network, rates_of(network, (10 ** chance.uniform(2, 4, len(network.links))).tolist())


def ways_of(network: Network, rates: dict[LinkId, float], one: NodeId, other: NodeId) -> nx.DiGraph[NodeId]:
    """Both directions of all links that keys of two sites may pass; found by the policy's own words for a whole way."""
    policy = network.policy_between(one, other)
    graph: nx.DiGraph[NodeId] = nx.DiGraph()
    graph.add_nodes_from((one, other))
    for link in network.links:
        passes = [site for site in link.ends if site not in (one, other)]
        allowed = policy.allows((one, *passes, other), regions=network.regions)
        if allowed and all(network.site(site).kind == "relay" for site in passes):
            for here, there in (link.ends, link.ends[::-1]):
                graph.add_edge(here, there, capacity=rates[link.link_id])
    return graph


@pytest.mark.parametrize("seed", range(6))
def test_the_most_between_two_sites_is_the_maximum_flow_over_allowed_ways(seed: int) -> None:
    network, rates = drawn(seed)
    for one, other in combinations(network.nodes[:5], 2):
        expected, _ = nx.maximum_flow(ways_of(network, rates, one, other), one, other)
        flow = most_between(limited(network, rates, ends=(one, other)), one, other)
        assert flow.level_bits_per_s == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_pairs_that_can_have_keys_are_those_with_an_allowed_way_also_without_a_part(seed: int) -> None:
    network, rates = drawn(seed)
    forbidden = 0
    for lost in (None, Part("site", network.nodes[-1]), Part("link", network.links[0].name)):
        reach = Reach(network, rates)
        masks = reach.masks(lost)
        left = network if lost is None else without(network, [lost])
        for one, other in combinations([node for node in places(network) if node in left.nodes], 2):
            joined = nx.has_path(ways_of(left, rates, one, other), one, other)
            forbidden += not joined
            for here, there in ((one, other), (other, one)):
                assert bool(masks[here] >> reach.places.index(there) & 1) == joined, (here, there, lost)
    assert forbidden, "or this network shows nothing"


@pytest.mark.parametrize("seed", range(6))
def test_everybody_at_once_takes_allowed_ways_alone(seed: int) -> None:
    network, rates = drawn(seed)
    graph = RouteGraph.of_keys(network)
    for link_id, rate in rates.items():
        graph.set_link(link_id, width=rate)
    wanted = [
        Demand(f"{one}{other}", one, other, policy=network.policy_between(one, other))
        for one, other in combinations(places(network), 2)
    ]
    joined = [one.rate_bits_per_s for one in share(graph, wanted, alpha=MAX_MIN).shares if one.rate_bits_per_s > 0]
    found = everyone(network, rates)
    assert found is not None
    assert found.pairs == len(joined) == Reach(network, rates).pairs()
    assert found.flow.level_bits_per_s == pytest.approx(min(joined), rel=1e-5)
    assert found.flow.gap <= 1e-6


def test_a_narrow_way_round_is_what_counts_and_is_told(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = network_of(
        {"a": "user", "b": "user", "r": "relay", "s": "relay"},
        [("a", "r", 10), ("r", "b", 10), ("a", "s", 10), ("s", "b", 10)],
        apps=["a", "b"],
    )
    sites = tuple(site.model_copy(update={"keys_avoid": ("r",) if site.name == "a" else ()}) for site in wide.sites)
    rates, ends = [900.0, 900.0, 40.0, 40.0], (NodeId("a"), NodeId("b"))
    levels = []
    for network in (wide, wide.model_copy(update={"sites": sites})):
        able = limited(network, rates_of(network, rates), ends=ends)
        levels.append(most_between(able, *ends).level_bits_per_s)
        file = tmp_path_factory.mktemp("net") / "n.yaml"
        file.write_text(network_yaml(network))
        with pytest.raises(SystemExit):
            app(["plan", str(file)])
    assert levels == pytest.approx([940, 40])
    first, second = capsys.readouterr().out.split("b: ", 1)[1].split("b: ", 1)
    assert "over all ways together" in first
    assert "over all ways that lead past r, as the ends have it," in second
