"""Links through switches on a virtual clock: light only where switches stand, and who may have which key."""

from __future__ import annotations

import pytest

from qanat.control.settings import ControllerSettings
from qanat.ground.errors import KeyShortage, LinkFailed, NoDirectLink
from qanat.ground.events import EventKind, chain
from qanat.ground.identifiers import CONTROLLER, EventId, NodeId, RequestId
from qanat.ground.keys import PoolId
from qanat.ground.messages import Message
from qanat.ground.network import Network, parse_network
from qanat.ground.randomness import SeededChance
from qanat.key_management.links import RouteBook
from qanat.key_management.wire import RouteChoices, Routes
from qanat.simulation.campaign import run_seed
from qanat.simulation.world import World, at_once
from simulation.switched_network import (
    D1,
    D2,
    DIRK,
    DORA,
    NETWORK,
    ROSE,
    TEXT,
    UDO,
    URSULA,
    WILLI,
    R,
    W,
    fetch,
    give,
    new_world,
    secrets,
)
from simulation.test_world_requests import close, count_of, whys


def kinds(world: World, last: EventId) -> list[str]:
    return [event.kind.value for event in chain(world.witness.events, last)]


# ---- the switches ----


def test_a_switch_turns_between_the_route_and_the_order_and_says_for_whom() -> None:
    world = new_world()
    given = give(world, DORA, DIRK, request_id=RequestId("one"))
    assert fetch(world, given, DIRK) == secrets(given)
    steps = kinds(world, given.event_id)
    at = steps.index("switch-turned")
    assert steps[at - 1 : at + 2] == ["generation-route-found", "switch-turned", "generation-ordered"]
    (turned,) = (event for event in world.witness.events if event.kind is EventKind.SWITCH_TURNED)
    assert turned.request_id == "one"
    assert turned.data["link_id"] == "d1--d2"
    assert turned.data["switches"] == ["s1: 2 with 4", "s2: 3 with 1"], "trunks come after the sites' ports"
    close(world)


def test_a_link_that_the_switches_stand_for_needs_no_turn() -> None:
    world = new_world()
    give(world, DORA, DIRK)
    give(world, DORA, DIRK, count=128, size_bits=512)  # more than the stock
    assert count_of(world, EventKind.SWITCH_TURNED) == 1
    assert count_of(world, EventKind.GENERATION_ORDERED) == 2
    close(world)


@pytest.mark.slow
def test_no_light_is_lost_when_many_pairs_ask_for_the_same_ports_at_once() -> None:
    """A link whose switch was turned away while it ran would say so."""
    world = new_world()
    pairs = [(DORA, DIRK), (URSULA, UDO), (URSULA, ROSE), (DORA, ROSE), (UDO, DORA), (WILLI, URSULA)]
    given: list[int] = []

    async def ask(place: int) -> None:
        master, slave = pairs[place]
        node = world.network.site_of(master).node
        for _ in range(4):
            await world.call(
                node,
                lambda manager: manager.get_keys(master=master, slave=slave, count=20, size_bits=512, patience_s=300.0),
            )
        given.append(place)

    for place in range(len(pairs)):
        world.spawn(ask(place), name=f"pair {place}")
    world.scheduler.run_until(600.0, until=lambda: len(given) == len(pairs))
    assert sorted(given) == list(range(len(pairs)))
    assert "no light" not in whys(world, EventKind.ORDER_ENDED)
    assert count_of(world, EventKind.SWITCH_TURNED) > 5
    close(world)


def test_a_switch_that_does_not_turn_fails_its_orders_with_an_alarm_and_the_others_go_on() -> None:
    world = new_world()
    world.stuck_switches["s2"] = "the motor does not move"
    with pytest.raises(LinkFailed, match="switch 's2' did not come to join ports 3 and 1: the motor does not move"):
        give(world, DORA, DIRK)
    alarms = [event.data for event in world.witness.events if event.kind is EventKind.ALARM]
    assert {(alarm["code"], alarm["severity"], alarm["link_id"]) for alarm in alarms} == {
        ("switch-failed", "critical", "d1--d2")
    }
    given = give(world, URSULA, ROSE)
    assert fetch(world, given, ROSE) == secrets(given)
    close(world)


def test_what_is_asked_while_a_switch_is_stuck_is_given_once_it_turns_again() -> None:
    world = new_world()
    world.stuck_switches["s1"] = "no power"
    with pytest.raises(LinkFailed):
        give(world, DORA, ROSE)
    world.stuck_switches.clear()
    world.run(world.sleep(70.0), within_s=80.0)
    assert fetch(world, give(world, DORA, ROSE), ROSE)
    close(world)


def test_a_controller_that_comes_back_leaves_running_orders_their_light() -> None:
    """It has forgotten which ports are in use, and for two seconds no word comes of who uses them; till it may know, it
    turns no switch."""
    world = new_world()
    give(world, DORA, DIRK)
    done: list[str] = []

    async def ask(master: str, slave: str) -> None:
        node = world.network.site_of(NETWORK.sae(master)).node
        await world.call(
            node,
            lambda manager: manager.get_keys(
                master=NETWORK.sae(master), slave=NETWORK.sae(slave), count=128, size_bits=256, patience_s=200.0
            ),
        )
        done.append(master)

    world.spawn(ask("dora", "dirk"), name="first")
    world.scheduler.run_until(20.0, until=lambda: count_of(world, EventKind.GENERATION_ORDERED) == 2)
    world.run(world.sleep(0.1))
    until_s = world.scheduler.now_s + 2.0

    def line(sender: NodeId, receiver: NodeId, message: Message) -> Message | None:
        is_lost = world.scheduler.now_s < until_s and sender in (D1, D2) and receiver == CONTROLLER
        return None if is_lost else message

    world.line = line
    world.crash(CONTROLLER, down_s=0.1)
    world.spawn(ask("rose", "dora"), name="second")
    world.scheduler.run_until(300.0, until=lambda: len(done) == 2)
    assert sorted(done) == ["dora", "rose"]
    assert "no light" not in whys(world, EventKind.ORDER_ENDED)
    close(world)


def test_a_site_that_says_nothing_keeps_the_switches_only_for_a_while() -> None:
    world = World(NETWORK, chance=SeededChance(1), controller_settings=ControllerSettings(read_back_s=8.0))
    world.line = lambda sender, _receiver, message: None if sender == "u2" else message
    world.start()
    given = give(world, DORA, DIRK)
    assert fetch(world, given, DIRK) == secrets(given)
    close(world)


@pytest.mark.slow
def test_over_switches_all_invariants_hold_under_all_faults() -> None:
    network = three_applications()
    for seed in range(4):
        report = run_seed(seed, network=network)
        assert report.violations == [], f"seed {seed}"
        assert report.keys_fetched


def three_applications() -> Network:
    text = "\n".join(line for line in TEXT.splitlines() if not any(name in line for name in ("rose", "willi", "dirk")))
    return parse_network(text.replace(", direct_keys_only: true", ""), source="three.yaml")


def test_in_idle_time_all_links_are_filled_and_the_switches_turn_for_that() -> None:
    text = TEXT.replace("links:\n", "stock: {link_key_idle_bits: 20000}\nlinks:\n", 1)
    world = new_world(parse_network(text, source="idle.yaml"))
    world.run(world.sleep(120.0), within_s=130.0)
    for link in world.network.links:
        for end in link.ends:
            store = world.stores[end]
            pool = at_once(store.levels())[PoolId(link.link_id, end)]
            assert 20_000 <= pool.available_bits <= 40_000, link.name
    assert "no light" not in whys(world, EventKind.ORDER_ENDED)
    assert count_of(world, EventKind.GENERATION_ORDERED) == 0, "nobody has asked"
    orders = count_of(world, EventKind.ORDER_ENDED)
    world.run(world.sleep(30.0))
    assert count_of(world, EventKind.ORDER_ENDED) == orders, "and what is full is left alone"
    close(world)


# ---- direct keys only ----


def test_a_user_of_direct_keys_only_gets_keys_over_one_link_and_no_others() -> None:
    world = new_world()
    assert [key.route for key in give(world, DORA, DIRK).keys] == [("d1", "d2")] * 2
    assert [key.route for key in give(world, DORA, ROSE).keys] == [("d1", "r")] * 2, "the relay itself is the other end"
    refused = "no QKD link joins 'd1' and 'w', and 'd1' takes keys over no relay"
    with pytest.raises(NoDirectLink, match=refused):
        give(world, DORA, WILLI)
    with pytest.raises(NoDirectLink, match="no QKD link joins 'w' and 'd2', and 'd2' takes"):
        give(world, WILLI, DIRK)
    status = world.run(world.call(D1, lambda manager: manager.get_status(master=DORA, slave=WILLI)))
    assert (status.stored_key_count, status.ready_key_count) == (0, 0)
    assert refused in status.refusal
    status = world.run(world.call(D1, lambda manager: manager.get_status(master=DORA, slave=DIRK)))
    assert status.refusal == ""
    with pytest.raises(NoDirectLink):
        give(world, DORA, DIRK, more_slaves=[WILLI])
    assert [key.route for key in give(world, URSULA, WILLI).keys] == [("u1", "r", "q", "w")] * 2
    close(world)


def test_a_direct_link_is_taken_however_narrow_it_is() -> None:
    """By width the way over the relay would be taken."""
    text = TEXT.replace("{site: d2, loss_db: 1,", "{site: d2, loss_db: 12,")
    text = text.replace(
        "  - {name: r-q,",
        "  - {name: r-d2, transmitter: r, receiver: d2, system: metro-40-i, loss_db: 1, length_km: 3}\n  - {name: r-q,",
    )
    world = new_world(parse_network(text, source="narrow.yaml"))
    assert {key.route for key in give(world, DORA, DIRK).keys} == {("d1", "d2")}
    close(world)


def test_key_managers_relay_no_such_key_whatever_the_controller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that leads over a relay: the origin does not take it, and where the origin does, the relay refuses."""
    world = new_world()
    give(world, DORA, ROSE)  # there is key on the way, so that nobody need ask the controller for any
    over_the_relay: Routes = (("d1", "r", "q", "w"),)  # type: ignore[assignment]
    real = RouteBook.key_route
    monkeypatch.setattr(
        RouteBook, "key_route", lambda book, target: over_the_relay[0] if target == W else real(book, target)
    )
    monkeypatch.setattr(RouteBook, "choices", lambda _self, target: RouteChoices(target, over_the_relay, (), ()))
    with pytest.raises(NoDirectLink):
        give(world, DORA, WILLI)
    for module in ("admission", "ways"):
        monkeypatch.setattr(f"qanat.key_management.{module}.require_link", lambda *_: None)
    monkeypatch.setattr("qanat.key_management.ways.as_ends_have_it", lambda _network, ways: ways)
    with pytest.raises(KeyShortage, match="came on a way over relays"):
        give(world, DORA, WILLI)
    failed = [event.data for event in world.witness.events if event.kind is EventKind.RELAY_FAILED]
    assert {row["node_at_fault"] for row in failed if "node_at_fault" in row} == {R}
    assert not world.stores[W].disk.keys
    close(world)


def test_the_controller_orders_no_key_for_a_way_over_relays_to_such_a_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qanat.key_management.admission.require_link", lambda *_: None)
    monkeypatch.setattr("qanat.key_management.ways.require_link", lambda *_: None)
    monkeypatch.setattr("qanat.key_management.ways.as_ends_have_it", lambda _network, ways: ways)
    real = RouteBook.key_route

    def key_route(self: RouteBook, target: NodeId) -> tuple[NodeId, ...]:
        return (D1, R, NodeId("q"), W) if target == W else real(self, target)

    monkeypatch.setattr(RouteBook, "key_route", key_route)
    world = new_world()
    with pytest.raises(KeyShortage, match="no QKD link joins the two"):
        give(world, DORA, WILLI)
    assert count_of(world, EventKind.GENERATION_ROUTE_FOUND) == 0
    close(world)
