"""Detectors on the test bench: what a characterization is to recover of the records in ``physics.detectors``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.detectors import (
    RECTANGULAR_GATED,
    SINE_GATED,
    SINE_GATED_P_AFTERPULSE,
    UP_CONVERSION,
    UP_CONVERSION_DARKS_PER_S,
    UP_CONVERSION_P_AFTERPULSE,
    SinglePhotonDetector,
)


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
    provenance: Mapping[str, str]

    @property
    def dead_gates(self) -> int:
        """Gates after a click in which the detector cannot fire."""
        return round(self.dead_time_s * self.gate_rate_hz)

    @property
    def dark_rate_hz(self) -> float:
        """Dark counts per second of a detector that is live all the time."""
        return self.p_dark_per_gate * self.gate_rate_hz


FREE_BIN_S: Final = 1.6e-9
"""Time bins in which a free-running detector is looked at: the slots of the 625-MHz system."""


def _gated(name: str, title: str, detector: SinglePhotonDetector, *, p_afterpulse: float) -> DetectorRecord:
    """Return a gated detector on the bench, where every gate counts. p_afterpulse: in whichever gate they come."""
    assert detector.gate_rate_hz is not None, "a gated detector has gates"
    return DetectorRecord(
        name=name,
        title=title,
        gate_rate_hz=detector.gate_rate_hz,
        efficiency=detector.efficiency,
        p_dark_per_gate=detector.p_dark_per_gate,
        dead_time_s=detector.hold_off_s,
        p_afterpulse=p_afterpulse,
        afterpulse_decay_s=detector.afterpulse_decay_s,
        provenance=detector.provenance,
    )


DETECTORS: Final[Mapping[str, DetectorRecord]] = {
    record.name: record
    for record in (
        _gated("ingaas-sine", "InGaAs/InP, sine-gated", SINE_GATED, p_afterpulse=SINE_GATED_P_AFTERPULSE),
        _gated(
            "ingaas-rectangular",
            "InGaAs/InP, rectangular gates at 40 MHz",
            RECTANGULAR_GATED,
            p_afterpulse=RECTANGULAR_GATED.p_afterpulse,
        ),
        DetectorRecord(
            name="up-conversion",
            title="up-conversion to silicon, free-running, bins of 1.6 ns",
            gate_rate_hz=1 / FREE_BIN_S,
            efficiency=UP_CONVERSION.efficiency,
            p_dark_per_gate=UP_CONVERSION_DARKS_PER_S * FREE_BIN_S,
            dead_time_s=UP_CONVERSION.hold_off_s,
            p_afterpulse=UP_CONVERSION_P_AFTERPULSE,
            afterpulse_decay_s=UP_CONVERSION.afterpulse_decay_s,
            provenance=UP_CONVERSION.provenance,
        ),
    )
}
"""The detectors of ``physics.detectors`` as they are on a test bench, each by itself."""


def detector_named(name: str) -> DetectorRecord:
    """Return the detector of that name; raises ConfigurationError, which lists the names there are."""
    try:
        return DETECTORS[name]
    except KeyError:
        known = ", ".join(sorted(DETECTORS))
        raise ConfigurationError(f"there is no detector {name!r}", remedy=f"known detectors: {known}") from None
