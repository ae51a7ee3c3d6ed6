"""A satellite that stores two stations' keys and announces their sum: in World, with everything that can go wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.errors import KeyShortage
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import BlockId, LinkId, NodeId, SaeId
from qanat.ground.keys import KeyBlock, PoolId, SecretBytes
from qanat.ground.messages import Message
from qanat.ground.network import network_yaml, parse_network
from qanat.ground.orders import LinkForecast
from qanat.ground.randomness import SeededChance
from qanat.ground.requirements import Requirements
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.accounts import batch_costs_bits
from qanat.key_management.codec import kind_of
from qanat.key_management.demands import LONGEST_WAIT_S
from qanat.key_management.wire import KeyAnnounced
from qanat.simulation.campaign import Report, run_seed
from qanat.simulation.faults import ALL_FAULTS
from qanat.simulation.world import World
from simulation.satellite_network import satellite_network

BIRD, WEST, EAST = NodeId("bird"), NodeId("west-station"), NodeId("east-station")
PAIR = LinkId("east-station-west-station-by-bird")
ROUTE = ("west", "west-station", "bird", "east-station", "east")
FIRST = LinkId("bird-west-station")
BLOCK_BITS = 40_000


def a_world(seed: int = 1) -> World:
    world = World(satellite_network(), chance=SeededChance(seed), block_bits=BLOCK_BITS)
    world.start()
    return world


def told(world: World, kind: EventKind) -> list[Event]:
    return [event for event in world.witness.events if event.kind is kind]


def run_until(world: World, seconds: float) -> None:
    world.scheduler.run_until(world.scheduler.now_s + seconds)


def pair_bits(world: World, station: NodeId) -> dict[tuple[Any, Any], bytes]:
    """All bits of the pair's blocks that lie at a station, by block and pool."""
    return {
        (block_id, pool): share.secret.reveal()
        for block_id, block in world.stores[station].disk.blocks.items()
        if block.link_id == PAIR and block.confirmed
        for pool, share in block.shares.items()
    }


def ask(world: World, **wish: Any) -> Any:
    alice, bob = (SaeId(f"urn:qanat:by-satellite:sae:app{number}") for number in (0, 1))
    call = world.call(
        NodeId("west"), lambda manager: manager.get_keys(master=alice, slave=bob, patience_s=50.0, **wish)
    )
    return world.run(call, within_s=60.0)


def test_two_stations_share_what_the_satellite_has_announced_to_the_bit() -> None:
    world = a_world()
    run_until(world, 40.0)
    west, east = pair_bits(world, WEST), pair_bits(world, EAST)
    assert west
    assert west == east
    for event in told(world, EventKind.KEY_ANNOUNCED):
        assert event.data["route"] == [EAST, BIRD, WEST]
        assert event.data["qkd_bits"] == 2 * (event.data["num_bits"] + MESSAGE_KEY_BITS)
        assert all(event.data["blocks"]), "it names the blocks that it took its bits from"
    world.close(at_rest=True)
    assert not world.witness.violations


def test_each_announcement_is_made_once_and_opened_once_at_each_station() -> None:
    world = a_world()
    run_until(world, 40.0)
    made = Counter(str(event.data["block_id"]) for event in told(world, EventKind.KEY_ANNOUNCED))
    opened = Counter((event.node, str(event.data["block_id"])) for event in told(world, EventKind.ANNOUNCEMENT_OPENED))
    assert set(made.values()) == set(opened.values()) == {1}
    assert {block for _, block in opened} == set(made)
    assert {node for node, _ in opened} == {WEST, EAST}


def test_keys_over_the_satellite_name_it_and_pay_for_both_of_its_links() -> None:
    world = a_world()
    given = ask(world, count=2, size_bits=128)
    for key in given.keys:
        assert key.route == ROUTE
        assert key.record.hops == 4
        assert key.record.threshold == 1
    assert sum(key.qkd_bits_spent for key in given.keys) == batch_costs_bits(count=2, size_bits=128, hops=4)


def test_key_that_a_satellite_brings_after_a_shortage_is_given_though_its_link_is_foretold_to_be_out() -> None:
    world = a_world()
    run_until(world, 40.0)
    manager = world._processes[WEST].manager
    assert manager is not None
    now_s = manager._context.clock.utc_s()
    manager.foretell([LinkForecast(PAIR, now_s, now_s + 10_000.0, 0)])
    run_until(world, 10.0)

    def use_up(count: int) -> None:
        while True:
            ask(world, count=count, size_bits=256)

    for count in (16, 1):
        with pytest.raises(KeyShortage, match="as was foretold") as refused:
            use_up(count)
        assert refused.value.retry_after_s == LONGEST_WAIT_S  # nobody is told to stay away for longer
    run_until(world, 2 * manager._context.settings.refused_retry_s)
    assert [key.route for key in ask(world, count=1, size_bits=256).keys] == [ROUTE]


def test_who_is_refused_until_a_pass_is_told_to_come_back_then_and_is_not_refused_then_for_what_was_before() -> None:
    world = a_world()
    manager = world._processes[WEST].manager
    assert manager is not None
    clock, longest_s = manager._context.clock, manager._context.settings.refused_retry_s
    run_until(world, 40.0)
    rise_s = clock.utc_s() + 0.6 * longest_s
    manager.foretell([LinkForecast(PAIR, clock.utc_s(), rise_s, 0)])
    run_until(world, 0.2)
    with pytest.raises(KeyShortage, match="as was foretold") as refused:
        ask(world, count=7, size_bits=65_536)
    assert refused.value.retry_after_s == pytest.approx(max(1.0, rise_s - clock.utc_s()), abs=0.5)
    run_until(world, refused.value.retry_after_s + 0.1)
    with pytest.raises(KeyShortage) as later:
        ask(world, count=7, size_bits=65_536)
    assert "as was foretold" not in str(later.value)


def test_who_would_have_keys_avoid_the_satellite_is_given_none() -> None:
    world = a_world()
    require = Requirements(policy=RoutePolicy(frozenset({BIRD})))
    with pytest.raises(Exception, match="no way from 'west' to 'east'") as refused:
        ask(world, count=1, size_bits=128, require=require)
    assert "bird" in refused.value.remedy  # type: ignore[attr-defined]


class _Shifted:
    """Entropy of a downlink whose blocks all differ by the same bits from what they would be."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        data = self._inner.secret_bytes(num_bytes).reveal()
        return SecretBytes(bytes(byte ^ 0xFF for byte in data) if num_bytes == BLOCK_BITS // 8 else data)

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._inner.public_bytes(num_bytes)  # type: ignore[no-any-return]


def seen_on_the_ground(*, is_shifted: bool) -> tuple[list[Any], dict[Any, bytes]]:
    """All that is said in a world where nobody asks for keys, without tags, and what the stations then share."""
    world = World(satellite_network(), chance=SeededChance(5), block_bits=BLOCK_BITS)
    for link in world.links:
        if is_shifted and link.link.kind == "downlink":
            link._entropy = _Shifted(link._entropy)
    said: list[Any] = []

    def listen(sender: NodeId, receiver: NodeId, message: Message) -> Message:
        fields = dict(message.fields)
        if message.kind == kind_of(KeyAnnounced):
            fields["parts"] = [{**part, "tag": ""} for part in fields["parts"]]  # type: ignore[arg-type, union-attr, dict-item]
        said.append((sender, receiver, message.kind, fields, message.body))
        return message

    world.line = listen
    world.start()
    run_until(world, 30.0)
    return said, pair_bits(world, WEST)


def test_whatever_the_key_is_the_same_is_said_of_it() -> None:
    """Two worlds in which the stations share keys that differ in every bit, and in which everybody on the ground but
    the two stations hears and holds the same: so nobody else can tell which key it is. (Tags differ: each is under bits
    of its own that serve nothing else.)"""
    said, shared = seen_on_the_ground(is_shifted=False)
    said_too, shared_too = seen_on_the_ground(is_shifted=True)
    assert said == said_too
    assert any(kind == kind_of(KeyAnnounced) for _, _, kind, _, _ in said)
    assert shared.keys() == shared_too.keys() != set()
    for what, bits in shared.items():
        assert bytes(byte ^ 0xFF for byte in bits) == shared_too[what]


def test_a_satellite_that_dies_with_an_announcement_made_says_it_after_its_restart() -> None:
    world = a_world()
    world.line = lambda _from, _to, message: None if message.kind == kind_of(KeyAnnounced) else message
    run_until(world, 25.0)
    made = {str(event.data["block_id"]) for event in told(world, EventKind.KEY_ANNOUNCED)}
    assert made
    world.crash(BIRD, down_s=3.0)
    world.line = lambda _from, _to, message: message
    run_until(world, 30.0)
    opened = Counter(str(event.data["block_id"]) for event in told(world, EventKind.ANNOUNCEMENT_OPENED))
    assert {opened[block] for block in made} == {2}
    assert pair_bits(world, WEST) == pair_bits(world, EAST)
    assert not world.witness.violations


def test_a_satellite_killed_between_two_passes_keeps_both_stocks() -> None:
    world = a_world()
    world.scheduler.run_until(5.0)  # the first pass is over, nothing can have been announced
    levels = world.run(world.stores[BIRD].levels())
    stock = {pool: levels[pool].available_bits for node in (BIRD, WEST) for pool in [PoolId(FIRST, node)]}
    assert all(stock.values())
    world.crash(BIRD, down_s=1.0)
    run_until(world, 8.5)
    announced = sum(int(event.data["num_bits"]) for event in told(world, EventKind.KEY_ANNOUNCED))  # type: ignore[call-overload]
    assert announced == sum(stock.values()) - 2 * MESSAGE_KEY_BITS


def crash_when_kept(world: World, *stations: NodeId) -> dict[NodeId, BlockId]:
    """Have each of these stations die at the moment at which its first announced block is durable, before it can say so
    to anybody; return the blocks, once they are."""
    kept: dict[NodeId, BlockId] = {}
    added = world.witness.block_added

    def watch(node: NodeId, block: KeyBlock) -> None:
        added(node, block)
        if node in stations and node not in kept and block.link_id == PAIR:
            kept[node] = block.block_id
            world.scheduler.call_after(0.0, lambda: world.crash(node, down_s=0.5))

    world.witness.block_added = watch  # type: ignore[method-assign]
    return kept


def check_kept_once(world: World, blocks: Collection[BlockId]) -> None:
    """Each of these blocks counts at both stations, is of the same bits, and was lost and voided nowhere."""
    assert blocks
    for station in (WEST, EAST):
        held = world.stores[station].disk.blocks
        assert all(held[block].confirmed and not held[block].voided for block in blocks)
    assert pair_bits(world, WEST) == pair_bits(world, EAST)
    assert not told(world, EventKind.ANNOUNCEMENT_LOST)
    world.close(at_rest=True)
    assert not world.witness.violations


@pytest.mark.parametrize("stations", [(WEST,), (EAST,), (WEST, EAST)])
def test_a_station_that_dies_as_it_keeps_an_announced_block_keeps_it(stations: tuple[NodeId, ...]) -> None:
    world = a_world()
    kept = crash_when_kept(world, *stations)
    run_until(world, 40.0)
    assert set(kept) == set(stations)
    assert world.crashes == len(stations)
    check_kept_once(world, set(kept.values()))


@pytest.mark.slow
def test_whenever_a_station_dies_after_it_heard_an_announcement_the_block_is_kept_once_at_both_ends() -> None:
    """A process dies 0, 1, 2 ... ms after the announcement has reached it: before, while and after it spends and
    keeps, tells the other station, and tells the satellite."""
    for after_ms in range(24):
        world, heard = a_world(), list[BlockId]()

        def line(_from: NodeId, to: NodeId, message: Message, world: World = world, heard: Any = heard) -> Message:
            if message.kind == kind_of(KeyAnnounced) and to == WEST and not heard:
                heard.append(BlockId(str(message.fields["block_id"])))
                world.scheduler.call_after(after_ms / 1e3, lambda: world.crash(WEST, down_s=0.5))  # noqa: B023
            return message

        world.line = line
        run_until(world, 40.0)
        assert world.crashes == 1
        check_kept_once(world, heard)


def test_an_announced_block_is_as_doubtful_as_all_blocks_together_that_it_was_made_of() -> None:
    world = a_world()
    run_until(world, 40.0)
    (first, *_) = told(world, EventKind.KEY_ANNOUNCED)
    block = world.stores[WEST].disk.blocks[BlockId(str(first.data["block_id"]))]
    made_of = [
        world.stores[BIRD].disk.blocks[BlockId(one)]
        for part in first.data["blocks"]  # type: ignore[union-attr]
        for one in part  # type: ignore[union-attr]
    ]
    assert len(made_of) >= 2
    assert block.eps_sec > max(one.eps_sec for one in made_of) > 0.0
    assert block.eps_sec == pytest.approx(sum(one.eps_sec for one in made_of))
    assert block.eps_cor == pytest.approx(sum(one.eps_cor for one in made_of))


def under_clouds(p_clear: float) -> World:
    """The same network, with odds of a clear sky over one of the two stations."""
    text = network_yaml(satellite_network())
    before = "name: west-station, kind: relay"
    assert before in text
    network = parse_network(text.replace(before, f"{before}, p_clear: {p_clear}"), source="test")
    world = World(network, chance=SeededChance(3), block_bits=BLOCK_BITS)
    world.start()
    return world


def test_clouds_over_a_station_cost_the_blocks_of_its_passes_and_no_more() -> None:
    blocks: dict[float, int] = {}
    for p_clear in (1.0, 0.5):
        world = under_clouds(p_clear)
        run_until(world, 139.0)
        held = world.stores[WEST].disk.blocks.values()
        blocks[p_clear] = sum(block.link_id == FIRST and block.confirmed for block in held)
        assert world.sky.num_passes + world.sky.num_clouded == 20, "a clouded pass takes the time of a clear one"
        assert world.sky.num_clouded == blocks[1.0] - blocks[p_clear]
        assert pair_bits(world, WEST) == pair_bits(world, EAST) != {}
        world.close(at_rest=True)
        assert not world.witness.violations
    assert 0 < blocks[0.5] < blocks[1.0]


def run(seed: int, **more: Any) -> Report:
    report = run_seed(seed, network=satellite_network(), block_sizes_bits=(BLOCK_BITS, 2 * BLOCK_BITS), **more)
    assert report.held, f"seed {seed}: {report.violations[:3]}"
    return report


@pytest.mark.slow
def test_no_seed_breaks_an_invariant() -> None:
    events, crashes, keys = Counter[EventKind](), 0, 0
    for seed in range(12):
        report = run(seed)
        events += report.events
        crashes += report.crashes
        keys += report.keys_fetched
    assert crashes > 100
    assert keys > 100
    assert events[EventKind.KEY_ANNOUNCED] > 30
    assert events[EventKind.ANNOUNCEMENT_LOST], "no announced bits were gone: try other seeds"


@pytest.mark.slow
def test_where_every_second_message_is_late_nothing_is_lost_but_time() -> None:
    for seed in range(100, 104):
        run(seed, faults=replace(ALL_FAULTS, p_late=0.5))
