"""Every key store spends what a notice says in one stroke with it, and keeps the notice until it is dropped."""

from __future__ import annotations

from typing import Any

import pytest

from qanat.ground.errors import (
    KeyShortage,
)
from qanat.ground.keys import (
    PoolId,
    Use,
)
from qanat.ground.ports import KeyStore
from store_support import DICE, NEAR, OTHER_LINK, SENDING, Play, check_books, new_block, second_handle, share


def notice_of(one: Any, other: Any) -> bytes:
    return bytes(a ^ b for a, b in zip(one.secret.take(), other.secret.take(), strict=True))


def test_what_is_said_of_two_spends_is_kept_with_them_until_it_is_dropped(play: Play) -> None:
    blocks = new_block(64, dice=DICE), new_block(64, dice=DICE, link=OTHER_LINK)
    pools = SENDING, PoolId(OTHER_LINK, NEAR)

    async def scene(store: KeyStore) -> None:
        for block in blocks:
            await store.add_block(block)
            await store.confirm(block.block_id)
        await store.spend_on_notice(pools, num_bits=128, use=Use.ANNOUNCEMENT, notice_id="n", write=notice_of)
        said = bytes(a ^ b for a, b in zip(share(blocks[0], pools[0]), share(blocks[1], pools[1]), strict=True))[:16]
        assert await store.notices() == {"n": said}
        assert {(await store.levels())[pool].spent_bits[Use.ANNOUNCEMENT] for pool in pools} == {128}
        again = await second_handle(store)
        await again.open_epoch()
        assert await again.notices() == {"n": said}
        await again.drop_notice("n")
        await again.drop_notice("n")
        assert await again.notices() == {}
        await check_books(again)

    play(scene)


def test_where_one_of_two_pools_is_short_neither_is_spent_and_nothing_is_to_be_said(play: Play) -> None:
    block = new_block(64, dice=DICE)

    async def scene(store: KeyStore) -> None:
        await store.add_block(block)
        await store.confirm(block.block_id)
        before = await store.levels()
        with pytest.raises(KeyShortage):
            await store.spend_on_notice(
                (SENDING, PoolId(OTHER_LINK, NEAR)),
                num_bits=128,
                use=Use.ANNOUNCEMENT,
                notice_id="n",
                write=notice_of,
            )
        assert (await store.levels())[SENDING].available_bits == before[SENDING].available_bits
        assert await store.notices() == {}

    play(scene)
