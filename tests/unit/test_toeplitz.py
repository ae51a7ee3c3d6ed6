"""Toeplitz hashing: every tier against the plain twin and against SciPy's matrix product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import linalg

from qanat.ground.bits import xor
from qanat.kernels import byte_emitter, carryless, processor, toeplitz, toeplitz_products, toeplitz_transform
from qanat.kernels.reference import carryless as plain_carryless
from qanat.kernels.reference import toeplitz as plain
from qanat.kernels.toeplitz import Tier
from toeplitz_support import EVERY_TIER, SIZES, draw

LEAVES = [carryless.leaf_products_128, carryless.leaf_products_512]
if carryless.widest_registers() < 512:
    LEAVES = LEAVES[: carryless.widest_registers() // 128]


def by_scipy(key: bytes, seed: bytes, num_key_bits: int, num_output_bits: int) -> bytes:
    """The same by an outside authority: SciPy's Toeplitz product over the integers, modulo 2."""
    x = np.unpackbits(np.frombuffer(key, np.uint8), count=num_key_bits, bitorder="little").astype(float)
    count = num_key_bits + num_output_bits - 1
    s = np.unpackbits(np.frombuffer(seed, np.uint8), count=count, bitorder="little").astype(float)
    column, row = s[num_key_bits - 1 :], s[num_key_bits - 1 :: -1]
    product = np.rint(linalg.matmul_toeplitz((column, row), x)).astype(np.int64) & 1
    return np.packbits(product.astype(np.uint8), bitorder="little").tobytes()


@pytest.mark.parametrize("tier", EVERY_TIER)
@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), SIZES)
def test_every_tier_computes_what_the_twin_does(num_key_bits: int, num_output_bits: int, tier: Tier) -> None:
    key, seed = draw(1, num_key_bits), draw(2, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain.toeplitz_hash(key, seed, **sizes)
    assert toeplitz.hash_by_tier(tier, key, seed, **sizes) == expected
    assert by_scipy(key, seed, num_key_bits, num_output_bits) == expected


@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), SIZES)
def test_every_size_of_tile_gives_the_twins_hash(num_key_bits: int, num_output_bits: int) -> None:
    key, seed = draw(1, num_key_bits), draw(2, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain.toeplitz_hash(key, seed, **sizes)
    assert toeplitz_transform.hash_by_transform(key, seed, **sizes, tile_bits=33) == expected
    for leaf_products in LEAVES:
        for splits in (0, 1, 2):
            given = {**sizes, "leaf_products": leaf_products, "splits": splits}
            assert toeplitz_products.hash_by_products(key, seed, **given) == expected


@pytest.mark.parametrize("tier", EVERY_TIER)
@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), [(300_001, 100_003), (2**18, 104_848)])
def test_large_hashes_agree_with_scipy(num_key_bits: int, num_output_bits: int, tier: Tier) -> None:
    key, seed = draw(3, num_key_bits), draw(4, num_key_bits + num_output_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = by_scipy(key, seed, num_key_bits, num_output_bits)
    assert toeplitz.hash_by_tier(tier, key, seed, **sizes) == expected


@pytest.mark.parametrize("tier", EVERY_TIER)
def test_sums_of_ones_alone_are_the_parity_of_the_length(tier: Tier) -> None:
    """The longest sums there are at this length, where rounding would show first."""
    for num_key_bits in (2**18 - 1, 2**18):
        sizes = {"num_key_bits": num_key_bits, "num_output_bits": 1024}
        ones = ((1 << num_key_bits) - 1).to_bytes((num_key_bits + 7) // 8, "little")
        num_seed_bits = num_key_bits + 1023
        seed = ((1 << num_seed_bits) - 1).to_bytes((num_seed_bits + 7) // 8, "little")
        assert toeplitz.hash_by_tier(tier, ones, seed, **sizes) == (b"\xff" if num_key_bits % 2 else b"\0") * 128


def test_depth_first_is_breadth_first(monkeypatch: pytest.MonkeyPatch) -> None:
    key, seed = draw(5, 50_000), draw(6, 69_999)
    sizes = {"num_key_bits": 50_000, "num_output_bits": 20_000}
    expected = toeplitz_transform.hash_by_transform(key, seed, **sizes)
    monkeypatch.setattr(toeplitz_products, "CACHE_BYTES", 1)
    for leaf_products in LEAVES:
        given = {**sizes, "leaf_products": leaf_products, "splits": 4}
        assert toeplitz_products.hash_by_products(key, seed, **given) == expected


@pytest.mark.parametrize("leaf_products", LEAVES)
def test_leaf_products_are_the_twins(leaf_products: toeplitz_products.LeafProducts) -> None:
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


@pytest.mark.parametrize("tier", EVERY_TIER)
def test_the_hash_is_linear_in_key_and_seed(tier: Tier) -> None:
    keys, seeds = [draw(8, 4096), draw(9, 4096)], [draw(10, 4096 + 1599), draw(11, 4096 + 1599)]

    def hash_of(key: bytes, seed: bytes) -> bytes:
        return toeplitz.hash_by_tier(tier, key, seed, num_key_bits=4096, num_output_bits=1600)

    parts = [hash_of(key, seeds[0]) for key in keys]
    assert hash_of(xor(*keys), seeds[0]) == xor(*parts)
    assert hash_of(keys[0], xor(*seeds)) == xor(parts[0], hash_of(keys[0], seeds[1]))
    assert any(parts[0])


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


def test_the_fastest_tier_of_a_processor_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    features: dict[str, bool] = {}
    monkeypatch.setattr(carryless, "widest_registers", carryless.widest_registers.__wrapped__)
    monkeypatch.setattr(toeplitz, "way_to_multiply", byte_emitter.way_to_multiply.__wrapped__)
    monkeypatch.setattr(processor.binding, "get_host_cpu_features", lambda: features)
    assert toeplitz.tiers() == (Tier.FLOATING_POINT,)
    key, seed = draw(11, 100), draw(12, 139)
    sizes = {"num_key_bits": 100, "num_output_bits": 40}
    assert toeplitz.toeplitz_hash(key, seed, **sizes) == plain.toeplitz_hash(key, seed, **sizes)
    features["pclmul"] = True
    assert toeplitz.tiers()[0] is Tier.CARRYLESS_128
    features["avx2"] = True
    assert toeplitz.tiers() == (Tier.LOOKUP_256, Tier.CARRYLESS_128, Tier.FLOATING_POINT)
    features["gfni"] = True
    assert toeplitz.tiers()[0] is Tier.BYTES_256
    features |= {"vpclmulqdq": True, "avx512f": True}
    assert toeplitz.tiers()[1] is Tier.CARRYLESS_512
    features["avx512bw"] = True
    assert toeplitz.tiers()[0] is Tier.BYTES_512


def test_a_tier_that_the_processor_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toeplitz, "way_to_multiply", lambda: None)
    with pytest.raises(ValueError, match="lacks"):
        toeplitz.hash_by_tier(Tier.BYTES_512, b"\1", b"\1", num_key_bits=1, num_output_bits=1)


NARROWER = {Tier.BYTES_256: "avx512 avx10 evex", Tier.LOOKUP_256: "avx512 avx10 evex gfni vpclmulqdq"}
"""A tier -> prefixes of the features of a processor that are taken away for it."""


@pytest.mark.slow
@pytest.mark.parametrize("tier", NARROWER)
def test_narrower_processors(tier: Tier, tmp_path: Path) -> None:
    """In a process of its own, for which LLVM is told of a lesser processor before anything is compiled."""
    script = Path(__file__).parents[1] / "narrower_processor.py"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, str(script), *NARROWER[tier].split()]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stderr
    found = result.stdout.strip()
    if found != tier:
        pytest.skip(f"this processor, narrowed, has {found}")


def test_code_for_another_processor_uses_no_special_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carryless, "widest_registers", carryless.widest_registers.__wrapped__)
    monkeypatch.setattr(toeplitz, "way_to_multiply", byte_emitter.way_to_multiply.__wrapped__)
    monkeypatch.setattr(processor.config, "CPU_NAME", "generic")
    assert toeplitz.tiers() == (Tier.FLOATING_POINT,)


@pytest.mark.parametrize(("num_key_bits", "num_output_bits"), [size for size in SIZES if size[1] <= size[0]])
def test_the_modified_hash_is_the_twins(num_key_bits: int, num_output_bits: int) -> None:
    key, seed = draw(13, num_key_bits), draw(14, num_key_bits - 1)
    sizes = {"num_key_bits": num_key_bits, "num_output_bits": num_output_bits}
    expected = plain.modified_toeplitz_hash(key, seed, **sizes)
    assert toeplitz.modified_toeplitz_hash(key, seed, **sizes) == expected


def test_the_modified_hash_refuses_what_does_not_fit() -> None:
    for key, seed, num_output_bits in ((b"\0", b"\0", 9), (b"\0", b"\0", 0), (b"\0", b"\x80", 4), (b"\0", b"", 4)):
        with pytest.raises(ValueError, match="bits"):
            toeplitz.modified_toeplitz_hash(key, seed, num_key_bits=8, num_output_bits=num_output_bits)


def test_over_all_seeds_every_hash_of_a_key_is_equally_likely() -> None:
    """Universal_2 and more (Krawczyk, CRYPTO '94): 5 key bits, 2 output bits, all 64 seeds."""
    for key in range(1, 32):
        hashes = [
            toeplitz.toeplitz_hash(bytes([key]), bytes([seed]), num_key_bits=5, num_output_bits=2) for seed in range(64)
        ]
        assert [hashes.count(bytes([output])) for output in range(4)] == [16] * 4


def test_the_modified_hash_is_universal_and_dual_universal() -> None:
    """5 key bits, 2 output bits, all 16 seeds.

    A key that is not zero is hashed to zero by at most 16 / 2^2 of them, and lies in the span of the matrix's rows for
    at most 16 / 2^(5 - 2).
    """
    zeros, spanned = [0] * 32, [0] * 32
    for seed in range(16):
        hashes = [
            toeplitz.modified_toeplitz_hash(bytes([key]), bytes([seed]), num_key_bits=5, num_output_bits=2)[0]
            for key in range(32)
        ]
        rows = [sum((hashes[1 << j] >> i & 1) << j for j in range(5)) for i in range(2)]
        for member in (rows[0], rows[1], rows[0] ^ rows[1]):
            spanned[member] += 1
        for key, output in enumerate(hashes):
            zeros[key] += output == 0
    assert max(zeros[1:]) == 4
    assert max(spanned[1:]) == 2


COUNT_COMPILED = """
import json
from qanat.kernels import additive_transform, carryless, toeplitz
for tier in toeplitz.tiers():
    toeplitz.hash_by_tier(tier, bytes(125), bytes(175), num_key_bits=1000, num_output_bits=400)
kernels = [x for m in (additive_transform, carryless) for x in vars(m).values() if hasattr(x, "stats")]
print(json.dumps(sum(sum(kernel.stats.cache_misses.values()) for kernel in kernels)))
"""


@pytest.mark.slow
def test_a_second_start_compiles_nothing(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    counts = []
    for _ in range(2):
        command = [sys.executable, "-c", COUNT_COMPILED]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        counts.append(json.loads(result.stdout))
    assert counts[0] > 0 or toeplitz.tiers() == (Tier.FLOATING_POINT,)
    assert counts[1] == 0


HASH_LARGE = """
import hashlib, json, resource, sys
import numpy as np
from qanat.kernels.toeplitz import Tier, hash_by_tier
key, seed = (np.random.default_rng(k).bytes(size) for k, size in ((1, 12_500_000), (2, 17_500_000)))
seed = seed[:-1] + bytes([seed[-1] & 127])
output = hash_by_tier(Tier(sys.argv[1]), key, seed, num_key_bits=10**8, num_output_bits=4 * 10**7)
peak_bytes = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([hashlib.sha256(output).hexdigest(), peak_bytes]))
"""


@pytest.mark.campaign
def test_a_hundred_million_bits_are_hashed_alike_by_every_tier_in_8_gib() -> None:
    hashes = set()
    for tier in toeplitz.tiers():
        command = [sys.executable, "-c", HASH_LARGE, tier]
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
        digest, peak_bytes = json.loads(result.stdout)
        print(f"{tier}: {peak_bytes / 2**30:.2f} GiB")
        hashes.add(digest)
        assert peak_bytes < 8 * 2**30
    assert len(hashes) == 1
