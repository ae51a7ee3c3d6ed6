"""Classical light on the fibre of a quantum link: what of it reaches the quantum receiver, in its filter's band.

Silica scatters a little of any light to other wavelengths, evenly in time and to both sides (spontaneous Raman
scattering). Light of power P at the entrance of a fibre of length L that weakens all light alike, by exp(-alpha L),
gives within a band of width dlambda, with a coefficient beta per length and width,

    at the far end, with the light       P L exp(-alpha L) beta dlambda
    at the entrance, against the light   P (1 - exp(-2 alpha L)) / (2 alpha) beta dlambda

(Chapuran et al., New J. Phys. 11, 105001 (2009); Eraerds et al., New J. Phys. 12, 063027 (2010), both as others quote
them; tests integrate along the fibre). Loss is taken as spread evenly along the span. Scattered light is taken as
unpolarized and as a Poisson process: a band of 100 GHz and a gate of 180 ps hold 18 modes, with far less than a photon
each.

Left out: light that Rayleigh scattering turns round (it keeps its wavelength, so that filters stop it), four-wave
mixing, and the light of amplifiers, which is to be filtered before it enters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from qanat.ground.constants import BOLTZMANN_J_PER_K, PLANCK_J_S, SPEED_OF_LIGHT_M_PER_S
from qanat.ground.errors import ConfigurationError
from qanat.ground.units import transmittance
from qanat.physics.optics import bandwidth_nm, chain_bandwidth_hz
from qanat.physics.system_record import QKDSystem

Direction = Literal["co", "counter", "both"]
"""Of classical channels: with the quantum light, against it, or as many each way."""

QUANTUM_NM: Final = 1550.0
"""Stated parameter: the paper says C band."""

RAMAN_PER_NM_KM: Final = 3e-9
"""Coefficient between channels of the C band, standard fibre: the worst of those used by Kumar, Qin, Alleaume, New J.
Phys. 17, 043027 (2015), as others quote them. By ``raman_coefficient`` from the gain of such fibre it would be 4e-9 to
9e-9 at shifts of 1 to 4 THz, less on the blue side."""

ISOLATION_DB: Final = 100.0
"""Stated parameter: two filters in a row of more than 50 dB each, as coexistence takes."""

LEAST_DB_PER_KM: Final = 0.13
"""No silica fibre loses less; records are about 0.14."""

DB_PER_KM: Final = 16.0 / 63.8
"""Mean loss over mean length of the backbone's spans (input: Nature 589, 214 (2021), Table 1): 0.25."""

MOST_LIGHT_W: Final = 0.5
"""Where lasers of class 3B end (IEC 60825-1)."""

CLOCK_GAIN_PER_W_KM: Final = 0.21
"""Raman gain of standard fibre at 7.8 THz, from 1,490 to 1,550 nm: that of the profile which the open planning tool
GNPy carries, 0.215 at 7.75 THz for a pump at 1,454 nm, in proportion to the pump's frequency."""


@dataclass(frozen=True, slots=True)
class Span:
    """A fibre between two modules: its loss, multiplexers not included, and its length."""

    loss_db: float
    length_km: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.length_km) and self.length_km > 0):
            raise ConfigurationError(f"a length of {self.length_km} km is none", remedy="give kilometres, above zero")
        if not self.loss_db / self.length_km >= LEAST_DB_PER_KM:
            raise ConfigurationError(
                f"{self.loss_db:g} dB on {self.length_km:g} km: no fibre of silica loses so little",
                remedy=f"give at most {self.loss_db / LEAST_DB_PER_KM:.1f} km, or the loss of the longer fibre",
            )

    @property
    def alpha_per_km(self) -> float:
        """Loss per length as the rate of an exponential (1/km)."""
        return self.loss_db / self.length_km * math.log(10) / 10


@dataclass(frozen=True, slots=True)
class ClassicalLight:
    """Data channels on the fibre. launch_dbm: of each, into the fibre. num_channels: those of each direction in use.

    coefficient_per_nm_km: of Raman scattering into the quantum channel, per nm of bandwidth and km. isolation_db: by
    how much the receiver's filters weaken the channels themselves.
    """

    launch_dbm: float
    num_channels: int = 1
    direction: Direction = "co"
    coefficient_per_nm_km: float = RAMAN_PER_NM_KM
    isolation_db: float = ISOLATION_DB

    def __post_init__(self) -> None:
        if self.num_channels < 1:
            raise ConfigurationError(f"{self.num_channels} classical channels", remedy="give one or more, or no power")
        if not math.isfinite(self.launch_dbm) or self.launch_dbm > 60 or self.power_w > MOST_LIGHT_W:
            raise ConfigurationError(
                f"{self.num_channels} x {self.launch_dbm:g} dBm is no light of a data link",
                remedy=f"give the launch power per channel in dBm, all channels together at most {MOST_LIGHT_W:g} W",
            )
        if self.direction not in get_args(Direction):
            raise ConfigurationError(
                f"light cannot go {self.direction!r}", remedy=f"directions are {', '.join(get_args(Direction))}"
            )
        if not 0 < self.coefficient_per_nm_km <= 1e-6:
            raise ConfigurationError(
                f"a Raman coefficient of {self.coefficient_per_nm_km:g} per nm and km",
                remedy=f"give a share such as {RAMAN_PER_NM_KM:g}, above 0 and at most 1e-6",
            )
        if not 0 <= self.isolation_db <= 300:
            raise ConfigurationError(
                f"filters that isolate by {self.isolation_db:g} dB", remedy="give decibels from 0 to 300"
            )

    @property
    def power_w(self) -> float:
        """Power of all channels of one direction at their entrance (W)."""
        return self.num_channels * watts(self.launch_dbm)


@dataclass(frozen=True, slots=True)
class ClassicalNoise:
    """Photons per second in the band of the quantum receiver, at the end of the fibre, by their origin."""

    forward_per_s: float
    backward_per_s: float
    leaked_per_s: float

    @property
    def total_per_s(self) -> float:
        return self.forward_per_s + self.backward_per_s + self.leaked_per_s


def watts(dbm: float) -> float:
    """Return a power given in dBm."""
    return 1e-3 * float(10 ** (dbm / 10))


def photons_per_s(power_w: float, *, wavelength_nm: float = QUANTUM_NM) -> float:
    """Return how many photons per second a power is: P / (h c / lambda)."""
    return power_w * wavelength_nm * 1e-9 / (PLANCK_J_S * SPEED_OF_LIGHT_M_PER_S)


def forward_share(span: Span) -> float:
    """Return L exp(-alpha L) in km: times coefficient and bandwidth, what comes out with the light."""
    return span.length_km * transmittance(loss_db=span.loss_db)


def backward_share(span: Span) -> float:
    """Return (1 - exp(-2 alpha L)) / (2 alpha) in km: the same for what comes back to where the light enters."""
    two_alpha = 2 * span.alpha_per_km
    return -math.expm1(-two_alpha * span.length_km) / two_alpha


def raman_coefficient(
    *, gain_per_w_km: float, shift_hz: float, wavelength_nm: float = QUANTUM_NM, temperature_k: float = 293.0
) -> float:
    """Return the coefficient (1 / (nm km)) that goes with a Raman gain.

    gain_per_w_km: of unpolarized light. shift_hz: frequency of the scattered light less that of its source; negative
    when it comes out redder. Each of two polarizations gets gain x h nu per bandwidth, times n + 1 on the red side and
    n on the blue one, n being the number of phonons per mode at that temperature (Agrawal, Nonlinear Fiber Optics,
    chapter 8).
    """
    phonons = 1 / math.expm1(PLANCK_J_S * abs(shift_hz) / (BOLTZMANN_J_PER_K * temperature_k))
    photon_j = PLANCK_J_S * SPEED_OF_LIGHT_M_PER_S / (wavelength_nm * 1e-9)
    hz_per_nm = 1 / bandwidth_nm(bandwidth_hz=1.0, wavelength_nm=wavelength_nm)
    return 2 * gain_per_w_km * photon_j * hz_per_nm * (phonons + (shift_hz < 0))


def classical_noise(light: ClassicalLight, span: Span, *, filter_nm: float) -> ClassicalNoise:
    """Return what data channels send into a band of ``filter_nm`` at the end of the fibre."""
    is_co, is_counter = light.direction != "counter", light.direction != "co"
    scattered = _scattered(light.power_w, span, coefficient_per_nm_km=light.coefficient_per_nm_km, filter_nm=filter_nm)
    leaked_w = light.power_w * transmittance(loss_db=span.loss_db + light.isolation_db)
    return ClassicalNoise(
        forward_per_s=scattered.forward_per_s * is_co,
        backward_per_s=scattered.backward_per_s * is_counter,
        leaked_per_s=photons_per_s(leaked_w) * is_co,
    )


def _scattered(power_w: float, span: Span, *, coefficient_per_nm_km: float, filter_nm: float) -> ClassicalNoise:
    """What light of a power at its entrance scatters with it and against it."""
    if not 0 < filter_nm <= 100:
        raise ConfigurationError(
            f"a filter of {filter_nm:g} nm", remedy="give the receiver's bandwidth, above 0 and at most 100 nm"
        )
    in_band_w_per_km = power_w * coefficient_per_nm_km * filter_nm
    return ClassicalNoise(
        forward_per_s=photons_per_s(in_band_w_per_km * forward_share(span)),
        backward_per_s=photons_per_s(in_band_w_per_km * backward_share(span)),
        leaked_per_s=0.0,
    )


def clock_noise(system: QKDSystem, span: Span, *, filter_nm: float) -> ClassicalNoise | None:
    """Return what a system's own clock scatters into its band, averaged over time; None for one without a clock.

    The clock travels with the quantum light. The two ends of a transceiver send it both ways, each so strong that the
    record's power reaches the other end. What leaks through the filters is not in it: the paper gives no isolation.
    """
    clock = system.synchronization
    if clock is None:
        return None
    shift_hz = SPEED_OF_LIGHT_M_PER_S * (1 / QUANTUM_NM - 1 / clock.wavelength_nm) * 1e9
    coefficient = raman_coefficient(gain_per_w_km=CLOCK_GAIN_PER_W_KM, shift_hz=shift_hz)
    launch_w = watts(clock.received_dbm + span.loss_db)
    both = _scattered(launch_w, span, coefficient_per_nm_km=coefficient, filter_nm=filter_nm)
    return both if system.is_transceiver else replace(both, backward_per_s=0.0)


def receiver_band_nm(system: QKDSystem) -> float:
    """Return the width of what the receiver lets in: its narrowest component (nm); ConfigurationError without one."""
    bandwidth_hz = chain_bandwidth_hz(system.receiver.optics)
    if bandwidth_hz is None:
        raise ConfigurationError(
            f"no component of {system.name}'s receiver has a bandwidth", remedy="give the width of its filter"
        )
    return bandwidth_nm(bandwidth_hz=bandwidth_hz, wavelength_nm=QUANTUM_NM)
