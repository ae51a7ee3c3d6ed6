"""The 625-MHz system of the backbone (Nature 589, 214, 2021, Methods and Extended Data Fig. 4), as records.

Passive: four signal and four decoy lasers, one per state and intensity; four detectors, one per state. What the paper
gives is *input*. Insertion losses of single components are *stated*: typical data-sheet values, for the paper gives
none; they add up to the receiver's 1.5 dB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from qanat.physics.detectors import SINE_GATED, UP_CONVERSION
from qanat.physics.optics import Component
from qanat.physics.system_record import PassiveReceiver, PulseSource, QKDSystem, Synchronization

_METHODS: Final = "input: Nature 589, 214 (2021), Methods"
_FIGURE: Final = "input: Nature 589, 214 (2021), Extended Data Fig. 4 has the part"
_TYPICAL: Final = "stated parameter: a typical data-sheet value"

TRANSMITTER: Final = (
    Component("laser isolator", 0.5, f"{_TYPICAL}; Extended Data Table 1 names isolators", isolation_db=30.0),
    Component("PMFC, joins the lasers of one basis", 3.5, f"{_FIGURE}; {_TYPICAL}: half of the light, and 0.5 dB"),
    Component("PMFC at 45 degrees, joins the bases", 3.5, f"{_FIGURE}; {_TYPICAL}: half of the light, and 0.5 dB"),
    Component("SMFC, one beam for testing", 3.5, f"{_FIGURE}; {_TYPICAL}: half of the light, and 0.5 dB"),
    Component("circulator, to the grating and on", 1.5, f"{_FIGURE}; {_TYPICAL}", isolation_db=50.0),
    Component(
        "fibre Bragg grating",
        0.5,
        f"{_METHODS}, implementation security (10 GHz); {_TYPICAL} of the loss in reflection",
        bandwidth_hz=10e9,
    ),
    Component("MEMS attenuator 1", 30.0, f"{_FIGURE}; stated parameter: its setting"),
    Component("MEMS attenuator 2", 30.0, f"{_FIGURE}; stated parameter: its setting"),
    Component("DWDM, with the clock", 0.6, f"{_FIGURE}; {_TYPICAL}, a 100-GHz grid", bandwidth_hz=100e9),
)
"""From a laser to the exit."""

RECEIVER: Final = (
    Component("DWDM, without the clock", 0.6, f"{_FIGURE}; {_TYPICAL}, a 100-GHz grid", bandwidth_hz=100e9),
    Component("SMFC, chooses the basis", 0.2, f"{_FIGURE}; {_TYPICAL} of the excess loss; the split itself is no loss"),
    Component("electric polarization controller", 0.1, f"{_FIGURE}; {_TYPICAL} of three fibre squeezers"),
    Component("SMPBS, tells the states apart", 0.4, f"{_FIGURE}; {_TYPICAL}"),
    Component("connectors and splices", 0.2, f"{_TYPICAL}"),
)
"""From the fibre to a detector: 1.5 dB."""

BACKBONE_625: Final = QKDSystem(
    name="backbone-625",
    source=PulseSource(
        pulse_rate_hz=625e6,
        mean_photon_numbers=(0.6, 0.2, 0.0),
        p_intensities=(6 / 8, 1 / 8, 1 / 8),
        p_rectilinear=0.5,
        pulse_width_s=70e-12,
        modulation="four signal and four decoy lasers, one per state and intensity; vacuum: none of them",
        optics=TRANSMITTER,
    ),
    receiver=PassiveReceiver(
        optics=RECEIVER,
        optical_error=0.0055,
        p_rectilinear=0.5,
        detector=SINE_GATED,
        double_clicks="random bit",
    ),
    synchronization=Synchronization(wavelength_nm=1490.0, rate_hz=100e3, received_dbm=-53.0),
    provenance={
        "source.pulse_rate_hz": f"{_METHODS}, first implementation",
        "source.mean_photon_numbers": f"{_METHODS}, first implementation (typical values)",
        "source.p_intensities": f"{_METHODS}, first implementation (emission ratio 6:1:1)",
        "source.p_rectilinear": "stated parameter: the paper gives none for fibre; standard BB84 has unbiased bases",
        "source.pulse_width_s": f"{_METHODS}, first implementation (70 ps)",
        "receiver.optical_error": (
            "derived: 0.55 %, the mean over time of a calibrated twin whose fibre drifts and whose polarization "
            "feedback sets in when the paper's 100:1 is lost (docs/calibration.md); the paper gives no error"
        ),
        "receiver.p_rectilinear": "stated parameter: a balanced beam splitter",
        "synchronization.wavelength_nm": f"{_METHODS}, first implementation",
        "synchronization.rate_hz": f"{_METHODS}, first implementation",
        "synchronization.received_dbm": f"{_METHODS}, first implementation (about -53 dBm)",
    },
)
"""The polarization-encoding system of the backbone, with InGaAs/InP detectors."""

BACKBONE_625_UPCONVERSION: Final = replace(
    BACKBONE_625,
    name="backbone-625-upconversion",
    receiver=replace(BACKBONE_625.receiver, detector=UP_CONVERSION),
)
"""The same with up-conversion detectors, for longer distances."""
