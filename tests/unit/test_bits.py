"""Bits in bytes: the one convention, against plain loops over single bits."""

from __future__ import annotations

import random

import pytest

from qanat.ground import bits


@pytest.mark.parametrize(("num_bits", "expected"), [(0, 0), (1, 1), (8, 1), (9, 2), (16, 2), (4_194_305, 524_289)])
def test_bytes_that_hold_some_bits(num_bits: int, expected: int) -> None:
    assert bits.num_bytes(num_bits) == expected


@pytest.mark.parametrize("num_bits", [0, 8, 128, 4096])
def test_whole_bytes_take_multiples_of_eight(num_bits: int) -> None:
    assert 8 * bits.whole_bytes(num_bits) == num_bits


@pytest.mark.parametrize("num_bits", [-8, -1, 1, 7, 9, 129])
def test_whole_bytes_refuse_the_rest(num_bits: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        bits.whole_bytes(num_bits)


def test_a_negative_number_of_bits_is_a_slip() -> None:
    with pytest.raises(ValueError, match="zero or more"):
        bits.num_bytes(-1)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 1000])
def test_xor_is_the_bitwise_sum_in_place(length: int) -> None:
    dice = random.Random(length)
    left, right = dice.randbytes(length), dice.randbytes(length)
    total = bits.xor(left, right)
    assert total == bytes(a ^ b for a, b in zip(left, right, strict=True))
    assert bits.xor(total, right) == left
    assert bits.xor(bytearray(left), memoryview(left)) == bytes(length)


@pytest.mark.parametrize("length", [0, 1, 33])
def test_differences_are_counted_bit_by_bit(length: int) -> None:
    dice = random.Random(length)
    left, right = dice.randbytes(length), dice.randbytes(length)
    by_hand = sum((left[i // 8] >> i % 8 & 1) != (right[i // 8] >> i % 8 & 1) for i in range(8 * length))
    assert bits.count_differences(left, right) == by_hand


def test_unequal_lengths_do_not_add() -> None:
    with pytest.raises(ValueError, match="2 and 3 bytes"):
        bits.xor(b"ab", b"abc")
    with pytest.raises(ValueError, match="equal lengths"):
        bits.count_differences(b"", b"a")
