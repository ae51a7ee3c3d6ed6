"""Networks with declared sharing in virtual time: pairs that ask for keys all the time, and what they get."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from qanat.control.settings import ControllerSettings
from qanat.ground.errors import QanatError
from qanat.ground.events import EventKind
from qanat.ground.identifiers import NodeId, SaeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Application, Link, Network, SharingRules, Site
from qanat.ground.randomness import SeededChance
from qanat.key_management.manager import GivenKeys
from qanat.key_management.settings import KeyManagerSettings
from qanat.simulation.world import World

CALL_KEYS = 16
KEY_BITS = 256
BLOCK_BITS = 240_000
SETTINGS = KeyManagerSettings(demand_patience_s=60.0, relay_timeout_per_hop_s=0.0, cut_route_pause_s=2.0)


def shared_network(links: Sequence[str], applications: Mapping[str, str], sharing: SharingRules | None) -> Network:
    """``links``: as "one-other"; sites whose names have one letter are relays, others users."""
    names = sorted({end for link in links for end in link.split("-")})
    return Network(
        format="qanat-network/1",
        name="shared",
        sites=tuple(
            Site(name=name, kind="relay" if len(name) == 1 else "user", latitude_deg=0, longitude_deg=place)
            for place, name in enumerate(names)
        ),
        links=tuple(
            Link(name=link, transmitter=one, receiver=other, system="s", loss_db=10, length_km=900)
            for link, (one, other) in ((link, link.split("-")) for link in links)
        ),
        applications=tuple(Application(name=name, site=site) for name, site in applications.items()),
        sharing=sharing,
    )


def shared_world(
    network: Network,
    block_times_s: Mapping[str, float],
    *,
    seed: int = 7,
    order_timeout_s: float = 30.0,
    patience_s: float = SETTINGS.demand_patience_s,
) -> World:
    """A world whose links give ``BLOCK_BITS`` in such a time. ``order_timeout_s``: orders of several blocks take longer
    than one of them."""
    world = World(
        network,
        chance=SeededChance(seed),
        block_bits=BLOCK_BITS,
        settings=replace(SETTINGS, demand_patience_s=patience_s),
        controller_settings=ControllerSettings(order_timeout_s=order_timeout_s, silent_after_s=1.0),
    )
    for link in world.links:
        link.block_time_s = block_times_s[link.link.name]
    world.start()
    return world


def rate_bits_per_s(block_time_s: float) -> float:
    """Return what such a link gives each direction, less what goes into its authentication reserve."""
    return block_shares(BLOCK_BITS)[1] / block_time_s


class Callers:
    """Applications that ask again as soon as they have an answer. ``given``: the keys that they got, with the slave's
    node; ``faults``: what they were told instead."""

    def __init__(
        self,
        world: World,
        *,
        pause_s: float = 0.02,
        count: int = CALL_KEYS,
        size_bits: int = KEY_BITS,
        patience_s: float = 60.0,
    ) -> None:
        self.world = world
        self.given: list[tuple[SaeId, SaeId, GivenKeys]] = []
        self.faults: Counter[str] = Counter()
        self.is_over = False
        self._pause_s = pause_s
        self._count = count
        self._size_bits = size_bits
        self._patience_s = patience_s

    def start(self, master: str, slave: str, *more_slaves: str, callers: int) -> None:
        for number in range(callers):
            self.world.spawn(self._ask(master, slave, more_slaves), name=f"{master} {number}")

    async def _ask(self, master: str, slave: str, more_slaves: Sequence[str]) -> None:
        network = self.world.network
        node = NodeId(next(app.site for app in network.applications if app.name == master))
        pair: tuple[SaeId, SaeId] = (network.sae(master), network.sae(slave))
        others = [network.sae(name) for name in more_slaves]
        while not self.is_over:
            try:
                given = await self.world.call(
                    node,
                    lambda manager: manager.get_keys(
                        master=pair[0],
                        slave=pair[1],
                        more_slaves=others,
                        count=self._count,
                        size_bits=self._size_bits,
                        patience_s=self._patience_s,
                    ),
                )
            except QanatError as fault:
                self.faults[f"{master}: {fault}"] += 1
                await self.world.sleep(0.5)
            else:
                self.given.append((*pair, given))
            await self.world.sleep(self._pause_s)


def pass_time(world: World, seconds: float) -> None:
    world.scheduler.run_until(world.scheduler.now_s + seconds)


def relayed(world: World, *, since_s: float = 0.0) -> list[dict[str, Any]]:
    """Return the batches that arrived since a moment."""
    events = (event for event in world.witness.events if event.kind is EventKind.KEYS_RELAYED)
    return [dict(event.data) for event in events if event.monotonic_s >= since_s]


def bits_by_way(world: World, *, since_s: float = 0.0) -> Counter[str]:
    """Return how many bits of each hop went which way."""
    bits: Counter[str] = Counter()
    for row in relayed(world, since_s=since_s):
        bits["-".join(row["route"])] += row["qkd_bits"] // row["hops"]
    return bits


def bits_by_source(world: World, *, since_s: float = 0.0) -> Counter[str]:
    """Return how many bits of each hop went out from which site."""
    bits: Counter[str] = Counter()
    for row in relayed(world, since_s=since_s):
        bits[row["route"][0]] += row["qkd_bits"] // row["hops"]
    return bits


def told(world: World, kind: EventKind) -> list[dict[str, Any]]:
    """Return the data of all events of a kind."""
    return [dict(event.data) for event in world.witness.events if event.kind is kind]
