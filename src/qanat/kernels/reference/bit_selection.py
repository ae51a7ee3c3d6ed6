"""Bits picked out of integers: what ``kernels.bit_selection`` computes."""

from __future__ import annotations


def compress(word: int, mask: int) -> int:
    """Return the bits of ``word`` that ``mask`` selects, moved to the low end in order."""
    places = [i for i in range(mask.bit_length()) if mask >> i & 1]
    return sum((word >> place & 1) << k for k, place in enumerate(places))


def expand(word: int, mask: int) -> int:
    """Return the low bits of ``word`` at the places that ``mask`` selects."""
    places = [i for i in range(mask.bit_length()) if mask >> i & 1]
    return sum((word >> k & 1) << place for k, place in enumerate(places))
