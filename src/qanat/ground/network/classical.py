"""The classical network beside the quantum one: routers and the lines between them.

What an application sends goes over it, and its route need not be the route of the keys (step 3 of the paper's Fig. 2).
"""

from __future__ import annotations

from pydantic import Field, field_validator

from qanat.ground.network.names import Name
from qanat.ground.network.part import Part, fault_of_field


class Router(Part):
    """A router of the classical network; sites name the one that their traffic passes first."""

    name: Name
    title: str = ""
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=180)
    assumed: bool = False


class ClassicalLink(Part):
    """A line between two routers."""

    name: Name
    routers: tuple[str, str] = Field(strict=False)
    length_km: float = Field(gt=0, le=40_000)
    assumed: bool = False

    @field_validator("routers")
    @classmethod
    def _two_routers(cls, routers: tuple[str, str]) -> tuple[str, str]:
        if routers[0] == routers[1]:
            raise fault_of_field("both ends are the same router", remedy="name two routers")
        return routers
