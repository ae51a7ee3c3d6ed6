"""A key store in memory, with the port's semantics to the letter. It is "durable" as long as its ``Disk`` lives.

A handle (``MemoryKeyStore``) is one writer; ``reopened`` is another on the same disk, as after a restart. The first
``open_epoch`` of a newer handle fences the older ones. No call awaits anything, so each is one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from qanat.ground.bits import whole_bytes
from qanat.ground.errors import (
    BadParameter,
    BlockUnknown,
    KeyNotFound,
    KeyShortage,
    NotEntitled,
    PadReused,
    StaleEpoch,
)
from qanat.ground.identifiers import BlockId, Epoch, KeyID, NodeId, RequestId, SaeId, SaePair, canonical_key_id
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import (
    BitRange,
    BlockName,
    BlockSlice,
    KeyBlock,
    PoolId,
    PoolLevel,
    SecretBytes,
    SecretKey,
    Selection,
    SpentBits,
    Use,
    split_block,
)
from qanat.ground.life_cycle import Act, Kind, Stage, next_stage, stages_before
from qanat.ground.requirements import ANY_KEY, KeyFit, Repeatable
from qanat.ground.stock import AgeLimits, Expired, NamedEpoch, StockTime
from qanat.simulation.memory_disk import Block, Disk, HeldKey, KeptAnswer, Share


class MemoryKeyStore:
    """See the port ``ground.ports.KeyStore``."""

    def __init__(self, disk: Disk | None = None) -> None:
        self._disk = disk if disk is not None else Disk()
        self._epoch: int | None = None
        self._is_used = False
        self._time = StockTime(saved_s=self._disk.saved_s, saved_utc_s=self._disk.saved_utc_s)

    def reopened(self) -> MemoryKeyStore:
        """Return a new handle on the same disk."""
        return type(self)(self._disk)

    @property
    def disk(self) -> Disk:
        """What all handles share; for those who check it from outside."""
        return self._disk

    async def open_epoch(self, *, name: str = "", above: int = 0) -> Epoch:
        disk = self._disk
        disk.epoch = self._epoch = max(disk.epoch, above) + 1
        disk.own_epochs[disk.epoch], self._is_used = name, False
        if above:
            disk.restored_epoch = disk.epoch
        return Epoch(disk.epoch)

    async def mark_epoch(self) -> NamedEpoch | None:
        disk = self._fenced()
        if not self._is_used:
            return None
        self._is_used = False
        marked = NamedEpoch(disk.epoch, disk.own_epochs[disk.epoch]).next_mark
        disk.own_epochs[disk.epoch] = marked.name
        return marked

    async def is_own_epoch(self, epoch: NamedEpoch, /) -> bool:
        name = self._fenced().own_epochs.get(epoch.number)
        return name is not None and NamedEpoch(epoch.number, name).has_lived_through(epoch)

    async def restored_epoch(self) -> int:
        return self._fenced().restored_epoch

    async def peer_epoch(self, peer: NodeId, /) -> NamedEpoch | None:
        return self._fenced().peer_epochs.get(peer)

    async def remember_peer(self, peer: NodeId, epoch: NamedEpoch, /) -> None:
        self._fenced().peer_epochs[peer] = epoch

    async def terms(self) -> int:
        return self._fenced().terms

    async def remember_terms(self, terms: int, /) -> None:
        self._fenced().terms = terms

    async def add_block(self, block: KeyBlock, /) -> None:
        disk = self._fenced()
        if block.block_id in disk.blocks:
            return
        shares = {}
        for pool, (start, stop) in split_block(block).items():
            shares[pool] = Share(block.bits.part(start // 8, stop // 8), stop - start)
            disk.received_bits[pool] += stop - start
        stage = next_stage(Kind.BLOCK, None, Act.TAKE_IN)
        assert stage is not None
        about = block.link_id, block.local, block.peer, block.protocol, self._time.now_s, stage, block.order_id
        disk.blocks[block.block_id] = Block(shares, *about, block.eps_sec, block.eps_cor)

    async def confirm(self, block_id: BlockId, /) -> None:
        block = self._fenced().blocks.get(block_id)
        after = None if block is None else next_stage(Kind.BLOCK, block.stage, Act.CONFIRM)
        if block is None or after is None:
            raise BlockUnknown(f"block {block_id} is not here", remedy="void it at the other end")
        block.stage, block.confirmed = after, True

    async def spend(
        self,
        pool: PoolId,
        /,
        *,
        num_bits: int,
        use: Use,
        request_id: RequestId,  # noqa: ARG002 - of use to stores that keep an audit
    ) -> SpentBits:
        if whole_bytes(num_bits) <= 0:
            raise ValueError("a spend takes at least 8 bits")
        slices: list[BlockSlice] = []
        wanted = num_bits
        for block_id, share in self._shares(pool):
            for start, stop in share.free_from():
                take = min(wanted, stop - start)
                if take:
                    slices.append(BlockSlice(block_id, start, start + take))
                    wanted -= take
        if wanted:
            raise KeyShortage(f"{num_bits} bits asked of {pool}, {num_bits - wanted} there")
        return self._take(pool, BitRange(tuple(slices)), use)

    async def spend_range(self, pool: PoolId, bits: BitRange, /, *, use: Use) -> SpentBits:
        if not bits.slices:
            raise ValueError("a range to spend has at least one slice")
        blocks = self._fenced().blocks
        last: dict[BlockId, list[tuple[int, int]]] = {}
        for piece in bits.slices:
            block = blocks.get(piece.block_id)
            share = block.shares.get(pool) if block is not None and not block.voided else None
            if share is None or share.is_gone or piece.stop_bit > share.num_bits:
                raise BlockUnknown(f"{pool} holds no such bits of block {piece.block_id}")
            seen = last.setdefault(piece.block_id, [])
            twice = any(start < piece.stop_bit and piece.start_bit < stop for start, stop in seen)
            if twice or share.overlaps(piece.start_bit, piece.stop_bit):
                raise PadReused(f"bits {piece.start_bit}:{piece.stop_bit} of block {piece.block_id} are spent")
            seen.append((piece.start_bit, piece.stop_bit))
        return self._take(pool, bits, use)

    async def spend_into_block(
        self, pool: PoolId, bits: BitRange, /, *, use: Use, make: Callable[[SpentBits], KeyBlock | None]
    ) -> None:
        block = make(await self.spend_range(pool, bits, use=use))
        if block is not None:
            await self.add_block(block)

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
        for pool in pools:
            free_bits = sum(share.left_bits for _, share in self._shares(pool))
            if free_bits < num_bits:
                raise KeyShortage(f"{num_bits} bits asked of {pool}, {free_bits} there")
        one, other = [
            await self.spend(pool, num_bits=num_bits, use=use, request_id=RequestId(notice_id)) for pool in pools
        ]
        self._disk.notices[notice_id] = write(one, other)

    async def notice_ids(self) -> Sequence[str]:
        return list(self._fenced().notices)

    async def notice(self, notice_id: str, /) -> bytes | None:
        return self._fenced().notices.get(notice_id)

    async def drop_notice(self, notice_id: str, /) -> None:
        self._fenced().notices.pop(notice_id, None)

    async def put(self, keys: Sequence[SecretKey], /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        disk = self._fenced()
        for key in keys:
            if canonical_key_id(key.key_id) != key.key_id:
                raise BadParameter(f"{key.key_id!r} is no canonical key id", remedy="lower case, 36 characters")
            if key.key_id in disk.gone_keys:
                raise PadReused(f"key {key.key_id} was here before and is gone")
        for key in keys:
            if key.key_id not in disk.keys:
                disk.keys[key.key_id] = HeldKey(_copy(key), set(entitled), confirmed, self._time.now_s)

    async def put_batch(self, batch: KeyBatch, /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        await self.put(batch.one_by_one(), entitled=entitled, confirmed=confirmed)

    async def supply(
        self,
        pair: SaePair,
        /,
        *,
        count: int,
        size_bits: int,
        request_id: RequestId,  # noqa: ARG002 - of use to stores that keep an audit
        fit: KeyFit = ANY_KEY,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        if repeat is not None and (earlier := await self.repeated(repeat)) is not None:
            return earlier
        found = [held.key.key_id for held in self._suppliable(pair, size_bits, fit)][:count]
        if len(found) < count:
            raise KeyShortage(f"{count} keys asked for {pair.master} and {pair.slave}, {len(found)} there")
        return self._keep_answer(repeat, [self._hand_out(key_id, pair.master) for key_id in found])

    async def supply_by_id(
        self,
        key_ids: Sequence[KeyID],
        /,
        *,
        sae: SaeId,
        master: SaeId | None = None,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey]:
        if repeat is not None and (earlier := await self.repeated(repeat)) is not None:
            return earlier
        keys = self._fenced().keys
        key_ids = [canonical_key_id(key_id) for key_id in key_ids]
        for key_id in key_ids:
            if key_id in keys and not keys[key_id].confirmed:
                raise KeyNotFound(f"no key {key_id} here yet", remedy="keys are handed out once they have arrived")
            self._check_right(key_id, sae, master)
        if len(set(key_ids)) != len(key_ids):
            raise KeyNotFound("a key was asked for twice in one call", remedy="keys are handed out once")
        return self._keep_answer(repeat, [self._hand_out(key_id, sae) for key_id in key_ids])

    def _check_right(self, key_id: KeyID, sae: SaeId, master: SaeId | None) -> None:
        """Raise unless ``sae`` may be handed a key, of this master, once it is confirmed."""
        held = self._fenced().keys.get(key_id)
        if held is None or sae in held.served:
            raise KeyNotFound(f"no key {key_id} here", remedy="keys are handed out once")
        if sae not in held.entitled:
            raise NotEntitled(f"key {key_id} is not for {sae}")
        if master is not None and held.key.pair.master != master:
            raise KeyNotFound(f"no key {key_id} of {master} here")

    async def repeated(self, call: Repeatable, /) -> Sequence[SecretKey] | None:
        await self.forget_answers(now_monotonic_s=call.now_monotonic_s, window_s=call.window_s)
        held = self._fenced().answers.get((call.sae, call.nonce))
        if held is None:
            return None
        if held.request != call.request:
            raise BadParameter(f"the nonce {call.nonce!r} was used for another request")
        return [_copy(key) for key in held.keys]

    async def forget_answers(self, *, now_monotonic_s: float, window_s: float) -> int:
        disk = self._fenced()
        for answer in disk.answers.values():
            if answer.epoch < disk.epoch:
                answer.epoch, answer.until_monotonic_s = disk.epoch, now_monotonic_s + window_s
        old = [name for name, answer in disk.answers.items() if answer.until_monotonic_s <= now_monotonic_s]
        for name in old:
            for key in disk.answers.pop(name).keys:
                key.secret.wipe()
        return len(old)

    async def confirm_keys(self, key_ids: Sequence[KeyID], /) -> None:
        keys = self._fenced().keys
        key_ids = [canonical_key_id(key_id) for key_id in key_ids]
        self._check_there(key_ids)
        for key_id in key_ids:
            keys[key_id].confirmed = True

    def _check_there(self, key_ids: Sequence[KeyID]) -> None:
        for key_id in key_ids:
            if next_stage(Kind.KEY, self._key_stage(key_id), Act.CONFIRM) is None:
                raise KeyNotFound(f"no key {key_id} here")

    async def confirm_batch(self, ids: KeyIds, /) -> None:
        await self.confirm_keys(ids.spelled())

    async def confirm_and_supply(
        self,
        ids: KeyIds,
        /,
        *,
        pair: SaePair,
        size_bits: int,
        request_id: RequestId,  # noqa: ARG002 - of use to stores that keep an audit
        from_stock: int = 0,
        fit: KeyFit = ANY_KEY,
        repeat: Repeatable | None = None,
    ) -> Sequence[SecretKey] | None:
        earlier = None if repeat is None else await self.repeated(repeat)
        older = [held.key.key_id for held in self._suppliable(pair, size_bits, fit)][:from_stock]
        if earlier is not None or len(older) < from_stock:
            await self.confirm_batch(ids)
            return earlier
        self._check_there(ids.spelled())
        for key_id in ids.spelled():
            if key_id in older:  # they were confirmed before, and have just been taken from stock
                raise KeyNotFound(f"no key {key_id} here", remedy="keys are handed out once")
            self._check_right(key_id, pair.master, pair.master)
        await self.confirm_batch(ids)
        given = [self._hand_out(key_id, pair.master) for key_id in (*older, *ids.spelled())]
        return self._keep_answer(repeat, given)

    async def void(self, selection: Selection, /) -> int:
        disk = self._fenced()
        key_ids = {key_id for ids in selection.batches for key_id in ids.spelled()}
        key_ids.update(map(canonical_key_id, selection.key_ids))
        blocks = [block for block_id, block in disk.blocks.items() if _is_chosen(block_id, block, selection)]
        keys = [
            held
            for key_id, held in disk.keys.items()
            if (key_id in key_ids and selection.key_origin in (None, held.key.route[0]))
            or held.key.pair in selection.pairs
            or any(held.key.pair == pair and not fit.takes_ways(held.key.routes) for pair, fit in selection.unfit)
            or (selection.unconfirmed and not held.confirmed)
            or selection.all_keys
        ]
        for block in blocks:
            for pool, share in block.shares.items():
                disk.voided_bits[pool] += share.destroy()
            self._end_block(block, Act.VOID)
        for held in keys:
            self._forget(held.key.key_id, Act.VOID)
        return len(blocks) + len(keys)

    async def expire(self, limits: AgeLimits, /, *, monotonic_s: float, utc_s: float) -> Expired:
        disk = self._fenced()
        now_s = self._time.tick(monotonic_s=monotonic_s, utc_s=utc_s)
        self._time.save(utc_s)
        disk.saved_s, disk.saved_utc_s = now_s, utc_s
        bits: Counter[PoolId] = Counter()
        for block in list(disk.blocks.values()):
            bits += self._expire_block(block, limits, now_s - block.stored_s)
        old = [key_id for key_id, held in disk.keys.items() if _is_too_old(held, limits, now_s - held.stored_s)]
        for key_id in old:
            self._forget(key_id, Act.EXPIRE)
        return Expired(len(old), dict(bits))

    async def block_stage(self, block_id: BlockId, /) -> Stage | None:
        block = self._fenced().blocks.get(block_id)
        return None if block is None else block.stage

    async def unconfirmed_blocks(self, protocol: str, /) -> Sequence[BlockName]:
        return [
            BlockName(block_id, one.order_id, one.link_id, one.peer, sum(part.num_bits for part in one.shares.values()))
            for block_id, one in self._fenced().blocks.items()
            if one.stage is Stage.RECEIVED and one.protocol == protocol
        ]

    async def key_stage(self, key_id: KeyID, /) -> Stage | None:
        self._fenced()
        return self._key_stage(canonical_key_id(key_id))

    async def held_keys(self) -> Mapping[SaePair, int]:
        return Counter(held.key.pair for held in self._fenced().keys.values())

    async def levels(self) -> Mapping[PoolId, PoolLevel]:
        disk = self._fenced()
        available: Counter[PoolId] = Counter()
        unconfirmed: Counter[PoolId] = Counter()
        oldest_s: dict[PoolId, float] = {}
        for block in disk.blocks.values():
            for pool, share in block.shares.items():
                if block.confirmed and share.left_bits:
                    oldest_s.setdefault(pool, block.stored_s)  # blocks are in the order in which they came
                (available if block.confirmed else unconfirmed)[pool] += share.left_bits
        return {
            pool: PoolLevel(
                available_bits=available[pool],
                unconfirmed_bits=unconfirmed[pool],
                received_bits=received,
                voided_bits=disk.voided_bits[pool],
                spent_bits=dict(disk.spent_bits.get(pool, {})),
                expired_bits=disk.expired_bits[pool],
                oldest_age_s=self._time.now_s - oldest_s[pool] if pool in oldest_s else None,
            )
            for pool, received in disk.received_bits.items()
        }

    async def count_keys(self, pair: SaePair, /, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        return sum(1 for _ in self._suppliable(pair, size_bits, fit))

    # --- inside ---

    def _fenced(self) -> Disk:
        if self._epoch != self._disk.epoch:
            raise StaleEpoch("this store was opened anew elsewhere", remedy="end this process")
        return self._disk

    def _shares(self, pool: PoolId) -> Iterator[tuple[BlockId, Share]]:
        for block_id, block in self._fenced().blocks.items():
            if block.confirmed and pool in block.shares:
                yield block_id, block.shares[pool]

    def _take(self, pool: PoolId, bits: BitRange, use: Use) -> SpentBits:
        """Spend bits that were found to be there."""
        self._is_used = True
        taken = bytearray()
        for piece in bits.slices:
            share = self._disk.blocks[piece.block_id].shares[pool]
            taken += share.secret.part(piece.start_bit // 8, piece.stop_bit // 8).take()
            share.mark(piece.start_bit, piece.stop_bit)
            self._end_block(self._disk.blocks[piece.block_id], Act.GIVE_LAST)
        self._disk.spent_bits.setdefault(pool, Counter())[use] += bits.num_bits
        blocks = [self._disk.blocks[block_id] for block_id in {piece.block_id for piece in bits.slices}]
        eps_sec, eps_cor = sum(block.eps_sec for block in blocks), sum(block.eps_cor for block in blocks)
        return SpentBits(pool, bits, SecretBytes(taken), eps_sec, eps_cor)

    def _suppliable(self, pair: SaePair, size_bits: int, fit: KeyFit) -> Iterator[HeldKey]:
        for held in self._fenced().keys.values():
            key = held.key
            is_one = held.confirmed and key.pair == pair and key.size_bits == size_bits
            if is_one and pair.master in held.entitled and fit.takes(key.created_utc_s, routes=key.routes):
                yield held

    def _keep_answer(self, repeat: Repeatable | None, keys: Sequence[SecretKey]) -> Sequence[SecretKey]:
        if repeat is not None:
            for nonce in repeat.instead_of:
                self._disk.answers.pop((repeat.sae, nonce), None)
            until_s = repeat.now_monotonic_s + repeat.window_s
            answer = KeptAnswer(repeat.request, [_copy(key) for key in keys], self._disk.epoch, until_s)
            self._disk.answers[repeat.sae, repeat.nonce] = answer
        return keys

    def _hand_out(self, key_id: KeyID, sae: SaeId) -> SecretKey:
        self._is_used = True
        held = self._disk.keys[key_id]
        assert next_stage(Kind.KEY, held.stage, Act.GIVE) is not None
        given = _copy(held.key)
        held.entitled.remove(sae)
        if not held.entitled:
            self._forget(key_id, Act.GIVE_LAST)
        held.served.add(sae)
        return given

    def _forget(self, key_id: KeyID, act: Act) -> None:
        after = next_stage(Kind.KEY, self._key_stage(key_id), act)
        assert after is not None
        self._disk.keys.pop(key_id).key.secret.wipe()
        self._disk.gone_keys[key_id] = after

    def _key_stage(self, key_id: KeyID) -> Stage | None:
        held = self._disk.keys.get(key_id)
        return held.stage if held is not None else self._disk.gone_keys.get(key_id)

    def _end_block(self, block: Block, act: Act) -> None:
        """Move a block on when nothing is left of it."""
        if not block.left_bits:
            after = next_stage(Kind.BLOCK, block.stage, act)
            assert after is not None
            block.stage = after

    def _expire_block(self, block: Block, limits: AgeLimits, age_s: float) -> Counter[PoolId]:
        bits: Counter[PoolId] = Counter()
        time_to_live_s = limits.links.get(block.link_id)
        if time_to_live_s is None or not block.left_bits:
            return bits
        for pool, share in block.shares.items():
            grace_s = 0.0 if pool.sender == block.local else limits.grace_s
            if not pool.is_reserve and age_s > time_to_live_s + grace_s:
                bits[pool] += share.destroy()
        self._disk.expired_bits += bits
        if +bits:
            self._end_block(block, Act.EXPIRE)
        return +bits


def _is_too_old(held: HeldKey, limits: AgeLimits, age_s: float) -> bool:
    time_to_live_s = limits.pairs.get(held.key.pair, limits.other_pairs_s)
    grace_s = 0.0 if held.key.pair.master in held.entitled else limits.grace_s
    return time_to_live_s is not None and age_s > time_to_live_s + grace_s


def _copy(key: SecretKey) -> SecretKey:
    return replace(key, secret=SecretBytes(key.secret.reveal()))


def _is_chosen(block_id: BlockId, block: Block, selection: Selection) -> bool:
    if block.stage not in stages_before(Kind.BLOCK, Act.VOID):
        return False
    is_peers = selection.block_peer in (None, block.peer)
    is_spared = selection.keep_unused_initial and block.is_unused_initial
    named = (block_id in selection.block_ids and is_peers) or (block.link_id in selection.links and not is_spared)
    is_meant = selection.unconfirmed and block.protocol != selection.but_protocol
    return named or (is_meant and block.stage is Stage.RECEIVED)
