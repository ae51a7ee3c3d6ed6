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
from qanat.physics.parts import (
    C_BAND_HZ,
    analyser,
    attenuator,
    circulator,
    coupler,
    isolator,
    multiplexer,
    shown_in,
)
from qanat.physics.system_record import PassiveReceiver, PulseSource, QKDSystem

_TYPICAL: Final = "stated parameter: a typical data-sheet value"
_TAKEN_OVER: Final = "stated parameter: that of the 625-MHz system; the paper gives none for this one"

_UNACCOUNTED: Final = Component(
    "what typical parts do not account for",
    2.5,
    "fitted: to the mean rates of Beijing and Shanghai (Nature 589, 214 (2021), Table 1), over both types, at blocks "
    "of 10^8 bits; the paper gives no loss of the receiver (docs/decisions/0009)",
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
            isolator(
                "laser isolator", loss_db=0.5, isolation_db=30.0, source="; Extended Data Table 1 names isolators"
            ),
            coupler("PMFC, joins the lasers of one basis", figure="Fig. 5"),
            coupler("PMFC at 45 degrees, joins the bases", figure="Fig. 5"),
            coupler("SMFC, one beam for testing", figure="Fig. 5"),
            attenuator("variable optical attenuator", loss_db=40.0, figure="Fig. 5"),
            circulator("circulator, transmitter to fibre", loss_db=0.8, figure="Fig. 5"),
            multiplexer("DWDM, with the clock", figure="Fig. 5"),
        ),
    ),
    receiver=PassiveReceiver(
        optics=(
            multiplexer("DWDM, without the clock", figure="Fig. 5"),
            circulator("circulator, fibre to receiver", loss_db=0.8, figure="Fig. 5"),
            *analyser(figure="Fig. 5"),
            _UNACCOUNTED,
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
            isolator("laser isolator, two stages", loss_db=1.0, isolation_db=60.0),
            Component("intensity modulator", 4.0, shown_in("Fig. 6", f"{_TYPICAL} of loss"), bandwidth_hz=C_BAND_HZ),
            Component(
                "Sagnac loop: PCIR and phase modulator",
                6.0,
                shown_in("Fig. 6", f"{_TYPICAL} of loss, the circulator's isolation and its splitter's extinction"),
                isolation_db=50.0,
                bandwidth_hz=C_BAND_HZ,
                port_isolation_db=25.0,
            ),
            isolator("isolator behind the modulators", loss_db=0.6, isolation_db=30.0),
            attenuator("variable optical attenuator", loss_db=40.0, figure="Fig. 6"),
            circulator("circulator, transmitter to fibre", loss_db=0.8, figure="Fig. 6"),
            multiplexer("DWDM 1", figure="Fig. 6"),
            multiplexer("DWDM 2", figure="Fig. 6"),
        ),
    ),
    receiver=replace(
        METRO_40_I.receiver,
        optics=(
            multiplexer("DWDM 2", figure="Fig. 6"),
            multiplexer("DWDM 1", figure="Fig. 6"),
            circulator("circulator, fibre to receiver", loss_db=0.8, figure="Fig. 6"),
            *analyser(figure="Fig. 6"),
            _UNACCOUNTED,
        ),
    ),
    provenance={
        **METRO_40_I.provenance,
        "source.pulse_rate_hz": "input: Nature 589, 214 (2021), caption of Extended Data Fig. 6 (40 MHz)",
    },
)
"""Type II: one laser, so that states cannot differ in colour. Detectors as in type I: its own figure names none."""
