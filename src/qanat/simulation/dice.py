"""The dice of the simulated world, thrown from a Chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from qanat.ground.ports import Chance

T = TypeVar("T")
BATCH = 1024


class Dice:
    """Uniform draws, one at a time, drawn in batches because a single draw of a generator is slow."""

    def __init__(self, chance: Chance) -> None:
        self._generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(chance.seed_words())))
        self._ready: list[float] = []

    def uniform(self) -> float:
        """Return a number from 0 to 1, 1 excluded."""
        if not self._ready:
            self._ready = self._generator.random(BATCH).tolist()
        return self._ready.pop()

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.uniform()

    def happens(self, probability: float) -> bool:
        return self.uniform() < probability

    def choose(self, items: Sequence[T]) -> T:
        return items[int(self.uniform() * len(items))]

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int(self.uniform() * (high - low + 1))
