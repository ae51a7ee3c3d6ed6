"""Keys of shares where satellites join the stations: a satellite that announced key of both ways knows both shares."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from qanat.ground.errors import KeyShortage, RequirementUnmet
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaePair
from qanat.ground.network import Application, Downlink, Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.key_management import multipath
from qanat.key_management.links import RouteBook
from qanat.key_management.wire import RouteChoices
from qanat.simulation.campaign import run_seed
from qanat.simulation.world import World

BLOCK_BITS = 40_000
TWO = Requirements(disjoint_routes=2)
WEST, EAST = NodeId("west"), NodeId("east")


def two_stations_each(*seen: tuple[str, str]) -> Network:
    """Users west and east with two stations each, which satellites join alone. seen: satellite and station."""
    users = {"west": ("west-north", "west-south"), "east": ("east-north", "east-south")}
    named = [*users, *(station for stations in users.values() for station in stations)]
    sites = [
        Site(
            name=name,
            kind="user" if name in users else "relay",
            latitude_deg=40.0,
            longitude_deg=30.0 * name.startswith("east") + 0.3 * (name not in users),
        )
        for name in named
    ]
    sites += [
        Site.model_validate({"name": name, "kind": "satellite", "elements": "micius"})
        for name in dict.fromkeys(satellite for satellite, _ in seen)
    ]
    return Network(
        format="qanat-network/1",
        name="two-ways-up",
        sites=tuple(sites),
        links=tuple(
            Link(
                name=f"{user}-{station}",
                transmitter=user,
                receiver=station,
                system="backbone-625",
                loss_db=10,
                length_km=30,
            )
            for user, stations in users.items()
            for station in stations
        ),
        downlinks=tuple(Downlink(satellite=satellite, station=station) for satellite, station in seen),
        applications=(
            Application(name="alice", site="west"),
            Application(name="bob", site="east"),
            Application(name="anna", site="west"),
        ),
    )


ALL = ("west-north", "west-south", "east-north", "east-south")
ONE_BIRD = two_stations_each(*(("bird", station) for station in ALL))
TWO_BIRDS = two_stations_each(
    ("bird", "west-north"), ("bird", "east-north"), ("kite", "west-south"), ("kite", "east-south")
)


def a_world(network: Network) -> World:
    world = World(network, chance=SeededChance(1), block_bits=BLOCK_BITS)
    world.start()
    world.scheduler.run_until(world.scheduler.now_s + 60.0)
    return world


def ask(world: World, require: Requirements) -> Any:
    alice, bob, _ = world.network.saes
    call = world.call(
        WEST,
        lambda manager: manager.get_keys(
            master=alice, slave=bob, count=2, size_bits=256, require=require, patience_s=50.0
        ),
    )
    return world.run(call, within_s=60.0)


def tell_ways_that_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two ways told, as one would who does not know who announced their key."""
    honest = RouteBook.choices
    ways = (("west", "west-north", "east-north", "east"), ("west", "west-south", "east-south", "east"))

    def told(self: RouteBook, target: NodeId) -> RouteChoices:
        row = honest(self, target)
        return RouteChoices(target, tuple(tuple(map(NodeId, way)) for way in ways), row.detours, ())

    monkeypatch.setattr(RouteBook, "choices", told)


def test_two_ways_by_one_satellite_are_refused_and_the_satellite_is_named() -> None:
    world = a_world(ONE_BIRD)
    with pytest.raises(RequirementUnmet, match="from 'west' to 'east' there is 1") as refused:
        ask(world, TWO)
    assert refused.value.remedy is not None
    assert "every other way passes 'bird'" in refused.value.remedy
    assert "bird" in ask(world, Requirements()).keys[0].route, "one way there is"


def test_one_satellite_gives_all_of_its_stations_key_with_each_other() -> None:
    """Though west's two stations rise one after the other, they do not take all of each other's key."""
    world = a_world(ONE_BIRD)
    bits = Counter[str]()
    for event in world.witness.events:
        if event.kind is EventKind.KEY_ANNOUNCED:
            bits[str(event.data["link_id"])] += int(event.data["num_bits"])  # type: ignore[call-overload]
    assert len(bits) == 6, "pairs of four stations"
    assert max(bits.values()) < 2 * min(bits.values())


def test_two_ways_by_two_satellites_are_given_and_name_both() -> None:
    world = a_world(TWO_BIRDS)
    given = ask(world, TWO)
    aloft = {"bird", "kite"}
    for key in given.keys:
        assert {name for route in key.routes for name in aloft.intersection(route)} == aloft
        assert key.record.threshold == 2
    world.close(at_rest=True)
    assert not world.witness.violations


def test_ways_that_meet_at_a_satellite_are_neither_gone_nor_taken_in_whatever_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tell_ways_that_meet(monkeypatch)
    world = a_world(ONE_BIRD)
    with pytest.raises(RequirementUnmet, match="there is 1"):
        ask(world, TWO)
    monkeypatch.setattr("qanat.key_management.ways.those_apart", lambda routes, trusted: routes)
    world = a_world(ONE_BIRD)
    with pytest.raises(KeyShortage, match="meet at a relay"):
        ask(world, TWO)
    alice, bob, _ = world.network.saes
    assert not any(
        event.kind is EventKind.KEYS_RELAYED and len(event.data["routes"]) > 1  # type: ignore[arg-type]
        for event in world.witness.events
    )
    assert not [key for key in world.stores[EAST].disk.keys.values() if key.pair == SaePair(alice, bob)]


def test_the_witness_sees_who_knows_two_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    tell_ways_that_meet(monkeypatch)
    monkeypatch.setattr(multipath, "are_disjoint", lambda routes: True)
    world = a_world(ONE_BIRD)
    ask(world, TWO)
    world.close(at_rest=True)
    assert any("shows two of its shares to bird" in one for one in world.witness.violations)


@pytest.mark.slow
def test_no_seed_gives_a_satellite_two_shares() -> None:
    by_shares = 0
    for network in (ONE_BIRD, TWO_BIRDS):
        for seed in range(3):
            report = run_seed(seed, network=network, block_sizes_bits=(BLOCK_BITS, 2 * BLOCK_BITS))
            assert report.held, f"seed {seed}: {report.violations[:3]}"
            by_shares += report.keys_by_shares if network is TWO_BIRDS else 0
    assert by_shares, "no key of shares was given: try other seeds"
