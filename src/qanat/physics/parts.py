"""The optical parts that the records of systems are made of: typical figures of data sheets, each said to be *stated*.

The paper (Nature 589, 214, 2021) shows which parts there are and gives hardly a figure of them. ``figure`` says where
it shows a part ("Fig. 4" of its Extended Data); "" for one that it does not show.
"""

from __future__ import annotations

from typing import Final

from qanat.ground.constants import SPEED_OF_LIGHT_M_PER_S
from qanat.physics.optics import Component

C_BAND_HZ: Final = SPEED_OF_LIGHT_M_PER_S / 1530e-9 - SPEED_OF_LIGHT_M_PER_S / 1565e-9
"""Width of the C band, 1,530 to 1,565 nm (ITU-T G-series supplement 39): 4.4 THz. Most micro-optical parts have it."""

FLAT_COUPLER_HZ: Final = SPEED_OF_LIGHT_M_PER_S / 700e-9 - SPEED_OF_LIGHT_M_PER_S / 1700e-9
"""Of the receiver's beam splitter: its ratio is almost uniform from 700 to 1,700 nm (Extended Data Table 1)."""

_STATED: Final = "stated parameter: a typical data-sheet value"


def shown_in(figure: str, words: str) -> str:
    """Return a provenance: where the paper shows the part, and what is stated of it."""
    return f"input: Nature 589, 214 (2021), Extended Data {figure} has the part; {words}" if figure else words


def isolator(name: str, *, loss_db: float, isolation_db: float, source: str = "") -> Component:
    """A laser isolator for the C band; ``source`` adds where the paper names it."""
    words = f"{_STATED} of loss, isolation and bandwidth{source}"
    return Component(name, loss_db, words, isolation_db=isolation_db, bandwidth_hz=C_BAND_HZ)


def coupler(name: str, *, figure: str) -> Component:
    """A balanced coupler of which one output goes on: 3 dB and an excess loss of 0.5 dB."""
    words = f"{_STATED}: half of the light and 0.5 dB, directivity, bandwidth"
    return Component(name, 3.5, shown_in(figure, words), bandwidth_hz=C_BAND_HZ, port_isolation_db=55.0)


def circulator(name: str, *, loss_db: float, figure: str) -> Component:
    """A circulator for the C band; ``loss_db`` of as many passes as light makes through it."""
    words = f"{_STATED} of loss, isolation, directivity and bandwidth"
    return Component(
        name, loss_db, shown_in(figure, words), isolation_db=50.0, bandwidth_hz=C_BAND_HZ, port_isolation_db=50.0
    )


def attenuator(name: str, *, loss_db: float, figure: str) -> Component:
    """An attenuator at its setting: the same loss both ways, at every wavelength."""
    return Component(name, loss_db, shown_in(figure, "stated parameter: its setting"))


def multiplexer(name: str, *, figure: str) -> Component:
    """A thin-film filter of a 100-GHz grid that parts quantum light and clock.

    The paper's text calls it DWDM. The caption of Extended Data Fig. 4 also lists the ports of a CWDM device (common,
    pass, reflect) and does not say where that stands; this part is taken for both.
    """
    words = f"{_STATED} of a 100-GHz grid: loss, bandwidth, isolation of the neighbouring channel"
    return Component(name, 0.6, shown_in(figure, words), bandwidth_hz=100e9, port_isolation_db=30.0)


def analyser(*, figure: str) -> tuple[Component, ...]:
    """The receiver from its beam splitter to a detector: 0.9 dB."""
    return (
        Component(
            "SMFC, chooses the basis",
            0.2,
            shown_in(
                figure, f"bandwidth: Extended Data Table 1; {_STATED} of excess loss (a split is none), directivity"
            ),
            bandwidth_hz=FLAT_COUPLER_HZ,
            port_isolation_db=55.0,
        ),
        Component("electric polarization controller", 0.1, shown_in(figure, f"{_STATED} of three fibre squeezers")),
        Component(
            "SMPBS, tells the states apart",
            0.4,
            shown_in(figure, f"{_STATED} of loss, extinction and bandwidth; the optical error holds the extinction"),
            bandwidth_hz=C_BAND_HZ,
            port_isolation_db=25.0,
        ),
        Component("connectors and splices", 0.2, _STATED),
    )
