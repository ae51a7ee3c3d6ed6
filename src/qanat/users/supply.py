"""The client as the services' supply of keys: a recipient may stand for several, who all get the same keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from qanat.client import Etsi014Client
from qanat.ground.errors import KeyShortage, LinkFailed
from qanat.ground.identifiers import KeyID, SaeId, members_of
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.ports import KeySupply

CALLS_AT_ONCE = 32
"""More would wait for a free connection to the door, and those at the end of the queue give up."""
LONG_S = 1.0
"""A call for keys that takes longer is waiting for some."""


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


class TellingSupply:
    """A supply that says once when keys are waited for: where a call takes long, or has to be made again."""

    def __init__(self, supply: KeySupply, *, say: Callable[[], None]) -> None:
        self._supply = supply
        self._say = say
        self._has_said = False

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        waiting = asyncio.get_running_loop().call_later(LONG_S, self._tell)
        try:
            return await self._supply.get_keys(peer, count=count, size_bits=size_bits)
        except LinkFailed:  # nobody waits for that
            raise
        except KeyShortage:
            self._tell()
            raise
        finally:
            waiting.cancel()

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return await self._supply.get_keys_by_id(peer, key_ids)

    def _tell(self) -> None:
        if not self._has_said:
            self._has_said = True
            self._say()
