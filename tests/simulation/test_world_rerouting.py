"""A ring whose first way fails, in each way that it can: keys go the other way without an error to the user."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from qanat.apps.networks import load_network
from qanat.ground.alarms import module_alarm
from qanat.ground.errors import KeyShortage, NodeSilent
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.network.description import Stock
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.key_management.manager import GivenKeys
from qanat.key_management.repeats import ANY
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import World

RING_LINKS = ("ar", "rb", "as", "st", "tb")
A, R, B = (NodeId(name) for name in "arb")
FIRST, OTHER = ["a", "r", "b"], ["a", "s", "t", "b"]


def ring() -> Network:
    """a - r - b on the one side, a - s - t - b on the other."""
    sites = tuple(
        Site(name=name, kind="relay", latitude_deg=0, longitude_deg=place) for place, name in enumerate("abrst")
    )
    links = tuple(
        Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=50)
        for one, other in RING_LINKS
    )
    applications = (Application(name="alice", site="a"), Application(name="bob", site="b"))
    return Network(format="qanat-network/1", name="ring", sites=sites, links=links, applications=applications)


NETWORK = ring()
ALICE, BOB = NETWORK.saes
RING = load_network("five-site-ring")
NORTH, EAST, SOUTH, SOUTHWEST, NORTHWEST = RING.nodes
USER_A, USER_B = RING.saes


@pytest.fixture
def world() -> Iterator[World]:
    world = World(NETWORK, chance=SeededChance(5), block_bits=6_000)
    world.start()
    yield world
    world.close()
    assert world.witness.violations == []


def give(world: World, *, count: int = 2, patience_s: float = 20.0, require: Requirements = ANY) -> GivenKeys:
    """Ask once; an error of any kind is the test's."""
    return world.run(
        world.call(
            A,
            lambda manager: manager.get_keys(
                master=ALICE, slave=BOB, count=count, size_bits=256, patience_s=patience_s, require=require
            ),
        )
    )


def rest(world: World, seconds: float) -> None:
    world.run(world.sleep(seconds), within_s=seconds + 1)


def route_of(given: GivenKeys) -> list[str]:
    return list(given.keys[0].route)


def same_at_both_ends(world: World, given: GivenKeys) -> bool:
    ids = [key.key_id for key in given.keys]
    there = world.run(world.call(B, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=ids)))
    return [key.secret.reveal() for key in there] == [key.secret.reveal() for key in given.keys]


def no_light(world: World, name: str) -> None:
    link = next(link for link in world.links if link.link.name == name)
    link._p_session_fails = lambda: 1.0


def light_again(world: World, name: str) -> None:
    link = next(link for link in world.links if link.link.name == name)
    link._p_session_fails = lambda: 0.0


def module(world: World, name: str, *, is_away: bool) -> None:
    """The process with both modules of a link dies, or is back."""
    link = next(link for link in world.links if link.link.name == name)
    raised = module_alarm("module-away", "the process does not answer", "start it", link.link.link_id)
    for end in link.modules.values():
        end.tell(raised if is_away else replace(raised, is_cleared=True))


def orders_to(world: World, link_id: str) -> int:
    """Return how many orders have been given to a link."""
    return sum(
        event.kind is EventKind.GENERATION_ORDERED and link_id in event.data["links"] for event in world.witness.events
    )


def alarms(world: World, code: str) -> list[dict[str, Any]]:
    events = (event for event in world.witness.events if event.kind is EventKind.ALARM)
    return [dict(event.data) for event in events if event.data["code"] == code]


def table_of(world: World, node: NodeId) -> list[str]:
    """Return the best way to b that the controller has told a node."""
    manager = world._processes[node].manager
    assert manager is not None
    return list(manager._context.routes.ways(B)[0])


@pytest.mark.parametrize(
    ("code", "text"), [("QberTooHigh", "QBER 11 % above 5 %"), ("device-unreachable", "the device does not answer")]
)
@pytest.mark.parametrize("name", ["a-r", "r-b"])
def test_a_link_that_makes_no_key_costs_the_user_no_error(world: World, code: str, text: str, name: str) -> None:
    """High error rate, or the line down: the module says so, its order ends without key, at the near or far hop."""
    no_light(world, name)
    link = next(link for link in world.links if link.link.name == name)
    for module in link.modules.values():
        module.tell(module_alarm(code, text, "look", link.link.link_id))
    given = give(world)
    assert route_of(given) == OTHER
    assert same_at_both_ends(world, given)
    told = alarms(world, code)
    assert [(row["severity"], row["text"]) for row in told] == [("critical", text)] * 2  # at each end, once


def test_a_relay_that_is_lost_costs_the_user_no_error_and_tables_lead_round_it(world: World) -> None:
    give(world)
    world.crash(R, down_s=30.0)
    given = give(world)
    assert route_of(given) == OTHER
    assert same_at_both_ends(world, given)
    rest(world, 15.0)
    assert table_of(world, A) == OTHER
    (lost,) = alarms(world, "node-silent")
    assert lost["of_node"] == R
    rest(world, 40.0)
    assert table_of(world, A) == FIRST
    assert [row.get("cleared", False) for row in alarms(world, "node-silent")] == [False, True]


def packaged_ring(stock: Stock) -> World:
    """The ring that comes with the package, under these rules of its stock, up for as long as idle time can need."""
    network = RING.model_copy(update={"stock": stock})
    world = World(network, chance=SeededChance(5), block_bits=1_200_000)
    world.start()
    asked = world.call(
        NORTH, lambda manager: manager.get_keys(master=USER_A, slave=USER_B, count=1, size_bits=256, patience_s=20.0)
    )
    assert world.run(asked).keys[0].route == (NORTH, EAST, SOUTH)
    rest(world, 60.0)
    return world


def first_call_without_the_relay(world: World) -> GivenKeys:
    """Ask as one does who would rather hear at once that there is no key, when the relay has just gone."""
    world.crash(EAST, down_s=60.0)
    ask = world.call(
        NORTH, lambda manager: manager.get_keys(master=USER_A, slave=USER_B, count=1, size_bits=256, patience_s=0.0)
    )
    return world.run(ask)


def test_the_packaged_ring_has_key_on_the_way_that_nobody_needed_before_a_relay_was_lost() -> None:
    world = packaged_ring(RING.stock)
    given = first_call_without_the_relay(world)
    assert given.keys[0].route == (NORTH, NORTHWEST, SOUTHWEST, SOUTH)
    world.close()
    bare = packaged_ring(Stock())
    with pytest.raises(KeyShortage):
        first_call_without_the_relay(bare)
    bare.close()
    assert world.witness.violations == bare.witness.violations == []


def test_a_pool_that_runs_dry_on_one_way_is_passed_by_where_the_other_has_stock(world: World) -> None:
    give(world, require=Requirements(disjoint_routes=2))  # makes a block on every hop of both
    for one, other in RING_LINKS:
        no_light(world, f"{one}-{other}")
    routes = [route_of(give(world, patience_s=2.0))]
    while routes[-1] == FIRST:
        routes.append(route_of(give(world, patience_s=2.0)))
    assert routes[0] == FIRST
    assert routes[-1] == OTHER


def test_where_no_way_is_left_the_user_is_told_to_ask_again_and_what_to_mend(world: World) -> None:
    no_light(world, "r-b")
    no_light(world, "t-b")
    remedies = []
    for _ in range(8):
        with pytest.raises(KeyShortage) as told:
            give(world, patience_s=30.0)
        assert told.value.retry_after_s >= 1.0
        remedies.append(told.value.remedy)
        rest(world, 6.0)
    assert any("nothing joins 'a' and 'b' now" in text and "enough would be to mend" in text for text in remedies)


def test_a_module_that_is_away_is_told_at_once_at_its_site_and_at_the_controller(world: World) -> None:
    module(world, "r-b", is_away=True)
    no_light(world, "r-b")
    rest(world, 2.0)
    assert [row.get("cleared", False) for row in alarms(world, "module-away")] == [False] * 3  # r, b, the controller
    assert {row["link_id"] for row in alarms(world, "module-away")} == {"r-b"}
    before = orders_to(world, "r-b")
    assert route_of(give(world)) == OTHER
    rest(world, 10.0)
    assert table_of(world, A) == OTHER
    assert orders_to(world, "r-b") == before  # it is not tried in vain
    module(world, "r-b", is_away=False)
    rest(world, 5.0)
    assert [row.get("cleared", False) for row in alarms(world, "module-away")] == [False] * 3 + [True] * 3
    assert alarms(world, "link-failing") == []


@pytest.mark.parametrize("is_asked_for", [True, False])
@pytest.mark.parametrize("require", [ANY, Requirements(max_hops=2)], ids=["any way", "this way alone"])
def test_a_link_whose_module_is_back_is_tried_at_once(require: Requirements, is_asked_for: bool) -> None:
    """Neither its rest after failed orders nor what its users remember of it holds it up: by the times of a true site,
    a minute and a quarter of one."""
    world = World(NETWORK, chance=SeededChance(5), block_bits=6_000, settings=KeyManagerSettings())
    world.start()
    no_light(world, "r-b")
    for _ in range(6):
        rest(world, 16.0)
        with pytest.raises(KeyShortage):
            give(world, require=Requirements(max_hops=2), patience_s=30.0)
    rest(world, 16.0 if is_asked_for else 0.0)
    module(world, "r-b", is_away=True)
    rest(world, 2.0 if is_asked_for else 7.0)
    if is_asked_for:
        with pytest.raises(KeyShortage, match="does not answer"):
            give(world, require=Requirements(max_hops=2))
    light_again(world, "r-b")
    module(world, "r-b", is_away=False)
    rest(world, 7.0)
    assert route_of(give(world, require=require, patience_s=2.0)) == FIRST
    world.close()
    assert world.witness.violations == []


def test_a_link_whose_module_is_back_makes_one_block_though_nobody_asks(world: World) -> None:
    """So it is seen, and its alarms end, while stock suffices."""
    give(world, require=Requirements(max_hops=2))
    module(world, "r-b", is_away=True)
    rest(world, 5.0)
    made = len(made_on(world, "r-b"))
    module(world, "r-b", is_away=False)
    rest(world, 30.0)
    assert len(made_on(world, "r-b")) == made + 1


def made_on(world: World, link_id: str) -> list[Any]:
    """Return the blocks that a link has made, at one of its ends."""
    blocks = [event for event in world.witness.events if event.kind is EventKind.BLOCK_STORED and event.node == R]
    return [event for event in blocks if dict(event.data)["link_id"] == link_id]


def test_where_a_relay_of_each_way_is_lost_both_are_named_and_either_is_enough(world: World) -> None:
    give(world)
    for relay in (R, NodeId("s"), NodeId("t")):
        world.crash(relay, down_s=60.0)
    with pytest.raises(NodeSilent) as told:
        give(world, count=20)
    assert "'r', a node on the way, does not answer 'a'" in told.value.message
    assert "'s', a node on the way, does not answer 'a'" in told.value.message
    assert "bring the key manager of 'r', or 's' up again, look at the line to it, or renew" in told.value.remedy


def counted(world: World) -> tuple[int, int]:
    """Return how many keys the status of alice's counts, and how many of them lie ready."""
    status = world.run(world.call(A, lambda manager: manager.get_status(master=ALICE, slave=BOB)))
    return status.stored_key_count, status.ready_key_count


def test_the_status_counts_no_key_on_ways_known_to_be_dead(world: World) -> None:
    give(world, require=Requirements(disjoint_routes=2))  # makes a block on every hop of both
    rest(world, 10.0)
    assert counted(world)[0] > 0
    world.crash(R, down_s=90.0)
    rest(world, 15.0)
    assert counted(world)[0] > 0  # the other way lives
    world.crash(NodeId("s"), down_s=90.0)
    with pytest.raises(KeyShortage):
        give(world, count=40)
    assert counted(world) == (0, 0)  # known by the silence that a batch met with
    rest(world, 15.0)
    assert counted(world) == (0, 0)  # and then by the controller, which does not hear of them either
    rest(world, 90.0)
    assert counted(world)[0] > 0


def test_the_status_counts_again_once_a_link_that_failed_is_well_though_nobody_has_asked(world: World) -> None:
    give(world, require=Requirements(disjoint_routes=2))  # makes a block on every hop of both
    for last in ("r-b", "t-b"):
        no_light(world, last)
    with contextlib.suppress(KeyShortage):
        while True:
            give(world)
    assert counted(world) == (0, 0)
    for last in ("r-b", "t-b"):
        light_again(world, last)
    rest(world, 90.0)
    assert counted(world)[0] > 0


def test_a_link_that_fails_is_told_once_avoided_and_tried_again(world: World) -> None:
    no_light(world, "r-b")
    no_light(world, "t-b")
    for _ in range(8):
        with pytest.raises(KeyShortage):
            give(world, patience_s=30.0)
        rest(world, 6.0)
    failing = [row["link_id"] for row in alarms(world, "link-failing")]
    assert sorted(failing) == sorted({*failing})
    assert "t-b" in {link.link.name for link in world.links if link.link.link_id in failing}
    light_again(world, "r-b")
    light_again(world, "t-b")
    rest(world, 300.0)
    for _ in range(20):
        give(world)
    rest(world, 20.0)
    assert any(row.get("cleared") for row in alarms(world, "link-failing"))
