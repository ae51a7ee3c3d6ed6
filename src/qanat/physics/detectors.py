"""Single-photon detectors as records: three kinds of the paper, with what each number is.

**Dark counts** are those that can become events: odds per pulse, inside the gate or the coincidence window.
**Hold-off** is the detector's own: after a click it is dead for ``hold_off_s``, whatever the other detectors do.
**After-pulses**: a click leaves a charge with odds ``p_afterpulse``; after the hold-off it is released at the rate
1 / ``afterpulse_decay_s`` and is a click of its own, unless another click of the detector came first.
**Time**: of the photons that make a click, those count whose click falls into gate and window.

Left out, because the records make it small: clicks that gate or window discard start a hold-off too. In the empty gates
at 625 MHz dark counts (188 per second and 1 us each) take 0.02 % of the live time, and after-pulses (half of them come
there, 0.5 % of the clicks) 0.2 % at 10 dB and 0.03 % at 20 dB. Dark counts of a free-running detector (1,000 per second
and 50 ns) take 0.005 %, its after-pulses outside the window 0.02 % at 10 dB. Steady light (``physics.raman``) makes as
many clicks in an empty gate as in a full one, and three in a gate of 1.6 ns for each in its window of 400 ps: 4 % of
the live time at 6e-5 clicks per slot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from qanat.ground.errors import ConfigurationError
from qanat.physics.timing import FWHM_PER_SIGMA


@dataclass(frozen=True, slots=True)
class SinglePhotonDetector:
    """A threshold detector: it clicks or it does not, however many photons come.

    gate_rate_hz, gate_width_s: of a gated detector; None when it runs freely. coincidence_window_s: clicks farther than
    half of it from the expected time are dropped; None when every click in the slot counts.
    efficiency_counts_window: whether ``efficiency`` was measured with gate and window as they are here, so that what
    falls outside is in it already. provenance: one entry per number.
    """

    kind: str
    efficiency: float
    p_dark_per_gate: float
    hold_off_s: float
    p_afterpulse: float = 0.0
    afterpulse_decay_s: float = 1e-6
    jitter_fwhm_s: float = 0.0
    gate_rate_hz: float | None = None
    gate_width_s: float | None = None
    coincidence_window_s: float | None = None
    efficiency_counts_window: bool = True
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for name in ("efficiency", "p_dark_per_gate", "p_afterpulse"):
            value = getattr(self, name)
            if not 0 <= value < 1 and not (name == "efficiency" and value == 1):
                raise ConfigurationError(
                    f"detector {self.kind!r}: {name} is {value}", remedy="give odds from 0 up to, but without, 1"
                )
        for name in ("hold_off_s", "jitter_fwhm_s"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ConfigurationError(
                    f"detector {self.kind!r}: {name} is {value}", remedy="give seconds, zero or more"
                )
        for name in ("afterpulse_decay_s", "gate_rate_hz", "gate_width_s", "coincidence_window_s"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigurationError(
                    f"detector {self.kind!r}: {name} is {value}", remedy="give a positive number, or leave it out"
                )
        if (self.gate_rate_hz is None) != (self.gate_width_s is None):
            raise ConfigurationError(
                f"detector {self.kind!r}: a gate has a rate and a width", remedy="give both, or neither"
            )

    def share_in_window(self, *, pulse_width_s: float) -> float:
        """Return the share of a pulse's clicks that gate and window keep: 0 to 1.

        pulse_width_s: full width at half maximum. Gaussian pulse and jitter, both centred. The gate sees the light's
        own spread, the window that of light and jitter together; the two are taken as independent, which is exact
        where one of them keeps everything.
        """
        gate = _share_within(self.gate_width_s, pulse_width_s)
        return gate * _share_within(self.coincidence_window_s, math.hypot(pulse_width_s, self.jitter_fwhm_s))

    def counted_efficiency(self, *, pulse_width_s: float) -> float:
        """Return the odds that a photon makes a click that counts."""
        if self.efficiency_counts_window:
            return self.efficiency
        return self.efficiency * self.share_in_window(pulse_width_s=pulse_width_s)

    def counted_time_s(self, *, slot_s: float) -> float:
        """Return for how long per slot light that knows no clock makes clicks that count: gate, window, or the slot.

        A gate of an effective width counts as fully open that long.
        """
        widths = (slot_s, self.gate_width_s, self.coincidence_window_s)
        return min(width_s for width_s in widths if width_s is not None)


def _share_within(width_s: float | None, fwhm_s: float) -> float:
    """The share of a Gaussian within ``width_s`` round its centre."""
    if width_s is None or fwhm_s == 0:
        return 1.0
    return math.erf(width_s / 2 / (math.sqrt(2) * fwhm_s / FWHM_PER_SIGMA))


_METHODS: Final = "input: Nature 589, 214 (2021), Methods, single-photon detectors"
_CAPTION: Final = "input: Nature 589, 214 (2021), caption of Extended Data Fig. 5"

RECTANGULAR_P_AFTERPULSE: Final = 0.01
"""Of the rectangular-gated detector; the other InGaAs/InP detector takes it over."""
SINE_GATED_P_AFTERPULSE: Final = RECTANGULAR_P_AFTERPULSE
"""Of the sine-gated detector, in whichever gate they come; the 625-MHz system sees those in every other gate."""

SINE_GATED: Final = SinglePhotonDetector(
    kind="InGaAs/InP, sine-gated",
    efficiency=0.11,
    p_dark_per_gate=3e-7,
    hold_off_s=1e-6,
    p_afterpulse=SINE_GATED_P_AFTERPULSE / 2,
    afterpulse_decay_s=1e-6,
    jitter_fwhm_s=100e-12,
    gate_rate_hz=1.25e9,
    gate_width_s=180e-12,
    coincidence_window_s=None,
    efficiency_counts_window=True,
    provenance={
        "efficiency": f"{_METHODS} (11 %, at the best delay of the gate)",
        "p_dark_per_gate": f"{_METHODS}; one gate per pulse counts, a click in a gate between two pulses is no event",
        "hold_off_s": _METHODS,
        "p_afterpulse": (
            "stated parameter: 1 %, the paper's upper bound for its other InGaAs/InP detector, of which half falls "
            "into the gates between two pulses and is no event; it gives no figure for this one (docs/decisions/0009)"
        ),
        "afterpulse_decay_s": "stated parameter: 1 us, typical of InGaAs/InP",
        "jitter_fwhm_s": "stated parameter: 100 ps, typical; without effect, as the gate alone selects",
        "gate_rate_hz": f"{_METHODS} (1.25 GHz)",
        "gate_width_s": f"{_METHODS} (effective width, about 180 ps)",
    },
)
"""The detector of the backbone."""

RECTANGULAR_GATED: Final = SinglePhotonDetector(
    kind="InGaAs/InP, rectangular gates",
    efficiency=0.15,
    p_dark_per_gate=250 / 40e6,
    hold_off_s=5e-6,
    p_afterpulse=RECTANGULAR_P_AFTERPULSE,
    afterpulse_decay_s=2e-6,
    jitter_fwhm_s=200e-12,
    gate_rate_hz=40e6,
    gate_width_s=1.6e-9,
    coincidence_window_s=400e-12,
    efficiency_counts_window=True,
    provenance={
        "efficiency": f"{_CAPTION} (about 15 %, at this gate and coincidence width)",
        "p_dark_per_gate": f"{_CAPTION}: its upper bound, 250 per second over 40 million gates",
        "hold_off_s": f"{_CAPTION} (dead time 5 us)",
        "p_afterpulse": f"{_CAPTION}: its upper bound, 1 %",
        "afterpulse_decay_s": "stated parameter: 2 us, typical of cooled InGaAs/InP; the paper gives none",
        "jitter_fwhm_s": "stated parameter: 200 ps, typical; the paper gives none",
        "gate_rate_hz": f"{_CAPTION} (40 MHz)",
        "gate_width_s": f"{_CAPTION} (1.6 ns)",
        "coincidence_window_s": f"{_CAPTION} (400 ps)",
    },
)
"""The detector of the metropolitan networks. Both dark counts and after-pulses stand at the paper's upper bounds."""

UP_CONVERSION_DARKS_PER_S: Final = 1000.0
UP_CONVERSION_P_AFTERPULSE: Final = 0.005
"""Of the free-running detector, whenever they come; of both, a system sees what falls into its coincidence window."""

UP_CONVERSION: Final = SinglePhotonDetector(
    kind="up-conversion, free-running",
    efficiency=0.22,
    p_dark_per_gate=UP_CONVERSION_DARKS_PER_S * 400e-12,
    hold_off_s=50e-9,
    p_afterpulse=UP_CONVERSION_P_AFTERPULSE * 400e-12 * 625e6,
    afterpulse_decay_s=50e-9,
    jitter_fwhm_s=150e-12,
    coincidence_window_s=400e-12,
    efficiency_counts_window=False,
    provenance={
        "efficiency": f"{_METHODS} (roughly 22 %)",
        "p_dark_per_gate": f"{_METHODS}: roughly 1,000 per second, of which those within a window of 400 ps",
        "hold_off_s": "stated parameter: 50 ns, typical of the silicon diode behind the crystal; the paper gives none",
        "p_afterpulse": (
            "stated parameter: 0.5 %, typical of silicon diodes, of which a quarter falls into a window of 400 ps in "
            "slots of 1.6 ns; the paper gives none"
        ),
        "afterpulse_decay_s": "stated parameter: 50 ns, typical of silicon diodes; the paper gives none",
        "jitter_fwhm_s": "stated parameter: 150 ps, typical; the paper gives none",
        "coincidence_window_s": "stated parameter: 400 ps, the window that the paper gives for its 40-MHz systems",
    },
)
"""The detector for longer distances."""
