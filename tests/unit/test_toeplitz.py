"""Toeplitz hashing: every tier against the plain twin and against SciPy's matrix product."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg

from qanat.ground.bits import xor
from qanat.kernels import carryless, toeplitz
from qanat.kernels.reference import carryless as plain_carryless
from qanat.kernels.reference import toeplitz as plain

TIERS = [carryless.leaf_products_128, carryless.leaf_products_512]
if carryless.widest_registers() < 512:
    TIERS = TIERS[: carryless.widest_registers() // 128]
SIZES = [(1, 1), (2, 1), (7, 5), (64, 64), (65, 33), (129, 200), (1000, 401), (1024, 1024), (1025, 1)]


def draw(seed: int, num_bits: int) -> bytes:
    bits = np.random.default_rng(seed).integers(0, 2, num_bits, dtype=np.uint8)
    return np.packbits(bits, bitorder="little").tobytes()


def by_scipy(key: bytes, seed: bytes, num_key_bits: int, num_output_bits: int) -> bytes:
    """The same by an outside authority: SciPy's Toeplitz product over the integers, modulo 2."""
    x = np.unpackbits(np.frombuffer(key, np.uint8), count=num_key_bits, bitorder="little").astype(float)
    count = num_key_bits + num_output_bits - 1
    s = np.unpackbits(np.frombuffer(seed, np.uint8), count=count, bitorder="little").astype(float)
    column, row = s[num_key_bits - 1 :], s[num_key_bits - 1 :: -1]
    product = np.rint(linalg.matmul_toeplitz((column, row), x)).astype(np.int64) & 1
    return np.packbits(product.astype(np.uint8), bitorder="little").tobytes()


@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), SIZES)
def test_every_tier_computes_what_the_twin_does(num_key_bits: int, num_output_bits: int) -> None:
    key, seed = draw(1, num_key_bits), draw(2, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain.toeplitz_hash(key, seed, **sizes)
    assert toeplitz.toeplitz_hash(key, seed, **sizes) == expected
    assert toeplitz.hash_by_transform(key, seed, **sizes) == expected
    assert toeplitz.hash_by_transform(key, seed, **sizes, tile_bits=33) == expected
    for leaf_products in TIERS:
        for splits in (0, 1, 2):
            given = {**sizes, "leaf_products": leaf_products, "splits": splits}
            assert toeplitz.hash_by_products(key, seed, **given) == expected
    assert by_scipy(key, seed, num_key_bits, num_output_bits) == expected


@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), [(300_001, 100_003), (2**18, 104_848)])
def test_large_hashes_agree_with_scipy(num_key_bits: int, num_output_bits: int) -> None:
    key, seed = draw(3, num_key_bits), draw(4, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = by_scipy(key, seed, num_key_bits, num_output_bits)
    assert toeplitz.toeplitz_hash(key, seed, **sizes) == expected
    assert toeplitz.hash_by_transform(key, seed, **sizes) == expected


def test_depth_first_is_breadth_first(monkeypatch: pytest.MonkeyPatch) -> None:
    key, seed = draw(5, 50_000), draw(6, 69_999)
    sizes = {"num_key_bits": 50_000, "num_output_bits": 20_000}
    expected = toeplitz.hash_by_transform(key, seed, **sizes)
    monkeypatch.setattr(toeplitz, "CACHE_BYTES", 1)
    for leaf_products in TIERS:
        assert toeplitz.hash_by_products(key, seed, **sizes, leaf_products=leaf_products, splits=4) == expected


@pytest.mark.parametrize("leaf_products", TIERS)
def test_leaf_products_are_the_twins(leaf_products: toeplitz.LeafProducts) -> None:
    words = carryless.LEAF_WORDS
    random = np.random.default_rng(7)
    windows = random.integers(0, 2**64, (2, 4, 2 * words), dtype=np.uint64)
    keys = random.integers(0, 2**64, (2, 3, words), dtype=np.uint64)
    outputs = np.empty((2, 2, words), np.uint64)
    leaf_products(windows, np.ascontiguousarray(keys[..., ::-1]), outputs)
    for position in range(2):
        for row in range(2):
            expected = np.zeros(words, np.uint64)
            for column in range(3):
                window = windows[position, row - column + 2].tolist()
                leaf = plain_carryless.leaf_product(window, keys[position, column].tolist())
                expected ^= np.array(leaf, np.uint64)
            assert (outputs[position, row] == expected).all()


def test_the_hash_is_linear_in_the_key() -> None:
    first, second, seed = draw(8, 4096), draw(9, 4096), draw(10, 4096 + 1599)
    hashes = [
        toeplitz.toeplitz_hash(key, seed, num_key_bits=4096, num_output_bits=1600)
        for key in (first, second, xor(first, second))
    ]
    assert xor(hashes[0], hashes[1]) == hashes[2]
    assert any(hashes[0])


@pytest.mark.parametrize(
    ("key", "seed", "num_key_bits", "num_output_bits"),
    [
        (b"\0", b"\0\0", 9, 4),
        (b"\0\0", b"\0", 9, 4),
        (b"\0\2", b"\0\0", 9, 4),
        (b"\0\1", b"\0\x10", 9, 4),
        (b"", b"\0", 0, 4),
        (b"\0\0", b"\0", 9, 0),
    ],
)
def test_sizes_that_do_not_fit_are_refused(key: bytes, seed: bytes, num_key_bits: int, num_output_bits: int) -> None:
    with pytest.raises(ValueError, match="bits"):
        toeplitz.toeplitz_hash(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)


def test_a_processor_without_carryless_multiplication_gets_transforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carryless, "widest_registers", carryless.widest_registers.__wrapped__)
    monkeypatch.setattr(carryless.binding, "get_host_cpu_features", dict)
    assert carryless.widest_registers() == 0
    assert toeplitz.find_leaf_products() is None
    key, seed = draw(11, 100), draw(12, 139)
    sizes = {"num_key_bits": 100, "num_output_bits": 40}
    assert toeplitz.toeplitz_hash(key, seed, **sizes) == plain.toeplitz_hash(key, seed, **sizes)
    monkeypatch.setattr(carryless.binding, "get_host_cpu_features", lambda: {"pclmul": True})
    assert toeplitz.find_leaf_products() is carryless.leaf_products_128
