"""What the twin of a device is made of: one record, drawn from a seed where a laboratory would have found it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.systems import QKDSystem, system_named
from qanat.physics.timing import GateTiming

FAULTS: Final[Mapping[str, str]] = {
    "no-light": "the laser is dark",
    "detector-dead": "detector 2 does not count",
    "delay-stuck": "the delay line of detector 1 does not move",
    "controller-stuck": "the controller of the diagonal basis does not move",
    "squeezer-stuck": "one squeezer of each controller does not move; three are enough",
    "poor-splitter": "the polarizing beam splitters reach 17 dB only",
    "clock-lost": "pulses and time tags do not share a clock",
}
"""Faults that a twin can be given, to rehearse what calibration says of them."""


@dataclass(frozen=True, slots=True)
class TwinOptics:
    """What the paper does not say and calibration meets.

    extinction_db: of the polarizing beam splitters. state_error_rad: by how much the transmitter misses a state, on
    the sphere. mismatch: relative spread of the detectors' efficiencies. settle_s: until the knobs have moved.
    """

    extinction_db: float = 25.0
    state_error_rad: float = 0.05
    mismatch: float = 0.05
    settle_s: float = 0.001
    brightness_db: tuple[float, float] = (-30.0, 40.0)
    max_retardance_rad: float = 25.2
    delay_step_ps: float = 12.5


TIMINGS: Final[Mapping[str, GateTiming]] = {
    "backbone-625": GateTiming(gate_period_s=800e-12, gate_width_s=180e-12, pulse_width_s=70e-12, jitter_s=100e-12),
}
"""Period (1.25 GHz), gate width and pulse width: input, Nature 589, 214, Methods. The jitter is a stated parameter."""


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """A device to stand at the other end of the pipe. drift_rad_per_sqrt_s: of the fibre, on the sphere."""

    system: str
    loss_db: float
    seed: int
    drift_rad_per_sqrt_s: float = 0.0
    faults: tuple[str, ...] = ()
    optics: TwinOptics = TwinOptics()

    def __post_init__(self) -> None:
        if not 0 <= self.loss_db <= 100:
            raise ConfigurationError(f"a loss of {self.loss_db} dB", remedy="give a loss from 0 to 100 dB")
        if not 0 <= self.drift_rad_per_sqrt_s <= 1:
            raise ConfigurationError(
                f"a drift of {self.drift_rad_per_sqrt_s} rad per root second",
                remedy="give a drift from 0 (none) to 1; 0.01 is a buried fibre on a bad day, 0.05 one in the wind",
            )
        for fault in self.faults:
            if fault not in FAULTS:
                raise ConfigurationError(f"no fault {fault!r}", remedy=f"known faults: {', '.join(sorted(FAULTS))}")

    @property
    def timing(self) -> GateTiming:
        """Return the system's times; raises ConfigurationError for a system whose times are not known here."""
        try:
            return TIMINGS[self.system]
        except KeyError:
            raise ConfigurationError(
                f"calibration knows no gate and pulse times of {self.system!r}",
                remedy=f"name one of: {', '.join(sorted(TIMINGS))}",
            ) from None

    @property
    def record(self) -> QKDSystem:
        return system_named(self.system)
