"""Optics as a chain of components: what each takes away, forwards and backwards, and where its figures are from.

A chain is a tuple in the order in which light passes it; totals are sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from qanat.ground.constants import SPEED_OF_LIGHT_M_PER_S
from qanat.ground.errors import ConfigurationError

DIGITS_DB: Final = 9
"""Sums of decibels are rounded here, so that 0.6 + 0.2 + 0.7 is 1.5."""


@dataclass(frozen=True, slots=True)
class Component:
    """One optical component.

    insertion_loss_db: for light on its way forwards, without what a splitter sends elsewhere on purpose. isolation_db:
    loss of light that comes backwards; None where it is that of light forwards. port_isolation_db: loss of light on a
    way that it should not take, None where there is none: from input to input of a coupler (its directivity), into the
    wrong arm of a polarizing beam splitter (its extinction), from a neighbouring channel of a multiplexer.
    bandwidth_hz: of what it lets through; None where it has no say. provenance: where the figures are from.
    """

    name: str
    insertion_loss_db: float
    provenance: str
    isolation_db: float | None = None
    bandwidth_hz: float | None = None
    port_isolation_db: float | None = None

    def __post_init__(self) -> None:
        losses = [self.insertion_loss_db, self.backward_loss_db, self.port_isolation_db or 0.0]
        if not all(math.isfinite(loss) and loss >= 0 for loss in losses):
            raise ConfigurationError(
                f"{self.name}: losses are {losses} dB",
                remedy="give insertion loss and isolation in dB, zero or more",
            )
        if self.bandwidth_hz is not None and not self.bandwidth_hz > 0:
            raise ConfigurationError(
                f"{self.name}: a bandwidth of {self.bandwidth_hz} Hz passes no light",
                remedy="give the bandwidth in Hz, or leave it out",
            )

    @property
    def backward_loss_db(self) -> float:
        return self.insertion_loss_db if self.isolation_db is None else self.isolation_db


def chain_loss_db(chain: Sequence[Component]) -> float:
    """Return the loss of light that passes the chain forwards (dB)."""
    return round(math.fsum(component.insertion_loss_db for component in chain), DIGITS_DB)


def chain_isolation_db(chain: Sequence[Component]) -> float:
    """Return the loss of light that passes the chain backwards (dB)."""
    return round(math.fsum(component.backward_loss_db for component in chain), DIGITS_DB)


def round_trip_db(chain: Sequence[Component]) -> float:
    """Return the loss of light that comes in at the chain's end, turns round at its start and leaves again (dB)."""
    return round(chain_isolation_db(chain) + chain_loss_db(chain), DIGITS_DB)


def chain_bandwidth_hz(chain: Sequence[Component]) -> float | None:
    """Return the bandwidth of the narrowest component of a chain (Hz); None where no component has one."""
    return min((one.bandwidth_hz for one in chain if one.bandwidth_hz is not None), default=None)


def bandwidth_nm(*, bandwidth_hz: float, wavelength_nm: float) -> float:
    """Return a narrow bandwidth in wavelength: lambda^2 / c times the bandwidth in frequency."""
    return bandwidth_hz * wavelength_nm**2 * 1e-9 / SPEED_OF_LIGHT_M_PER_S
