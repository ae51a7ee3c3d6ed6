"""The life of a key and of a block is the table's, in every store: each transition of it happens, and no other."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from qanat.ground.errors import QanatError
from qanat.ground.keys import KeyBlock, SecretKey, Selection, Use, split_block
from qanat.ground.life_cycle import ENDS, TRANSITIONS, Act, Kind, Stage, next_stage, stages_before
from qanat.ground.ports import KeyStore
from qanat.ground.stock import AgeLimits
from store_support import (
    ALICE,
    BOB,
    COMING,
    DICE,
    EVE,
    LINK,
    PAIR,
    RESERVE,
    SENDING,
    in_memory,
    in_sqlite,
    new_block,
    new_key,
    part,
)

OLD = AgeLimits(links={LINK: 1.0}, pairs={PAIR: 1.0}, grace_s=0.0)
Scene: TypeAlias = Callable[[KeyStore], Awaitable[None]]


async def grow_old(store: KeyStore) -> None:
    for monotonic_s in (0.0, 10.0):
        await store.expire(OLD, monotonic_s=monotonic_s, utc_s=0.0)


class Lives:
    """One thing in a store, and the acts that may be tried on it."""

    def __init__(self, store: KeyStore) -> None:
        self.store = store


class KeyLife(Lives):
    def __init__(self, store: KeyStore) -> None:
        super().__init__(store)
        self.key: SecretKey = new_key(dice=DICE)
        self.waiting = [BOB, EVE, ALICE]

    async def give(self) -> None:
        """Give it to the next who waits; in vain to the last, when all have it."""
        sae = self.waiting[0] if self.waiting else ALICE
        await self.store.supply_by_id([self.key.key_id], sae=sae)
        self.waiting.pop(0)

    async def stage(self) -> Stage | None:
        return await self.store.key_stage(self.key.key_id)

    async def do(self, act: Act) -> None:
        ids = [self.key.key_id]
        match act:
            case Act.TAKE_IN | Act.TAKE_IN_CONFIRMED:
                await self.store.put(
                    [self.key], entitled=frozenset({ALICE, BOB, EVE}), confirmed=act is Act.TAKE_IN_CONFIRMED
                )
            case Act.CONFIRM:
                await self.store.confirm_keys(ids)
            case Act.GIVE:
                await self.give()
            case Act.GIVE_LAST:
                for _ in range(max(1, len(self.waiting))):
                    await self.give()
            case Act.EXPIRE:
                await grow_old(self.store)
            case Act.VOID:
                await self.store.void(Selection(key_ids=frozenset(ids)))


class BlockLife(Lives):
    """Its reserve is spent at once: of the reserve nothing expires."""

    def __init__(self, store: KeyStore) -> None:
        super().__init__(store)
        self.block: KeyBlock = new_block(400, dice=DICE)

    async def stage(self) -> Stage | None:
        return await self.store.block_stage(self.block.block_id)

    async def do(self, act: Act) -> None:
        match act:
            case Act.TAKE_IN:
                await self.store.add_block(self.block)
                start, stop = split_block(self.block)[RESERVE]
                await self.store.spend_range(RESERVE, part(self.block, 0, stop - start), use=Use.AUTHENTICATION)
            case Act.CONFIRM:
                await self.store.confirm(self.block.block_id)
            case Act.GIVE:
                await self.store.spend_range(COMING, part(self.block, 0, 8), use=Use.RELAY)
            case Act.GIVE_LAST:
                for pool in (SENDING, COMING):
                    start, stop = split_block(self.block)[pool]
                    await self.store.spend_range(pool, part(self.block, 0, stop - start), use=Use.RELAY)
            case Act.EXPIRE:
                await grow_old(self.store)
            case Act.VOID:
                await self.store.void(Selection(block_ids=frozenset({self.block.block_id})))
            case Act.TAKE_IN_CONFIRMED:
                raise AssertionError("no block comes confirmed")


WAYS: dict[Kind, dict[Stage | None, tuple[Act, ...]]] = {
    Kind.KEY: {
        None: (),
        Stage.RECEIVED: (Act.TAKE_IN,),
        Stage.STORED: (Act.TAKE_IN, Act.CONFIRM),
        Stage.RESERVED: (Act.TAKE_IN_CONFIRMED, Act.GIVE),
        Stage.SUPPLIED: (Act.TAKE_IN_CONFIRMED, Act.GIVE_LAST),
        Stage.EXPIRED: (Act.TAKE_IN_CONFIRMED, Act.EXPIRE),
        Stage.DESTROYED: (Act.TAKE_IN_CONFIRMED, Act.VOID),
    },
    Kind.BLOCK: {
        None: (),
        Stage.RECEIVED: (Act.TAKE_IN,),
        Stage.STORED: (Act.TAKE_IN, Act.CONFIRM),
        Stage.SUPPLIED: (Act.TAKE_IN, Act.CONFIRM, Act.GIVE_LAST),
        Stage.EXPIRED: (Act.TAKE_IN, Act.CONFIRM, Act.EXPIRE),
        Stage.DESTROYED: (Act.TAKE_IN, Act.CONFIRM, Act.VOID),
    },
}
"""A way to every stage."""

LIVES: dict[Kind, type[KeyLife] | type[BlockLife]] = {Kind.KEY: KeyLife, Kind.BLOCK: BlockLife}
CASES = [
    (kind, before, act)
    for kind, ways in WAYS.items()
    for before, act in itertools.product(ways, Act)
    if not (kind is Kind.BLOCK and act is Act.TAKE_IN_CONFIRMED)
]


@pytest.mark.parametrize("open_store", [in_sqlite, in_memory])
@pytest.mark.parametrize(("kind", "before", "act"), CASES)
def test_a_store_does_what_the_table_says_and_nothing_else(
    kind: Kind, before: Stage | None, act: Act, open_store: Any, tmp_path: Path
) -> None:
    async def scene(store: KeyStore) -> None:
        await store.open_epoch()
        life = LIVES[kind](store)
        for way in WAYS[kind][before]:
            await life.do(way)
        assert await life.stage() is before
        after = next_stage(kind, before, act)
        try:
            await life.do(act)
        except QanatError:
            assert after is None, f"{act} was refused"
        assert await life.stage() is (before if after is None else after)

    asyncio.run(open_store(scene, tmp_path))


def test_every_row_is_walked_and_no_two_disagree() -> None:
    rows = [(kind, row.before, row.act) for row in TRANSITIONS for kind in row.of]
    assert len(rows) == len(set(rows))
    assert set(rows) <= set(CASES)


def test_from_an_end_nothing_comes_back() -> None:
    assert {row.after for row in TRANSITIONS if row.before in ENDS} == {Stage.SUPPLIED}
    for kind in Kind:
        assert stages_before(kind, Act.VOID) == tuple(
            stage for stage in Stage if stage not in ENDS and (kind is Kind.KEY or stage is not Stage.RESERVED)
        )
