"""Every key store keeps every sentence of the KeyStore port."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from qanat.ground.errors import (
    BadParameter,
    BlockUnknown,
    KeyNotFound,
    KeyShortage,
    NotEntitled,
    PadReused,
    QanatError,
    StaleEpoch,
)
from qanat.ground.identifiers import BlockId, KeyID, NodeId, SaeId, SaePair
from qanat.ground.keys import (
    PRE_SHARED,
    BitRange,
    BlockSlice,
    KeyBlock,
    PoolId,
    SecretKey,
    Selection,
    Use,
    split_block,
)
from qanat.ground.ports import KeyStore
from qanat.ground.stock import NamedEpoch
from store_support import (
    ALICE,
    BOB,
    BOTH,
    COMING,
    DICE,
    EVE,
    FAR,
    LINK,
    NEAR,
    OTHER_LINK,
    PAIR,
    REQUEST,
    RESERVE,
    SENDING,
    Play,
    check_books,
    new_block,
    new_key,
    part,
    second_handle,
    share,
    spend_bits,
)

# ---- blocks ----


def test_an_unconfirmed_block_is_counted_and_not_spendable(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        level = (await store.levels())[SENDING]
        assert (level.unconfirmed_bits, level.available_bits) == (8 * len(share(block, SENDING)), 0)
        with pytest.raises(KeyShortage):
            await spend_bits(store, SENDING, 8)

    play(scene)


def test_a_block_feeds_its_three_pools(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(3000, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        levels = await store.levels()
        for pool in (SENDING, COMING, RESERVE):
            bits = share(block, pool)
            assert levels[pool].available_bits == levels[pool].received_bits == 8 * len(bits)
            assert await spend_bits(store, pool, 8 * len(bits)) == bits
        await check_books(store)

    play(scene)


def test_a_pre_shared_block_is_all_reserve(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(9000, dice=DICE, protocol=PRE_SHARED)
        await store.add_block(block)
        await store.confirm(block.block_id)
        assert await spend_bits(store, RESERVE, 8 * 9000) == block.bits.reveal()

    play(scene)


def test_add_block_and_confirm_are_idempotent(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        for _ in range(2):
            await store.add_block(block)
        for _ in range(2):
            await store.confirm(block.block_id)
        assert (await store.levels())[SENDING].available_bits == 8 * len(share(block, SENDING))
        await check_books(store)

    play(scene)


@pytest.mark.parametrize("end", ["confirmed", "spent", "voided"])
def test_a_block_never_comes_back(play: Play, end: str) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        if end == "spent":
            for pool, (start, stop) in split_block(block).items():
                await spend_bits(store, pool, stop - start)
        elif end == "voided":
            assert await store.void(Selection(block_ids=frozenset({block.block_id}))) == 1
        before = await store.levels()
        await store.add_block(block)
        assert await store.levels() == before

    play(scene)


def test_confirm_of_a_block_that_is_not_here(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        with pytest.raises(BlockUnknown):
            await store.confirm(BlockId("never came"))
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.void(Selection(block_ids=frozenset({block.block_id})))
        with pytest.raises(BlockUnknown):
            await store.confirm(block.block_id)

    play(scene)


# ---- spends ----


def test_spend_takes_the_oldest_bits_first_and_each_once(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        blocks = [new_block(1000, dice=DICE) for _ in range(3)]
        for block in blocks:
            await store.add_block(block)
        for block in reversed(blocks):
            await store.confirm(block.block_id)
        expected = b"".join(share(block, SENDING) for block in blocks)
        got = b""
        while len(got) < len(expected):
            got += await spend_bits(store, SENDING, 8 * min(77, len(expected) - len(got)))
        assert got == expected
        with pytest.raises(KeyShortage):
            await spend_bits(store, SENDING, 8)
        await check_books(store)

    play(scene)


def test_spend_of_too_much_takes_nothing(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        before = await store.levels()
        with pytest.raises(KeyShortage):
            await spend_bits(store, SENDING, before[SENDING].available_bits + 8)
        assert await store.levels() == before
        with pytest.raises(KeyShortage):
            await spend_bits(store, PoolId(OTHER_LINK, NEAR), 8)

    play(scene)


def test_the_peer_spends_the_same_bits_by_their_range(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(20_000, dice=DICE)
        await store.add_block(block)
        bits = share(block, COMING)
        for start in range(0, len(bits) - 1000, 1000):
            spent = await store.spend_range(COMING, part(block, 8 * start, 8 * start + 8000), use=Use.RELAY)
            assert spent.secret.reveal() == bits[start : start + 1000]
        await check_books(store)
        assert (await store.levels())[COMING].available_bits == 0, "the block was never confirmed here"

    play(scene)


@pytest.mark.parametrize(("start", "stop"), [(16, 24), (8, 16), (40, 64), (0, 80), (24, 32), (48, 56)])
def test_no_bit_is_spent_twice(play: Play, start: int, stop: int) -> None:
    """Bits 8 to 24 and 48 to 64 are spent; whatever overlaps them is refused and changes nothing."""

    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        for first in (8, 48):
            await store.spend_range(COMING, part(block, first, first + 16), use=Use.RELAY)
        before = await store.levels()
        if (start, stop) == (24, 32):
            await store.spend_range(COMING, part(block, start, stop), use=Use.RELAY)
            assert await store.levels() != before
        else:
            with pytest.raises(PadReused):
                await store.spend_range(COMING, part(block, start, stop), use=Use.RELAY)
            assert await store.levels() == before

    play(scene)


def test_a_range_that_overlaps_itself_is_refused_whole(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        twice = BitRange((BlockSlice(block.block_id, 0, 16), BlockSlice(block.block_id, 8, 24)))
        before = await store.levels()
        with pytest.raises(PadReused):
            await store.spend_range(COMING, twice, use=Use.RELAY)
        assert await store.levels() == before
        await store.spend_range(COMING, part(block, 0, 24), use=Use.RELAY)

    play(scene)


def test_spend_goes_round_what_a_range_took(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        bits = share(block, SENDING)
        await store.spend_range(SENDING, part(block, 16, 24), use=Use.ONE_TIME_PAD)
        spent = await store.spend(SENDING, num_bits=32, use=Use.RELAY, request_id=REQUEST)
        assert spent.secret.reveal() == bits[0:2] + bits[3:5]
        assert [(piece.start_bit, piece.stop_bit) for piece in spent.bits.slices] == [(0, 16), (24, 40)]
        level = (await store.levels())[SENDING]
        assert level.spent_bits == {Use.ONE_TIME_PAD: 8, Use.RELAY: 32}

    play(scene)


def test_ranges_of_blocks_that_are_not_here(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        stranger = part(new_block(400, dice=DICE), 0, 8)
        mixed = BitRange((*part(block, 0, 8).slices, *stranger.slices))
        for bits in (stranger, mixed, part(block, 0, 8 * 400)):
            with pytest.raises(BlockUnknown):
                await store.spend_range(COMING, bits, use=Use.RELAY)
        with pytest.raises(BlockUnknown):
            await store.spend_range(PoolId(OTHER_LINK, FAR), part(block, 0, 8), use=Use.RELAY)
        assert (await store.levels())[COMING].spent_bits == {}
        await store.void(Selection(unconfirmed=True))
        with pytest.raises(BlockUnknown):
            await store.spend_range(COMING, part(block, 0, 8), use=Use.RELAY)

    play(scene)


def test_nothing_is_not_spent(play: Play) -> None:
    """To spend no bit is a slip of the caller's, at every store."""

    async def scene(store: KeyStore) -> None:
        with pytest.raises(ValueError, match="at least one slice"):
            await store.spend_range(COMING, BitRange(()), use=Use.RELAY)
        with pytest.raises(ValueError, match="at least 8 bits"):
            await store.spend(COMING, num_bits=0, use=Use.RELAY, request_id=REQUEST)

    play(scene)


def test_a_block_spent_whole_refuses_a_replay(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        num_bits = 8 * len(share(block, SENDING))
        await spend_bits(store, SENDING, num_bits)
        for bits in (part(block, 0, 8), part(block, num_bits - 8, num_bits)):
            with pytest.raises(PadReused):
                await store.spend_range(SENDING, bits, use=Use.RELAY)

    play(scene)


# ---- keys ----


def test_the_master_is_supplied_its_oldest_keys_once(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(5)]
        await store.put(keys[:2], entitled=frozenset({ALICE}), confirmed=True)
        await store.put(keys[2:], entitled=frozenset({ALICE}), confirmed=True)
        assert await store.count_keys(PAIR, size_bits=256) == 5
        got = [*await store.supply(PAIR, count=3, size_bits=256, request_id=REQUEST)]
        got += await store.supply(PAIR, count=2, size_bits=256, request_id=REQUEST)
        assert got == keys
        assert [key.take() for key in got] == [key.secret.reveal() for key in keys]
        assert await store.count_keys(PAIR, size_bits=256) == 0
        with pytest.raises(KeyShortage):
            await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)

    play(scene)


def test_supply_is_all_or_nothing_and_by_size_and_pair(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        await store.put([new_key(dice=DICE) for _ in range(2)], entitled=frozenset({ALICE}), confirmed=True)
        await store.put([new_key(dice=DICE, num_bytes=16)], entitled=frozenset({ALICE}), confirmed=True)
        for pair, count, size_bits in ((PAIR, 3, 256), (PAIR, 2, 128), (SaePair(BOB, ALICE), 1, 256)):
            with pytest.raises(KeyShortage):
                await store.supply(pair, count=count, size_bits=size_bits, request_id=REQUEST)
        assert await store.count_keys(PAIR, size_bits=256) == 2
        assert await store.count_keys(PAIR, size_bits=128) == 1

    play(scene)


def test_keys_by_id_come_in_the_order_asked_and_once(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(4)]
        await store.put(keys, entitled=frozenset({BOB}), confirmed=True)
        asked = [keys[2], keys[0], keys[3]]
        got = await store.supply_by_id([key.key_id for key in asked], sae=BOB)
        assert list(got) == asked
        assert [key.secret for key in got] == [key.secret for key in asked]
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([keys[2].key_id], sae=BOB)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([keys[1].key_id, keys[2].key_id], sae=BOB)
        assert len(await store.supply_by_id([keys[1].key_id], sae=BOB)) == 1

    play(scene)


def test_a_stranger_gets_nothing_and_takes_nothing(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(2)]
        await store.put(keys, entitled=frozenset({BOB}), confirmed=True)
        for sae in (EVE, ALICE):
            with pytest.raises(NotEntitled):
                await store.supply_by_id([key.key_id for key in keys], sae=sae)
        assert await store.count_keys(PAIR, size_bits=256) == 0, "the master has no right to these here"
        assert len(await store.supply_by_id([key.key_id for key in keys], sae=BOB)) == 2

    play(scene)


def test_two_at_one_node_get_the_key_once_each(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        key = new_key(dice=DICE)
        await store.put([key], entitled=BOTH, confirmed=True)
        (masters,) = await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([key.key_id], sae=ALICE)
        (slaves,) = await store.supply_by_id([key.key_id], sae=BOB)
        assert masters.secret == slaves.secret == key.secret
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([key.key_id], sae=BOB)

    play(scene)


def test_a_wrong_master_finds_nothing_and_spends_nothing(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        key = new_key(dice=DICE)
        await store.put([key], entitled=frozenset({BOB}), confirmed=True)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([key.key_id], sae=BOB, master=BOB)
        (got,) = await store.supply_by_id([key.key_id], sae=BOB, master=ALICE)
        assert got.secret == key.secret

    play(scene)


def test_unconfirmed_keys_wait_for_their_confirmation(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(2)]
        ids = [key.key_id for key in keys]
        await store.put(keys, entitled=frozenset({ALICE}), confirmed=False)
        assert await store.count_keys(PAIR, size_bits=256) == 0
        with pytest.raises(KeyShortage):
            await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        with pytest.raises(KeyNotFound):
            await store.supply_by_id(ids, sae=ALICE)
        with pytest.raises(KeyNotFound):
            await store.confirm_keys([ids[0], new_key(dice=DICE).key_id])
        assert await store.count_keys(PAIR, size_bits=256) == 0, "all or none"
        for _ in range(2):
            await store.confirm_keys(ids)
        assert await store.count_keys(PAIR, size_bits=256) == 2

    play(scene)


def test_put_is_idempotent_while_a_key_is_held(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        one, two = (new_key(dice=DICE) for _ in range(2))
        await store.put([one], entitled=frozenset({ALICE}), confirmed=True)
        await store.put([one, two], entitled=frozenset({ALICE}), confirmed=True)
        assert await store.count_keys(PAIR, size_bits=256) == 2

    play(scene)


@pytest.mark.parametrize("end", ["supplied", "voided"])
def test_a_key_that_is_gone_does_not_come_back(play: Play, end: str) -> None:
    async def scene(store: KeyStore) -> None:
        gone, fresh = (new_key(dice=DICE) for _ in range(2))
        await store.put([gone], entitled=frozenset({ALICE}), confirmed=True)
        if end == "supplied":
            await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
        else:
            assert await store.void(Selection(key_ids=frozenset({gone.key_id}))) == 1
        with pytest.raises(PadReused):
            await store.put([fresh, gone], entitled=frozenset({ALICE}), confirmed=True)
        assert await store.count_keys(PAIR, size_bits=256) == 0, "the fresh one was not kept either"
        await store.put([fresh], entitled=frozenset({ALICE}), confirmed=True)

    play(scene)


@pytest.mark.parametrize("spelling", ["", "zz", "{{{}}}x", "g{}"])
def test_what_is_no_key_id_is_the_caller_s_fault(play: Play, spelling: str) -> None:
    async def scene(store: KeyStore) -> None:
        key = new_key(dice=DICE)
        await store.put([key], entitled=BOTH, confirmed=False)
        wrong = KeyID(spelling.format(key.key_id))
        for call in (
            store.put([replace(key, key_id=wrong)], entitled=BOTH, confirmed=True),
            store.confirm_keys([key.key_id, wrong]),
            store.supply_by_id([wrong], sae=BOB),
            store.void(Selection(key_ids=frozenset({key.key_id, wrong}))),
        ):
            with pytest.raises(BadParameter):
                await call
        assert await store.void(Selection(unconfirmed=True)) == 1, "nothing was confirmed or destroyed"

    play(scene)


@pytest.mark.parametrize("spelling", ["{{{}}}", "urn:uuid:{}"])
def test_a_key_id_is_kept_in_one_spelling_and_found_in_any(play: Play, spelling: str) -> None:
    async def scene(store: KeyStore) -> None:
        key = new_key(dice=DICE)
        other = KeyID(spelling.format(key.key_id.upper()))
        with pytest.raises(BadParameter):
            await store.put([replace(key, key_id=other)], entitled=BOTH, confirmed=False)
        await store.put([key], entitled=BOTH, confirmed=False)
        await store.confirm_keys([other])
        assert list(await store.supply_by_id([other], sae=BOB)) == [key]
        assert await store.void(Selection(key_ids=frozenset({other}))) == 1

    play(scene)


# ---- void, epochs ----


def test_void_by_each_criterion(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        ours, theirs, waiting = (
            new_block(400, dice=DICE),
            new_block(400, dice=DICE, link=OTHER_LINK),
            new_block(400, dice=DICE, link=OTHER_LINK),
        )
        for block in (ours, theirs, waiting):
            await store.add_block(block)
        for block in (ours, theirs):
            await store.confirm(block.block_id)
        back = SaePair(BOB, ALICE)
        keys = [new_key(dice=DICE), new_key(dice=DICE, pair=back), new_key(dice=DICE, pair=back)]
        await store.put(keys[:2], entitled=BOTH, confirmed=True)
        await store.put(keys[2:], entitled=BOTH, confirmed=False)
        for selection, count in (
            (Selection(), 0),
            (Selection(links=frozenset({LINK})), 1),
            (Selection(unconfirmed=True), 2),
            (Selection(pairs=frozenset({PAIR})), 1),
            (Selection(key_ids=frozenset({keys[1].key_id}), block_ids=frozenset({theirs.block_id})), 2),
        ):
            assert await store.void(selection) == count
            assert await store.void(selection) == 0, "idempotent"
            await check_books(store)
        for level in (await store.levels()).values():
            assert level.voided_bits == level.received_bits

    play(scene)


def test_a_peer_voids_only_what_it_shares(play: Play) -> None:
    """The two restrictions narrow what is named by id, and nothing else."""

    async def scene(store: KeyStore) -> None:
        shared, other = (replace(new_block(400, dice=DICE), peer=peer) for peer in (FAR, NodeId("shanghai")))
        begun_near, begun_far = (replace(new_key(dice=DICE), route=route) for route in ((NEAR, FAR), (FAR, NEAR)))
        for block in (shared, other):
            await store.add_block(block)
        await store.put([begun_near, begun_far], entitled=BOTH, confirmed=True)
        named = Selection(
            block_ids=frozenset({shared.block_id, other.block_id}),
            key_ids=frozenset({begun_near.key_id, begun_far.key_id}),
            block_peer=NodeId("nobody"),
            key_origin=NodeId("nobody"),
        )
        assert await store.void(named) == 0
        assert await store.void(replace(named, key_ids=frozenset(), block_peer=FAR)) == 1
        await store.confirm(other.block_id)
        with pytest.raises(BlockUnknown):
            await store.confirm(shared.block_id)
        assert await store.void(replace(named, block_ids=frozenset(), key_origin=FAR)) == 1
        assert list(await store.supply_by_id([begun_near.key_id], sae=BOB)) == [begun_near]
        by_link = Selection(links=frozenset({LINK}), pairs=frozenset({PAIR}))
        assert await store.void(replace(by_link, block_peer=NodeId("nobody"), key_origin=NodeId("nobody"))) == 2
        await check_books(store)

    play(scene)


def test_void_leaves_the_books_of_what_was_spent(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(400, dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        await spend_bits(store, SENDING, 64)
        await store.void(Selection(links=frozenset({LINK})))
        level = (await store.levels())[SENDING]
        assert (level.available_bits, level.spent_bits) == (0, {Use.RELAY: 64})
        assert level.voided_bits == level.received_bits - 64
        with pytest.raises(KeyShortage):
            await spend_bits(store, SENDING, 8)

    play(scene)


def test_an_epoch_is_marked_when_stock_was_used_and_remembers_all_its_marks(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        number = await store.open_epoch(name="mine")
        await store.put([new_key(dice=DICE) for _ in range(2)], entitled=frozenset({ALICE}), confirmed=True)
        assert await store.mark_epoch() is None, "nothing was used"
        marks = []
        for _ in range(2):
            await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST)
            marks.append(await store.mark_epoch())
            assert await store.mark_epoch() is None
        assert marks == [NamedEpoch(number, "mine.1"), NamedEpoch(number, "mine.2")]
        for name, is_own in {"mine": True, "mine.1": True, "mine.2": True, "mine.3": False, "others.1": False}.items():
            assert await store.is_own_epoch(NamedEpoch(number, name)) is is_own
        await store.open_epoch(name="next")
        assert await store.mark_epoch() is None
        assert await store.is_own_epoch(NamedEpoch(number, "mine.2"))
        assert not await store.is_own_epoch(NamedEpoch(number + 1, "mine.2"))

    play(scene)


def test_the_number_for_what_sites_state_is_kept(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        assert await store.terms() == 0
        for number in (2**56 - 1, 0, 7):
            await store.remember_terms(number)
            await store.open_epoch()
            assert await store.terms() == number

    play(scene)


@pytest.mark.parametrize("use", ["spend", "spend_range", "supply_by_id"])
def test_whatever_uses_stock_is_marked(play: Play, use: str) -> None:
    async def scene(store: KeyStore) -> None:
        await store.open_epoch(name="mine")
        block, key = new_block(4000, dice=DICE), new_key(dice=DICE)
        await store.add_block(block)
        await store.confirm(block.block_id)
        await store.put([key], entitled=frozenset({ALICE}), confirmed=True)
        pool = next(iter(split_block(block)))
        assert await store.mark_epoch() is None
        if use == "spend":
            await store.spend(pool, num_bits=64, use=Use.RELAY, request_id=REQUEST)
        elif use == "spend_range":
            await store.spend_range(pool, BitRange((BlockSlice(block.block_id, 0, 64),)), use=Use.RELAY)
        else:
            await store.supply_by_id([key.key_id], sae=ALICE)
        assert await store.mark_epoch() is not None

    play(scene)


def test_epochs_grow_by_one(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        first = await store.open_epoch()
        assert await store.open_epoch() == first + 1
        assert await store.levels() == {}

    play(scene)


def test_an_older_handle_is_fenced_off(play: Play) -> None:
    async def scene(older: KeyStore) -> None:
        block, keys = new_block(400, dice=DICE), [new_key(dice=DICE)]
        await older.add_block(block)
        first = await older.open_epoch()
        newer = await second_handle(older)
        assert await newer.open_epoch() == first + 1
        for call in (
            older.add_block(block),
            older.confirm(block.block_id),
            older.spend(SENDING, num_bits=8, use=Use.RELAY, request_id=REQUEST),
            older.spend_range(COMING, part(block, 0, 8), use=Use.RELAY),
            older.put(keys, entitled=BOTH, confirmed=True),
            older.supply(PAIR, count=1, size_bits=256, request_id=REQUEST),
            older.supply_by_id([keys[0].key_id], sae=BOB),
            older.confirm_keys([keys[0].key_id]),
            older.void(Selection(unconfirmed=True)),
            older.levels(),
            older.count_keys(PAIR, size_bits=256),
        ):
            with pytest.raises(StaleEpoch):
                await call
        await newer.confirm(block.block_id)
        assert (await newer.levels())[SENDING].spent_bits == {}

    play(scene)


# ---- random sequences against a model ----


class Model:
    """The port's sentences in the plainest form: sets of bytes, lists of keys."""

    def __init__(self) -> None:
        self.blocks: dict[BlockId, KeyBlock] = {}
        self.confirmed: set[BlockId] = set()
        self.voided: set[BlockId] = set()
        self.spent: dict[tuple[PoolId, BlockId], set[int]] = {}
        self.keys: dict[KeyID, tuple[SecretKey, set[SaeId]]] = {}
        self.gone: set[KeyID] = set()

    def free(self, pool: PoolId, block_id: BlockId) -> list[int]:
        block = self.blocks[block_id]
        if block_id in self.voided or pool not in split_block(block):
            return []
        spent = self.spent.setdefault((pool, block_id), set())
        return [place for place in range(len(share(block, pool))) if place not in spent]

    def spend(self, pool: PoolId, num_bytes: int) -> bytes:
        places = [(one, place) for one in self.blocks if one in self.confirmed for place in self.free(pool, one)]
        if len(places) < num_bytes:
            raise KeyShortage("model")
        return self.take(pool, places[:num_bytes])

    def spend_range(self, pool: PoolId, block_id: BlockId, start: int, stop: int) -> bytes:
        if block_id not in self.blocks or block_id in self.voided or pool not in split_block(self.blocks[block_id]):
            raise BlockUnknown("model")
        if stop > len(share(self.blocks[block_id], pool)):
            raise BlockUnknown("model")
        if not set(range(start, stop)) <= set(self.free(pool, block_id)):
            raise PadReused("model")
        return self.take(pool, [(block_id, place) for place in range(start, stop)])

    def take(self, pool: PoolId, places: list[tuple[BlockId, int]]) -> bytes:
        for block_id, place in places:
            self.spent.setdefault((pool, block_id), set()).add(place)
        return bytes(share(self.blocks[block_id], pool)[place] for block_id, place in places)

    def confirm(self, block_id: BlockId) -> None:
        if block_id in self.voided or block_id not in self.blocks:
            raise BlockUnknown("model")
        self.confirmed.add(block_id)

    def available_bits(self, pool: PoolId) -> int:
        return 8 * sum(len(self.free(pool, one)) for one in self.blocks if one in self.confirmed)

    def put(self, key: SecretKey, entitled: frozenset[SaeId]) -> None:
        if key.key_id in self.gone:
            raise PadReused("model")
        self.keys.setdefault(key.key_id, (key, set(entitled)))

    def supply(self, pair: SaePair, count: int) -> list[bytes]:
        ids = [one for one, (key, waiting) in self.keys.items() if key.pair == pair and pair.master in waiting]
        if len(ids) < count:
            raise KeyShortage("model")
        return [self.hand_over(one, pair.master) for one in ids[:count]]

    def supply_by_id(self, key_id: KeyID, sae: SaeId) -> list[bytes]:
        if key_id not in self.keys:
            raise KeyNotFound("model")
        key, waiting = self.keys[key_id]
        if sae not in waiting:
            raise KeyNotFound("model") if sae in (key.pair.master, key.pair.slave) else NotEntitled("model")
        return [self.hand_over(key_id, sae)]

    def hand_over(self, key_id: KeyID, sae: SaeId) -> bytes:
        key, waiting = self.keys[key_id]
        waiting.discard(sae)
        if not waiting:
            del self.keys[key_id]
            self.gone.add(key_id)
        return key.secret.reveal()


async def outcome(work: Awaitable[Any]) -> Any:
    """Return what a call of the store gave, in the model's words: bytes, a list of bytes, or the kind of error."""
    try:
        result = await work
    except QanatError as fault:
        return type(fault)
    if isinstance(result, list | tuple):
        return [key.take() for key in result]
    return result.secret.reveal() if hasattr(result, "secret") else None


def expected(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except QanatError as fault:
        return type(fault)


async def step(store: KeyStore, model: Model, dice: random.Random) -> None:
    """Do one random call on both and compare."""
    pool = dice.choice([SENDING, COMING, RESERVE, PoolId(OTHER_LINK, NEAR)])
    known = [*model.blocks, BlockId("unknown")]
    match dice.choice(["add", "confirm", "spend", "spend", "range", "range", "void", "put", "supply", "by id"]):
        case "add":
            block = new_block(dice.choice([40, 400, 9000]), dice=dice, link=dice.choice([LINK, OTHER_LINK]))
            model.blocks[block.block_id] = block
            await store.add_block(block)
        case "confirm":
            block_id = dice.choice(known)
            assert await outcome(store.confirm(block_id)) == expected(lambda: model.confirm(block_id))
        case "spend":
            num = dice.choice([1, 5, 64, 3000])
            got = await outcome(store.spend(pool, num_bits=8 * num, use=Use.RELAY, request_id=REQUEST))
            assert got == expected(lambda: model.spend(pool, num))
        case "range":
            block_id = dice.choice(known)
            start = dice.randrange(0, 60)
            stop = start + dice.choice([1, 8, 30, 4100])
            bits = BitRange((BlockSlice(block_id, 8 * start, 8 * stop),))
            got = await outcome(store.spend_range(pool, bits, use=Use.AUTHENTICATION))
            assert got == expected(lambda: model.spend_range(pool, block_id, start, stop))
        case "void" if dice.random() < 0.2:
            block_id = dice.choice(known)
            destroyed = await store.void(Selection(block_ids=frozenset({block_id})))
            anything_left = block_id in model.blocks and any(
                model.free(one, block_id) for one in split_block(model.blocks[block_id])
            )
            assert destroyed == anything_left
            if anything_left:
                model.voided.add(block_id)
        case "put":
            key, entitled = new_key(dice=dice), dice.choice([BOTH, frozenset({ALICE}), frozenset({BOB})])
            again = dice.random() < 0.3 and model.gone
            if again:
                key = SecretKey(dice.choice(sorted(model.gone)), PAIR, key.secret, key.route, "twin", 0.0, 0)
            got = await outcome(store.put([key], entitled=entitled, confirmed=True))
            assert got == expected(lambda: model.put(key, entitled))
        case "supply":
            count = dice.choice([1, 2])
            got = await outcome(store.supply(PAIR, count=count, size_bits=256, request_id=REQUEST))
            assert got == expected(lambda: model.supply(PAIR, count))
        case "by id":
            key_id = dice.choice([*model.keys, *sorted(model.gone), new_key(dice=dice).key_id])
            if key_id in model.keys and model.keys[key_id][1] == {BOB}:
                sae = dice.choice([BOB, EVE])  # whether Alice was never entitled or was served is told apart elsewhere
            else:
                sae = dice.choice([ALICE, EVE]) if key_id in model.keys else BOB
            got = await outcome(store.supply_by_id([key_id], sae=sae))
            assert got == expected(lambda: model.supply_by_id(key_id, sae))


@pytest.mark.parametrize("seed", range(12))
def test_random_sequences_agree_with_the_model(play: Play, seed: int) -> None:
    async def scene(store: KeyStore) -> None:
        dice, model = random.Random(seed), Model()
        for _ in range(150):
            await step(store, model, dice)
        await check_books(store)
        for pool, level in (await store.levels()).items():
            assert level.available_bits == model.available_bits(pool)

    play(scene)
