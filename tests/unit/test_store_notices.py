"""Every key store keeps in one stroke with a spend what is said of the bits, or the block that is made of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.errors import KeyShortage, PadReused
from qanat.ground.identifiers import OrderId, RequestId
from qanat.ground.keys import (
    BitRange,
    BlockName,
    BlockSlice,
    KeyBlock,
    PoolId,
    SecretBytes,
    Selection,
    SpentBits,
    Use,
)
from qanat.ground.life_cycle import Stage
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
        assert (await store.notice_ids(), await store.notice("n")) == (["n"], said)
        assert {(await store.levels())[pool].spent_bits[Use.ANNOUNCEMENT] for pool in pools} == {128}
        again = await second_handle(store)
        await again.open_epoch()
        assert (await again.notice_ids(), await again.notice("n")) == (["n"], said)
        await again.drop_notice("n")
        await again.drop_notice("n")
        assert (await again.notice_ids(), await again.notice("n")) == ([], None)
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
        assert await store.notice_ids() == []

    play(scene)


def made_of(spent: SpentBits, **more: Any) -> KeyBlock:
    """A block between the same two nodes whose bits are the spent ones, the other way round."""
    block = new_block(len(spent.secret), dice=DICE, link=OTHER_LINK)
    return replace(block, bits=SecretBytes(spent.secret.take()[::-1]), protocol="made of others", **more)


def test_a_block_made_of_spent_bits_is_kept_with_their_spending(play: Play) -> None:
    block, kept = new_block(64, dice=DICE), list[KeyBlock]()

    def make(spent: SpentBits) -> KeyBlock:
        kept.append(made_of(spent))
        return kept[-1]

    async def scene(store: KeyStore) -> None:
        await store.add_block(block)
        bits = BitRange((BlockSlice(block.block_id, 0, 128),))
        await store.spend_into_block(SENDING, bits, use=Use.ANNOUNCEMENT, make=make)
        assert kept[0].bits.reveal()[::-1] == share(block, SENDING)[:16]
        assert await store.block_stage(kept[0].block_id) is Stage.RECEIVED
        with pytest.raises(PadReused):
            await store.spend_into_block(SENDING, bits, use=Use.ANNOUNCEMENT, make=make)
        assert len(kept) == 1
        await check_books(store)

    play(scene)


def test_where_nothing_is_made_of_spent_bits_they_are_spent_all_the_same(play: Play) -> None:
    block = new_block(64, dice=DICE)

    async def scene(store: KeyStore) -> None:
        await store.add_block(block)
        bits = BitRange((BlockSlice(block.block_id, 0, 128),))
        await store.spend_into_block(SENDING, bits, use=Use.ANNOUNCEMENT, make=lambda _: None)
        with pytest.raises(PadReused):
            await store.spend_range(SENDING, bits, use=Use.ANNOUNCEMENT)

    play(scene)


def test_blocks_of_one_protocol_outlive_in_doubt_what_else_is_in_doubt(play: Play) -> None:
    usual = new_block(64, dice=DICE)
    spared = replace(new_block(64, dice=DICE, link=OTHER_LINK), protocol="spared", order_id=OrderId("its order"))

    async def scene(store: KeyStore) -> None:
        for block in (usual, spared):
            await store.add_block(block)
        assert await store.void(Selection(unconfirmed=True, but_protocol="spared")) == 1
        assert await store.block_stage(usual.block_id) is Stage.DESTROYED
        (name,) = await store.unconfirmed_blocks("spared")
        assert name == BlockName(spared.block_id, spared.order_id, spared.link_id, spared.peer, spared.num_bits)
        await store.confirm(spared.block_id)
        assert not await store.unconfirmed_blocks("spared")
        await check_books(store)

    play(scene)


def test_spent_bits_are_as_doubtful_as_all_blocks_that_they_are_of(play: Play) -> None:
    blocks = [replace(new_block(64, dice=DICE), eps_sec=eps, eps_cor=eps / 8) for eps in (0.25, 0.125)]

    async def scene(store: KeyStore) -> None:
        for block in blocks:
            await store.add_block(block)
            await store.confirm(block.block_id)
        first = await store.spend(SENDING, num_bits=8, use=Use.RELAY, request_id=RequestId("r"))
        assert (first.eps_sec, first.eps_cor) == (0.25, 0.03125)
        left_bits = (await store.levels())[SENDING].available_bits
        rest = await store.spend(SENDING, num_bits=left_bits, use=Use.RELAY, request_id=RequestId("r"))
        assert (rest.eps_sec, rest.eps_cor) == (0.375, 0.046875)

    play(scene)
