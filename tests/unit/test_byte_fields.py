"""The field of 2^16 elements, its chain, and the linear maps of the additive transform."""

from __future__ import annotations

import itertools
import random

import pytest

from qanat.kernels import byte_fields
from qanat.kernels.reference.additive_transform import segment_values
from qanat.kernels.reference.carryless import multiply as multiply_polynomials

IDENTITY = [1 << i for i in range(2 * byte_fields.SEGMENT_BITS)]


def test_bytes_multiply_as_in_the_advanced_encryption_standard() -> None:
    """FIPS 197, section 4.2: {57} times {83} is {c1}, and {57} times {13} is {fe}."""
    assert byte_fields.multiply_bytes(0x57, 0x83) == 0xC1
    assert byte_fields.multiply_bytes(0x57, 0x13) == 0xFE


def test_elements_form_a_field() -> None:
    chance = random.Random(1)
    for _ in range(50):
        a, b, c = (chance.randrange(1, 2**16) for _ in range(3))
        multiply = byte_fields.multiply
        assert multiply(a, b) == multiply(b, a) != 0
        assert multiply(multiply(a, b), c) == multiply(a, multiply(b, c))
        assert multiply(a, b ^ c) == multiply(a, b) ^ multiply(a, c)
        power = a
        for _ in range(16):
            power = multiply(power, power)
        assert power == a, "the 2^16-th power is the element"


def test_each_element_of_the_chain_gives_the_one_before_it() -> None:
    chain = byte_fields.chain()
    assert chain[0] == 1
    for before, element in itertools.pairwise(chain):
        assert byte_fields.multiply(element, element) ^ element == before
    assert all(element < 256 for element in chain[:8])
    sums = {0}
    for element in chain:
        sums |= {total ^ element for total in sums}
    assert len(sums) == 2**16, "the chain is a basis"


def test_twiddles_are_the_sums_that_they_should_be() -> None:
    table = byte_fields.twiddles(15)
    assert table.shape == (2**15, 4)
    for index in (0, 1, 5, 127, 128, 2**15 - 1):
        w = 0
        for t in range(15):
            if index >> t & 1:
                w ^= byte_fields.chain()[t + 1]
        low, high = w & 255, w >> 8
        product = byte_fields.multiply(high << 8, 0x100)
        assert (table[index] & 255).tolist() == [low, high, product & 255, low ^ high]
        assert (low | high << 8 == low) == (index < byte_fields.SMALL_TWIDDLES)


def test_a_product_of_segments_is_told_by_its_values() -> None:
    chance = random.Random(2)
    a, b = chance.getrandbits(64), chance.getrandbits(64)
    values = [
        byte_fields.multiply(x, y) << 16 * channel
        for channel, (x, y) in enumerate(zip(segment_values(a), segment_values(b), strict=True))
    ]
    assert byte_fields.apply(byte_fields.inverse(byte_fields.evaluation()), sum(values)) == multiply_polynomials(a, b)


def test_the_trace_form_moves_a_factor_to_the_other_side() -> None:
    form = byte_fields.trace_form()[:16]
    assert byte_fields.transpose(form, num_rows=16) == form
    chance = random.Random(3)
    for _ in range(50):
        a, b, w = (chance.randrange(2**16) for _ in range(3))
        left = byte_fields.apply(form, byte_fields.multiply(w, a)) & b
        right = byte_fields.apply(form, a) & byte_fields.multiply(w, b)
        assert left.bit_count() % 2 == right.bit_count() % 2


def test_inverse_undoes_a_matrix() -> None:
    matrix = byte_fields.evaluation()
    assert byte_fields.product(matrix, byte_fields.inverse(matrix)) == IDENTITY
    with pytest.raises(ValueError, match="no inverse"):
        byte_fields.inverse([1, 1])


def test_products_of_half_bytes_make_up_those_of_bytes() -> None:
    table = byte_fields.half_byte_products()
    assert len(table) == 256 * 32
    for left, right in ((0, 0), (1, 255), (0x57, 0x83), (255, 254)):
        low, high = table[32 * left + (right & 15)], table[32 * left + 16 + (right >> 4)]
        assert low ^ high == byte_fields.multiply_bytes(left, right)
