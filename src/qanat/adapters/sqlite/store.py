"""The KeyStore port on one SQLite file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from qanat.adapters.encryption import KEY_BYTES, MasterKey
from qanat.adapters.sqlite.database import Database
from qanat.adapters.sqlite.joint_calls import SupplyAction
from qanat.adapters.sqlite.writer import StoreWriter
from qanat.adapters.system import SystemEntropy
from qanat.ground.bits import whole_bytes
from qanat.ground.errors import BadParameter, ConfigurationError, KeyShortage, StaleEpoch, StoreFailed
from qanat.ground.identifiers import BlockId, Epoch, KeyID, NodeId, RequestId, SaeId, SaePair, canonical_key_id
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import (
    BitRange,
    BlockName,
    KeyBlock,
    PoolId,
    PoolLevel,
    SecretBytes,
    SecretKey,
    Selection,
    SpentBits,
    Use,
)
from qanat.ground.life_cycle import Stage
from qanat.ground.ports import Entropy
from qanat.ground.requirements import ANY_KEY, KeyFit, Repeatable
from qanat.ground.stock import AgeLimits, Expired, NamedEpoch

T = TypeVar("T")


class SqliteKeyStore:
    """A handle on a key store; every call is one durable transaction in the writer's thread.

    The file belongs to one process. Within it several handles may be open: the one that opened the last epoch works,
    the others raise StaleEpoch.
    """

    def __init__(
        self, database: Database, writer: StoreWriter, on_failed: Callable[[StoreFailed], None] = lambda _: None
    ) -> None:
        self._database = database
        self._writer = writer
        self._on_failed = on_failed
        self._epoch = database.epoch
        self._closed = False

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        master_key: MasterKey,
        writer: StoreWriter,
        entropy: Entropy | None = None,
        on_failed: Callable[[StoreFailed], None] = lambda _: None,
    ) -> SqliteKeyStore:
        """Open the store in ``path``, made (mode 0600) when it is not there. ``master_key`` stays the caller's.
        ``on_failed`` hears of each call that the disk or the file does not let happen, which raises StoreFailed.

        Raises ConfigurationError: in use by another process, another master key, written by a newer program, no store;
        a token that does not give its key.
        """
        if isinstance(master_key, SecretBytes) and len(master_key) != KEY_BYTES:
            raise ConfigurationError(
                f"a master key has {KEY_BYTES} bytes, this one has {len(master_key)}", remedy="name the right key file"
            )
        database = await writer.open(path, master_key=master_key, entropy=entropy or SystemEntropy())
        return cls(database, writer, on_failed)

    async def close(self) -> None:
        """Give the file back; the writer goes on. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._writer.release(self._database)

    async def open_epoch(self, *, name: str = "", above: int = 0) -> Epoch:
        """Begin a new epoch; older handles raise StaleEpoch from now on."""

        def begin() -> int:
            # at once, so that calls of this handle in the same commit are not taken for those of an older one
            self._epoch = self._database.epochs.begin(name=name, above=above)
            return self._epoch

        return Epoch(await self._written(begin))

    async def mark_epoch(self) -> NamedEpoch | None:
        """Add a mark to the epoch's name if stock was used since the last one."""
        try:
            return await self._commit(self._database.epochs.mark)
        except StoreFailed:
            self._database.epochs.is_used = True
            raise

    async def is_own_epoch(self, epoch: NamedEpoch, /) -> bool:
        """Return whether this store has lived through that epoch."""
        return await self._commit(lambda: self._database.epochs.is_own(epoch))

    async def restored_epoch(self) -> int:
        """Return the number of the epoch that began after the last restore; 0 without one."""
        return await self._commit(self._database.epochs.restored_epoch)

    async def peer_epoch(self, peer: NodeId, /) -> NamedEpoch | None:
        """Return what is remembered of a peer's store."""
        return await self._commit(lambda: self._database.epochs.peer(peer))

    async def remember_peer(self, peer: NodeId, epoch: NamedEpoch, /) -> None:
        """Remember the epoch of a peer's store."""
        await self._commit(lambda: self._database.epochs.remember_peer(peer, epoch))

    async def terms(self) -> int:
        """Return the number that was remembered of what sites stated; 0 without one."""
        return await self._commit(self._database.epochs.terms)

    async def remember_terms(self, terms: int, /) -> None:
        """Remember the number of what sites state of the ways of their keys."""
        await self._commit(lambda: self._database.epochs.remember_terms(terms))

    async def add_block(self, block: KeyBlock, /) -> None:
        """Keep a block, cut by ``split_block``, unconfirmed. Idempotent by id for ever."""
        database = self._database
        await self._commit(lambda: database.block_tables.add(block, stored_s=database.epochs.time.now_s))

    async def confirm(self, block_id: BlockId, /) -> None:
        """Make a block spendable; raises BlockUnknown."""
        await self._commit(lambda: self._database.block_tables.confirm(block_id))

    async def spend(self, pool: PoolId, /, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        """Take the oldest confirmed bits of a pool, for good; raises KeyShortage."""
        if whole_bytes(num_bits) <= 0:
            raise ValueError("a spend takes at least 8 bits")
        return await self._use(
            lambda: self._database.block_tables.spend(pool, num_bits=num_bits, use=use, request_id=request_id)
        )

    async def spend_range(self, pool: PoolId, bits: BitRange, /, *, use: Use) -> SpentBits:
        """Take just these bits; raises PadReused, BlockUnknown."""
        if not bits.slices:
            raise ValueError("a range to spend has at least one slice")
        return await self._use(lambda: self._database.block_tables.spend_range(pool, bits, use=use))

    async def spend_into_block(
        self, pool: PoolId, bits: BitRange, /, *, use: Use, make: Callable[[SpentBits], KeyBlock | None]
    ) -> None:
        """Take just these bits, and keep the block that is made of them; raises PadReused, BlockUnknown."""
        database = self._database

        def spend() -> None:
            block = make(database.block_tables.spend_range(pool, bits, use=use))
            if block is not None:
                database.block_tables.add(block, stored_s=database.epochs.time.now_s)

        await self._use(spend)

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
        """Take bits of two pools for good and keep what is to be said of them; raises KeyShortage."""
        blocks, notices = self._database.block_tables, self._database.notices

        def spend() -> None:
            one, other = (
                blocks.spend(pool, num_bits=num_bits, use=use, request_id=RequestId(notice_id)) for pool in pools
            )
            notices.keep(notice_id, write(one, other))

        await self._use(spend)

    async def notice_ids(self) -> Sequence[str]:
        """Return the ids of the texts that are still to be said, the oldest first."""
        return await self._commit(self._database.notices.ids)

    async def notice(self, notice_id: str, /) -> bytes | None:
        """Return a text that is still to be said, or None."""
        return await self._commit(lambda: self._database.notices.text(notice_id))

    async def drop_notice(self, notice_id: str, /) -> None:
        """Forget a text that was heard by all."""
        await self._commit(lambda: self._database.notices.drop(notice_id))

    async def put(self, keys: Sequence[SecretKey], /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        """Keep keys for the SAEs ``entitled``; raises PadReused for an id that was here and is gone."""
        if not entitled:
            raise ValueError("a key that nobody is entitled to cannot be kept")
        for key in keys:
            if canonical_key_id(key.key_id) != key.key_id:
                raise BadParameter(f"{key.key_id!r} is no canonical key id", remedy="lower case, 36 characters")
        database = self._database
        await self._commit(
            lambda: database.key_tables.put(
                keys, entitled=entitled, confirmed=confirmed, stored_s=database.epochs.time.now_s
            )
        )

    async def put_batch(self, batch: KeyBatch, /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        """Keep a batch for the SAEs ``entitled``; raises PadReused for an id that was here and is gone."""
        if not entitled:
            raise ValueError("a key that nobody is entitled to cannot be kept")
        database = self._database
        await self._commit(
            lambda: database.key_tables.put_batch(
                batch, entitled=entitled, confirmed=confirmed, stored_s=database.epochs.time.now_s
            )
        )

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
        """Hand the master its oldest confirmed keys of this size; raises KeyShortage."""
        if count < 1:
            raise ValueError(f"at least one key is supplied, not {count}")
        tables = self._database.key_tables
        if repeat is None and fit == ANY_KEY:
            action = SupplyAction(self._begin_use, tables, pair, size_bits, count, request_id)
            return await self._written(action)
        return await self._answer(
            repeat, lambda: tables.supply(pair, count=count, size_bits=size_bits, request_id=request_id, fit=fit)
        )

    async def supply_by_id(
        self,
        key_ids: Sequence[KeyID],
        /,
        *,
        sae: SaeId,
        master: SaeId | None = None,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        """Hand ``sae`` these keys, all or none; raises KeyNotFound, NotEntitled."""
        wanted = [canonical_key_id(key_id) for key_id in key_ids]
        return await self._answer(
            repeat, lambda: self._database.key_tables.supply_by_id(wanted, sae=sae, master=master)
        )

    async def repeated(self, call: Repeatable, /) -> Sequence[SecretKey] | None:
        """Return what this call was answered before, if that is still kept; raises BadParameter."""
        return await self._commit(lambda: self._database.answers.find(call, epoch=self._epoch))

    async def forget_answers(self, *, now_monotonic_s: float, window_s: float) -> int:
        """Destroy the answers that are past their time; returns how many were."""
        answers, epoch = self._database.answers, self._epoch
        return await self._commit(
            lambda: answers.forget(now_monotonic_s=now_monotonic_s, window_s=window_s, epoch=epoch)
        )

    async def confirm_keys(self, key_ids: Sequence[KeyID], /) -> None:
        """Make keys suppliable; raises KeyNotFound (all or none)."""
        wanted = [canonical_key_id(key_id) for key_id in key_ids]
        await self._commit(lambda: self._database.key_tables.confirm(wanted))

    async def confirm_batch(self, ids: KeyIds, /) -> None:
        """Make all keys of a batch suppliable; raises KeyNotFound (all or none)."""
        await self._commit(lambda: self._database.key_tables.confirm_batch(ids))

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
        """Make a batch suppliable, and hand it to the master after ``from_stock`` others; None where those are not
        there. Raises KeyNotFound, NotEntitled."""
        tables, answers = self._database.key_tables, self._database.answers

        def confirm_and_give() -> Sequence[SecretKey] | None:
            keys = None if repeat is None else answers.find(repeat, epoch=self._epoch)
            wanted, older = keys is None, list[SecretKey]()
            if wanted and from_stock:
                try:
                    older += tables.supply(pair, count=from_stock, size_bits=size_bits, request_id=request_id, fit=fit)
                except KeyShortage:
                    wanted = False
            tables.confirm_batch(ids)
            if wanted:
                keys = [*older, *tables.give_batch(ids, master=pair.master)]
                if repeat is not None:
                    answers.keep(repeat, keys, epoch=self._epoch)
            return keys

        return await self._use(confirm_and_give)

    async def void(self, selection: Selection, /) -> int:
        """Destroy blocks and keys; returns how many were. The write-ahead log is emptied after it."""
        database, key_ids = self._database, frozenset(map(canonical_key_id, selection.key_ids))
        wanted = replace(selection, key_ids=key_ids)
        count = await self._commit(lambda: database.block_tables.void(wanted) + database.key_tables.void(wanted))
        if count:
            await self._writer.truncate_log(database)
        return count

    async def expire(self, limits: AgeLimits, /, *, monotonic_s: float, utc_s: float) -> Expired:
        """Destroy what is too old, and hour keys that nothing is left of. The write-ahead log is emptied after it."""
        database = self._database

        def expire_old() -> Expired:
            now_s = database.epochs.tick(monotonic_s=monotonic_s, utc_s=utc_s)
            expired = Expired(
                database.key_tables.expire(limits, now_s=now_s), database.block_tables.expire(limits, now_s=now_s)
            )
            database.hour_keys.destroy_unused()
            return expired

        expired = await self._commit(expire_old)
        if expired:
            await self._writer.truncate_log(database)
        return expired

    async def block_stage(self, block_id: BlockId, /) -> Stage | None:
        """Return where a block stands in its life; None when it never came."""
        return await self._commit(lambda: self._database.block_tables.stage(block_id))

    async def unconfirmed_blocks(self, protocol: str, /) -> Sequence[BlockName]:
        """Return the blocks of a protocol that are here and not confirmed yet, the oldest first."""
        return await self._commit(lambda: self._database.block_tables.unconfirmed(protocol))

    async def key_stage(self, key_id: KeyID, /) -> Stage | None:
        """Return where a key stands in its life; None when it never came."""
        return await self._commit(lambda: self._database.key_tables.stage(canonical_key_id(key_id)))

    async def held_keys(self) -> Mapping[SaePair, int]:
        """Return how many keys of every pair are held, supplied to one end or not."""
        return await self._commit(self._database.key_tables.held)

    async def levels(self) -> Mapping[PoolId, PoolLevel]:
        """Return what every pool holds."""
        database = self._database
        return await self._commit(lambda: database.block_tables.levels(now_s=database.epochs.time.now_s))

    async def count_keys(self, pair: SaePair, /, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        """Return how many confirmed keys of this size the master of ``pair`` could be supplied."""
        return await self._commit(lambda: self._database.key_tables.count(pair, size_bits=size_bits, fit=fit))

    async def _answer(
        self, repeat: Repeatable | None, supply: Callable[[], Sequence[SecretKey]]
    ) -> Sequence[SecretKey]:
        """Supply, or say again what the same call was supplied; in one transaction with its keeping."""
        answers = self._database.answers

        def once() -> Sequence[SecretKey]:
            if repeat is None:
                return supply()
            if (earlier := answers.find(repeat, epoch=self._epoch)) is not None:
                return earlier
            keys = supply()
            answers.keep(repeat, keys, epoch=self._epoch)
            return keys

        return await self._use(once)

    async def _use(self, action: Callable[[], T]) -> T:
        """Commit what uses stock up. The writer works on one call after another, so no use slips past a mark."""

        def noted() -> T:
            self._begin_use()
            return action()

        return await self._written(noted)

    async def _written(self, action: Callable[[], T]) -> T:
        try:
            return await self._writer.commit(self._database, action)
        except StoreFailed as fault:
            self._on_failed(fault)
            raise

    async def _commit(self, action: Callable[[], T]) -> T:
        def fenced() -> T:
            self._require_own_epoch()
            return action()

        return await self._written(fenced)

    def _begin_use(self) -> None:
        self._require_own_epoch()
        self._database.epochs.is_used = True

    def _require_own_epoch(self) -> None:
        """Raise StaleEpoch when another handle has opened an epoch since."""
        if self._epoch < self._database.epoch:
            raise StaleEpoch(
                f"this handle is of epoch {self._epoch}, the key store of epoch {self._database.epoch}",
                remedy="a newer key manager has taken over this store; stop this one",
            )
