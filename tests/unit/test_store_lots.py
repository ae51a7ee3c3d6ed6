"""Batches that are kept whole until a key is asked for: nobody can tell them from as many keys put one by one.

The memory store, which keeps every key by itself, is the model: the same calls give the same answers, faults and
stages.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.adapters.sqlite.lot_rows import SEGMENT_BYTES
from qanat.adapters.sqlite.lots import MIN_LOT_KEYS
from qanat.adapters.sqlite.zeroization import zeroize
from qanat.ground.errors import KeyNotFound, PadReused, QanatError, StoreFailed
from qanat.ground.identifiers import KeyID, NodeId, RequestId, SaeId, SaePair
from qanat.ground.key_batches import KeyBatch
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import KeyRecord, SecretBytes, SecretKey, Selection
from qanat.ground.life_cycle import Stage
from qanat.ground.ports import KeyStore
from qanat.ground.requirements import KeyFit, Repeatable
from qanat.ground.stock import AgeLimits
from qanat.simulation.memory_store import MemoryKeyStore

T = TypeVar("T")

NEAR, MIDDLE, OTHER, FAR = (NodeId(name) for name in ("suzhou", "kunshan", "wuxi", "shanghai"))
ALICE, BOB, CAROL = (SaeId(f"urn:qanat:t:sae:{name}") for name in ("alice", "bob", "carol"))
PAIR, REQUEST = SaePair(ALICE, BOB), RequestId("a request")
MASTER = frozenset({ALICE})
BOTH = frozenset({ALICE, BOB})
WAYS = (((NEAR, MIDDLE, FAR),), ((NEAR, MIDDLE, FAR), (NEAR, OTHER, FAR)), ((FAR, NEAR),))
BY_WAY = (
    KeyFit(avoid=frozenset({OTHER})),
    KeyFit(within=frozenset({NEAR, MIDDLE, FAR})),
    KeyFit(is_direct=True),
    KeyFit(way=(NEAR, MIDDLE, FAR)),
)
MASTER_KEY = bytes(32)


def new_batch(
    num_keys: int,
    *,
    dice: random.Random,
    pair: SaePair = PAIR,
    size_bits: int = 256,
    way: int = 0,
    made_s: float = 1.5e9,
) -> KeyBatch:
    return KeyBatch(
        ids=KeyIds(str(uuid.UUID(bytes=dice.randbytes(16), version=4)), num_keys),
        pair=pair,
        size_bits=size_bits,
        secret=SecretBytes(dice.randbytes(num_keys * size_bits // 8)),
        routes=WAYS[way],
        threshold=2 if len(WAYS[way]) > 1 else None,
        origin="twin",
        created_utc_s=made_s,
        qkd_bits_spent=num_keys * size_bits * sum(len(route) - 1 for route in WAYS[way]) + 1021,
    )


def play(path: Path, scene: Callable[[SqliteKeyStore], Awaitable[T]]) -> T:
    async def run() -> T:
        writer = StoreWriter()
        try:
            store = await SqliteKeyStore.open(path, master_key=SecretBytes(MASTER_KEY), writer=writer)
            await store.open_epoch()
            return await scene(store)
        finally:
            await writer.close()

    return asyncio.run(run())


def rows_in(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    connection.close()
    return int(count)


def told(key: SecretKey) -> tuple[object, ...]:
    """Return all that a key says of itself, and its bytes."""
    return key.key_id, key.pair, key.route, key.origin, key.created_utc_s, key.qkd_bits_spent, key.record, key.take()


async def outcome(work: Awaitable[Any]) -> object:
    try:
        found = await work
    except QanatError as fault:
        return type(fault)
    return [told(key) for key in found] if isinstance(found, list) else found


CALLS = [Repeatable(ALICE, nonce, "what is asked", 100.0, 300.0) for nonce in ("one", "two")]


class Walk:
    """Random calls to two stores at once; their answers and all that can be asked of them are the same."""

    def __init__(self, seed: int, stores: tuple[KeyStore, KeyStore]) -> None:
        self.dice = random.Random(seed)
        self.stores = stores
        self.batches: list[KeyBatch] = []
        self.now_s = 0.0

    async def run(self, *, steps: int) -> None:
        acts = [self.put, self.put, self.put_again, self.supply, self.supply, self.supply_fit, self.by_id, self.by_id]
        acts += [self.by_id_of_slave, self.confirm, self.confirm_and_supply, self.confirm_and_supply, self.confirm_one]
        acts += [self.void, self.void_some, self.expire]
        for _ in range(steps):
            await self.dice.choice(acts)()
            await self.check()

    async def both(self, call: Callable[[KeyStore], Awaitable[Any]]) -> None:
        one, other = [await outcome(call(store)) for store in self.stores]
        assert one == other

    async def put(self) -> None:
        num_keys = self.dice.choice([1, MIN_LOT_KEYS - 1, MIN_LOT_KEYS, 40, 100])
        pair, size_bits = self.dice.choice([PAIR, SaePair(ALICE, CAROL)]), self.dice.choice([256, 256, 64, 16_384])
        batch = new_batch(
            num_keys,
            dice=self.dice,
            pair=pair,
            size_bits=size_bits,
            way=self.dice.randrange(3),
            made_s=self.dice.choice([1e9, 2e9]),
        )
        self.batches.append(batch)
        confirmed = self.dice.random() < 0.7
        entitled = self.dice.choice([MASTER, MASTER, frozenset({BOB}), BOTH])
        if self.dice.random() < 0.2:
            await self.both(lambda store: store.put(batch.one_by_one(), entitled=entitled, confirmed=confirmed))
        else:
            await self.both(lambda store: store.put_batch(batch, entitled=entitled, confirmed=confirmed))

    async def put_again(self) -> None:
        if self.batches:
            batch = self.dice.choice(self.batches)
            if self.dice.random() < 0.5:
                await self.both(lambda store: store.put_batch(batch, entitled=MASTER, confirmed=True))
            else:
                await self.both(lambda store: store.put(batch.one_by_one()[:3], entitled=MASTER, confirmed=True))

    async def supply(self, fit: KeyFit | None = None) -> None:
        count, size_bits = self.dice.choice([1, 1, 5, 30, 130]), self.dice.choice([256, 64])
        fits = {} if fit is None else {"fit": fit}
        await self.both(lambda store: store.supply(PAIR, count=count, size_bits=size_bits, request_id=REQUEST, **fits))

    async def supply_fit(self) -> None:
        await self.supply(
            self.dice.choice([KeyFit(made_from_utc_s=1.5e9), KeyFit(max_hops=1), KeyFit(1.5e9, 2), *BY_WAY])
        )

    def some_ids(self) -> list[KeyID]:
        batches = self.dice.sample(self.batches, k=min(2, len(self.batches)))
        ids = [key_id for batch in batches for key_id in batch.ids.spelled()]
        return self.dice.sample(ids, k=min(len(ids), self.dice.choice([1, 1, 4, 20])))

    async def by_id(self, sae: SaeId = ALICE) -> None:
        ids = self.some_ids()
        await self.both(lambda store: store.supply_by_id(ids, sae=sae))

    async def by_id_of_slave(self) -> None:
        await self.by_id(BOB)

    async def confirm(self) -> None:
        if self.batches:
            batch = self.dice.choice(self.batches)
            await self.both(lambda store: store.confirm_batch(batch.ids))

    async def confirm_and_supply(self) -> None:
        if self.batches:
            batch, from_stock = self.dice.choice(self.batches), self.dice.choice([0, 0, 3])
            call = None if self.dice.random() < 0.5 else self.dice.choice(CALLS)
            wish: Any = {"pair": batch.pair, "size_bits": 256, "request_id": REQUEST, "from_stock": from_stock}
            await self.both(lambda store: store.confirm_and_supply(batch.ids, **wish, repeat=call))

    async def confirm_one(self) -> None:
        ids = self.some_ids()
        await self.both(lambda store: store.confirm_keys(ids))

    async def void(self) -> None:
        ids = frozenset(batch.ids for batch in self.dice.sample(self.batches, k=min(1, len(self.batches))))
        origin = self.dice.choice([None, NEAR, FAR])
        some = Selection(batches=ids, key_origin=origin)
        wide = [Selection(unconfirmed=True), Selection(pairs=frozenset({SaePair(ALICE, CAROL)}))]
        selection = self.dice.choice([some, some, some, *wide])
        await self.both(lambda store: store.void(selection))

    async def void_some(self) -> None:
        selection = Selection(key_ids=frozenset(self.some_ids()), key_origin=self.dice.choice([None, NEAR]))
        await self.both(lambda store: store.void(selection))

    async def expire(self) -> None:
        self.now_s += 40.0
        limits = AgeLimits(pairs={PAIR: 300.0}, other_pairs_s=100.0)
        await self.both(lambda store: store.expire(limits, monotonic_s=self.now_s, utc_s=self.now_s))

    async def check(self) -> None:
        await self.both(lambda store: store.held_keys())
        for size_bits in (64, 256):
            await self.both(lambda store, size=size_bits: store.count_keys(PAIR, size_bits=size))  # type: ignore[misc]
        for key_id in self.some_ids():
            await self.both(lambda store, key_id=key_id: store.key_stage(key_id))  # type: ignore[misc]


@pytest.mark.parametrize("seed", range(12))
def test_a_lot_is_as_good_as_its_keys(seed: int, tmp_path: Path) -> None:
    async def scene(store: SqliteKeyStore) -> None:
        model = MemoryKeyStore()
        await model.open_epoch()
        walk = Walk(seed, (store, model))
        await walk.run(steps=60)
        for batch in walk.batches:
            for key_id in batch.ids.spelled():
                assert await store.key_stage(key_id) == await model.key_stage(key_id)

    play(tmp_path / "keys.sqlite", scene)


def test_a_batch_is_one_row_and_a_few_segments(tmp_path: Path) -> None:
    path, batch = tmp_path / "keys.sqlite", new_batch(2048, dice=random.Random(1))
    play(path, lambda store: store.put_batch(batch, entitled=MASTER, confirmed=True))
    assert (rows_in(path, "lot"), rows_in(path, "app_key"), rows_in(path, "batch")) == (1, 0, 1)
    assert rows_in(path, "lot_segment") == 2048 * 32 // SEGMENT_BYTES


def test_what_was_given_is_remembered_over_a_restart_and_its_segments_are_gone(tmp_path: Path) -> None:
    path, batch = tmp_path / "keys.sqlite", new_batch(64, dice=random.Random(2))
    expected = [told(key) for key in batch.one_by_one()]

    async def take_half(store: SqliteKeyStore) -> list[tuple[object, ...]]:
        await store.put_batch(batch, entitled=MASTER, confirmed=True)
        return [told(key) for key in await store.supply(PAIR, count=40, size_bits=256, request_id=REQUEST)]

    async def take_rest(store: SqliteKeyStore) -> list[tuple[object, ...]]:
        with pytest.raises(PadReused):
            await store.put_batch(batch, entitled=MASTER, confirmed=True)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([batch.ids.spelled()[39]], sae=ALICE)
        assert await store.key_stage(batch.ids.spelled()[39]) is Stage.SUPPLIED
        return [told(key) for key in await store.supply(PAIR, count=24, size_bits=256, request_id=REQUEST)]

    assert play(path, take_half) == expected[:40]
    assert rows_in(path, "lot_segment") == 1
    assert play(path, take_rest) == expected[40:]
    assert (rows_in(path, "lot_segment"), rows_in(path, "batch"), rows_in(path, "seen_key")) == (0, 0, 0)


def test_every_key_pays_its_part_to_the_bit(tmp_path: Path) -> None:
    batch = new_batch(50, dice=random.Random(3), way=1)

    async def scene(store: SqliteKeyStore) -> None:
        await store.put_batch(batch, entitled=MASTER, confirmed=True)
        keys = await store.supply(PAIR, count=50, size_bits=256, request_id=REQUEST)
        assert sum(key.qkd_bits_spent for key in keys) == batch.qkd_bits_spent
        parts = {key.record.authentication_bits for key in keys}
        assert parts == {1021 // 50, 1021 // 50 + 1}
        assert keys[0].record == KeyRecord(WAYS[1], 2, 4 * 256, 1021 // 50 + 1)

    play(tmp_path / "keys.sqlite", scene)


def test_a_segment_that_was_altered_or_moved_gives_nothing(tmp_path: Path) -> None:
    path, batch = tmp_path / "keys.sqlite", new_batch(64, dice=random.Random(4))
    play(path, lambda store: store.put_batch(batch, entitled=MASTER, confirmed=True))
    connection = sqlite3.connect(path)
    one, other = (row for (row,) in connection.execute("SELECT first_key FROM lot_segment ORDER BY first_key"))
    sealed = dict(connection.execute("SELECT first_key, sealed FROM lot_segment").fetchall())
    connection.execute("UPDATE lot_segment SET sealed = ? WHERE first_key = ?", (sealed[other], one))
    connection.commit()
    connection.close()

    async def scene(store: SqliteKeyStore) -> None:
        with pytest.raises(StoreFailed):
            await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        assert await store.count_keys(PAIR, size_bits=256) == 64

    play(path, scene)


def test_zeroized_keys_of_a_lot_are_counted_and_gone(tmp_path: Path) -> None:
    path, batch = tmp_path / "keys.sqlite", new_batch(64, dice=random.Random(5))

    async def fill(store: SqliteKeyStore) -> None:
        await store.put_batch(batch, entitled=MASTER, confirmed=True)
        await store.supply(PAIR, count=4, size_bits=256, request_id=REQUEST)

    async def scene(store: SqliteKeyStore) -> None:
        ids = batch.ids.spelled()
        assert await store.held_keys() == {}
        assert [await store.key_stage(ids[place]) for place in (0, 63)] == [Stage.SUPPLIED, Stage.DESTROYED]
        with pytest.raises(PadReused):
            await store.put_batch(batch, entitled=MASTER, confirmed=True)

    play(path, fill)
    assert zeroize(path).num_keys == 60
    assert (rows_in(path, "lot_segment"), rows_in(path, "batch")) == (0, 0)
    play(path, scene)
