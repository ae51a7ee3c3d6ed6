"""Both ends of a hook on this machine: who leads rotates periodically, who follows sets what it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from qanat.ground.errors import KeyShortage, QanatError
from qanat.ground.identifiers import KeyID
from qanat.services import hook
from qanat.services.conversation import Conversation, calling
from qanat.services.hook import KeySlot, follow_rotation, lead_rotation
from qanat.users.services import UserServices
from qanat.users.supply import TellingSupply

AGAIN_S = 5.0
"""After a rotation that failed: the two ends may hold different keys until the next one."""


NO_KEY = "the network has to make key first: let this go on, take a longer --every, or ask who runs the network"
"""What can be done where the key manager knows nothing better."""


class Hook:
    """Rotates the key of one connection with one contact. ``name``: what both ends call the connection.

    ``on_key`` is told the id of each key that both programs have, ``on_wait`` that a rotation stands still since the
    network has to make key first. Raises UnknownNode.
    """

    def __init__(
        self,
        user: UserServices,
        contact: str,
        slot: KeySlot,
        *,
        name: str,
        on_key: Callable[[KeyID], None] = lambda _: None,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        found = user.people.single(contact, what="a hook")
        self._user = user
        self._peer = found.sae
        self._slot = slot
        self._name = name
        self._on_key = on_key
        self._on_wait = on_wait

    async def rotate(self) -> KeyID:
        """Put one fresh key into both programs; raises what ``lead_rotation`` raises, and ChannelError. A program that
        can take no key is found before the other end is called, and the line is opened when there is key to speak
        under."""
        user = self._user
        await self.check()
        supply = TellingSupply(user.party.supply, say=lambda _: self._on_wait())
        party = replace(user.party, supply=supply)
        try:
            async with user.line_to(user.people.contact_of(self._peer), user.terms, key_first=True) as line:
                conversation = calling(party, line, self._peer, service=hook.SERVICE, terms=user.terms)
                key_id = await lead_rotation(conversation, party, self._slot, name=self._name)
        except KeyShortage as shortage:
            shortage.remedy = shortage.remedy or NO_KEY
            raise
        self._on_key(key_id)
        return key_id

    async def check(self) -> None:
        """Raise ConfigurationError where this end's program could take no key now."""
        await self._slot.check()

    async def lead(self, *, every_s: float, on_fault: Callable[[QanatError], None]) -> None:
        """Rotate every ``every_s`` until cancelled; after a fault, which is told, sooner."""
        while True:
            pause_s = every_s
            try:
                await self.rotate()
            except QanatError as fault:
                on_fault(fault)
                pause_s = min(AGAIN_S, every_s)
            await asyncio.sleep(pause_s)

    async def serve(self, conversation: Conversation) -> None:
        """Follow one rotation; for ``Reception``'s ``more``."""
        party = self._user.party
        self._on_key(await follow_rotation(conversation, party, self._slot, name=self._name, leader=self._peer))
