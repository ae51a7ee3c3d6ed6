"""A day at rate level says of each pool what real key managers say: the same requests, replayed in a World, take the
same bits from the same pools, to the bit, those among them that were burned before a hop that was short.

Only how much is made may differ: where the word that an order has ended overtakes the word of what it made, the
controller orders a block that was not needed."""

from __future__ import annotations

from functools import partial

import pytest

from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.identifiers import NodeId, SaeId
from qanat.ground.keys import RESERVE_SHARE_BITS, PoolId, PoolLevel, Use
from qanat.ground.network import Application, Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys, KeyManager
from qanat.simulation.day.demand import KEYS_PER_REQUEST, Demand, Pair, Requests
from qanat.simulation.day.engine import Day
from qanat.simulation.day.plan import DAY_S, DayPlan, link_plan
from qanat.simulation.dice import Dice
from qanat.simulation.world import RESERVE_BITS, World, at_once

BLOCK_BITS = 400_000
"""Large, so that a block too many, which is a matter of messages, makes no pool last longer."""
TREE = ("ab", "bc", "cd", "be")
HALF_BITS = (BLOCK_BITS - 4096) // 2
NUM_REQUESTS = 40


def tree_network() -> Network:
    return Network(
        format="qanat-network/1",
        name="tree",
        sites=tuple(
            Site(name=name, kind="relay", latitude_deg=0, longitude_deg=k / 100) for k, name in enumerate("abcde")
        ),
        links=tuple(
            Link(name=ends, transmitter=ends[0], receiver=ends[1], system="metro-40-i", loss_db=5 + place, length_km=50)
            for place, ends in enumerate(TREE)
        ),
        applications=tuple(Application(name=name, site=name) for name in "abcde"),
    )


def drawn(seed: int) -> Requests:
    """Requests an hour's quarter apart, so that each is met before the next comes."""
    dice = Dice(SeededChance(seed))
    pairs = [Pair(NodeId(one), NodeId(other), "near") for one in "abcde" for other in "abcde" if one < other]
    numbers = [dice.whole(0, len(pairs) - 1) for _ in range(NUM_REQUESTS)]
    return Requests(
        pairs, [900.0 * place for place in range(NUM_REQUESTS)], numbers, [dice.happens(0.5) for _ in numbers]
    )


def ask_all(world: World, requests: Requests, key_bits: int) -> None:
    """Let the key managers serve the requests one after the other."""
    network = world.network
    for number, backwards in zip(requests.pair_numbers, requests.backwards, strict=True):
        pair = requests.pairs[number]
        here, there = (pair.other, pair.one) if backwards else (pair.one, pair.other)
        world.run(world.sleep(10.0))  # the controller has heard what each pool holds
        ask = partial(_ask, master=network.sae(here), slave=network.sae(there), key_bits=key_bits)
        assert len(world.run(world.call(here, ask)).keys) == KEYS_PER_REQUEST


async def _ask(manager: KeyManager, *, master: SaeId, slave: SaeId, key_bits: int) -> GivenKeys:
    return await manager.get_keys(
        master=master, slave=slave, count=KEYS_PER_REQUEST, size_bits=key_bits, patience_s=50.0
    )


def level(world: World, node: NodeId, pool: PoolId) -> PoolLevel:
    return at_once(world.stores[node].levels())[pool]


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "key_bits"), [(1, 128), (4, 256)])
def test_pools_of_the_day_are_those_of_real_key_managers(seed: int, key_bits: int) -> None:
    network, requests = tree_network(), drawn(seed)
    world = World(network, chance=SeededChance(seed), block_bits=BLOCK_BITS)
    world.start()
    world.run(world.sleep(10.0))  # all nodes have heard their routes
    ask_all(world, requests, key_bits)
    world.run(world.sleep(10.0))

    planned = partial(link_plan, block_bits=BLOCK_BITS, block_time_s=50.0)
    day = Day(DayPlan(network, planned=planned), requests, demand=Demand(key_bits=key_bits), horizon_s=DAY_S)
    result = day.run()
    assert result.classes["near"].served == NUM_REQUESTS
    assert sum(link.burned_bits for link in result.links) > 0
    for number, link in enumerate(result.links):
        ends = sorted(network.links[number].ends)
        for side, node in enumerate(ends):
            paid = result.links[number].blocks * HALF_BITS - day._books.stock[2 * number + side]
            pool = PoolId(network.links[number].link_id, node)
            real = level(world, node, pool)
            assert real.spent_bits.get(Use.RELAY, 0) == paid, pool
            num_blocks, rest = divmod(real.received_bits, HALF_BITS)
            assert (rest, num_blocks - link.blocks in (0, 1)) == (0, True)
            assert real.available_bits == num_blocks * HALF_BITS - paid
        reserve = level(world, ends[0], PoolId(network.links[number].link_id, None))
        assert reserve.spent_bits[Use.AUTHENTICATION] == num_blocks * link.reserve_spent_bits // link.blocks
        assert reserve.available_bits == RESERVE_BITS + num_blocks * RESERVE_SHARE_BITS - num_blocks * SESSION_PAD_BITS
    world.close()
    assert world.witness.violations == []
