"""The secret length by the recipe of Fung, Ma, Chau, PRA 81, 012318 (2010), arXiv:0910.0312, with its costs.

The recipe is for single photons; here it is put on the decoy-state bounds of ``finite_key`` (Hoeffding), both bases,
undisclosed signal only, events without a photon left out. Its own parts:

- The phase error rate of n_z events, seen as e in n_x events, exceeds e + theta with odds below
  ``sqrt((n_x + n_z) / (e (1 - e) n_x n_z)) 2^(-(n_x + n_z) xi(theta))``,
  ``xi(theta) = h(e + theta - q theta) - q h(e) - (1 - q) h(e + theta)``, ``q = n_x / (n_x + n_z)``;
  theta is solved for, not approximated. The deviation term of Lim et al. 2014 is larger than the leading order of this
  theta by 1/ln 2.
- A tag of k bits on n bits is forged with odds ``n 2^(1 - k)`` and costs k bits of key: one for each party's bases,
  one for verification (at ``eps_cor``), one for the hash of privacy amplification, whose Toeplitz matrix has
  n + l - 1 bits.
- Privacy amplification fails with odds 2^-t and costs t bits.

Its epsilon is a probability that something fails. The distance from an ideal key that follows from a failure
probability p is sqrt(p (2 - p)), 4.5e-5 for 1e-9, so a figure at 1e-9 is no composable security of 1e-9: labelled so.
The formulas are from memory of the paper: of its page no more than the abstract was to be had, and no public quotation
of them. Against the exact hypergeometric law the sampling bound, in this form, holds for every single outcome. For the
tail, which is what is meant, it holds up to about a hundred errors; for thousands the odds reach four times what is
paid for, for 2 million eighty times. One more reason for the label: no key is made by this proof.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from qanat.protocols.decoy import BASIS_NAMES, DecoyProtocol, Reckoning, SecurityParameters
from qanat.protocols.deviation import Deviation, Method, Quantity
from qanat.protocols.entropy import binary_entropies
from qanat.protocols.finite_key import (
    MIN_KEY_SHARE,
    NUM_ERROR_TERMS,
    BasisBounds,
    Counts,
    PhaseErrors,
    basis_bounds,
    in_key,
)

_HALVINGS: Final = 60


def recipe_2010(
    counts: Counts,
    protocol: DecoyProtocol,
    security: SecurityParameters,
    *,
    leaked_bits: Quantity,
    method: Method = Method.HOEFFDING,
) -> Reckoning:
    """Reckon the key of both bases, of one block or of many; every cost is a term."""
    deviation = Deviation(security.eps_sec / 2 / NUM_ERROR_TERMS, method)
    by_basis = (counts.rectilinear, counts.diagonal)
    bounds = [basis_bounds(basis, protocol, deviation, phase_errors=PhaseErrors.DECOY_OR_COUNTED) for basis in by_basis]
    single = [in_key(bounds[b].single_photon_lower, 1, by_basis[b], protocol, deviation) for b in (0, 1)]
    phase = [_phase_error(single[b], bounds[1 - b], deviation) for b in (0, 1)]
    entropy = [single[b] * (1 - binary_entropies(phase[b])) for b in (0, 1)]
    key_bits = by_basis[0].key_bits + np.asarray(by_basis[1].key_bits)
    events = sum(by_basis[0].clicks) + np.asarray(sum(by_basis[1].clicks))
    terms = {f"entropy_{name}": entropy[b] for b, name in enumerate(BASIS_NAMES)}
    costs = {
        "leaked": leaked_bits,
        "tags_of_bases": 2 * tag_bits(events, security.eps_auth),
        "verification": tag_bits(key_bits, security.eps_cor),
        "tag_of_hash": tag_bits(2 * key_bits, security.eps_auth),
        "privacy_amplification": math.log2(1 / deviation.eps_term),
    }
    length = sum(entropy) - sum(costs.values())
    return Reckoning(length, (phase[0], phase[1]), (single[0], single[1]), (0.0, 0.0), terms | costs)


def tag_bits(num_bits: Quantity, eps: float) -> Any:
    """Bits of a tag on ``num_bits`` bits that is forged with odds ``eps`` at most; a message has at least one bit."""
    return np.ceil(np.log2(2 * np.maximum(1.0, num_bits) / eps))


def sampling_excess(error_rate: Quantity, *, num_test: Quantity, num_key: Quantity, eps_term: float) -> Any:
    """Return theta: the key's error rate exceeds ``error_rate`` + theta with odds ``eps_term`` at most.

    All positive, the error rate below 1/2. Where even 1/2 is not excluded, theta reaches up to 1/2.
    """
    error_rate = np.asarray(error_rate, dtype=np.float64)
    total, spread = num_test + np.asarray(num_key), error_rate * (1 - error_rate)
    needed = np.log2(total / (spread * num_test * np.asarray(num_key))) / 2 - math.log2(eps_term)
    low, high = np.zeros_like(error_rate * total), 0.5 - error_rate + 0.0 * total
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        excluded = total * _exponent(error_rate, middle, num_test / total) >= needed
        low, high = np.where(excluded, low, middle), np.where(excluded, middle, high)
    return high


def _exponent(error_rate: Any, theta: Any, test_share: Any) -> Any:
    """xi(theta)."""
    mixed = binary_entropies(error_rate + theta - test_share * theta)
    parts = test_share * binary_entropies(error_rate) + (1 - test_share) * binary_entropies(error_rate + theta)
    return mixed - parts


def _phase_error(num_key: Any, test: BasisBounds, deviation: Deviation) -> Any:
    num_test = np.asarray(test.single_photon_lower)
    usable = (np.asarray(num_key) > 0) & (num_test > 0)
    if deviation.method is not Method.NONE:
        usable &= np.asarray(num_key) >= MIN_KEY_SHARE * num_test
    num_key, num_test = np.where(usable, num_key, 1.0), np.where(usable, num_test, 1.0)
    rate = np.minimum(test.single_photon_errors_upper / num_test, 0.5)
    if deviation.method is Method.NONE:
        return np.where(usable, rate, 0.5)
    inside = (rate > 0) & (rate < 0.5)
    theta = sampling_excess(
        np.where(inside, rate, 0.25), num_test=num_test, num_key=num_key, eps_term=deviation.eps_term
    )
    return np.where(usable, np.where(inside, rate + theta, rate), 0.5)
