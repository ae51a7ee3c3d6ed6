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
from typing import Final

from qanat.protocols.decoy import (
    BASIS_NAMES,
    SIGNAL,
    BasisCounts,
    DecoyCounts,
    DecoyProtocol,
    SecretLength,
    SecurityParameters,
)
from qanat.protocols.entropy import binary_entropy

NUM_ERROR_TERMS_PLAIN: Final = 21
"""Equal error terms of the secrecy proof as published."""

NUM_ERROR_TERMS: Final = NUM_ERROR_TERMS_PLAIN + 4
"""The same with two random samples (signal, undisclosed) of two kinds of events (vacuum, one-photon)."""


MIN_KEY_SHARE: Final = 0.4
"""The fewest one-photon key events per one-photon test event for which ``Deviation.random_sampling`` is used.

It is a normal approximation. Against exact hypergeometric tails it allows enough from this share on, for ``eps_sec``
from 1e-15 to 1e-5 (at 1e-9 from 0.3 on); below, a small key sample has a longer tail than the approximation has, and
the bound would be too low. Until an exact tail takes its place, such a basis gives no key from one-photon events.
"""


class PhaseErrors(enum.Enum):
    """How the one-photon errors of the test basis are bounded from above."""

    DECOY = "lim-2014"
    """By decoy and vacuum states, as published."""

    DECOY_OR_COUNTED = "lim-2014 with counted errors"
    """By the smaller of that and all errors seen in the basis."""


@dataclass(frozen=True, slots=True)
class BasisBounds:
    """Bounds on the events of one basis, all intensities together; numbers of events."""

    vacuum_lower: float
    single_photon_lower: float
    single_photon_errors_upper: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """The allowance for chance: each of the proof's error terms fails with odds ``eps_term``."""

    eps_term: float

    def hoeffding(self, num_trials: float) -> float:
        """How far a sum of ``num_trials`` independent 0 or 1 (or a sample without replacement) strays, one-sided."""
        return math.sqrt(num_trials / 2 * math.log(1 / self.eps_term))

    def random_sampling(self, *, error_rate: float, num_key: float, num_test: float) -> float:
        """How much the error rate of ``num_key`` events may exceed that seen in ``num_test``: gamma of the paper."""
        if not 0 < error_rate < 1:
            return 0.0
        spread = error_rate * (1 - error_rate)
        size = (num_key + num_test) / (num_key * num_test)
        bits = math.log2(max(1.0, size / spread / self.eps_term**2))
        return math.sqrt(size * spread / math.log(2) * bits)

    def min_errors(self) -> float:
        """The fewest errors from which ``random_sampling`` is used.

        It is a normal approximation, and allows too little when almost no error was seen: none among n test events
        still leaves about log2(1/eps) errors in as many key events.
        """
        return math.log2(1 / self.eps_term)


def secret_length(
    counts: DecoyCounts,
    protocol: DecoyProtocol,
    security: SecurityParameters,
    *,
    leaked_bits: int,
    phase_errors: PhaseErrors = PhaseErrors.DECOY_OR_COUNTED,
) -> SecretLength:
    """Return how many secret bits the block gives; 0 when the proof allows none (the caller decides what then).

    ``leaked_bits``: all that was told about the key of both bases, over all attempts, verification excepted (it is in
    the correctness term). Raises ValueError on counts that cannot be.
    """
    if leaked_bits < 0:
        raise ValueError(f"leaked_bits must be zero or more, got {leaked_bits}")
    eps_basis = security.eps_sec / 2
    deviation = Deviation(eps_basis / NUM_ERROR_TERMS)
    by_basis = (counts.rectilinear, counts.diagonal)
    bounds = tuple(basis_bounds(basis, protocol, deviation, phase_errors=phase_errors) for basis in by_basis)
    vacuum = [_in_key(bounds[b].vacuum_lower, 0, by_basis[b], protocol, deviation) for b in (0, 1)]
    single = [_in_key(bounds[b].single_photon_lower, 1, by_basis[b], protocol, deviation) for b in (0, 1)]
    phase = [_phase_error(single[b], bounds[1 - b], deviation) for b in (0, 1)]
    entropy = [vacuum[b] + single[b] * (1 - binary_entropy(phase[b])) for b in (0, 1)]
    secrecy = 2 * secrecy_cost_bits(eps_basis, num_error_terms=NUM_ERROR_TERMS)
    correctness = correctness_cost_bits(security.eps_cor)
    length = sum(entropy) - leaked_bits - secrecy - correctness
    terms = {f"entropy_{name}": entropy[b] for b, name in enumerate(BASIS_NAMES)}
    terms |= {"leaked": float(leaked_bits), "secrecy": secrecy, "correctness": correctness}
    terms |= {f"single_photon_errors_upper_{BASIS_NAMES[b]}": bounds[b].single_photon_errors_upper for b in (0, 1)}
    return SecretLength(
        num_bits=max(0, math.floor(length)),
        proof=f"composable, {phase_errors.value}; both bases, undisclosed signal only",
        phase_error_upper=(phase[0], phase[1]),
        single_photon_lower=(single[0], single[1]),
        vacuum_lower=(vacuum[0], vacuum[1]),
        terms=terms,
    )


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
    deviation = Deviation(eps_sec / NUM_ERROR_TERMS_PLAIN)
    key = basis_bounds(key_basis, protocol, deviation, phase_errors=PhaseErrors.DECOY)
    test = basis_bounds(test_basis, protocol, deviation, phase_errors=PhaseErrors.DECOY)
    phase = phase_error_upper(key.single_photon_lower, test, deviation)
    entropy = key.vacuum_lower + key.single_photon_lower * (1 - binary_entropy(phase))
    cost = secrecy_cost_bits(eps_sec, num_error_terms=NUM_ERROR_TERMS_PLAIN) + correctness_cost_bits(eps_cor)
    return max(0, math.floor(entropy - leaked_bits - cost))


def secrecy_cost_bits(eps_sec: float, *, num_error_terms: int) -> float:
    """Bits that privacy amplification and smoothing cost: 6 log2(num_error_terms / eps_sec)."""
    return 6 * math.log2(num_error_terms / eps_sec)


def correctness_cost_bits(eps_cor: float) -> float:
    """Bits that verification tells about the key: log2(2 / eps_cor)."""
    return math.log2(2 / eps_cor)


def basis_bounds(
    counts: BasisCounts, protocol: DecoyProtocol, deviation: Deviation, *, phase_errors: PhaseErrors
) -> BasisBounds:
    """Bound vacuum events, one-photon events and one-photon errors of one basis; equations (2) to (4).

    Negative bounds become 0. Raises ValueError on counts that cannot be (negative, more errors than events).
    """
    _check(counts)
    mu1, mu2, mu3 = protocol.intensities
    tau_0, tau_1 = photon_number_odds(protocol, 0), photon_number_odds(protocol, 1)
    low_n, high_n = _scaled_counts(counts.clicks, protocol, deviation)
    low_m, high_m = _scaled_counts(counts.errors, protocol, deviation)
    vacuum = max(0.0, tau_0 * (mu2 * low_n[2] - mu3 * high_n[1]) / (mu2 - mu3))
    multi_photon = (mu2**2 - mu3**2) / mu1**2 * (high_n[0] - vacuum / tau_0)
    single = tau_1 * mu1 * (low_n[1] - high_n[2] - multi_photon) / (mu1 * (mu2 - mu3) - mu2**2 + mu3**2)
    errors = max(0.0, tau_1 * (high_m[1] - low_m[2]) / (mu2 - mu3))
    if phase_errors is PhaseErrors.DECOY_OR_COUNTED:
        errors = min(errors, float(sum(counts.errors)))
    return BasisBounds(vacuum, max(0.0, single), max(errors, deviation.min_errors()))


def phase_error_upper(num_key: float, test: BasisBounds, deviation: Deviation) -> float:
    """Bound the phase error rate of ``num_key`` one-photon events by the errors of the test basis; equation (5)."""
    if num_key <= 0 or test.single_photon_lower <= 0:
        return 0.5
    rate = test.single_photon_errors_upper / test.single_photon_lower
    allowance = deviation.random_sampling(error_rate=rate, num_key=num_key, num_test=test.single_photon_lower)
    return min(0.5, rate + allowance)


def _phase_error(num_key: float, test: BasisBounds, deviation: Deviation) -> float:
    """``phase_error_upper``, and 1/2 for a key sample too small for it (``MIN_KEY_SHARE``)."""
    if num_key < MIN_KEY_SHARE * test.single_photon_lower:
        return 0.5
    return phase_error_upper(num_key, test, deviation)


def photon_number_odds(protocol: DecoyProtocol, num_photons: int) -> float:
    """Odds that a pulse of any intensity has ``num_photons`` photons: tau of the paper."""
    pairs = zip(protocol.p_intensities, protocol.intensities, strict=True)
    return sum(p * math.exp(-mu) * mu**num_photons for p, mu in pairs) / math.factorial(num_photons)


def _scaled_counts(
    counts: tuple[int, int, int], protocol: DecoyProtocol, deviation: Deviation
) -> tuple[list[float], list[float]]:
    """Lower and upper bounds on e^mu / p_mu times the counts' means, per intensity; below 0 clipped."""
    slack = deviation.hoeffding(sum(counts))
    scale = [math.exp(mu) / p for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True)]
    low = [max(0.0, factor * (count - slack)) for factor, count in zip(scale, counts, strict=True)]
    high = [factor * (count + slack) for factor, count in zip(scale, counts, strict=True)]
    return low, high


def _in_key(
    num_events: float, num_photons: int, counts: BasisCounts, protocol: DecoyProtocol, deviation: Deviation
) -> float:
    """Bound from below how many of the basis's events with ``num_photons`` photons are in the key.

    Two samples in turn: those that were signal, and of these the undisclosed ``key_bits`` of all signal events.
    """
    if counts.key_bits == 0:
        return 0.0
    mu, p_signal = protocol.intensities[SIGNAL], protocol.p_intensities[SIGNAL]
    p_poisson = math.exp(-mu) * mu**num_photons / math.factorial(num_photons)
    share = p_signal * p_poisson / photon_number_odds(protocol, num_photons)
    signal = max(0.0, num_events * share - deviation.hoeffding(num_events))
    return max(0.0, signal * counts.key_bits / counts.clicks[SIGNAL] - deviation.hoeffding(signal))


def _check(counts: BasisCounts) -> None:
    pairs = zip(counts.clicks, counts.errors, strict=True)
    if not all(0 <= errors <= clicks for clicks, errors in pairs) or not 0 <= counts.key_bits <= counts.clicks[SIGNAL]:
        raise ValueError(f"counts that cannot be: {counts}")
