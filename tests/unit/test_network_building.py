"""Networks in regular and random shapes: how many links, who is a relay, that large ones can be read and reviewed."""

from __future__ import annotations

import networkx as nx
import pytest

from qanat.apps.network_review import review
from qanat.ground.errors import ConfigurationError
from qanat.ground.network import Network, network_yaml, parse_network
from qanat.ground.network.building import MOST_NODES, SHAPES, build_network


def graph_of(network: Network) -> nx.Graph[str]:
    graph: nx.Graph[str] = nx.Graph([link.ends for link in network.links])
    assert graph.number_of_edges() == len(network.links)
    return graph


@pytest.mark.parametrize(
    ("kind", "like"),
    [
        ("line", nx.path_graph(12)),
        ("ring", nx.cycle_graph(12)),
        ("star", nx.star_graph(11)),
        ("tree", nx.full_rary_tree(2, 12)),
        ("grid", nx.grid_2d_graph(3, 4)),
    ],
)
def test_a_shape_is_the_graph_of_its_name(kind: str, like: nx.Graph[object]) -> None:
    assert nx.is_isomorphic(graph_of(build_network(kind, num_nodes=12)), like)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_random_geometric_network_joins_all_that_are_near_and_no_others(seed: int) -> None:
    network = build_network("random-geometric", num_nodes=60, link_km=40, seed=seed)
    graph = graph_of(network)
    assert len(graph) == 60
    assert nx.is_connected(graph)
    linked = {frozenset(link.ends) for link in network.links}
    longest = max(network.span_km(link) for link in network.links)
    apart = [
        (one, other) for one in network.sites for other in network.sites if one.name < other.name
        and frozenset((one.node, other.node)) not in linked
    ]  # fmt: skip
    middle = 0.98 * longest  # the sheet is flat, the globe is not: 2 % leave room for that
    for one, other in apart:
        span = build_span(one.latitude_deg, one.longitude_deg, other.latitude_deg, other.longitude_deg)
        assert span > middle
    assert max(link.length_km for link in network.links) <= 40
    assert build_network("random-geometric", num_nodes=60, link_km=40, seed=seed) == network
    assert build_network("random-geometric", num_nodes=60, link_km=40, seed=seed + 1) != network


def build_span(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Distance on the sheet of the builder, km."""
    across = (other_longitude - longitude) * 0.81915  # cosine of 35 degrees
    return 111.195 * float((across**2 + (other_latitude - latitude) ** 2) ** 0.5)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("num_nodes", [5, 37])
def test_what_is_built_is_valid_and_reads_back(kind: str, num_nodes: int) -> None:
    network = build_network(kind, num_nodes=num_nodes, link_km=30)
    assert len(network.sites) == num_nodes
    assert parse_network(network_yaml(network), source="built") == network
    ends = {node for node, degree in graph_of(network).degree() if degree == 1}
    assert {site.name for site in network.sites if site.kind == "user"} == ends
    found = review(network)
    assert {warning.code for warning in found.warnings} <= {"single-point-of-failure"}
    (route,) = found.routes
    assert route.nodes


def test_the_applications_of_a_ring_stand_opposite() -> None:
    (route,) = review(build_network("ring", num_nodes=8)).routes
    assert len(route.nodes) == 5


@pytest.mark.parametrize(
    ("kind", "num_nodes", "link_km", "message"),
    [
        ("cube", 8, 50, "no shape 'cube'"),
        ("ring", 2, 50, "a ring of 2 nodes"),
        ("line", MOST_NODES + 1, 50, "a line of 10001 nodes"),
        ("line", 8, 500, "links of 500 km"),
        ("line", 8, float("nan"), "links of nan km"),
    ],
)
def test_what_makes_no_network_is_refused_with_a_remedy(
    kind: str, num_nodes: int, link_km: float, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        build_network(kind, num_nodes=num_nodes, link_km=link_km)
    assert caught.value.remedy


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["star", pytest.param("grid", marks=pytest.mark.campaign)])
def test_ten_thousand_nodes_are_built_written_read_and_reviewed(kind: str) -> None:
    network = build_network(kind, num_nodes=MOST_NODES)
    assert parse_network(network_yaml(network), source="built") == network
    found = review(network)
    assert len(found.links) == len(network.links)
    assert len(found.warnings) <= 1


@pytest.mark.campaign
def test_a_fault_in_a_file_of_ten_thousand_nodes_is_found_in_its_line() -> None:
    text = network_yaml(build_network("grid", num_nodes=MOST_NODES))
    line = text.splitlines().index(next(row for row in text.splitlines() if "name: n05001-n05002" in row)) + 1
    with pytest.raises(ConfigurationError) as caught:
        parse_network(
            text.replace("transmitter: n05001, receiver: n05002,", "transmitter: n05001, receiver: n5002x,", 1),
            source="big",
        )
    assert f"big:{line}: link 'n05001-n05002' ends at 'n5002x', no site" in str(caught.value)
