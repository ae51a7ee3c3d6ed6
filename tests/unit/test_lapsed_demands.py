"""A demand for key on a way that shares no longer use is opened anew on another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from qanat.ground.identifiers import EventId, NodeId, SaePair
from qanat.ground.network import SharingRules
from qanat.ground.tracing import Trace
from qanat.key_management.context import Context
from qanat.key_management.demands import Demand, DemandDesk
from qanat.key_management.links import RouteBook
from qanat.key_management.rations import BEYOND, WITHIN
from qanat.key_management.settings import KeyManagerSettings
from qanat.key_management.wire import Ration, Routes, SharesPushed, WeightedWays
from simulation.shared_network import shared_network

AA, BB = NodeId("aa"), NodeId("bb")
NEAR, FAR = (AA, NodeId("r"), BB), (AA, NodeId("s"), NodeId("t"), BB)
NETWORK = shared_network(["aa-r", "r-bb", "aa-s", "s-t", "t-bb"], {"alice": "aa", "bob": "bb"}, sharing=SharingRules())
PAIR = SaePair(NETWORK.sae("alice"), NETWORK.sae("bob"))
BITS = 1536


@dataclass
class Desk:
    """A desk of demands with everything around it that it talks to; ``said``: what the controller heard."""

    now_s: float = 0.0
    said: list[Any] = field(default_factory=list)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        clock: Any = SimpleNamespace(monotonic_s=lambda: self.now_s)
        tasks: Any = SimpleNamespace(notify=self.woken.append)
        self.routes = RouteBook(node=AA, network=NETWORK, tasks=tasks, clock=clock)
        context = SimpleNamespace(
            node=AA,
            network=NETWORK,
            clock=clock,
            tasks=tasks,
            routes=self.routes,
            entropy=SimpleNamespace(public_bytes=lambda count: bytes([len(self.said)] * count)),
            settings=KeyManagerSettings(),
            courier=SimpleNamespace(send=self._send),
        )
        self.desk = DemandDesk(cast(Context, context))

    async def _send(self, _to: NodeId, word: Any, *, cause: EventId) -> None:
        self.said.append(word)

    def share(self, version: int, *ways: tuple[tuple[NodeId, ...], float]) -> None:
        routes: Routes = tuple(way for way, _ in ways)
        rate = sum(weight for _, weight in ways)
        spread = WeightedWays(BB, routes, tuple(weight for _, weight in ways))
        self.routes.learn_shares(SharesPushed(1, version, (spread,), (Ration("", BB, rate, 0.0),)))

    def open(self, way: tuple[NodeId, ...]) -> Demand:
        trace: Any = SimpleNamespace(record=lambda *_, **__: SimpleNamespace(id="event"), request_id=None)
        opening = self.desk.open(cast(Trace, trace), pair=PAIR, target=BB, needed_bits=BITS, short=(), routes=(way,))
        return asyncio.run(opening)

    def tick(self) -> None:
        self.now_s += 1.0
        asyncio.run(self.desk.tick())


def beyond_its_share() -> Desk:
    """A pair that has taken far more than its share of both ways."""
    desk = Desk()
    desk.share(1, (NEAR, 100.0), (FAR, 100.0))
    desk.routes.rations.take(PAIR, (FAR,), 100 * BITS)
    return desk


def test_a_demand_on_a_way_that_has_lost_its_part_lapses_and_who_waits_is_woken() -> None:
    desk = beyond_its_share()
    demand = desk.open(FAR)
    assert demand.word.standing == BEYOND
    desk.tick()
    assert demand.state == "open", "the way has its part still"
    desk.share(2, (NEAR, 200.0))
    desk.tick()
    assert demand.state == "lapsed"
    assert [topic for topic in desk.woken if demand.word.demand_id in topic]
    words = len(desk.said)
    desk.tick()
    assert len(desk.said) == words, "the controller hears of it no more, and forgets it"


def test_one_whose_way_never_had_a_part_waits_for_what_others_leave() -> None:
    desk = beyond_its_share()
    desk.share(2, (NEAR, 200.0))
    demand = desk.open(FAR)
    for version in range(3, 6):
        desk.share(version, (NEAR, 200.0))
        desk.tick()
    assert demand.state == "open", "the way was chosen though it has no part: there is no better one"


def test_one_within_its_share_has_paid_and_keeps_its_way() -> None:
    desk = Desk()
    desk.share(1, (NEAR, 100.0), (FAR, 100.0))
    demand = desk.open(FAR)
    assert demand.word.standing == WITHIN
    desk.share(2, (NEAR, 200.0))
    desk.tick()
    assert demand.state == "open"


def test_one_that_nobody_waits_for_any_more_gives_back_what_it_has_paid_and_is_said_no_more() -> None:
    desk = Desk()
    desk.share(1, (NEAR, 100.0), (FAR, 100.0))
    rations = desk.routes.rations

    def batches_within_share() -> int:
        """Count how many batches the pair may take on the way, and give them back."""
        taken = 0
        while rations.enter(PAIR, BB, (NEAR,), BITS) == WITHIN:
            taken += 1
        for _ in range(taken):
            rations.leave(PAIR, BB, (NEAR,), BITS, standing=WITHIN)
        return taken

    before = batches_within_share()
    demand = desk.open(NEAR)
    assert batches_within_share() == before - 1
    desk.desk.withdraw(demand)
    assert batches_within_share() == before
    assert not desk.desk.is_waiting(PAIR)
    words = len(desk.said)
    desk.tick()
    assert len(desk.said) == words
    desk.desk.withdraw(demand)
    assert batches_within_share() == before, "it is given back once"
