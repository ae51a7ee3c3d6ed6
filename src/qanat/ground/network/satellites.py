"""Satellites as they are described: downlinks to ground stations, and the links between stations that follow from them.

A satellite makes key with one station at a time, in passes. It stores both stations' keys and later announces their sum
bit by bit, from which each station works out the other's. So two stations of one satellite are neighbours: the link
between them has no light of its own, and its stock grows when the satellite has announced.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, field_validator

from qanat.ground.identifiers import LinkId
from qanat.ground.network.links import Link
from qanat.ground.network.names import Heading, Name
from qanat.ground.network.part import Part, fault_of_field

NO_LIGHT_DB: Final = 100.0
NO_FIBRE_KM: Final = 1.0
"""What stands in a satellite's links for the loss and the length of a fibre, which they have not: shown nowhere."""
WEEKLY_BITS: Final = 36e6
"""Secret key of one satellite in a week (Nature 589, 214, 2021, main text): an input, which routes are compared by."""
WEEK_S: Final = 7 * 86_400.0
COMPARED_AS_BITS_PER_S: Final = WEEKLY_BITS / WEEK_S
"""What routes take each link of a satellite for, whatever its own passes give in the mean."""


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
    """A record of a satellite's; each pass takes its source in ``mode``, and the station's optics."""
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


def links_of_satellites(downlinks: Sequence[Downlink]) -> Iterator[Link]:
    """Yield a link for each downlink, then one for each two stations of a satellite."""
    for one in downlinks:
        yield Link.model_construct(
            name=one.name,
            transmitter=one.satellite,
            receiver=one.station,
            system=one.system,
            loss_db=NO_LIGHT_DB,
            length_km=NO_FIBRE_KM,
            counted_as=one.counted_as,
            kind="downlink",
            satellite=one.satellite,
        )
    for first, second in combinations(downlinks, 2):
        if first.satellite == second.satellite and first.station != second.station:
            yield _announced(first, second)


def _announced(first: Downlink, second: Downlink) -> Link:
    one, other = sorted((first.station, second.station))
    return Link.model_construct(
        name=f"{one}-{other}-by-{first.satellite}",
        transmitter=one,
        receiver=other,
        system=first.system,
        loss_db=NO_LIGHT_DB,
        length_km=NO_FIBRE_KM,
        kind="announced",
        satellite=first.satellite,
    )
