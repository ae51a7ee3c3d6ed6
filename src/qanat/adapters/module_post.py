"""What the ends of links whose modules are devices or key files say to each other: messages between the two sites.

It goes over a transport of its own beside the key managers': mutual TLS, each site by its own certificate. Messages may
be lost; who needs an answer asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from qanat.ground.errors import FrameError
from qanat.ground.events import Json
from qanat.ground.identifiers import Epoch, LinkId, MessageId, NodeId, uuid4_from
from qanat.ground.messages import Message
from qanat.ground.ports import Entropy, Tasks, Transport

Hear = Callable[[NodeId, Message], Awaitable[None]]

_log = logging.getLogger(__name__)


class ModulePost:
    """One site's post. Each link's end that ``listens`` hears what the peer's end of the same link says."""

    def __init__(self, transport: Transport, *, tasks: Tasks, entropy: Entropy) -> None:
        self._transport = transport
        self._tasks = tasks
        self._entropy = entropy
        self._ears: dict[LinkId, Hear] = {}

    def begin(self) -> None:
        """Hand out what comes, from now on."""
        self._tasks.start(self._run(), name=f"{self._transport.local}: between the ends of links")

    def listen(self, link_id: LinkId, hear: Hear) -> None:
        """Have what concerns a link handed to ``hear``, one message after the other."""
        self._ears[link_id] = hear

    async def send(
        self, peer: NodeId, kind: str, *, link_id: LinkId, fields: Mapping[str, Json], body: bytes = b""
    ) -> None:
        """Say something to the peer's end of a link."""
        message = Message(
            id=MessageId(uuid4_from(self._entropy.public_bytes(16))),
            kind=kind,
            epoch=Epoch(0),
            fields={**fields, "link_id": link_id},
            body=body,
        )
        await self._transport.send(peer, message)

    async def _run(self) -> None:
        async for sender, message in self._transport.inbox():
            try:
                hear = self._ears.get(message.read("link_id", lambda value: LinkId(str(value))))
                if hear is None:
                    raise FrameError("no link of that name ends here with such modules")
                await hear(sender, message)
            except FrameError as fault:
                _log.warning("%s said something odd between the ends of links: %s", sender, fault)
