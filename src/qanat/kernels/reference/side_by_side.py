"""Frames as lists of bits: what ``kernels.side_by_side`` keeps in words that 64 frames share."""

from __future__ import annotations

from collections.abc import Sequence

MASK_64 = 2**64 - 1


def spread_frames(stream: int, num_frames: int, size: int) -> list[list[int]]:
    """Return the frames of a key given as one number: bit ``i * num_frames + f`` is bit ``i`` of frame ``f``."""
    return [[stream >> (i * num_frames + f) & 1 for i in range(size)] for f in range(num_frames)]


def shuffle(seed: int, size: int) -> list[int]:
    """Return a permutation by Fisher and Yates's shuffle and splitmix64."""
    order, state = list(range(size)), seed
    for i in range(size - 1, 0, -1):
        state = (state + 0x9E3779B97F4A7C15) & MASK_64
        word = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & MASK_64
        word = (word ^ word >> 27) * 0x94D049BB133111EB & MASK_64
        word ^= word >> 31
        j = (word >> 32) * (i + 1) >> 32
        order[i], order[j] = order[j], order[i]
    return order


def masked_parity(bits: Sequence[int], mask: int) -> int:
    """Return the parity of the bits that a mask selects, given as one number."""
    return sum(bit & (mask >> i) for i, bit in enumerate(bits)) & 1
