"""A ring of real sites behind real doors: keys that must not pass a relay, and what is answered where none can."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from interop.live import LiveNetwork, running_network, running_site
from interop.test_node_command import until
from qanat.apps.networks import load_network
from qanat.client import Client
from qanat.ground.errors import KeyShortage, RequirementUnmet
from qanat.ground.identifiers import NodeId
from qanat.ground.keys import SecretKey
from qanat.ground.network import network_yaml
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy

pytestmark = pytest.mark.campaign

RELAY = "northwest"
"""The relay that is killed: on the only way that keeps keys out of east."""
SHORT = tuple(map(NodeId, ("north", "east", "south")))
LONG = tuple(map(NodeId, ("north", "northwest", "southwest", "south")))
NOT_EAST = Requirements(policy=RoutePolicy.avoiding("east"))
INLAND = Requirements(policy=RoutePolicy(domestic_only=True))


def ring_with_regions(folder: Path) -> str:
    """Write the packaged ring with regions, east's being another, and return the path."""
    ring = load_network("five-site-ring")
    where = {"east": "coast"}
    sites = tuple(site.model_copy(update={"region": where.get(site.name, "inland")}) for site in ring.sites)
    path = folder / "ring.yaml"
    path.write_text(network_yaml(ring.model_copy(update={"sites": sites}), head="", comments={}), encoding="utf-8")
    return str(path)


def take(network: LiveNetwork, alice: Client, bob: Client, require: Requirements) -> Sequence[SecretKey]:
    """Take keys at both ends; raises KeyShortage, RequirementUnmet."""
    keys = alice.get_keys(network.sae("bob"), count=4, size_bits=256, require=require)
    mates = bob.get_keys_by_id(network.sae("alice"), [key.key_id for key in keys])
    for key, mate in zip(keys, mates, strict=True):
        assert key.take() == mate.take()
        assert key.routes == mate.routes
    return keys


def is_given(network: LiveNetwork, alice: Client, bob: Client, require: Requirements) -> bool:
    try:
        take(network, alice, bob, require)
    except KeyShortage:
        return False
    return True


def ways(keys: Sequence[SecretKey]) -> set[tuple[NodeId, ...]]:
    return {way for key in keys for way in key.routes}


def test_keys_keep_out_of_a_relay_and_are_refused_when_the_way_round_is_lost(tmp_path: Path) -> None:
    data, ring = tmp_path / "data", ring_with_regions(tmp_path)
    with (
        running_network(data, ring, apart=[RELAY]) as network,
        network.client("alice", patience_s=20) as alice,
        network.client("bob") as bob,
    ):
        with running_site(data, RELAY, ring) as relay:
            until(lambda: is_given(network, alice, bob, NOT_EAST), "keys go round")
            for require in (NOT_EAST, INLAND):
                assert ways(take(network, alice, bob, require)) == {LONG}
            assert ways(take(network, alice, bob, Requirements(measure="cheapest"))) == {SHORT}
            for policy, reason in (
                (RoutePolicy.avoiding("east", RELAY), f"every way passes one of 'east' (coast), '{RELAY}' (inland)"),
                (RoutePolicy(direct_only=True), "no QKD link joins the two"),
                (RoutePolicy.avoiding("eats"), "no site 'eats' is in this network: did you mean east"),
            ):
                with pytest.raises(RequirementUnmet) as refused:
                    take(network, alice, bob, Requirements(policy=policy))
                assert refused.value.remedy.startswith(reason)
                assert "not all extension_mandatory request options could be met" in refused.value.message
            alice.get_keys(network.sae("bob"), prefer=Requirements(policy=RoutePolicy(direct_only=True)))
            assert alice.unmet == ("qanat_direct_only",)
            relay.kill()
        until(lambda: not is_given(network, alice, bob, NOT_EAST), "the way round is known to be lost")
        for _ in range(3):
            assert ways(take(network, alice, bob, Requirements())) == {SHORT}
            with pytest.raises(KeyShortage):
                take(network, alice, bob, NOT_EAST)
        with running_site(data, RELAY, ring):
            until(lambda: is_given(network, alice, bob, NOT_EAST), "keys go round again")
            assert ways(take(network, alice, bob, NOT_EAST)) == {LONG}
