"""The secret length with one decoy intensity and no vacuum, composably secure.

Source: Rusca, Boaron, Gruenenfelder, Martin, Zbinden, Appl. Phys. Lett. 112, 171104 (2018), arXiv:1801.03443,
appendix A: upper bound on vacuum events (A16), one-photon events (A17), lower bound on vacuum events (A19), phase
errors (A22, A23), length (A25). Formulas and equation numbers were compared with two public programs that cite them,
not with the paper's own page. The proof has 19 equal error terms; one basis makes the key of both intensities, the
other tests it. Deviations are Hoeffding's. As in ``finite_key``, few errors count as ``Deviation.min_errors``, which
the source lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from qanat.protocols.decoy import DECOY, SIGNAL, DecoyProtocol, Reckoning
from qanat.protocols.deviation import Deviation, Method, Quantity
from qanat.protocols.finite_key import (
    Basis,
    BasisBounds,
    correctness_cost_bits,
    one_basis_key,
    phase_error_upper,
    secrecy_cost_bits,
)

NUM_ERROR_TERMS: Final = 19


@dataclass(frozen=True, slots=True)
class OneDecoyProtocol:
    """Mean photon numbers mu1 > mu2 > 0 and the odds with which they are sent (they sum to 1)."""

    intensities: tuple[float, float]
    p_intensities: tuple[float, float]

    def __post_init__(self) -> None:
        if not self.intensities[0] > self.intensities[1] > 0:
            raise ValueError(f"intensities must hold mu1 > mu2 > 0, got {self.intensities}")
        if abs(sum(self.p_intensities) - 1) > 1e-12 or min(self.p_intensities) <= 0:
            raise ValueError(f"p_intensities must be positive and sum to 1, got {self.p_intensities}")


@dataclass(frozen=True, slots=True)
class OneDecoyBasis:
    """Sifted events and errors of one basis, (signal, decoy): numbers, or float64 arrays of one shape."""

    clicks: tuple[Any, Any]
    errors: tuple[Any, Any]


def without_vacuum(protocol: DecoyProtocol) -> OneDecoyProtocol:
    """Return the one-decoy protocol that is left when the vacuum pulses of three intensities are not looked at."""
    p_signal, p_decoy = protocol.p_intensities[SIGNAL], protocol.p_intensities[DECOY]
    both = p_signal + p_decoy
    return OneDecoyProtocol(protocol.intensities[:2], (p_signal / both, p_decoy / both))


def basis_without_vacuum(counts: Basis) -> OneDecoyBasis:
    """Return the counts of signal and decoy only."""
    return OneDecoyBasis(counts.clicks[:2], counts.errors[:2])


def one_decoy(
    key_basis: OneDecoyBasis,
    test_basis: OneDecoyBasis,
    protocol: OneDecoyProtocol,
    *,
    eps_sec: float,
    eps_cor: float,
    leaked_bits: Quantity,
    method: Method = Method.HOEFFDING,
) -> Reckoning:
    """Reckon the key of one basis, of one block or of many. Raises ValueError on counts that cannot be."""
    deviation = Deviation(eps_sec / NUM_ERROR_TERMS, method)
    key = one_decoy_bounds(key_basis, protocol, deviation)
    test = one_decoy_bounds(test_basis, protocol, deviation)
    return one_basis_key(
        key.vacuum_lower,
        key.single_photon_lower,
        phase_error_upper(key.single_photon_lower, test, deviation),
        leaked_bits=leaked_bits,
        secrecy=secrecy_cost_bits(eps_sec, num_error_terms=NUM_ERROR_TERMS),
        correctness=correctness_cost_bits(eps_cor),
    )


def one_decoy_bounds(counts: OneDecoyBasis, protocol: OneDecoyProtocol, deviation: Deviation) -> BasisBounds:
    """Bound vacuum events, one-photon events and one-photon errors of one basis; (A16) to (A19), (A22)."""
    pairs = zip(counts.clicks, counts.errors, strict=True)
    if not all(np.all((np.asarray(errors) >= 0) & (np.asarray(errors) <= clicks)) for clicks, errors in pairs):
        raise ValueError(f"counts that cannot be: {counts}")
    mu1, mu2 = protocol.intensities
    tau_0, tau_1 = (photon_number_odds(protocol, n) for n in (0, 1))
    low_n, high_n = _scaled(counts.clicks, protocol, deviation)
    low_m, high_m = _scaled(counts.errors, protocol, deviation)
    vacuum_lower = np.maximum(0.0, tau_0 / (mu1 - mu2) * (mu1 * low_n[1] - mu2 * high_n[0]))
    chance = 0.0 if deviation.method is Method.NONE else deviation.hoeffding(sum(counts.clicks))
    vacuum_upper = 2 * (tau_0 * high_m[1] + chance)
    multi_photon = mu2**2 / mu1**2 * high_n[0] + (mu1**2 - mu2**2) / mu1**2 * vacuum_upper / tau_0
    single = tau_1 * mu1 / (mu2 * (mu1 - mu2)) * (low_n[1] - multi_photon)
    errors = np.maximum(0.0, tau_1 / (mu1 - mu2) * (high_m[0] - low_m[1]))
    return BasisBounds(vacuum_lower, np.maximum(0.0, single), np.maximum(errors, deviation.min_errors()))


def photon_number_odds(protocol: OneDecoyProtocol, num_photons: int) -> float:
    """Odds that a pulse has 0 or 1 photons: tau of the paper."""
    pairs = zip(protocol.p_intensities, protocol.intensities, strict=True)
    return sum(p * math.exp(-mu) * mu**num_photons for p, mu in pairs)


def _scaled(counts: tuple[Any, Any], protocol: OneDecoyProtocol, deviation: Deviation) -> tuple[list[Any], list[Any]]:
    """Lower and upper bounds on e^mu / p_mu times the counts' means; below 0 clipped."""
    total = sum(counts)
    scale = [math.exp(mu) / p for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True)]
    pairs = list(zip(scale, counts, strict=True))
    low = [np.maximum(0.0, factor * deviation.mean_lower(count, num_trials=total)) for factor, count in pairs]
    return low, [factor * deviation.mean_upper(count, num_trials=total) for factor, count in pairs]
