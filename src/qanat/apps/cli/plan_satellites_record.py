"""A plan with satellites for machines: the record of ``--json`` and the rows of ``--csv``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TextIO

from qanat.apps.cli.satellite_planning import WEEK_DAYS, SatellitePlan
from qanat.orbits.earth import DAY_S, Floats, utc_text, utc_texts
from qanat.orbits.weather import Sky
from qanat.planning.key_weeks import KeyOverTime, Spread
from qanat.planning.pass_forecasts import pass_forecasts
from qanat.planning.satellite_links import PAPER_USERS, PAPER_WEEK_BITS, users_of

TOLD: Final = {
    "input": "stations, orbits, span, mask, demands and the paper's 36 Mbit a week (Nature 589, 214, 2021, main text)",
    "fitted": "air, constant, optical error and background of the link, to four figures of the paper's passes "
    "(docs/explanation/a-downlink-in-decibels.md)",
    "declared": "odds of a clear sky and the mean length of a clear spell, each with where it is from; an assumption "
    "unless a file of weather says otherwise",
    "predicted": "key of each pass by the link model and the proof at 1e-9, one block a pass; weeks by draws of the "
    "weather",
}
VALUE_IS: Final = (
    "value, values and bound, and of a demand planned_bits and planned_share, are by the mean of each station alone, "
    "which is more than a pair gets: only what both ends have. value_in_the_mean and the demands' mean_... are that"
)


AT_ONCE: Final = 10_000
"""So many rows are made at a time: of a fleet there are a quarter of a million."""


def pass_rows(found: SatellitePlan) -> Iterator[dict[str, Any]]:
    """Yield all passes by night as rows, taken or not, in order of their begin."""
    keys = found.keys
    sifted_bits, qber = keys.sifted_bits, keys.qber  # each a sum over all passes
    for first in range(0, len(keys), AT_ONCE):
        part = slice(first, first + AT_ONCE)
        columns = {
            "satellite": [keys.satellites[number] for number in keys.satellite[part]],
            "station": [keys.stations[number].name for number in keys.station[part]],
            "start_utc": utc_texts(keys.start_utc_s[part]),
            "end_utc": utc_texts(keys.end_utc_s[part]),
            "max_elevation_deg": _rounded(keys.max_elevation_deg[part], 3),
            "min_range_km": _rounded(keys.min_range_km[part], 1),
            "satellite_sunlit": keys.sunlit[part].tolist(),
            "sifted_bits": list(map(round, sifted_bits[part].tolist())),
            "qber": _rounded(qber[part], 5),
            "secret_bits": list(map(int, keys.secret_bits[part].tolist())),
            "p_clear": _rounded(found.p_clear[part], 4),
            "taken": found.taken[part].tolist(),
        }
        for row in zip(*columns.values(), strict=True):
            yield dict(zip(columns, row, strict=True))


def forecast_rows(found: SatellitePlan) -> Iterator[dict[str, Any]]:
    """Yield what is foretold of each pass that is taken: the mean over the weather."""
    told = pass_forecasts(found.keys, p_clear=found.p_clear, chosen=found.taken.nonzero()[0].tolist())
    for first in range(0, len(told), AT_ONCE):
        part = told[first : first + AT_ONCE]
        rises, sets = utc_texts([one.rise_utc_s for one in part]), utc_texts([one.set_utc_s for one in part])
        for one, rise_utc, set_utc in zip(part, rises, sets, strict=True):
            yield {
                "station": one.station,
                "satellite": one.satellite,
                "rise_utc": rise_utc,
                "set_utc": set_utc,
                "expected_bits": one.expected_bits,
                "p_clear": round(one.p_clear, 4),
            }


def _rounded(column: Floats, digits: int) -> list[float]:
    return [round(value, digits) for value in column.tolist()]


def write_record(found: SatellitePlan, out: TextIO) -> None:
    """Write a plan as one JSON object, its passes and forecasts row by row: a fleet's would not all be held at once."""
    out.write(json.dumps(record_of(found), indent=2).removesuffix("\n}"))
    for name, rows in (("passes", pass_rows(found)), ("forecasts", forecast_rows(found))):
        out.write(f',\n  "{name}": [')
        for number, row in enumerate(rows):
            out.write((",\n    " if number else "\n    ") + json.dumps(row))
        out.write("\n  ]")
    out.write("\n}\n")


def record_of(found: SatellitePlan) -> dict[str, Any]:
    """Return what is printed as JSON, but for the rows of passes and forecasts."""
    options, plan, means = found.options, found.schedule, demand_means(found)
    return {
        "start_utc": utc_text(found.span.start_utc_s),
        "end_utc": utc_text(found.span.end_utc_s),
        "options": {
            name: str(value) if name == "weather" and value else value for name, value in asdict(options).items()
        },
        "satellites": list(found.keys.satellites),
        "weather": weather_record(found),
        "passes_by_night": len(found.keys),
        "passes_with_key": int((found.keys.secret_bits > 0).sum()),
        "passes_taken": int(found.taken.sum()),
        "passes_taken_sunlit": int((found.taken & found.keys.sunlit).sum()),
        "stations": [_station_record(found, number) for number in range(len(found.stations))],
        "demands": [_demand_record(found, number, mean) for number, mean in enumerate(means)],
        "all_stations": over_time_record(found.of_all),
        "schedule": {
            "objective": plan.objective,
            "method": plan.method,
            "value": plan.shares.value,
            "values": plan.values,
            "value_in_the_mean": value_in_the_mean(found, means),
            "provenance": VALUE_IS,
            "bound": plan.bound,
            "bound_by": plan.bound_by,
            "gap": plan.gap,
            "unreached": [found.demand_names[number] for number in plan.unreached],
        },
        "users": users_record(found),
        "provenance": TOLD,
    }


def weather_record(found: SatellitePlan) -> dict[str, Any]:
    """Return the sky of each station and region as declared."""

    def told(sky: Sky) -> dict[str, Any]:
        return {"p_clear": list(sky.p_clear), "mean_clear_h": sky.mean_clear_h, "origin": sky.origin}

    weather = found.weather
    stations = {
        station.name: told(weather.sky(station.name)) | {"region": weather.region_of.get(station.name)}
        for station in found.stations
    }
    return {"stations": stations, "regions": {name: told(sky) for name, sky in weather.regions.items()}}


def _station_record(found: SatellitePlan, number: int) -> dict[str, Any]:
    keys, station = found.keys, found.stations[number]
    mine = keys.station == number
    return {
        "name": station.name,
        "latitude_deg": station.latitude_deg,
        "longitude_deg": station.longitude_deg,
        "altitude_m": station.altitude_m,
        "passes_by_night": int(mine.sum()),
        "passes_taken": int((mine & found.taken).sum()),
        "clear_sky_bits": int(keys.secret_bits[mine & found.taken].sum()),
        "key": over_time_record(found.by_station[number]),
    }


@dataclass(frozen=True, slots=True)
class DemandMean:
    """What a demand gets a week in the mean over the weather, with its standard error: of a pair, of what both ends
    have, so less than the lesser of their means. asked_bits None: demands ask alike."""

    name: str
    asked_bits: float | None
    bits: float
    error_bits: float

    @property
    def share(self) -> float | None:
        """Of what is asked."""
        return None if self.asked_bits is None else self.bits / self.asked_bits

    @property
    def is_met(self) -> bool | None:
        return None if self.share is None else self.share >= 1


def demand_means(found: SatellitePlan) -> list[DemandMean]:
    """Return what each demand gets a week: the mean that the table of keys shows."""
    days = found.options.days
    means = []
    for name, demand, key in zip(found.demand_names, found.demands, found.by_demand, strict=True):
        scale = 1.0 if key.week else WEEK_DAYS / days
        spread = key.week or key.span
        asked = None if found.is_equal else demand.bits * WEEK_DAYS / days
        mean, error = (spread.mean, spread.mean_error) if spread.exact_mean is None else (spread.exact_mean, 0.0)
        means.append(DemandMean(name, asked, scale * mean, scale * error))
    return means


def value_in_the_mean(found: SatellitePlan, means: Sequence[DemandMean]) -> float:
    """Return the objective by what demands really get, beside the schedule's own value: a share, Mbit a week, or bits
    in the span."""
    if found.schedule.objective == "total":
        spans = (key.span for key in found.by_demand)
        return sum(span.mean if span.exact_mean is None else span.exact_mean for span in spans)
    counted = [one for number, one in enumerate(means) if number not in found.schedule.unreached]
    return min((one.bits / 1e6 if one.share is None else one.share for one in counted), default=0.0)


def _demand_record(found: SatellitePlan, number: int, mean: DemandMean) -> dict[str, Any]:
    planned_bits = float(found.schedule.shares.bits[:, number].sum())
    asked = found.demands[number].bits
    return {
        "stations": [found.stations[one].name for one in found.demands[number].stations],
        "asked_bits_per_week": mean.asked_bits,
        "mean_bits_per_week": mean.bits,
        "mean_share": mean.share,
        "is_met_in_the_mean": mean.is_met,
        "planned_bits": planned_bits,
        "planned_share": None if found.is_equal else planned_bits / asked,
        "key": over_time_record(found.by_demand[number]),
        "users": users_of(week_mean_bits(found.by_demand[number], found.options.days), found.refresh),
    }


def users_record(found: SatellitePlan) -> list[dict[str, Any]]:
    """Return how many users a week's key serves: the paper's week, and this plan's mean week."""
    refresh = found.refresh
    mean_bits = week_mean_bits(found.of_all, found.options.days)
    pairs_bits = sum(week_mean_bits(one, found.options.days) for one in found.by_demand)
    common = {"key_bits": refresh.key_bits, "every_days": refresh.every_days}
    return [
        {
            "what": "the paper's week",
            "week_bits": PAPER_WEEK_BITS,
            "users": users_of(PAPER_WEEK_BITS, refresh),
            "provenance": "input",
            "paper": PAPER_USERS,
            **common,
        },
        {
            "what": "mean week, all stations together",
            "week_bits": mean_bits,
            "users": users_of(mean_bits, refresh),
            "provenance": "predicted",
            **common,
        },
        {
            "what": "mean week, all demands together",
            "week_bits": pairs_bits,
            "users": users_of(pairs_bits, refresh),
            "provenance": "predicted",
            **common,
        },
    ]


def week_mean_bits(key: KeyOverTime, days: float) -> float:
    """Return the mean of a week: exact where there is a closed form, else of the draws."""
    best = key.span.mean if key.span.exact_mean is None else key.span.exact_mean
    return best * 7 * DAY_S / (days * DAY_S)


def over_time_record(key: KeyOverTime) -> dict[str, Any]:
    """Return a key over time as JSON has it; ``week`` null where the span has no whole week."""

    def told(spread: Spread | None) -> dict[str, Any] | None:
        if spread is None:
            return None
        low, middle, high = spread.percentiles
        return {
            "p10_bits": low,
            "p50_bits": middle,
            "p90_bits": high,
            "mean_of_draws_bits": spread.mean,
            "standard_error_bits": spread.mean_error if spread.mean_error < float("inf") else None,
            "exact_mean_bits": spread.exact_mean,
        }

    return {"week": told(key.week), "span": told(key.span)}
