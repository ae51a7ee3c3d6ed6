"""Telescopes at both ends of a downlink, as records; where each figure is from stands beside it.

Receiving optics have three parts: what lenses and mirrors pass, what the collection system couples in (this is what a
lesser magnification raised from 14 to 40 %), and the peak of the spectral filter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.free_space import BeamShape, background_scale, pointing_share, share_db
from qanat.physics.optics import Component

_TABLE_3: Final = "input: Nature 589, 214 (2021), Extended Data Table 3"
_TEXT: Final = "input: Nature 589, 214 (2021), main text"
_METHODS: Final = "input: Nature 589, 214 (2021), Methods"

JITTER_URAD: Final = 2.5
"""Of Micius about each axis (rms): what leaves half of a beam of 10 urad, as Extended Data Table 3 has it."""


@dataclass(frozen=True, slots=True)
class SpaceTelescope:
    """The sender's: divergence (full angle at 1/e^2), how the spot is filled, what pointing leaves of the light."""

    divergence_urad: float = 10.0
    shape: BeamShape = "gaussian"
    pointing_efficiency: float = 0.5
    provenance: Mapping[str, str] = field(
        default_factory=lambda: {
            "divergence_urad": f"{_TABLE_3} (LEO, 10 urad)",
            "shape": "derived: of the two, the one that gives the -37 dB of Extended Data Table 3",
            "pointing_efficiency": f"{_TABLE_3} (LEO, 0.5: a jitter of 2.5 urad about each axis)",
        },
        compare=False,
    )

    def __post_init__(self) -> None:
        if not 0 < self.divergence_urad < math.inf:
            raise ConfigurationError(
                f"a beam of {self.divergence_urad} urad does not spread", remedy="give a positive divergence in urad"
            )
        _check_share("pointing", self.pointing_efficiency)

    def jittering(self, jitter_urad: float) -> SpaceTelescope:
        """Return the telescope with the pointing loss of a jitter about each axis (rms, microradian); raises
        ConfigurationError for a jitter that is none."""
        if not 0 <= jitter_urad < math.inf:
            raise ConfigurationError(f"a jitter of {jitter_urad:g} urad is none", remedy="give 0 urad or more")
        share = pointing_share(jitter_urad=jitter_urad, divergence_urad=self.divergence_urad)
        origin = {**self.provenance, "pointing_efficiency": f"predicted (model): a jitter of {jitter_urad:g} urad"}
        return replace(self, pointing_efficiency=share, provenance=origin)


@dataclass(frozen=True, slots=True)
class GroundTelescope:
    """The receiver's.

    magnification: of telescope and beam expander together. p_rectilinear: odds of the rectilinear (Z) basis at the
    receiver's beam splitter. field_of_view_urad: full angle on the sky at that magnification; only turbulence asks it.
    """

    name: str
    diameter_m: float
    p_rectilinear: float
    magnification: float = 450.0
    coupling: float = 0.40
    optics: float = 0.75
    filter_nm: float = 5.0
    filter_share: float = 1.0
    field_of_view_urad: float = 100.0
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("diameter_m", "magnification", "filter_nm", "field_of_view_urad"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(
                    f"{self.name}: {name} is {getattr(self, name)}", remedy="give a positive number"
                )
        for name in ("coupling", "optics", "filter_share"):
            _check_share(f"{self.name}: {name}", getattr(self, name))

    @property
    def receiving_share(self) -> float:
        """What of the light in the aperture reaches the detectors."""
        return self.optics * self.coupling * self.filter_share

    @property
    def components(self) -> tuple[Component, ...]:
        """The receiving optics as the chain of a receiver's record."""
        parts = (("telescope and basis analyser", "optics"), ("coupling", "coupling"), ("filter", "filter_share"))
        return tuple(
            Component(name, float(share_db(getattr(self, what))), self.provenance.get(what, "input: the command"))
            for name, what in parts
        )

    def background_ratio(self, other: GroundTelescope) -> float:
        """How many times the other's light of the sky this one lets in."""
        return _sky(self) / _sky(other)


def _sky(telescope: GroundTelescope) -> float:
    return background_scale(
        magnification=telescope.magnification,
        filter_nm=telescope.filter_nm,
        diameter_m=telescope.diameter_m,
        receiving_share=telescope.optics * telescope.filter_share,
    )


def _check_share(what: str, share: float) -> None:
    if not 0 < share <= 1:
        raise ConfigurationError(f"{what}: a share of {share}", remedy="give a share above 0, up to 1")


_OPTICS: Final = {
    "optics": f"derived: 0.30, the optical receiving efficiency of {_TABLE_3[7:]}, over the coupling of 0.40",
    "coupling": f"{_METHODS} (40 %, before 14 %)",
    "filter_share": "stated parameter: the peak of the filter is counted within the optics",
    "filter_nm": f"{_TEXT} (5 nm, before 10 nm)",
    "magnification": f"{_TEXT} (450 times, before 1,500)",
    "field_of_view_urad": "stated parameter: 100 urad; only turbulence, which is off unless asked for, depends on it",
}

NANSHAN: Final = GroundTelescope(
    name="nanshan",
    diameter_m=1.2,
    p_rectilinear=0.9,
    provenance={
        **_OPTICS,
        "diameter_m": f"{_TEXT} (1,200 mm)",
        "p_rectilinear": f"{_METHODS} and Extended Data Fig. 3 (10:90 beam splitter)",
    },
)
XINGLONG: Final = GroundTelescope(
    name="xinglong",
    diameter_m=1.0,
    p_rectilinear=0.5,
    provenance={
        **_OPTICS,
        "diameter_m": "input: Nature 589, 214 (2021), Extended Data Fig. 2 (1-m telescope)",
        "p_rectilinear": "input: Nature 589, 214 (2021), Extended Data Fig. 3 (50:50 beam splitter)",
    },
)
XINGLONG_2017: Final = replace(
    XINGLONG,
    name="xinglong-2017",
    magnification=1500.0,
    coupling=0.14,
    filter_nm=10.0,
    field_of_view_urad=30.0,
)
"""Before the receiving optics were changed: magnification 1,500, coupling 14 %, filter 10 nm."""

GROUND_TELESCOPES: Final[Mapping[str, GroundTelescope]] = {one.name: one for one in (NANSHAN, XINGLONG, XINGLONG_2017)}


def ground_telescope(name: str) -> GroundTelescope:
    """Return the telescope of that name; raises ConfigurationError, which lists the names there are."""
    try:
        return GROUND_TELESCOPES[name.lower()]
    except KeyError:
        known = ", ".join(GROUND_TELESCOPES)
        raise ConfigurationError(f"there is no ground station {name!r}", remedy=f"known stations: {known}") from None
