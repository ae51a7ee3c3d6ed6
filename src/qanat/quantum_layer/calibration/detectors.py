"""Detectors as records for characterization: what is to be recovered, and where each number comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.ground.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class DetectorRecord:
    """A threshold detector with after-pulses, in gates.

    gate_rate_hz: of the gates; for a free-running detector the rate of its time bins. p_afterpulse: odds that a click
    leaves a carrier that fires the detector once more; afterpulse_decay_s: mean time of its release after the hold-off.
    """

    name: str
    title: str
    gate_rate_hz: float
    efficiency: float
    p_dark_per_gate: float
    dead_time_s: float
    p_afterpulse: float
    afterpulse_decay_s: float
    provenance: str

    @property
    def dead_gates(self) -> int:
        """Gates after a click in which the detector cannot fire."""
        return round(self.dead_time_s * self.gate_rate_hz)

    @property
    def dark_rate_hz(self) -> float:
        """Dark counts per second of a detector that is live all the time."""
        return self.p_dark_per_gate * self.gate_rate_hz


_METHODS: Final = "Nature 589, 214 (2021), Methods"
DETECTORS: Final[Mapping[str, DetectorRecord]] = {
    record.name: record
    for record in (
        DetectorRecord(
            name="ingaas-sine",
            title="InGaAs/InP, sine-gated",
            gate_rate_hz=1.25e9,
            efficiency=0.11,
            p_dark_per_gate=3e-7,
            dead_time_s=1e-6,
            p_afterpulse=0.01,
            afterpulse_decay_s=0.5e-6,
            provenance=f"input: {_METHODS}; after-pulses 1 % with 0.5 us: stated parameters",
        ),
        DetectorRecord(
            name="ingaas-rectangular",
            title="InGaAs/InP, rectangular gates at 40 MHz",
            gate_rate_hz=40e6,
            efficiency=0.15,
            p_dark_per_gate=250 / 40e6,
            dead_time_s=5e-6,
            p_afterpulse=0.01,
            afterpulse_decay_s=1e-6,
            provenance="stated parameters: 15 %, 250 counts per second, after-pulses 1 %, 5 us, decay 1 us",
        ),
        DetectorRecord(
            name="up-conversion",
            title="up-conversion to silicon, free-running, bins of 1.6 ns",
            gate_rate_hz=625e6,
            efficiency=0.22,
            p_dark_per_gate=1000 / 625e6,
            dead_time_s=48e-9,
            p_afterpulse=0.005,
            afterpulse_decay_s=100e-9,
            provenance=f"input: 22 %, 1,000 per second, {_METHODS}; dead time and after-pulses: stated parameters",
        ),
    )
}


def detector_named(name: str) -> DetectorRecord:
    """Return the detector of that name; raises ConfigurationError, which lists the names there are."""
    try:
        return DETECTORS[name]
    except KeyError:
        known = ", ".join(sorted(DETECTORS))
        raise ConfigurationError(f"there is no detector {name!r}", remedy=f"known detectors: {known}") from None
