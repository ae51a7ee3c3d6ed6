"""The transport of a satellite: it speaks and hears while a station sees it, and what is said meanwhile waits.

Through the station that sees it a satellite speaks to every node of the ground. In the hours between two passes both
what it has to say and what is said to it is kept, the same words once, and of very much the newest; so nothing is lost
by waiting, and nobody takes a satellite for silent that is below the horizon. A process that ends forgets what it kept:
whoever needs an answer says it again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Final

from qanat.ground.framing import canonical_json
from qanat.ground.identifiers import LinkId, NodeId, Topic
from qanat.ground.messages import Message
from qanat.ground.orders import Contact
from qanat.ground.ports import Clock, Tasks, Transport

MOST_WAITING: Final = 1_024
"""Messages that wait, in each direction."""
FAR_S: Final = 3600.0


class InContactOnly:
    """Hands messages on while there is a contact, and keeps them until there is one."""

    def __init__(self, inner: Transport, *, clock: Clock, tasks: Tasks) -> None:
        self.local = inner.local
        self._inner = inner
        self._clock = clock
        self._tasks = tasks
        self._seen_by: set[LinkId] = set()
        self._leaving: OrderedDict[bytes, tuple[NodeId, Message]] = OrderedDict()
        self._coming: OrderedDict[bytes, tuple[NodeId, Message]] = OrderedDict()
        self._topic = Topic(f"contacts of {inner.local}")
        self._has_closed = False

    @property
    def has_contact(self) -> bool:
        """Whether a station sees this satellite now."""
        return bool(self._seen_by)

    @property
    def num_waiting(self) -> int:
        """How many messages wait for a contact."""
        return len(self._leaving) + len(self._coming)

    async def on_contact(self, contact: Contact) -> None:
        """A station sees this satellite, or no longer; at the first sight say and hear what has waited."""
        if not contact.is_open:
            self._seen_by.discard(contact.link_id)
            return
        self._seen_by.add(contact.link_id)
        self._tasks.notify(self._topic)
        while self._leaving and self.has_contact:
            _, (peer, message) = self._leaving.popitem(last=False)
            await self._inner.send(peer, message)

    async def send(self, peer: NodeId, message: Message, /) -> None:
        """Hand a message over, now or with the next contact."""
        if self.has_contact:
            await self._inner.send(peer, message)
        else:
            _keep(self._leaving, peer, message)

    async def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        """Yield messages as a satellite hears them."""
        self._tasks.start(self._listen(), name=f"{self.local}: what is said to it")
        while True:
            while self._coming and self.has_contact:
                yield self._coming.popitem(last=False)[1]
            if self._has_closed:
                return
            await self._tasks.wait(self._topic, until_monotonic_s=self._clock.monotonic_s() + FAR_S)

    def is_reachable(self, peer: NodeId, /) -> bool:
        """Return whether a peer seems to answer; without a contact nobody knows, and nobody is taken for silent."""
        return not self.has_contact or self._inner.is_reachable(peer)

    def is_coming(self, peer: NodeId, /) -> bool:
        """Return whether a peer may be just coming up."""
        return self._inner.is_coming(peer)

    async def _listen(self) -> None:
        async for sender, message in self._inner.inbox():
            _keep(self._coming, sender, message)
            self._tasks.notify(self._topic)
        self._has_closed = True
        self._tasks.notify(self._topic)


def _keep(waiting: OrderedDict[bytes, tuple[NodeId, Message]], peer: NodeId, message: Message) -> None:
    """Keep a message as the last one, instead of the same from before."""
    said = canonical_json({"peer": peer, "kind": message.kind, "fields": message.fields})
    what = hashlib.sha256(said + message.body).digest()
    waiting.pop(what, None)
    waiting[what] = peer, message
    if len(waiting) > MOST_WAITING:
        waiting.popitem(last=False)
