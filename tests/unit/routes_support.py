"""The routes of keys in a network as its file describes it."""

from __future__ import annotations

from collections.abc import Mapping

from qanat.control.graph import Route
from qanat.control.routing import key_graph, policies_of_sites, widest_allowed_from
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network


def key_routes(network: Network, source: NodeId, *, rates_bits_per_s: Mapping[LinkId, float]) -> dict[NodeId, Route]:
    """Return the widest route from a site to every other that its ends allow."""
    return widest_allowed_from(key_graph(network, rates_bits_per_s), source, policies_of_sites(network))
