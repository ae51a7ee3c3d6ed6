"""Which nodes do not answer the controller."""

from __future__ import annotations

import math

from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Transport
from qanat.key_management.wire import GenerationFailed, Routes


class Silence:
    """Watches who can be reached. A node that could not for ``after_s`` is silent."""

    def __init__(self, network: Network, transport: Transport, clock: Clock, *, after_s: float) -> None:
        self._network = network
        self._transport = transport
        self._clock = clock
        self._after_s = after_s
        self._since_s: dict[NodeId, float] = {}

    def look(self) -> None:
        """Note who can be reached now."""
        now_s = self._clock.monotonic_s()
        for node in self._network.nodes:
            if self._transport.is_reachable(node) or self._transport.is_coming(node):
                self._since_s.pop(node, None)
            else:
                self._since_s.setdefault(node, now_s)

    @property
    def nodes(self) -> list[NodeId]:
        """All silent nodes."""
        return [node for node in self._since_s if self._is_silent(node)]

    def on(self, routes: Routes) -> NodeId | None:
        """Return a silent node of these routes, or None."""
        return next((node for route in routes for node in route if self._is_silent(node)), None)

    def _is_silent(self, node: NodeId) -> bool:
        return self._since_s.get(node, math.inf) <= self._clock.monotonic_s() - self._after_s


def silence_of(demand_id: str, node: NodeId) -> GenerationFailed:
    """Return the answer to a demand over a silent node."""
    return GenerationFailed(
        demand_id,
        f"{node!r}, a node on the way, does not answer the controller",
        f"bring the key manager of {node!r} up again; the line then goes on by itself",
        silent=node,
    )
