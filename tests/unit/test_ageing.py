"""Stock that is too old is destroyed and counted, in every store, by a time that no clock can turn back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qanat.ground.errors import BlockUnknown, KeyNotFound, KeyShortage
from qanat.ground.identifiers import SaePair
from qanat.ground.keys import Use
from qanat.ground.life_cycle import Stage
from qanat.ground.ports import KeyStore
from qanat.ground.stock import AgeLimits, Expired, StockTime
from store_support import (
    BOTH,
    COMING,
    DICE,
    LINK,
    PAIR,
    REQUEST,
    RESERVE,
    SENDING,
    Play,
    check_books,
    new_block,
    new_key,
    part,
    play,
    second_handle,
    share,
)

__all__ = ["play"]

DAY = AgeLimits(links={LINK: 100.0}, pairs={PAIR: 50.0}, grace_s=10.0)


async def at(store: KeyStore, now_s: float, *, utc_s: float | None = None, limits: AgeLimits = DAY) -> Expired:
    return await store.expire(limits, monotonic_s=1000.0 + now_s, utc_s=1e9 + now_s if utc_s is None else utc_s)


def test_link_key_expires_at_the_sender_first_and_the_reserve_never(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        block = new_block(4000, dice=DICE)
        await at(store, 0.0)
        await store.add_block(block)
        await store.confirm(block.block_id)
        assert not await at(store, 100.0), "it lives for its whole time"
        assert (await at(store, 101.0)).bits == {SENDING: 8 * len(share(block, SENDING))}
        await store.spend_range(COMING, part(block, 0, 80), use=Use.RELAY)
        assert (await at(store, 111.0)).bits == {COMING: 8 * len(share(block, COMING)) - 80}
        assert not await at(store, 1e6)
        levels = await store.levels()
        assert levels[SENDING].expired_bits == 8 * len(share(block, SENDING))
        assert levels[RESERVE].available_bits == 8 * len(share(block, RESERVE))
        await check_books(store)
        for pool in (SENDING, COMING):
            with pytest.raises((BlockUnknown, KeyShortage)):
                await store.spend(pool, num_bits=8, use=Use.RELAY, request_id=REQUEST)
            with pytest.raises(BlockUnknown):
                await store.spend_range(pool, part(block, 800, 880), use=Use.RELAY)
        assert await store.block_stage(block.block_id) is Stage.STORED, "its reserve is left"

    play(scene)


def test_a_pool_is_as_old_as_the_bits_that_it_would_spend_next(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        first, second = (new_block(4000, dice=DICE) for _ in range(2))
        await at(store, 0.0)
        await store.add_block(first)
        assert (await store.levels())[SENDING].oldest_age_s is None, "nothing can be spent yet"
        await store.confirm(first.block_id)
        await at(store, 30.0)
        await store.add_block(second)
        await store.confirm(second.block_id)
        await at(store, 40.0)
        for num_bits, age_s in ((8, 40.0), (8 * len(share(first, SENDING)) - 16, 40.0), (16, 10.0)):
            await store.spend(SENDING, num_bits=num_bits, use=Use.RELAY, request_id=REQUEST)
            level = (await store.levels())[SENDING]
            assert level.oldest_age_s == pytest.approx(age_s)
        await store.spend(SENDING, num_bits=level.available_bits, use=Use.RELAY, request_id=REQUEST)
        levels = await store.levels()
        assert levels[SENDING].oldest_age_s is None
        assert levels[COMING].oldest_age_s == pytest.approx(40.0)

    play(scene)


def test_keys_expire_by_pair_and_the_slave_s_copy_last(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        other = SaePair(PAIR.slave, PAIR.master)
        mine, theirs, younger = (new_key(dice=DICE) for _ in range(3))
        kept = new_key(dice=DICE, pair=other)
        await at(store, 0.0)
        await store.put([mine, kept], entitled=BOTH, confirmed=True)
        await store.put([theirs], entitled=frozenset({PAIR.slave}), confirmed=True)
        await at(store, 40.0)
        await store.put([younger], entitled=BOTH, confirmed=False)
        assert (await at(store, 51.0)).num_keys == 1
        assert await store.key_stage(mine.key_id) is Stage.EXPIRED
        (fetched,) = await store.supply_by_id([theirs.key_id], sae=PAIR.slave)
        assert fetched.secret == theirs.secret, "what the master was given at the last moment can be fetched still"
        assert (await at(store, 91.0)).num_keys == 1
        assert await store.held_keys() == {other: 1}
        with pytest.raises(KeyNotFound):
            await store.supply_by_id([mine.key_id], sae=PAIR.slave)
        everything = replace(DAY, other_pairs_s=60.0)
        assert (await at(store, 92.0, limits=everything)).num_keys == 1

    play(scene)


def test_a_restart_counts_the_pause_and_utc_set_back_does_not_make_young(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(2)]
        await at(store, 0.0)
        await store.put(keys[:1], entitled=BOTH, confirmed=True)
        again = await second_handle(store)
        await again.open_epoch()
        assert not await again.expire(DAY, monotonic_s=5.0, utc_s=1e9 - 3600)
        assert not await again.expire(DAY, monotonic_s=50.0, utc_s=1e9 - 7200), "45 s have passed"
        assert (await again.expire(DAY, monotonic_s=61.0, utc_s=1e9)).num_keys == 1

    play(scene)


# ---- the time itself ----


def test_within_a_process_only_the_monotonic_clock_counts() -> None:
    time = StockTime()
    for monotonic_s, utc_s, now_s in ((10.0, 1e9, 0.0), (12.5, 0.0, 2.5), (12.0, 2e9, 2.5), (13.0, 1e9, 3.5)):
        assert time.tick(monotonic_s=monotonic_s, utc_s=utc_s) == now_s


@pytest.mark.parametrize(("utc_s", "now_s"), [(1e9 + 500, 600.0), (1e9, 100.0), (1e9 - 500, 100.0)])
def test_over_a_restart_utc_counts_when_it_went_forward(utc_s: float, now_s: float) -> None:
    time = StockTime(saved_s=100.0, saved_utc_s=1e9)
    assert time.tick(monotonic_s=3.0, utc_s=utc_s) == now_s
    assert time.tick(monotonic_s=4.0, utc_s=0.0) == now_s + 1
