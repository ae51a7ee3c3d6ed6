"""What is foretold of links, in a world of key managers and a controller: pools are filled before, no order during."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from qanat.control.policy import Policy
from qanat.control.settings import ControllerSettings
from qanat.ground.errors import BadParameter
from qanat.ground.events import EventKind
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.orders import LinkForecast
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import KeyManager
from qanat.simulation.world import HASTY, World

A, R, B = (NodeId(name) for name in "arb")
AR = LinkId("a-r")
FIRST, OTHER = ["a", "r", "b"], ["a", "s", "t", "b"]
POLICY = Policy(look_ahead_s=600.0, demand_memory_s=60.0, foresight_margin=1.5)


def ring() -> Network:
    """a - r - b on the one side, a - s - t - b on the other."""
    sites = tuple(
        Site(name=name, kind="relay", latitude_deg=0, longitude_deg=place) for place, name in enumerate("abrst")
    )
    links = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=50)
        for one, other in ("ar", "rb", "as", "st", "tb")
    )
    applications = (Application(name="alice", site="a"), Application(name="bob", site="b"))
    return Network(format="qanat-network/1", name="ring", sites=sites, links=links, applications=applications)


NETWORK = ring()
ALICE, BOB = NETWORK.saes


@pytest.fixture
def world() -> Iterator[World]:
    settings = ControllerSettings(policy=POLICY, order_timeout_s=30.0, silent_after_s=1.0)
    patient = replace(HASTY, announce_s=1.0)
    world = World(NETWORK, chance=SeededChance(5), block_bits=12_000, settings=patient, controller_settings=settings)
    world.start()
    yield world
    world.close()
    assert world.witness.violations == []


def give(world: World) -> list[str]:
    """Ask once, and return the way of the key; an error of any kind is the test's."""
    ask = world.call(A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=1, patience_s=20.0))
    return list(world.run(ask).keys[0].route)


def rest(world: World, seconds: float) -> None:
    world.run(world.sleep(seconds), within_s=seconds + 1)


def manager_of(world: World, node: NodeId) -> KeyManager:
    manager = world._processes[node].manager
    assert manager is not None
    return manager


def foretell(world: World, *, in_s: float, for_s: float) -> None:
    """Have node a foretell that its link to r is out then."""
    manager = manager_of(world, A)
    now_s = manager._context.clock.utc_s()
    manager.foretell([LinkForecast(AR, now_s + in_s, now_s + in_s + for_s, 0)])


def orders_ended(world: World) -> int:
    events = (event for event in world.witness.events if event.kind is EventKind.ORDER_ENDED)
    return sum(event.data["link_id"] == AR for event in events)


def test_a_pool_is_filled_before_its_link_is_out_and_pays_for_all_that_is_asked_meanwhile(world: World) -> None:
    rest(world, 5.0)
    for _ in range(20):
        assert give(world) == FIRST
        rest(world, 2.0)
    before = orders_ended(world)
    foretell(world, in_s=60.0, for_s=60.0)
    rest(world, 60.0)
    filled = orders_ended(world)
    assert filled > before, "nobody has asked meanwhile"
    rest(world, 3.0)
    assert [give(world) for _ in range(2) if rest(world, 25.0) is None] == [FIRST] * 2
    assert orders_ended(world) == filled, "no order was given to a link that is out"


def test_a_demand_over_a_link_that_is_out_is_led_another_way_at_once(world: World) -> None:
    rest(world, 5.0)
    foretell(world, in_s=-1.0, for_s=600.0)
    rest(world, 3.0)
    assert give(world) == OTHER
    assert orders_ended(world) == 0


def test_what_is_foretold_is_foretold_anew(world: World) -> None:
    rest(world, 5.0)
    foretell(world, in_s=-1.0, for_s=600.0)
    rest(world, 3.0)
    manager_of(world, A).foretell([])
    rest(world, 3.0)
    assert give(world) == FIRST


def test_nobody_foretells_anything_of_the_links_of_others(world: World) -> None:
    rest(world, 1.0)
    with pytest.raises(BadParameter):
        manager_of(world, B).foretell([LinkForecast(AR, 0.0, 1.0, 0)])
