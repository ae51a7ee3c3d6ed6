"""The ports that QKD devices and optical switches, or their digital twins, stand behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from qanat.ground.identifiers import BlockId, ModuleId, NodeId, OrderId
from qanat.ground.keys import KeyBlock, Origin
from qanat.ground.orders import GenerationOrder, LinkCapability, ModuleEvent


class QKDModule(Protocol):
    """ONE end of a QKD link. The peer comes with each order, so that switches, satellites and stars fit."""

    node: NodeId
    module_id: ModuleId
    origin: Origin

    def capability(self, peer: NodeId, /) -> LinkCapability:
        """Return what the link to ``peer`` can do; raises UnknownNode when it cannot reach it."""
        ...

    async def start(self, order: GenerationOrder, /) -> None:
        """Begin an order; idempotent by ``order_id``."""

    async def stop(self, order_id: OrderId, /) -> None:
        """End an order early; what it has not finished is destroyed. Idempotent."""

    def events(self) -> AsyncIterator[ModuleEvent]:
        """Yield what happens, in order, without key bytes."""
        ...

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        """Return a finished block; repeatable until it is released. Raises BlockUnknown."""
        ...

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:
        """Forget a block: both key managers are durable (``kept``), or it is to be destroyed. Idempotent."""


@runtime_checkable
class DistantModule(QKDModule, Protocol):
    """A module in another process, which may be away."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a line to it now."""
        ...


class OpticalSwitch(Protocol):
    """An all-pass switch: it joins any two of its ports, each with one other at a time, and can read no key."""

    name: str
    num_ports: int

    async def join(self, one: int, other: int, /) -> None:
        """Join two ports, counted from 1 on, and return when light passes; what they were joined with is cut off.

        Idempotent; other pairs go on meanwhile. Raises SwitchFailed, within seconds; the two may then be cut off.
        """
