"""The port of the key store: the only memory that survives a crash."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from qanat.ground.identifiers import BlockId, Epoch, KeyID, NodeId, RequestId, SaeId, SaePair
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import BitRange, BlockName, KeyBlock, PoolId, PoolLevel, SecretKey, Selection, SpentBits, Use
from qanat.ground.life_cycle import Stage
from qanat.ground.requirements import ANY_KEY, KeyFit, Repeatable
from qanat.ground.stock import AgeLimits, Expired, NamedEpoch


class KeyStore(Protocol):
    """Keys AND pads. Every call is ONE durable transaction and returns after its commit.

    A call that raises has changed nothing. StoreFailed says that the machine could not make it durable. Keys and blocks
    go from stage to stage as the table in ``ground.life_cycle`` has it.
    """

    async def open_epoch(self, *, name: str = "", above: int = 0) -> Epoch:
        """Begin a new epoch, one above the last, and keep its ``name``; calls of an older epoch's writer raise
        StaleEpoch from now on. ``above``: this store was found to be an older copy of one that had come so far; the
        new epoch is above that too."""
        ...

    async def mark_epoch(self) -> NamedEpoch | None:
        """Add a mark to this epoch's name when bits were spent or keys supplied since the last one, and return the
        epoch as it is named now; None when there is nothing to mark."""
        ...

    async def is_own_epoch(self, epoch: NamedEpoch, /) -> bool:
        """Return whether this store has lived through an epoch of this number and name, as far as its mark. An older
        copy of a store has not lived through what came later, and its next epoch of the same number has another
        name."""
        ...

    async def restored_epoch(self) -> int:
        """Return the number of the last epoch that began ``above`` another one; 0 when none did."""
        ...

    async def peer_epoch(self, peer: NodeId, /) -> NamedEpoch | None:
        """Return the epoch that ``remember_peer`` has kept last."""
        ...

    async def remember_peer(self, peer: NodeId, epoch: NamedEpoch, /) -> None:
        """Keep the epoch of a peer's store."""

    async def terms(self) -> int:
        """Return the number that ``remember_terms`` has kept last; 0 when none was kept."""
        ...

    async def remember_terms(self, terms: int, /) -> None:
        """Keep a number, from 0 to below 2**63, for what sites stated of the ways of their keys when this store was
        last brought in line with it."""

    async def add_block(self, block: KeyBlock, /) -> None:
        """Keep a block, cut by ``split_block``; not spendable yet. Idempotent by ``block_id``, for ever: a block that
        was confirmed, spent or voided does not come back."""

    async def confirm(self, block_id: BlockId, /) -> None:
        """Make a block spendable: the peer is durable too. Idempotent; raises BlockUnknown."""

    async def spend(self, pool: PoolId, /, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        """Take the oldest ``num_bits`` confirmed bits of a pool, for good. Raises KeyShortage."""
        ...

    async def spend_range(self, pool: PoolId, bits: BitRange, /, *, use: Use) -> SpentBits:
        """Take just these bits: the half of a spend that the peer began. A block that is still unconfirmed here is
        spendable this way (the peer's spend proves that it holds it). Raises PadReused when any of them was spent
        before, BlockUnknown when the block is not here."""
        ...

    async def spend_into_block(
        self, pool: PoolId, bits: BitRange, /, *, use: Use, make: Callable[[SpentBits], KeyBlock | None]
    ) -> None:
        """Take bits as ``spend_range`` does, and keep the block that ``make`` makes of them as ``add_block`` does: both
        or nothing. Where it makes None of them, the bits are taken all the same. Raises what ``spend_range`` raises."""

    async def spend_on_notice(
        self,
        pools: tuple[PoolId, PoolId],
        /,
        *,
        num_bits: int,
        use: Use,
        notice_id: str,
        write: Callable[[SpentBits, SpentBits], bytes],
    ) -> None:
        """Take the oldest ``num_bits`` confirmed bits of each of two pools, and keep what ``write`` makes of them: a
        public text that is to be said until it was heard. Both or nothing: raises KeyShortage. What ``write`` is given
        is its own to wipe."""

    async def notice_ids(self) -> Sequence[str]:
        """Return the ids of the texts that are still to be said, the oldest first."""
        ...

    async def notice(self, notice_id: str, /) -> bytes | None:
        """Return a text that is still to be said; None where there is none."""
        ...

    async def drop_notice(self, notice_id: str, /) -> None:
        """Forget a text that was heard by all. Idempotent."""

    async def put(self, keys: Sequence[SecretKey], /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        """Keep keys for the SAEs ``entitled``. Idempotent by key id while the key is held; a key id that was held
        before and is gone raises PadReused."""

    async def put_batch(self, batch: KeyBatch, /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        """Keep the keys of a batch: the same as ``put`` with each of them, with less work."""

    async def supply(
        self,
        pair: SaePair,
        /,
        *,
        count: int,
        size_bits: int,
        request_id: RequestId,
        fit: KeyFit = ANY_KEY,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        """Hand the master of ``pair`` its oldest ``count`` confirmed keys of this size that ``fit``: its right to them
        ends with the commit. Raises KeyShortage (all or nothing). With ``repeat`` the answer is kept, and the same call
        is answered by the same keys (``repeated``)."""
        ...

    async def supply_by_id(
        self,
        key_ids: Sequence[KeyID],
        /,
        *,
        sae: SaeId,
        master: SaeId | None = None,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        """Hand ``sae`` these keys, in this order, all or none; its right to them ends with the commit. With ``master``,
        keys of another master are not found: whoever was led to believe in another partner must not get the key that
        would confirm it. ``repeat`` as for ``supply``. Raises KeyNotFound, NotEntitled."""
        ...

    async def repeated(self, call: Repeatable, /) -> Sequence[SecretKey] | None:
        """Return the keys that the same call was supplied, while they are kept for it; else None. Raises BadParameter
        when its nonce came with another request."""
        ...

    async def forget_answers(self, *, now_monotonic_s: float, window_s: float) -> int:
        """Destroy the answers kept for calls that may be repeated, as far as their time has passed; returns how many
        were. Those of earlier epochs begin a window of ``window_s`` anew."""
        ...

    async def confirm_keys(self, key_ids: Sequence[KeyID], /) -> None:
        """Make keys put with ``confirmed=False`` suppliable. Idempotent; raises KeyNotFound (all or none)."""

    async def confirm_batch(self, ids: KeyIds, /) -> None:
        """Make all keys of a batch suppliable: the same as ``confirm_keys`` with their ids, with less work."""

    async def confirm_and_supply(
        self,
        ids: KeyIds,
        /,
        *,
        pair: SaePair,
        size_bits: int,
        request_id: RequestId,
        from_stock: int = 0,
        fit: KeyFit = ANY_KEY,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey] | None:
        """``confirm_batch``, and hand the master of ``pair`` just these keys, after the oldest ``from_stock`` that
        ``supply`` would have handed it before. Return None where those are not there: then these are in stock too. An
        answer that is kept for ``repeat`` is returned instead, and these are in stock. Raises KeyNotFound, and confirms
        none; NotEntitled."""
        ...

    async def void(self, selection: Selection, /) -> int:
        """Destroy blocks and keys; returns how many were. Idempotent. Raises BadParameter for what is no key id."""
        ...

    async def expire(self, limits: AgeLimits, /, *, monotonic_s: float, utc_s: float) -> Expired:
        """Destroy what is older than ``limits`` allow; return what it was.

        Stock is as old as the ``StockTime`` of the store that has passed since it came; it hears of the clocks here
        alone, so what came after the last call counts as old as that call.
        """
        ...

    async def block_stage(self, block_id: BlockId, /) -> Stage | None:
        """Return where a block stands; None when it never came."""
        ...

    async def unconfirmed_blocks(self, protocol: str, /) -> Sequence[BlockName]:
        """Return the blocks of this protocol that are here and not confirmed yet, the oldest first."""
        ...

    async def key_stage(self, key_id: KeyID, /) -> Stage | None:
        """Return where a key stands; None when it never came."""
        ...

    async def held_keys(self) -> Mapping[SaePair, int]:
        """Return how many keys of every pair are held, in whatever stage."""
        ...

    async def levels(self) -> Mapping[PoolId, PoolLevel]:
        """Return what every pool holds."""
        ...

    async def count_keys(self, pair: SaePair, /, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        """Return how many confirmed keys of this size that ``fit`` the master of ``pair`` could be supplied."""
        ...
