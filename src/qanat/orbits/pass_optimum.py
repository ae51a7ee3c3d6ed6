"""The best source for a whole pass: intensities, their odds and the bias of the bases, for the longest secret key.

What is maximised is the length that the proof of keys (``finite_key.both_bases``) gives for the counts expected over
the whole pass, many candidates at once. The counts come from a short form of the link model: with the loss of every
second in its moments (sums of powers of the transmittance), a candidate costs a few operations, however long the pass.

Taken to first order: a detector's hold-off, and after-pulses as noise in proportion to the light. Left out: double
clicks. Against the full model, which ``optimal_source`` evaluates at its result, this moves the length by parts in a
thousand, and the optimum is flat.

The search is deterministic: a spread set of points over all that is allowed, then ever smaller boxes about the best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qanat.ground.errors import RequestError
from qanat.ground.units import transmittance
from qanat.orbits.downlink import LinkBudget
from qanat.orbits.pass_light import DARKEST_DB, step_of
from qanat.physics.clicks import dark_odds
from qanat.physics.system_record import PulseSource, QKDSystem
from qanat.protocols.decoy import BasisCountArrays, DecoyCountArrays, DecoyProtocolArrays, SecurityParameters
from qanat.protocols.deviation import Method
from qanat.protocols.entropy import binary_entropies
from qanat.protocols.finite_key import both_bases
from qanat.protocols.prediction import protocol_of

Floats = NDArray[np.float64]

LOWEST: Final = np.array([0.20, 0.04, 0.20, 0.20, 0.50])
HIGHEST: Final = np.array([1.00, 0.60, 0.98, 0.90, 0.98])
"""Bounds of the search: the signal's intensity, the decoy's over it, odds of the signal, the decoy's share of the rest,
odds of the rectilinear basis in the satellite."""
NUM_SPREAD: Final = 192
NUM_NEAR: Final = 48
NUM_ROUNDS: Final = 9
SHRINK: Final = 0.62
"""Points of the first round and of each later one, rounds, and how much smaller each box is than the last."""
MOST_MOMENTS: Final = 5


@dataclass(frozen=True, slots=True)
class PassMoments:
    """What the short model knows of a pass. sums: sums of transmittance^k over all pulses, k = 0 to 4, up to the
    detectors' clicks; float64, shape (5,). dark: odds per slot of a dark click in each basis. arms: the splitter's
    share of each basis."""

    sums: Floats
    dark: tuple[float, float]
    arms: tuple[float, float]
    optical_error: float
    p_afterpulse: float
    hold_off_slots: int
    signal_disclosed: float


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best source found and the length by the short model; ``secret_bits_before``: with the source as it was."""

    source: PulseSource
    secret_bits: int
    secret_bits_before: int
    num_evaluations: int


def moments_of(system: QKDSystem, budgets: Sequence[LinkBudget]) -> PassMoments:
    """Return what is needed of one pass or of several that make one block."""
    receiver = system.receiver
    inside = transmittance(loss_db=receiver.loss_db) * float(np.mean(system.counted_efficiencies))
    sums = np.zeros(MOST_MOMENTS)
    for budget in budgets:
        budget.check_sky("the search for the best source")
        losses_db = np.minimum(budget.link_loss_db(system), DARKEST_DB)[budget.is_tracked]
        num_pulses = step_of(budget.track.utc_s) * system.source.pulse_rate_hz
        eta = inside * 10 ** (-losses_db / 10)
        sums += num_pulses * np.array([np.sum(eta**power) for power in range(MOST_MOMENTS)])
    dark = dark_odds(system)
    return PassMoments(
        sums=sums,
        dark=(float(dark[:2].sum()), float(dark[2:].sum())),
        arms=(receiver.p_rectilinear, 1 - receiver.p_rectilinear),
        optical_error=receiver.optical_error,
        p_afterpulse=receiver.detector.p_afterpulse,
        hold_off_slots=system.hold_off_slots,
        signal_disclosed=protocol_of(system).signal_disclosed,
    )


def optimal_source(
    system: QKDSystem,
    budgets: Sequence[LinkBudget],
    *,
    f_ec: float = 1.1,
    security: SecurityParameters | None = None,
    method: Method = Method.HOEFFDING,
) -> Optimum:
    """Return the source that makes the longest key of these passes in one block. The vacuum state stays as dark as it
    is. Raises RequestError where no source makes any."""
    if not budgets:
        raise RequestError("no pass has no best source", remedy="give one pass or more")
    safe = security or SecurityParameters()
    moments = moments_of(system, budgets)

    def lengths(points: Floats) -> Floats:
        return secret_lengths(points, moments, f_ec=f_ec, security=safe, method=method)

    points = LOWEST + (HIGHEST - LOWEST) * _spread(NUM_SPREAD, LOWEST.size)
    values = lengths(points)
    best, most = points[values.argmax()], float(values.max())
    near, width = 2 * _spread(NUM_NEAR, LOWEST.size) - 1, (HIGHEST - LOWEST) / 4
    for _ in range(NUM_ROUNDS):
        points = np.clip(best + width * near, LOWEST, HIGHEST)
        values = lengths(points)
        if values.max() > most:
            best, most = points[values.argmax()], float(values.max())
        width = SHRINK * width
    if most <= 0:
        raise RequestError(
            "no intensities and odds make a secret key of this light",
            remedy="join more passes in one block, or take higher ones",
        )
    before = float(lengths(point_of(system.source)[None])[0])
    tried = NUM_SPREAD + NUM_ROUNDS * NUM_NEAR
    return Optimum(_source_at(best, system.source), int(most), max(0, int(before)), tried)


def point_of(source: PulseSource) -> Floats:
    """Return a source as a point of the search; float64, shape (5,)."""
    mu, nu, _ = source.mean_photon_numbers
    p_signal, p_decoy, _ = source.p_intensities
    return np.array([mu, nu / mu, p_signal, p_decoy / (1 - p_signal), source.p_rectilinear])


def _source_at(point: Floats, source: PulseSource) -> PulseSource:
    mu, ratio, p_signal, share, p_z = (float(value) for value in point)
    nu = ratio * mu
    p_decoy = (1 - p_signal) * share
    return replace(
        source,
        mean_photon_numbers=(mu, nu, source.mean_photon_numbers[2]),
        p_intensities=(p_signal, p_decoy, 1 - p_signal - p_decoy),
        p_rectilinear=p_z,
    )


def secret_lengths(
    points: Floats, moments: PassMoments, *, f_ec: float, security: SecurityParameters, method: Method
) -> Floats:
    """Return the secret length (bits, may be negative) of candidates; points: float64, shape (n, 5)."""
    mu, ratio, p_signal, share, p_z = points.T
    nu = ratio * mu
    dark = np.zeros_like(mu)
    p_decoy = (1 - p_signal) * share
    protocol = DecoyProtocolArrays((mu, nu, dark), (p_signal, p_decoy, 1 - p_signal - p_decoy))
    one = _basis_counts(protocol, moments, 0, p_z)
    other = _basis_counts(protocol, moments, 1, 1 - p_z)
    key_bits = one.key_bits + other.key_bits
    errors = one.errors[0] + other.errors[0]
    clicks = one.clicks[0] + other.clicks[0]
    leaked = f_ec * key_bits * binary_entropies(errors / np.maximum(clicks, 1.0))
    counts = DecoyCountArrays(one, other)
    reckoned = both_bases(counts, protocol, security, leaked_bits=leaked, method=method)
    return np.asarray(reckoned.length, dtype=np.float64)


def _basis_counts(protocol: DecoyProtocolArrays, moments: PassMoments, basis: int, p_basis: Floats) -> BasisCountArrays:
    """Expected sifted events and errors of one basis, of all candidates."""
    arm = moments.arms[basis]
    light = sum(p * mu for p, mu in zip(protocol.p_intensities, protocol.intensities, strict=True)) * arm
    rests = moments.hold_off_slots * light / 2
    sums = moments.sums
    live = [sums[power] - rests * sums[power + 1] for power in range(MOST_MOMENTS - 1)]
    clicks: list[Any] = []
    errors: list[Any] = []
    for p, mu in zip(protocol.p_intensities, protocol.intensities, strict=True):
        x = mu * arm
        seen = x * live[1] - x**2 * live[2] / 2 + x**3 * live[3] / 6
        noise = moments.dark[basis] * (live[0] - x * live[1] + x**2 * live[2] / 2)
        noise = noise + moments.p_afterpulse * light * (live[1] - x * live[2])
        clicks.append(p * p_basis * (seen + noise))
        errors.append(p * p_basis * (moments.optical_error * seen + noise / 2))
    signal, decoy, vacuum = clicks
    return BasisCountArrays(
        (signal, decoy, vacuum), (errors[0], errors[1], errors[2]), signal * (1 - moments.signal_disclosed)
    )


def _spread(num_points: int, num_dimensions: int) -> Floats:
    """Points evenly spread over the unit cube: the additive sequence of Roberts (2018), after the plastic number."""
    root = 2.0
    for _ in range(30):
        root = (1 + root) ** (1 / (num_dimensions + 1))
    steps = (1 / root) ** np.arange(1, num_dimensions + 1)
    return np.asarray((0.5 + np.arange(1, num_points + 1)[:, None] * steps) % 1)
