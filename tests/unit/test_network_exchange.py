"""Networks in other programs' formats, there and back."""

from __future__ import annotations

import io
import json
from typing import Any

import networkx as nx
import pytest

from qanat.apps.networks import load_network
from qanat.ground.errors import NetworkFileError
from qanat.ground.network import Etsi014Modules, Network
from qanat.ground.network.building import build_network
from qanat.ground.network.exchange import from_graphml, from_simulator_json, geojson, graphml, sequence_json

PACKAGED = ["three-nodes", "five-site-ring", "one-switch", "beijing-shanghai", "nature2021"]
SEQUENCE = {
    "stop_time": 1e12,
    "nodes": [{"name": name, "type": "QKDNode", "seed": k} for k, name in enumerate(["Alice", "R1", "Bob B."])],
    "qchannels": [
        {"source": "Alice", "destination": "R1", "attenuation": 0.0002, "distance": 40_000},
        {"source": "R1", "destination": "Alice", "attenuation": 0.0002, "distance": 40_000},
    ],
    "qconnections": [
        {"node1": "R1", "node2": "Bob B.", "attenuation": 0.00025, "distance": 6e4, "type": "meet_in_the_middle"}
    ],
    "cconnections": [{"node1": "Alice", "node2": "R1", "delay": 200_000_000}],
}


def read_json(record: object) -> Network:
    return from_simulator_json(json.dumps(record), name="My net", system="backbone-625", source="t.json")


def read_graphml(text: str) -> Network:
    return from_graphml(text, name="x", system="metro-40-i", source="t.graphml")


@pytest.mark.parametrize("name", PACKAGED)
def test_a_network_goes_through_graphml_whole(name: str) -> None:
    network = load_network(name)
    assert read_graphml(graphml(network)) == network


def test_devices_at_the_ends_of_a_link_go_through_graphml_too() -> None:
    record = load_network("three-nodes").model_dump()
    end = {"url": "https://device.example:8443", "sae": "a"}
    modules = {"driver": "etsi014", "transmitter": end, "receiver": {**end, "sae": "b"}}
    record["links"][0]["modules"] = modules
    network = Network.model_validate(record)
    assert isinstance(read_graphml(graphml(network)).links[0].modules, Etsi014Modules)
    assert read_graphml(graphml(network)) == network


def test_other_programs_read_our_graphml() -> None:
    graph = nx.read_graphml(io.BytesIO(graphml(load_network("beijing-shanghai")).encode()))
    assert (graph.number_of_nodes(), graph.number_of_edges()) == (34, 33)
    assert graph.nodes["jinan"]["latitude_deg"] == 36.651
    assert sum(said["length_km"] for _, _, said in graph.edges(data=True)) == pytest.approx(1977.9 + 29.8 + 27.5)


def test_graphml_from_elsewhere_is_filled_in_and_marked() -> None:
    """As the Internet Topology Zoo writes: numbers as nodes, labels, places, no lengths."""
    graph: nx.Graph[Any] = nx.Graph()
    graph.add_node(0, label="Oslo", Latitude=59.91, Longitude=10.75)
    graph.add_node(1, label="Bergen", Latitude=60.39, Longitude=5.32)
    graph.add_node(2, label="Trondheim", Latitude=63.43, Longitude=10.39)
    graph.add_edge(0, 1)
    graph.add_edge(0, 2, length="450.5", loss=90)
    network = read_graphml("\n".join(nx.generate_graphml(graph)))
    assert [(site.name, site.title, site.kind) for site in network.sites] == [
        ("0", "Oslo", "relay"),
        ("1", "Bergen", "user"),
        ("2", "Trondheim", "user"),
    ]
    first, second = network.links
    assert first.length_km == pytest.approx(1.3 * network.span_km(first), rel=1e-3)
    assert first.loss_db == pytest.approx(0.25 * first.length_km, rel=1e-3)
    assert (first.assumed, second.assumed) == (True, False)
    assert (second.length_km, second.loss_db, second.system) == (450.5, 90, "metro-40-i")
    assert not any(site.assumed for site in network.sites)


def test_a_node_without_a_place_stands_between_its_neighbours() -> None:
    """As in a graph of a topology collection, where of some nodes nobody knows where they are."""
    known = {"a": (179.0, 47.0), "d": (-179.0, 47.4)}
    graph = nx.path_graph(["a", "b", "c", "d"])
    graph.add_edge("b", "d")
    for key, (east, north) in known.items():
        graph.nodes[key].update(Longitude=east, Latitude=north)
    network = from_graphml("\n".join(nx.generate_graphml(graph)), name="zoo", system="metro-40", source="zoo.graphml")
    sites = {site.name: site for site in network.sites}
    assert [sites[name].assumed for name in "abcd"] == [False, True, True, False]
    assert (sites["b"].latitude_deg, abs(sites["b"].longitude_deg)) == (47.2, 180.0)
    assert (sites["c"].latitude_deg, sites["c"].longitude_deg) == (47.4, -179.0)
    alone = nx.generate_graphml(nx.path_graph(3))
    assert len(from_graphml("\n".join(alone), name="x", system="metro-40", source="x").links) == 2


def test_a_topology_of_sequence_becomes_a_network() -> None:
    network = read_json(SEQUENCE)
    assert network.name == "my-net"
    assert [(site.name, site.title, site.kind, site.assumed) for site in network.sites] == [
        ("alice", "Alice", "user", True),
        ("r1", "R1", "relay", True),
        ("bob-b", "Bob B.", "user", True),
    ]
    # metres and dB per metre become km and dB; two channels there and back are one link
    assert [(*link.ends, link.length_km, link.loss_db) for link in network.links] == [
        ("alice", "r1", 40, 8),
        ("r1", "bob-b", 60, 15),
    ]
    assert not any(link.assumed for link in network.links)


@pytest.mark.parametrize(
    "network",
    [read_json(SEQUENCE), load_network("beijing-shanghai"), build_network("grid", num_nodes=12)],
    ids=lambda network: network.name,
)
def test_a_network_goes_through_sequence_with_its_links(network: Network) -> None:
    again = read_json(json.loads(sequence_json(network)))
    assert again.nodes == network.nodes
    assert [link.ends for link in again.links] == [link.ends for link in network.links]
    for after, before in zip(again.links, network.links, strict=True):
        assert (after.length_km, after.loss_db) == pytest.approx((before.length_km, before.loss_db))
    assert sequence_json(again) == sequence_json(network)


def test_what_sequence_is_given_has_a_classical_channel_for_each_quantum_one() -> None:
    topology = json.loads(sequence_json(load_network("three-nodes")))
    assert {node["type"] for node in topology["nodes"]} == {"QKDNode"}
    (quantum, _), (classical, _) = topology["qchannels"], topology["cconnections"]
    assert (quantum["distance"], quantum["attenuation"] * quantum["distance"]) == (41_100, pytest.approx(10.3))
    assert classical["delay"] == 205_500_000  # picoseconds: 41.1 km at 5 us per km


def test_node_link_json_of_networkx_is_read() -> None:
    graph: nx.Graph[Any] = nx.path_graph(3)
    for one, other in graph.edges:
        graph.edges[one, other]["length_km"] = 20.0
    network = read_json(nx.node_link_data(graph, edges="links"))
    assert read_json(nx.node_link_data(graph, edges="edges")) == network
    assert [site.kind for site in network.sites] == ["user", "relay", "user"]
    assert [link.loss_db for link in network.links] == [5, 5]
    assert all(link.assumed for link in network.links)  # the losses are


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no topology"),
        ('{"nodes": []}', "the field 'edges' is missing"),
        ('{"nodes": [1, 2]}', "the node 1 is no object"),
        ('{"nodes": [{"name": "a"}], "qchannels": [{"source": "a"}]}', "the field 'destination' is missing"),
        ('{"nodes": [{"name": "a"}, {"name": "A"}], "qchannels": []}', "would both be called 'a'"),
        ('{"nodes": [{"name": "??"}, {"name": "A"}], "qchannels": []}', "no name that can be written"),
        ('{"nodes": [{"id": "a"}], "links": [{"source": "a", "target": "b"}]}', "a link ends at 'b', no node"),
        (
            '{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "b", "length": "far"}]}',
            "the edge of 'a' and 'b' has 'far' for its length",
        ),
        (
            '{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "a"}]}',
            "the edge of 'a' and 'a' joins the same site with itself",
        ),
        ('{"nodes": [{"id": "a"}, {"id": "b"}], "links": [{"source": "a", "target": "b", "loss": 400}]}', "400"),
        (
            '{"nodes": [{"id": "a", "lat": "north"}], "links": []}',
            "node 'a' has 'north' for its lat, which is no number",
        ),
        ('{"nodes": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "links": [{"source": "a", "target": "b"}]}', "leads to c"),
    ],
)
def test_what_is_no_topology_is_told_with_its_file_and_a_remedy(text: str, message: str) -> None:
    with pytest.raises(NetworkFileError) as caught:
        from_simulator_json(text, name="n", system="backbone-625", source="t.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("t.json: ")
    assert caught.value.remedy


@pytest.mark.parametrize("text", ["", "<graphml/>", "<a", "nodes: []"])
def test_what_is_no_graphml_is_told(text: str) -> None:
    with pytest.raises(NetworkFileError, match="no GraphML"):
        read_graphml(text)


def features(network: Network) -> list[dict[str, Any]]:
    record = json.loads(geojson(network))
    assert record["type"] == "FeatureCollection"
    found: list[dict[str, Any]] = record["features"]
    return found


def test_geojson_has_a_feature_for_everything() -> None:
    network = load_network("nature2021")
    by_what: dict[str, int] = {}
    for feature in features(network):
        assert feature["type"] == "Feature"
        by_what[feature["properties"]["what"]] = by_what.get(feature["properties"]["what"], 0) + 1
    assert by_what == {
        "site": len(network.sites),
        "switch": len(network.switches),
        "router": len(network.routers),
        "link": len(network.links),
        "port": sum(len(switch.ports) for switch in network.switches),
        "trunk": len(network.trunks),
        "classical-link": len(network.classical_links),
    }


def test_geojson_puts_longitude_first_and_takes_links_over_their_switches() -> None:
    network = load_network("nature2021")
    named = {feature["properties"].get("name"): feature for feature in features(network)[::-1]}
    station = named["nanshan"]["geometry"]
    assert station == {"type": "Point", "coordinates": [87.1775, 43.4753]}
    (link, *_) = (link for link in network.links if len(link.through) == 2)
    way = named[link.name]["geometry"]["coordinates"]
    places = [network.site(link.ends[0]), *(network.switches_by_name[name] for name in link.through),
              network.site(link.ends[1])]  # fmt: skip
    assert way == [[place.longitude_deg, place.latitude_deg] for place in places]


def test_a_line_over_the_180th_meridian_is_cut_there() -> None:
    record = build_network("line", num_nodes=2).model_dump()
    for site, longitude in zip(record["sites"], (179.8, -179.8), strict=True):
        site.update(latitude_deg=10, longitude_deg=longitude)
    (line,) = (found["geometry"] for found in features(Network.model_validate(record))
               if found["properties"]["what"] == "link")  # fmt: skip
    assert line["type"] == "MultiLineString"
    assert line["coordinates"] == [[[179.8, 10], [180, 10]], [[-180, 10], [-179.8, 10]]]


@pytest.mark.parametrize(
    ("said", "loss_db", "is_remarked"),
    [
        ({"attenuation": 0.2}, 10.0, True),  # dB per km
        ({"attenuation": 0.0002}, 10.0, True),  # dB per metre, as SeQUeNCe has it
        ({"attenuation_db_per_km": 0.2}, 10.0, False),
        ({"Loss_dB_per_km": "0.2"}, 10.0, False),
        ({"attenuation": 0.2, "loss_db": 11}, 11.0, False),
        ({}, 12.5, False),  # the rule, assumed
    ],
)
def test_a_loss_per_length_is_taken_and_its_unit_told(said: dict[str, Any], loss_db: float, is_remarked: bool) -> None:
    graph: nx.Graph[Any] = nx.path_graph(3)
    for one, other in graph.edges:
        graph.edges[one, other].update(length_km=50.0, **said)
    texts = {
        from_graphml: "\n".join(nx.generate_graphml(graph)),
        from_simulator_json: json.dumps(nx.node_link_data(graph, edges="edges")),
    }
    for read, text in texts.items():
        remarks: list[str] = []
        network = read(text, name="x", system="metro-40-i", source="t", remark=remarks.append)
        assert [link.loss_db for link in network.links] == pytest.approx([loss_db] * 2)
        assert all(link.assumed != bool(said) for link in network.links)
        assert len(remarks) == is_remarked
        assert all(
            "at 2 edges: taken as dB per km, or as dB per metre where it is below 0.01" in one for one in remarks
        )


def two_ways(*edges: dict[str, Any], **said: Any) -> dict[str, Any]:
    return {"nodes": [{"id": one} for one in "abc"], "links": [*edges], **said}


def edge(ends: str, length_km: float, **more: Any) -> dict[str, Any]:
    return {"source": ends[0], "target": ends[1], "length": length_km, **more}


THERE_AND_BACK = (edge("ab", 40), edge("ba", 40), edge("bc", 50))


@pytest.mark.parametrize(
    ("edges", "said", "lengths"),
    [
        (THERE_AND_BACK, {"directed": True}, [40, 50]),
        (THERE_AND_BACK, {"directed": True, "multigraph": False}, [40, 50]),
        (THERE_AND_BACK, {"directed": True, "multigraph": True}, [40, 50]),
        (THERE_AND_BACK, {"directed": False, "multigraph": False}, [40, 50]),
        (THERE_AND_BACK, {"directed": False, "multigraph": True}, [40, 40, 50]),
        (THERE_AND_BACK, {}, [40, 40, 50]),
        ((edge("ab", 40), edge("ba", 45), edge("bc", 50)), {"directed": True, "multigraph": True}, [40, 45, 50]),
        (
            (
                edge("ab", 40, key=0),
                edge("ab", 40, key=1),
                edge("ba", 40, key=0),
                edge("ba", 40, key=1),
                edge("bc", 50),
            ),
            {"directed": True, "multigraph": True},
            [40, 40, 50],
        ),
    ],
)
def test_an_edge_that_is_written_there_and_back_is_one_link(
    edges: tuple[dict[str, Any], ...], said: dict[str, Any], lengths: list[float]
) -> None:
    remarks: list[str] = []
    text = json.dumps(two_ways(*edges, **said))
    network = from_simulator_json(text, name="x", system="backbone-625", source="t.json", remark=remarks.append)
    assert [link.length_km for link in network.links] == lengths
    assert network.links[0].transmitter == "a"
    assert len(remarks) == (len(lengths) < len(edges))


def test_edges_there_and_back_that_differ_are_refused_by_their_ends() -> None:
    record = two_ways(edge("ab", 40), edge("ba", 45), edge("bc", 50), directed=True)
    with pytest.raises(NetworkFileError, match="from 'a' to 'b' and from 'b' to 'a' differ") as caught:
        read_json(record)
    assert "length_km 40.0 and 45.0" in str(caught.value)
    assert "'multigraph': true" in caught.value.remedy


@pytest.mark.parametrize("kind", [nx.DiGraph, nx.MultiDiGraph])
def test_what_networkx_makes_of_undirected_graphs_has_each_link_once(kind: type[nx.DiGraph[Any]]) -> None:
    graph: nx.Graph[Any] = nx.cycle_graph(4)
    nx.set_edge_attributes(graph, 40.0, "length_km")
    both_ways = kind(graph)
    assert both_ways.number_of_edges() == 8
    texts = {
        from_graphml: "\n".join(nx.generate_graphml(both_ways)),
        from_simulator_json: json.dumps(nx.node_link_data(both_ways, edges="edges")),
    }
    for read, text in texts.items():
        assert len(read(text, name="x", system="metro-40-i", source="t").links) == 4


def test_directed_graphml_whose_edges_differ_is_refused() -> None:
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_edge("a", "b", length_km=40.0)
    graph.add_edge("b", "a", length_km=45.0)
    with pytest.raises(NetworkFileError, match="differ") as caught:
        read_graphml("\n".join(nx.generate_graphml(graph)))
    assert "undirected" in caught.value.remedy
