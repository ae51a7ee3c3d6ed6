"""Proof that both ends hold the same keys: fingerprints under a key that lives as long as the demonstration.

A plain hash of a key would be something to search with; an HMAC under a secret that nobody keeps is not. Fingerprints
never leave this process.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from qanat.ground.identifiers import BlockId, KeyID, LinkId, ModuleId, NodeId, OrderId, SaeId
from qanat.ground.keys import KeyBlock, KeyStatus, Origin, SecretBytes, SecretKey
from qanat.ground.orders import GenerationOrder, LinkCapability, ModuleEvent
from qanat.ground.ports import Entropy, KeySupply, QKDModule


class KeyProof:
    """Collects fingerprints of blocks from both modules of each link, and of keys from both applications."""

    def __init__(self, entropy: Entropy) -> None:
        self._hmac_key = entropy.secret_bytes(32)
        self.blocks: dict[LinkId, dict[BlockId, dict[NodeId, bytes]]] = defaultdict(lambda: defaultdict(dict))
        self.keys: dict[KeyID, dict[SaeId, bytes]] = defaultdict(dict)

    def fingerprint(self, secret: SecretBytes) -> bytes:
        return hmac.digest(self._hmac_key.reveal(), secret.reveal(), hashlib.sha256)

    def watch_module(self, module: QKDModule) -> QKDModule:
        """Return the module with every fetched block noted."""
        return _WatchedModule(module, self)

    def watch_supply(self, supply: KeySupply, sae: SaeId) -> KeySupply:
        """Return the supply with every key handed to ``sae`` noted."""
        return _WatchedSupply(supply, sae, self)

    def blocks_are_identical(self, link_id: LinkId) -> bool:
        """Return whether the link made blocks, and every one came out alike at both its ends."""
        blocks = self.blocks[link_id].values()
        return bool(blocks) and all(len(ends) == 2 and len(set(ends.values())) == 1 for ends in blocks)

    def keys_are_identical(self) -> bool:
        """Return whether keys were handed out, and every one was alike at both applications."""
        return bool(self.keys) and all(len(ends) == 2 and len(set(ends.values())) == 1 for ends in self.keys.values())


class _WatchedModule:
    def __init__(self, module: QKDModule, proof: KeyProof) -> None:
        self._module = module
        self._proof = proof
        self.node: NodeId = module.node
        self.module_id: ModuleId = module.module_id
        self.origin: Origin = module.origin

    def capability(self, peer: NodeId, /) -> LinkCapability:
        return self._module.capability(peer)

    async def start(self, order: GenerationOrder, /) -> None:
        await self._module.start(order)

    async def stop(self, order_id: OrderId, /) -> None:
        await self._module.stop(order_id)

    def events(self) -> AsyncIterator[ModuleEvent]:
        return self._module.events()

    async def fetch(self, block_id: BlockId, /) -> KeyBlock:
        block = await self._module.fetch(block_id)
        self._proof.blocks[block.link_id][block_id][self.node] = self._proof.fingerprint(block.bits)
        return block

    async def release(self, block_id: BlockId, /, *, kept: bool) -> None:
        await self._module.release(block_id, kept=kept)


class _WatchedSupply:
    def __init__(self, supply: KeySupply, sae: SaeId, proof: KeyProof) -> None:
        self._supply = supply
        self._sae = sae
        self._proof = proof

    async def get_status(self, peer: SaeId, /) -> KeyStatus:
        return await self._supply.get_status(peer)

    async def get_keys(self, peer: SaeId, /, *, count: int, size_bits: int) -> Sequence[SecretKey]:
        return self._noted(await self._supply.get_keys(peer, count=count, size_bits=size_bits))

    async def get_keys_by_id(self, peer: SaeId, key_ids: Sequence[KeyID], /) -> Sequence[SecretKey]:
        return self._noted(await self._supply.get_keys_by_id(peer, key_ids))

    def _noted(self, keys: Sequence[SecretKey]) -> Sequence[SecretKey]:
        for key in keys:
            self._proof.keys[key.key_id][self._sae] = self._proof.fingerprint(key.secret)
        return keys
