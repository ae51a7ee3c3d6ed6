"""What ``qanat plan satellites`` was asked, and the plan that follows: passes, weather, schedule, key by week."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from qanat.apps.cli.passes_sources import satellites_named, stations_named
from qanat.ground.errors import BadParameter, ConfigurationError, RequestError
from qanat.ground.randomness import SeededChance
from qanat.orbits.contention import SLEW_S
from qanat.orbits.earth import DAY_S, utc_s_of, utc_text
from qanat.orbits.passes import Span, find_passes
from qanat.orbits.propagation import Orbit, check_age
from qanat.orbits.stations import Station
from qanat.orbits.sun import check_depression
from qanat.orbits.weather import Sky, Weather, weather_of
from qanat.physics.micius import FITTED
from qanat.physics.source_modes import source_mode
from qanat.physics.telescope import NANSHAN
from qanat.planning.contacts import check_slew, contacts_of
from qanat.planning.key_weeks import DrawnKeys, KeyOverTime
from qanat.planning.pair_keys import Demand, Objective
from qanat.planning.pass_keys import Floats, PassKeys, StationLink, pass_keys
from qanat.planning.satellite_links import LinkOptions, Refresh, has_telescope, losses_at, sender_of, station_link
from qanat.planning.satellite_schedule import Schedule, schedule
from qanat.protocols.proofs import proof_named

WEEK_DAYS: Final = 7
MOST_PAIRS: Final = 2_000
EQUAL_BITS: Final = 1e6
"""What each demand asks a week where none is named: they are equal, so the level is in Mbit a week."""

HALF_DB: Final = 3.0
NUM_REMEDIES: Final = 2
REMEDIES: Final = {
    "geometry": "a narrower beam (--divergence-urad), a wider telescope (--telescope-m, of stations without one of "
    "their own) or a lower orbit",
    "pointing": "less jitter (--jitter-urad)",
    "atmosphere": "a higher --min-elevation or an orbit that comes higher; less of it, if you know better (--air-db)",
    "turbulence": "a wider field of view",
    "constant": "none of yours: it is fitted",
}
"""What helps against each term of a link."""
NOISY: Final = 0.03
NARROWER: Final = (
    "a narrower beam (--divergence-urad) or a lower orbit; a wider telescope takes in as much more of the sky's light, "
    "which is where the errors are from"
)
"""Instead, above this error rate: far above that of the optics."""


@dataclass(frozen=True, slots=True)
class SatellitePlanOptions:
    """What is asked, as it was typed. demands: ``A,B[,MBIT_PER_WEEK]`` or ``A[,MBIT]``, all with a number or none, then
    they ask alike; no demand: all pairs alike. umbra_only: without passes in which the satellite is sunlit. jitter_urad
    None: that of Micius. telescope_m: of stations without one of their own; None: as wide as Nanshan's."""

    satellites: tuple[str, ...]
    stations: tuple[str, ...]
    start: str | None = None
    days: float = 365.0
    min_elevation_deg: float = 10.0
    sun_below_deg: float = 12.0
    accept_stale: bool = False
    umbra_only: bool = False
    slew_s: float = SLEW_S
    p_clear: float = 0.5
    clear_spell_h: float = 24.0
    weather: Path | None = None
    demands: tuple[str, ...] = ()
    objective: str = "level"
    exact_s: float = 0.0
    draws: int = 400
    seed: int = 1
    mode: str = "this-work"
    proof: str = "hoeffding"
    divergence_urad: float = 10.0
    jitter_urad: float | None = None
    air_db: float | None = None
    telescope_m: float | None = None
    user_bits: int = 8_192
    user_days: float = 10.0


@dataclass(frozen=True, slots=True)
class SatellitePlan:
    """What was found. p_clear: of each pass. demands are numbers of stations; keys by station, by demand, and of all
    stations together. is_equal: no demand says how much, so all ask alike."""

    options: SatellitePlanOptions
    span: Span
    stations: Sequence[Station]
    weather: Weather
    refresh: Refresh
    keys: PassKeys
    p_clear: Floats
    demands: Sequence[Demand]
    is_equal: bool
    schedule: Schedule
    taken: NDArray[np.bool_]
    by_station: Sequence[KeyOverTime]
    by_demand: Sequence[KeyOverTime]
    of_all: KeyOverTime
    warnings: Sequence[str]

    @property
    def demand_names(self) -> list[str]:
        return [" - ".join(self.stations[number].name for number in one.stations) for one in self.demands]


def planned(options: SatellitePlanOptions) -> SatellitePlan:
    """Return the plan; raises QanatError, which says what is wrong and what helps."""
    if options.start is None:
        raise BadParameter("no --start", remedy="give the first moment, such as --start 2026-01-01")
    start_utc_s = utc_s_of(options.start)
    span = Span(start_utc_s, start_utc_s + options.days * DAY_S)
    check_depression(options.sun_below_deg)
    check_slew(options.slew_s)
    proof_named(options.proof)
    refresh = Refresh(options.user_bits, options.user_days)
    orbits = [orbit for name in options.satellites for orbit in satellites_named(name, start_utc_s=start_utc_s)]
    stations = [station for name in options.stations for station in stations_named(name)]
    _refuse_repeats("satellite", [orbit.name for orbit in orbits])
    _refuse_repeats("station", [station.name for station in stations])
    weather = _weather(options, stations)
    demands, is_equal = _demands(options, stations)
    links = _links(options, stations)
    stale = [
        check_age(one, start_utc_s=span.start_utc_s, end_utc_s=span.end_utc_s, accept_stale=options.accept_stale)
        for one in orbits
    ]
    keys = _keys(options, orbits, stations, links, span)
    p_clear = _odds(keys, weather)
    contacts = contacts_of(keys, p_clear)
    if not len(contacts):
        raise _no_key(options, orbits, stations, links, span, keys)
    found = schedule(
        contacts,
        demands,
        num_satellites=len(orbits),
        slew_s=options.slew_s,
        objective=cast("Objective", options.objective),
        exact_s=options.exact_s,
    )
    chosen = contacts.place[found.chosen]
    taken = np.zeros(len(keys), dtype=np.bool_)
    taken[chosen] = True
    drawn = DrawnKeys(
        keys, chosen, weather, span, chance=SeededChance(options.seed).child("weather"), num_draws=options.draws
    )
    return SatellitePlan(
        options=options,
        span=span,
        stations=stations,
        weather=weather,
        refresh=refresh,
        keys=keys,
        p_clear=p_clear,
        demands=demands,
        is_equal=is_equal,
        schedule=found,
        taken=taken,
        by_station=[drawn.of_station(number) for number in range(len(stations))],
        by_demand=drawn.of_demands(demands, found.shares.bits),
        of_all=drawn.of_all(),
        warnings=[warning for warning in stale if warning],
    )


def _links(options: SatellitePlanOptions, stations: Sequence[Station]) -> list[StationLink]:
    air_db = FITTED.air_db if options.air_db is None else options.air_db
    links = LinkOptions(
        mode=source_mode(options.mode),
        sender=sender_of(divergence_urad=options.divergence_urad, jitter_urad=options.jitter_urad),
        fitted=replace(FITTED, air_db=air_db),
        telescope_m=_telescope_m(options, stations),
    )
    return [station_link(station, links) for station in stations]


def _telescope_m(options: SatellitePlanOptions, stations: Sequence[Station]) -> float:
    """Return the aperture of stations without one; raises BadParameter for none, or where there is no such station."""
    given_m = options.telescope_m
    if given_m is None:
        return NANSHAN.diameter_m
    if not 0 < given_m < math.inf:
        raise BadParameter(
            f"a telescope of {given_m:g} m sees nothing",
            remedy=f"give --telescope-m above 0, or leave it out for {NANSHAN.diameter_m:g} m",
        )
    if all(map(has_telescope, stations)):
        names = ", ".join(station.name for station in stations)
        one = stations[0]
        raise BadParameter(
            f"--telescope-m counts for nothing: {names} {'has' if len(stations) == 1 else 'have'} a telescope already",
            remedy=f"write the place instead, such as --station {one.latitude_deg:.10g},"
            f"{one.longitude_deg:.10g},{one.altitude_m:.10g}, or a file of stations with telescope_m",
        )
    return given_m


def _keys(
    options: SatellitePlanOptions,
    orbits: Sequence[Orbit],
    stations: Sequence[Station],
    links: Sequence[StationLink],
    span: Span,
) -> PassKeys:
    keys = pass_keys(
        orbits,
        stations,
        links,
        span,
        min_elevation_deg=options.min_elevation_deg,
        depression_deg=options.sun_below_deg,
        proof=options.proof,
        slew_s=options.slew_s,
    )
    if not options.umbra_only:
        return keys
    if len(keys) and keys.sunlit.all():
        raise RequestError(
            f"in {'the only pass' if len(keys) == 1 else f'all {len(keys):,} passes'} by night the satellite is sunlit",
            remedy="leave --umbra-only out (what light the satellite throws is not in the model), or lower the orbit",
        )
    return keys.where(~keys.sunlit)


def _odds(keys: PassKeys, weather: Weather) -> Floats:
    odds = np.zeros(len(keys))
    for number, station in enumerate(keys.stations):
        mine = np.flatnonzero(keys.station == number)
        order = mine[np.argsort(keys.middle_utc_s[mine], kind="stable")]
        odds[order] = weather.odds(station.name, keys.middle_utc_s[order])
    return odds


def _weather(options: SatellitePlanOptions, stations: Sequence[Station]) -> Weather:
    usual = Sky((options.p_clear,), options.clear_spell_h)
    if options.weather is None:
        return Weather(usual)
    try:
        record = yaml.safe_load(options.weather.read_text(encoding="utf-8"))  # JSON too
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise ConfigurationError(f"cannot read {options.weather}: {fault}", remedy="name a file of weather") from None
    weather = weather_of(record, usual=usual, source=str(options.weather))
    if unknown := sorted(set(weather.skies) - {station.name for station in stations}):
        raise ConfigurationError(
            f"{options.weather}: {', '.join(unknown)} is no station of this plan",
            remedy=f"there are {', '.join(station.name for station in stations)}",
        )
    return weather


def _demands(options: SatellitePlanOptions, stations: Sequence[Station]) -> tuple[list[Demand], bool]:
    """Return the demands, and whether none says how much: then all ask alike."""
    weeks = options.days / WEEK_DAYS
    if options.demands:
        return _named_demands(options.demands, [station.name for station in stations], weeks)
    whose: list[tuple[int, ...]] = [*combinations(range(len(stations)), 2)] or [(0,)]
    if len(whose) > MOST_PAIRS:
        raise BadParameter(f"{len(whose):,} pairs of stations", remedy="name those that count with --demand A,B")
    return [Demand(one, EQUAL_BITS * weeks) for one in whose], True


def _named_demands(texts: Sequence[str], names: Sequence[str], weeks: float) -> tuple[list[Demand], bool]:
    read = [_demand(text, names) for text in texts]
    bare = [text for text, (_, mbit) in zip(texts, read, strict=True) if mbit is None]
    if bare and len(bare) < len(read):
        raise BadParameter(
            f"--demand {bare[0]} does not say how much, and others do",
            remedy=f"write --demand {bare[0]},MBIT_PER_WEEK, or no number anywhere: then all ask alike",
        )
    return [Demand(whose, (EQUAL_BITS if mbit is None else mbit * 1e6) * weeks) for whose, mbit in read], bool(bare)


def _demand(text: str, names: Sequence[str]) -> tuple[tuple[int, ...], float | None]:
    """Return stations and megabits a week of ``A,B,MBIT_PER_WEEK``, ``A,B``, ``A,MBIT_PER_WEEK`` or ``A``; names may
    have commas."""
    rest, numbers, mbit = text.rstrip(), [], None
    while rest:
        name = next((one for one in sorted(names, key=len, reverse=True) if f"{rest},".startswith(f"{one},")), None)
        if name is None:
            break
        numbers.append(names.index(name))
        rest = rest[len(name) + 1 :]
    if rest or not numbers or text.rstrip().endswith(","):
        try:
            mbit = float(rest)
        except ValueError:
            raise BadParameter(
                f"{text!r} is no demand", remedy=f"write A,B,MBIT_PER_WEEK with stations of {', '.join(names)}"
            ) from None
    return tuple(numbers), mbit


def _refuse_repeats(what: str, names: Sequence[str]) -> None:
    for name in sorted(set(names)):
        if names.count(name) > 1:
            raise BadParameter(f"the {what} {name} is there twice", remedy="name each once, or rename one in its file")


def _too_little(options: SatellitePlanOptions, links: Sequence[StationLink], keys: PassKeys) -> RequestError:
    """Return the error that no pass gives key: what the best one has, where its light goes, and what may help."""
    best = int(keys.sifted_bits.argmax())
    place = {"range_km": float(keys.min_range_km[best]), "elevation_deg": float(keys.max_elevation_deg[best])}
    losses_db = losses_at(links[keys.station[best]], **place)
    told = ", ".join(f"{name} {loss_db:.1f}" for name, loss_db in losses_db.items() if loss_db > 0)
    remedies = REMEDIES | ({"geometry": NARROWER} if keys.qber[best] > NOISY else {})
    helps = [f"{name}: {remedies[name]}" for name, loss_db in losses_db.items() if loss_db > HALF_DB][:NUM_REMEDIES]
    return RequestError(
        f"of {len(keys)} passes by night none gives key: the best, of {keys.satellites[keys.satellite[best]]} at "
        f"{utc_text(float(keys.start_utc_s[best]), digits=0)}, has {keys.sifted_bits[best]:,.0f} sifted bits with "
        f"{100 * keys.qber[best]:.1f} % of errors, which is no block by {options.proof}; at its nearest the link "
        f"loses, in dB: {told}",
        remedy=f"what loses most comes first. {'; '.join(helps)}",
    )


def _no_key(
    options: SatellitePlanOptions,
    orbits: Sequence[Orbit],
    stations: Sequence[Station],
    links: Sequence[StationLink],
    span: Span,
    keys: PassKeys,
) -> RequestError:
    """Return the error that says why no pass gives key, and what may help."""
    if len(keys) and not keys.secret_bits.any():
        return _too_little(options, links, keys)
    if len(keys):
        return RequestError("the sky is never clear in this plan", remedy="give --clear above 0")
    table = find_passes(orbits, stations, span, min_elevation_deg=0.0)
    highest = float(table.max_elevation_deg.max(initial=-90.0))
    if highest > options.min_elevation_deg:
        return RequestError(
            f"no pass is by night: the Sun is never {options.sun_below_deg:g} degrees below meanwhile",
            remedy="take another time of the year, more days, or a lesser --sun-below",
        )
    what = f"the highest has {highest:.2f}" if len(table) else "none comes above the horizon of any station"
    return RequestError(
        f"no pass comes above {options.min_elevation_deg:g} degrees: {what}",
        remedy="lower --min-elevation, take more days, or a satellite whose orbit is inclined enough",
    )
