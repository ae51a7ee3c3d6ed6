"""Sizes on which Toeplitz hashes go wrong first, and keys and seeds for them."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import toeplitz
from qanat.kernels.toeplitz import Tier

SIZES = [
    *((1, 1), (2, 1), (7, 5), (63, 31), (64, 64), (65, 33), (65, 65), (129, 200), (1, 300), (300, 1), (511, 513)),
    *((1000, 401), (1024, 1024), (1025, 1)),
]
"""Bits of key and output."""


def draw(seed: int, num_bits: int) -> bytes:
    """Return packed bits, alike for the same seed."""
    bits = np.random.default_rng(seed).integers(0, 2, num_bits, dtype=np.uint8)
    return np.packbits(bits, bitorder="little").tobytes()


def tier_or_skip(tier: Tier) -> object:
    """Return a parameter of a test, skipped with its reason where the processor cannot."""
    reason = f"this processor lacks what {tier} needs"
    return pytest.param(tier, marks=pytest.mark.skipif(tier not in toeplitz.tiers(), reason=reason), id=tier.name)


EVERY_TIER = [tier_or_skip(tier) for tier in Tier]
