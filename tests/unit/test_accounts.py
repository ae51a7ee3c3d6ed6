"""The book-keeping of link key: costs to the bit, what may be spent, the reserve's alarm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qanat.ground.authentication import MESSAGE_KEY_BITS
from qanat.ground.constants import SESSION_PAD_BITS
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.key_batches import costs_of_keys
from qanat.ground.keys import PoolId, Use
from qanat.key_management.accounts import (
    ReserveWatch,
    batch_costs_bits,
    keys_payable,
    may_spend,
    relay_bits,
    reserve_bits,
    session_bits,
)
from qanat.key_management.end_check import CHECK_BITS

RESERVE, SALE = PoolId(LinkId("a-b"), None), PoolId(LinkId("a-b"), NodeId("a"))


@given(count=st.integers(1, 200), size_bytes=st.integers(1, 512), hops=st.integers(1, 40))
def test_the_shares_of_a_batch_add_up_to_what_its_hops_spend(count: int, size_bytes: int, hops: int) -> None:
    in_all = batch_costs_bits(count=count, size_bits=8 * size_bytes, hops=hops)
    costs = costs_of_keys(in_all, range(count), num_keys=count)
    assert sum(costs) == hops * relay_bits(count=count, size_bits=8 * size_bytes)
    assert max(costs) - min(costs) <= 1
    assert min(costs) >= hops * 8 * size_bytes


def test_one_key_over_two_hops_costs_two_pads_two_message_keys_and_twice_what_its_ends_compare_by() -> None:
    assert batch_costs_bits(count=1, size_bits=256, hops=2) == 2 * 256 + 2 * 256 + 2 * 256
    assert relay_bits(count=128, size_bits=256) == 128 * 256 + MESSAGE_KEY_BITS + CHECK_BITS


@pytest.mark.parametrize(("available_bits", "keys"), [(0, 0), (767, 0), (768, 1), (1023, 1), (1024, 2)])
def test_keys_payable_are_what_one_batch_can_carry(available_bits: int, keys: int) -> None:
    assert keys_payable(available_bits=available_bits, size_bits=256) == keys


def test_the_reserve_pays_for_authentication_and_for_nothing_else() -> None:
    allowed = {(pool, use) for pool in (RESERVE, SALE) for use in Use if may_spend(pool, use)}
    assert allowed == {
        (RESERVE, Use.AUTHENTICATION),
        (SALE, Use.RELAY),
        (SALE, Use.ONE_TIME_PAD),
        (SALE, Use.ANNOUNCEMENT),
    }


def test_the_reserve_is_counted_in_whole_sessions() -> None:
    assert session_bits(num_blocks=3) == 3 * SESSION_PAD_BITS
    assert reserve_bits(days=10, sessions_per_day=24) == 240 * SESSION_PAD_BITS
    assert reserve_bits(days=0.1, sessions_per_day=1) == SESSION_PAD_BITS


def test_the_alarm_is_raised_once_and_again_only_after_recovery() -> None:
    watch = ReserveWatch(alarm_bits=100)
    levels = [150, 99, 50, 120, 99, 199, 98, 200, 99]
    assert [watch.crosses_down(level) for level in levels] == [
        False, True, False, False, False, False, False, False, True,
    ]  # fmt: skip
