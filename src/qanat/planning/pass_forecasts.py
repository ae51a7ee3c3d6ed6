"""What passes are expected to give, as the ground's ``PassForecast``: for the controller and whoever plans with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np

from qanat.ground.errors import BadParameter
from qanat.ground.identifiers import NodeId
from qanat.ground.orders import PassForecast
from qanat.planning.pass_keys import Floats, PassKeys, Whole

CERTAIN: Final = 1.0


def pass_forecasts(
    keys: PassKeys,
    *,
    p_clear: Floats | float = CERTAIN,
    station_nodes: Mapping[str, NodeId] | None = None,
    satellite_nodes: Mapping[str, NodeId] | None = None,
    chosen: Whole | Iterable[int] | None = None,
) -> tuple[PassForecast, ...]:
    """Return the forecasts in the order of their begin: the secret bits of each part of a pass times its odds of a
    clear sky, rounded down; those of 0 bits are left out.

    p_clear: shape (n,), or one for all. station_nodes, satellite_nodes: name -> node where the names differ. chosen:
    places in ``keys`` of the passes that are taken, such as a schedule's; all where None. ``rise_utc_s`` and
    ``set_utc_s`` are begin and end of the part that gives key (by night, above the mask). Raises BadParameter for odds
    that are none.
    """
    odds = np.broadcast_to(np.asarray(p_clear, dtype=np.float64), (len(keys),))
    if not np.all((odds >= 0) & (odds <= 1)):
        raise BadParameter("odds of a clear sky are from 0 to 1", remedy="give shares, not per cent")
    stations = {name.name: NodeId(name.name) for name in keys.stations} | dict(station_nodes or {})
    satellites = {name: NodeId(name) for name in keys.satellites} | dict(satellite_nodes or {})
    places = range(len(keys)) if chosen is None else sorted(int(place) for place in chosen)
    found = (
        PassForecast(
            station=stations[keys.stations[keys.station[place]].name],
            satellite=satellites[keys.satellites[keys.satellite[place]]],
            rise_utc_s=float(keys.start_utc_s[place]),
            set_utc_s=float(keys.end_utc_s[place]),
            expected_bits=math.floor(keys.secret_bits[place] * odds[place]),
            p_clear=float(odds[place]),
        )
        for place in places
    )
    return tuple(one for one in found if one.expected_bits > 0)
