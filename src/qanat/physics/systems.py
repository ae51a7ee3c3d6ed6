"""QKD systems as records: what the source sends, what the receiver does, and where every number comes from.

A system is plain data. Its link's loss is not part of it: one system serves links of any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from qanat.ground.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class PulseSource:
    """A source of phase-randomised weak coherent pulses with three intensities (signal, decoy, vacuum).

    ``mean_photon_numbers`` are per pulse at the exit of the transmitter; ``p_rectilinear`` is the odds of the
    rectilinear basis. Bits are uniform.
    """

    pulse_rate_hz: float
    mean_photon_numbers: tuple[float, float, float]
    p_intensities: tuple[float, float, float]
    p_rectilinear: float


@dataclass(frozen=True, slots=True)
class GatedDetector:
    """A threshold single-photon detector, gated once per pulse. After a click it is dead for ``hold_off_s``."""

    efficiency: float
    p_dark_per_gate: float
    hold_off_s: float


@dataclass(frozen=True, slots=True)
class PassiveReceiver:
    """Four equal detectors behind a beam splitter that chooses the basis.

    ``loss_db`` is that of the optics in front of the detectors; ``optical_error`` the odds that a photon measured in
    the basis in which it was prepared reaches the wrong detector; ``p_rectilinear`` the splitting ratio.
    """

    loss_db: float
    optical_error: float
    p_rectilinear: float
    detector: GatedDetector


@dataclass(frozen=True, slots=True)
class QKDSystem:
    """A transmitter and a receiver that belong together. ``provenance`` says of each number where it is from."""

    name: str
    source: PulseSource
    receiver: PassiveReceiver
    provenance: Mapping[str, str]

    @property
    def hold_off_slots(self) -> int:
        """The number of pulse slots after a click in which that detector cannot click."""
        return round(self.receiver.detector.hold_off_s * self.source.pulse_rate_hz)


_METHODS: Final = "input: Nature 589, 214 (2021), Methods"

BACKBONE_625: Final = QKDSystem(
    name="backbone-625",
    source=PulseSource(
        pulse_rate_hz=625e6,
        mean_photon_numbers=(0.6, 0.2, 0.0),
        p_intensities=(6 / 8, 1 / 8, 1 / 8),
        p_rectilinear=0.5,
    ),
    receiver=PassiveReceiver(
        loss_db=1.5,
        optical_error=0.005,
        p_rectilinear=0.5,
        detector=GatedDetector(efficiency=0.11, p_dark_per_gate=3e-7, hold_off_s=1e-6),
    ),
    provenance={
        "source.pulse_rate_hz": f"{_METHODS}, first implementation",
        "source.mean_photon_numbers": f"{_METHODS}, first implementation (typical values)",
        "source.p_intensities": f"{_METHODS}, first implementation (emission ratio 6:1:1)",
        "source.p_rectilinear": "stated parameter: the paper gives none for fibre; standard BB84 has unbiased bases",
        "receiver.loss_db": "stated parameter: 1.5 dB of receiver optics; the paper gives none",
        "receiver.optical_error": (
            "stated parameter: 0.5 %, this project's, not derived from the paper; its polarization feedback (Methods) "
            "stops at an extinction ratio of 100:1, which alone would be 1/101 = 0.99 %; figures at 1 % stand in "
            "docs/decisions/0004-secret-length.md"
        ),
        "receiver.p_rectilinear": "stated parameter: a balanced beam splitter",
        "receiver.detector.efficiency": f"{_METHODS}, InGaAs/InP detectors",
        "receiver.detector.p_dark_per_gate": (
            f"{_METHODS}, InGaAs/InP detectors; one gate per pulse counts: gates run at 1.25 GHz, and a click in a "
            "gate between two pulses is no event"
        ),
        "receiver.detector.hold_off_s": f"{_METHODS}, InGaAs/InP detectors",
    },
)
"""The polarization-encoding system of the backbone, with InGaAs/InP detectors."""

SYSTEMS: Final[Mapping[str, QKDSystem]] = {system.name: system for system in (BACKBONE_625,)}


def system_named(name: str) -> QKDSystem:
    """Return the system of that name; raises ConfigurationError, which lists the names there are."""
    try:
        return SYSTEMS[name]
    except KeyError:
        known = ", ".join(sorted(SYSTEMS))
        raise ConfigurationError(f"there is no QKD system {name!r}", remedy=f"known systems: {known}") from None
