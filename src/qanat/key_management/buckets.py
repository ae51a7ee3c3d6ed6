"""A rate as a bucket that fills with time, and may be overdrawn by one batch, which the next ones then wait for: in the
long run the rate is exact, whatever the size of batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SHARE_BURST_S = 10.0
"""So much of his share who has taken nothing may take at once. A batch of many hops waits a while for key on all of
them; what it could have had meanwhile is not lost to it."""
STRICT_BURST_S = 2.0
"""So much at once of what was guaranteed, or of a cap."""


@dataclass(slots=True)
class Bucket:
    """Bits that may be taken at a moment; below zero after a batch that was larger than what was left.

    It holds what comes in ``burst_s``, and no less than ``room_bits``.
    """

    bits_per_s: float
    bits: float
    at_s: float
    burst_s: float
    room_bits: int = 0

    @classmethod
    def full(cls, bits_per_s: float, *, burst_s: float, now_s: float) -> Bucket:
        return cls(bits_per_s, burst_s * bits_per_s, now_s, burst_s)

    @property
    def most_bits(self) -> float:
        """What it holds when it is full."""
        return max(self.burst_s * self.bits_per_s, self.room_bits)

    def level(self, now_s: float) -> float:
        """Return what may be taken now."""
        gained = max(0.0, now_s - self.at_s) * self.bits_per_s
        self.bits, self.at_s = min(self.most_bits, self.bits + gained), now_s
        return self.bits

    def set_rate(self, bits_per_s: float, *, now_s: float) -> None:
        self.level(now_s)
        self.bits_per_s = bits_per_s

    def is_full(self, now_s: float) -> bool:
        """Return whether it holds no less than a new one would."""
        return self.level(now_s) >= self.most_bits

    def wait_s(self, now_s: float) -> float:
        """Return in how many seconds something may be taken; infinite where nothing ever may."""
        return max(0.0, -self.level(now_s)) / self.bits_per_s if self.bits_per_s else math.inf
