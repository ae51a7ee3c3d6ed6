"""A key manager's transport in a network with two controllers: both hear all, and both are called the controller."""

from __future__ import annotations

from collections.abc import AsyncIterator

from qanat.ground.identifiers import CONTROLLER, STANDBY, NodeId
from qanat.ground.messages import Message
from qanat.ground.ports import Transport


class ToBothControllers:
    """Says to the standby too what the controller is told, so that it knows all when it takes over."""

    def __init__(self, inner: Transport) -> None:
        self.local = inner.local
        self._inner = inner

    async def send(self, peer: NodeId, message: Message, /) -> None:
        """Hand a message over; one for the controller, to both."""
        await self._inner.send(peer, message)
        if peer == CONTROLLER:
            await self._inner.send(STANDBY, message)

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        """Yield messages; who rules shows by the epoch, not by the name."""
        async for sender, message in self._inner.inbox():
            yield (CONTROLLER if sender == STANDBY else sender), message

    def is_reachable(self, peer: NodeId, /) -> bool:
        """Return whether a peer, of the controllers one of them, seems to answer."""
        if peer == CONTROLLER and self._inner.is_reachable(STANDBY):
            return True
        return self._inner.is_reachable(peer)

    def is_coming(self, peer: NodeId, /) -> bool:
        """Return whether a peer may be just coming up."""
        return self._inner.is_coming(peer)
