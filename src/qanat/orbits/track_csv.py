"""A pass as comma-separated text: where the satellite was at every moment, and what was measured of the loss.

Columns, in any order: ``utc_s`` or ``time_s`` (seconds, evenly spaced), ``range_km``, ``elevation_deg``; if there,
``azimuth_deg``; and for any term of the budget ``<term>_db``, which then stands in place of the model's. What
``qanat pass`` writes can be read in again: its other columns are results, and are passed over. A term that the model
gave is one of these, ``model_<term>_db``; without the prefix it is measured. The column ``station`` names the station
that the pass is over, in every line the same; it may be missing.

A file with results says in every line by which rules it was written: ``pass_format`` (``FORMAT``). Before that column
there was a time when the model's terms had no prefix, so such a file is not read: it would pass for measured.

``secret_by_sifted_bits_per_s`` is no rate of secret bits: a block has them as a whole, and here they are shared out in
proportion to the sifted bits.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError
from qanat.orbits.downlink import MEASURED_ORIGIN, TERMS, LinkBudget
from qanat.orbits.pass_light import PassLight
from qanat.orbits.track import Track

Floats = NDArray[np.float64]

TIMES: Final = ("utc_s", "time_s")
NEEDED: Final = ("range_km", "elevation_deg")
MEASURED: Final = tuple(f"{term}_db" for term in TERMS)
FORMAT: Final = 2
FORMAT_COLUMN: Final = "pass_format"
STATION_COLUMN: Final = "station"
SHARED_OUT: Final = "secret_by_sifted_bits_per_s"
RESULTS: Final = (
    *(f"model_{name}" for name in MEASURED),
    *("total_db", "air_table_db", "air_fitted_db", "is_tracked", "exposure_ms"),
    *("sifted_bits_per_s", "qber", SHARED_OUT, "secret_bits_per_s"),  # the last: before FORMAT 2
)
KNOWN: Final = (FORMAT_COLUMN, *TIMES, *NEEDED, "azimuth_deg", *MEASURED, *RESULTS, STATION_COLUMN)


def read_track(text: str, *, source: str, satellite: str, station: str) -> tuple[Track, dict[str, Floats]]:
    """Return the track in a text and its measured terms (name -> dB, shape (n,)).

    Raises ConfigurationError, which names the line or the column of ``source``.
    """
    rows = list(csv.reader(text.splitlines()))
    if len(rows) < 3:
        raise _wrong(source, "it has no heading and two moments or more")
    names = [name.strip() for name in rows[0]]
    _check_names(names, source)
    wanted = [name for name in names if name not in (*RESULTS, STATION_COLUMN)]
    columns = {name: _column(rows, names.index(name), name, source) for name in wanted}
    _check_format(columns, names, source)
    elevation_deg = columns["elevation_deg"]
    if elevation_deg.min() < 0 or elevation_deg.max() > 90:
        raise _wrong(source, "it has elevations that are not from 0 to 90 degrees: leave out what is below the horizon")
    if columns["range_km"].min() <= 0:
        raise _wrong(source, "it has distances that are not above 0 km")
    utc_s = columns[next(name for name in TIMES if name in columns)]
    size = utc_s.size
    track = Track(
        satellite=satellite,
        station=station,
        utc_s=utc_s,
        range_km=columns["range_km"],
        elevation_deg=elevation_deg,
        azimuth_deg=columns.get("azimuth_deg", np.zeros(size)),
        range_rate_km_per_s=np.gradient(columns["range_km"], utc_s),
        in_sunlight=np.zeros(size, dtype=np.bool_),
    )
    return track, {name.removesuffix("_db"): columns[name] for name in MEASURED if name in columns}


def station_in(text: str, *, source: str) -> str:
    """Return the station that a text says its pass is over; empty where it says none.

    Raises ConfigurationError where it says several.
    """
    rows = list(csv.reader(text.splitlines()))
    names = [name.strip() for name in rows[0]] if rows else []
    if STATION_COLUMN not in names:
        return ""
    place = names.index(STATION_COLUMN)
    said = {row[place].strip() if place < len(row) else "" for row in rows[1:]}
    if len(said) > 1:
        raise _wrong(source, f"it is of several stations: {', '.join(map(repr, sorted(said)))}")
    return said.pop() if said else ""


def write_pass(budget: LinkBudget, light: PassLight, *, secret_bits: int) -> str:
    """Return a pass as text, a line per moment, in the present format; secret_bits: of the pass."""
    columns = pass_columns(budget, light, secret_bits=secret_bits)
    modelled = {f"{term}_db" for term in TERMS if budget.origins[term] != MEASURED_ORIGIN}
    names = [FORMAT_COLUMN, *(f"model_{name}" if name in modelled else name for name in columns), STATION_COLUMN]
    station = '"' + budget.track.station.replace('"', '""') + '"'
    rows = zip(*columns.values(), strict=True)
    lines = [",".join(names), *(",".join([str(FORMAT), *map(_figure, row), station]) for row in rows)]
    return "\n".join(lines) + "\n"


def pass_columns(budget: LinkBudget, light: PassLight, *, secret_bits: int) -> Mapping[str, Sequence[float | None]]:
    """Return a pass as columns of plain numbers; None where there is no number, such as an error rate of nothing."""
    track, tracking = budget.track, budget.tracking
    rate = light.sifted_rate_bits_per_s
    share = secret_bits / light.sifted_bits if light.sifted_bits else 0.0
    arrays: dict[str, NDArray[np.float64] | NDArray[np.bool_]] = {
        "utc_s": track.utc_s,
        "range_km": track.range_km,
        "elevation_deg": track.elevation_deg,
        "azimuth_deg": track.azimuth_deg,
        **{f"{term}_db": budget.terms_db[term] for term in TERMS},
        "total_db": budget.total_db,
        **{f"air_{name}_db": losses for name, losses in budget.air_db.items()},
        "is_tracked": budget.is_tracked.astype(np.float64),
        "exposure_ms": np.full(len(track), np.nan) if tracking is None else tracking.exposure_ms,
        "sifted_bits_per_s": rate,
        "qber": light.qber_by_step,
        SHARED_OUT: rate * share,
    }
    return {name: [None if math.isnan(value) else value for value in array.tolist()] for name, array in arrays.items()}


def _check_names(names: list[str], source: str) -> None:
    if unknown := [name for name in names if name not in KNOWN]:
        raise _wrong(source, f"it has the columns {', '.join(map(repr, unknown))}, which nobody knows")
    if len(set(names)) < len(names):
        raise _wrong(source, "it has a column twice")
    missing = [name for name in NEEDED if name not in names]
    if not any(name in names for name in TIMES):
        missing.append("utc_s or time_s")
    if missing:
        raise _wrong(source, f"it has no column {', '.join(missing)}")


def _check_format(columns: Mapping[str, Floats], names: list[str], source: str) -> None:
    """Raise ConfigurationError where results stand beside terms of which nobody knows whether they were measured."""
    if FORMAT_COLUMN in columns:
        if np.any(columns[FORMAT_COLUMN] != FORMAT):
            raise ConfigurationError(
                f"{source}: its pass_format is not {FORMAT} throughout, so its columns may mean something else",
                remedy="write the pass again with this version, or take out everything but utc_s, range_km, "
                "elevation_deg and what was measured",
            )
        return
    results = [name for name in names if name in RESULTS]
    terms = [name for name in names if name in MEASURED]
    if results and terms:
        raise ConfigurationError(
            f"{source}: it has results ({results[0]} and so on) beside {', '.join(terms)}, and no column pass_format: "
            "an older version wrote terms of its model so, and they would pass for measured",
            remedy="write the pass again with this version; or, if these were measured, take the results out",
        )


def _column(rows: list[list[str]], place: int, name: str, source: str) -> Floats:
    values = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            value = float(row[place])
        except (ValueError, IndexError):
            value = math.nan
        if not math.isfinite(value):
            raise _wrong(f"{source}:{number}", f"{name} is no number")
        values.append(value)
    return np.array(values)


def _figure(value: float | None) -> str:
    return "" if value is None else repr(value)


def _wrong(source: str, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{source}: this is no pass: {what}",
        remedy=f"give a CSV file with utc_s (or time_s), {', '.join(NEEDED)} and, if measured, "
        f"{', '.join(MEASURED[:2])} and so on",
    )
