"""Entropy with a seed: for simulation alone. Bootstrap refuses it, because keys made from it are known."""

from __future__ import annotations

import numpy as np

from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Chance


class SimulationEntropy:
    """Bytes that a seed determines."""

    def __init__(self, chance: Chance) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(chance.seed_words())))

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self._generator.bytes(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._generator.bytes(num_bytes)
