"""Which nodes do not answer the controller."""

from __future__ import annotations

import math
from collections.abc import Callable

from qanat.control.books import Books
from qanat.control.foretelling import Foretelling
from qanat.control.settings import ControllerSettings
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Clock, Transport
from qanat.key_management.wire import GenerationFailed, Routes

STOOD_STILL_S = 3.0
"""A controller that has not looked for so long has stood still, or did not rule: nobody could be heard meanwhile."""


class Silence:
    """Watches who can be reached, and who says something. A node is silent that could not be reached for
    ``silent_after_s``, or that has said nothing for ``mute_after_s`` though its line stands: the machine of a process
    that hangs keeps it up.

    ``is_awake``: who sleeps says nothing; ``is_opening``: who sleeps or is being opened will answer, however long it
    waits for its turn; ``may_hang``: whether a node can while this process goes on.
    """

    def __init__(
        self,
        network: Network,
        transport: Transport,
        clock: Clock,
        settings: ControllerSettings,
        *,
        is_awake: Callable[[NodeId], bool] = lambda _: True,
        is_opening: Callable[[NodeId], bool] = lambda _: False,
        may_hang: Callable[[NodeId], bool] = lambda _: True,
    ) -> None:
        self._network = network
        self._transport = transport
        self._clock = clock
        self._after_s, self._mute_after_s = settings.silent_after_s, settings.mute_after_s
        self._is_awake = is_awake
        self._is_opening = is_opening
        self._may_hang = may_hang
        self._since_s: dict[NodeId, float] = {}
        self._heard_s: dict[NodeId, float] = {}
        self._looked_s = clock.monotonic_s()

    def hear(self, node: NodeId) -> None:
        """A node has said something."""
        self._heard_s[node] = self._clock.monotonic_s()

    def look(self) -> None:
        """Note who can be reached now, and who says nothing."""
        now_s = self._clock.monotonic_s()
        if (stood_s := now_s - self._looked_s) > STOOD_STILL_S:
            self._heard_s = {node: min(at_s + stood_s, now_s) for node, at_s in self._heard_s.items()}
        self._looked_s = now_s
        for node in self._network.nodes:
            is_reached = self._transport.is_reachable(node) or self._transport.is_coming(node)
            if not is_reached or not self._is_awake(node):
                self._heard_s.pop(node, None)
            heard_s = self._heard_s.get(node, math.inf)
            if self._may_hang(node) and heard_s < now_s - self._mute_after_s:
                self._since_s.setdefault(node, heard_s)
            elif is_reached or self._is_opening(node):
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
        f"bring the key manager of {node!r} up again, look at the line between it and the controller, or renew its"
        " certificate where it was revoked or has ended; keys then go on by themselves",
        silent=node,
    )


def give_up_unmet(books: Books, silence: Silence, foretelling: Foretelling, *, tries: int) -> None:
    """Take down for each demand that will not be met, as a node or a link on its way is out, that it has failed."""
    for demand_id, demand in books.demands.items():
        if (silent := silence.on(demand.routes)) is not None:
            demand.failed_orders, demand.failure = tries, silence_of(demand_id, silent)
        elif (out := foretelling.out_on(demand.word, demand.hops)) is not None:
            demand.failed_orders, demand.failure = tries, out
