"""Ground stations: two that come with the package, others from records or typed as LAT,LON,ALT."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.data import read_text
from qanat.ground.errors import ConfigurationError
from qanat.orbits.earth import geodetic_to_fixed, local_axes

LOWEST_M: Final = -500.0
HIGHEST_M: Final = 9_000.0
REMEDY: Final = "latitude -90 to 90 (north above zero), longitude -180 to 360 (east above zero), altitude in metres"


@dataclass(frozen=True)
class Station:
    """A place on the ground. Latitude and longitude are geodetic, the altitude is above the WGS-84 ellipsoid.

    ``telescope_m`` (diameter) and ``z_share`` (part of the light measured in the Z basis) are None where not told.
    """

    name: str
    latitude_deg: float
    longitude_deg: float
    altitude_m: float = 0.0
    telescope_m: float | None = None
    z_share: float | None = None
    source: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        _check(self.name, "latitude", self.latitude_deg, -90.0, 90.0, "degrees")
        _check(self.name, "longitude", self.longitude_deg, -180.0, 360.0, "degrees")
        _check(self.name, "altitude", self.altitude_m, LOWEST_M, HIGHEST_M, "m")
        if self.telescope_m is not None and not (math.isfinite(self.telescope_m) and self.telescope_m > 0):
            raise ConfigurationError(
                f"station {self.name}: a telescope of {self.telescope_m:g} m sees nothing",
                remedy="give telescope_m, its diameter in metres, above 0",
            )
        if self.z_share is not None and not 0 < self.z_share < 1:
            raise ConfigurationError(
                f"station {self.name}: a z_share of {self.z_share:g} leaves a basis without light",
                remedy="give z_share, the part of the light measured in the Z basis, above 0 and below 1",
            )

    @cached_property
    def fixed_km(self) -> NDArray[np.float64]:
        """Return the place in the Earth-fixed frame, shape (3,)."""
        return geodetic_to_fixed(self.latitude_deg, self.longitude_deg, self.altitude_m)

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """Return the unit vectors to the east, north and up, rows of a (3, 3) array."""
        return local_axes(self.latitude_deg, self.longitude_deg)


def packaged_stations() -> dict[str, Station]:
    """Return the stations that come with the package, by name."""
    return {one.name: one for one in stations_of(json.loads(read_text("orbits", "stations.json")), source="packaged")}


def station_typed(text: str) -> Station:
    """Return the station of ``LAT,LON`` or ``LAT,LON,ALT``, such as ``43.47546,87.17669,2080``."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3):
        raise ConfigurationError(f"{text!r} is no station", remedy=f"write LAT,LON,ALT: {REMEDY}")
    latitude_deg, longitude_deg, altitude_m = (*numbers, 0.0)[:3]
    return Station(text, latitude_deg, longitude_deg, altitude_m, source="typed")


def stations_of(records: object, *, source: str) -> list[Station]:
    """Return the stations of a read JSON or YAML text: a list of records, or an object with a list under ``stations``.

    Each record has ``name``, ``latitude_deg``, ``longitude_deg`` and may have ``altitude_m``, ``telescope_m``,
    ``z_share``, ``source``. Raises ConfigurationError, which names the record.
    """
    if isinstance(records, Mapping):
        records = records.get("stations", [records])
    if not isinstance(records, Sequence) or isinstance(records, str) or not records:
        raise ConfigurationError(f"{source}: no list of stations", remedy="see docs/reference-passes.md for an example")
    return [_station(record, f"{source}, station {number}") for number, record in enumerate(records, start=1)]


def _station(record: object, where: str) -> Station:
    if not isinstance(record, Mapping):
        raise ConfigurationError(f"{where}: no record", remedy="give name, latitude_deg, longitude_deg, altitude_m")
    known = {"name", "latitude_deg", "longitude_deg", "altitude_m", "telescope_m", "z_share", "source"}
    if missing := {"name", "latitude_deg", "longitude_deg"} - set(record):
        raise ConfigurationError(f"{where}: no {', '.join(sorted(missing))}", remedy="these three are needed")
    if unknown := set(map(str, record)) - known:
        raise ConfigurationError(
            f"{where}: {', '.join(sorted(unknown))} is not known", remedy=f"known: {', '.join(sorted(known))}"
        )
    words = {key: str(record[key]) for key in ("name", "source") if key in record}
    numbers = {key: _number(record[key], f"{where}: {key}") for key in record if key not in words}
    return Station(**words, **numbers)  # type: ignore[arg-type]


def _number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigurationError(f"{where}: {value!r} is no number", remedy=REMEDY)
    return float(value)


def _check(name: str, what: str, value: float, least: float, most: float, unit: str) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise ConfigurationError(
            f"station {name}: its {what} of {value:g} {unit} is not on the globe ({least:g} to {most:g})", remedy=REMEDY
        )
