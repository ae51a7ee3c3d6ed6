"""Transforms of tiles against values computed one by one, and against the hash's plain twin at every size."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable

import numpy as np
import pytest

from qanat.kernels import additive_tables, additive_transform, byte_emitter, byte_fields, toeplitz_bytes
from qanat.kernels.additive_transform import STRIP
from qanat.kernels.packed_words import place_bits
from qanat.kernels.reference import additive_transform as plain
from qanat.kernels.reference import toeplitz as plain_hash
from toeplitz_support import SIZES, draw

needs_byte_products = pytest.mark.skipif(
    byte_emitter.way_to_multiply() is None, reason="this processor has no registers of 256 bits (AVX2)"
)


@needs_byte_products
@pytest.mark.parametrize("log_points", [3, 4, 5])
def test_spectra_of_keys_are_values_of_polynomials(log_points: int) -> None:
    """A lane's polynomial is a tile of the key from its end, last word first, last bit first."""
    tile = 1 << (log_points - 1)
    words = np.random.default_rng(1).integers(0, 2**64, STRIP * tile - 3, dtype=np.uint64)
    spectra, raw, rows = toeplitz_bytes.reserve((2 * tile, 1, 2 * STRIP), (tile, STRIP), (2 * tile, 2 * STRIP))
    additive_transform.transform_keys(
        words,
        spectra,
        raw,
        rows,
        additive_tables.packed_maps()[0],
        additive_tables.conversion_steps(log_points - 1),
        byte_fields.twiddles(log_points - 1),
    )
    values = spectra.view(np.uint8).reshape(2 * tile, 2, STRIP, byte_fields.CHANNELS).astype(int)
    filled = [*words.tolist(), 0, 0, 0]
    for lane in (0, 1, 7):
        segments = [int(f"{filled[-1 - lane * tile - k]:064b}"[::-1], 2) for k in range(tile)]
        expected = plain.spectrum(segments, log_points=log_points)
        assert (values[:, 0, lane] | values[:, 1, lane] << 8).tolist() == expected


@needs_byte_products
@pytest.mark.parametrize("log_points", [3, 4, 5, 6, 7, 8])
@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), SIZES)
def test_every_number_of_points_gives_the_twins_hash(num_key_bits: int, num_output_bits: int, log_points: int) -> None:
    key, seed = draw(1, num_key_bits), draw(2, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain_hash.toeplitz_hash(key, seed, **sizes)
    assert toeplitz_bytes.hash_by_bytes(key, seed, **sizes, log_points=log_points) == expected


@needs_byte_products
def test_large_transforms_agree_with_small_ones() -> None:
    """From 2^9 points on, layers have twiddles that are no bytes; at 2^16 the field is used up."""
    sizes = {"num_key_bits": 700_001, "num_output_bits": 300_001}
    key, seed = draw(3, 700_001), draw(4, 1_000_001)
    hashes = {
        toeplitz_bytes.hash_by_bytes(key, seed, **sizes, log_points=log_points)
        for log_points in range(7, toeplitz_bytes.MAX_LOG_POINTS + 1)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("log_size", range(6))
def test_conversion_is_to_the_basis_of_products_of_vanishing_polynomials(log_size: int) -> None:
    """Coefficient i belongs to the product, over the bits t of i, of the polynomial that vanishes below ``v_t``."""
    size = 1 << log_size
    coefficients = np.random.default_rng(5).integers(0, 2, size).tolist()
    converted = list(coefficients)
    for block, half, offset in additive_tables.conversion_steps(log_size).tolist():
        for first in range(0, size, block):
            for i in range(first + 2 * half - 1, first + half - 1, -1):
                converted[i - half + offset] ^= converted[i]
    for index in range(1 << 7):
        bits = [index >> t & 1 for t in range(7)]
        point = _sum(byte_fields.chain()[t] for t in range(7) if bits[t])
        factors = [
            _sum(byte_fields.chain()[t - level] for t in range(level, 7) if bits[t]) for level in range(log_size)
        ]
        value = 0
        for i in range(size):
            term = converted[i]
            for level in range(log_size):
                if i >> level & 1:
                    term = byte_fields.multiply(term, factors[level])
            value ^= term
        assert value == plain.evaluate(coefficients, point)


@pytest.mark.parametrize(
    ("num_key_bits", "num_output_bits"), [(1, 1), (2**18, 104_848), (10**8, 4 * 10**7), (50, 2**20)]
)
def test_the_number_of_points_fits_the_field(num_key_bits: int, num_output_bits: int) -> None:
    chosen = toeplitz_bytes.choose_log_points(num_key_bits, num_output_bits)
    assert toeplitz_bytes.MIN_LOG_POINTS <= chosen <= toeplitz_bytes.MAX_LOG_POINTS


@pytest.mark.parametrize("shift", [0, 1, 7, 8, 63, 64, 65, 130])
@pytest.mark.parametrize("num_words", [None, 1, 2, 9])
def test_bits_are_placed_where_they_should_be(shift: int, num_words: int | None) -> None:
    packed = draw(6, 75)
    words = place_bits(packed, shift=shift, num_words=num_words)
    expected = int.from_bytes(packed, "little") << shift
    if num_words is not None:
        assert words.size == num_words
        expected &= (1 << 64 * num_words) - 1
    assert int.from_bytes(words.tobytes(), "little") == expected


def _sum(elements: Iterable[int]) -> int:
    return functools.reduce(operator.xor, elements, 0)
