"""The binary entropy function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def binary_entropy(p: float) -> float:
    """Return -p log2 p - (1 - p) log2(1 - p) for a probability p, in bits."""
    if not 0 <= p <= 1:
        raise ValueError(f"a probability is between 0 and 1, got {p}")
    if p in (0, 1):
        return 0.0
    return -p * math.log2(p) - (1 - p) * math.log1p(-p) / math.log(2)


def binary_entropies(p: Any) -> Any:
    """The same for a float64 array of probabilities (or one), element by element; nothing is checked."""
    p = np.asarray(p)
    inside = (p > 0) & (p < 1)
    safe = np.where(inside, p, 0.5)
    bits = -safe * np.log2(safe) - (1 - safe) * np.log1p(-safe) / math.log(2)
    return np.where(inside, bits, 0.0)
