"""How the source of the Micius satellite runs: its eight lasers, its modes, and how old random numbers get new odds.

Eight laser diodes stand for four states, two each. By default one of a pair is the signal's and the other the decoy's,
and each fires in every other pulse: 100 MHz. In the backup mode both of a pair can be either, and they take turns:
200 MHz (Nature 589, 214, 2021, Methods).

**New odds from old numbers.** On board, random numbers are drawn for even odds of the states and halves and quarters of
the intensities. Software that was sent up later reads so many of their bits together as one number and looks up, in a
table, what to send. ``NumberMap`` is such a table: its odds are whole multiples of 2^-``num_bits``.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import ConfigurationError
from qanat.physics.system_record import PulseSource

STATES: Final = ("H", "V", "+", "-")
NUM_INTENSITIES: Final = 3
MOST_MAP_BITS: Final = 24


@dataclass(frozen=True, slots=True)
class LaserDiode:
    """One of the eight. intensities: what it may send, 0 signal, 1 decoy; a vacuum pulse is none of them."""

    name: str
    state: str
    intensities: tuple[int, ...]


def _diodes(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[LaserDiode, ...]:
    pairs = ((state, sends) for state in STATES for sends in (first, second))
    return tuple(LaserDiode(f"LD{number + 1}", state, sends) for number, (state, sends) in enumerate(pairs))


DEFAULT_DIODES: Final = _diodes((0,), (1,))
BACKUP_DIODES: Final = _diodes((0, 1), (0, 1))


@dataclass(frozen=True, slots=True)
class SourceMode:
    """A way to run a satellite's source. The numbers are those of ``PulseSource``."""

    name: str
    pulse_rate_hz: float
    mean_photon_numbers: tuple[float, float, float]
    p_intensities: tuple[float, float, float]
    p_rectilinear: float
    diodes: tuple[LaserDiode, ...]
    provenance: Mapping[str, str] = field(default_factory=dict, compare=False)

    def source(self) -> PulseSource:
        """Return the record of the source in this mode; raises ConfigurationError where it can be none."""
        return PulseSource(
            pulse_rate_hz=self.pulse_rate_hz,
            mean_photon_numbers=self.mean_photon_numbers,
            p_intensities=self.p_intensities,
            p_rectilinear=self.p_rectilinear,
            pulse_width_s=0.2e-9,
            modulation=f"eight laser diodes, two per state; mode {self.name!r}",
        )

    @property
    def odds(self) -> NDArray[np.float64]:
        """Odds of each intensity with each state; float64, shape (3, 4), sum 1."""
        p_states = np.repeat([self.p_rectilinear / 2, (1 - self.p_rectilinear) / 2], 2)
        return np.outer(self.p_intensities, p_states)


@dataclass(frozen=True, slots=True)
class NumberMap:
    """A table from random numbers of ``num_bits`` bits to what is sent.

    table: uint8, shape (2^num_bits,): 4 x intensity + state.
    """

    num_bits: int
    table: NDArray[np.uint8] = field(compare=False)

    def look_up(self, numbers: NDArray[np.uint32]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return intensity (0 to 2) and state (0 to 3, as ``STATES``) for random numbers; the shape of the numbers."""
        cells = self.table[numbers]
        return cells >> np.uint8(2), cells & np.uint8(3)

    @property
    def odds(self) -> NDArray[np.float64]:
        """The odds that the table gives; float64, shape (3, 4), sum 1."""
        counts = np.bincount(self.table, minlength=4 * NUM_INTENSITIES)
        return counts.reshape(NUM_INTENSITIES, 4) / self.table.size


def number_map(odds: NDArray[np.float64], *, num_bits: int) -> NumberMap:
    """Return the table whose odds are nearest to those wanted.

    odds: float64, shape (3, 4), sum 1. Each cell gets its share of the 2^num_bits numbers rounded down; those that are
    left go to the greatest remainders, so that no odds are off by 2^-num_bits or more. Raises ConfigurationError.
    """
    if not 1 <= num_bits <= MOST_MAP_BITS:
        raise ConfigurationError(
            f"a table of random numbers of {num_bits} bits cannot be made",
            remedy=f"give 1 to {MOST_MAP_BITS} bits; 16 bring every odds within 1.6e-5",
        )
    if odds.shape != (NUM_INTENSITIES, 4) or odds.min() < 0 or abs(odds.sum() - 1) > 1e-12:
        raise ConfigurationError("odds of intensities and states are none", remedy="give 3 x 4 odds that add up to 1")
    exact = odds.ravel() * 2**num_bits
    counts = np.floor(exact).astype(np.int64)
    left = 2**num_bits - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:left]] += 1
    return NumberMap(num_bits, np.repeat(np.arange(4 * NUM_INTENSITIES, dtype=np.uint8), counts))


_METHODS: Final = "input: Nature 589, 214 (2021), Methods, satellite-to-ground QKD"
_2017: Final = "stated parameter: after Liao et al., Nature 549, 43 (2017)"
_STANDARD: Final = f"{_METHODS} (before: signal ratio 0.5, Z basis 0.5)"

THIS_WORK: Final = SourceMode(
    name="this-work",
    pulse_rate_hz=200e6,
    mean_photon_numbers=(0.5, 0.08, 0.0),
    p_intensities=(0.72, 0.18, 0.10),
    p_rectilinear=0.889,
    diodes=BACKUP_DIODES,
    provenance={
        "source.pulse_rate_hz": f"{_METHODS} (backup mode, 200 MHz)",
        "source.mean_photon_numbers": f"{_METHODS} (0.5, 0.08)",
        "source.p_intensities": f"{_METHODS} (0.72:0.18:0.1)",
        "source.p_rectilinear": f"{_METHODS} (Z 0.889 in the satellite)",
    },
)
STANDARD_2017: Final = SourceMode(
    name="standard-2017",
    pulse_rate_hz=100e6,
    mean_photon_numbers=(0.8, 0.1, 0.0),
    p_intensities=(0.5, 0.25, 0.25),
    p_rectilinear=0.5,
    diodes=DEFAULT_DIODES,
    provenance={
        "source.pulse_rate_hz": f"{_METHODS} (default mode, 100 MHz)",
        "source.mean_photon_numbers": f"{_2017}: 0.8 and 0.1",
        "source.p_intensities": f"{_STANDARD}; {_2017}: 0.25 and 0.25",
        "source.p_rectilinear": _STANDARD,
    },
)
TIANGONG_2: Final = SourceMode(
    name="tiangong-2",
    pulse_rate_hz=100e6,
    mean_photon_numbers=(0.8, 0.1, 0.0),
    p_intensities=(0.5, 0.25, 0.25),
    p_rectilinear=0.5,
    diodes=DEFAULT_DIODES,
    provenance=dict.fromkeys(
        ("source.pulse_rate_hz", "source.mean_photon_numbers", "source.p_intensities", "source.p_rectilinear"),
        "stated parameter: that of Micius in 2017; of Tiangong-2 the paper gives key (91 bit/s), ranges (388 to 719 "
        "km) and orbit (400 km) alone",
    ),
)

SOURCE_MODES: Final[Mapping[str, SourceMode]] = {mode.name: mode for mode in (THIS_WORK, STANDARD_2017, TIANGONG_2)}


def source_mode(name: str) -> SourceMode:
    """Return the mode of that name; raises ConfigurationError, which lists the names there are."""
    try:
        return SOURCE_MODES[name]
    except KeyError:
        known = ", ".join(SOURCE_MODES)
        raise ConfigurationError(f"there is no source mode {name!r}", remedy=f"known modes: {known}") from None


def diode_for(mode: SourceMode, *, pulse: int, intensity: int, state: int) -> LaserDiode | None:
    """Return the diode that sends a pulse; None for vacuum. In the backup mode the two of a pair take turns."""
    able = [one for one in mode.diodes if one.state == STATES[state] and intensity in one.intensities]
    return next(itertools.islice(able, pulse % len(able), None)) if able else None
