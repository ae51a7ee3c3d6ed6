"""The secret rate of decoy-state BB84 with keys of infinite length: vacuum and weak decoy state.

Source: Ma, Qi, Zhao, Lo, PRA 72, 012326 (2005), its bounds for vacuum + weak decoy state and its rate formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from qanat.protocols.entropy import binary_entropy

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
