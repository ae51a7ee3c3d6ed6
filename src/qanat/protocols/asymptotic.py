"""The secret rate of decoy-state BB84 with keys of infinite length: vacuum and weak decoy state.

Source: Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005), its bounds for vacuum + weak decoy state and its rate formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qanat.protocols.decoy import (
    BASIS_NAMES,
    DECOY,
    SIGNAL,
    VACUUM,
    BasisCountArrays,
    BasisCounts,
    DecoyCountArrays,
    DecoyCounts,
    DecoyProtocol,
    Reckoning,
)
from qanat.protocols.entropy import binary_entropies, binary_entropy

ERROR_OF_NOISE = 0.5
"""Error rate of events without a photon."""


@dataclass(frozen=True, slots=True)
class GainAndError:
    """Gain (odds of an event per pulse) of one intensity, and the odds of an event with the wrong bit."""

    gain: float
    error_gain: float


@dataclass(frozen=True, slots=True)
class SinglePhotonBounds:
    """Bounds on what Alice's one-photon pulses gave. Odds per such pulse."""

    yield_1_lower: float
    error_1_upper: float


def single_photon_bounds(
    signal: GainAndError, decoy: GainAndError, *, mu: float, nu: float, yield_0: float
) -> SinglePhotonBounds:
    """Bound yield and error rate of one-photon pulses from signal (mu), decoy (nu) and vacuum (yield_0).

    mu > nu > 0 are mean photon numbers. Raises ValueError otherwise. A yield bound of zero goes with an error of 1/2.
    """
    if not mu > nu > 0:
        raise ValueError(f"mean photon numbers must hold mu > nu > 0, got {mu} and {nu}")
    weak = decoy.gain * math.exp(nu)
    strong = signal.gain * math.exp(mu) * nu**2 / mu**2
    yield_1 = mu / (mu * nu - nu**2) * (weak - strong - (mu**2 - nu**2) / mu**2 * yield_0)
    if yield_1 <= 0:
        return SinglePhotonBounds(0.0, 0.5)
    error_1 = (decoy.error_gain * math.exp(nu) - ERROR_OF_NOISE * yield_0) / (yield_1 * nu)
    return SinglePhotonBounds(yield_1, min(max(error_1, 0.0), 0.5))


def asymptotic_rate_per_signal(
    signal: GainAndError, decoy: GainAndError, *, mu: float, nu: float, yield_0: float, f_ec: float
) -> float:
    """Secret bits per sifted signal pulse sent: Q1 (1 - h(e1)) - f_ec Q_mu h(E_mu), not below zero.

    f_ec: bits disclosed by error correction over the Shannon limit.
    """
    bounds = single_photon_bounds(signal, decoy, mu=mu, nu=nu, yield_0=yield_0)
    single_photon_gain = bounds.yield_1_lower * mu * math.exp(-mu)
    qber = signal.error_gain / signal.gain if signal.gain > 0 else 0.5
    secret = single_photon_gain * (1 - binary_entropy(bounds.error_1_upper))
    return max(0.0, secret - f_ec * signal.gain * binary_entropy(qber))


def vacuum_and_weak(counts: DecoyCounts | DecoyCountArrays, protocol: DecoyProtocol, *, leaked_bits: Any) -> Reckoning:
    """Reckon the key of both bases, from undisclosed signal, as if counts were their means; of one block or of many.

    The bounds of Ma et al. for vacuum + weak with gains in units of pulses sent, which cancel. As in Lim et al., the
    phase error of a basis is that of the other basis; events without a photon make no key and have an error rate of
    1/2. Raises ValueError where the vacuum has light.
    """
    if protocol.intensities[VACUUM] != 0:
        raise ValueError(f"the vacuum + weak bound needs a vacuum of 0 photons, got {protocol.intensities[VACUUM]}")
    by_basis = (counts.rectilinear, counts.diagonal)
    bounds = [_one_photon(basis, protocol) for basis in by_basis]
    mu, p_signal = protocol.intensities[SIGNAL], protocol.p_intensities[SIGNAL]
    single = []
    for basis, (yields, _) in zip(by_basis, bounds, strict=True):
        undisclosed = basis.key_bits / np.maximum(1.0, basis.clicks[SIGNAL])
        single.append(yields * p_signal * mu * math.exp(-mu) * undisclosed)
    phase = [bounds[1 - b][1] for b in (0, 1)]
    entropy = [single[b] * (1 - binary_entropies(phase[b])) for b in (0, 1)]
    terms = {f"entropy_{name}": entropy[b] for b, name in enumerate(BASIS_NAMES)} | {"leaked": leaked_bits}
    length = sum(entropy) - leaked_bits
    return Reckoning(length, (phase[0], phase[1]), (single[0], single[1]), (0.0, 0.0), terms)


def _one_photon(counts: BasisCounts | BasisCountArrays, protocol: DecoyProtocol) -> tuple[Any, Any]:
    """Bound the one-photon yield (times pulses sent) from below and its error rate from above, in one basis."""
    mu, nu, _ = protocol.intensities
    signal, decoy, vacuum = (counts.clicks[k] / protocol.p_intensities[k] for k in (SIGNAL, DECOY, VACUUM))
    strong = signal * math.exp(mu) * nu**2 / mu**2
    yields = mu / (mu * nu - nu**2) * (decoy * math.exp(nu) - strong - (mu**2 - nu**2) / mu**2 * vacuum)
    yields = np.maximum(0.0, yields)
    wrong = counts.errors[DECOY] / protocol.p_intensities[DECOY] * math.exp(nu) - ERROR_OF_NOISE * vacuum
    rate = wrong / (np.where(yields > 0, yields, 1.0) * nu)
    return yields, np.where(yields > 0, np.clip(rate, 0.0, 0.5), 0.5)
