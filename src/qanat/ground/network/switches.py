"""All-pass optical switches as they are described: what hangs on their ports, and the fibres between them."""

from __future__ import annotations

from pydantic import Field, field_validator

from qanat.ground.network.names import Heading, Name
from qanat.ground.network.part import Part, fault_of_field

MOST_PORTS = 16
"""Ports of one switch. The paper's "can maximally connect 16 users"; more users need several, joined by trunks."""


class Port(Part):
    """The fibre from a site's module to a port of a switch. A transceiver takes one port for both of its halves."""

    site: str
    loss_db: float = Field(ge=0, le=100)
    length_km: float = Field(gt=0, le=1000)


class Switch(Part):
    """An all-pass switch: it joins any two of its ports, each with one other at a time, and can read no key.

    ``ports`` are counted from the first on; trunks to other switches take ports too. ``system``: what all modules on
    its ports are of.
    """

    name: Name
    title: str = ""
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=180)
    system: str
    num_ports: int = Field(default=MOST_PORTS, ge=2, le=MOST_PORTS)
    insertion_loss_db: float = Field(default=1.0, ge=0, le=20)
    reconfiguration_s: float = Field(default=0.02, ge=0, le=3600)
    """How long no light passes while it turns from one pair to another."""
    ports: tuple[Port, ...] = Field(min_length=1, strict=False)
    counted_as: Heading = ""
    """Heading of the links through it: that of the first switch on a link's way."""
    assumed: bool = False


class Trunk(Part):
    """A fibre between two switches. It takes a port of each and carries one pair's light at a time."""

    name: Name
    switches: tuple[str, str] = Field(strict=False)
    loss_db: float = Field(ge=0, le=100)
    length_km: float = Field(gt=0, le=1000)
    assumed: bool = False

    @field_validator("switches")
    @classmethod
    def _two_switches(cls, switches: tuple[str, str]) -> tuple[str, str]:
        if switches[0] == switches[1]:
            raise fault_of_field("both ends are the same switch", remedy="name two switches")
        return switches

    def far_end(self, switch: str) -> str:
        """Return the other switch."""
        return self.switches[1] if switch == self.switches[0] else self.switches[0]
