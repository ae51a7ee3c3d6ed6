"""Requests that find all they ask for, which most do: served in one loop from one threshold to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qanat.kernels.serving import Whole, serve
from qanat.simulation.day.books import Books, Hop
from qanat.simulation.day.demand import Requests

Slot = int
"""Twice the number of a pair, and one more where the second of the two asks."""


@dataclass(frozen=True, slots=True)
class SlotCount:
    """What came of the requests of a slot. ``first``: where the first that was served stands among all, from zero."""

    slot: Slot
    served_at_once: int
    served_later: int
    refused: int
    first: int


class Desk:
    """Serves requests in the order of their times, and counts by slot. Hops are of stock in ``books``."""

    def __init__(self, requests: Requests, books: Books, *, needed_bits: int) -> None:
        """``needed_bits``: what a request takes on each hop."""
        self._times_s = np.asarray(requests.times_s, dtype=np.float64)
        backwards = np.asarray(requests.backwards, dtype=np.int64)
        self._slots = 2 * np.asarray(requests.pair_numbers, dtype=np.int64) + backwards
        self._num_slots = 2 * len(requests.pairs)
        self._books, self._needed_bits = books, needed_bits
        self._place = self._sequence = 0
        self._first_hop: Whole = np.zeros(self._num_slots + 1, dtype=np.int64)
        self._hops: Whole = np.zeros(0, dtype=np.int64)
        self._crossed: Whole = np.zeros(len(books.stock), dtype=np.int64)
        self._begin_counts()

    def _begin_counts(self) -> None:
        self._served: Whole = np.zeros(self._num_slots, dtype=np.int64)
        self._later: Whole = np.zeros(self._num_slots, dtype=np.int64)
        self._refused: Whole = np.zeros(self._num_slots, dtype=np.int64)
        self._first: Whole = np.full(self._num_slots, -1, dtype=np.int64)

    def asked(self) -> Whole:
        """Return how many requests there are of each pair."""
        return np.asarray(np.bincount(self._slots // 2, minlength=self._num_slots // 2), dtype=np.int64)

    def set_ways(self, ways: Sequence[tuple[Hop, ...]]) -> None:
        """Take the hops of each slot; none where no route is. Counts should have been taken before."""
        np.cumsum([len(hops) for hops in ways], out=self._first_hop[1:])
        self._hops = np.fromiter((hop for hops in ways for hop in hops), dtype=np.int64, count=self._first_hop[-1])

    def coming(self) -> tuple[float, Slot] | None:
        """Return time and slot of the next request; None when all have come."""
        if self._place == len(self._times_s):
            return None
        return float(self._times_s[self._place]), int(self._slots[self._place])

    def serve_until(self, until_s: float, *, at_most: int | None = None) -> tuple[float, Slot] | None:
        """Serve what comes before ``until_s``, or refuse what has no route, up to one that finds too little: return its
        time and slot, and leave it to the caller. None: there is none."""
        end = len(self._times_s) if at_most is None else min(len(self._times_s), self._place + at_most)
        place, self._sequence, num_crossed = serve(
            *(self._times_s, self._slots, self._place, end, until_s, self._first_hop, self._hops, self._needed_bits),
            *(self._books.array, self._served, self._refused, self._first, self._sequence, self._crossed),
        )
        self._books.short.update(self._crossed[:num_crossed].tolist())
        self._place = place
        if place == end or self._times_s[place] >= until_s:
            return None
        short = self.coming()
        self._place += 1
        return short

    def leave_next(self) -> None:
        """Leave the next request to the caller."""
        self._place += 1

    def note_later(self, slot: Slot) -> None:
        """Count a request that was served after a wait."""
        self._later[slot] += 1
        if self._first[slot] < 0:
            self._first[slot] = self._sequence
        self._sequence += 1

    def take_counts(self) -> Iterator[SlotCount]:
        """Yield what came of each slot that had requests since the counts were last taken."""
        counts = self._served, self._later, self._refused, self._first
        busy = np.nonzero(self._served + self._later + self._refused)[0]
        self._begin_counts()
        for slot in busy.tolist():
            yield SlotCount(slot, *(int(count[slot]) for count in counts))
