"""Which module serves which link of a node: one may reach several peers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from types import SimpleNamespace
from typing import cast

from qanat.apps.networks import load_network
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link
from qanat.ground.orders import LinkCapability
from qanat.ground.ports import QKDModule
from qanat.key_management.links import Links

NETWORK, RELAY = load_network("three-nodes"), NodeId("kunshan")
LINKS = NETWORK.links_of(RELAY)


def module_of(*links: Link) -> QKDModule:
    can = {
        link.peer_of(RELAY): LinkCapability(link.link_id, expected_rate_bits_per_s=1.0, block_time_s=1.0)
        for link in links
    }

    def capability(peer: NodeId) -> LinkCapability:
        if peer not in can:
            raise UnknownNode(f"cannot reach {peer!r}")
        return can[peer]

    return cast(QKDModule, SimpleNamespace(capability=capability))


def served(modules: Sequence[QKDModule]) -> list[QKDModule | None]:
    links = Links(node=RELAY, network=NETWORK, modules=modules)
    return [links.module(link.link_id) for link in LINKS]


def test_a_module_that_reaches_several_peers_serves_all_their_links() -> None:
    assert len(LINKS) == 2
    one = module_of(*LINKS)
    assert served([one]) == [one, one]


def test_modules_serve_their_links_in_whatever_order_they_come_and_a_link_without_one_has_none() -> None:
    first, second, none = module_of(LINKS[0]), module_of(LINKS[1]), module_of()
    for modules in permutations([first, second, none]):
        assert served(modules) == [first, second]
    assert served([none, second]) == [None, second]
    assert served([]) == [None, None]
