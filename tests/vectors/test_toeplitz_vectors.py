"""Toeplitz hashing against vectors computed by a naive double loop (origin stated in the file)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from qanat.kernels import toeplitz

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("toeplitz.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_hash_is_that_of_the_vector(vector: dict[str, Any]) -> None:
    key, seed = bytes.fromhex(vector["key"]), bytes.fromhex(vector["seed"])
    sizes = {"num_key_bits": vector["n"], "num_output_bits": vector["l"]}
    output = toeplitz.toeplitz_hash(key, seed, **sizes)
    assert output.hex() == vector["out"]
    assert hashlib.sha256(output).hexdigest() == vector["sha256"]
    assert toeplitz.hash_by_transform(key, seed, **sizes, tile_bits=64) == output


def test_the_vectors_cover_what_breaks_first() -> None:
    sizes = {(vector["n"], vector["l"]) for vector in VECTORS}
    assert (1, 1) in sizes
    assert any(num_key_bits % 64 for num_key_bits, _ in sizes)
    assert any(num_key_bits == num_output_bits for num_key_bits, num_output_bits in sizes)
