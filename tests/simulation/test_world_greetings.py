"""How often nodes greet each other that come up at once."""

from __future__ import annotations

from collections import Counter

import pytest

from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.network import Link, Network, Site
from qanat.ground.randomness import SeededChance
from qanat.simulation.world import HASTY, World

SITES = tuple(Site(name=name, kind="relay", latitude_deg=0, longitude_deg=0) for name in "arb")
LINKS = tuple(
    Link(name=f"{one}-{other}", transmitter=one, receiver=other, system="s", loss_db=10, length_km=50)
    for one, other in ("ar", "rb")
)
NETWORK = Network(format="qanat-network/1", name="three", sites=SITES, links=LINKS)


@pytest.mark.parametrize("seed", range(5))
def test_neighbours_that_wake_each_other_greet_each_other_once(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    greeted: Counter[tuple[NodeId, NodeId]] = Counter()
    remembered: Counter[tuple[NodeId, NodeId]] = Counter()
    post = World._post

    def counting(self: World, sender: NodeId, receiver: NodeId, message: Message) -> None:
        counts = {"epoch-opened": greeted, "epoch-remembered": remembered}
        if message.kind in counts:
            counts[message.kind][sender, receiver] += 1
        post(self, sender, receiver, message)

    monkeypatch.setattr(World, "_post", counting)
    world = World(NETWORK, chance=SeededChance(seed), block_bits=6_000, settings=HASTY)
    world.start()
    world.run(world.sleep(0.9 * HASTY.tick_s))
    pairs = {(NodeId(one), NodeId(other)) for one, other in ("ar", "ra", "rb", "br")}
    assert greeted == remembered == dict.fromkeys(pairs, 1)
    world.close()
