"""What tests of planning with satellites share: links of stations, and passes made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from qanat.orbits.nature2021 import downlink
from qanat.orbits.stations import Station, packaged_stations
from qanat.physics.micius import micius_system
from qanat.physics.source_modes import THIS_WORK
from qanat.physics.telescope import NANSHAN, XINGLONG, GroundTelescope
from qanat.planning.pass_keys import PassKeys, StationLink

STATIONS = list(packaged_stations().values())


def link_of(ground: GroundTelescope) -> StationLink:
    return StationLink(replace(downlink(ground), camera=None), micius_system(THIS_WORK, ground))


LINKS = [link_of(NANSHAN), link_of(XINGLONG)]


def keys_of(
    rows: Sequence[tuple[int, int, float, float, float]], *, num_satellites: int, num_stations: int
) -> PassKeys:
    """Return passes made by hand: satellite, station, begin, end, secret bits."""
    rows = sorted(rows, key=lambda row: row[2])
    satellite, station, begin, end, bits = (np.array(column) for column in zip(*rows, strict=True))
    count = len(rows)
    return PassKeys(
        satellites=tuple(f"sat-{number}" for number in range(num_satellites)),
        stations=tuple(Station(f"st-{number}", 40.0, 10.0 * number) for number in range(num_stations)),
        satellite=satellite.astype(np.int32),
        station=station.astype(np.int32),
        start_utc_s=begin.astype(np.float64),
        end_utc_s=end.astype(np.float64),
        max_elevation_deg=np.full(count, 50.0),
        min_range_km=np.full(count, 600.0),
        sunlit=np.zeros(count, dtype=np.bool_),
        counts=np.zeros((count, 2, 3, 2)),
        secret_bits=bits.astype(np.float64),
    )
