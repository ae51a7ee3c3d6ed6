"""How long a constellation makes wait: between passes of a station, between keys of a pair, and for what is aboard."""

from __future__ import annotations

from collections.abc import Iterator
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


def between_announcements(keys: PassKeys, one: int, other: int) -> Waits | None:
    """Return the times from one moment at which any satellite brings a pair new key to the next: the end of a pass
    over either station of a satellite that has key of the other aboard. It spends as much of both."""
    satellites = range(len(keys.satellites))
    moments = np.sort([moment for each in satellites for moment in _announced(keys, each, one, other)])
    free = np.diff(moments)
    return waits_of(free[free > 0])


def _announced(keys: PassKeys, satellite: int, one: int, other: int) -> Iterator[float]:
    """Yield the moments at which a satellite brings two stations new key."""
    mine = np.flatnonzero((keys.satellite == satellite) & np.isin(keys.station, (one, other)) & (keys.secret_bits > 0))
    mine = mine[np.argsort(keys.end_utc_s[mine], kind="stable")]
    passes = zip(
        keys.station[mine].tolist(), keys.end_utc_s[mine].tolist(), keys.secret_bits[mine].tolist(), strict=True
    )
    aboard = {one: 0.0, other: 0.0}
    for station, end_utc_s, bits in passes:
        aboard[station] += bits
        if (shared := min(aboard.values())) > 0:
            aboard = {place: kept - shared for place, kept in aboard.items()}
            yield end_utc_s


def from_one_to_other(keys: PassKeys, one: int, other: int) -> Waits | None:
    """Return how long a pair's key is aboard: from the end of a pass that gives key over either station to the end of
    the next of the same satellite over the other, when it can tell their XOR. What the span cuts off is left out."""
    waits = []
    for satellite in range(len(keys.satellites)):
        mine = (keys.satellite == satellite) & (keys.secret_bits > 0)
        ends = [np.sort(keys.end_utc_s[mine & (keys.station == station)]) for station in (one, other)]
        for here, there in (ends, ends[::-1]):
            place = np.searchsorted(there, here, side="right")
            known = place < there.size
            waits.append(there[place[known]] - here[known])
    return waits_of(np.concatenate([np.empty(0), *waits]))
