"""Every key store: calls that are answered again, and keys that must fit."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qanat.adapters.encryption import WRAPPED_KEY_BYTES
from qanat.ground.errors import BadParameter, KeyNotFound, KeyShortage, StaleEpoch
from qanat.ground.identifiers import NodeId
from qanat.ground.key_ids import KeyIds
from qanat.ground.keys import KeyRecord, SecretKey, Selection
from qanat.ground.ports import KeyStore
from qanat.ground.requirements import KeyFit, Repeatable
from store_support import (
    ALICE,
    BOB,
    BOTH,
    DICE,
    FAR,
    NEAR,
    PAIR,
    REQUEST,
    Play,
    in_sqlite,
    new_key,
    play,
    second_handle,
)

__all__ = ["play"]  # the fixture: each test runs on every store


def test_only_keys_that_fit_are_supplied_and_counted(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        old = new_key(dice=DICE)
        far = replace(new_key(dice=DICE), route=(NEAR, NodeId("on the way"), FAR), created_utc_s=1.5e9 + 60)
        young = replace(new_key(dice=DICE), created_utc_s=1.5e9 + 60)
        await store.put([old, far, young], entitled=frozenset({ALICE}), confirmed=True)
        for fit, fitting in (
            (KeyFit(), [old, far, young]),
            (KeyFit(max_hops=1), [old, young]),
            (KeyFit(made_from_utc_s=1.5e9 + 60), [far, young]),
            (KeyFit(made_from_utc_s=1.5e9 + 60, max_hops=1), [young]),
            (KeyFit(max_hops=0), []),
        ):
            assert await store.count_keys(PAIR, size_bits=256, fit=fit) == len(fitting)
            with pytest.raises(KeyShortage):
                await store.supply(PAIR, count=len(fitting) + 1, size_bits=256, request_id=REQUEST, fit=fit)
        fit = KeyFit(made_from_utc_s=1.5e9 + 60, max_hops=1)
        assert list(await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST, fit=fit)) == [young]
        assert list(await store.supply(PAIR, count=2, size_bits=256, request_id=REQUEST)) == [old, far]

    play(scene)


def test_only_keys_are_supplied_whose_recorded_ways_fit(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        r, s = NodeId("r"), NodeId("s")
        direct = new_key(dice=DICE)
        by_r, by_s, by_both = (replace(new_key(dice=DICE), route=(NEAR, *way, FAR)) for way in ((r,), (s,), (r, s)))
        record = KeyRecord(((NEAR, FAR), (NEAR, r, FAR)), None, 3 * 256, 512)
        shares = replace(new_key(dice=DICE), qkd_bits_spent=3 * 256 + 512, full_record=record)
        keys = [direct, by_r, by_s, by_both, shares]
        await store.put(keys, entitled=frozenset({ALICE}), confirmed=True)
        for fit, fitting in (
            (KeyFit(avoid=frozenset({r})), [direct, by_s]),
            (KeyFit(avoid=frozenset({r, s})), [direct]),
            (KeyFit(avoid=frozenset({NodeId("elsewhere")})), keys),
            (KeyFit(avoid=frozenset({FAR})), []),
            (KeyFit(within=frozenset({NEAR, FAR, s})), [direct, by_s]),
            (KeyFit(within=frozenset()), []),
            (KeyFit(is_direct=True), [direct]),
            (KeyFit(way=(NEAR, r, FAR)), [by_r]),
            (KeyFit(way=(NEAR, FAR)), [direct]),
            (KeyFit(way=(FAR, NEAR)), []),
            (KeyFit(max_hops=2, avoid=frozenset({s}), within=frozenset({NEAR, r, FAR})), [direct, by_r, shares]),
        ):
            assert await store.count_keys(PAIR, size_bits=256, fit=fit) == len(fitting), fit
            with pytest.raises(KeyShortage):
                await store.supply(PAIR, count=len(fitting) + 1, size_bits=256, request_id=REQUEST, fit=fit)
        fit = KeyFit(avoid=frozenset({r}))
        assert list(await store.supply(PAIR, count=2, size_bits=256, request_id=REQUEST, fit=fit)) == [direct, by_s]
        assert list(await store.supply(PAIR, count=3, size_bits=256, request_id=REQUEST)) == [by_r, by_both, shares]

    play(scene)


# ---- calls that are repeated ----


def new_call(nonce: str = "a nonce", *, now_s: float = 100.0, request: str = "what is asked") -> Repeatable:
    return Repeatable(ALICE, nonce, request, now_s, 300.0)


def test_the_same_call_is_supplied_the_same_keys(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        keys = [new_key(dice=DICE) for _ in range(4)]
        await store.put(keys, entitled=BOTH, confirmed=True)
        wish: Any = {"count": 2, "size_bits": 256, "request_id": REQUEST}
        assert await store.repeated(new_call()) is None
        first = await store.supply(PAIR, **wish, repeat=new_call())
        assert [key.take() for key in first] == [key.secret.reveal() for key in keys[:2]]
        for again in (await store.repeated(new_call()), await store.supply(PAIR, **wish, repeat=new_call(now_s=399))):
            assert list(again or ()) == keys[:2]
            assert [key.take() for key in again or ()] == [key.secret.reveal() for key in keys[:2]]
        assert list(await store.supply(PAIR, **wish, repeat=new_call("another"))) == keys[2:]
        ids = [key.key_id for key in keys[:2]]
        bobs = replace(new_call(), sae=BOB)
        for _ in range(2):
            assert list(await store.supply_by_id(ids, sae=BOB, master=ALICE, repeat=bobs)) == keys[:2]
        with pytest.raises(KeyNotFound):
            await store.supply_by_id(ids, sae=BOB, master=ALICE)

    play(scene)


# ---- keys that were made for a call ----


def new_batch(num_keys: int, *, ids_from: str) -> tuple[KeyIds, list[SecretKey]]:
    ids = KeyIds(ids_from, num_keys)
    return ids, [replace(new_key(dice=DICE), key_id=key_id) for key_id in ids.spelled()]


@pytest.mark.parametrize("num_keys", [2, 40])
def test_keys_made_for_a_call_are_given_to_it_after_those_of_the_stock(play: Play, num_keys: int) -> None:
    async def scene(store: KeyStore) -> None:
        old = [new_key(dice=DICE) for _ in range(3)]
        await store.put(old, entitled=BOTH, confirmed=True)
        ids, made = new_batch(num_keys, ids_from="one")
        await store.put(made, entitled=BOTH, confirmed=False)
        wish: Any = {"pair": PAIR, "size_bits": 256, "request_id": REQUEST, "repeat": new_call()}
        given = await store.confirm_and_supply(ids, from_stock=2, **wish)
        assert [*(given or ())] == [*old[:2], *made]
        assert [key.take() for key in given or ()] == [key.secret.reveal() for key in (*old[:2], *made)]
        assert list(await store.repeated(new_call()) or ()) == [*old[:2], *made]
        assert await store.count_keys(PAIR, size_bits=256) == 1
        theirs = await store.supply_by_id([key.key_id for key in made], sae=BOB, master=ALICE)
        assert list(theirs) == made
        with pytest.raises(KeyNotFound):
            await store.confirm_and_supply(ids, **{**wish, "repeat": None})

    play(scene)


def test_what_is_to_come_from_stock_and_is_gone_leaves_the_keys_that_were_made_there(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        ids, made = new_batch(2, ids_from="two")
        young = new_key(dice=DICE)
        await store.put(made, entitled=BOTH, confirmed=False)
        await store.put([young], entitled=BOTH, confirmed=True)
        wish: Any = {"pair": PAIR, "size_bits": 256, "request_id": REQUEST}
        assert await store.confirm_and_supply(ids, from_stock=2, **wish, repeat=new_call()) is None
        assert await store.repeated(new_call()) is None
        assert await store.count_keys(PAIR, size_bits=256) == 3
        assert list(await store.confirm_and_supply(ids, from_stock=0, **wish) or ()) == made
        assert await store.count_keys(PAIR, size_bits=256) == 1

    play(scene)


def test_a_call_that_was_answered_meanwhile_leaves_what_was_made_for_it_in_stock(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        first, second = new_batch(2, ids_from="three"), new_batch(2, ids_from="four")
        for _, made in (first, second):
            await store.put(made, entitled=BOTH, confirmed=False)
        wish: Any = {"pair": PAIR, "size_bits": 256, "request_id": REQUEST, "repeat": new_call()}
        for ids, _ in (first, second):
            assert list(await store.confirm_and_supply(ids, **wish) or ()) == first[1]
        assert await store.count_keys(PAIR, size_bits=256) == 2
        assert list(await store.supply(PAIR, count=2, size_bits=256, request_id=REQUEST)) == second[1]

    play(scene)


def test_keys_that_were_destroyed_are_neither_confirmed_nor_given(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        ids, made = new_batch(2, ids_from="five")
        old = new_key(dice=DICE)
        await store.put([old], entitled=BOTH, confirmed=True)
        await store.put(made, entitled=BOTH, confirmed=False)
        await store.void(Selection(key_ids=frozenset({made[1].key_id})))
        with pytest.raises(KeyNotFound):
            await store.confirm_and_supply(ids, pair=PAIR, size_bits=256, request_id=REQUEST, from_stock=1)
        assert await store.count_keys(PAIR, size_bits=256) == 1, "a call that raises changes nothing"

    play(scene)


def test_an_answer_takes_the_place_of_those_that_it_is_kept_instead_of(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        await store.put([new_key(dice=DICE) for _ in range(5)], entitled=BOTH, confirmed=True)
        wish: Any = {"count": 1, "size_bits": 256, "request_id": REQUEST}
        for nonce in ("one", "two", "three"):
            await store.supply(PAIR, **wish, repeat=new_call(nonce))
        late = replace(new_call("four"), instead_of=("one", "two", "never kept"))
        with pytest.raises(KeyShortage):
            await store.supply(PAIR, **{**wish, "count": 9}, repeat=late)
        assert await store.repeated(new_call("one")) is not None, "a call that raises changes nothing"
        await store.supply(PAIR, **wish, repeat=late)
        kept = [nonce for nonce in ("one", "two", "three", "four") if await store.repeated(new_call(nonce))]
        assert kept == ["three", "four"]

    play(scene)


def test_a_call_that_raises_is_not_remembered(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        wish: Any = {"count": 1, "size_bits": 256, "request_id": REQUEST, "repeat": new_call()}
        with pytest.raises(KeyShortage):
            await store.supply(PAIR, **wish)
        key = new_key(dice=DICE)
        await store.put([key], entitled=BOTH, confirmed=True)
        assert list(await store.supply(PAIR, **wish)) == [key]

    play(scene)


def test_a_nonce_that_comes_with_another_request_is_refused(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        await store.put([new_key(dice=DICE) for _ in range(2)], entitled=BOTH, confirmed=True)
        wish: Any = {"count": 1, "size_bits": 256, "request_id": REQUEST}
        await store.supply(PAIR, **wish, repeat=new_call())
        with pytest.raises(BadParameter):
            await store.supply(PAIR, **wish, repeat=new_call(request="something else"))
        with pytest.raises(BadParameter):
            await store.repeated(new_call(request="something else"))
        assert await store.count_keys(PAIR, size_bits=256) == 1

    play(scene)


def test_answers_are_destroyed_when_their_window_has_passed(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        await store.put([new_key(dice=DICE) for _ in range(2)], entitled=BOTH, confirmed=True)
        wish: Any = {"count": 1, "size_bits": 256, "request_id": REQUEST}
        await store.supply(PAIR, **wish, repeat=new_call("one"))
        await store.supply(PAIR, **wish, repeat=new_call("two", now_s=200))
        assert await store.forget_answers(now_monotonic_s=399.0, window_s=300.0) == 0
        assert await store.forget_answers(now_monotonic_s=401.0, window_s=300.0) == 1
        assert await store.repeated(new_call("one", now_s=401.0)) is None
        assert await store.repeated(new_call("two", now_s=401.0)) is not None
        assert await store.repeated(new_call("two", now_s=501.0)) is None

    play(scene)


def test_answers_survive_a_restart_whose_clock_begins_anew(play: Play) -> None:
    async def scene(store: KeyStore) -> None:
        key = new_key(dice=DICE)
        await store.put([key], entitled=BOTH, confirmed=True)
        call = new_call(now_s=1e6)
        await store.supply(PAIR, count=1, size_bits=256, request_id=REQUEST, repeat=call)
        other = await second_handle(store)
        await other.open_epoch()
        assert list(await other.repeated(new_call(now_s=5.0)) or ()) == [key]
        assert await other.forget_answers(now_monotonic_s=304.0, window_s=300.0) == 0
        assert await other.forget_answers(now_monotonic_s=306.0, window_s=300.0) == 1
        with pytest.raises(StaleEpoch):
            await store.repeated(call)

    play(scene)


def test_kept_answers_are_encrypted_and_go_with_their_row(tmp_path: Path) -> None:
    keys = [new_key(dice=DICE) for _ in range(3)]

    async def scene(store: KeyStore) -> None:
        await store.open_epoch()
        await store.put(keys, entitled=frozenset({ALICE}), confirmed=True)
        wish: Any = {"count": 3, "size_bits": 256, "request_id": REQUEST}
        assert len(await store.supply(PAIR, **wish, repeat=new_call())) == 3
        on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240 - a few small files
        for key in keys:
            secret = key.secret.reveal()
            assert secret not in on_disk
            assert secret.hex().encode() not in on_disk

    asyncio.run(in_sqlite(scene, tmp_path))
    connection = sqlite3.connect(tmp_path / "keys.sqlite")
    (wrapped, sealed) = connection.execute("SELECT wrapped_key, sealed FROM answer").fetchone()
    connection.close()
    assert len(sealed) > 3 * 32
    assert len(wrapped) == WRAPPED_KEY_BYTES
