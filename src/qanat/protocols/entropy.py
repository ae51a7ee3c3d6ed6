"""The binary entropy function."""

from __future__ import annotations

import math


def binary_entropy(p: float) -> float:
    """Return -p log2 p - (1 - p) log2(1 - p) for a probability p, in bits."""
    if not 0 <= p <= 1:
        raise ValueError(f"a probability is between 0 and 1, got {p}")
    if p in (0, 1):
        return 0.0
    return -p * math.log2(p) - (1 - p) * math.log1p(-p) / math.log(2)
