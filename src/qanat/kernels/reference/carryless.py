"""Leaf products one by one: what ``kernels.carryless`` computes."""

from __future__ import annotations

from collections.abc import Sequence

MASK = 2**64 - 1


def multiply(left: int, right: int) -> int:
    """Return the product of two polynomials over GF(2), as integers."""
    product = 0
    while right:
        if right & 1:
            product ^= left
        left, right = left << 1, right >> 1
    return product


def leaf_product(window: Sequence[int], key: Sequence[int]) -> list[int]:
    """Return one leaf's output words from its window (twice as many words as the key) and its key."""
    size = len(key)
    output = [0] * size
    for a in range(size):
        for b in range(size):
            output[a] ^= multiply(window[a - b + size], key[b]) & MASK
            output[a] ^= multiply(window[a - b + size - 1], key[b]) >> 64
    return output
