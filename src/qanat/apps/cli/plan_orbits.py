"""``qanat plan constellations`` and ``qanat plan high-orbits``: orbits side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from qanat.apps.cli.passes_sources import stations_named
from qanat.apps.cli.plan_satellites_record import TOLD, week_mean_bits
from qanat.apps.cli.presentation import people_console, show_table
from qanat.apps.cli.satellite_planning import SatellitePlan, SatellitePlanOptions, planned
from qanat.ground.errors import BadParameter, RequestError
from qanat.ground.units import format_rate
from qanat.planning.high_orbits import (
    FORMULAS,
    HighKey,
    HighLink,
    greatest_background,
    high_key,
    paper_links,
    station_link,
)
from qanat.planning.waits import Waits, between_announcements, between_passes, from_one_to_other
from qanat.protocols.proofs import proof_named

MOST_SHOWN: Final = 12
DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class ConstellationRow:
    """What a constellation gives a station, or a pair: bits a day in the mean over the weather, and waits.

    waits: for new key, whichever satellite brings it. aboard: of a pair, how long key is with one satellite, from its
    pass over one station to its next over the other.
    """

    constellation: str
    satellites: int
    who: str
    passes: int
    bits_per_day: float
    waits: Waits | None
    why_none: str = ""
    aboard: Waits | None = None


def run_constellations(names: Sequence[str], common: SatellitePlanOptions, *, as_json: bool) -> int:
    """Print constellations side by side. Returns 0; raises QanatError for what cannot be planned."""
    rows = [row for name in names for row in _rows_of(name, common)]
    if as_json:
        print(json.dumps({"days": common.days, "rows": [asdict(row) for row in rows], "provenance": TOLD}, indent=2))
        return 0
    console = people_console(is_answer=True)
    columns = ("constellation", "number", "for", "passes", "Mbit/day", "wait: 50 %", "90 %", "longest")
    show_table(
        console, f"{common.days:g} days, clear with odds {common.p_clear:g}", columns, [_told(row) for row in rows]
    )
    console.print(
        "wait for new key, whichever satellite brings it: of a station from one pass with key to the next, of a pair "
        "from one moment at which a satellite has key of both stations to the next. Means over the weather, of a pair "
        f"the mean of what both have ({common.draws:,} draws); waits in hours, as if always clear. Passes with a "
        f"sunlit satellite {'are left out' if common.umbra_only else 'count in full (not with --umbra-only)'}",
        soft_wrap=True,
    )
    return 0


def _rows_of(name: str, common: SatellitePlanOptions) -> list[ConstellationRow]:
    try:
        found = planned(replace(common, satellites=(name,)))
    except BadParameter:
        raise
    except RequestError as fault:  # no pass, or none with key: an answer among others
        return [ConstellationRow(name, 0, "-", 0, 0.0, None, str(fault))]
    return [*_station_rows(name, found), *_pair_rows(name, found)]


def _station_rows(name: str, found: SatellitePlan) -> list[ConstellationRow]:
    keys = found.keys
    return [
        ConstellationRow(
            name,
            len(keys.satellites),
            station.name,
            int(((keys.station == number) & found.taken).sum()),
            week_mean_bits(found.by_station[number], found.options.days) / 7,
            between_passes(keys, number),
        )
        for number, station in enumerate(found.stations)
    ]


def _pair_rows(name: str, found: SatellitePlan) -> list[ConstellationRow]:
    return [
        ConstellationRow(
            name,
            len(found.keys.satellites),
            found.demand_names[number],
            int(found.taken.sum()),
            week_mean_bits(found.by_demand[number], found.options.days) / 7,
            between_announcements(found.keys, *demand.stations),
            aboard=from_one_to_other(found.keys, *demand.stations),
        )
        for number, demand in enumerate(found.demands[:MOST_SHOWN])
        if len(demand.stations) == 2
    ]


def _told(row: ConstellationRow) -> tuple[str, ...]:
    waits = row.waits
    hours = ("-",) * 3 if waits is None else (waits.median_h, waits.most_90_h, waits.longest_h)
    return (
        row.constellation,
        f"{row.satellites}",
        row.who,
        f"{row.passes:,}",
        f"{row.bits_per_day / 1e6:.2f}",
        *(hour if isinstance(hour, str) else f"{hour:.1f}" for hour in hours),
    )


@dataclass(frozen=True, slots=True)
class HighRow:
    """A link, its key by night and by day, and how many times the night's background it stands."""

    link: HighLink
    night: HighKey
    day: HighKey
    stands_times: float


def run_high_orbits(stations: Sequence[str], *, block_s: float, day_times: float, proof: str, as_json: bool) -> int:
    """Print the links of high orbits. Returns 0; raises QanatError for what is none."""
    proof_named(proof)
    if not (math.isfinite(day_times) and day_times >= 1):
        raise BadParameter(f"a day {day_times:g} times as bright as the night", remedy="give --day-times of 1 or more")
    own = [link for name in stations for station in stations_named(name) for link in station_link(station)]
    rows = [
        HighRow(
            link,
            high_key(link, background_times=1.0, block_s=block_s, proof=proof),
            high_key(link, background_times=day_times, block_s=block_s, proof=proof),
            greatest_background(link, block_s=block_s, proof=proof),
        )
        for link in (*paper_links(), *own)
    ]
    if as_json:
        print(json.dumps(_high_record(rows, block_s=block_s, day_times=day_times, proof=proof), indent=2))
        return 0
    console = people_console(is_answer=True)
    columns = ("link", "beam", "km", "elevation", "efficiency, dB", "paper", "stands, times the night's sky")
    show_table(console, "High orbits", columns, [_high_link(row) for row in rows])
    columns = ("link", "beam", "night: sifted", "QBER", "secret", "day: QBER", "secret")
    show_table(console, f"Their key, blocks of {block_s:g} s by {proof}", columns, [_high_key(row) for row in rows])
    for formula in FORMULAS.values():
        console.print(f"  {formula}", soft_wrap=True, markup=False)
    for note in dict.fromkeys(f"{row.link.name}: {row.link.note}" for row in rows if row.link.note):
        console.print(f"  {note}", soft_wrap=True, markup=False)
    console.print(
        f"  efficiency: the row's printed factors (input) and the beam named (chosen by the paper's total where it is "
        f"the first); key: predicted; the day's sky is stated as {day_times:g} times the night's, which is fitted",
        soft_wrap=True,
    )
    return 0


def _high_link(row: HighRow) -> tuple[str, ...]:
    link = row.link
    return (
        link.name,
        link.shape,
        f"{link.row.range_km:,.0f}",
        f"{link.elevation_deg:.0f}",
        f"{link.total_db:.1f}",
        "-" if link.paper_db is None else f"{link.paper_db:g}",
        f"{row.stands_times:.3g}",
    )


def _high_key(row: HighRow) -> tuple[str, ...]:
    return (
        row.link.name,
        row.link.shape,
        format_rate(row.night.sifted_bits_per_s),
        f"{100 * row.night.qber:.2f} %",
        format_rate(row.night.secret_bits_per_s),
        f"{100 * row.day.qber:.1f} %",
        format_rate(row.day.secret_bits_per_s),
    )


def _high_record(rows: Sequence[HighRow], *, block_s: float, day_times: float, proof: str) -> dict[str, Any]:
    return {
        "block_s": block_s,
        "proof": proof,
        "day_times_night": day_times,
        "rows": [
            {
                "name": row.link.name,
                "beam": row.link.shape,
                "formula": FORMULAS[row.link.shape],
                "range_km": round(row.link.row.range_km, 3),
                "elevation_deg": round(row.link.elevation_deg, 3),
                "total_db": round(row.link.total_db, DIGITS),
                "paper_db": row.link.paper_db,
                "note": row.link.note,
                "night": asdict(row.night),
                "day": asdict(row.day),
                "stands_times_night": row.stands_times,
            }
            for row in rows
        ],
        "provenance": {
            "total_db": "from the row's printed factors (input) and the beam named, chosen by the paper's total",
            "key": "predicted: link model, proof at 1e-9; background fitted, in proportion to aperture and optics",
            "day_times_night": "stated: an order of magnitude",
        },
    }
