"""The ports of a simulated process: each call is an effect that takes time and may go wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from qanat.ground.errors import QanatError, StoreFailed
from qanat.ground.identifiers import BlockId, Epoch, KeyID, NodeId, RequestId, SaeId, SaePair, Topic
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
from qanat.ground.messages import Message
from qanat.ground.ports import KeyStore
from qanat.ground.requirements import ANY_KEY, KeyFit, Repeatable
from qanat.ground.stock import AgeLimits, Expired, NamedEpoch
from qanat.simulation.dice import Dice
from qanat.simulation.invariants import Witness
from qanat.simulation.scheduler import Life, Scheduler, Task, effect

T = TypeVar("T")


class Hazard:
    """How dangerous it is to live: asked by every effect of a life. The world sets its odds."""

    def __init__(
        self, scheduler: Scheduler, dice: Dice, *, p_crash: Callable[[], float], crash: Callable[[], None]
    ) -> None:
        self._scheduler = scheduler
        self._dice = dice
        self._p_crash = p_crash
        self._crash = crash

    def threaten(self, *, within_s: float) -> None:
        """Perhaps plan a crash for some moment of an effect that takes ``within_s``."""
        if self._dice.happens(self._p_crash()):
            self._scheduler.call_after(self._dice.between(0.0, within_s), self._crash)


class VirtualClock:
    """Monotonic time is the world's; UTC is a node's own, and may jump."""

    def __init__(self, scheduler: Scheduler, hazard: Hazard, *, utc_offset_s: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._hazard = hazard
        self._utc_offset_s = utc_offset_s

    def utc_s(self) -> float:
        return 1_500_000_000.0 + self._scheduler.now_s + self._utc_offset_s()

    def monotonic_s(self) -> float:
        return self._scheduler.now_s

    async def sleep_until(self, monotonic_s: float, /) -> None:
        self._hazard.threaten(within_s=max(0.0, monotonic_s - self._scheduler.now_s))
        await effect(lambda task: self._scheduler.resume_at(monotonic_s, task))


class VirtualTasks:
    """Tasks and topics of one life."""

    def __init__(self, scheduler: Scheduler, hazard: Hazard, life: Life) -> None:
        self._scheduler = scheduler
        self._hazard = hazard
        self._life = life
        self._waiting: dict[Topic, list[tuple[Task, int]]] = {}

    def start(self, work: Coroutine[Any, Any, None], /, *, name: str) -> None:
        self._scheduler.spawn(work, self._life, name=name)

    async def together(self, *works: Coroutine[Any, Any, Any]) -> list[Any]:
        """One after the other, so that the node may die between any two of them."""
        results: list[Any] = []
        faults: list[QanatError] = []
        try:
            for work in works:
                try:
                    results.append(await work)
                except QanatError as fault:
                    faults.append(fault)
        finally:
            for work in works:
                work.close()  # those that a death has kept from beginning
        if faults:
            raise faults[0]
        return results

    async def wait(self, topic: Topic, /, *, until_monotonic_s: float) -> bool:
        self._hazard.threaten(within_s=max(0.0, until_monotonic_s - self._scheduler.now_s))

        def perform(task: Task) -> None:
            self._waiting.setdefault(topic, []).append((task, task.turn))
            self._scheduler.resume_at(until_monotonic_s, task, False)

        return bool(await effect(perform))

    def notify(self, topic: Topic, /) -> None:
        for task, turn in self._waiting.pop(topic, []):
            if task.turn == turn:
                self._scheduler.resume_after(0.0, task, True)


class Mailbox(Generic[T]):
    """A queue with one reader, who waits in virtual time."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._items: deque[T] = deque()
        self._reader: tuple[Task, int] | None = None

    def put(self, item: T) -> None:
        self._items.append(item)
        if self._reader is not None and self._reader[0].turn == self._reader[1]:
            self._scheduler.resume_after(0.0, self._reader[0])
        self._reader = None

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            await effect(self._park)
        return self._items.popleft()

    def _park(self, task: Task) -> None:
        self._reader = (task, task.turn)


class VirtualTransport:
    """One end of the message service. What it is handed goes to the world's post."""

    def __init__(
        self,
        local: NodeId,
        scheduler: Scheduler,
        hazard: Hazard,
        *,
        post: Callable[[NodeId, NodeId, Message], None],
        is_up: Callable[[NodeId], bool],
        is_coming: Callable[[NodeId], bool] = lambda _: False,
    ) -> None:
        self.local = local
        self.mailbox: Mailbox[tuple[NodeId, Message]] = Mailbox(scheduler)
        self._scheduler = scheduler
        self._hazard = hazard
        self._post = post
        self._is_up = is_up
        self._is_coming = is_coming

    async def send(self, peer: NodeId, message: Message, /) -> None:
        def perform(task: Task) -> None:
            self._hazard.threaten(within_s=0.002)
            self._scheduler.call_after(0.001, lambda: self._post_if_alive(task, peer, message))
            self._scheduler.resume_after(0.002, task)

        await effect(perform)

    def _post_if_alive(self, task: Task, peer: NodeId, message: Message) -> None:
        if task.life.alive:
            self._post(self.local, peer, message)

    def inbox(self) -> AsyncIterator[tuple[NodeId, Message]]:
        return self.mailbox

    def is_reachable(self, peer: NodeId, /) -> bool:
        return self._is_up(peer)

    def is_coming(self, peer: NodeId, /) -> bool:
        return self._is_up(peer) or self._is_coming(peer)


class VirtualStore:
    """A store whose calls take time: they commit at some moment, and answer later, unless the node dies before.

    ``inner`` must be a store whose coroutines never wait. ``write_fault`` says why a write fails now, if it does.
    """

    def __init__(
        self,
        node: NodeId,
        inner: KeyStore,
        scheduler: Scheduler,
        hazard: Hazard,
        dice: Dice,
        witness: Witness,
        *,
        write_fault: Callable[[], str],
    ) -> None:
        self._node = node
        self._inner = inner
        self._scheduler = scheduler
        self._hazard = hazard
        self._dice = dice
        self._witness = witness
        self._write_fault = write_fault

    async def open_epoch(self, *, name: str = "", above: int = 0) -> Epoch:
        return await self._call(lambda: self._inner.open_epoch(name=name, above=above))

    async def mark_epoch(self) -> NamedEpoch | None:
        return await self._call(self._inner.mark_epoch)

    async def is_own_epoch(self, epoch: NamedEpoch, /) -> bool:
        return await self._call(lambda: self._inner.is_own_epoch(epoch), writes=False)

    async def restored_epoch(self) -> int:
        return await self._call(self._inner.restored_epoch, writes=False)

    async def peer_epoch(self, peer: NodeId, /) -> NamedEpoch | None:
        return await self._call(lambda: self._inner.peer_epoch(peer), writes=False)

    async def remember_peer(self, peer: NodeId, epoch: NamedEpoch, /) -> None:
        await self._call(lambda: self._inner.remember_peer(peer, epoch))

    async def terms(self) -> int:
        return await self._call(self._inner.terms, writes=False)

    async def remember_terms(self, terms: int, /) -> None:
        await self._call(lambda: self._inner.remember_terms(terms))

    async def add_block(self, block: KeyBlock, /) -> None:
        await self._call(lambda: self._inner.add_block(block), lambda _: self._witness.block_added(self._node, block))

    async def confirm(self, block_id: BlockId, /) -> None:
        await self._call(
            lambda: self._inner.confirm(block_id), lambda _: self._witness.block_confirmed(self._node, block_id)
        )

    async def spend(self, pool: PoolId, /, *, num_bits: int, use: Use, request_id: RequestId) -> SpentBits:
        return await self._call(
            lambda: self._inner.spend(pool, num_bits=num_bits, use=use, request_id=request_id),
            lambda spent: self._witness.bits_spent(self._node, spent, use),
        )

    async def spend_range(self, pool: PoolId, bits: BitRange, /, *, use: Use) -> SpentBits:
        return await self._call(
            lambda: self._inner.spend_range(pool, bits, use=use),
            lambda spent: self._witness.bits_spent(self._node, spent, use),
        )

    async def spend_into_block(
        self, pool: PoolId, bits: BitRange, /, *, use: Use, make: Callable[[SpentBits], KeyBlock | None]
    ) -> None:
        seen: list[tuple[SpentBits, KeyBlock | None]] = []

        def noted(spent: SpentBits) -> KeyBlock | None:
            copy = replace(spent, secret=SecretBytes(spent.secret.reveal()))
            seen.append((copy, make(spent)))
            return seen[-1][1]

        def on_commit(_: None) -> None:
            for spent, block in seen:
                self._witness.bits_spent(self._node, spent, use)
                if block is not None:
                    self._witness.block_added(self._node, block)

        await self._call(lambda: self._inner.spend_into_block(pool, bits, use=use, make=noted), on_commit)

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
        taken: list[SpentBits] = []

        def noted(one: SpentBits, other: SpentBits) -> bytes:
            taken.extend(replace(bits, secret=SecretBytes(bits.secret.reveal())) for bits in (one, other))
            return write(one, other)

        def spend() -> Coroutine[Any, Any, None]:
            return self._inner.spend_on_notice(pools, num_bits=num_bits, use=use, notice_id=notice_id, write=noted)

        def on_commit(_: None) -> None:
            for spent in taken:
                self._witness.bits_spent(self._node, spent, use)

        await self._call(spend, on_commit)

    async def notice_ids(self) -> Sequence[str]:
        return await self._call(self._inner.notice_ids, writes=False)

    async def notice(self, notice_id: str, /) -> bytes | None:
        return await self._call(lambda: self._inner.notice(notice_id), writes=False)

    async def drop_notice(self, notice_id: str, /) -> None:
        await self._call(lambda: self._inner.drop_notice(notice_id))

    async def put(self, keys: Sequence[SecretKey], /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        await self._call(
            lambda: self._inner.put(keys, entitled=entitled, confirmed=confirmed),
            lambda _: self._witness.keys_put(self._node, keys),
        )

    async def put_batch(self, batch: KeyBatch, /, *, entitled: frozenset[SaeId], confirmed: bool) -> None:
        await self._call(
            lambda: self._inner.put_batch(batch, entitled=entitled, confirmed=confirmed),
            lambda _: self._witness.keys_put(self._node, batch.one_by_one()),
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
        more: Any = {"request_id": request_id, "fit": fit, "repeat": repeat}
        return await self._call(
            lambda: self._inner.supply(pair, count=count, size_bits=size_bits, **more),
            lambda keys: self._witness.keys_supplied(self._node, pair.master, keys, call=repeat),
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
        return await self._call(
            lambda: self._inner.supply_by_id(key_ids, sae=sae, master=master, repeat=repeat),
            lambda keys: self._witness.keys_supplied(self._node, sae, keys, call=repeat),
        )

    async def repeated(self, call: Repeatable, /) -> Sequence[SecretKey] | None:
        return await self._call(
            lambda: self._inner.repeated(call),
            lambda keys: self._witness.keys_supplied(self._node, call.sae, keys, call=call) if keys else None,
        )

    async def forget_answers(self, *, now_monotonic_s: float, window_s: float) -> int:
        return await self._call(lambda: self._inner.forget_answers(now_monotonic_s=now_monotonic_s, window_s=window_s))

    async def confirm_keys(self, key_ids: Sequence[KeyID], /) -> None:
        await self._call(lambda: self._inner.confirm_keys(key_ids), lambda _: self._witness.keys_confirmed(key_ids))

    async def confirm_batch(self, ids: KeyIds, /) -> None:
        await self._call(lambda: self._inner.confirm_batch(ids), lambda _: self._witness.keys_confirmed(ids.spelled()))

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
        more: Any = {"request_id": request_id, "from_stock": from_stock, "fit": fit, "repeat": repeat}

        def note(keys: Sequence[SecretKey] | None) -> None:
            self._witness.keys_confirmed(ids.spelled())
            if keys is not None:
                self._witness.keys_supplied(self._node, pair.master, keys, call=repeat)

        return await self._call(
            lambda: self._inner.confirm_and_supply(ids, pair=pair, size_bits=size_bits, **more), note
        )

    async def void(self, selection: Selection, /) -> int:
        return await self._call(lambda: self._void(selection))

    async def _void(self, selection: Selection) -> int:
        """Void within one moment, and show the witness what counted before."""
        custody = self._witness.custody
        counted = custody.counted_blocks(self._node)
        num_voided = await self._inner.void(selection)
        custody.blocks_voided(self._node, counted)
        return num_voided

    async def expire(self, limits: AgeLimits, /, *, monotonic_s: float, utc_s: float) -> Expired:
        return await self._call(lambda: self._inner.expire(limits, monotonic_s=monotonic_s, utc_s=utc_s))

    async def block_stage(self, block_id: BlockId, /) -> Stage | None:
        return await self._call(lambda: self._inner.block_stage(block_id), writes=False)

    async def unconfirmed_blocks(self, protocol: str, /) -> Sequence[BlockName]:
        return await self._call(lambda: self._inner.unconfirmed_blocks(protocol), writes=False)

    async def key_stage(self, key_id: KeyID, /) -> Stage | None:
        return await self._call(lambda: self._inner.key_stage(key_id), writes=False)

    async def held_keys(self) -> Mapping[SaePair, int]:
        return await self._call(self._inner.held_keys, writes=False)

    async def levels(self) -> Mapping[PoolId, PoolLevel]:
        return await self._call(self._inner.levels, writes=False)

    async def count_keys(self, pair: SaePair, /, *, size_bits: int, fit: KeyFit = ANY_KEY) -> int:
        return await self._call(lambda: self._inner.count_keys(pair, size_bits=size_bits, fit=fit), writes=False)

    async def _call(
        self,
        work: Callable[[], Coroutine[Any, Any, T]],
        on_commit: Callable[[T], None] = lambda _: None,
        *,
        writes: bool = True,
    ) -> T:
        commit_s, answer_s = self._dice.between(0.0, 0.004), self._dice.between(0.0, 0.002)
        self._hazard.threaten(within_s=commit_s + answer_s)

        def commit(task: Task) -> None:
            if not task.life.alive:
                return
            if writes and (why := self._write_fault()):
                self._scheduler.resume_after(answer_s, task, error=StoreFailed(why))
                return
            try:
                work().send(None)
            except StopIteration as end:
                on_commit(end.value)
                self._scheduler.resume_after(answer_s, task, end.value)
            except QanatError as fault:
                self._scheduler.resume_after(answer_s, task, error=fault)

        result: T = await effect(lambda task: self._scheduler.call_after(commit_s, lambda: commit(task)))
        return result
