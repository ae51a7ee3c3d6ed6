"""Secrets that do not show, do not repeat and do not travel by accident; blocks cut alike at both ends."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import logging
import pickle
import traceback

import pytest

from qanat.ground.identifiers import BlockId, KeyID, LinkId, NodeId, OrderId, SaeId, SaePair
from qanat.ground.keys import (
    PRE_SHARED,
    RESERVE_SHARE_BITS,
    BitRange,
    BlockSlice,
    KeyBlock,
    PoolId,
    SecretBytes,
    SecretKey,
    SpentBits,
    split_block,
)

SECRET = b"\xde\xad\xbe\xefZQXJVK"


def block(num_bytes: int, *, protocol: str = "bb84-decoy", local: str = "a", peer: str = "b") -> KeyBlock:
    return KeyBlock(
        block_id=BlockId("block"),
        order_id=OrderId("order"),
        link_id=LinkId("a-b"),
        local=NodeId(local),
        peer=NodeId(peer),
        origin="twin",
        protocol=protocol,
        num_bits=8 * num_bytes,
        bits=SecretBytes(bytes(num_bytes)),
        eps_sec=1e-9,
        eps_cor=1e-15,
        finished_utc_s=0.0,
    )


def key(secret: SecretBytes) -> SecretKey:
    pair = SaePair(SaeId("x"), SaeId("y"))
    return SecretKey(KeyID("id"), pair, secret, (NodeId("a"),), "twin", 0.0, 0)


def shows(text: str) -> bool:
    return any(trace in text for trace in ("ZQXJVK", SECRET.hex(), "\\xde", str(list(SECRET))[1:20], "222, 173"))


def test_take_hands_out_once() -> None:
    secret = SecretBytes(SECRET)
    assert secret.num_bits == 8 * len(SECRET)
    assert secret.take() == SECRET
    for again in (secret.take, secret.reveal, lambda: len(secret), lambda: secret.part(0, 1)):
        with pytest.raises(ValueError, match="taken or wiped"):
            again()


def test_reveal_keeps_and_wipe_forgets() -> None:
    secret = SecretBytes(SECRET)
    assert secret.reveal() == secret.reveal() == SECRET
    secret.wipe()
    secret.wipe()
    with pytest.raises(ValueError, match="taken or wiped"):
        secret.reveal()


def test_wiping_clears_the_buffer_itself() -> None:
    secret = SecretBytes(SECRET)
    buffer = secret._contents()
    secret.wipe()
    assert bytes(buffer) == bytes(len(SECRET))


def test_a_secret_owns_its_bytes() -> None:
    source = bytearray(SECRET)
    secret = SecretBytes(source)
    source[:] = bytes(len(source))
    assert secret.reveal() == SECRET


def test_no_repr_shows_a_secret() -> None:
    secret = SecretBytes(SECRET)
    pool = PoolId(LinkId("a-b"), None)
    holders = [
        secret,
        key(secret),
        dataclasses.replace(block(len(SECRET)), bits=secret),
        SpentBits(pool, BitRange(()), secret),
        [secret],
        {"k": secret},
    ]
    for holder in holders:
        for text in (repr(holder), str(holder), f"{holder}", "%s" % (holder,)):  # noqa: UP031 - logging formats so
            assert not shows(text), text
    assert "10 bytes" in repr(secret)
    secret.wipe()
    assert repr(secret) == "<SecretBytes, gone>"


def test_no_log_and_no_traceback_shows_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    secret = SecretBytes(SECRET)
    logging.getLogger("test").warning("%s %r %s", secret, secret, key(secret))
    assert not shows(caplog.text)
    with pytest.raises(ValueError, match="outside") as fault:
        secret.part(0, 99)
    assert not shows("".join(traceback.format_exception(fault.value)))


@pytest.mark.parametrize("escape", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_secret_does_not_leave_by_a_side_door(escape: object) -> None:
    with pytest.raises(TypeError, match="do not pickle"):
        escape(SecretBytes(SECRET))  # type: ignore[operator]


def test_a_secret_is_no_json_no_key_of_a_dict_and_no_sequence() -> None:
    secret = SecretBytes(SECRET)
    with pytest.raises(TypeError):
        json.dumps({"key": secret})
    with pytest.raises(TypeError):
        hash(secret)
    with pytest.raises(TypeError):
        bytes(secret)  # type: ignore[call-overload]


def test_secrets_compare_by_content() -> None:
    assert SecretBytes(SECRET) == SecretBytes(SECRET)
    assert SecretBytes(SECRET) != SecretBytes(SECRET[:-1])
    assert SecretBytes(SECRET) != SECRET


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (2, 1), (0, 11), (11, 11)])
def test_parts_lie_inside(start: int, stop: int) -> None:
    secret = SecretBytes(SECRET)
    assert secret.part(4, 10).take() == b"ZQXJVK"
    with pytest.raises(ValueError, match="outside"):
        secret.part(start, stop)


def test_a_block_says_its_true_length() -> None:
    with pytest.raises(ValueError, match="a block of 88 bits came with 80"):
        dataclasses.replace(block(10), num_bits=88)


def test_a_key_hands_its_bytes_out_once() -> None:
    single = key(SecretBytes(SECRET))
    assert single.size_bits == 80
    assert single.take() == SECRET
    with pytest.raises(ValueError, match="taken or wiped"):
        single.take()


@pytest.mark.parametrize("num_bytes", [1, 3, 4, 16, 64, 2047, 2048, 2049, 200_000])
def test_both_ends_cut_a_block_alike_and_use_every_bit_once(num_bytes: int) -> None:
    here, there = split_block(block(num_bytes)), split_block(block(num_bytes, local="b", peer="a"))
    assert here == there
    parts = sorted(here.values())
    assert parts[0][0] == 0
    assert parts[-1][1] == 8 * num_bytes
    assert all(before[1] == after[0] for before, after in itertools.pairwise(parts))
    assert all(start % 8 == stop % 8 == 0 for start, stop in parts)
    reserve = here[PoolId(LinkId("a-b"), None)]
    assert reserve[1] <= min(RESERVE_SHARE_BITS, 8 * num_bytes / 4)
    halves = [stop - start for pool, (start, stop) in here.items() if not pool.is_reserve]
    assert abs(halves[0] - halves[1]) <= 8


def test_a_large_block_gives_the_reserve_its_fixed_share() -> None:
    assert split_block(block(200_000))[PoolId(LinkId("a-b"), None)] == (0, RESERVE_SHARE_BITS)


def test_pre_shared_key_is_all_reserve() -> None:
    assert split_block(block(100, protocol=PRE_SHARED)) == {PoolId(LinkId("a-b"), None): (0, 800)}


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (8, 8), (16, 8), (-8, 8), (1, 8), (0, 7)])
def test_a_slice_is_whole_bytes_and_not_empty(start: int, stop: int) -> None:
    with pytest.raises(ValueError, match="no slice"):
        BlockSlice(BlockId("b"), start, stop)


def test_a_range_survives_json() -> None:
    bits = BitRange((BlockSlice(BlockId("x"), 0, 128), BlockSlice(BlockId("y"), 8, 16)))
    assert bits.num_bits == 136
    assert BitRange.from_json(json.loads(json.dumps(bits.to_json()))) == bits
    assert BitRange.from_json([]) == BitRange(())


@pytest.mark.parametrize(
    "rows", [None, "x", {}, [None], [["x", 0]], [["x", 0, 8, 9]], [[1, 0, 8]], [["x", "0", 8]], [["x", 0, 7]], [[]]]
)
def test_a_strangers_range_is_checked(rows: object) -> None:
    with pytest.raises(ValueError, match=r"bit range|no slice"):
        BitRange.from_json(rows)


def test_a_pool_says_its_name() -> None:
    assert str(PoolId(LinkId("a-b"), NodeId("a"))) == "a-b/a"
    assert str(PoolId(LinkId("a-b"), None)) == "a-b/authentication"
    assert PoolId(LinkId("a-b"), None).is_reserve
    assert not PoolId(LinkId("a-b"), NodeId("a")).is_reserve
