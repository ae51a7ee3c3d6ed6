"""What secret keys and the wire that they came over are asked: counts over many blocks, and odds of each count.

Every question has a name and an answer: the odds that a truly uniform and independent key would be as far off. Nothing
here knows how the key was made.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LAGS = 64
LONGEST_RUN = 16
OFFSETS = 8


@dataclass
class Halves:
    """Bits that should be one half of the time."""

    ones: int = 0
    trials: int = 0

    def add(self, bits: NDArray[np.uint8]) -> None:
        self.ones += int(np.count_nonzero(bits))
        self.trials += bits.size

    @property
    def odds(self) -> float:
        """Two-sided odds of such a count; from a thousand trials on the normal law does."""
        if not self.trials:
            return 1.0
        return math.erfc(abs(2 * self.ones - self.trials) / math.sqrt(2 * self.trials))


@dataclass
class Evidence:
    """Counts over secret keys of many blocks."""

    halves: defaultdict[str, Halves] = field(default_factory=lambda: defaultdict(Halves))
    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    runs: NDArray[np.int64] = field(default_factory=lambda: np.zeros(LONGEST_RUN + 1, dtype=np.int64))
    num_bits: int = 0
    _last: NDArray[np.uint8] | None = None

    def add(self, secret: bytes, wire: Mapping[str, bytes]) -> None:
        """Take the key of a block, and all that was said of it by what it was."""
        data = np.frombuffer(secret, dtype=np.uint8)
        bits = np.unpackbits(data, bitorder="little")
        self.num_bits += bits.size
        self.values += np.bincount(data, minlength=256)
        self.halves["ones"].add(bits)
        for lag in range(1, LAGS + 1):
            self.halves[f"serial correlation, lag {lag}"].add(bits[lag:] ^ bits[:-lag])
        self._count_runs(bits)
        for name, said in wire.items():
            self._compare(f"{name} on the wire", bits, np.unpackbits(np.frombuffer(said, np.uint8), bitorder="little"))
        if self._last is not None:
            self._compare("the block before", bits, self._last)
        self._last = bits

    def add_twice(self, secret: bytes, again: bytes) -> None:
        """Take two keys of one record that differ in the seed of the hash alone."""
        one, other = (np.unpackbits(np.frombuffer(key, np.uint8)) for key in (secret, again))
        self.halves["the same record under another seed"].add(one ^ other)

    def _count_runs(self, bits: NDArray[np.uint8]) -> None:
        """Count whole runs of equal bits by length; those that the block's ends cut are left out."""
        turns = np.flatnonzero(bits[1:] != bits[:-1])
        self.runs += np.bincount(np.minimum(np.diff(turns), LONGEST_RUN), minlength=LONGEST_RUN + 1)

    def _compare(self, name: str, bits: NDArray[np.uint8], other: NDArray[np.uint8]) -> None:
        for offset in range(OFFSETS):
            size = min(bits.size, other.size - offset)
            if size > 0:
                self.halves[f"{name}, offset {offset}"].add(bits[:size] ^ other[offset : offset + size])

    def odds(self) -> dict[str, float]:
        """Return the odds of every count, by name."""
        found = {name: half.odds for name, half in self.halves.items()}
        found["values of bytes"] = _chi_squared(self.values, np.full(256, 1 / 256))
        lengths = np.arange(1, LONGEST_RUN + 1)
        law = np.where(lengths < LONGEST_RUN, 0.5**lengths, 0.5 ** (LONGEST_RUN - 1))
        found["lengths of runs"] = _chi_squared(self.runs[1:], law)
        return found

    def objections(self, *, at: float) -> list[str]:
        """Return the questions whose answers have odds below ``at``."""
        return sorted(name for name, odds in self.odds().items() if odds < at)


def _chi_squared(counts: NDArray[np.int64], law: NDArray[np.float64]) -> float:
    """Two-sided: counts that fit too well are no chance either. Where nothing was counted, nothing fits."""
    if not counts.sum():
        return 0.0
    expected = law * counts.sum()
    total = float(((counts - expected) ** 2 / expected).sum())
    degrees = counts.size - 1
    return 2 * float(min(stats.chi2.sf(total, degrees), stats.chi2.cdf(total, degrees)))
