"""Key managers are told their routes when these have been found, in their order, and by a controller that rules."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from qanat.adapters.asyncio_tasks import AsyncioTasks
from qanat.control.pushing import AT_ONCE, Pushing
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import Epoch, NodeId

NODES = [NodeId(f"site-{number}") for number in range(AT_ONCE + 2)]


class FakeTables:
    """Finds a table when it is told to go on; ``lost`` ones never."""

    def __init__(self) -> None:
        self.at_hand: set[NodeId] = set()
        self.asked: list[list[NodeId]] = []
        self.lost: set[NodeId] = set()
        self.may_go_on = asyncio.Event()

    def is_at_hand(self, node: NodeId) -> bool:
        if node not in NODES:
            raise UnknownNode(f"no site {node!r}")
        return node in self.at_hand

    async def make(self, nodes: list[NodeId], *, is_awaited: bool) -> bool:
        assert is_awaited
        self.asked.append(list(nodes))
        await self.may_go_on.wait()
        self.at_hand |= set(nodes) - self.lost
        return not self.lost

    def pushed(self, node: NodeId, epoch: Epoch) -> tuple[NodeId, Epoch]:
        return node, epoch


class FakeCourier:
    def __init__(self) -> None:
        self.epoch = Epoch(1)
        self.said: list[tuple[NodeId, tuple[NodeId, Epoch]]] = []

    async def send(self, node: NodeId, word: tuple[NodeId, Epoch]) -> None:
        self.said.append((node, word))


def test_tables_that_are_not_at_hand_are_found_a_few_at_a_time_and_told_in_the_order_of_asking() -> None:
    async def scene() -> None:
        tables, courier = FakeTables(), FakeCourier()
        tables.at_hand = {NODES[-1]}
        tables.lost = {NODES[1]}  # no worker, or always out of date: then it is looked for here
        async with AsyncioTasks() as tasks:
            pushing = Pushing(cast(Any, tables), cast(Any, courier), tasks, rules=lambda: True)
            for node in (*NODES, NODES[0]):
                await pushing.push(node)
            assert [node for node, _ in courier.said] == [NODES[-1]], "what is at hand waits for nobody"
            with pytest.raises(UnknownNode):
                await pushing.push(NodeId("stranger"))
            await asyncio.sleep(0)
            courier.epoch = Epoch(2)
            tables.may_go_on.set()
            while len(courier.said) < len(NODES):  # noqa: ASYNC110
                await asyncio.sleep(0)
            assert tables.asked == [NODES[:AT_ONCE], NODES[AT_ONCE:-1]]
            assert courier.said[1:] == [(node, (node, Epoch(2))) for node in NODES[:-1]]
            tables.at_hand.clear()
            await pushing.push(NODES[2])
            while len(courier.said) == len(NODES):  # noqa: ASYNC110
                await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(scene(), 60))


def test_a_controller_that_has_stood_down_meanwhile_tells_nobody() -> None:
    async def scene() -> None:
        tables, courier, rules = FakeTables(), FakeCourier(), [True]
        async with AsyncioTasks() as tasks:
            pushing = Pushing(cast(Any, tables), cast(Any, courier), tasks, rules=lambda: rules[0])
            await pushing.push(NODES[0])
            await asyncio.sleep(0)
            rules[0] = False
            tables.may_go_on.set()
            while not tables.at_hand:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            assert courier.said == []

    asyncio.run(asyncio.wait_for(scene(), 60))
