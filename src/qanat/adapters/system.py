"""The machine's own clock, entropy and chance behind their ports."""

from __future__ import annotations

import asyncio
import os
import time

from qanat.ground.keys import SecretBytes
from qanat.ground.randomness import SeededChance

CHANCE_SEED_BYTES = 32
ID_BYTES = 16
IDS_AHEAD = 256


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


class IdsAhead:
    """The Entropy port for who names many things, such as events: what ids are made of is drawn hundreds at a time.

    A draw is a call of the system, during which another thread takes the interpreter; a busy door names five things in
    a request. Not for what nobody may know before it is told: it lies in memory until then.
    """

    def __init__(self, entropy: SystemEntropy) -> None:
        self._entropy = entropy
        self._ahead: list[bytes] = []

    def secret_bytes(self, num_bytes: int, /) -> SecretBytes:
        """Return uniform bytes that nobody else knows, drawn now."""
        return self._entropy.secret_bytes(num_bytes)

    def public_bytes(self, num_bytes: int, /) -> bytes:
        """Return uniform bytes; those of an id may have been drawn a while ago."""
        if num_bytes != ID_BYTES:
            return self._entropy.public_bytes(num_bytes)
        while True:
            try:
                return self._ahead.pop()  # in one step, so that two threads cannot be given the same
            except IndexError:
                drawn = self._entropy.public_bytes(ID_BYTES * IDS_AHEAD)
                self._ahead += [drawn[at : at + ID_BYTES] for at in range(0, len(drawn), ID_BYTES)]


def system_chance() -> SeededChance:
    """Return a chance seeded by the operating system: for twins where keys are served, which nobody may replay."""
    return SeededChance(int.from_bytes(os.urandom(CHANCE_SEED_BYTES), "big"))
