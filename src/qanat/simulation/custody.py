"""Where blocks and keys lie, and whether they may: who counts, keeps, voids and forgets what.

All of it belongs to the witness's invariants 1 (no third place holds a key) and 4 (promises survive, doubts do not).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence

from qanat.ground.identifiers import BlockId, Epoch, KeyID, NodeId, members_of
from qanat.ground.keys import KeyBlock, SecretKey
from qanat.ground.network import Network
from qanat.key_management.intake import ANNOUNCED
from qanat.simulation.batches import Batch
from qanat.simulation.memory_disk import Disk


class Custody:
    """Follows blocks and keys over all nodes. ``violation`` hears what is wrong."""

    def __init__(self, network: Network, disks: Mapping[NodeId, Disk], violation: Callable[[str], None]) -> None:
        self._network = network
        self._disks = disks
        self._violation = violation
        self._peers: dict[tuple[NodeId, BlockId], NodeId] = {}
        self._confirmed: dict[tuple[NodeId, BlockId], None] = {}
        self._heard_missing: dict[tuple[NodeId, BlockId], None] = {}
        self._failed: dict[str, Epoch] = {}
        self._voided: dict[str, Epoch] = {}

    # --- blocks ---

    def block_added(self, node: NodeId, block: KeyBlock) -> None:
        self._peers[node, block.block_id] = block.peer

    def block_confirmed(self, node: NodeId, block_id: BlockId) -> None:
        """A block counts only once both ends have it. Initial keys were carried to both before anything ran."""
        self._confirmed[node, block_id] = None
        peer = self._peers.get((node, block_id))
        if peer is not None and (peer, block_id) not in self._peers:
            self._violation(f"4: {node} counts block {block_id}, which {peer} has never held")

    def missing_said(self, sender: NodeId, block_ids: Sequence[BlockId]) -> None:
        """A node asks its peer to void blocks: it must not count them itself."""
        for block_id in block_ids:
            block = self._disks[sender].blocks.get(block_id)
            if block is not None and block.confirmed and not block.voided:
                self._violation(f"4: {sender} says that it misses block {block_id}, which it counts")

    def missing_heard(self, node: NodeId, block_ids: Sequence[BlockId]) -> None:
        self._heard_missing.update(((node, block_id), None) for block_id in block_ids)

    def counted_blocks(self, node: NodeId) -> Collection[BlockId]:
        blocks = self._disks[node].blocks.items()
        return [block_id for block_id, block in blocks if block.confirmed and not block.voided]

    def blocks_voided(self, node: NodeId, counted_before: Collection[BlockId]) -> None:
        """A node has voided something: a block that counted only when it had heard that its peer misses it."""
        for block_id in counted_before:
            if self._disks[node].blocks[block_id].voided and (node, block_id) not in self._heard_missing:
                self._violation(f"4: {node} voided the confirmed block {block_id}, which its peer does not miss")

    # --- keys ---

    def keys_put(self, node: NodeId, keys: Sequence[SecretKey]) -> None:
        """Keys lie at their master's and their slave's node, and nowhere between."""
        for key in keys:
            if node != self._node_of_master(key) and node not in self._nodes_of_slaves(key):
                self._violation(f"1: {node} keeps key {key.key_id}, which only passes it")

    def node_started(self, node: NodeId) -> None:
        """What was in doubt when the last process ended is gone before the next one serves, but for what a satellite
        has announced, of which the peer is asked again."""
        disk = self._disks[node]
        keys = [key_id for key_id, held in disk.keys.items() if not held.confirmed]
        blocks = [
            block_id
            for block_id, block in disk.blocks.items()
            if not block.confirmed
            and block.protocol != ANNOUNCED
            and any(share.left_bits for share in block.shares.values())
        ]
        if keys or blocks:
            self._violation(f"4: {node} starts with {len(keys)} keys and {len(blocks)} blocks that are in doubt")

    def relay_failed(self, node: NodeId, relay_id: str) -> None:
        """The origin of a batch has given it up."""
        self._failed[relay_id] = Epoch(self._disks[node].epoch)

    def relay_voided(self, relay_id: str, epoch: Epoch) -> None:
        """The last node of a batch promises, for as long as it runs, that it neither holds it nor will."""
        self._voided[relay_id] = epoch

    # --- at the end ---

    def check_blocks(self) -> None:
        """A confirmed block is still there, if only as the memory of one that was voided."""
        for node, block_id in self._confirmed:
            if block_id not in self._disks[node].blocks:
                self._violation(f"4: confirmed block {block_id} is gone at {node}")

    def check_doubts(self, batches: Mapping[str, Batch]) -> None:
        """When no request is under way: nothing is in doubt, and what was given up lies nowhere.

        A process that dies forgets its doubts and its promises; what that leaves behind is ``count_orphans``' affair.
        """
        for node, disk in self._disks.items():
            doubtful = [key_id for key_id, held in disk.keys.items() if not held.confirmed]
            if doubtful:
                self._violation(f"4: {len(doubtful)} keys at {node} are in doubt for ever, such as {doubtful[0]}")
        for relay_id, batch in batches.items():
            route, key_ids = batch.any.route, batch.key_ids
            first, last = self._disks[route[0]], self._disks[route[-1]]
            promised = self._voided.get(relay_id)
            was_forgotten = promised is not None and promised != last.epoch
            given_up = self._failed.get(relay_id) == first.epoch
            if given_up and not first.keys.keys().isdisjoint(key_ids):
                self._violation(f"4: relay {relay_id} was given up, and {route[0]} still holds its keys")
            is_due = (given_up and not was_forgotten) or (promised is not None and not was_forgotten)
            if is_due and not last.keys.keys().isdisjoint(key_ids):
                self._violation(f"4: relay {relay_id} was given up, and {route[-1]} still holds its keys")

    def count_orphans(self, supplied_to_master: Container[KeyID]) -> int:
        """Return how many keys wait at a slave's node that its master neither holds nor was ever supplied."""
        orphans = 0
        for node, disk in self._disks.items():
            for key_id, held in disk.keys.items():
                master = self._node_of_master(held.key)
                is_held = key_id in self._disks[master].keys
                orphans += node != master and not is_held and key_id not in supplied_to_master
        return orphans

    def _node_of_master(self, key: SecretKey) -> NodeId:
        return self._network.site_of(key.pair.master).node

    def _nodes_of_slaves(self, key: SecretKey) -> Collection[NodeId]:
        return {self._network.site_of(slave).node for slave in members_of(key.pair.slave)}
