"""Which contacts of satellites and stations exclude each other, and a schedule that takes the most valuable first.

A satellite talks to one station at a time and a station to one satellite, and each needs ``slew_s`` to turn to the
next. So contacts of one satellite, or of one station, are intervals on a line, each longer by the slew; those that meet
exclude each other. All that meet at one moment are a ``conflict set``, of which one at most is taken.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter
from qanat.planning.pass_keys import Floats, PassKeys, Whole

SAME_S: Final = 1e-3
"""Contacts that are so little nearer than the slew do not exclude each other: the rounding of moments since 1970."""


@dataclass(frozen=True, slots=True)
class Contacts:
    """Chances to make key, as columns of the length n; any may be taken, whole or not at all.

    bits: what is expected of each, float64. place: where it stands in the ``PassKeys`` it is from.
    """

    satellite: Whole
    station: Whole
    start_utc_s: Floats
    end_utc_s: Floats
    bits: Floats
    place: NDArray[np.intp]

    def __len__(self) -> int:
        return self.bits.size


def contacts_of(keys: PassKeys, p_clear: Floats) -> Contacts:
    """Return the passes that give key, with their mean over the weather; p_clear: shape (n,)."""
    bits = keys.secret_bits * p_clear
    place = np.flatnonzero(bits > 0)
    return Contacts(
        satellite=keys.satellite[place],
        station=keys.station[place],
        start_utc_s=keys.start_utc_s[place],
        end_utc_s=keys.end_utc_s[place],
        bits=bits[place],
        place=place,
    )


def check_slew(slew_s: float) -> None:
    """Raise BadParameter for a time to turn that is none."""
    if not 0 <= slew_s < np.inf:
        raise BadParameter(f"a telescope does not turn in {slew_s:g} s", remedy="give the seconds of a slew, 0 or more")


def conflict_sets(contacts: Contacts, *, slew_s: float) -> list[list[int]]:
    """Return all greatest sets of two contacts or more that exclude each other: by satellite, then by station."""
    check_slew(slew_s)
    found = []
    for whose in (contacts.satellite, contacts.station):
        order = np.lexsort((contacts.start_utc_s, whose))
        for group in np.split(order, np.flatnonzero(np.diff(whose[order])) + 1):
            found += list(_meeting(group, contacts.start_utc_s, contacts.end_utc_s + slew_s - SAME_S))
    return found


def _meeting(group: NDArray[np.intp], start_s: Floats, free_s: Floats) -> Iterator[list[int]]:
    """Yield the sets that meet at a moment, of one satellite or station; group: in the order of their begin."""
    meeting: list[int] = []
    has_grown = False
    for one in group.tolist():
        staying = [other for other in meeting if free_s[other] > start_s[one]]
        if len(staying) < len(meeting):
            if has_grown and len(meeting) > 1:
                yield meeting
            meeting, has_grown = staying, False
        meeting = [*meeting, one]
        has_grown = True
    if len(meeting) > 1:
        yield meeting


def greedy(contacts: Contacts, values: Floats, *, slew_s: float) -> NDArray[np.intp]:
    """Return the contacts that are taken, in order of time: the most valuable first, each that nothing taken excludes.
    Contacts without value are left out."""
    check_slew(slew_s)
    busy: dict[tuple[str, int], list[tuple[float, float]]] = {}
    taken = []
    starts, ends = contacts.start_utc_s.tolist(), (contacts.end_utc_s + slew_s - SAME_S).tolist()
    satellites, stations = contacts.satellite.tolist(), contacts.station.tolist()
    for one in np.argsort(-values, kind="stable").tolist():
        if values[one] <= 0:
            break
        times = (starts[one], ends[one])
        lines = [
            busy.setdefault(("satellite", satellites[one]), []),
            busy.setdefault(("station", stations[one]), []),
        ]
        if all(_is_free(line, *times) for line in lines):
            taken.append(one)
            for line in lines:
                insort(line, times)
    return np.array(sorted(taken, key=starts.__getitem__), dtype=np.intp)


def _is_free(line: list[tuple[float, float]], start_s: float, end_s: float) -> bool:
    """Return whether a stretch meets none of those on a line, which meet none of each other."""
    place = bisect_left(line, (start_s, end_s))
    return not (place < len(line) and line[place][0] < end_s) and not (place and line[place - 1][1] > start_s)
