"""How near a fleet's schedule comes to what no schedule exceeds, beside the plain greedy one under the same bound, and
how long key and schedule take.

Times are of the processor: machines are shared.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

import numpy as np

from qanat.benchmarks.passes import FLEET_DAYS, NUM_SATELLITES, NUM_STATIONS, START, fleet, globe
from qanat.benchmarks.rows import Row
from qanat.orbits.earth import DAY_S, utc_s_of
from qanat.orbits.passes import Span
from qanat.planning.contacts import contacts_of
from qanat.planning.pair_keys import Demand
from qanat.planning.pass_keys import pass_keys
from qanat.planning.satellite_links import LinkOptions, station_link
from qanat.planning.satellite_schedule import schedule

GOAL_PERCENT: Final = 1.0
GOAL_S: Final = 120.0
SLEW_S: Final = 60.0
P_CLEAR: Final = 0.5
MASK_DEG: Final = 10.0
NIGHT_DEG: Final = 12.0
PROOF: Final = "hoeffding"


def run(names: Sequence[str]) -> Iterator[Row]:
    """Run the benchmark and yield its row."""
    if "plan-fleet" not in names:
        return
    orbits, stations = fleet(NUM_SATELLITES), globe(NUM_STATIONS)
    start_utc_s = utc_s_of(START)
    began_s = time.process_time()
    keys = pass_keys(
        orbits,
        stations,
        [station_link(station, LinkOptions()) for station in stations],
        Span(start_utc_s, start_utc_s + FLEET_DAYS * DAY_S),
        min_elevation_deg=MASK_DEG,
        depression_deg=NIGHT_DEG,
        proof=PROOF,
        slew_s=SLEW_S,
    )
    keys_s = time.process_time() - began_s
    contacts = contacts_of(keys, np.full(len(keys), P_CLEAR))
    demands = [Demand(pair, 1e6 * FLEET_DAYS / 7) for pair in combinations(range(NUM_STATIONS), 2)]
    began_s = time.process_time()
    found = schedule(contacts, demands, num_satellites=NUM_SATELLITES, slew_s=SLEW_S)
    schedule_s = time.process_time() - began_s
    yield Row(
        name="plan-fleet",
        rate=100 * found.gap,
        unit="% below the bound",
        goal=GOAL_PERCENT,
        reference_name="plain greedy, the same bound",
        reference_rate=100 * (1 - found.values["greedy"] / found.bound),
        note=f"{NUM_SATELLITES} satellites, {NUM_STATIONS} stations, {FLEET_DAYS:g} days, {len(demands):,} pairs: "
        f"{len(keys):,} passes by night in {keys_s:.0f} s, {found.chosen.size:,} of {len(contacts):,} that give key "
        f"taken, two schedules and the bound in {schedule_s:.0f} s (together {GOAL_S:g} s at most)",
        is_limit=True,
    )
