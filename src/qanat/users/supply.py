"""The client as the services' supply of keys: a recipient may stand for several, who all get the same keys."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from qanat.client import Etsi014Client
from qanat.ground.errors import ChannelClosed, ChannelError, ChannelTimeout, KeyShortage, LinkFailed
from qanat.ground.identifiers import KeyID, NodeId, SaeId, members_of
from qanat.ground.keys import KeyStatus, SecretKey
from qanat.ground.ports import KeySupply

CALLS_AT_ONCE = 32
"""More would wait for a free connection to the door, and those at the end of the queue give up."""
LONG_S = 1.0
"""A call for keys that takes longer is waiting for some."""


class KeyManagerLost(ChannelClosed):
    """The line to our own key manager failed, or it does not answer: nothing that the other end could help."""


class ClientSupply:
    """The port ``KeySupply`` on a client of an ETSI 014 door, for any number of conversations at once. Raises
    KeyManagerLost in place of every ChannelError."""

    def __init__(self, client: Etsi014Client) -> None:
        self._client = client
        self._places = asyncio.Semaphore(CALLS_AT_ONCE)

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        async with self._places, _as_lost():
            return await self._client.get_status(members_of(peer)[0])

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        first, *others = members_of(peer)
        async with self._places, _as_lost():
            return await self._client.get_keys(first, count=count, size_bits=size_bits, more_slaves=others)

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        async with self._places, _as_lost():
            return await self._client.get_keys_by_id(peer, key_ids)


@contextlib.asynccontextmanager
async def _as_lost() -> AsyncIterator[None]:
    try:
        yield
    except ChannelError as fault:
        raise KeyManagerLost(fault.message, remedy=fault.remedy) from fault


@dataclass(frozen=True, slots=True)
class TakenKey:
    """What may be told of a key that was taken to seal by: everything but the key.

    ``routes``: the sites it came over, one route per share. ``qkd_bits``: bits of link key it took on all its hops.
    """

    peer: SaeId
    key_id: KeyID
    size_bits: int
    hops: int
    qkd_bits: int
    routes: tuple[tuple[NodeId, ...], ...]

    @classmethod
    def of(cls, key: SecretKey, peer: SaeId) -> TakenKey:
        """Return what may be told of ``key``, whose bytes must still be there."""
        record = key.record
        return cls(peer, key.key_id, key.size_bits, record.hops, record.qkd_bits_spent, record.routes)


class TellingSupply:
    """A supply that says when keys are waited for: where a call takes long, or has to be made again.

    It says so once, or ``every_time`` that a wait begins; ``on_key`` hears of each key. ``limit_s``: a key manager that
    has not answered a call by then, nor refused it, is given up; a key that it gives later is lost. ``shortage``: why
    there was no key at the last call, None once there was.
    """

    def __init__(
        self,
        supply: KeySupply,
        *,
        say: Callable[[SaeId], None],
        on_key: Callable[[TakenKey], None] = lambda _: None,
        every_time: bool = False,
        limit_s: float | None = None,
    ) -> None:
        self._supply = supply
        self._say = say
        self._limit_s = limit_s
        self._on_key = on_key
        self._every_time = every_time
        self._said = set[SaeId]()
        self.shortage: KeyShortage | None = None
        self.is_unanswered = False
        """Whether the last call was given up before the key manager had answered it."""

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        waiting = asyncio.get_running_loop().call_later(LONG_S, self._tell, peer)
        self.is_unanswered = False
        try:
            async with asyncio.timeout(self._limit_s):
                keys = await self._supply.get_keys(peer, count=count, size_bits=size_bits)
        except TimeoutError:
            raise ChannelTimeout(
                f"the key manager has not answered for {self._limit_s:g} s",
                remedy="see whether it runs, or hangs",
            ) from None
        except asyncio.CancelledError:
            self.is_unanswered = True
            raise
        except LinkFailed:  # nobody waits for that
            raise
        except KeyShortage as shortage:
            self.shortage = shortage
            self._tell(peer)
            raise
        finally:
            waiting.cancel()
        self.shortage = None
        if self._every_time:
            self._said.discard(peer)
        for key in keys:
            self._on_key(TakenKey.of(key, peer))
        return keys

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return await self._supply.get_keys_by_id(peer, key_ids)

    def _tell(self, peer: SaeId) -> None:
        if peer not in self._said:
            self._said.add(peer)
            self._say(peer)
