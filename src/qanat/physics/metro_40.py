"""The two 40-MHz transceivers of the metropolitan networks (Nature 589, 214, 2021, Extended Data Figs 5 and 6).

Each end is transmitter and receiver; circulators let both directions share one fibre. The paper gives detectors, rate
and the order of the parts. It gives intensities and ratios only for its 625-MHz system: they are taken over. Insertion
losses of components are *stated*: typical data-sheet values. One number is *fitted*: the loss that these leave open.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from qanat.physics.backbone_625 import BACKBONE_625
from qanat.physics.detectors import RECTANGULAR_GATED
from qanat.physics.optics import Component
from qanat.physics.system_record import PassiveReceiver, PulseSource, QKDSystem

_TYPICAL: Final = "stated parameter: a typical data-sheet value"
_FIGURE_5: Final = "input: Nature 589, 214 (2021), Extended Data Fig. 5 has the part"
_FIGURE_6: Final = "input: Nature 589, 214 (2021), Extended Data Fig. 6 has the part"
_TAKEN_OVER: Final = "stated parameter: that of the 625-MHz system; the paper gives none for this one"

_ANALYSER: Final = (
    Component("SMFC, chooses the basis", 0.2, f"{_TYPICAL} of the excess loss; the split itself is no loss"),
    Component("electric polarization controller", 0.1, f"{_TYPICAL} of three fibre squeezers"),
    Component("SMPBS, tells the states apart", 0.4, _TYPICAL),
    Component("connectors and splices", 0.2, _TYPICAL),
    Component(
        "what typical parts do not account for",
        2.5,
        "fitted: to the mean rates of Beijing and Shanghai (Nature 589, 214 (2021), Table 1), over both types, at "
        "blocks of 10^8 bits; the paper gives no loss of the receiver (docs/decisions/0009)",
    ),
)

METRO_40_I: Final = QKDSystem(
    name="metro-40-i",
    source=PulseSource(
        pulse_rate_hz=40e6,
        mean_photon_numbers=(0.6, 0.2, 0.0),
        p_intensities=(6 / 8, 1 / 8, 1 / 8),
        p_rectilinear=0.5,
        pulse_width_s=70e-12,
        modulation="four lasers, one per state; the decoy by the drive current of the same laser",
        optics=(
            Component("laser isolator", 0.5, f"{_TYPICAL}; Extended Data Table 1 names isolators", isolation_db=30.0),
            Component("PMFC, joins the lasers of one basis", 3.5, f"{_FIGURE_5}; {_TYPICAL}"),
            Component("PMFC at 45 degrees, joins the bases", 3.5, f"{_FIGURE_5}; {_TYPICAL}"),
            Component("SMFC, one beam for testing", 3.5, f"{_FIGURE_5}; {_TYPICAL}"),
            Component("variable optical attenuator", 40.0, f"{_FIGURE_5}; stated parameter: its setting"),
            Component("circulator, transmitter to fibre", 0.8, f"{_FIGURE_5}; {_TYPICAL}", isolation_db=50.0),
            Component("DWDM, with the clock", 0.6, f"{_FIGURE_5}; {_TYPICAL}", bandwidth_hz=100e9),
        ),
    ),
    receiver=PassiveReceiver(
        optics=(
            Component("DWDM, without the clock", 0.6, f"{_FIGURE_5}; {_TYPICAL}", bandwidth_hz=100e9),
            Component("circulator, fibre to receiver", 0.8, f"{_FIGURE_5}; {_TYPICAL}", isolation_db=50.0),
            *_ANALYSER,
        ),
        optical_error=BACKBONE_625.receiver.optical_error,
        p_rectilinear=0.5,
        detector=RECTANGULAR_GATED,
        double_clicks="earlier click",
    ),
    synchronization=BACKBONE_625.synchronization,
    is_transceiver=True,
    provenance={
        **dict.fromkeys(BACKBONE_625.provenance, _TAKEN_OVER),
        "source.pulse_rate_hz": "input: Nature 589, 214 (2021), caption of Extended Data Fig. 5 (40 MHz)",
    },
)
"""Type I: four lasers, no grating."""

METRO_40_II: Final = replace(
    METRO_40_I,
    name="metro-40-ii",
    source=replace(
        METRO_40_I.source,
        modulation="one laser; decoy by an intensity modulator, states by a phase modulator in a Sagnac loop",
        optics=(
            Component("laser isolator, two stages", 1.0, _TYPICAL, isolation_db=60.0),
            Component("intensity modulator", 4.0, f"{_FIGURE_6}; {_TYPICAL}"),
            Component("Sagnac loop: PCIR and phase modulator", 6.0, f"{_FIGURE_6}; {_TYPICAL}", isolation_db=50.0),
            Component("isolator behind the modulators", 0.6, _TYPICAL, isolation_db=30.0),
            Component("variable optical attenuator", 40.0, f"{_FIGURE_6}; stated parameter: its setting"),
            Component("circulator, transmitter to fibre", 0.8, f"{_FIGURE_6}; {_TYPICAL}", isolation_db=50.0),
            Component("DWDM 1", 0.6, f"{_FIGURE_6}; {_TYPICAL}", bandwidth_hz=100e9),
            Component("DWDM 2", 0.6, f"{_FIGURE_6}; {_TYPICAL}", bandwidth_hz=100e9),
        ),
    ),
    receiver=replace(
        METRO_40_I.receiver,
        optics=(
            Component("DWDM 2", 0.6, f"{_FIGURE_6}; {_TYPICAL}", bandwidth_hz=100e9),
            Component("DWDM 1", 0.6, f"{_FIGURE_6}; {_TYPICAL}", bandwidth_hz=100e9),
            Component("circulator, fibre to receiver", 0.8, f"{_FIGURE_6}; {_TYPICAL}", isolation_db=50.0),
            *_ANALYSER,
        ),
    ),
    provenance={
        **METRO_40_I.provenance,
        "source.pulse_rate_hz": "input: Nature 589, 214 (2021), caption of Extended Data Fig. 6 (40 MHz)",
    },
)
"""Type II: one laser, so that states cannot differ in colour. Detectors as in type I: its own figure names none."""
