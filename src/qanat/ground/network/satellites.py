"""Satellites as they are described: downlinks to ground stations, and the links between stations that follow from them.

A satellite makes key with one station at a time, in passes. It stores both stations' keys and later announces their sum
bit by bit, from which each station works out the other's. So two stations of one satellite are neighbours: the link
between them has no light of its own, and its stock grows when the satellite has announced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, field_validator

from qanat.ground.identifiers import LinkId
from qanat.ground.network.links import Link
from qanat.ground.network.names import Heading, Name
from qanat.ground.network.part import Part, fault_of_field

NO_LIGHT_DB: Final = 100.0
"""The loss that a link without light of its own is given: nothing comes through."""
WEEKLY_BITS: Final = 36e6
"""Secret key of one satellite in a week (Nature 589, 214, 2021, main text): an input, which routes are compared by."""
WEEK_S: Final = 7 * 86_400.0


def _odds(value: object) -> object:
    """Return the odds of a clear sky as a tuple of one share, or of twelve; raises the fault of a field."""
    listed = value if isinstance(value, (list, tuple)) else [value]
    odds = [float(one) for one in listed if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(odds) != len(listed) or len(odds) not in (0, 1, 12) or not all(0 <= one <= 1 for one in odds):
        raise fault_of_field(
            f"{value!r} are no odds of a clear sky",
            remedy="give one share from 0 to 1, or a list of twelve from January on",
        )
    return tuple(odds)


Odds = Annotated[tuple[float, ...], BeforeValidator(_odds)]
"""Of a clear sky: empty where none are declared, else one share or twelve."""


class Downlink(Part):
    """A QKD link from a satellite to a ground station: it makes key in passes alone."""

    satellite: Name
    station: Name
    system: str = "micius"
    """The record that a downlink's figures are shown by; each pass takes the source mode and the station's optics."""
    mode: str = "this-work"
    """Of the satellite's source: intensities, odds, pulse rate."""
    telescope: str = ""
    """Whose optics the station has (nanshan, xinglong); empty: those of the station's own name."""
    telescope_m: float | None = Field(default=None, gt=0, le=20)
    """Diameter, in place of the telescope's own."""
    z_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the light that the station's splitter sends to the rectilinear basis, in place of the telescope's."""
    altitude_m: float = Field(default=0.0, ge=-500, le=9000)
    air_db: float | None = Field(default=None, ge=0, le=50)
    """Loss of the air towards the zenith, in place of the one that is fitted to the paper's passes."""
    least_elevation_deg: float = 10.0
    """Above it the two make key."""
    least_loss_db: float = Field(default=20.0, gt=0, le=100)
    """At the least range, and ``least_range_km`` itself: what tables with one loss and one length a link show; passes
    have their own. Defaults: Nature 589, 214 (2021), Table 1."""
    least_range_km: float = Field(default=500.0, gt=0, le=50_000)
    counted_as: Heading = ""

    @field_validator("least_elevation_deg")
    @classmethod
    def _mask_on_the_sky(cls, value: float) -> float:
        if not 0 <= value < 90:
            raise fault_of_field(
                f"no satellite stands {value:g} degrees high or higher", remedy="give a mask from 0 to below 90 degrees"
            )
        return value

    @property
    def name(self) -> str:
        return downlink_name(self.satellite, self.station)

    @property
    def link_id(self) -> LinkId:
        return LinkId(self.name)

    @property
    def optics_of(self) -> str:
        """Whose telescope stands at the station."""
        return self.telescope or self.station


def downlink_name(satellite: str, station: str) -> str:
    """Return what the downlink of a satellite to a station is called."""
    return f"{satellite}-{station}"


def links_of_satellites(downlinks: Sequence[Downlink], ways_km: Mapping[frozenset[str], float]) -> Iterator[Link]:
    """Yield a link for each downlink, then one for each two stations of a satellite.

    ways_km: from station to station along the ground, of those that are known.
    """
    for one in downlinks:
        yield Link.model_construct(
            name=one.name,
            transmitter=one.satellite,
            receiver=one.station,
            system=one.system,
            loss_db=one.least_loss_db,
            length_km=one.least_range_km,
            counted_as=one.counted_as,
            kind="downlink",
            satellite=one.satellite,
        )
    for first, second in combinations(downlinks, 2):
        if first.satellite == second.satellite and first.station != second.station:
            yield _announced(first, second, ways_km)


def _announced(first: Downlink, second: Downlink, ways_km: Mapping[frozenset[str], float]) -> Link:
    one, other = sorted((first.station, second.station))
    return Link.model_construct(
        name=f"{one}-{other}-by-{first.satellite}",
        transmitter=one,
        receiver=other,
        system=first.system,
        loss_db=NO_LIGHT_DB,
        length_km=ways_km.get(frozenset((one, other)), 1.0),
        kind="announced",
        satellite=first.satellite,
    )
