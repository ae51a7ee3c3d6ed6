"""All proofs: their order, their terms, refusals, and rates of many links at once."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qanat.ground.errors import RequestError
from qanat.physics.analytic import link_model
from qanat.physics.systems import BACKBONE_625, SYSTEMS, QKDSystem
from qanat.protocols.block_trade import LONGEST_BITS, block_trade
from qanat.protocols.decoy import (
    BasisCountArrays,
    BasisCounts,
    DecoyCountArrays,
    DecoyCounts,
    DecoyProtocol,
    SecurityParameters,
)
from qanat.protocols.deviation import Deviation
from qanat.protocols.one_decoy import OneDecoyBasis, OneDecoyProtocol, one_decoy_bounds, without_vacuum
from qanat.protocols.one_decoy_fixed_length import fixed_length_bounds
from qanat.protocols.prediction import expected_counts, expected_rate, protocol_of
from qanat.protocols.proofs import DEFAULT_PROOF, PROOFS, proof_named
from qanat.protocols.rate_table import MOST_DB, RateTable

PROTOCOL = DecoyProtocol()
SECURITY = SecurityParameters()
ORDER = ("hoeffding", "chernoff-literal", "chernoff", "gaussian", "none")
UNCOMPOSABLE = ("gaussian", "none", "asymptotic", "fung-ma-chau-2010", "yin-2020")
BLOCKS = (1_000_000, 4_194_304, 16_777_216, 100_000_000)


@st.composite
def bases(draw: st.DrawFn, clicks_log10: float) -> BasisCounts:
    """Counts such as a link gives: light, noise at 1e-5 to 1e-2 of it, 0.1 to 4 % errors; scatter of five sigma."""
    light = 10 ** (clicks_log10 + draw(st.floats(-0.05, 0.05)))
    noise = light * 10 ** draw(st.floats(-5, -2))
    wrong = draw(st.floats(0.001, 0.04))
    clicks, errors = [], []
    for mu, p in zip(PROTOCOL.intensities, PROTOCOL.p_intensities, strict=True):
        mean, mean_errors = p * (noise + light * mu), p * (noise / 2 + light * mu * wrong)
        clicks.append(max(0, round(mean + draw(st.floats(-5, 5)) * math.sqrt(mean))))
        errors.append(min(clicks[-1], max(0, round(mean_errors + draw(st.floats(-5, 5)) * math.sqrt(mean_errors)))))
    return BasisCounts(tuple(clicks), tuple(errors), round(0.9 * clicks[0]))  # type: ignore[arg-type]


@st.composite
def records(draw: st.DrawFn) -> DecoyCounts:
    size = draw(st.floats(5, 8.5))
    return DecoyCounts(draw(bases(size)), draw(bases(size)))


def reckoned(name: str, counts: DecoyCounts, *, protocol: DecoyProtocol = PROTOCOL) -> float:
    """The length without an error-correction leak, before rounding, so that order shows below zero too."""
    return float(PROOFS[name].reckon(counts, protocol, SECURITY, 0.0).length)


@pytest.mark.slow
@settings(derandomize=True, max_examples=100, deadline=None)
@given(records())
def test_no_proof_exceeds_the_same_without_fluctuation(counts: DecoyCounts) -> None:
    for proof in PROOFS.values():
        most = float(proof.without_chance(counts, PROTOCOL, SECURITY, 0.0).length)
        assert float(proof.reckon(counts, PROTOCOL, SECURITY, 0.0).length) <= most + 1e-6


@pytest.mark.slow
@settings(derandomize=True, max_examples=100, deadline=None)
@given(records())
def test_hoeffding_is_never_longer_than_the_smaller_of_both_bounds(counts: DecoyCounts) -> None:
    assert reckoned("hoeffding", counts) <= reckoned("chernoff", counts) + 1e-6
    assert reckoned("chernoff-literal", counts) <= reckoned("chernoff", counts) + 1e-6


@settings(derandomize=True, max_examples=100, deadline=None)
@given(records())
def test_vacuum_and_weak_is_not_longer_where_noise_is_wrong_half_of_the_time(counts: DecoyCounts) -> None:
    """It takes vacuum errors for half of the vacuum counts; where fewer were seen it subtracts more than was seen."""
    noisy = [
        replace(basis, errors=(*basis.errors[:2], (basis.clicks[2] + 1) // 2))
        for basis in (counts.rectilinear, counts.diagonal)
    ]
    block = DecoyCounts(*noisy)
    costs = float(PROOFS["none"].reckon(block, PROTOCOL, SECURITY, 0.0).terms["secrecy"]) + 60
    assert reckoned("asymptotic", block) <= reckoned("none", block) + costs


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("block_bits", BLOCKS)
def test_proofs_are_in_order_for_the_counts_of_our_systems(system: QKDSystem, block_bits: int) -> None:
    protocol, shown = protocol_of(system), 0
    for loss_db in np.arange(0, 33, 1.5):
        counts = expected_counts(system, loss_db=float(loss_db), num_key_bits=block_bits)
        least, literal, smaller, gaussian, most = (reckoned(name, counts, protocol=protocol) for name in ORDER)
        if least > 0:
            assert least <= literal <= smaller <= most
            assert literal <= gaussian <= most
            assert smaller <= gaussian or block_bits < 4_000_000
            shown += 1
    assert shown > 5


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("block_bits", BLOCKS)
def test_no_proof_exceeds_no_fluctuation_for_the_counts_of_our_systems(system: QKDSystem, block_bits: int) -> None:
    """Without the leak. `asymptotic` pays no fixed costs: it may exceed `none` by those, and by rounded errors."""
    protocol = protocol_of(system)
    for loss_db in np.arange(0, 33, 3):
        counts = expected_counts(system, loss_db=float(loss_db), num_key_bits=block_bits)
        most = PROOFS["none"].reckon(counts, protocol, SECURITY, 0.0)
        costs = float(most.terms["secrecy"] + most.terms["correctness"])
        for name, proof in PROOFS.items():
            own = float(proof.without_chance(counts, protocol, SECURITY, 0.0).length)
            length = reckoned(name, counts, protocol=protocol)
            assert length <= own + 1e-6
            assert length <= float(most.length) + (costs + 60 if name == "asymptotic" else 1e-6)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
@pytest.mark.parametrize("block_bits", BLOCKS)
def test_newer_proofs_of_one_key_basis_are_in_order_for_our_systems(system: QKDSystem, block_bits: int) -> None:
    """Serfling's bound costs more than Lim's term where errors are few; closed Chernoff forms gain on Hoeffding."""
    protocol, shown = protocol_of(system), 0
    for loss_db in np.arange(0, 33, 1.5):
        counts = expected_counts(system, loss_db=float(loss_db), num_key_bits=block_bits)
        fixed, one_decoy, closed = (
            reckoned(name, counts, protocol=protocol) for name in ("wiesemann-2024", "rusca-2018", "yin-2020")
        )
        if one_decoy > 0:
            assert max(fixed, one_decoy) <= closed
            assert fixed <= one_decoy or block_bits < 4_000_000
            shown += 1
    assert shown > 5


def test_the_gaussian_deviation_falls_behind_in_short_blocks() -> None:
    """z sqrt(x) for the signal, nine tenths of all events, is wider than Chernoff's bound on the tenth that is left.

    In a block of a million bits that costs more than z < sqrt(2 ln(1/eps)) gains on the other counts.
    """
    counts = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=1_000_000)
    assert 0 < reckoned("chernoff", counts) - reckoned("gaussian", counts) < 1000


@pytest.mark.parametrize("name", PROOFS)
def test_the_terms_of_a_proof_add_up_to_its_length(name: str) -> None:
    counts = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=4_194_304)
    result = PROOFS[name].length(counts, PROTOCOL, SECURITY, leaked_bits=200_000)
    entropy = sum(value for term, value in result.terms.items() if term.startswith("entropy_"))
    bounds = ("entropy_", "single_photon_errors_upper_")
    costs = sum(value for term, value in result.terms.items() if not term.startswith(bounds))
    assert result.num_bits == math.floor(entropy - costs) > 0
    assert result.terms["leaked"] == 200_000
    assert result.proof == name


@pytest.mark.parametrize("name", PROOFS)
def test_every_proof_refuses_counts_and_leaks_that_cannot_be(name: str) -> None:
    good = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=1_000_000)
    bad = DecoyCounts(good.rectilinear, replace(good.diagonal, errors=(10**9, 0, 0)))
    with pytest.raises(ValueError, match="cannot be"):
        PROOFS[name].length(bad, PROTOCOL, SECURITY, leaked_bits=0)
    for leaked_bits in (-1.0, math.nan):
        with pytest.raises(ValueError, match="leaked_bits"):
            PROOFS[name].length(good, PROTOCOL, SECURITY, leaked_bits=leaked_bits)


@pytest.mark.parametrize("name", PROOFS)
def test_nothing_counted_gives_no_key(name: str) -> None:
    empty = BasisCounts((0, 0, 0), (0, 0, 0), 0)
    assert PROOFS[name].length(DecoyCounts(empty, empty), PROTOCOL, SECURITY, leaked_bits=0).num_bits == 0


def test_a_proof_says_what_it_is() -> None:
    assert next(iter(PROOFS)) == DEFAULT_PROOF
    assert [proof.name for proof in PROOFS.values()] == list(PROOFS)
    assert {proof.name for proof in PROOFS.values() if not proof.is_composable} == set(UNCOMPOSABLE)
    assert all(proof.source and proof.key and proof.assumptions for proof in PROOFS.values())
    with pytest.raises(RequestError, match="there is no proof") as caught:
        proof_named("wishful")
    assert "lim-2014" in str(caught.value.remedy)


def test_the_proof_keys_are_made_by_is_the_default_forecast() -> None:
    default = expected_rate(BACKBONE_625, loss_db=16.0)
    named = expected_rate(BACKBONE_625, loss_db=16.0, proof="chernoff")
    assert "composable" in default.proof
    assert named.proof == "chernoff"
    assert named.secret_rate_bits_per_s > default.secret_rate_bits_per_s


def ideal_light(protocol: DecoyProtocol | OneDecoyProtocol, *, yield_1: float, noise: float) -> list[float]:
    """Mean counts of 1e13 pulses per intensity, of light that is seen photon by photon, and of noise."""
    pairs = zip(protocol.intensities, protocol.p_intensities, strict=True)
    return [1e13 * p * (noise - math.expm1(-yield_1 * mu)) for mu, p in pairs]


def test_without_chance_the_fixed_length_bounds_enclose_the_truth() -> None:
    protocol = without_vacuum(PROTOCOL)
    clicks = ideal_light(protocol, yield_1=1e-3, noise=1e-6)
    tau_1 = sum(p * mu * math.exp(-mu) for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True))
    truth = 1e13 * tau_1 * (1e-3 + 1e-6)
    basis = OneDecoyBasis((clicks[0], clicks[1]), (0.01 * clicks[0], 0.01 * clicks[1]))
    bounds = fixed_length_bounds(basis, protocol, 0.0)
    assert 0.8 * truth < bounds.single_photon_lower < truth
    assert bounds.single_photon_errors_upper > 0.01 * truth
    charged = fixed_length_bounds(basis, protocol, 23.0)
    assert charged.single_photon_lower < bounds.single_photon_lower
    assert charged.single_photon_errors_upper > bounds.single_photon_errors_upper


def test_without_chance_three_intensities_enclose_the_truth() -> None:
    """Signal and decoy of one basis are the key: their one-photon and vacuum events, and 1 % errors plus noise."""
    eta, noise = 1e-3, 1e-6
    clicks = ideal_light(PROTOCOL, yield_1=eta, noise=noise)
    errors = [
        0.01 * (n - 1e13 * p * noise) + 1e13 * p * noise / 2
        for n, p in zip(clicks, PROTOCOL.p_intensities, strict=True)
    ]
    basis = BasisCountArrays(tuple(map(np.asarray, clicks)), tuple(map(np.asarray, errors)), np.asarray(clicks[0]))
    got = PROOFS["yin-2020"].without_chance(DecoyCountArrays(basis, basis), PROTOCOL, SECURITY, 0.0)
    pairs = list(zip(PROTOCOL.intensities, PROTOCOL.p_intensities, strict=True))[:2]
    single = 1e13 * (eta + noise) * sum(p * mu * math.exp(-mu) for mu, p in pairs)
    vacuum = 1e13 * noise * sum(p * math.exp(-mu) for mu, p in pairs)
    wrong = (0.01 * eta + noise / 2) / (eta + noise)
    assert 0.9 * single < got.single_photon_lower[0] < single
    assert got.vacuum_lower[0] == pytest.approx(vacuum, rel=1e-9)
    assert wrong < got.phase_error_upper[0] < 1.35 * wrong


@pytest.mark.parametrize("name", ["yin-2020", "asymptotic"])
def test_bounds_that_need_an_empty_vacuum_refuse_another(name: str) -> None:
    counts = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=1_000_000)
    with pytest.raises(ValueError, match="vacuum of 0 photons"):
        PROOFS[name].length(counts, DecoyProtocol(intensities=(0.6, 0.2, 0.01)), SECURITY, leaked_bits=0)


def test_fewer_or_worse_events_never_lengthen_a_key_of_the_newer_proofs() -> None:
    good = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=4_194_304)
    more_errors = replace(good.diagonal, errors=(good.diagonal.errors[0], 2 * good.diagonal.errors[1], 0))
    worse = replace(good, diagonal=replace(more_errors, errors=tuple(2 * e for e in good.diagonal.errors)))  # type: ignore[arg-type]
    half = DecoyCounts(
        *(
            BasisCounts(
                tuple(n // 2 for n in basis.clicks),  # type: ignore[arg-type]
                tuple(m // 2 for m in basis.errors),  # type: ignore[arg-type]
                basis.key_bits // 2,
            )
            for basis in (good.rectilinear, good.diagonal)
        )
    )
    for name in ("yin-2020", "wiesemann-2024"):
        assert reckoned(name, worse) < reckoned(name, good)
        assert reckoned(name, half) < reckoned(name, good) / 2


def test_the_fixed_costs_of_the_newer_proofs() -> None:
    """6 log2(23 / eps) and 4 log2(15 / (2^(1/4) eps)) bits at eps_sec 1e-9, and 51 bits for eps_cor 1e-15."""
    counts = expected_counts(BACKBONE_625, loss_db=16.0, num_key_bits=1_000_000)
    security = SecurityParameters(eps_sec=1e-9)
    for name, bits in (("yin-2020", 206.5), ("wiesemann-2024", 134.2)):
        terms = PROOFS[name].length(counts, PROTOCOL, security, leaked_bits=0).terms
        assert terms["secrecy"] == pytest.approx(bits, abs=0.1)
        assert terms["correctness"] == pytest.approx(50.8, abs=0.1)
        assert terms["single_photon_errors_upper_diagonal"] > 0


def test_without_chance_one_decoy_encloses_the_truth() -> None:
    """Ideal light: yields eta n + noise. Bounds lie on the safe side, and the lower one near the truth."""
    protocol = without_vacuum(PROTOCOL)
    tau_1 = sum(p * mu * math.exp(-mu) for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True))
    eta, noise, pulses = 1e-3, 1e-6, 1e13
    clicks = tuple(
        pulses * p * (noise - math.expm1(-eta * mu))
        for mu, p in zip(protocol.intensities, protocol.p_intensities, strict=True)
    )
    basis = OneDecoyBasis(clicks, (0.01 * clicks[0], 0.01 * clicks[1]))
    bounds = one_decoy_bounds(basis, protocol, Deviation(eps_term=1.0))
    truth = pulses * tau_1 * (eta + noise)
    assert 0.8 * truth < bounds.single_photon_lower < truth
    assert bounds.single_photon_errors_upper > 0.01 * truth


@pytest.mark.parametrize("wrong", [((0.2, 0.6), (0.5, 0.5)), ((0.6, 0.0), (0.5, 0.5)), ((0.6, 0.2), (0.5, 0.6))])
def test_a_one_decoy_protocol_that_cannot_be_is_refused(
    wrong: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    with pytest.raises(ValueError, match="intensities"):
        OneDecoyProtocol(*wrong)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=SYSTEMS)
def test_rates_of_many_links_are_those_of_each(system: QKDSystem) -> None:
    table = RateTable(system)
    losses_db = np.array([0.0, 3.77, 10.3, 16.0, 20.51, 31.313, 60.0])
    for name in PROOFS:
        many = table.rates(losses_db, block_bits=4_194_304, proof=name)
        for place, loss_db in enumerate(losses_db):
            one = expected_rate(system, loss_db=float(loss_db), block_bits=4_194_304, proof=name)
            assert many.sifted_rate_bits_per_s[place] == pytest.approx(one.sifted_rate_bits_per_s, rel=1e-7)
            assert many.qber[place] == pytest.approx(one.qber, rel=1e-7)
            assert many.secret_rate_bits_per_s[place] == pytest.approx(one.secret_rate_bits_per_s, rel=1e-3)
            assert many.secret_rate_asymptotic_bits_per_s[place] == pytest.approx(
                one.secret_rate_asymptotic_bits_per_s, rel=1e-6
            )


def test_the_table_follows_the_link_model_between_its_points() -> None:
    table, losses_db = RateTable(BACKBONE_625), np.linspace(0.03, 99.9, 57)
    clicks, errors = table.sifted_odds(losses_db)
    for place, loss_db in enumerate(losses_db):
        model = link_model(BACKBONE_625, loss_db=float(loss_db))
        np.testing.assert_allclose(clicks[place], model.sifted_per_pulse(), rtol=1e-8)
        np.testing.assert_allclose(errors[place], model.sifted_errors_per_pulse(), rtol=1e-8)


@pytest.mark.parametrize("loss_db", [-0.1, MOST_DB + 1, math.nan])
def test_a_table_refuses_losses_beyond_it(loss_db: float) -> None:
    with pytest.raises(ValueError, match="losses"):
        RateTable(BACKBONE_625).rates(np.array([loss_db]), block_bits=1000)


def test_the_block_trade_tells_time_against_share() -> None:
    trade = block_trade(BACKBONE_625, loss_db=20.5, block_bits=4_194_304)
    assert trade.share(trade.chosen) < trade.share(trade.doubled) < trade.share(trade.longest) < 1
    assert trade.doubled.block_time_s == pytest.approx(2 * trade.chosen.block_time_s)
    assert trade.longest.block_bits == LONGEST_BITS
    assert "4,194,304 verified bits: 50 s of light for 70%" in trade.words()
    assert "gives key" in block_trade(BACKBONE_625, loss_db=60.0, block_bits=4_194_304).words()


@pytest.mark.parametrize("name", PROOFS)
def test_the_block_trade_speaks_for_every_proof(name: str) -> None:
    """A longer block never gives a smaller share, but for the rounding of counts and lengths."""
    trade = block_trade(BACKBONE_625, loss_db=16.0, block_bits=4_194_304, proof=name)
    shares = [trade.share(rate) for rate in (trade.chosen, trade.doubled, trade.longest)]
    assert shares == pytest.approx(sorted(shares), abs=1e-3)
    assert 0.3 < shares[0] <= shares[2] + 1e-3 < 1.02
    assert f"for {shares[0]:.0%} of an endless key's rate" in trade.words()
    assert trade.chosen.block_time_s == pytest.approx(19.4, rel=0.01)
