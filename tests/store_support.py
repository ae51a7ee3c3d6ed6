"""Stores, blocks and keys for what every key store is held against, and a player of scenes on a fresh one."""

from __future__ import annotations

import asyncio
import importlib.util
import random
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import pytest

from qanat.adapters.sqlite import SqliteKeyStore, StoreWriter
from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, RequestId, SaeId, SaePair
from qanat.ground.keys import (
    BitRange,
    BlockSlice,
    KeyBlock,
    PoolId,
    SecretBytes,
    SecretKey,
    Use,
    split_block,
)
from qanat.ground.ports import KeyStore

T = TypeVar("T")
Scene: TypeAlias = Callable[[KeyStore], Coroutine[Any, Any, T]]
Play: TypeAlias = Callable[[Scene[Any]], Any]

LINK, OTHER_LINK = LinkId("suzhou-kunshan"), LinkId("kunshan-shanghai")
NEAR, FAR = NodeId("suzhou"), NodeId("kunshan")
SENDING, COMING, RESERVE = PoolId(LINK, NEAR), PoolId(LINK, FAR), PoolId(LINK, None)
ALICE, BOB, EVE = SaeId("urn:qanat:t:sae:alice"), SaeId("urn:qanat:t:sae:bob"), SaeId("urn:qanat:t:sae:eve")
PAIR = SaePair(ALICE, BOB)
REQUEST = RequestId("a request")
BOTH = frozenset({ALICE, BOB})


async def in_sqlite(scene: Scene[T], folder: Path) -> T:
    writer = StoreWriter()
    path = folder / "keys.sqlite"
    try:
        return await scene(await SqliteKeyStore.open(path, master_key=SecretBytes(bytes(32)), writer=writer))
    finally:
        await writer.close()


async def in_memory(scene: Scene[T], folder: Path) -> T:
    from qanat.simulation.memory_store import MemoryKeyStore

    return await scene(MemoryKeyStore())


STORES: list[Callable[[Scene[Any], Path], Awaitable[Any]]] = [in_sqlite]
if importlib.util.find_spec("qanat.simulation.memory_store"):
    STORES.append(in_memory)


@pytest.fixture(params=STORES, ids=lambda store: store.__name__)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    """Plays a scene on a fresh store."""

    def play_scene(scene: Scene[T]) -> T:
        async def with_epoch(store: KeyStore) -> T:
            await store.open_epoch()
            return await scene(store)

        return asyncio.run(request.param(with_epoch, tmp_path))

    return play_scene


async def second_handle(store: Any) -> KeyStore:
    """Return another handle on what ``store`` keeps, as after a restart."""
    if isinstance(store, SqliteKeyStore):
        path = store._database.path
        return await SqliteKeyStore.open(path, master_key=SecretBytes(bytes(32)), writer=store._writer)
    return store.reopened()  # type: ignore[no-any-return]


def new_block(num_bytes: int, *, dice: random.Random, link: LinkId = LINK, protocol: str = "bb84-decoy") -> KeyBlock:
    return KeyBlock(
        block_id=BlockId(str(uuid.UUID(bytes=dice.randbytes(16), version=4))),
        order_id=OrderId("an order"),
        link_id=link,
        local=NEAR,
        peer=FAR,
        origin="twin",
        protocol=protocol,
        num_bits=8 * num_bytes,
        bits=SecretBytes(dice.randbytes(num_bytes)),
        eps_sec=1e-10,
        eps_cor=1e-15,
        finished_utc_s=0.0,
    )


def share(block: KeyBlock, pool: PoolId) -> bytes:
    start, stop = split_block(block)[pool]
    return block.bits.reveal()[start // 8 : stop // 8]


def new_key(*, dice: random.Random, pair: SaePair = PAIR, num_bytes: int = 32) -> SecretKey:
    return SecretKey(
        key_id=KeyID(str(uuid.UUID(bytes=dice.randbytes(16), version=4))),
        pair=pair,
        secret=SecretBytes(dice.randbytes(num_bytes)),
        route=(NEAR, FAR),
        origin="twin",
        created_utc_s=1.5e9,
        qkd_bits_spent=512,
    )


async def spend_bits(store: KeyStore, pool: PoolId, num_bits: int) -> bytes:
    spent = await store.spend(pool, num_bits=num_bits, use=Use.RELAY, request_id=REQUEST)
    assert spent.pool == pool
    assert spent.bits.num_bits == num_bits == spent.secret.num_bits
    return spent.secret.reveal()


async def check_books(store: KeyStore) -> None:
    for level in (await store.levels()).values():
        spent_bits = sum(level.spent_bits.values())
        lost_bits = level.voided_bits + level.expired_bits
        assert level.received_bits == level.unconfirmed_bits + level.available_bits + spent_bits + lost_bits


def part(block: KeyBlock, start_bit: int, stop_bit: int) -> BitRange:
    return BitRange((BlockSlice(block.block_id, start_bit, stop_bit),))


DICE = random.Random(20170929)
