"""How often nodes greet each other that come up at once."""

from __future__ import annotations

from collections import Counter

import pytest
import switched_network as switched

from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.network import Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import KeyManager
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import HASTY, World

SITES = tuple(Site(name=name, kind="relay", latitude_deg=0, longitude_deg=0) for name in "arb")
LINKS = tuple(
    Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=50)
    for one, other in ("ar", "rb")
)
NETWORK = Network(format="qanat-network/1", name="three", sites=SITES, links=LINKS)


class Counts:
    """How often who greeted whom, and vouched for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.greeted: Counter[tuple[NodeId, NodeId]] = Counter()
        self.remembered: Counter[tuple[NodeId, NodeId]] = Counter()
        post = World._post
        counts = {"epoch-opened": self.greeted, "epoch-remembered": self.remembered}

        def counting(world: World, sender: NodeId, receiver: NodeId, message: Message) -> None:
            if message.kind in counts:
                counts[message.kind][sender, receiver] += 1
            post(world, sender, receiver, message)

        monkeypatch.setattr(World, "_post", counting)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_that_wake_each_other_greet_each_other_once(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    counts = Counts(monkeypatch)
    world = World(NETWORK, chance=SeededChance(seed), block_bits=6_000, settings=HASTY)
    world.start()
    world.run(world.sleep(0.9 * HASTY.tick_s))
    pairs = {(NodeId(one), NodeId(other)) for one, other in ("ar", "ra", "rb", "br")}
    assert counts.greeted == counts.remembered == dict.fromkeys(pairs, 1)
    world.close()


def test_users_behind_switches_greet_relays_and_each_other_when_a_key_depends_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = Counts(monkeypatch)
    world = switched.new_world()
    world.run(world.sleep(0.5))
    assert counts.greeted, "relays are"
    assert all({switched.R, switched.Q} & set(pair) for pair in counts.greeted)
    given = switched.give(world, switched.DORA, switched.DIRK)
    assert switched.fetch(world, given, switched.DIRK) == switched.secrets(given)
    both = {(switched.D1, switched.D2), (switched.D2, switched.D1)}
    assert both <= counts.greeted.keys()
    assert both <= counts.remembered.keys(), "no pad of theirs is spent before"
    world.close()


def test_a_user_behind_a_switch_with_whom_keys_are_made_over_relays_is_greeted_at_the_next_tick(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = Counts(monkeypatch)
    world = switched.new_world()
    world.run(world.sleep(0.5))
    pair = (switched.U1, switched.D1)
    assert pair not in counts.greeted

    async def share(manager: KeyManager) -> None:
        manager._vouching.note_shared([switched.D1])

    world.run(world.call(switched.U1, share))
    world.run(world.sleep(KeyManagerSettings().tick_s))
    assert {one for one, other in counts.greeted if other == switched.D1} == {switched.U1, switched.R}
    world.close()
