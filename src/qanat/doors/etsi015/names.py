"""What ETSI GS QKD 015 calls the parts of a network.

The standard wants UUIDs. They follow from the network's name and the part's own (UUID version 5, RFC 9562), so every
process works out the same ones, and a controller that restarts finds its nodes and links under the names they had.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

from qanat.ground.identifiers import LinkId, NodeId, SaePair
from qanat.ground.network import Network

OURS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:qanat")
"""The name space of all names here."""


def qkdn_id(network: Network, node: NodeId) -> str:
    """Return the UUID of a site's node; raises UnknownNode."""
    return _named(network, "qkdn", network.site(node).name)


def qkdl_id(network: Network, link_id: LinkId) -> str:
    """Return the UUID of a QKD link (PHYS): one for both ends. Raises UnknownNode."""
    return _named(network, "qkdl", network.link(link_id).name)


def route_qkdl_id(network: Network, route: Sequence[NodeId]) -> str:
    """Return the UUID of the link that a route is to its ends, the same from either: of two sites that of their QKD
    link (PHYS), of more that of a chain of relays (VIRT). Raises UnknownNode."""
    if len(route) == 2:
        return qkdl_id(network, network.link_between(*route).link_id)
    names = [network.site(node).name for node in route]
    return _named(network, "route", *min(names, names[::-1]))


def app_id(network: Network, pair: SaePair) -> str:
    """Return the UUID of what the standard calls an application: who asks for keys, and who shares them."""
    return _named(network, "app", pair.master, pair.slave)


def qkdi_id(network: Network, node: NodeId, link_id: LinkId) -> int:
    """Return the number of a module at a node: its link's place among those of the node, from 1 on, in file order.

    Raises UnknownNode when the link does not end there.
    """
    network.link(link_id).peer_of(node)
    return 1 + [link.link_id for link in network.links_of(node)].index(link_id)


def _named(network: Network, kind: str, *words: str) -> str:
    """Return a UUID; no word of a description has a blank, so different words never give the same text."""
    return str(uuid.uuid5(OURS, " ".join((network.name, kind, *words))))
