"""Finite-key length: fixed costs, limits, monotony, refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from scipy.stats import hypergeom

from qanat.physics.analytic import link_model
from qanat.physics.systems import BACKBONE_625
from qanat.protocols.asymptotic import GainAndError, asymptotic_rate_per_signal, single_photon_bounds
from qanat.protocols.decoy import BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.protocols.entropy import binary_entropy
from qanat.protocols.finite_key import (
    MIN_KEY_SHARE,
    NUM_ERROR_TERMS,
    NUM_ERROR_TERMS_PLAIN,
    SAMPLING_POWER,
    BasisBounds,
    Deviation,
    PhaseErrors,
    basis_bounds,
    correctness_cost_bits,
    phase_error_upper,
    photon_number_odds,
    secrecy_cost_bits,
    secret_length,
)
from qanat.protocols.prediction import asymptotic_rate_bits_per_s, expected_counts, expected_rate, protocol_of

PROTOCOL = DecoyProtocol()
SECURITY = SecurityParameters()
LOSSES_DB = (10.3, 16.0, 20.5)
EMPTY = BasisCounts((0, 0, 0), (0, 0, 0), 0)


def counts(num_key_bits: int = 4_000_000, loss_db: float = 16.0) -> DecoyCounts:
    return expected_counts(BACKBONE_625, loss_db=loss_db, num_key_bits=num_key_bits)


def length(block: DecoyCounts, *, leaked_bits: int = 0, security: SecurityParameters = SECURITY) -> int:
    return secret_length(block, PROTOCOL, security, leaked_bits=leaked_bits).num_bits


def test_the_last_two_terms_cost_206_and_51_bits() -> None:
    """At eps_sec 1e-9 and eps_cor 1e-15; two programs written apart from this one agree."""
    assert round(secrecy_cost_bits(1e-9, num_error_terms=NUM_ERROR_TERMS_PLAIN)) == 206
    assert round(correctness_cost_bits(1e-15)) == 51


def test_the_terms_add_up_to_the_length() -> None:
    result = secret_length(counts(), PROTOCOL, SECURITY, leaked_bits=200_000)
    terms = result.terms
    gain = terms["entropy_rectilinear"] + terms["entropy_diagonal"]
    assert result.num_bits == math.floor(gain - terms["leaked"] - terms["secrecy"] - terms["correctness"])
    assert terms["leaked"] == 200_000
    assert terms["secrecy"] == pytest.approx(12 * math.log2(2 * NUM_ERROR_TERMS / SECURITY.eps_sec))


def test_every_leaked_bit_is_charged_once() -> None:
    assert length(counts()) - length(counts(), leaked_bits=1000) == 1000


@pytest.mark.parametrize("block", [DecoyCounts(EMPTY, EMPTY), counts(1000), DecoyCounts(counts().diagonal, EMPTY)])
def test_a_block_that_proves_nothing_gives_no_bit(block: DecoyCounts) -> None:
    result = secret_length(block, PROTOCOL, SECURITY, leaked_bits=0)
    assert result.num_bits == 0
    assert max(result.phase_error_upper) == 0.5


def test_more_errors_fewer_disclosed_or_smaller_epsilon_never_give_more() -> None:
    block = counts()
    basis = block.diagonal
    worse = replace(basis, errors=(basis.errors[0] + 5000, basis.errors[1] + 500, basis.errors[2]))
    fewer = replace(basis, key_bits=basis.key_bits - 1000)
    strict = replace(SECURITY, eps_sec=1e-12)
    assert length(replace(block, diagonal=worse)) < length(block)
    assert length(replace(block, diagonal=fewer)) < length(block)
    assert length(block, security=strict) < length(block)


@pytest.mark.parametrize(
    "change",
    [{"clicks": (10, -1, 0)}, {"errors": (0, 10**9, 0)}, {"errors": (-1, 0, 0)}, {"key_bits": 10**9}],
)
def test_counts_that_cannot_be_are_refused(change: dict[str, object]) -> None:
    basis = replace(counts().diagonal, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be"):
        secret_length(DecoyCounts(basis, basis), PROTOCOL, SECURITY, leaked_bits=0)


def test_a_negative_leak_is_refused() -> None:
    with pytest.raises(ValueError, match="leaked_bits"):
        length(counts(), leaked_bits=-1)


@pytest.mark.parametrize("loss_db", LOSSES_DB)
@pytest.mark.parametrize("num_key_bits", [4_000_000, 100_000_000])
def test_counted_errors_only_help(loss_db: float, num_key_bits: int) -> None:
    block = counts(num_key_bits, loss_db)
    literal, best = (
        secret_length(block, PROTOCOL, SECURITY, leaked_bits=0, phase_errors=choice) for choice in PhaseErrors
    )
    assert literal.num_bits <= best.num_bits
    assert literal.proof != best.proof


def test_no_error_seen_is_not_taken_for_no_error() -> None:
    """Without errors, the phase errors allowed still are those that could hide: log2(1/eps) and more."""
    block = counts()
    clean = [replace(basis, errors=(0, 0, 0)) for basis in (block.rectilinear, block.diagonal)]
    result = secret_length(DecoyCounts(*clean), PROTOCOL, SECURITY, leaked_bits=0)
    for phase, single in zip(result.phase_error_upper, result.single_photon_lower, strict=True):
        assert phase * single > math.log2(2 * NUM_ERROR_TERMS / SECURITY.eps_sec)


@pytest.mark.parametrize("choice", PhaseErrors)
def test_both_forms_count_at_least_the_fewest_errors(choice: PhaseErrors) -> None:
    deviation = Deviation(SECURITY.eps_sec / 2 / NUM_ERROR_TERMS, sampling_power=SAMPLING_POWER)
    clean = replace(counts().diagonal, errors=(0, 0, 0))
    bounds = basis_bounds(clean, PROTOCOL, deviation, phase_errors=choice)
    assert bounds.single_photon_errors_upper >= deviation.min_errors() > 70
    tiny = BasisCounts((0, 0, 0), (0, 0, 0), 0)
    assert basis_bounds(tiny, PROTOCOL, deviation, phase_errors=choice).single_photon_errors_upper >= 70


@pytest.mark.parametrize(("share", "gives_key"), [(0.8, True), (0.7, True), (0.6, False), (0.01, False)])
def test_a_basis_with_a_key_sample_far_below_its_test_sample_gives_no_key(share: float, gives_key: bool) -> None:
    """Fewer undisclosed events of one basis against the other's full test sample: too small, nothing is claimed."""
    block = counts(100_000_000)
    small = replace(block.diagonal, key_bits=round(block.diagonal.clicks[0] * share))
    result = secret_length(DecoyCounts(block.rectilinear, small), PROTOCOL, SECURITY, leaked_bits=0)
    assert (result.phase_error_upper[1] < 0.5) is gives_key
    assert result.phase_error_upper[0] < 0.5
    entropy_of_photons = result.terms["entropy_diagonal"] - result.vacuum_lower[1]
    assert (entropy_of_photons > 0) is gives_key


@pytest.mark.parametrize("num_test", [20_000, 900_000])
@pytest.mark.parametrize("share", [MIN_KEY_SHARE, 0.8, 2.0])
@pytest.mark.parametrize("eps_sec", [1e-5, SECURITY.eps_sec, 1e-12, 1e-15])
def test_the_sampling_term_holds_against_the_exact_tail(eps_sec: float, share: float, num_test: int) -> None:
    """The exact odds (hypergeometric) of so many key errors behind so few test errors: below the square of the term.

    Its square root is what smoothing by the term allows.
    """
    eps_term = eps_sec / 2 / NUM_ERROR_TERMS
    deviation = Deviation(eps_term, sampling_power=SAMPLING_POWER)
    num_key = round(share * num_test)
    for seen in (0, 20, math.floor(deviation.min_errors()), 60, 100, 400, 1000):
        errors = max(float(seen), deviation.min_errors())
        phase = phase_error_upper(num_key, BasisBounds(0, num_test, errors), deviation)
        hidden = math.floor(phase * num_key) + 1
        assert hypergeom.logcdf(seen, num_key + num_test, seen + hidden, num_test) <= 2 * math.log(eps_term)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"eps_sec": 0.0}, "eps_sec"),
        ({"eps_sec": 60.0}, "eps_sec"),
        ({"eps_cor": -1.0}, "eps_cor"),
        ({"eps_cor": 1.0}, "eps_cor"),
        ({"eps_auth": math.nan}, "eps_auth"),
        ({"num_tags": 5}, "num_tags"),
    ],
)
def test_epsilons_that_are_no_probabilities_are_refused(wrong: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SecurityParameters(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_without_chance_the_bounds_enclose_the_truth(loss_db: float) -> None:
    """With deviations switched off, bounds from expected counts must lie on the safe side of the model, and near it."""
    plain = replace(BACKBONE_625.receiver.detector, p_afterpulse=0.0)
    system = replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, detector=plain))
    model = link_model(system, loss_db=loss_db)
    num_pulses, no_slack = 1e13, Deviation(eps_term=1.0)
    clicks, errors = model.sifted_per_pulse()[:, 0] * num_pulses, model.sifted_errors_per_pulse()[:, 0] * num_pulses
    basis = BasisCounts(tuple(map(round, clicks)), tuple(map(round, errors)), 0)  # type: ignore[arg-type]
    bounds = basis_bounds(basis, PROTOCOL, no_slack, phase_errors=PhaseErrors.DECOY)
    per_pulse = num_pulses / 4  # both parties chose this basis
    eta = 0.11 * 10 ** (-(loss_db + 1.5) / 10) * 2 * model.live_fraction[0] / 2
    vacuum = per_pulse * photon_number_odds(PROTOCOL, 0) * 2 * 3e-7 * model.live_fraction[0] * 2
    single = per_pulse * photon_number_odds(PROTOCOL, 1) * eta
    assert 0.99 < bounds.vacuum_lower / vacuum < 1.01
    assert 0.85 < bounds.single_photon_lower / single < 1.001
    assert 1.0 < bounds.single_photon_errors_upper / (system.receiver.optical_error * single) < 1.5


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_endless_blocks_reach_the_asymptotic_rate(loss_db: float) -> None:
    """Two different formulas (Lim et al. 2014, Ma et al. 2005) meet where chance plays no part.

    Lim et al. let events without a photon make key too, exp(-mu) Y0 per pulse; Ma et al. do not.
    """
    rate = expected_rate(BACKBONE_625, loss_db=loss_db, block_bits=10**18)
    gains = link_model(BACKBONE_625, loss_db=loss_db).gains[:, 0, 0]
    vacuum = rate.verified_rate_bits_per_s * math.exp(-0.6) * gains[2] / gains[0]
    assert rate.secret_rate_bits_per_s == pytest.approx(rate.secret_rate_asymptotic_bits_per_s + vacuum, rel=1e-4)


def test_the_forecast_orders_as_it_must() -> None:
    near, far = (expected_rate(BACKBONE_625, loss_db=loss_db) for loss_db in (10.3, 16.0))
    longer = expected_rate(BACKBONE_625, loss_db=16.0, block_bits=100_000_000)
    assert near.secret_rate_bits_per_s > far.secret_rate_bits_per_s > 0
    assert far.secret_rate_bits_per_s < longer.secret_rate_bits_per_s < longer.secret_rate_asymptotic_bits_per_s
    assert near.secret_rate_bits_per_s < near.verified_rate_bits_per_s < near.sifted_rate_bits_per_s
    assert far.block_time_s == pytest.approx(4e6 / far.verified_rate_bits_per_s)
    assert expected_rate(BACKBONE_625, loss_db=60.0).secret_bits_per_block == 0


def test_expected_counts_are_a_block_of_the_size_asked_for() -> None:
    block = counts(4_000_000, 10.3)
    assert block.rectilinear.key_bits + block.diagonal.key_bits == 4_000_000
    assert block.rectilinear.clicks[0] == pytest.approx(block.rectilinear.key_bits / 0.9, rel=1e-6)


def test_a_forecast_of_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="block_bits"):
        expected_rate(BACKBONE_625, loss_db=10.3, block_bits=0)
    with pytest.raises(ValueError, match="f_ec"):
        expected_rate(BACKBONE_625, loss_db=10.3, f_ec=0.9)
    with pytest.raises(ValueError, match="vacuum"):
        asymptotic_rate_bits_per_s(
            link_model(BACKBONE_625, loss_db=10.3), DecoyProtocol(intensities=(0.6, 0.2, 0.01)), f_ec=1.1
        )


def test_the_system_and_the_default_protocol_are_one() -> None:
    assert protocol_of(BACKBONE_625) == PROTOCOL


def test_vacuum_and_weak_decoy_bound_single_photons() -> None:
    """Ideal gains Q = Y0 + 1 - exp(-eta mu): the truth is Y1 = Y0 + eta - Y0 eta, e1 Y1 = e0 Y0 + e_d eta."""
    eta, y0, e_d = 1e-3, 1e-6, 0.01

    def ideal(mu: float) -> GainAndError:
        light = -math.expm1(-eta * mu)
        return GainAndError(y0 + light, y0 / 2 + e_d * light)

    bounds = single_photon_bounds(ideal(0.6), ideal(0.2), mu=0.6, nu=0.2, yield_0=y0)
    truth = y0 + eta - y0 * eta
    assert 0.9 * truth < bounds.yield_1_lower < truth
    assert (y0 / 2 + e_d * eta) / truth < bounds.error_1_upper < 0.014


def test_a_noisy_line_gives_no_asymptotic_rate() -> None:
    noise = GainAndError(1e-5, 5e-6)
    assert asymptotic_rate_per_signal(noise, noise, mu=0.6, nu=0.2, yield_0=1e-5, f_ec=1.1) == 0.0
    assert single_photon_bounds(noise, noise, mu=0.6, nu=0.2, yield_0=1e-4).error_1_upper == 0.5
    with pytest.raises(ValueError, match="mu > nu"):
        single_photon_bounds(noise, noise, mu=0.2, nu=0.6, yield_0=1e-5)


@pytest.mark.parametrize(("p", "bits"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0), (0.11, 0.499916)])
def test_binary_entropy(p: float, bits: float) -> None:
    assert binary_entropy(p) == pytest.approx(bits, abs=1e-6)


def test_a_probability_beyond_one_is_refused() -> None:
    with pytest.raises(ValueError, match="probability"):
        binary_entropy(1.1)
