"""Entropy with a seed: for simulation alone. Bootstrap refuses it, because keys made from it are known."""

from __future__ import annotations

import numpy as np

from qanat.ground.keys import SecretBytes
from qanat.ground.ports import Chance

WORD_BYTES = 4
DRAWN_BYTES = 2**14
"""So many bytes are drawn at once: a call for sixteen of them takes its time."""


class SimulationEntropy:
    """Bytes that a seed determines."""

    def __init__(self, chance: Chance) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(chance.seed_words())))
        self._drawn, self._used = b"", 0

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        return SecretBytes(self._next(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        return self._next(num_bytes)

    def _next(self, num_bytes: int) -> bytes:
        """Return bytes, one or more, as the generator gives them to who asks for so many: words of four, of the last a
        part."""
        taken = -(-num_bytes // WORD_BYTES) * WORD_BYTES
        if self._used + taken > len(self._drawn):
            left = self._drawn[self._used :]
            self._drawn = left + self._generator.bytes(max(DRAWN_BYTES, taken - len(left)))
            self._used = 0
        begin, self._used = self._used, self._used + taken
        return self._drawn[begin : begin + num_bytes]
