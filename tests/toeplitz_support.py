"""Sizes on which Toeplitz hashes go wrong first, and keys and seeds for them."""

from __future__ import annotations

import numpy as np

from qanat.kernels import toeplitz

SIZES = [
    *((1, 1), (2, 1), (7, 5), (63, 31), (64, 64), (65, 33), (65, 65), (129, 200), (1, 300), (300, 1), (511, 513)),
    *((1000, 401), (1024, 1024), (1025, 1)),
]
"""Bits of key and output."""


def draw(seed: int, num_bits: int) -> bytes:
    """Return packed bits, alike for the same seed."""
    bits = np.random.default_rng(seed).integers(0, 2, num_bits, dtype=np.uint8)
    return np.packbits(bits, bitorder="little").tobytes()


EVERY_TIER = list(toeplitz.tiers())
"""What this process can be asked for; ``test_narrower_processors`` asks for what lesser processors have."""
