"""The QKD systems there are. A new one is a record (``physics.system_record``) and a line in ``SYSTEMS``; the tests of
records, of the analytic model and of the photon level run over this table. Systems of satellites have a table of their
own: no fibre's controllers calibrate them, and their loss changes every second (``qanat pass``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.backbone_625 import BACKBONE_625, BACKBONE_625_UPCONVERSION
from qanat.physics.metro_40 import METRO_40_I, METRO_40_II
from qanat.physics.micius import MICIUS
from qanat.physics.system_record import QKDSystem

__all__ = [  # noqa: RUF022 - in the order of code points, as everywhere here
    "BACKBONE_625",
    "BACKBONE_625_UPCONVERSION",
    "METRO_40_I",
    "METRO_40_II",
    "MICIUS",
    "QKDSystem",
    "SATELLITE_SYSTEMS",
    "SYSTEMS",
    "system_named",
]

SYSTEMS: Final[Mapping[str, QKDSystem]] = {
    system.name: system for system in (BACKBONE_625, BACKBONE_625_UPCONVERSION, METRO_40_I, METRO_40_II)
}

SATELLITE_SYSTEMS: Final[Mapping[str, QKDSystem]] = {MICIUS.name: MICIUS}
"""Found by name like the others; the loss of their link is that of spreading, pointing and air."""


def system_named(name: str) -> QKDSystem:
    """Return the system of that name; raises ConfigurationError, which lists the names there are."""
    known_systems = {**SYSTEMS, **SATELLITE_SYSTEMS}
    try:
        return known_systems[name]
    except KeyError:
        known = ", ".join(sorted(known_systems))
        raise ConfigurationError(f"there is no QKD system {name!r}", remedy=f"known systems: {known}") from None
