"""Which module serves which link of a node: one may reach several peers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from qanat.apps.networks import load_network
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import NodeId
from qanat.ground.orders import LinkCapability
from qanat.ground.ports import QKDModule
from qanat.key_management.links import Links


def test_a_module_that_reaches_several_peers_serves_all_their_links() -> None:
    network, relay = load_network("three-nodes"), NodeId("kunshan")
    can = {
        link.peer_of(relay): LinkCapability(link.link_id, expected_rate_bits_per_s=1.0, block_time_s=1.0)
        for link in network.links_of(relay)
    }

    def capability(peer: NodeId) -> LinkCapability:
        if peer not in can:
            raise UnknownNode(f"cannot reach {peer!r}")
        return can[peer]

    one = cast(QKDModule, SimpleNamespace(capability=capability))
    links = Links(node=relay, network=network, modules=[one])
    assert len(links.link_ids) == 2
    assert [links.module(link_id) for link_id in links.link_ids] == [one, one]
