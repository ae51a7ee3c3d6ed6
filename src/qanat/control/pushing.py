"""Telling key managers their routes: at once where they are at hand, else when they have been found."""

from __future__ import annotations

from collections.abc import Callable

from qanat.control.tables import Tables
from qanat.ground.identifiers import NodeId
from qanat.ground.ports import Tasks
from qanat.key_management.courier import Courier

AT_ONCE = 4
"""So many tables are looked for before the first of them is told."""


class Pushing:
    """Pushes routes to key managers, in the order in which they are to be told. ``rules``: whether this controller does
    so at all."""

    def __init__(self, tables: Tables, courier: Courier, tasks: Tasks, *, rules: Callable[[], bool]) -> None:
        self._tables, self._courier, self._tasks, self._rules = tables, courier, tasks, rules
        self._waiting: dict[NodeId, None] = {}
        self._is_at_work = False

    async def push(self, node: NodeId) -> None:
        """Tell a key manager the routes that begin at it; raises UnknownNode for a stranger."""
        if self._tables.is_at_hand(node):
            await self._tell(node)
            return
        self._waiting[node] = None
        if not self._is_at_work:
            self._is_at_work = True
            self._tasks.start(self._find_and_tell(), name="controller: looks for routes")

    async def _find_and_tell(self) -> None:
        try:
            while self._waiting:
                nodes = [*self._waiting][:AT_ONCE]
                await self._tables.make(nodes, is_awaited=True)
                for node in nodes:
                    del self._waiting[node]
                    if self._rules():
                        await self._tell(node)
        finally:
            self._is_at_work = False

    async def _tell(self, node: NodeId) -> None:
        await self._courier.send(node, self._tables.pushed(node, self._courier.epoch))
