"""Night after night at stations: which passes can be used, which cannot and why, and the key that is expected.

A night of a station goes from noon to noon of its local mean solar time, and bears the date of its evening.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from qanat.ground.errors import BadParameter
from qanat.orbits.described import Pass, describe
from qanat.orbits.earth import DAY_S, utc_text
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit
from qanat.orbits.stations import Station
from qanat.orbits.sun import Light, nights, parts_within
from qanat.planning.pass_keys import PassKeys, StationLink, pass_keys, secret_bits

Kind = Literal["usable", "sunlit", "low", "light"]
KINDS: Final[tuple[Kind, ...]] = ("usable", "sunlit", "low", "light")
"""Dark, above the mask, the satellite in the Earth's shadow at its culmination; the same with the satellite in sunlight
or half of it, which adds to the background; dark, but below the mask; above the mask, but never dark."""
SECONDS_PER_DEG: Final = 240.0
"""Of longitude: local mean solar time is so much later to the east."""
PROOF: Final = "hoeffding"
F_EC: Final = 1.1
"""As ``qanat pass`` has them."""


@dataclass(frozen=True, slots=True)
class Night:
    """One night at one station. Bits are None where the station has no telescope, and so no budget.

    dark_s: while the Sun is below the chosen depression. usable_s, sunlit_s: the dark part of such passes. secret_bits:
    of the usable passes, those of each satellite in one block; the other, of usable and sunlit ones. is_cut: the span
    holds a part of the night.
    """

    station: str
    evening: str
    dark_parts: tuple[tuple[float, float], ...]
    num_passes: dict[Kind, int]
    usable_s: float
    sunlit_s: float
    highest_deg: float | None
    sifted_bits: float | None
    secret_bits: float | None
    secret_bits_with_sunlit: float | None
    is_cut: bool

    @property
    def dark_s(self) -> float:
        return sum(end - begin for begin, end in self.dark_parts)


@dataclass(frozen=True, slots=True)
class Mark:
    """One pass on a calendar: the number of the night, hours since noon (0 to 24) of its culmination, its kind."""

    station: str
    night: int
    hours: float
    kind: Kind


@dataclass(frozen=True, slots=True)
class Calendar:
    """All nights of all stations, station by station; ``marks``: the passes behind them."""

    stations: tuple[Station, ...]
    nights: tuple[Night, ...]
    marks: tuple[Mark, ...]

    def of(self, station: Station) -> list[Night]:
        """Return the nights of one station, in order."""
        return [night for night in self.nights if night.station == station.name]


def night_calendar(
    orbits: Sequence[Orbit],
    stations: Sequence[Station],
    links: Sequence[StationLink | None],
    span: Span,
    *,
    min_elevation_deg: float,
    depression_deg: float,
    ut1_minus_utc_s: float = 0.0,
) -> Calendar:
    """Return the calendar of a span; links: of each station, None where it has none.

    Low passes are those above the horizon. Raises BadParameter and RequestError for what cannot be searched.
    """
    if len(links) != len(stations):
        raise BadParameter(f"{len(links)} links for {len(stations)} stations", remedy="give each station its own")
    above = find_passes(orbits, stations, span, min_elevation_deg=min_elevation_deg, ut1_minus_utc_s=ut1_minus_utc_s)
    whole = find_passes(orbits, stations, span, min_elevation_deg=0.0, ut1_minus_utc_s=ut1_minus_utc_s)
    told = describe(above, orbits, span, depression_deg=depression_deg)
    low = [
        one
        for one in describe(whole, orbits, span, depression_deg=depression_deg)
        if one.max_elevation_deg < min_elevation_deg and one.sun_elevation_deg < -depression_deg
    ]
    found, marks = [], []
    for station, link in zip(stations, links, strict=True):
        mine = [(kind_of(one), one) for one in told if one.station == station.name]
        mine += [("low", one) for one in low if one.station == station.name]
        found += _nights(orbits, station, link, span, mine, min_elevation_deg, depression_deg)
        marks += _marks(station, span, mine)
    return Calendar(tuple(stations), tuple(found), tuple(marks))


def kind_of(one: Pass) -> Kind:
    """Return the kind of a pass above the mask."""
    if not one.dark_parts:
        return "light"
    return "usable" if one.light[1] == Light.UMBRA else "sunlit"


def noon_utc_s(station: Station, number: int) -> float:
    """Return when a night begins: noon, mean solar time; nights are numbered from 1970-01-01."""
    return number * DAY_S + DAY_S / 2 - _east_deg(station) * SECONDS_PER_DEG


def night_number(station: Station, utc_s: float) -> int:
    """Return the number of the night that a moment is in."""
    return int((utc_s - noon_utc_s(station, 0)) // DAY_S)


def _east_deg(station: Station) -> float:
    return (station.longitude_deg + 180) % 360 - 180


def _marks(station: Station, span: Span, mine: Sequence[tuple[Kind, Pass]]) -> list[Mark]:
    first = night_number(station, span.start_utc_s)
    marks = []
    for kind, one in mine:
        number = night_number(station, one.culmination_utc_s)
        hours = (one.culmination_utc_s - noon_utc_s(station, number)) / 3600
        marks.append(Mark(station.name, number - first, hours, kind))
    return marks


def _nights(
    orbits: Sequence[Orbit],
    station: Station,
    link: StationLink | None,
    span: Span,
    mine: Sequence[tuple[Kind, Pass]],
    min_elevation_deg: float,
    depression_deg: float,
) -> list[Night]:
    ends = {"start_utc_s": span.start_utc_s, "end_utc_s": span.end_utc_s}
    dark = nights(station, **ends, depression_deg=depression_deg)
    first = night_number(station, span.start_utc_s)
    count = night_number(station, np.nextafter(span.end_utc_s, 0.0)) - first + 1
    by_night: list[list[tuple[Kind, Pass]]] = [[] for _ in range(count)]
    for kind, one in mine:
        by_night[night_number(station, one.culmination_utc_s) - first].append((kind, one))
    bits: Sequence[tuple[float | None, float | None, float | None]] = (
        [(None, None, None)] * count
        if link is None
        else _bits(orbits, station, link, span, mine, (first, count), min_elevation_deg, depression_deg)
    )
    found = []
    for place, (passes, (sifted, secret, both)) in enumerate(zip(by_night, bits, strict=True)):
        begin_utc_s = noon_utc_s(station, first + place)
        seconds = {kind: sum(one.dark_s for what, one in passes if what == kind) for kind in KINDS}
        heights = [one.max_elevation_deg for what, one in passes if what in ("usable", "sunlit")]
        found.append(
            Night(
                station=station.name,
                evening=utc_text((first + place) * DAY_S)[:10],
                dark_parts=tuple(parts_within(dark, start_utc_s=begin_utc_s, end_utc_s=begin_utc_s + DAY_S)),
                num_passes={kind: sum(what == kind for what, _ in passes) for kind in KINDS},
                usable_s=seconds["usable"],
                sunlit_s=seconds["sunlit"],
                highest_deg=max(heights, default=None),
                sifted_bits=sifted,
                secret_bits=secret,
                secret_bits_with_sunlit=both,
                is_cut=begin_utc_s < span.start_utc_s or begin_utc_s + DAY_S > span.end_utc_s,
            )
        )
    return found


def _bits(
    orbits: Sequence[Orbit],
    station: Station,
    link: StationLink,
    span: Span,
    mine: Sequence[tuple[Kind, Pass]],
    which: tuple[int, int],
    min_elevation_deg: float,
    depression_deg: float,
) -> list[tuple[float, float, float]]:
    """Return sifted bits of usable passes, secret bits of these, and of these with the sunlit ones, night by night.

    The passes of a satellite in a night make one block: what two sources sent cannot be proven together. which: number
    of the first night, and of nights.
    """
    first, count = which
    keys = pass_keys(
        orbits, [station], [link], span, min_elevation_deg=min_elevation_deg, depression_deg=depression_deg
    )
    blocks = (count, len(keys.satellites))
    usable, both = (np.zeros((*blocks, *keys.counts.shape[1:])) for _ in range(2))
    parts = zip(keys.counts, keys.satellite.tolist(), _passes_of(keys, mine), strict=True)
    for counts, satellite, one in parts:
        place = night_number(station, one.culmination_utc_s) - first, satellite
        both[place] += counts
        if kind_of(one) == "usable":
            usable[place] += counts
    columns = (
        usable[:, :, 0, 0].sum(axis=(1, -1)),
        *(
            secret_bits(counts.reshape(-1, *counts.shape[2:]), link.system, proof=PROOF, f_ec=F_EC)
            .reshape(blocks)
            .sum(axis=1)
            for counts in (usable, both)
        ),
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _passes_of(keys: PassKeys, mine: Sequence[tuple[Kind, Pass]]) -> Iterator[Pass]:
    """Yield the pass of each part: the last of its satellite that rises before the middle of the part."""
    by_satellite: dict[str, list[Pass]] = {}
    for one in (one for kind, one in mine if kind != "low"):
        by_satellite.setdefault(one.satellite, []).append(one)
    rises = {name: [one.rise_utc_s for one in passes] for name, passes in by_satellite.items()}
    for satellite, middle_utc_s in zip(keys.satellite.tolist(), keys.middle_utc_s.tolist(), strict=True):
        name = keys.satellites[satellite]
        yield by_satellite[name][bisect_right(rises[name], middle_utc_s) - 1]
