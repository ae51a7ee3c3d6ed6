"""Relays that are opened by whoever calls them: they get the time that takes, and one that is dead gets none of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from qanat.ground.errors import KeyShortage
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys
from qanat.simulation.world import HASTY, World

A, R, B = (NodeId(name) for name in "arb")
FIRST, OTHER = ["a", "r", "b"], ["a", "s", "t", "b"]
SETTINGS = replace(HASTY, cut_route_pause_s=5.0, wake_patience_s=10.0)
"""A way on which a node is silent is closed for as long as in service."""
LONG_S = 2.5
"""So long a site takes to be opened on a machine with much to do: longer than a silent neighbour is waited for."""


def ring(links: tuple[str, ...] = ("ar", "rb", "as", "st", "tb")) -> Network:
    """a - r - b on the one side, a - s - t - b on the other."""
    sites = tuple(
        Site(name=name, kind="relay", latitude_deg=0, longitude_deg=place) for place, name in enumerate("abrst")
    )
    links_ = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=50)
        for one, other in links
    )
    applications = (Application(name="alice", site="a"), Application(name="bob", site="b"))
    return Network(format="qanat-network/1", name="ring", sites=sites, links=links_, applications=applications)


NETWORK = ring()
ALICE, BOB = NETWORK.saes


class Worlds:
    """Makes worlds, and sees at the end that nothing was violated in them."""

    def __init__(self) -> None:
        self.made: list[World] = []

    def world(self, sleepers: Mapping[NodeId, float]) -> World:
        world = World(NETWORK, chance=SeededChance(7), block_bits=6_000, settings=SETTINGS, sleepers=sleepers)
        self.made.append(world)
        world.start()
        return world


@pytest.fixture
def worlds() -> Iterator[Worlds]:
    worlds = Worlds()
    yield worlds
    for world in worlds.made:
        world.close()
        assert world.witness.violations == []


def ask(world: World) -> GivenKeys:
    """Ask once, with the patience of one call."""
    return world.run(
        world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=2, patience_s=20.0)),
        within_s=60.0,
    )


def seconds_of(world: World) -> tuple[GivenKeys, float]:
    began_s = world.scheduler.now_s
    return ask(world), world.scheduler.now_s - began_s


@pytest.mark.parametrize("sleepers", [(R,), (R, B), (B,), ("s", "t", R, B)])
def test_relays_that_take_long_to_be_opened_cost_no_error_and_no_detour(
    worlds: Worlds, sleepers: tuple[str, ...]
) -> None:
    world = worlds.world({NodeId(node): LONG_S for node in sleepers})
    assert list(ask(world).keys[0].route) == FIRST
    assert not [event for event in world.witness.events if event.kind == "relay-failed"]


def test_a_relay_that_never_opens_is_given_up_and_the_other_way_taken(worlds: Worlds) -> None:
    world = worlds.world({R: 1e6})
    given, took_s = seconds_of(world)
    assert list(given.keys[0].route) == OTHER
    assert took_s > SETTINGS.wake_patience_s


def test_a_relay_that_is_dead_is_noticed_as_soon_as_ever(worlds: Worlds) -> None:
    world = worlds.world({})
    ask(world)
    world.crash(R, down_s=60.0)
    given, took_s = seconds_of(world)
    assert list(given.keys[0].route) == OTHER
    assert took_s < 5.0


def test_two_ends_that_only_a_dead_relay_joins_are_told_so(worlds: Worlds) -> None:
    world = worlds.world({})
    ask(world)
    for node in (R, NodeId("s")):
        world.crash(node, down_s=60.0)
    with pytest.raises(KeyShortage):
        world.run(world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=2)))
