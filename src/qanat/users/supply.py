"""The client as the services' supply of keys: a recipient may stand for several, who all get the same keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from qanat.client import Etsi014Client
from qanat.ground.identifiers import KeyID, SaeId, members_of
from qanat.ground.keys import KeyStatus, SecretKey

CALLS_AT_ONCE = 32
"""More would wait for a free connection to the door, and those at the end of the queue give up."""


class ClientSupply:
    """The port ``KeySupply`` on a client of an ETSI 014 door, for any number of conversations at once."""

    def __init__(self, client: Etsi014Client) -> None:
        self._client = client
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        async with self._places:
            return await self._client.get_status(members_of(peer)[0])

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        first, *others = members_of(peer)
        async with self._places:
            return await self._client.get_keys(first, count=count, size_bits=size_bits, more_slaves=others)

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        async with self._places:
            return await self._client.get_keys_by_id(peer, key_ids)
