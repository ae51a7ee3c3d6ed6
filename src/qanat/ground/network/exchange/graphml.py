"""A network as GraphML, by NetworkX: sites, switches and routers are nodes, fibres and lines are edges.

What we write is read back whole. Of GraphML from elsewhere we take nodes, edges, and what they say of places, lengths
and losses; the rest is filled in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from xml.etree.ElementTree import ParseError

import networkx as nx

from qanat.ground.errors import NetworkFileError
from qanat.ground.network.description import Network
from qanat.ground.network.exchange.foreign import faults_told, network_of, without_contradiction
from qanat.ground.network.exchange.graphs import each_once, fibre_from, node_from, remark_units, unheard
from qanat.ground.network.part import Part

_JSON = "json:"
"""Before a value that is no text, number or truth value."""
_WHOLE = "qanat"
"""The attribute of the graph with what is neither node nor edge."""
_NODES = (("site", "sites"), ("switch", "switches"), ("router", "routers"))
_EDGES = (
    *(("link", "links"), ("downlink", "downlinks")),
    *(("trunk", "trunks"), ("classical-link", "classical_links")),
)


def graphml(network: Network) -> str:
    """Return the text of a GraphML file. Links through switches, and those whose key satellites announce, are not
    in it: they follow from ports, trunks and downlinks."""
    record = network.model_dump(mode="json", exclude_defaults=True)
    graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    rest = {field: value for field, value in record.items() if field not in _fields()}
    graph.graph[_WHOLE] = json.dumps(rest, ensure_ascii=False)
    for what, field in _NODES:
        for place, entry in enumerate(record.get(field, ())):
            said = {name: value for name, value in entry.items() if name != "ports"}
            graph.add_node(_key(what, entry["name"]), what=what, place=place, **_simple(said))
    for what, source, target, said in _edges(network):
        graph.add_edge(source, target, what=what, place=graph.number_of_edges(), **_simple(said))
    return "\n".join(nx.generate_graphml(graph)) + "\n"


def _fields() -> set[str]:
    return {field for _, field in (*_NODES, *_EDGES)}


def _key(what: str, name: str) -> str:
    """Return a node's key: sites have their names, for other programs; others cannot be taken for a site."""
    return name if what == "site" else f"{what}:{name}"


def _edges(network: Network) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Yield (what, source, target, fields)."""
    for link in network.described_links:
        yield "link", link.transmitter, link.receiver, _said(link)
    for down in network.downlinks:
        yield "downlink", down.satellite, down.station, _said(down)
    for switch in network.switches:
        for port in switch.ports:
            yield "port", port.site, _key("switch", switch.name), _said(port)
    for trunk in network.trunks:
        one, other = (_key("switch", name) for name in trunk.switches)
        yield "trunk", one, other, _said(trunk)
    for line in network.classical_links:
        one, other = (_key("router", name) for name in line.routers)
        yield "classical-link", one, other, _said(line)


def _said(part: Part) -> dict[str, Any]:
    return part.model_dump(mode="json", exclude_defaults=True)


def _simple(said: Mapping[str, Any]) -> dict[str, Any]:
    """GraphML knows texts, numbers and truth values."""
    return {
        name: value if isinstance(value, str | int | float) else _JSON + json.dumps(value)
        for name, value in said.items()
    }


def _full(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: json.loads(value.removeprefix(_JSON)) if isinstance(value, str) and value.startswith(_JSON) else value
        for name, value in said.items()
        if name not in ("what", "place", "id")
    }


def from_graphml(text: str, *, name: str, system: str, source: str, remark: Callable[[str], None] = unheard) -> Network:
    """Return the network of a GraphML file; ``name`` and ``system`` are for files from elsewhere. ``remark``: is told
    how something was taken that the file leaves open.

    A file of ours gives the network that was written. Raises NetworkFileError.
    """
    try:
        graph = nx.parse_graphml(text, force_multigraph=True)
    except (nx.NetworkXError, ParseError, KeyError, ValueError) as fault:
        raise NetworkFileError(
            f"no GraphML: {fault}", source=source, line=None, remedy="give a file of one graph"
        ) from None
    try:
        if _WHOLE in graph.graph:
            return _own(graph, source)
        nodes = [node_from(str(key), said) for key, said in graph.nodes(data=True)]
        fibres = [fibre_from(str(one), str(other), said) for one, other, said in graph.edges(data=True)]
        remark_units((said for _, _, said in graph.edges(data=True)), remark)
        if graph.is_directed():
            has_several = any(graph.number_of_edges(*edge[:2]) > 1 for edge in graph.edges)
            if_two = "if they are two links, let the graph be undirected"
            fibres = each_once(fibres, is_multigraph=has_several, source=source, if_two=if_two, remark=remark)
    except (KeyError, TypeError, ValueError) as fault:
        raise NetworkFileError(
            f"a node or an edge is not as it should be: {fault}",
            source=source,
            line=None,
            remedy="mend it, or take it out; the others show how it may be",
        ) from None
    return network_of(nodes, fibres, name=name, system=system, source=source)


def _own(graph: nx.Graph[Any], source: str) -> Network:
    record: dict[str, Any] = json.loads(graph.graph[_WHOLE])
    in_order = sorted(graph.nodes(data=True), key=lambda node: int(node[1]["place"]))
    for what, field in _NODES:
        record[field] = [_full(said) for _, said in in_order if said["what"] == what]
    edges = sorted(graph.edges(data=True), key=lambda edge: int(edge[2]["place"]))
    for what, field in _EDGES:
        record[field] = [_full(said) for _, _, said in edges if said["what"] == what]
    for switch in record["switches"]:
        key = _key("switch", switch["name"])
        switch["ports"] = [_full(said) for _, target, said in edges if said["what"] == "port" and target == key]
    with faults_told(source):
        network = Network.model_validate(record)
    return without_contradiction(network, source)
