"""Messages go over the classical network of the file, keys over trusted relays: step 3 of the paper's Fig. 2."""

from __future__ import annotations

import networkx as nx
import pytest

from qanat.apps.networks import load_network
from qanat.control.books import Books
from qanat.control.routing import classical_routes
from qanat.control.tables import Tables
from qanat.ground.identifiers import Epoch, NodeId
from qanat.ground.network import Network, parse_network
from unit.routes_support import key_routes

LINE_OF_SITES = """
format: qanat-network/1
name: mixed
sites:
  - {name: a, kind: user, latitude_deg: 0, longitude_deg: 0, router: east}
  - {name: m, kind: relay, latitude_deg: 0, longitude_deg: 0.1, router: east}
  - {name: b, kind: user, latitude_deg: 0, longitude_deg: 0.2, router: west}
  - {name: c, kind: user, latitude_deg: 0, longitude_deg: 0.15}
links:
  - {name: a-m, transmitter: a, receiver: m, system: backbone-625, loss_db: 10, length_km: 40}
  - {name: m-b, transmitter: m, receiver: b, system: backbone-625, loss_db: 10, length_km: 40}
  - {name: m-c, transmitter: m, receiver: c, system: backbone-625, loss_db: 10, length_km: 40}
routers:
  - {name: east, latitude_deg: 0, longitude_deg: 0}
  - {name: west, latitude_deg: 0, longitude_deg: 0.2}
classical_links:
  - {name: east-west, routers: [east, west], length_km: 100}
"""


@pytest.fixture(scope="module")
def paper() -> Network:
    return load_network("nature2021")


def test_a_message_from_beijing_to_shanghai_passes_two_routers_and_its_key_the_backbone(paper: Network) -> None:
    beijing, shanghai = NodeId("beijing-user-01"), NodeId("shanghai-user-05")
    message = classical_routes(paper, beijing)[shanghai]
    assert message == (beijing, "router:beijing", "router:shanghai", shanghai)
    key = key_routes(paper, beijing, rates_bits_per_s={})[shanghai]
    assert {"jinan", "hefei"} <= set(key)
    assert set(key[1:-1]).isdisjoint(message)


def test_every_message_passes_the_fewest_lines_that_a_graph_of_the_file_has(paper: Network) -> None:
    lines: nx.Graph[str] = nx.Graph(line.routers for line in paper.classical_links)
    router = {site.name: site.router for site in paper.sites}
    found = classical_routes(paper, NodeId("jinan-user-04"))
    assert set(found) == {site.node for site in paper.sites} - {"jinan-user-04", "micius"}
    for end, route in found.items():
        assert len(route) - 3 == nx.shortest_path_length(lines, "jinan", router[end])


def test_a_site_without_a_router_sends_by_its_fibres_and_one_with_a_router_by_it_alone() -> None:
    network = parse_network(LINE_OF_SITES, source="mixed")
    found = classical_routes(network, NodeId("a"))
    assert found[NodeId("b")] == ("a", "router:east", "router:west", "b")
    assert found[NodeId("c")] == ("a", "router:east", "m", "c")


def test_key_managers_are_told_of_ways_over_routers_and_of_none_that_ends_at_one(paper: Network) -> None:
    told = Tables(paper, Books(paper)).pushed(NodeId("beijing-user-01"), Epoch(1)).classical_routes
    assert {route[-1] for route in told} == {site.node for site in paper.sites} - {"beijing-user-01", "micius"}
    assert any("router:xian" in route for route in told)
