"""Toeplitz hashing against vectors computed by a naive double loop (origin stated in the file)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from qanat.api import modified_toeplitz_hash, toeplitz_hash
from qanat.kernels.toeplitz import Tier, hash_by_tier
from toeplitz_support import EVERY_TIER


def read_vectors(name: str) -> list[dict[str, Any]]:
    """Return the vectors of a file."""
    vectors: list[dict[str, Any]] = json.loads(Path(__file__).with_name(name).read_text())["vectors"]
    return vectors


VECTORS = read_vectors("toeplitz.json")
MODIFIED = read_vectors("modified_toeplitz.json")


def parts(vector: dict[str, Any]) -> tuple[bytes, bytes, dict[str, int]]:
    """Return a vector's key, seed and sizes."""
    sizes = {"num_key_bits": vector["n"], "num_output_bits": vector["l"]}
    return bytes.fromhex(vector["key"]), bytes.fromhex(vector["seed"]), sizes


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_hash_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    key, seed, sizes = parts(vector)
    output = toeplitz_hash(key, seed, **sizes)
    assert output.hex() == vector["out"]
    assert hashlib.sha256(output).hexdigest() == vector["sha256"]


@pytest.mark.parametrize("tier", EVERY_TIER)
def test_every_tier_gives_the_vectors(tier: Tier) -> None:
    for vector in VECTORS:
        key, seed, sizes = parts(vector)
        assert hash_by_tier(tier, key, seed, **sizes).hex() == vector["out"], vector["name"]


@pytest.mark.parametrize("vector", MODIFIED, ids=lambda vector: vector["name"])
def test_the_modified_hash_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    key, seed, sizes = parts(vector)
    output = modified_toeplitz_hash(key, seed, **sizes)
    assert output.hex() == vector["out"]
    assert hashlib.sha256(output).hexdigest() == vector["sha256"]


def test_the_vectors_cover_what_breaks_first() -> None:
    sizes = {(vector["n"], vector["l"]) for vector in VECTORS}
    assert (1, 1) in sizes
    assert any(num_key_bits % 64 for num_key_bits, _ in sizes)
    assert any(num_key_bits == num_output_bits for num_key_bits, num_output_bits in sizes)
