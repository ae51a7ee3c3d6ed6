"""The length of the secret key of one amplification block, composably secure, with three intensities.

Source: Lim, Curty, Walenta, Xu, Zbinden, PRA 89, 022307 (2014), equations (1) to (5) and the supplement. There one
basis makes the key and the other tests it, and every intensity enters the key. Here (the paper's rules):

- Both bases make key, each is the other's phase test; ``eps_sec`` is halved per basis and the lengths are added.
- The key is made of undisclosed signal only. Alice's intensity is independent of everything once the photon number is
  given, so the signal's part of the one-photon events is a random sample of known odds p_mu e^-mu mu / tau_1; which
  signal events are disclosed is a random sample again. Each of the two samples, for one-photon and for vacuum events,
  costs one deviation term (Hoeffding, J. Am. Stat. Assoc. 58, 13 (1963), theorems 1, 2 and 4). So the 21 equal error
  terms of the proof become 25 (``NUM_ERROR_TERMS``), in every place where the 21 stands.
- A key sample far smaller than its test sample gives nothing (``MIN_KEY_SHARE``), for the published deviation term
  allows too little there. Fewer errors than ``Deviation.min_errors`` are counted as that many, for the same reason.
- Where the source takes Hoeffding's bound, ``Method`` offers others (``protocols.deviation``); one code serves all.
- After verified correction the number of errors of the signal is known exactly. One-photon errors are no more than all
  errors seen, which is often the smaller bound; ``PhaseErrors`` selects.

The leak is charged once over the key of both bases, and so is the correctness term. How the two
proofs compose under one hash is taken over, not proven: docs/decisions/0004-secret-length.md.

Assumed, as in the source: Bob's basis is independent of all that came before. Detectors that each have a hold-off of
their own keep to that only far from other events, and somebody active can use it: docs/decisions/0005.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from qanat.protocols.decoy import (
    BASIS_NAMES,
    SIGNAL,
    BasisCountArrays,
    BasisCounts,
    DecoyCountArrays,
    DecoyCounts,
    DecoyProtocol,
    DecoyProtocolArrays,
    Reckoning,
    SecretLength,
    SecurityParameters,
)
from qanat.protocols.deviation import Deviation, Method, Quantity
from qanat.protocols.entropy import binary_entropies

Basis: TypeAlias = BasisCounts | BasisCountArrays
Counts: TypeAlias = DecoyCounts | DecoyCountArrays
Protocols: TypeAlias = DecoyProtocol | DecoyProtocolArrays

NUM_ERROR_TERMS_PLAIN: Final = 21
"""Equal error terms of the secrecy proof as published."""

NUM_ERROR_TERMS: Final = NUM_ERROR_TERMS_PLAIN + 4
"""The same with two random samples (signal, undisclosed) of two kinds of events (vacuum, one-photon)."""

SAMPLING_POWER: Final = 2.0
"""Keys ask the term for random sampling for the square of its epsilon: ``Deviation.sampling_power`` says why."""

MIN_KEY_SHARE: Final = 0.6
"""The fewest one-photon key events per one-photon test event for which ``Deviation.random_sampling`` is used.

It is a normal approximation. Against exact hypergeometric tails it allows enough from this share on, for ``eps_sec``
from 1e-15 to 1e-5; below, a small key sample has a longer tail than the approximation has, and the bound would be too
low. Until an exact tail takes its place, such a basis gives no key from one-photon events.
"""


class PhaseErrors(enum.Enum):
    """How the one-photon errors of the test basis are bounded from above."""

    DECOY = "lim-2014"
    """By decoy and vacuum states, as published."""

    DECOY_OR_COUNTED = "lim-2014 with counted errors"
    """By the smaller of that and all errors seen in the basis."""


@dataclass(frozen=True, slots=True)
class BasisBounds:
    """Bounds on the events of one basis, all intensities together; numbers of events, or arrays of them."""

    vacuum_lower: Any
    single_photon_lower: Any
    single_photon_errors_upper: Any


def secret_length(
    counts: DecoyCounts,
    protocol: DecoyProtocol,
    security: SecurityParameters,
    *,
    leaked_bits: int,
    phase_errors: PhaseErrors = PhaseErrors.DECOY_OR_COUNTED,
    method: Method = Method.HOEFFDING,
) -> SecretLength:
    """Return how many secret bits the block gives; 0 when the proof allows none (the caller decides what then).

    ``leaked_bits``: all that was told about the key of both bases, over all attempts, verification excepted (it is in
    the correctness term). Raises ValueError on counts that cannot be.
    """
    reckoning = both_bases(
        counts, protocol, security, leaked_bits=leaked_bits, phase_errors=phase_errors, method=method
    )
    return reckoning.secret_length(f"{_CLAIMS[method]}, {phase_errors.value}; both bases, undisclosed signal only")


_CLAIMS: Final = {
    Method.HOEFFDING: "composable",
    Method.CHERNOFF: "composable, Chernoff or Hoeffding",
    Method.CHERNOFF_LITERAL: "composable, Chernoff",
    Method.GAUSSIAN: "not composable, Gaussian",
    Method.NONE: "not composable, no fluctuation",
}


def both_bases(
    counts: Counts,
    protocol: Protocols,
    security: SecurityParameters,
    *,
    leaked_bits: Quantity,
    phase_errors: PhaseErrors = PhaseErrors.DECOY_OR_COUNTED,
    method: Method = Method.HOEFFDING,
) -> Reckoning:
    """Reckon the key of both bases from undisclosed signal, of one block or of many; see the module's docstring."""
    if np.any(np.asarray(leaked_bits) < 0):
        raise ValueError(f"leaked_bits must be zero or more, got {leaked_bits}")
    eps_basis = security.eps_sec / 2
    deviation = Deviation(eps_basis / NUM_ERROR_TERMS, method, SAMPLING_POWER)
    by_basis = (counts.rectilinear, counts.diagonal)
    bounds = tuple(basis_bounds(basis, protocol, deviation, phase_errors=phase_errors) for basis in by_basis)
    vacuum = [in_key(bounds[b].vacuum_lower, 0, by_basis[b], protocol, deviation) for b in (0, 1)]
    single = [in_key(bounds[b].single_photon_lower, 1, by_basis[b], protocol, deviation) for b in (0, 1)]
    phase = [_phase_error(single[b], bounds[1 - b], deviation) for b in (0, 1)]
    entropy = [vacuum[b] + single[b] * (1 - binary_entropies(phase[b])) for b in (0, 1)]
    secrecy = 2 * secrecy_cost_bits(eps_basis, num_error_terms=NUM_ERROR_TERMS)
    correctness = correctness_cost_bits(security.eps_cor)
    length = sum(entropy) - leaked_bits - secrecy - correctness
    terms = {f"entropy_{name}": entropy[b] for b, name in enumerate(BASIS_NAMES)}
    terms |= {"leaked": leaked_bits, "secrecy": secrecy, "correctness": correctness}
    terms |= {f"single_photon_errors_upper_{BASIS_NAMES[b]}": bounds[b].single_photon_errors_upper for b in (0, 1)}
    return Reckoning(length, (phase[0], phase[1]), (single[0], single[1]), (vacuum[0], vacuum[1]), terms)


def lim_length(
    key_basis: BasisCounts,
    test_basis: BasisCounts,
    protocol: DecoyProtocol,
    *,
    eps_sec: float,
    eps_cor: float,
    leaked_bits: float,
) -> int:
    """Return the length of Lim et al. 2014, equation (1), as published: one key basis, all intensities in the key.

    For comparison with published figures, not for keys: ``MIN_KEY_SHARE`` is not asked for. ``key_bits`` of the counts
    is not read.
    """
    reckoning = one_basis(key_basis, test_basis, protocol, eps_sec=eps_sec, eps_cor=eps_cor, leaked_bits=leaked_bits)
    num_bits: int = max(0, math.floor(reckoning.length))
    return num_bits


def one_basis(
    key_basis: Basis,
    test_basis: Basis,
    protocol: DecoyProtocol,
    *,
    eps_sec: float,
    eps_cor: float,
    leaked_bits: Quantity,
    method: Method = Method.HOEFFDING,
) -> Reckoning:
    """Reckon the key as ``lim_length`` does, of one block or of many, with every term."""
    deviation = Deviation(eps_sec / NUM_ERROR_TERMS_PLAIN, method)
    key = basis_bounds(key_basis, protocol, deviation, phase_errors=PhaseErrors.DECOY)
    test = basis_bounds(test_basis, protocol, deviation, phase_errors=PhaseErrors.DECOY)
    phase = phase_error_upper(key.single_photon_lower, test, deviation)
    return one_basis_key(
        key.vacuum_lower,
        key.single_photon_lower,
        phase,
        leaked_bits=leaked_bits,
        secrecy=secrecy_cost_bits(eps_sec, num_error_terms=NUM_ERROR_TERMS_PLAIN),
        correctness=correctness_cost_bits(eps_cor),
    )


def one_basis_key(
    vacuum: Any, single: Any, phase: Any, *, leaked_bits: Quantity, secrecy: float, correctness: float
) -> Reckoning:
    """Put the terms of a key from one basis together; equation (1)."""
    entropy = vacuum + single * (1 - binary_entropies(phase))
    terms = {"entropy_rectilinear": entropy, "leaked": leaked_bits, "secrecy": secrecy, "correctness": correctness}
    length = entropy - leaked_bits - secrecy - correctness
    return Reckoning(length, (phase, 0.5), (single, 0.0), (vacuum, 0.0), terms)


def secrecy_cost_bits(eps_sec: float, *, num_error_terms: int) -> float:
    """Bits that privacy amplification and smoothing cost: 6 log2(num_error_terms / eps_sec)."""
    return 6 * math.log2(num_error_terms / eps_sec)


def correctness_cost_bits(eps_cor: float) -> float:
    """Bits that verification tells about the key: log2(2 / eps_cor)."""
    return math.log2(2 / eps_cor)


def basis_bounds(counts: Basis, protocol: Protocols, deviation: Deviation, *, phase_errors: PhaseErrors) -> BasisBounds:
    """Bound vacuum events, one-photon events and one-photon errors of one basis; equations (2) to (4).

    Negative bounds become 0. Raises ValueError on counts that cannot be (negative, more errors than events).
    """
    check_counts(counts)
    mu1, mu2, mu3 = protocol.intensities
    tau_0, tau_1 = photon_number_odds(protocol, 0), photon_number_odds(protocol, 1)
    low_n, high_n = _scaled_counts(counts.clicks, protocol, deviation)
    low_m, high_m = _scaled_counts(counts.errors, protocol, deviation)
    vacuum = np.maximum(0.0, tau_0 * (mu2 * low_n[2] - mu3 * high_n[1]) / (mu2 - mu3))
    multi_photon = (mu2**2 - mu3**2) / mu1**2 * (high_n[0] - vacuum / tau_0)
    single = tau_1 * mu1 * (low_n[1] - high_n[2] - multi_photon) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    errors = np.maximum(0.0, tau_1 * (high_m[1] - low_m[2]) / (mu2 - mu3))
    if phase_errors is PhaseErrors.DECOY_OR_COUNTED:
        errors = np.minimum(errors, sum(counts.errors))
    return BasisBounds(vacuum, np.maximum(0.0, single), np.maximum(errors, deviation.min_errors()))


def phase_error_upper(num_key: Quantity, test: BasisBounds, deviation: Deviation) -> Any:
    """Bound the phase error rate of ``num_key`` one-photon events by the errors of the test basis; equation (5)."""
    usable = (np.asarray(num_key) > 0) & (np.asarray(test.single_photon_lower) > 0)
    num_key, num_test = np.where(usable, num_key, 1.0), np.where(usable, test.single_photon_lower, 1.0)
    rate = np.minimum(test.single_photon_errors_upper / num_test, 0.5)
    allowance = deviation.random_sampling(error_rate=rate, num_key=num_key, num_test=num_test)
    return np.where(usable, np.minimum(0.5, rate + allowance), 0.5)


def _phase_error(num_key: Quantity, test: BasisBounds, deviation: Deviation) -> Any:
    """``phase_error_upper``, and 1/2 for a key sample too small for it (``MIN_KEY_SHARE``)."""
    bound = phase_error_upper(num_key, test, deviation)
    if deviation.method is Method.NONE:
        return bound
    return np.where(np.asarray(num_key) < MIN_KEY_SHARE * np.asarray(test.single_photon_lower), 0.5, bound)


def photon_number_odds(protocol: Protocols, num_photons: int) -> Any:
    """Odds that a pulse of any intensity has ``num_photons`` photons: tau of the paper."""
    pairs = zip(protocol.p_intensities, protocol.intensities, strict=True)
    return sum(p * _exp(-mu) * mu**num_photons for p, mu in pairs) / math.factorial(num_photons)


def _exp(x: Any) -> Any:
    """e^x, of a number by ``math``: both ends of a link must find the same length, whatever NumPy makes of arrays."""
    return np.exp(x) if isinstance(x, np.ndarray) else math.exp(x)


def _scaled_counts(
    counts: tuple[Any, Any, Any], protocol: Protocols, deviation: Deviation
) -> tuple[list[Any], list[Any]]:
    """Lower and upper bounds on e^mu / p_mu times the counts' means, per intensity; below 0 clipped."""
    total = sum(counts)
    scale = [_exp(mu) / p for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True)]
    pairs = list(zip(scale, counts, strict=True))
    low = [np.maximum(0.0, factor * deviation.mean_lower(count, num_trials=total)) for factor, count in pairs]
    high = [factor * deviation.mean_upper(count, num_trials=total) for factor, count in pairs]
    return low, high


def in_key(num_events: Quantity, num_photons: int, counts: Basis, protocol: Protocols, deviation: Deviation) -> Any:
    """Bound from below how many of the basis's events with ``num_photons`` photons are in the key.

    Two samples in turn: those that were signal, and of these the undisclosed ``key_bits`` of all signal events.
    """
    mu, p_signal = protocol.intensities[SIGNAL], protocol.p_intensities[SIGNAL]
    p_poisson = _exp(-mu) * mu**num_photons / math.factorial(num_photons)
    share = p_signal * p_poisson / photon_number_odds(protocol, num_photons)
    signal = deviation.sample_lower(num_events, share=share)
    undisclosed = counts.key_bits / np.maximum(1.0, counts.clicks[SIGNAL])
    return deviation.sample_lower(signal, share=undisclosed)


def check_counts(counts: Basis) -> None:
    """Raise ValueError on counts that cannot be: negative, more errors than events, more key than signal."""
    pairs = zip(counts.clicks, counts.errors, strict=True)
    possible = all(np.all((np.asarray(errors) >= 0) & (np.asarray(errors) <= clicks)) for clicks, errors in pairs)
    key_bits = np.asarray(counts.key_bits)
    if not possible or not np.all((key_bits >= 0) & (key_bits <= counts.clicks[SIGNAL])):
        raise ValueError(f"counts that cannot be: {counts}")
