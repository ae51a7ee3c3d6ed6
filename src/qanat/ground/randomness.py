"""Chance: nature's and the faults' dice, a tree of seeds.

A seeded chance can never make a key: keys come from the Entropy port, which is another type without a seed.
"""

from __future__ import annotations

import hashlib


class SeededChance:
    """A node of a seed tree. Children are independent of each other and of the order in which they are asked for."""

    def __init__(self, seed: int, _path: tuple[str | int, ...] = ()) -> None:
        if seed < 0:
            raise ValueError(f"a seed is zero or more, got {seed}")
        self._seed = seed
        self._path = _path

    def child(self, *path: str | int) -> SeededChance:
        """Return the chance of a part of this one's subject, named by ``path``."""
        return SeededChance(self._seed, (*self._path, *path))

    def seed_words(self) -> tuple[int, ...]:
        """Return eight 32-bit words that seed a generator (``numpy.random.SeedSequence`` takes them as they are)."""
        digest = hashlib.sha256(repr((self._seed, self._path)).encode()).digest()
        return tuple(int.from_bytes(digest[i : i + 4], "big") for i in range(0, 32, 4))

    def __repr__(self) -> str:
        return f"SeededChance(seed={self._seed}, path={'/'.join(map(str, self._path))!r})"
