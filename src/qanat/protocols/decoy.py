"""Decoy-state BB84 with three intensities: what the two parties agree on beforehand, and what they count.

Source: Methods of the paper (mean photon numbers 0.6, 0.2, 0; ratio 6:1:1; 10 % of the signal disclosed); notation of
Lim et al., PRA 89, 022307 (2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.constants import TAGGED_PHASES

SIGNAL: Final = 0
DECOY: Final = 1
VACUUM: Final = 2
INTENSITY_NAMES: Final = ("signal", "decoy", "vacuum")
BASIS_NAMES: Final = ("rectilinear", "diagonal")
SESSION_TAGS: Final = 2 * TAGGED_PHASES
"""Tags of a session: one per phase and direction."""


@dataclass(frozen=True, slots=True)
class DecoyProtocol:
    """The public parameters of a session.

    ``intensities`` are mean photon numbers mu1 > mu2 + mu3, mu2 > mu3 >= 0 in the order signal, decoy, vacuum, with
    ``p_intensities``; ``p_rectilinear`` is each party's odds of the rectilinear basis. The fraction
    ``signal_disclosed`` of the sifted signal is told in clear, with all of decoy and vacuum.
    """

    intensities: tuple[float, float, float] = (0.6, 0.2, 0.0)
    p_intensities: tuple[float, float, float] = (6 / 8, 1 / 8, 1 / 8)
    p_rectilinear: float = 0.5
    signal_disclosed: float = 0.1

    def __post_init__(self) -> None:
        mu1, mu2, mu3 = self.intensities
        if not (mu1 > mu2 + mu3 and mu2 > mu3 >= 0):
            raise ValueError(f"intensities must hold mu1 > mu2 + mu3 and mu2 > mu3 >= 0, got {self.intensities}")
        if abs(sum(self.p_intensities) - 1) > 1e-12 or min(self.p_intensities) <= 0:
            raise ValueError(f"p_intensities must be positive and sum to 1, got {self.p_intensities}")
        if not 0 < self.p_rectilinear < 1 or not 0 < self.signal_disclosed < 1:
            raise ValueError("p_rectilinear and signal_disclosed must lie between 0 and 1")


@dataclass(frozen=True, slots=True)
class DecoyProtocolArrays:
    """The parameters of many sessions that a proof reads of ``DecoyProtocol``: every number is a float64 array of one
    shape. For looking for the best ones; what no session can have is not refused here."""

    intensities: tuple[Any, Any, Any]
    p_intensities: tuple[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class BasisCounts:
    """Sifted events where both parties chose this basis, per intensity (signal, decoy, vacuum).

    ``clicks[k]``: events, disclosed or not. ``errors[k]``: of these, those in which the bits differ; for the signal
    that is the disclosed errors plus the exact number that error correction found. ``key_bits``: signal events that
    were not disclosed, all verified equal: they make the key.
    """

    clicks: tuple[int, int, int]
    errors: tuple[int, int, int]
    key_bits: int


@dataclass(frozen=True, slots=True)
class DecoyCounts:
    """All a proof needs to know of a session: one record per basis (rectilinear, diagonal)."""

    rectilinear: BasisCounts
    diagonal: BasisCounts


@dataclass(frozen=True, slots=True)
class BasisCountArrays:
    """``BasisCounts`` of many blocks: every number is a float64 array of one shape."""

    clicks: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    errors: tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
    key_bits: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DecoyCountArrays:
    """``DecoyCounts`` of many blocks."""

    rectilinear: BasisCountArrays
    diagonal: BasisCountArrays


@dataclass(frozen=True, slots=True)
class SecurityParameters:
    """Failure probabilities of one amplification block; they add up (``total``), and over blocks once more.

    ``eps_sec``: distance from a key that Eve knows nothing of. ``eps_cor``: the two keys differ. ``eps_auth``: one
    forged tag, of ``num_tags``, which are no fewer than a session has.
    """

    eps_sec: float = 0.999e-9
    eps_cor: float = 1e-15
    eps_auth: float = 1e-22
    num_tags: int = SESSION_TAGS

    def __post_init__(self) -> None:
        for name, value in (("eps_sec", self.eps_sec), ("eps_cor", self.eps_cor), ("eps_auth", self.eps_auth)):
            if not 0 < value < 1:
                raise ValueError(f"{name} is a probability: it must lie between 0 and 1, got {value}")
        if self.num_tags < SESSION_TAGS:
            raise ValueError(f"a session has {SESSION_TAGS} tags, num_tags must count them all, got {self.num_tags}")

    @property
    def total(self) -> float:
        return self.eps_sec + self.eps_cor + self.num_tags * self.eps_auth


@dataclass(frozen=True, slots=True)
class SecretLength:
    """The length of the secret key and every term that led to it (bits; ``terms`` by the names of the proof)."""

    num_bits: int
    proof: str
    phase_error_upper: tuple[float, float]
    single_photon_lower: tuple[float, float]
    vacuum_lower: tuple[float, float]
    terms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What a proof makes of counts, before rounding: numbers for one block, float64 arrays for many.

    ``length`` may be negative; the tuples are per basis (rectilinear, diagonal), a basis that makes no key has zeros.
    """

    length: Any
    phase_error_upper: tuple[Any, Any]
    single_photon_lower: tuple[Any, Any]
    vacuum_lower: tuple[Any, Any]
    terms: dict[str, Any]

    def secret_length(self, proof: str) -> SecretLength:
        """Return the length of one block, whole and not negative, under the name of its proof."""
        return SecretLength(
            num_bits=max(0, math.floor(self.length)),
            proof=proof,
            phase_error_upper=_pair(self.phase_error_upper),
            single_photon_lower=_pair(self.single_photon_lower),
            vacuum_lower=_pair(self.vacuum_lower),
            terms={name: float(value) for name, value in self.terms.items()},
        )


def _pair(values: tuple[Any, Any]) -> tuple[float, float]:
    return float(values[0]), float(values[1])
