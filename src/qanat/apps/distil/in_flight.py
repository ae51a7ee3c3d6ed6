"""How many blocks two parties make side by side: enough that the line's delay costs little, and no more.

A block of Cascade has some 170 round trips. While its frames are under way other blocks can be worked on: as many as
are made, at the speed of the machines, in that time. Each more costs memory, and its pads and its part of the record
when a party is killed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from qanat.ground.numbered import WINDOW_BYTES

MOST_IN_FLIGHT: Final = 256
MOST_MEMORY_BYTES: Final = 2**30
"""Of one party, for what the blocks in flight hold; the record comes on top."""
BLOCK_BYTES_PER_BIT: Final = 4
"""What a party holds of a block between sifting and key, per bit: measured with Cascade, rounded up."""
ROUND_TRIPS: Final = 170
"""Of a block, before one was made: Cascade's at 4 Mbit; what is too many costs nothing but memory."""
MOST_AHEAD: Final = 2
"""Blocks whose pads are asked for before they can begin: so many may a party that holds the pads leave unanswered."""
AT_WORK: Final = 2
"""One block that each party is at work on."""
FASTEST_BITS_PER_S: Final = 80e6
LEAST_BLOCK_S: Final = 0.01
"""No party is quicker: bits per second, and what each block costs besides (its pads and key made durable)."""


def most_in_flight(key_bits: int, *, chosen: int | None) -> int:
    """Return how many blocks of so many bits a party takes at once: by its memory, and by what the line may hold.

    ``chosen``: what the user said, in place of what its memory allows.

    Alice never has more on its way than one turn of each block, of which the longest is a Toeplitz seed of less than
    twice the key. As long as these fit the line's window she never waits to send while Bob waits for her to hear.
    """
    by_memory = MOST_MEMORY_BYTES // (BLOCK_BYTES_PER_BIT * key_bits)
    by_line = WINDOW_BYTES // (2 * key_bits // 8 + 1)
    return max(1, min(MOST_IN_FLIGHT, by_memory if chosen is None else chosen, by_line))


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run: the time, how much of it was waited for the line, how many blocks were begun so far."""

    monotonic_s: float
    waited_s: float
    begun: int


class Pace:
    """Says how many blocks should be in flight, from what was measured so far. Bob has one: he begins the blocks."""

    def __init__(self, *, key_bits: int, round_trip_s: float, most: int, fixed: int | None) -> None:
        """``fixed``: the number that the user chose, if any; ``most``: what both parties take."""
        self._floor_s = LEAST_BLOCK_S + key_bits / FASTEST_BITS_PER_S
        self.round_trip_s = round_trip_s
        self._most = most
        self._fixed = fixed
        self._round_trips = ROUND_TRIPS
        self._mark: Progress | None = None

    def note_answer(self, taken_s: float) -> None:
        """Note how long a word waited for its answer: never less than the line takes, often more."""
        self.round_trip_s = min(self.round_trip_s, taken_s)

    def note_end(self, now: Progress, *, round_trips: int) -> None:
        """Note that a block has ended; the first one's warming up counts for nothing."""
        self._round_trips = round_trips if self._mark is None else max(self._round_trips, round_trips)
        self._mark = self._mark or now

    def wanted(self, now: Progress) -> int:
        """Return how many blocks should be in flight."""
        if self._fixed is not None:
            return min(self._fixed, self._most)
        meanwhile = self.round_trip_s * self._round_trips / self._block_s(now)
        return min(self._most, AT_WORK + math.ceil(meanwhile))

    def _block_s(self, now: Progress) -> float:
        """Return how long a block keeps this party at work.

        Measured once as many blocks were begun after the first end as before: what those before left to do is theirs.
        """
        mark = self._mark
        if mark is None or now.begun < 2 * mark.begun + AT_WORK:
            return self._floor_s
        busy_s = (now.monotonic_s - mark.monotonic_s) - (now.waited_s - mark.waited_s)
        return max(self._floor_s, busy_s / (now.begun - mark.begun))
