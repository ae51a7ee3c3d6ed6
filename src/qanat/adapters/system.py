"""The machine's own clock, entropy and chance behind their ports."""

from __future__ import annotations

import asyncio
import os
import time

from qanat.ground.keys import SecretBytes
from qanat.ground.randomness import SeededChance

CHANCE_SEED_BYTES = 32


class SystemClock:
    """The Clock port on the operating system's clocks and asyncio's timers."""

    def utc_s(self) -> float:
        """Return Unix time; it jumps when the machine's clock is set."""
        return time.time()

    def monotonic_s(self) -> float:
        """Return seconds since some moment of this boot."""
        return time.monotonic()

    async def sleep_until(self, monotonic_s: float, /) -> None:
        """Return at that moment or soon after; at once when it has passed."""
        # asyncio may fire a timer up to one tick of its clock early, so one sleep is not enough
        while (left_s := monotonic_s - time.monotonic()) > 0:  # noqa: ASYNC110 - time passes without an event
            await asyncio.sleep(left_s)


class SystemEntropy:
    """The Entropy port on the operating system's generator."""

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows."""
        return SecretBytes(os.urandom(num_bytes))

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes that may be told once they have been used."""
        return os.urandom(num_bytes)


def system_chance() -> SeededChance:
    """Return a chance seeded by the operating system: for twins where keys are served, which nobody may replay."""
    return SeededChance(int.from_bytes(os.urandom(CHANCE_SEED_BYTES), "big"))
