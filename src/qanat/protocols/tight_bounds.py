"""The secret length with signal, decoy and vacuum by Yin et al. 2020, whose bounds are closed formulas.

Source: Yin, Zhou, Gu, Xie, Lu, Chen, Sci. Rep. 10, 14312 (2020), arXiv:2002.06530. The page was not at hand beyond its
abstract, so no equation number is cited: the formulas were put together from two public programs of different authors,
which agree, and each was held against what it follows from. With beta = ln(1/eps), eps = eps_sec / 23:

- From a count x to its mean E (``mean_lower``, ``mean_upper``) and from a mean to a count (``count_lower``,
  ``count_upper``): Chernoff's bounds exp(-d^2 E / 2) below and exp(-d^2 E / (2 + d)) above, d the relative deviation,
  solved. The lower bound on a mean stands beta lower than the second of them asks for, as both programs have it.
- From the test basis, error rate b in k events, to the key of n events (``sampling_allowance``): g^2 = G v (1 - v),
  v = b + g max(n, k) / (n + k), ``G = (n + k) / (n k) ln((n + k) / (2 pi n k b (1 - b) eps^2))``, solved for g.
- The key is made of signal and decoy of one basis; the other tests it. Vacuum pulses must have no photon, and their
  events are wrong half of the time in the mean.
- 23 equal error terms: nine bounds on means (vacuum from both sides in both bases, decoy from below, signal from above
  in both, decoy errors from above), four from means to counts, one sampling, and the nine of the chain rule, hashing
  and smoothing that Lim et al. 2014 have as well. The count is ours; both programs take 23.

What does not hold: ``sampling_allowance`` keeps the odds of each single outcome below eps (tests against the exact
hypergeometric law), but not those of that outcome or a worse one, which is what must be small. For eps_sec 1e-9 it
allows enough for up to about 100 errors; for 4,000 the odds are up to 7 times eps, for 10^5 up to 50, for 2 million
up to 220. So this proof is labelled not composable, although its source calls it so, and no key is made by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from qanat.protocols.asymptotic import ERROR_OF_NOISE
from qanat.protocols.decoy import (
    BASIS_NAMES,
    DECOY,
    SIGNAL,
    VACUUM,
    DecoyProtocol,
    Reckoning,
    SecurityParameters,
)
from qanat.protocols.deviation import Quantity
from qanat.protocols.finite_key import (
    Basis,
    BasisBounds,
    Counts,
    correctness_cost_bits,
    one_basis_key,
    secrecy_cost_bits,
)

NUM_ERROR_TERMS: Final = 23


def three_intensities(
    counts: Counts,
    protocol: DecoyProtocol,
    security: SecurityParameters,
    *,
    leaked_bits: Quantity,
    has_chance: bool = True,
) -> Reckoning:
    """Reckon the key of the rectilinear basis, of one block or of many, with every term.

    ``has_chance`` False takes every count for its mean. Raises ValueError where the vacuum has light.
    """
    if protocol.intensities[VACUUM] != 0:
        raise ValueError(f"these bounds need a vacuum of 0 photons, got {protocol.intensities[VACUUM]}")
    log_odds = math.log(NUM_ERROR_TERMS / security.eps_sec) if has_chance else 0.0
    key = _bounds(counts.rectilinear, protocol, log_odds)
    test = _bounds(counts.diagonal, protocol, log_odds)
    reckoning = one_basis_key(
        key.vacuum_lower,
        key.single_photon_lower,
        _phase_error(key.single_photon_lower, test, log_odds),
        leaked_bits=leaked_bits,
        secrecy=secrecy_cost_bits(security.eps_sec, num_error_terms=NUM_ERROR_TERMS),
        correctness=correctness_cost_bits(security.eps_cor),
    )
    errors = {f"single_photon_errors_upper_{BASIS_NAMES[1]}": test.single_photon_errors_upper}
    return replace(reckoning, terms=reckoning.terms | errors)


def mean_lower(count: Quantity, log_odds: float) -> Any:
    """Bound the mean of a count from below; not below 0. It fails with odds exp(-log_odds) at most."""
    x = np.asarray(count, dtype=np.float64)
    return np.maximum(0.0, x - log_odds / 2 - np.sqrt(2 * log_odds * x + log_odds**2 / 4))


def mean_upper(count: Quantity, log_odds: float) -> Any:
    """Bound the mean of a count from above, with the same odds."""
    x = np.asarray(count, dtype=np.float64)
    return x + log_odds + np.sqrt(2 * log_odds * x + log_odds**2)


def count_lower(mean: Quantity, log_odds: float) -> Any:
    """Bound the count of a known mean from below, with the same odds; not below 0."""
    return np.maximum(0.0, mean - np.sqrt(2 * log_odds * np.asarray(mean)))


def count_upper(mean: Quantity, log_odds: float) -> Any:
    """Bound the count of a known mean from above, with the same odds."""
    return mean + log_odds / 2 + np.sqrt(2 * log_odds * np.asarray(mean) + log_odds**2 / 4)


def sampling_allowance(error_rate: Quantity, *, num_test: Quantity, num_key: Quantity, log_odds: float) -> Any:
    """Return gamma^U: how far the key's error rate is taken to exceed that of the test sample.

    All positive, the error rate below 1/2. See the module's docstring for what this does not cover.
    """
    rate, num_test, num_key = (np.asarray(value, dtype=np.float64) for value in (error_rate, num_test, num_key))
    total = num_test + num_key
    spread = rate * (1 - rate)
    larger = np.maximum(num_test, num_key) / total
    odds = np.log(total / (2 * math.pi * num_test * num_key * spread)) + 2 * log_odds
    size = np.maximum(0.0, total / (num_test * num_key) * odds)
    above = (1 - 2 * rate) * larger * size + np.sqrt((larger * size) ** 2 + 4 * spread * size)
    return above / (2 + 2 * larger**2 * size)


@dataclass(frozen=True, slots=True)
class _Means:
    """Bounds on e^mu / p_mu times the means of the counts of one basis."""

    signal_upper: Any
    decoy_lower: Any
    decoy_errors_upper: Any
    vacuum_lower: Any
    vacuum_upper: Any


def _bounds(counts: Basis, protocol: DecoyProtocol, log_odds: float) -> BasisBounds:
    """Bound vacuum and one-photon events, and one-photon errors, among signal and decoy of one basis."""
    mu, nu, _ = protocol.intensities
    means = _means(counts, protocol, log_odds)
    without, single = (_photon_number_odds(protocol, n) for n in (0, 1))
    strong = nu**2 / mu**2 * means.signal_upper + (mu**2 - nu**2) / mu**2 * means.vacuum_upper
    events = np.maximum(0.0, single * mu / (mu * nu - nu**2) * (means.decoy_lower - strong))
    errors = np.maximum(0.0, single / nu * (means.decoy_errors_upper - ERROR_OF_NOISE * means.vacuum_lower))
    return BasisBounds(
        vacuum_lower=count_lower(without * means.vacuum_lower, log_odds),
        single_photon_lower=count_lower(events, log_odds),
        single_photon_errors_upper=count_upper(errors, log_odds),
    )


def _means(counts: Basis, protocol: DecoyProtocol, log_odds: float) -> _Means:
    signal, decoy, vacuum = (
        math.exp(mu) / p for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True)
    )
    return _Means(
        signal_upper=signal * mean_upper(counts.clicks[SIGNAL], log_odds),
        decoy_lower=decoy * mean_lower(counts.clicks[DECOY], log_odds),
        decoy_errors_upper=decoy * mean_upper(counts.errors[DECOY], log_odds),
        vacuum_lower=vacuum * mean_lower(counts.clicks[VACUUM], log_odds),
        vacuum_upper=vacuum * mean_upper(counts.clicks[VACUUM], log_odds),
    )


def _photon_number_odds(protocol: DecoyProtocol, num_photons: int) -> float:
    """Odds that a pulse is signal or decoy and has 0 or 1 photons."""
    pairs = [(protocol.p_intensities[k], protocol.intensities[k]) for k in (SIGNAL, DECOY)]
    return sum(p * math.exp(-mu) * mu**num_photons for p, mu in pairs)


def _phase_error(num_key: Any, test: BasisBounds, log_odds: float) -> Any:
    """Bound the phase error rate of ``num_key`` one-photon events; 1/2 where nothing is known."""
    num_test = np.asarray(test.single_photon_lower)
    usable = (np.asarray(num_key) > 0) & (num_test > 0)
    num_key, num_test = np.where(usable, num_key, 1.0), np.where(usable, num_test, 1.0)
    rate = np.minimum(0.5, test.single_photon_errors_upper / num_test)
    if log_odds == 0:
        return np.where(usable, rate, 0.5)
    inside = (rate > 0) & (rate < 0.5)
    allowance = sampling_allowance(np.where(inside, rate, 0.25), num_test=num_test, num_key=num_key, log_odds=log_odds)
    return np.where(usable & inside, np.minimum(0.5, rate + allowance), 0.5)
