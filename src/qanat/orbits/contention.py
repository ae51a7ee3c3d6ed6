"""Which passes are taken where some exclude others: a satellite talks to one station at a time, a station to one
satellite, and each needs a while to turn to the next.

Two stations share the lesser of what the satellite has stored with both. So of passes that exclude one another that one
is taken whose station has got least from its satellite so far, and of equals the one that gives most.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

SLEW_S: Final = 60.0
"""To turn from one partner to the next."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A pass as far as contention goes: moments in seconds, bits to expect of it. Satellite and station by name, or by
    number."""

    satellite: str | int
    station: str | int
    rise_utc_s: float
    set_utc_s: float
    expected_bits: float

    def excludes(self, other: Contact, slew_s: float) -> bool:
        """Return whether only one of the two can be taken."""
        shares = self.satellite == other.satellite or self.station == other.station
        return shares and self.rise_utc_s < other.set_utc_s + slew_s and other.rise_utc_s < self.set_utc_s + slew_s


T = TypeVar("T")


def taken(passes: Sequence[T], contact: Callable[[T], Contact], *, slew_s: float = SLEW_S) -> list[T]:
    """Return the passes that are taken, in the order of their rise, no two of which exclude each other. Those that give
    nothing are left out where they would exclude one that does."""
    found = sorted(((contact(one), one) for one in passes), key=lambda pair: (pair[0].rise_utc_s, str(pair[0].station)))
    contacts = [pair[0] for pair in found]
    rises = [one.rise_utc_s for one in contacts]
    longest_s = max((one.set_utc_s - one.rise_utc_s for one in contacts), default=0.0)
    is_open, is_taken = [True] * len(contacts), [False] * len(contacts)
    got = defaultdict[tuple[str | int, str | int], float](float)

    def rivals(of: Contact) -> list[int]:
        first = bisect_left(rises, of.rise_utc_s - longest_s - slew_s)
        last = bisect_left(rises, of.set_utc_s + slew_s)
        return [place for place in range(first, last) if is_open[place] and contacts[place].excludes(of, slew_s)]

    def rank(place: int) -> tuple[bool, float, float, int]:
        one = contacts[place]
        return not one.expected_bits, got[one.satellite, one.station], -one.expected_bits, place

    for place, one in enumerate(contacts):
        while is_open[place]:
            best = min((place, *rivals(one)), key=rank)
            is_taken[best], is_open[best] = True, False
            got[contacts[best].satellite, contacts[best].station] += contacts[best].expected_bits
            for other in rivals(contacts[best]):
                is_open[other] = False
    return [pair[1] for pair, kept in zip(found, is_taken, strict=True) if kept]
