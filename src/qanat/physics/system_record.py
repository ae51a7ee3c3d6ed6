"""What a QKD system is: plain data on source, receiver and clock, checked when it is made.

A system's link is not part of it: one system serves links of any loss.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from qanat.ground.errors import ConfigurationError
from qanat.kernels.click_law import DetectorMemory
from qanat.physics.detectors import SinglePhotonDetector
from qanat.physics.optics import Component, chain_loss_db

FourDetectors = tuple[SinglePhotonDetector, SinglePhotonDetector, SinglePhotonDetector, SinglePhotonDetector]

DoubleClicks = Literal["random bit", "earlier click"]
"""What becomes of several clicks in one slot. "random bit": two in one basis get a random bit. "earlier click": the
first in time counts. Nothing here draws when in a slot a click came. Photons, dark counts and after-pulses are spread
alike round the middle of the window for all four detectors, so of two clicks each is the earlier with odds 1/2: two in
one basis give a random bit, two in both bases give a random basis with the bit it shows. That is what happens at
"random bit" too, so one rule stands for both. Three clicks and more would give the basis with two of them odds of 2/3
instead of 1/2; at 5.8 dB and 40 MHz that is one event in several thousand (``tests/unit/test_double_clicks.py``)."""


@dataclass(frozen=True, slots=True)
class PulseSource:
    """A source of phase-randomised weak coherent pulses with three intensities (signal, decoy, vacuum).

    ``mean_photon_numbers`` are per pulse at the exit of the transmitter; ``p_rectilinear`` is the odds of the
    rectilinear basis. Bits are uniform. ``pulse_width_s``: full width at half maximum. ``modulation`` says how states
    and intensities are made, ``optics`` is the chain from a laser to the exit.
    """

    pulse_rate_hz: float
    mean_photon_numbers: tuple[float, float, float]
    p_intensities: tuple[float, float, float]
    p_rectilinear: float
    pulse_width_s: float = 70e-12
    modulation: str = ""
    optics: tuple[Component, ...] = ()

    def __post_init__(self) -> None:
        if not self.pulse_rate_hz > 0:
            raise ConfigurationError(
                f"a pulse rate of {self.pulse_rate_hz} Hz sends nothing", remedy="give the pulses per second"
            )
        mu, nu, vacuum = self.mean_photon_numbers
        if not (mu > nu + vacuum and nu > vacuum >= 0):
            raise ConfigurationError(
                f"mean photon numbers {self.mean_photon_numbers} allow no decoy estimate",
                remedy="give signal, decoy and vacuum with signal > decoy + vacuum and decoy > vacuum >= 0",
            )
        if abs(sum(self.p_intensities) - 1) > 1e-12 or min(self.p_intensities) <= 0:
            raise ConfigurationError(
                f"the odds of the intensities are {self.p_intensities}",
                remedy="give three positive numbers that add up to 1",
            )
        _check_odds("the transmitter's rectilinear basis", self.p_rectilinear)
        if not 0 < self.pulse_width_s < 1 / self.pulse_rate_hz:
            raise ConfigurationError(
                f"pulses of {self.pulse_width_s} s do not fit between two pulses",
                remedy="give the pulse width in seconds, shorter than the time between two pulses",
            )


@dataclass(frozen=True, slots=True)
class PassiveReceiver:
    """Four detectors behind a beam splitter that chooses the basis.

    ``optics`` is the chain from the fibre to a detector; its sum is ``loss_db``. ``optical_error``: the odds that a
    photon measured in the basis in which it was prepared reaches the wrong detector; ``p_rectilinear`` the splitting
    ratio. ``detector`` is what all four are; ``individual`` says so one by one where they differ (bit 0 and 1 of the
    rectilinear basis, then of the diagonal one).
    """

    optics: tuple[Component, ...]
    optical_error: float
    p_rectilinear: float
    detector: SinglePhotonDetector
    double_clicks: DoubleClicks = "random bit"
    individual: FourDetectors | None = None

    def __post_init__(self) -> None:
        _check_odds("the receiver's rectilinear basis", self.p_rectilinear)
        if not 0 <= self.optical_error <= 0.5:
            raise ConfigurationError(
                f"an optical error of {self.optical_error} is none",
                remedy="give the odds of the wrong detector, from 0 to 0.5",
            )

    @property
    def loss_db(self) -> float:
        """Loss of the optics in front of the detectors (dB): the sum of its components."""
        return chain_loss_db(self.optics)

    @property
    def detectors(self) -> FourDetectors:
        """The four detectors in the order of patterns."""
        return self.individual or (self.detector, self.detector, self.detector, self.detector)


@dataclass(frozen=True, slots=True)
class Synchronization:
    """The clock that travels with the pulses: wavelength, pulses per second, power at the receiver."""

    wavelength_nm: float
    rate_hz: float
    received_dbm: float


@dataclass(frozen=True, slots=True)
class QKDSystem:
    """A transmitter and a receiver that belong together. ``provenance`` says of each number where it is from; those of
    detectors and optical components stand with them. ``is_transceiver``: each end is transmitter and receiver, and
    both directions share one fibre."""

    name: str
    source: PulseSource
    receiver: PassiveReceiver
    provenance: Mapping[str, str]
    synchronization: Synchronization | None = None
    is_transceiver: bool = False

    def __post_init__(self) -> None:
        slot_s = 1 / self.source.pulse_rate_hz
        for detector in self.receiver.detectors:
            _check_slots(self.name, detector, slot_s)

    @property
    def origins(self) -> Mapping[str, str]:
        """Where each number is from, those of detectors and components too: "input: ...", "fitted: ..." and so on."""
        parts = [("source.optics", self.source.optics), ("receiver.optics", self.receiver.optics)]
        return {
            **self.provenance,
            **{f"receiver.detector.{name}": origin for name, origin in self.receiver.detector.provenance.items()},
            **{f"{where}[{part.name}]": part.provenance for where, chain in parts for part in chain},
        }

    @property
    def fitted(self) -> tuple[str, ...]:
        """The numbers that were chosen for what comes out with them."""
        return tuple(name for name, origin in self.origins.items() if origin.startswith("fitted"))

    @property
    def hold_off_slots(self) -> int:
        """The number of pulse slots after a click in which a detector of the common kind cannot click."""
        return self._slots(self.receiver.detector.hold_off_s)

    @property
    def memory(self) -> DetectorMemory:
        """What a click does to its detector's future, in slots."""
        one, two, three, four = self.receiver.detectors
        rate_hz = self.source.pulse_rate_hz
        return DetectorMemory(
            hold_off_slots=tuple(self._slots(each.hold_off_s) for each in (one, two, three, four)),  # type: ignore[arg-type]
            p_afterpulse=(one.p_afterpulse, two.p_afterpulse, three.p_afterpulse, four.p_afterpulse),
            decay_slots=tuple(each.afterpulse_decay_s * rate_hz for each in (one, two, three, four)),  # type: ignore[arg-type]
        )

    @property
    def counted_efficiencies(self) -> tuple[float, ...]:
        """The odds, per detector, that a photon that reaches it makes a click that counts."""
        width_s = self.source.pulse_width_s
        return tuple(each.counted_efficiency(pulse_width_s=width_s) for each in self.receiver.detectors)

    def _slots(self, seconds: float) -> int:
        return round(seconds * self.source.pulse_rate_hz)


def _check_odds(what: str, p: float) -> None:
    if not 0 < p < 1:
        raise ConfigurationError(f"the odds of {what} are {p}", remedy="give odds between 0 and 1, both excluded")


def _check_slots(name: str, detector: SinglePhotonDetector, slot_s: float) -> None:
    """Refuse detectors that do not fit the time between two pulses."""
    if 0 < detector.hold_off_s < slot_s:
        raise ConfigurationError(
            f"{name}: a hold-off of {detector.hold_off_s} s is shorter than the {slot_s} s between two pulses",
            remedy="give 0, or at least the time between two pulses: detectors are looked at once per pulse",
        )
    for what in ("gate_width_s", "coincidence_window_s"):
        width_s = getattr(detector, what)
        if width_s is not None and width_s > slot_s:
            raise ConfigurationError(
                f"{name}: {what} of {width_s} s is longer than the {slot_s} s between two pulses",
                remedy="shorten it, or send pulses farther apart: clicks would be given to the wrong pulse",
            )
    if detector.gate_rate_hz is not None:
        gates_per_pulse = detector.gate_rate_hz * slot_s
        if gates_per_pulse < 1 or abs(gates_per_pulse - round(gates_per_pulse)) > 1e-9:
            raise ConfigurationError(
                f"{name}: {gates_per_pulse:g} gates per pulse",
                remedy="gate the detector at the pulse rate or a whole multiple of it",
            )
