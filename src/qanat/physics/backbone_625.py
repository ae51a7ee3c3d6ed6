"""The 625-MHz system of the backbone (Nature 589, 214, 2021, Methods and Extended Data Fig. 4), as records.

Passive: four signal and four decoy lasers, one per state and intensity; four detectors, one per state. What the paper
gives is *input*. Figures of single components are *stated*: typical data-sheet values (``physics.parts``), for the
paper gives hardly any; the insertion losses add up to the receiver's 1.5 dB.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from qanat.physics.detectors import SINE_GATED, UP_CONVERSION
from qanat.physics.optics import Component
from qanat.physics.parts import analyser, attenuator, circulator, coupler, isolator, multiplexer
from qanat.physics.system_record import PassiveReceiver, PulseSource, QKDSystem, Synchronization

_METHODS: Final = "input: Nature 589, 214 (2021), Methods"

TRANSMITTER: Final = (
    isolator("laser isolator", loss_db=0.5, isolation_db=30.0, source="; Extended Data Table 1 names isolators"),
    coupler("PMFC, joins the lasers of one basis", figure="Fig. 4"),
    coupler("PMFC at 45 degrees, joins the bases", figure="Fig. 4"),
    coupler("SMFC, one beam for testing", figure="Fig. 4"),
    circulator("circulator, to the grating and on", loss_db=1.5, figure="Fig. 4"),
    Component(
        "fibre Bragg grating",
        0.5,
        f"{_METHODS}, implementation security (10 GHz); stated parameter: a typical data-sheet value of the loss in "
        "reflection",
        bandwidth_hz=10e9,
    ),
    attenuator("MEMS attenuator 1", loss_db=30.0, figure="Fig. 4"),
    attenuator("MEMS attenuator 2", loss_db=30.0, figure="Fig. 4"),
    multiplexer("DWDM, with the clock", figure="Fig. 4"),
)
"""From a laser to the exit."""

RECEIVER: Final = (multiplexer("DWDM, without the clock", figure="Fig. 4"), *analyser(figure="Fig. 4"))
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
            "derived: 0.55 %, the mean over time of a calibrated twin whose fibre drifts (0.50 to 0.56 % from slow to "
            "fast) and whose feedback sets in when the paper's 100:1 is lost (docs/calibration.md); it gives none"
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
