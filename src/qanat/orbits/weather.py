"""Clear or not: the sky over stations, by a chain of two states in time, with its exact means.

A clear sky ends at the rate 1 / (mean clear spell), whatever its age; one that is not clears at the rate that makes the
odds of clear come out. So what is now is remembered as exp(-t / tau), 1 / tau the sum of both rates. Odds may be one
number or twelve, a month each (UTC); where they change, the chain goes over to the new ones at the new rates.

Stations near each other may share a region's sky: a station is clear where both its region and its own part are, which
are independent chains. Then two stations of a region correlate, at the same moment, as p_i p_j (1 / p_region - 1) over
the product of their standard deviations.

Both inputs are declared with where they are from. Light through thin cloud, and haze, are left out: clear gives all.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import BadParameter, ConfigurationError
from qanat.ground.ports import Chance

Floats = NDArray[np.float64]

MONTHS: Final = 12
HOUR_S: Final = 3600.0
AT_ONCE: Final = 1e6
"""How many times faster than clear spells end a sky clears whose odds of clear are 1."""
ASSUMED: Final = "assumption"


@dataclass(frozen=True, slots=True)
class Sky:
    """A chain. p_clear: odds of a clear sky, one number or twelve from January on. mean_clear_h: mean length of a clear
    spell. origin: where these are from. Raises BadParameter for odds or spells that are none."""

    p_clear: tuple[float, ...]
    mean_clear_h: float
    origin: str = ASSUMED

    def __post_init__(self) -> None:
        if len(self.p_clear) not in (1, MONTHS) or not all(0 <= p <= 1 for p in self.p_clear):
            raise BadParameter(
                f"{', '.join(f'{p:g}' for p in self.p_clear) or 'none'}: no odds of a clear sky",
                remedy="give one share from 0 to 1, or twelve from January on",
            )
        if not (math.isfinite(self.mean_clear_h) and self.mean_clear_h > 0):
            raise BadParameter(
                f"clear spells of {self.mean_clear_h:g} hours", remedy="give their mean length in hours, above 0"
            )

    def p_of_month(self, month: int) -> float:
        """Return the odds of a month, 0 to 11."""
        return self.p_clear[month % len(self.p_clear)]

    def memory_h(self, month: int = 0) -> float:
        """Return tau of the module's text, hours."""
        return 1 / sum(self._rates_per_h(month))

    def _rates_per_h(self, month: int) -> tuple[float, float]:
        """Return how often a clear sky ends, and how often one that is not clears."""
        p, ends = self.p_of_month(month), 1 / self.mean_clear_h
        return (0.0, AT_ONCE * ends) if p == 1 else (ends, ends * p / (1 - p))

    def path(self, utc_s: Floats) -> Path:
        """Return how the chain goes over moments in order."""
        return Path(self, utc_s)


class Path:
    """A chain over moments: P(clear at the next | x now, 1 clear and 0 not) = p + (x - p) keep, step by step.

    Steps lead over the moments and over the begins of months between them. places: which steps end at the moments.
    """

    def __init__(self, sky: Sky, utc_s: Floats) -> None:
        if np.any(np.diff(utc_s) < 0):
            raise ValueError("moments of a path are in order")
        if not utc_s.size:
            self.p = self.keep = np.zeros(0)
            self.places = np.zeros(0, dtype=np.intp)
            return
        edges = _month_begins_utc_s(float(utc_s[0]), float(utc_s[-1]))
        merged = np.concatenate([utc_s, edges])
        order = np.argsort(merged, kind="stable")
        at = merged[order]
        begins = np.concatenate([at[:1], at[:-1]])
        months = _months(begins)
        table = [(sky.p_of_month(month), 1 / (sky.memory_h(month) * HOUR_S)) for month in range(MONTHS)]
        self.p, rates = np.array(table).T[:, months]
        self.keep = np.exp(-(at - begins) * rates)
        self.places = np.argsort(order, kind="stable")[: utc_s.size]

    def odds(self, start: float | None = None) -> Floats:
        """Return the odds of clear at the moments, from the first month's odds on, or from ``start`` at the first
        moment."""
        if not self.p.size:
            return np.zeros(0)
        now, found = float(self.p[0]) if start is None else start, np.empty(self.p.size)
        for step, (p, keep) in enumerate(zip(self.p.tolist(), self.keep.tolist(), strict=True)):
            found[step] = now = p + (now - p) * keep
        return found[self.places]

    def draws(self, generator: np.random.Generator, num_draws: int) -> NDArray[np.bool_]:
        """Draw whether it is clear at the moments, shape (num_draws, n)."""
        found = np.empty((self.p.size, num_draws), dtype=np.bool_)
        if not self.p.size:
            return found.T
        now: NDArray[np.bool_] = generator.random(num_draws) < self.p[0]
        for step in range(self.p.size):
            now = generator.random(num_draws) < self.p[step] + (now - self.p[step]) * self.keep[step]
            found[step] = now
        return found[self.places].T


@dataclass(frozen=True, slots=True)
class Weather:
    """The sky over stations. skies: by station; usual: over all others. regions: by name; region_of: station -> region.

    What is declared of a station is what is seen there, its region included; its own part follows. Raises BadParameter
    where a station is clear more often, or for longer, than its region.
    """

    usual: Sky
    skies: Mapping[str, Sky] = field(default_factory=dict)
    regions: Mapping[str, Sky] = field(default_factory=dict)
    region_of: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for station, region in self.region_of.items():
            if region not in self.regions:
                raise BadParameter(f"{station}: no region {region!r}", remedy="declare it under regions")
            self.own_part(station)

    def sky(self, station: str) -> Sky:
        """Return what is seen at a station."""
        return self.skies.get(station, self.usual)

    def own_part(self, station: str) -> Sky:
        """Return the station's own chain, without its region's."""
        sky = self.sky(station)
        if station not in self.region_of:
            return sky
        region = self.regions[self.region_of[station]]
        many = max(len(sky.p_clear), len(region.p_clear))
        pairs = [(sky.p_of_month(month), region.p_of_month(month)) for month in range(many)]
        if any(mine > shared for mine, shared in pairs) or sky.mean_clear_h >= region.mean_clear_h:
            raise BadParameter(
                f"{station} is clear more often, or for as long at least, as its region {self.region_of[station]}",
                remedy="a station is clear where its region is, or less: raise the region's odds and spells",
            )
        ends = 1 / sky.mean_clear_h - 1 / region.mean_clear_h
        odds = tuple(mine / shared if shared > 0 else 0.0 for mine, shared in pairs)
        return replace(sky, p_clear=odds, mean_clear_h=1 / ends)

    def odds(self, station: str, utc_s: Floats) -> Floats:
        """Return the exact odds of a clear sky over a station at moments in order, shape (n,)."""
        return np.asarray(math.prod(chain.path(utc_s).odds() for chain in self._chains(station).values()))

    def p_both_clear(self, one: tuple[str, float], other: tuple[str, float]) -> float:
        """Return the exact odds that it is clear at two stations, each at its moment; with the odds of the first month
        at the earlier moment."""
        (first, early_s), (second, late_s) = sorted((one, other), key=lambda each: each[1])
        chains, others = self._chains(first), self._chains(second)
        moments = np.array([early_s, late_s])
        together = 1.0
        for name in {**chains, **others}:
            path = (chains.get(name) or others[name]).path(moments)
            now, later = path.odds()
            if name not in others:
                together *= now
            elif name not in chains:
                together *= later
            else:
                together *= now * path.odds(start=1.0)[1]
        return float(together)

    def draws(
        self, stations: Sequence[str], utc_s: Sequence[Floats], chance: Chance, num_draws: int
    ) -> list[NDArray[np.bool_]]:
        """Draw the skies of stations at their moments in order: of each bool, shape (num_draws, moments of it)."""
        shared = self._regions_drawn(stations, utc_s, chance, num_draws)
        found = []
        for number, (station, moments) in enumerate(zip(stations, utc_s, strict=True)):
            generator = np.random.default_rng(chance.child("sky", station).seed_words())
            mine = self.own_part(station).path(moments).draws(generator, num_draws)
            found.append(mine & shared[number] if number in shared else mine)
        return found

    def _regions_drawn(
        self, stations: Sequence[str], utc_s: Sequence[Floats], chance: Chance, num_draws: int
    ) -> dict[int, NDArray[np.bool_]]:
        """Return the regions' skies at the moments of each station that has one, by the station's place."""
        found = {}
        for region in sorted(set(self.region_of.values())):
            members = [place for place, name in enumerate(stations) if self.region_of.get(name) == region]
            if not members:
                continue
            moments, where = np.unique(np.concatenate([utc_s[place] for place in members]), return_inverse=True)
            generator = np.random.default_rng(chance.child("region", region).seed_words())
            drawn = self.regions[region].path(moments).draws(generator, num_draws)
            ends = np.cumsum([utc_s[place].size for place in members])
            for place, mine in zip(members, np.split(where, ends[:-1]), strict=True):
                found[place] = drawn[:, mine]
        return found

    def _chains(self, station: str) -> dict[str, Sky]:
        """Return the chains that are clear where a station is, by names that are equal for the same chain."""
        chains = {f"station {station}": self.own_part(station)}
        if station in self.region_of:
            chains[f"region {self.region_of[station]}"] = self.regions[self.region_of[station]]
        return chains


def weather_of(record: object, *, usual: Sky, source: str) -> Weather:
    """Return the weather of a read YAML or JSON text: lists under ``stations`` and ``regions``; see
    docs/how-to-plan-satellites.md. Raises ConfigurationError, which names the entry."""
    if not isinstance(record, Mapping) or not set(record) <= {"stations", "regions"}:
        raise ConfigurationError(f"{source}: no weather", remedy="give lists under stations and regions")
    regions = {name: sky for name, sky, _ in _entries(record.get("regions") or [], "region", source)}
    stations = _entries(record.get("stations") or [], "station", source)
    return Weather(
        usual=usual,
        skies={name: sky for name, sky, _ in stations},
        regions=regions,
        region_of={name: region for name, _, region in stations if region},
    )


def _entries(records: object, kind: str, source: str) -> list[tuple[str, Sky, str]]:
    if not isinstance(records, Sequence) or isinstance(records, str):
        raise ConfigurationError(f"{source}: {kind}s is no list", remedy=f"give a list of entries with {kind}: NAME")
    found = []
    for number, one in enumerate(records, start=1):
        where = f"{source}, {kind} {number}"
        known = {kind, "p_clear", "mean_clear_h", "source"} | ({"region"} if kind == "station" else set())
        if not isinstance(one, Mapping) or not {kind, "p_clear", "mean_clear_h"} <= set(one) <= known:
            raise ConfigurationError(
                f"{where}: needed are {kind}, p_clear and mean_clear_h",
                remedy=f"known: {', '.join(sorted(known))}",
            )
        odds = one["p_clear"] if isinstance(one["p_clear"], list) else [one["p_clear"]]
        if not all(isinstance(value, int | float) for value in (*odds, one["mean_clear_h"])):
            raise ConfigurationError(f"{where}: p_clear and mean_clear_h are numbers", remedy="write them as numbers")
        sky = Sky(tuple(map(float, odds)), float(one["mean_clear_h"]), str(one.get("source") or ASSUMED))
        found.append((str(one[kind]), sky, str(one.get("region") or "")))
    return found


def _months(utc_s: Floats) -> NDArray[np.int64]:
    """Return the months of moments, 0 to 11."""
    return utc_s.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % MONTHS


def _month_begins_utc_s(first_utc_s: float, last_utc_s: float) -> Floats:
    """Return the begins of months after one moment and not after another."""
    first, last = (
        np.datetime64(math.floor(moment), "s").astype("datetime64[M]") for moment in (first_utc_s, last_utc_s)
    )
    return np.arange(first + 1, last + 1).astype("datetime64[s]").astype(np.float64)
