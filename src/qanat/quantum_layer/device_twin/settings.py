"""What the twin of a device is made of: one record, drawn from a seed where a laboratory would have found it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.systems import SYSTEMS, QKDSystem, system_named
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


def gate_timing(system: QKDSystem) -> GateTiming:
    """Return the times of a system with sine gates, from its record.

    Raises ConfigurationError for others: delay scanning looks for the crest of a gate, which a rectangular gate and a
    free-running detector do not have.
    """
    detector = system.receiver.detector
    if not _has_sine_gates(system):
        known = ", ".join(sorted(name for name, other in SYSTEMS.items() if _has_sine_gates(other)))
        raise ConfigurationError(
            f"calibration looks for the crest of sine gates; {system.name!r} has none ({detector.kind})",
            remedy=f"name one of: {known}",
        )
    assert detector.gate_rate_hz is not None
    assert detector.gate_width_s is not None
    return GateTiming(
        gate_period_s=1 / detector.gate_rate_hz,
        gate_width_s=detector.gate_width_s,
        pulse_width_s=system.source.pulse_width_s,
        jitter_s=detector.jitter_fwhm_s,
    )


def _has_sine_gates(system: QKDSystem) -> bool:
    detector = system.receiver.detector
    return detector.gate_rate_hz is not None and detector.coincidence_window_s is None


@dataclass(frozen=True, slots=True)
class TwinSettings:
    """A device to stand at the other end of the pipe. drift_rad_per_sqrt_s: of the fibre, on the sphere.

    delay_drift_ps_per_sqrt_s: of the time at which pulses arrive, against the gates.
    """

    system: str
    loss_db: float
    seed: int
    drift_rad_per_sqrt_s: float = 0.0
    faults: tuple[str, ...] = ()
    optics: TwinOptics = TwinOptics()
    delay_drift_ps_per_sqrt_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.loss_db <= 100:
            raise ConfigurationError(f"a loss of {self.loss_db} dB", remedy="give a loss from 0 to 100 dB")
        if not 0 <= self.drift_rad_per_sqrt_s <= 1:
            raise ConfigurationError(
                f"a drift of {self.drift_rad_per_sqrt_s} rad per root second",
                remedy="give a drift from 0 (none) to 1; 0.01 is a buried fibre on a bad day, 0.05 one in the wind",
            )
        if not 0 <= self.delay_drift_ps_per_sqrt_s <= 100:
            raise ConfigurationError(
                f"a delay drift of {self.delay_drift_ps_per_sqrt_s} ps per root second",
                remedy="give a delay drift from 0 (none) to 100",
            )
        for fault in self.faults:
            if fault not in FAULTS:
                raise ConfigurationError(f"no fault {fault!r}", remedy=f"known faults: {', '.join(sorted(FAULTS))}")

    @property
    def timing(self) -> GateTiming:
        """The system's times; raises ConfigurationError for a system without sine gates."""
        return gate_timing(self.record)

    @property
    def record(self) -> QKDSystem:
        return system_named(self.system)
