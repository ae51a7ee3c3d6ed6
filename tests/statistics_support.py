"""Bounds of five sigma as tails of the laws themselves, and entropy that has a seed."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats

from qanat.ground.keys import SecretBytes

FIVE_SIGMA: Final = 2 * float(stats.norm.sf(5))


class RepeatableEntropy:
    """Entropy for tests only: it has a seed."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self._generator.bytes(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._generator.bytes(num_bytes)


def p_poisson(count: int, mean: float) -> float:
    """Odds, two-sided, that a Poisson number is as far from its mean as ``count``."""
    return min(1.0, 2 * float(min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))))


def p_binomial(count: int, trials: int, p: float) -> float:
    return min(1.0, 2 * float(min(stats.binom.cdf(count, trials, p), stats.binom.sf(count - 1, trials, p))))
