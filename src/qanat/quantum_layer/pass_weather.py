"""The sky over a network's stations: the odds that a pass is clear, and whether it is, drawn.

Where a network file declares no odds, the sky is clear always. What is declared is a chain of two states
(``orbits.weather``): clear gives all of a pass, anything else nothing. Stations have a sky each, which all satellites
over them share; skies of two stations are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.ports import Chance
from qanat.orbits.weather import Sky, Weather

ALWAYS_CLEAR = Sky((1.0,), 1.0, origin="taken for granted")


def weather_of_stations(network: Network) -> Weather:
    """Return the weather that a network's file declares of its stations; clear always over all others."""
    declared = {
        site.name: Sky(site.p_clear, site.mean_clear_h, origin="the network file")
        for site in network.sites
        if site.p_clear
    }
    return Weather(usual=ALWAYS_CLEAR, skies=declared)


def odds_of_clear(network: Network, passes: Sequence[tuple[NodeId, float]]) -> list[float]:
    """Return the exact odds of a clear sky, of passes that are each a station and a moment, in order of the moments."""
    weather, odds = weather_of_stations(network), [1.0] * len(passes)
    for station, places in _by_station(passes).items():
        moments = np.array([passes[place][1] for place in places])
        for place, p_clear in zip(places, weather.odds(station, moments).tolist(), strict=True):
            odds[place] = p_clear
    return odds


def draw_clear(network: Network, passes: Sequence[tuple[NodeId, float]], chance: Chance) -> list[bool]:
    """Draw whether it is clear, of the same."""
    by_station = _by_station(passes)
    moments = [np.array([passes[place][1] for place in places]) for places in by_station.values()]
    drawn = weather_of_stations(network).draws(list(by_station), moments, chance, 1)
    is_clear = [True] * len(passes)
    for places, (found,) in zip(by_station.values(), drawn, strict=True):
        for place, clear in zip(places, found.tolist(), strict=True):
            is_clear[place] = clear
    return is_clear


def _by_station(passes: Sequence[tuple[NodeId, float]]) -> Mapping[NodeId, list[int]]:
    found: dict[NodeId, list[int]] = {}
    for place, (station, _) in enumerate(passes):
        found.setdefault(station, []).append(place)
    return found
