"""A plan with satellites as people read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console

from qanat.apps.cli.plan_satellites_record import TOLD, DemandMean, demand_means, users_record, value_in_the_mean
from qanat.apps.cli.presentation import counted, people_console, show_table
from qanat.apps.cli.satellite_planning import SatellitePlan
from qanat.orbits.earth import utc_text
from qanat.planning.key_weeks import KeyOverTime

MOST_ROWS: Final = 20
YEAR_DAYS: Final = 365.0


def print_satellite_plan(found: SatellitePlan) -> None:
    """Print a plan to standard output."""
    console = people_console(is_answer=True)
    options, keys = found.options, found.keys
    first, last = (utc_text(moment, digits=0) for moment in (found.span.start_utc_s, found.span.end_utc_s))
    console.print(
        f"[bold]{counted(len(keys.satellites), 'satellite')}, {counted(len(found.stations), 'station')}[/], {first} to "
        f"{last}: {counted(len(keys), 'pass', 'passes')} by night above {options.min_elevation_deg:g} degrees, "
        f"{int((keys.secret_bits > 0).sum()):,} with key, {int(found.taken.sum()):,} taken; Sun "
        f"{options.sun_below_deg:g} degrees below, {options.slew_s:g} s to turn",
        soft_wrap=True,
    )
    console.print(f"  {_light(found)}", soft_wrap=True)
    _print_keys(console, found)
    _print_schedule(console, found)
    _print_users(console, found)
    for what, words in TOLD.items():
        console.print(f"  {what}: {words}", soft_wrap=True, markup=False)


def _light(found: SatellitePlan) -> str:
    """Return by which rule passes count where the satellite is sunlit."""
    if found.options.umbra_only:
        return "passes with the satellite in sunlight are left out (--umbra-only)"
    num = int((found.taken & found.keys.sunlit).sum())
    if not num:
        return "in none of those taken is the satellite sunlit"
    return (
        f"of those taken, in {num:,} the satellite is sunlit: they count in full, its own light is not in the model "
        "(--umbra-only leaves such passes out)"
    )


def _print_keys(console: Console, found: SatellitePlan) -> None:
    span = "year" if abs(found.options.days - YEAR_DAYS) <= 1 else "span"
    columns = ("key, Mbit", "passes", "clear", "mean", "10 %", "50 %", "90 %")
    for what, is_week in (("a week", True), (f"the whole {span}", False)):
        title = f"Key in {what} under the declared weather"
        show_table(console, title, columns, list(_key_rows(found, is_week=is_week)))
    if len(found.demands) > MOST_ROWS:
        console.print(f"and {len(found.demands) - MOST_ROWS} more demands: --json has all", soft_wrap=True)
    skies = {found.weather.sky(station.name) for station in found.stations}
    for sky in list(skies)[:MOST_ROWS]:
        odds = ", ".join(f"{p:g}" for p in sky.p_clear)
        console.print(
            f"  sky: clear with odds {odds}, in spells of {sky.mean_clear_h:g} h in the mean ({sky.origin})",
            soft_wrap=True,
            markup=False,
        )
    console.print(
        f"  means of stations are exact, those of pairs are of {found.options.draws:,} draws (~); a pair has the "
        "lesser of what its two stations got of the same satellite",
        soft_wrap=True,
    )


def _key_rows(found: SatellitePlan, *, is_week: bool) -> Iterator[tuple[str, ...]]:
    keys = found.keys
    for number, station in enumerate(found.stations[:MOST_ROWS]):
        mine = (keys.station == number) & found.taken
        odds = found.p_clear[mine].mean() if mine.any() else 0.0
        yield (station.name, f"{mine.sum():,}", f"{100 * odds:.0f} %", *_spread(found.by_station[number], is_week))
    if len(found.stations) > 1:
        odds = found.p_clear[found.taken].mean()
        yield ("all stations", f"{found.taken.sum():,}", f"{100 * odds:.0f} %", *_spread(found.of_all, is_week))
    for number, name in enumerate(found.demand_names[:MOST_ROWS]):
        if len(found.demands[number].stations) == 2:
            yield (name, "", "", *_spread(found.by_demand[number], is_week))


def _spread(key: KeyOverTime, is_week: bool) -> tuple[str, ...]:
    spread = key.week if is_week else key.span
    if spread is None:
        return ("-",) * 4
    mean = f"~{spread.mean / 1e6:,.2f}" if spread.exact_mean is None else f"{spread.exact_mean / 1e6:,.2f}"
    return (mean, *(f"{value / 1e6:,.2f}" for value in spread.percentiles))


def _print_schedule(console: Console, found: SatellitePlan) -> None:
    plan = found.schedule
    unit = "Mbit in the span" if plan.objective == "total" else "Mbit a week" if found.is_equal else "of what is asked"
    scale = 1e-6 if plan.objective == "total" else 1.0
    what = {
        "total": "key of all demands together",
        "level": "the least that any demand gets" if found.is_equal else "the least share that any demand gets",
    }[plan.objective]
    values = ", ".join(f"{method} {value * scale:,.4g}" for method, value in plan.values.items())
    console.print(
        f"[bold]Schedule[/] for {what}, by the mean of each station alone: {values} {unit}; no schedule exceeds "
        f"{plan.bound * scale:,.4g} ({plan.bound_by}). Taken: {plan.method}, gap {100 * plan.gap:.2f} %",
        soft_wrap=True,
    )
    means = demand_means(found)
    real = value_in_the_mean(found, means) * scale
    console.print(
        f"  What comes of it in the mean over the weather, a pair having only what both ends have: {real:,.4g} {unit}",
        soft_wrap=True,
    )
    if not found.is_equal:
        _print_demands(console, means)
    if plan.unreached:
        names = ", ".join(found.demand_names[number] for number in plan.unreached[:MOST_ROWS])
        console.print(f"  no satellite makes key with both stations: {names}", soft_wrap=True, markup=False)
    places = found.taken.nonzero()[0].tolist()
    rows = [_pass_row(found, place) for place in places[:MOST_ROWS]]
    columns = ("satellite, station", "from, UTC", "s", "elevation", "satellite in", "Mbit, clear", "mean")
    show_table(console, f"The first {len(rows)} of {len(places):,} passes taken (--csv has all)", columns, rows)


def _print_demands(console: Console, means: Sequence[DemandMean]) -> None:
    missed = [one for one in means if not one.is_met]
    columns = ("demand, Mbit a week", "asked", "mean", "+/-", "share", "met in the mean")
    rows = [
        (
            one.name,
            f"{(one.asked_bits or 0) / 1e6:,.2f}",
            f"{one.bits / 1e6:,.2f}",
            f"{one.error_bits / 1e6:.2f}" if one.error_bits < float("inf") else "-",
            f"{one.share or 0:.2f}",
            "yes" if one.is_met else "NO",
        )
        for one in (*missed, *(one for one in means if one.is_met))[:MOST_ROWS]
    ]
    verdict = f"{len(missed):,} of {len(means):,} not met" if missed else "all are met"
    show_table(console, f"Demands: in the mean {verdict}", columns, rows)


def _pass_row(found: SatellitePlan, place: int) -> tuple[str, ...]:
    keys = found.keys
    return (
        f"{keys.satellites[keys.satellite[place]]}, {keys.stations[keys.station[place]].name}",
        utc_text(float(keys.start_utc_s[place]), digits=0).replace("T", " ")[:16],
        f"{keys.end_utc_s[place] - keys.start_utc_s[place]:.0f}",
        f"{keys.max_elevation_deg[place]:.1f}",
        "sunlit" if keys.sunlit[place] else "umbra",
        f"{keys.secret_bits[place] / 1e6:.2f}",
        f"{keys.secret_bits[place] * found.p_clear[place] / 1e6:.2f}",
    )


def _print_users(console: Console, found: SatellitePlan) -> None:
    refresh = found.refresh
    rows = [
        (
            row["what"],
            f"{row['week_bits'] / 1e6:.2f}",
            f"{row['users']:,}" + (f" (the paper: about {row['paper']:,})" if "paper" in row else ""),
            row["provenance"],
        )
        for row in users_record(found)
    ]
    title = f"Users served, {refresh.key_bits:,} bits each every {refresh.every_days:g} days"
    show_table(console, title, ("week", "Mbit", "users", "provenance"), rows)
