"""What the twin of a device is made of: one record, drawn from a seed where a laboratory would have found it so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.detectors import SinglePhotonDetector
from qanat.physics.systems import QKDSystem, system_named
from qanat.physics.timing import GateShape, GateTiming

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
    """Return the times of a system, from its record: a gate with a coincidence window is rectangular, one without is
    a sine gate (its width alone selects), and a detector without a gate runs freely."""
    detector = system.receiver.detector
    slot_s = 1 / system.source.pulse_rate_hz
    shape: GateShape = "none"
    if detector.gate_rate_hz is not None:
        shape = "sine" if detector.coincidence_window_s is None else "rectangular"
    return GateTiming(
        gate_period_s=1 / detector.gate_rate_hz if detector.gate_rate_hz is not None else slot_s,
        gate_width_s=detector.gate_width_s if detector.gate_width_s is not None else slot_s,
        pulse_width_s=system.source.pulse_width_s,
        jitter_s=detector.jitter_fwhm_s,
        shape=shape,
    )


def before_window(system: QKDSystem) -> SinglePhotonDetector:
    """Return a system's detector as it is while no coincidence window is set: every click of gate or slot counts.

    Efficiency: what the window takes is put back where the record's was measured with it. Dark counts and after-pulses:
    those of a free-running detector come all over the slot, so there are as many more as the slot is longer than the
    window. Those of a gated detector stay as they are recorded: the record's figures are the gate's.
    """
    detector, slot_s = system.receiver.detector, 1 / system.source.pulse_rate_hz
    if detector.coincidence_window_s is None:
        return detector
    whole = replace(detector, coincidence_window_s=None)
    if detector.efficiency_counts_window:
        pulse_width_s = system.source.pulse_width_s
        kept = [each.share_in_window(pulse_width_s=pulse_width_s) for each in (detector, whole)]
        whole = replace(whole, efficiency=detector.efficiency * kept[1] / kept[0])
    if detector.gate_rate_hz is None:
        more = slot_s / detector.coincidence_window_s
        whole = replace(
            whole, p_dark_per_gate=detector.p_dark_per_gate * more, p_afterpulse=detector.p_afterpulse * more
        )
    return whole


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
        if "delay-stuck" in self.faults and self.timing.shape == "none":
            raise ConfigurationError(
                f"the detectors of {self.system!r} run freely: there is no delay line that could be stuck",
                remedy="name another fault, or a system with gates",
            )

    @property
    def timing(self) -> GateTiming:
        """The system's times; raises ConfigurationError where there is no such system."""
        return gate_timing(self.record)

    @property
    def record(self) -> QKDSystem:
        return system_named(self.system)
