"""The secret length with one decoy intensity by Wiesemann et al., for a length that is agreed on beforehand.

Source: Wiesemann, Krause, Tupkary, Luetkenhaus, Rusca, Walenta, Quantum 10, 2037 (2026), arXiv:2405.16578. The page was
not at hand beyond its abstract; formulas and constants are those of the program that its first author published with
it (one decoy, Hoeffding, Serfling, vacuum events not credited), and were derived again as far as is said here.

- Bounds on events and errors as in Rusca et al. 2018 (``one_decoy``), each kept between 0 and the number there is.
  Vacuum events are bounded from above by the decoy's errors. The program takes the better of decoy and signal there,
  which would be one more term to pay for; here it is always the decoy.
- The phase error rate of c events, seen as b in d others, exceeds b + g with odds below eps^2 for
  ``g = sqrt((c + d) (c + 1) / (c^2 d) ln(1/eps))``: Serfling's inequality (Ann. Statist. 2, 39 (1974)), which holds for
  every number of errors. The square is what a smoothing of eps asks for.
- Events without a photon make no key, so one chain rule suffices. It costs log2(2 / eps^2), hashing costs
  2 log2(1 / (2 eps)): together 4 log2(1/eps) - 1, which is the program's 4 log2(15 / (2^(1/4) eps_sec)).
- 15 equal error terms: ten deviations (four for key events, four for test events, two for test errors) and five from
  2 (chain rule + smoothing) + hashing. The count is ours; the program takes 15.

The length is fixed before the counts are known, and a block whose counts are worse than those agreed on is dropped:
a length reckoned from a block's own counts, as ``qanat rate`` shows it, stands for the counts agreed on.
The paper treats two decoy intensities as well; no formula of it for those was to be had, so it is not here.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Final

import numpy as np

from qanat.protocols.decoy import BASIS_NAMES, Reckoning
from qanat.protocols.deviation import Quantity
from qanat.protocols.finite_key import BasisBounds, correctness_cost_bits, one_basis_key
from qanat.protocols.one_decoy import OneDecoyBasis, OneDecoyProtocol, photon_number_odds

NUM_ERROR_TERMS: Final = 15


def one_decoy_fixed_length(
    key_basis: OneDecoyBasis,
    test_basis: OneDecoyBasis,
    protocol: OneDecoyProtocol,
    *,
    eps_sec: float,
    eps_cor: float,
    leaked_bits: Quantity,
    has_chance: bool = True,
) -> Reckoning:
    """Reckon the key of one basis, of one block or of many; ``has_chance`` False takes every count for its mean."""
    log_odds = math.log(NUM_ERROR_TERMS / eps_sec) if has_chance else 0.0
    key = fixed_length_bounds(key_basis, protocol, log_odds)
    test = fixed_length_bounds(test_basis, protocol, log_odds)
    reckoning = one_basis_key(
        0.0 * key.single_photon_lower,
        key.single_photon_lower,
        _phase_error(key.single_photon_lower, test, log_odds),
        leaked_bits=leaked_bits,
        secrecy=4 * math.log2(NUM_ERROR_TERMS / eps_sec) - 1,
        correctness=correctness_cost_bits(eps_cor),
    )
    errors = {f"single_photon_errors_upper_{BASIS_NAMES[1]}": test.single_photon_errors_upper}
    return replace(reckoning, terms=reckoning.terms | errors)


def fixed_length_bounds(counts: OneDecoyBasis, protocol: OneDecoyProtocol, log_odds: float) -> BasisBounds:
    """Bound one-photon events and one-photon errors of one basis; vacuum events are not credited (0).

    Each deviation is exceeded with odds exp(-log_odds) at most.
    """
    mu1, mu2 = protocol.intensities
    signal, decoy = (math.exp(mu) / p for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True))
    tau_0, tau_1 = (photon_number_odds(protocol, n) for n in (0, 1))
    num_events, num_errors = (sum(np.asarray(n) for n in pair) for pair in (counts.clicks, counts.errors))
    stray_n, stray_m = (np.sqrt(n / 2 * log_odds) for n in (num_events, num_errors))
    signal_upper = np.clip(counts.clicks[0] + stray_n, 0.0, num_events)
    decoy_lower = np.clip(counts.clicks[1] - stray_n, 0.0, num_events)
    signal_errors_upper = np.clip(counts.errors[0] + stray_m, 0.0, num_errors)
    decoy_errors_lower = np.clip(counts.errors[1] - stray_m, 0.0, num_errors)
    decoy_errors_upper = np.clip(counts.errors[1] + stray_m, 0.0, num_errors)
    vacuum_upper = np.clip(2 * (tau_0 * decoy * decoy_errors_upper + stray_n), 0.0, num_events)
    others = mu2**2 / mu1**2 * signal * signal_upper + (mu1**2 - mu2**2) / mu1**2 * vacuum_upper / tau_0
    single = tau_1 * mu1 / (mu2 * (mu1 - mu2)) * (decoy * decoy_lower - others)
    errors = tau_1 / (mu1 - mu2) * (signal * signal_errors_upper - decoy * decoy_errors_lower)
    return BasisBounds(
        vacuum_lower=0.0 * num_events,
        single_photon_lower=np.clip(single, 0.0, num_events),
        single_photon_errors_upper=np.clip(errors, 0.0, num_events),
    )


def serfling_allowance(*, num_test: Quantity, num_key: Quantity, log_odds: float) -> Any:
    """How far the key's error rate may exceed that of the test sample (both of some size), but for odds of
    exp(-2 log_odds): the square of what the other terms are allowed."""
    num_test, num_key = np.asarray(num_test, dtype=np.float64), np.asarray(num_key, dtype=np.float64)
    size = (num_test + num_key) / (num_test * num_key) * (num_key + 1) / num_key
    return np.sqrt(size * log_odds)


def _phase_error(num_key: Any, test: BasisBounds, log_odds: float) -> Any:
    """Bound the phase error rate of ``num_key`` one-photon events; 1/2 where nothing is known."""
    num_test = np.asarray(test.single_photon_lower)
    usable = (np.asarray(num_key) > 0) & (num_test > 0)
    num_key, num_test = np.where(usable, num_key, 1.0), np.where(usable, num_test, 1.0)
    rate = np.minimum(0.5, test.single_photon_errors_upper / num_test)
    allowance = serfling_allowance(num_test=num_test, num_key=num_key, log_odds=log_odds)
    return np.where(usable, np.minimum(0.5, rate + allowance), 0.5)
