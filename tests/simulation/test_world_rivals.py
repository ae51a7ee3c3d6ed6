"""Calls of one pair at once: each takes what others have had made, and none goes away empty while its time lasts."""

from __future__ import annotations

import pytest
from test_world_rerouting import A, B, rest, ring

from qanat.control.settings import ControllerSettings
from qanat.ground.randomness import SeededChance
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import World

RING = ring()
ALICE, BOB = RING.saes[:2]
COUNTS = (1, 5, 3, 5, 1, 4, 1, 5, 3, 5, 1, 4)
CALLS = 25


@pytest.mark.parametrize("seed", [1, 3])
def test_none_of_many_callers_of_a_pair_is_refused_since_others_were_quicker(seed: int) -> None:
    world = World(
        RING,
        chance=SeededChance(seed),
        block_bits=400_000,
        settings=KeyManagerSettings(),
        controller_settings=ControllerSettings(),
    )
    world.start()
    rest(world, 10.0)
    given: list[str] = []

    async def client(count: int) -> None:
        for _ in range(CALLS):  # what a call raises ends the world's run
            keys = await world.call(
                A, lambda manager: manager.get_keys(master=ALICE, slave=BOB, count=count, size_bits=256)
            )
            given.extend(key.key_id for key in keys.keys)

    for count in COUNTS:
        world.spawn(client(count), name=f"a client for {count}")
    rest(world, 60.0)
    assert len(set(given)) == len(given) == CALLS * sum(COUNTS)
    there = world.run(
        world.call(B, lambda manager: manager.get_keys_by_id(caller=BOB, master=ALICE, key_ids=given[:8]))
    )
    assert [key.key_id for key in there] == given[:8]
    world.close()
    assert world.witness.violations == []
