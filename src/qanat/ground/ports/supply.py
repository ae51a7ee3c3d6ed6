"""What an application sees of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from qanat.ground.identifiers import KeyID, SaeId
from qanat.ground.keys import KeyStatus, SecretKey


class KeySupply(Protocol):
    """One SAE's view: keys with a peer, asked for by the one and fetched by id by the other."""

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        """Return what is in stock with ``peer``."""
        ...

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        """Return fresh keys shared with ``peer``, as master. Raises KeyShortage with a hint when to come again."""
        ...

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        """Return, as slave, the keys that ``peer`` was given under these ids."""
        ...
