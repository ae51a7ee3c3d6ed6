"""The passes of satellites for a simulated day: their timetable, and the weather drawn over it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from qanat.apps.sky import elements_of
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.orders import PassForecast
from qanat.ground.randomness import SeededChance
from qanat.orbits.timetable import first_moment, orbits_of
from qanat.quantum_layer.pass_plan import draw_skies, plan_passes
from qanat.simulation.day.plan import DAY_S

DAYS: Final = 7.0
"""Of the timetable, which begins with the satellites' elements, and begins anew at its end, as in a running network."""


def passes_of_run(network: Network, *, num_days: int, seed: int) -> tuple[PassForecast, ...]:
    """Return the dark passes of a run with the bits that come of each, in seconds of the run; none of clouded ones.

    The run begins at the first midnight (UTC) after the epoch of the elements; passes between these two have moments
    below zero. Nothing for a network without satellites. Raises ConfigurationError, BadParameter for elements or
    stations that are not usable.
    """
    if not network.downlinks:
        return ()
    texts = elements_of(network)
    orbits = orbits_of(network.satellites, texts)
    midnight_utc_s = math.ceil(first_moment(orbits) / DAY_S) * DAY_S
    return tuple(_passes(network, texts, midnight_utc_s, num_days=num_days, seed=seed))


def _passes(
    network: Network, texts: Mapping[NodeId, str], midnight_utc_s: float, *, num_days: int, seed: int
) -> Iterator[PassForecast]:
    plans = [plan for plan in plan_passes(network, texts, DAYS, 1.0) if plan.expected_bits]
    chance = SeededChance(seed).child("day")
    for times_over in range(math.ceil(num_days / DAYS) + 1):
        is_clear = draw_skies(network, plans, chance.child("weather", times_over))
        later_s = times_over * DAYS * DAY_S - midnight_utc_s
        for plan, clear in zip(plans, is_clear, strict=True):
            rise_s, set_s = plan.rise_utc_s + later_s, plan.set_utc_s + later_s
            if clear and set_s <= num_days * DAY_S:
                yield replace(plan.forecast, rise_utc_s=rise_s, set_utc_s=set_s, expected_bits=plan.expected_bits)
