"""How long a constellation makes wait: between passes of a station, and from one station of a pair to the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qanat.planning.pass_keys import Floats, PassKeys


@dataclass(frozen=True, slots=True)
class Waits:
    """Hours: the middle one, the one that 90 % are below, and the longest; None of nothing to wait between."""

    median_h: float
    most_90_h: float
    longest_h: float


def waits_of(waits_s: Floats) -> Waits | None:
    """Return the figures of waits, seconds."""
    if not waits_s.size:
        return None
    median, most, longest = (float(value) / 3600 for value in np.percentile(waits_s, (50, 90, 100)))
    return Waits(median, most, longest)


def between_passes(keys: PassKeys, station: int) -> Waits | None:
    """Return the times without any satellite that gives key between the passes of a station, nights and days alike."""
    mine = (keys.station == station) & (keys.secret_bits > 0)
    begin, end = keys.start_utc_s[mine], keys.end_utc_s[mine]
    if begin.size < 2:
        return None
    free = begin[1:] - np.maximum.accumulate(end)[:-1]
    return waits_of(free[free > 0])


def from_one_to_other(keys: PassKeys, one: int, other: int) -> Waits | None:
    """Return the latency of a pair: from the end of a pass that gives key over either station to the end of the next
    of the same satellite over the other, when it can tell their XOR. What the span cuts off is left out."""
    waits = []
    for satellite in range(len(keys.satellites)):
        mine = (keys.satellite == satellite) & (keys.secret_bits > 0)
        ends = [np.sort(keys.end_utc_s[mine & (keys.station == station)]) for station in (one, other)]
        for here, there in (ends, ends[::-1]):
            place = np.searchsorted(there, here, side="right")
            known = place < there.size
            waits.append(there[place[known]] - here[known])
    return waits_of(np.concatenate([np.empty(0), *waits]))
