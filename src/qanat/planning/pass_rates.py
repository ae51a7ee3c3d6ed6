"""What the links of satellites give in the mean of a week, so that a plan can count them beside fibres.

By the forecasts that a running network's controller hears: passes that are dark, by the model, in the mean over the
weather that the file declares; two stations share the lesser of what the satellite has stored for both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from qanat.control.passes import forecasts_of_passes
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.satellites import WEEK_S
from qanat.ground.orders import PassForecast
from qanat.orbits.earth import DAY_S
from qanat.orbits.timetable import PlannedPass, first_moment, orbits_of, timetable
from qanat.quantum_layer.pass_weather import odds_of_clear


def pass_rates(network: Network, elements: Mapping[NodeId, str]) -> dict[LinkId, float]:
    """Return the mean rate (bit/s) of each link of a satellite, over the week from the epoch of its elements.

    elements: texts of the files that satellites name. Nothing for a network without satellites. Raises
    ConfigurationError, RequestError for elements or stations that are not usable.
    """
    if not network.downlinks:
        return {}
    orbits = orbits_of(network.satellites, elements)
    start_utc_s = first_moment(orbits)
    found = timetable(network, orbits, start_utc_s=start_utc_s, days=WEEK_S / DAY_S)
    return mean_rates(network, found, start_utc_s=start_utc_s)


def mean_rates(network: Network, found: Sequence[PlannedPass], *, start_utc_s: float) -> dict[LinkId, float]:
    """Return the mean rate (bit/s) of each link of a satellite over the week of these passes."""
    odds = odds_of_clear(network, [(one.station, one.told.rise_utc_s) for one in found])
    passes = [
        PassForecast(
            one.station,
            one.satellite,
            one.told.rise_utc_s,
            one.told.set_utc_s,
            math.floor(one.expected_bits * p_clear),
            p_clear,
        )
        for one, p_clear in zip(found, odds, strict=True)
    ]
    bits = Counter[LinkId]({link.link_id: 0 for link in network.links if not link.makes_key_on_order})
    for one in forecasts_of_passes(network, passes, from_utc_s=start_utc_s, until_utc_s=start_utc_s + WEEK_S):
        bits[one.link_id] += one.expected_bits
    return {link_id: total / WEEK_S for link_id, total in bits.items()}
