"""How soon passes are found, beside what SGP4 alone takes on the same grid in the same run.

Times are of the processor: machines are shared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from sgp4.api import WGS72, Satrec

from qanat.benchmarks.rows import Row
from qanat.orbits.earth import utc_s_of
from qanat.orbits.elements import ElementSet, packaged_elements
from qanat.orbits.passes import STEP_S, Span, find_passes
from qanat.orbits.propagation import Sgp4Orbit
from qanat.orbits.stations import Station, packaged_stations

START: Final = "2016-12-19T00:00"
YEAR_GOAL_S: Final = 0.2
YEAR_MASK_DEG: Final = 5.0
FLEET_GOAL: Final = 2.0
FLEET_MASK_DEG: Final = 20.0
FLEET_STEP_S: Final = 60.0
NUM_SATELLITES, NUM_STATIONS, FLEET_DAYS = 100, 50, 30.0
REPEATS: Final = 3


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmarks named and yield their rows."""
    if "passes-year" in names:
        yield _year_row()
    if "passes-fleet" in names:
        yield _fleet_row()


def _year_row() -> Row:
    orbit, stations = Sgp4Orbit(packaged_elements("micius")), list(packaged_stations().values())
    span = _span(365.0)
    num_passes = len(find_passes([orbit], stations, span, min_elevation_deg=YEAR_MASK_DEG))  # compiles, the first time
    ours_s = _best_s(lambda: find_passes([orbit], stations, span, min_elevation_deg=YEAR_MASK_DEG))
    return Row(
        name="passes-year",
        rate=ours_s,
        unit="s",
        goal=YEAR_GOAL_S,
        reference_name=f"SGP4 alone, every {STEP_S:g} s",
        reference_rate=_sgp4_s([orbit], span, STEP_S),
        note=f"1 satellite, 2 stations, 1 year, above {YEAR_MASK_DEG:g} degrees: {num_passes:,} passes",
        is_limit=True,
    )


def _fleet_row() -> Row:
    orbits, stations, span = fleet(NUM_SATELLITES), globe(NUM_STATIONS), _span(FLEET_DAYS)

    def ours(step_s: float, mask_deg: float) -> int:
        return len(find_passes(orbits, stations, span, min_elevation_deg=mask_deg, step_s=step_s))

    num_passes = ours(FLEET_STEP_S, FLEET_MASK_DEG)
    ours_s = _best_s(lambda: ours(FLEET_STEP_S, FLEET_MASK_DEG))
    sgp4_s = _sgp4_s(orbits, span, FLEET_STEP_S)
    low_s = _best_s(lambda: ours(FLEET_STEP_S, YEAR_MASK_DEG))
    usual_s, usual_sgp4_s = _best_s(lambda: ours(STEP_S, FLEET_MASK_DEG)), _sgp4_s(orbits, span, STEP_S)
    return Row(
        name="passes-fleet",
        rate=ours_s / sgp4_s,
        unit="of SGP4's time",
        goal=FLEET_GOAL,
        reference_name=f"SGP4 alone, every {FLEET_STEP_S:g} s ({sgp4_s:.2f} s)",
        reference_rate=1.0,
        note=f"{NUM_SATELLITES} satellites, {NUM_STATIONS} stations, {FLEET_DAYS:g} days, above {FLEET_MASK_DEG:g} "
        f"degrees: {num_passes:,} passes in {ours_s:.2f} s; above {YEAR_MASK_DEG:g}: {low_s / sgp4_s:.2f} of SGP4's; "
        f"on the grid of {STEP_S:g} s that is usual: {usual_s:.2f} s, {usual_s / usual_sgp4_s:.2f} of SGP4's",
        is_limit=True,
    )


def fleet(count: int, *, seed: int = 1) -> list[Sgp4Orbit]:
    """Return satellites in low orbits of drawn planes, 14.5 to 15.3 revolutions a day, 50 to 98 degrees inclined."""
    dice = np.random.default_rng(seed)
    epoch_days = utc_s_of(START) / 86_400 + 2_440_587.5 - 2_433_281.5  # since 1949-12-31, as SGP4 counts
    orbits = []
    for number in range(count):
        node, perigee, anomaly = dice.uniform(0, 2 * np.pi, 3)
        inclination, motion = np.radians(dice.uniform(50, 98)), 2 * np.pi * dice.uniform(14.5, 15.3) / 1440
        satrec = Satrec()
        satrec.sgp4init(
            *(WGS72, "i", 90_000 + number, epoch_days, 2e-5, 0.0, 0.0),
            *(0.001, perigee, inclination, anomaly, motion, node),
        )
        orbits.append(Sgp4Orbit(ElementSet(f"drawn-{number}", str(90_000 + number), utc_s_of(START), satrec)))
    return orbits


def globe(count: int, *, seed: int = 2) -> list[Station]:
    """Return stations spread evenly over the globe between 64 degrees south and north."""
    dice = np.random.default_rng(seed)
    latitudes = np.degrees(np.arcsin(dice.uniform(-0.9, 0.9, count)))
    longitudes = dice.uniform(-180, 180, count)
    return [Station(f"drawn-{i}", float(latitudes[i]), float(longitudes[i]), 100.0) for i in range(count)]


def _span(days: float) -> Span:
    return Span(utc_s_of(START), utc_s_of(START) + days * 86_400)


def _sgp4_s(orbits: Sequence[Sgp4Orbit], span: Span, step_s: float) -> float:
    utc_s, _ = span.grid(step_s)

    def alone() -> None:
        for orbit in orbits:
            orbit.inertial(utc_s)

    return _best_s(alone)


def _best_s(work: Callable[[], object]) -> float:
    """Return the least processor time of a few runs."""
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)
