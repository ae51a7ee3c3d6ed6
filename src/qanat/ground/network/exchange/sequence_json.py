"""Topologies in the JSON of simulators.

SeQUeNCe (X. Wu et al., Quantum Sci. Technol., 2021, doi 10.1088/2058-9565/ac22f6) describes a network in JSON:
``nodes`` with a name and a type, quantum channels as ``qchannels`` (source, destination) or ``qconnections`` (node1,
node2), each with a ``distance`` in metres and an ``attenuation`` in dB per metre, and classical ones with a ``delay``
in picoseconds. A second reader takes the node-link JSON of NetworkX, which many smaller simulators load and save.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from qanat.ground.errors import NetworkFileError
from qanat.ground.network.description import Network
from qanat.ground.network.exchange.foreign import Fibre, Node, network_of
from qanat.ground.network.exchange.graphs import METRES_PER_KM, each_once, fibre_from, node_from, remark_units, unheard

PS_PER_KM = 5_000_000.0
"""Delay of light in fibre: 5 us per km, in SeQUeNCe's unit."""
_ENDS = (("qchannels", "source", "destination"), ("qconnections", "node1", "node2"))


def sequence_json(network: Network) -> str:
    """Return a topology for SeQUeNCe's ``QKDTopo``: every site a ``QKDNode``, every link a quantum channel.

    What SeQUeNCe has no word for is left out: places, kinds, systems, switches (their links stay), satellites with
    their links, applications.
    """
    fibres = [link for link in network.links if link.makes_key_on_order]
    sites = [site for site in network.sites if site.kind != "satellite"]
    topology = {
        "nodes": [{"name": site.name, "type": "QKDNode", "seed": number} for number, site in enumerate(sites)],
        "qchannels": [
            {
                "source": link.transmitter,
                "destination": link.receiver,
                "distance": link.length_km * METRES_PER_KM,
                "attenuation": link.loss_db / (link.length_km * METRES_PER_KM),
            }
            for link in fibres
        ],
        "cconnections": [
            {
                "node1": link.transmitter,
                "node2": link.receiver,
                "distance": link.length_km * METRES_PER_KM,
                "delay": round(link.length_km * PS_PER_KM),
            }
            for link in fibres
        ],
    }
    return json.dumps(topology, indent=1) + "\n"


def from_simulator_json(
    text: str, *, name: str, system: str, source: str, remark: Callable[[str], None] = unheard
) -> Network:
    """Return the network of a topology of SeQUeNCe, or of NetworkX's node-link JSON.

    name: the network's; system: of links that name none; remark: is told how something was taken that the file leaves
    open. Raises NetworkFileError for what is neither.
    """
    try:
        record = json.loads(text)
    except ValueError as fault:
        raise NetworkFileError(
            f"no JSON: {fault}", source=source, line=None, remedy="look at commas and quotes"
        ) from None
    if not isinstance(record, dict) or not isinstance(record.get("nodes"), list):
        raise NetworkFileError(
            "no topology: a list 'nodes' is missing",
            source=source,
            line=None,
            remedy="give the JSON of SeQUeNCe (nodes, qchannels or qconnections) or NetworkX (nodes, links or edges)",
        )
    for node in record["nodes"]:
        if not isinstance(node, dict):
            raise NetworkFileError(
                f"the node {json.dumps(node)[:40]} is no object",
                source=source,
                line=None,
                remedy='write it as {"id": ...} for NetworkX, or {"name": ...} for SeQUeNCe',
            )
    try:
        if any(field in record for field, _, _ in _ENDS):
            nodes, fibres = _sequence_graph(record)
        else:
            nodes, fibres = _node_link_graph(record)
            remark_units(_edges(record), remark)
            fibres = _each_once(record, fibres, source, remark)
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        what = f"the field {fault} is missing" if isinstance(fault, KeyError) else str(fault)
        raise NetworkFileError(
            f"a node or a channel is not as it should be: {what}",
            source=source,
            line=None,
            remedy="mend it, or take it out; the others show how it may be",
        ) from None
    return network_of(nodes, fibres, name=name, system=system, source=source)


def _sequence_graph(record: Mapping[str, Any]) -> tuple[list[Node], list[Fibre]]:
    """Of two channels between the same nodes, one each way, the first alone is a link: SeQUeNCe writes both."""
    nodes = [Node(str(node["name"]), str(node["name"]), None) for node in record["nodes"]]
    fibres: dict[frozenset[str], Fibre] = {}
    for field, one, other in _ENDS:
        for channel in record.get(field, ()):
            ends = str(channel[one]), str(channel[other])
            metres = float(channel["distance"])
            loss_db = round(float(channel["attenuation"]) * metres, 6)
            fibres.setdefault(frozenset(ends), Fibre(*ends, round(metres / METRES_PER_KM, 6), loss_db))
    return nodes, list(fibres.values())


def _node_link_graph(record: Mapping[str, Any]) -> tuple[list[Node], list[Fibre]]:
    nodes = [node_from(str(node["id"]), node) for node in record["nodes"]]
    return nodes, [fibre_from(str(edge["source"]), str(edge["target"]), edge) for edge in _edges(record)]


def _each_once(
    record: Mapping[str, Any], fibres: list[Fibre], source: str, remark: Callable[[str], None]
) -> list[Fibre]:
    """Return the fibres without those that are written a second time.

    NetworkX writes an undirected edge once, and both edges of a directed graph; of a graph that is no multigraph no
    two nodes have more (``node_link_graph`` in its manual). A file that says neither, ``directed`` nor ``multigraph``,
    may have several of each.
    """
    is_directed, is_multigraph = record.get("directed") is True, record.get("multigraph")
    if not is_directed and is_multigraph is not False:
        return fibres
    if_two = "if they are two links, say 'multigraph': true"
    return each_once(fibres, is_multigraph=is_multigraph is True, source=source, if_two=if_two, remark=remark)


def _edges(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    edges: Sequence[Mapping[str, Any]] = record["links"] if "links" in record else record["edges"]
    return edges
