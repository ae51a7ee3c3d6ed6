"""How much key comes in a week and in the whole span, over many draws of the weather, beside the exact mean.

A pass gives all of its key where its station is clear in the middle of it, else nothing. Which passes are taken, and
how a station's key with a satellite is split among its demands, was planned beforehand and stays as it is.

A pair's key grows with the lesser of what its two stations have had of the same satellite so far: what one has too much
waits aboard for the other. A lesser of two has no closed mean; the least of the exact means is above it. A demand of
one station has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from qanat.ground.errors import BadParameter
from qanat.ground.ports import Chance
from qanat.orbits.earth import DAY_S
from qanat.orbits.passes import Span
from qanat.orbits.weather import Weather
from qanat.planning.pair_keys import Demand
from qanat.planning.pass_keys import Floats, PassKeys

WEEK_S: Final = 7 * DAY_S
MOST_DRAWS: Final = 100_000
PERCENT: Final = (10.0, 50.0, 90.0)


@dataclass(frozen=True, slots=True)
class Spread:
    """Key of a time over draws of the weather, bits. percentiles: 10, 50, 90 %. mean: of the draws, with its standard
    error. exact_mean: None where there is no closed form."""

    percentiles: tuple[float, float, float]
    mean: float
    mean_error: float
    exact_mean: float | None


@dataclass(frozen=True, slots=True)
class KeyOverTime:
    """What one station or one demand gets. week: of all whole weeks of all draws; None where there is no whole week.
    span: of the whole span."""

    week: Spread | None
    span: Spread


class DrawnKeys:
    """The key of each station with each satellite, week by week, in every draw.

    chosen: places in ``keys`` of the passes that are taken.
    """

    def __init__(
        self,
        keys: PassKeys,
        chosen: NDArray[np.intp],
        weather: Weather,
        span: Span,
        *,
        chance: Chance,
        num_draws: int,
    ) -> None:
        if not 1 <= num_draws <= MOST_DRAWS:
            raise BadParameter(f"{num_draws} draws of the weather", remedy=f"give 1 to {MOST_DRAWS:,}")
        self._num_draws = num_draws
        self.num_weeks = int((span.end_utc_s - span.start_utc_s) / WEEK_S + 1e-9)
        names = [station.name for station in keys.stations]
        order = chosen[np.argsort(keys.middle_utc_s[chosen], kind="stable")]
        self._mine = [order[keys.station[order] == number] for number in range(len(names))]
        moments = [keys.middle_utc_s[mine] for mine in self._mine]
        self._clear = weather.draws(names, moments, chance, num_draws)
        self._odds = [weather.odds(name, at) for name, at in zip(names, moments, strict=True)]
        self._weeks = [((at - span.start_utc_s) // WEEK_S).astype(np.int64) for at in moments]
        self._keys = keys

    def of_station(self, station: int) -> KeyOverTime:
        """Return a station's key with all satellites together."""
        return self._of([station])

    def of_all(self) -> KeyOverTime:
        """Return the key of all stations together."""
        return self._of(range(len(self._mine)))

    def _of(self, stations: Sequence[int]) -> KeyOverTime:
        weeks = np.zeros((self._num_draws, self.num_weeks + 1))
        exact = np.zeros(2)
        for station in stations:
            every = np.ones(self._mine[station].size, dtype=np.bool_)
            weeks += self._by_week(station, every)
            exact += self._exact_means(station, every)
        return self._told(weeks, exact=(float(exact[0]), float(exact[1])))

    def _exact_means(self, station: int, which: NDArray[np.bool_]) -> tuple[float, float]:
        """Return the mean of some passes of a station: of a whole week, and of the whole span."""
        expected = (self._keys.secret_bits[self._mine[station]] * self._odds[station])[which]
        in_weeks = float(expected[self._weeks[station][which] < self.num_weeks].sum())
        return in_weeks / max(1, self.num_weeks), float(expected.sum())

    def of_demands(self, demands: Sequence[Demand], shares_bits: Floats) -> list[KeyOverTime]:
        """Return what each demand gets; shares_bits: as planned, shape (satellites, demands), which says how a
        station's key with a satellite is split. A demand of one station has an exact mean."""
        found = np.zeros((len(demands), self._num_draws, self.num_weeks + 1))
        exact = np.zeros((len(demands), 2))
        for satellite in np.flatnonzero(shares_bits.any(axis=1)).tolist():
            planned = shares_bits[satellite]
            used = [number for number in range(len(demands)) if planned[number] > 0]
            asked = np.zeros(len(self._mine))
            for number in used:
                asked[list(demands[number].stations)] += planned[number]
            so_far = {
                station: np.cumsum(self._by_week(station, self._of_satellite(station, satellite)), axis=1)
                for station in np.flatnonzero(asked).tolist()
            }
            for number in used:
                parts = [so_far[one] * (planned[number] / asked[one]) for one in demands[number].stations]
                found[number] += np.diff(np.minimum.reduce(parts), axis=1, prepend=0.0)
                (station, *others) = demands[number].stations
                if not others:
                    means = self._exact_means(station, self._of_satellite(station, satellite))
                    exact[number] += np.array(means) * planned[number] / asked[station]
        return [
            self._told(weeks, exact=(float(means[0]), float(means[1])) if len(demand.stations) == 1 else None)
            for demand, weeks, means in zip(demands, found, exact, strict=True)
        ]

    def _of_satellite(self, station: int, satellite: int) -> NDArray[np.bool_]:
        return np.asarray(self._keys.satellite[self._mine[station]] == satellite)

    def _by_week(self, station: int, which: NDArray[np.bool_]) -> Floats:
        """Return the key of some passes of a station by draw and week; the last column is the rest of the span."""
        places = np.flatnonzero(which)
        week = np.minimum(self._weeks[station][places], self.num_weeks)
        bits = self._keys.secret_bits[self._mine[station][places]]
        sums = csr_array((bits, (week, np.arange(places.size))), shape=(self.num_weeks + 1, places.size))
        return np.asarray((sums @ self._clear[station][:, places].T.astype(np.float64)).T)

    def _told(self, weeks: Floats, *, exact: tuple[float, float] | None) -> KeyOverTime:
        week = None
        if self.num_weeks:
            whole = weeks[:, : self.num_weeks]
            week = _spread(whole.ravel(), whole.mean(axis=1), None if exact is None else exact[0])
        total = weeks.sum(axis=1)
        return KeyOverTime(week, _spread(total, total, None if exact is None else exact[1]))


def _spread(values: Floats, by_draw: Floats, exact_mean: float | None) -> Spread:
    """Return the spread of values; by_draw: a mean of each draw, which are independent of each other."""
    low, middle, high = (float(value) for value in np.percentile(values, PERCENT))
    error = float(by_draw.std(ddof=1) / np.sqrt(by_draw.size)) if by_draw.size > 1 else float("inf")
    return Spread((low, middle, high), float(values.mean()), error, exact_mean)
