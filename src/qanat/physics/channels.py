"""What stands between two QKD modules besides fibre: multiplexers that put several pairs on one fibre, and switches.

Light of other pairs that leaks into a receiver, like any light that knows nothing of Alice's pulses, adds Poissonian
clicks to each detector: ``with_stray_light`` (pulses) and ``with_steady_light`` fold it into the odds of a dark count,
which is exact, but for the hold-off of clicks that gate and window discard (see ``physics.detectors``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.ground.units import transmittance
from qanat.physics.detectors import SinglePhotonDetector
from qanat.physics.system_record import QKDSystem

MOST_PORTS: Final = 16
"""Ports of the largest all-pass switch."""


@dataclass(frozen=True, slots=True)
class WavelengthMultiplexer:
    """A pair of dense wavelength-division multiplexers with one QKD pair per channel.

    insertion_loss_db: of both ends together, less than 1 dB. adjacent_isolation_db, other_isolation_db: by how much the
    light of a neighbouring channel and of any other one is weakened on its way into a receiver.
    """

    num_channels: int
    insertion_loss_db: float
    adjacent_isolation_db: float
    other_isolation_db: float

    def __post_init__(self) -> None:
        if self.num_channels < 1:
            raise ConfigurationError(
                f"a multiplexer of {self.num_channels} channels carries nothing", remedy="give one channel or more"
            )
        if not 0 <= self.insertion_loss_db < 1:
            raise ConfigurationError(
                f"an insertion loss of {self.insertion_loss_db} dB is none of a common multiplexer",
                remedy="give the loss of both ends together, 0 dB or more and less than 1 dB; add the rest to the link",
            )
        if not 0 < self.adjacent_isolation_db <= self.other_isolation_db:
            raise ConfigurationError(
                f"isolations of {self.adjacent_isolation_db} and {self.other_isolation_db} dB",
                remedy="give positive decibels, no more for a neighbouring channel than for the others",
            )

    def crosstalk(self, num_pairs: int) -> float:
        """Return the light of other pairs in the middle channel, as a share of one pair's own light.

        The pairs stand on neighbouring channels and send equal light. Raises ConfigurationError when they are more
        than there are channels.
        """
        if not 1 <= num_pairs <= self.num_channels:
            raise ConfigurationError(
                f"{num_pairs} pairs on {self.num_channels} channels", remedy="take a multiplexer with more channels"
            )
        neighbours = min(2, num_pairs - 1)
        others = num_pairs - 1 - neighbours
        near, far = self.adjacent_isolation_db, self.other_isolation_db
        return neighbours * transmittance(loss_db=near) + others * transmittance(loss_db=far)


DWDM_16: Final = WavelengthMultiplexer(
    num_channels=16, insertion_loss_db=0.99, adjacent_isolation_db=30.0, other_isolation_db=40.0
)
"""Insertion loss: input, the upper bound of Nature 589, 214 (2021), main text ("less than 1 dB"). Sixteen channels and
their isolations: stated parameters, typical of thin-film filters on a 100-GHz grid."""


@dataclass(frozen=True, slots=True)
class OpticalSwitch:
    """An all-pass optical switch: any two ports can be joined, each with one other at a time.

    It joins fibres and amplifies nothing, so a link through it has the loss of both fibres and the switch's own.
    """

    num_ports: int
    insertion_loss_db: float
    reconfiguration_s: float

    def __post_init__(self) -> None:
        if not 2 <= self.num_ports <= MOST_PORTS:
            raise ConfigurationError(
                f"a switch of {self.num_ports} ports", remedy=f"give 2 to {MOST_PORTS} ports, or join several switches"
            )
        for name, value in (("insertion loss", self.insertion_loss_db), ("reconfiguration", self.reconfiguration_s)):
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(f"a switch's {name} of {value}", remedy="give a number, zero or more")

    @property
    def num_links_at_once(self) -> int:
        return self.num_ports // 2

    def path_loss_db(self, first_fibre_db: float, second_fibre_db: float) -> float:
        """Return the loss of a link from port to port: both fibres and the switch (dB)."""
        return first_fibre_db + self.insertion_loss_db + second_fibre_db

    def duty(self, *, dwell_s: float) -> float:
        """Return the share of the time in which light passes, when the switch turns every ``dwell_s`` seconds."""
        if not dwell_s > 0:
            raise ConfigurationError(f"a dwell time of {dwell_s} s", remedy="give seconds, more than zero")
        return max(0.0, 1 - self.reconfiguration_s / dwell_s)


ALL_PASS_16: Final = OpticalSwitch(num_ports=16, insertion_loss_db=1.0, reconfiguration_s=0.02)
"""Stated parameters, typical of micromechanical matrix switches: 1 dB and 20 ms. The paper's switches have 16 ports at
most; it gives neither loss nor time."""


def with_stray_light(system: QKDSystem, *, photons_per_pulse: float) -> QKDSystem:
    """Return the system with unpolarized light that enters its receiver: mean photons per pulse, before its optics.

    It comes when Alice's pulses come, so that a detector registers of it what it registers of them.
    """
    if not (math.isfinite(photons_per_pulse) and photons_per_pulse >= 0):
        raise ConfigurationError(f"{photons_per_pulse} photons per pulse", remedy="give a mean, zero or more")
    return _with_registered(system, tuple(photons_per_pulse * eta for eta in system.counted_efficiencies))


def with_steady_light(system: QKDSystem, *, photons_per_s: float) -> QKDSystem:
    """Return the system with unpolarized light that comes evenly in time: photons per second, before its optics.

    Each detector sees of it what its gate and window let through; jitter carries as many clicks in as out.
    """
    if not (math.isfinite(photons_per_s) and photons_per_s >= 0):
        raise ConfigurationError(f"{photons_per_s} photons per second", remedy="give a rate, zero or more")
    slot_s = 1 / system.source.pulse_rate_hz
    return _with_registered(
        system,
        tuple(
            photons_per_s * each.counted_time_s(slot_s=slot_s) * each.efficiency for each in system.receiver.detectors
        ),
    )


def _with_registered(system: QKDSystem, registered: tuple[float, ...]) -> QKDSystem:
    """The system with so many more photons per pulse at each detector, if all light went to it and none were lost."""
    receiver = system.receiver
    through = transmittance(loss_db=receiver.loss_db)
    arms = (receiver.p_rectilinear, receiver.p_rectilinear, 1 - receiver.p_rectilinear, 1 - receiver.p_rectilinear)
    one, two, three, four = (
        _lit(detector, photons * through * arm / 2)
        for detector, arm, photons in zip(receiver.detectors, arms, registered, strict=True)
    )
    return replace(system, receiver=replace(receiver, individual=(one, two, three, four)))


def _lit(detector: SinglePhotonDetector, photons: float) -> SinglePhotonDetector:
    """A detector that registers so many stray photons per pulse beside its dark counts."""
    p_dark = -math.expm1(math.log1p(-detector.p_dark_per_gate) - photons)
    return replace(detector, p_dark_per_gate=p_dark)
