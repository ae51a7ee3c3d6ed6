"""What a QKD link is expected to give: counts, sifted and secret rates, time to one amplification block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qanat.physics.analytic import LinkModel, link_model
from qanat.physics.systems import QKDSystem
from qanat.protocols.asymptotic import GainAndError, asymptotic_rate_per_signal
from qanat.protocols.decoy import (
    DECOY,
    SIGNAL,
    VACUUM,
    BasisCounts,
    DecoyCounts,
    DecoyProtocol,
    SecretLength,
    SecurityParameters,
)
from qanat.protocols.entropy import binary_entropy
from qanat.protocols.finite_key import secret_length
from qanat.protocols.proofs import DEFAULT_PROOF, proof_named


@dataclass(frozen=True, slots=True)
class ExpectedRate:
    """The forecast of a link. ``sifted``: signal events with equal bases, disclosed or not; ``verified``: what of them
    makes key. ``block_time_s``: light needed for ``block_bits`` verified bits."""

    loss_db: float
    block_bits: int
    sifted_rate_bits_per_s: float
    verified_rate_bits_per_s: float
    qber: float
    secret_rate_bits_per_s: float
    secret_rate_asymptotic_bits_per_s: float
    block_time_s: float
    secret_bits_per_block: int
    proof: str


def protocol_of(system: QKDSystem) -> DecoyProtocol:
    """Return the protocol that a system's source and receiver were built for."""
    source = system.source
    return DecoyProtocol(
        intensities=source.mean_photon_numbers,
        p_intensities=source.p_intensities,
        p_rectilinear=source.p_rectilinear,
    )


def expected_counts(system: QKDSystem, *, loss_db: float, num_key_bits: int) -> DecoyCounts:
    """Return the counts expected when ``num_key_bits`` undisclosed signal bits have been sifted, rounded."""
    return _counts(link_model(system, loss_db=loss_db), protocol_of(system), num_key_bits)


def expected_rate(
    system: QKDSystem,
    *,
    loss_db: float,
    block_bits: int = 4_000_000,
    f_ec: float = 1.1,
    security: SecurityParameters | None = None,
    proof: str = DEFAULT_PROOF,
) -> ExpectedRate:
    """Return the forecast of a link of ``loss_db`` (dB, without the receiver's own loss).

    ``block_bits``: verified bits per amplification block; ``f_ec``: bits disclosed by error correction over the Shannon
    limit; ``proof``: one of ``proofs.PROOFS``. Raises ValueError on values outside their range, RequestError for an
    unknown proof.
    """
    if block_bits < 1 or f_ec < 1:
        raise ValueError(f"block_bits must be positive and f_ec at least 1, got {block_bits} and {f_ec}")
    model, protocol = link_model(system, loss_db=loss_db), protocol_of(system)
    qber = model.qber(SIGNAL)
    counts = _counts(model, protocol, block_bits)
    length = _length(counts, protocol, security or SecurityParameters(), proof=proof, f_ec=f_ec, qber=qber)
    sifted = model.sifted_rate_per_s(SIGNAL)
    verified = sifted * (1 - protocol.signal_disclosed)
    return ExpectedRate(
        loss_db=loss_db,
        block_bits=block_bits,
        sifted_rate_bits_per_s=sifted,
        verified_rate_bits_per_s=verified,
        qber=qber,
        secret_rate_bits_per_s=length.num_bits * verified / block_bits,
        secret_rate_asymptotic_bits_per_s=asymptotic_rate_bits_per_s(model, protocol, f_ec=f_ec),
        block_time_s=block_bits / verified,
        secret_bits_per_block=length.num_bits,
        proof=length.proof,
    )


def _length(
    counts: DecoyCounts, protocol: DecoyProtocol, security: SecurityParameters, *, proof: str, f_ec: float, qber: float
) -> SecretLength:
    if proof == DEFAULT_PROOF:
        key_bits = counts.rectilinear.key_bits + counts.diagonal.key_bits
        return secret_length(counts, protocol, security, leaked_bits=round(f_ec * key_bits * binary_entropy(qber)))
    chosen = proof_named(proof)
    return chosen.length(counts, protocol, security, leaked_bits=float(chosen.leaked_bits(counts, f_ec=f_ec)))


def asymptotic_rate_bits_per_s(model: LinkModel, protocol: DecoyProtocol, *, f_ec: float) -> float:
    """Return the secret rate with keys of infinite length, from the undisclosed signal of both bases."""
    mu, nu, vacuum = protocol.intensities
    if vacuum != 0:
        raise ValueError(f"the vacuum + weak bound needs a vacuum of 0 photons, got {vacuum}")
    p_match = model.sifted_per_pulse()
    per_pulse = 0.0
    for basis in (0, 1):
        signal, decoy = (GainAndError(model.gains[k, basis, basis], model.errors[k, basis]) for k in (SIGNAL, DECOY))
        yield_0 = float(model.gains[VACUUM, basis, basis])
        per_signal = asymptotic_rate_per_signal(signal, decoy, mu=mu, nu=nu, yield_0=yield_0, f_ec=f_ec)
        per_pulse += per_signal * p_match[SIGNAL, basis] / signal.gain
    return float(per_pulse * (1 - protocol.signal_disclosed) * model.system.source.pulse_rate_hz)


def _counts(model: LinkModel, protocol: DecoyProtocol, num_key_bits: int) -> DecoyCounts:
    clicks, errors = model.sifted_per_pulse(), model.sifted_errors_per_pulse()
    undisclosed = 1 - protocol.signal_disclosed
    num_pulses = num_key_bits / (undisclosed * clicks[SIGNAL].sum())
    rectilinear, diagonal = (
        BasisCounts(
            clicks=_rounded(clicks[:, basis] * num_pulses),
            errors=_rounded(errors[:, basis] * num_pulses),
            key_bits=round(clicks[SIGNAL, basis] * num_pulses * undisclosed),
        )
        for basis in (0, 1)
    )
    return DecoyCounts(rectilinear, diagonal)


def _rounded(values: NDArray[np.float64]) -> tuple[int, int, int]:
    signal, decoy, vacuum = (round(value) for value in values.tolist())
    return signal, decoy, vacuum
