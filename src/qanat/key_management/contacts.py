"""A transport in a network with satellites: what is said to one, or by one, waits for a contact.

A satellite hears the ground while a station sees it, and speaks to every node of the ground through that station. For
the hours in between each node keeps what it has to say, so that nothing is lost by waiting; what is the same is kept
once, and of very much the newest. A process that ends forgets it: whoever needs an answer says it again.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Collection
from typing import Final, TypeAlias

from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import NodeId
from qanat.ground.messages import Message
from qanat.ground.ports import Transport

MOST_WAITING: Final = 1_024
"""Messages that wait at one node."""
IsOpen: TypeAlias = Callable[[NodeId], bool]
"""Whether a satellite has a contact now."""


class InContactOnly:
    """Hands messages on while there is a contact, and keeps them until there is one."""

    def __init__(self, inner: Transport, *, satellites: Collection[NodeId], has_contact: IsOpen) -> None:
        self.local = inner.local
        self._inner = inner
        self._satellites = frozenset(satellites)
        self._has_contact = has_contact
        self._waiting: dict[tuple[NodeId, bytes], Message] = {}

    @property
    def num_waiting(self) -> int:
        """How many messages wait for a contact."""
        return len(self._waiting)

    async def send(self, peer: NodeId, message: Message, /) -> None:
        """Hand a message over, now or with the next contact."""
        if self._is_open(peer):
            await self._inner.send(peer, message)
            return
        what = hashlib.sha256(canonical_json({"kind": message.kind, "fields": message.fields}) + message.body).digest()
        self._waiting.pop((peer, what), None)
        self._waiting[peer, what] = message
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]

    async def on_contact(self) -> None:
        """A contact has begun: hand over what waited for it, in the order in which it was said."""
        for peer, what in list(self._waiting):
            if self._is_open(peer) and (message := self._waiting.pop((peer, what), None)) is not None:
                await self._inner.send(peer, message)

    def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        """Yield messages as they come."""
        return self._inner.inbox()

    def is_reachable(self, peer: NodeId, /) -> bool:
        """Return whether a peer seems to answer; one that waits for a contact is not taken for silent."""
        return not self._is_open(peer) or self._inner.is_reachable(peer)

    def is_coming(self, peer: NodeId, /) -> bool:
        """Return whether a peer may be just coming up."""
        return self._inner.is_coming(peer)

    def _is_open(self, peer: NodeId) -> bool:
        return all(self._has_contact(end) for end in (self.local, peer) if end in self._satellites)
