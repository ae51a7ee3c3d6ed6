"""Odds of cells and the analytic model, against the closed forms of Ma et al. 2005 and against a Markov chain."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from qanat.kernels.click_law import DetectorMemory
from qanat.physics.analytic import link_model, renewal
from qanat.physics.clicks import PATTERN_BASIS, PATTERN_FIRED, cell_odds, detected_photons, firing_odds, pattern_odds
from qanat.physics.systems import BACKBONE_625, SYSTEMS, QKDSystem

LOSSES_DB = (0.0, 10.3, 16.0, 20.5, 60.0)
P_DARK = BACKBONE_625.receiver.detector.p_dark_per_gate
OPTICAL_ERROR = BACKBONE_625.receiver.optical_error


def without_afterpulses(system: QKDSystem = BACKBONE_625, **detector: float) -> QKDSystem:
    plain = replace(system.receiver.detector, p_afterpulse=0.0, **detector)  # type: ignore[arg-type]
    return replace(system, receiver=replace(system.receiver, detector=plain))


def without_memory() -> QKDSystem:
    """Neither hold-off nor after-pulses: what Ma et al. have."""
    return without_afterpulses(hold_off_s=0.0)


def eta(loss_db: float) -> float:
    return 0.11 * 10 ** (-(loss_db + 1.5) / 10)


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_without_hold_off_the_gain_is_that_of_ma_et_al(loss_db: float) -> None:
    """Q = 1 - (1 - Y0) exp(-eta mu), Y0 of four detectors, exact: every photon reaches one of them."""
    model = link_model(without_memory(), loss_db=loss_db)
    for k, mu in enumerate(BACKBONE_625.source.mean_photon_numbers):
        expected = -math.expm1(4 * math.log1p(-P_DARK) - eta(loss_db) * mu)
        assert model.gains[k].sum(axis=-1) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("loss_db", [10.3, 16.0, 20.5, 40.0])
def test_without_hold_off_the_error_is_that_of_ma_et_al(loss_db: float) -> None:
    """E Q = e0 Y0 + e_d (1 - exp(-eta mu)) per basis, with half of the light and two detectors.

    To first order in the light: clicks in both bases and double clicks are of second order.
    """
    model = link_model(without_memory(), loss_db=loss_db)
    for k, mu in enumerate(BACKBONE_625.source.mean_photon_numbers):
        light = -math.expm1(-eta(loss_db) * mu / 2)
        expected = 0.5 * 2 * P_DARK + OPTICAL_ERROR * light
        assert model.errors[k] == pytest.approx(expected, rel=1.1 * light + 1e-6)


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_every_detected_photon_reaches_one_detector(loss_db: float) -> None:
    photons = detected_photons(BACKBONE_625, loss_db=loss_db)
    expected = eta(loss_db) * np.array([0.6, 0.2, 0.0])
    assert np.allclose(photons.sum(axis=-1), expected[:, None, None], rtol=1e-12)


def test_cells_share_out_all_odds() -> None:
    odds = cell_odds(BACKBONE_625, loss_db=3.0)
    assert odds.sum() == pytest.approx(1, abs=1e-12)
    assert odds.reshape(3, 2, 2, 16).sum(axis=(1, 2, 3)) == pytest.approx([6 / 8, 1 / 8, 1 / 8])


def test_patterns_are_those_of_independent_detectors() -> None:
    p_fire = np.array([0.1, 0.2, 0.3, 0.4])
    odds = pattern_odds(p_fire)
    assert odds[0b0101] == pytest.approx(0.1 * 0.8 * 0.3 * 0.6)
    assert odds @ PATTERN_FIRED == pytest.approx(p_fire)


def test_a_pattern_belongs_to_the_bases_of_its_detectors() -> None:
    for pattern in range(1, 16):
        rectilinear, diagonal = pattern & 0b0011, pattern & 0b1100
        assert PATTERN_BASIS[pattern] == (2 if rectilinear and diagonal else 1 if diagonal else 0)


def test_far_away_the_odds_keep_their_digits() -> None:
    """At 90 dB, 1 - exp(-x) in plain form would leave seven digits of a light that is all we look for."""
    p_fire = firing_odds(without_afterpulses(p_dark_per_gate=0.0), loss_db=90.0)
    assert p_fire[0, 0, 0, 0] == pytest.approx(0.6 * eta(90.0) / 2 * (1 - OPTICAL_ERROR), rel=1e-9, abs=0)


@pytest.mark.parametrize("p_afterpulse", [0.0, 0.01, 0.6])
@pytest.mark.parametrize(("p_fire", "hold_off_slots"), [(0.3, 1), (0.05, 7), (0.9, 4)])
def test_the_renewal_law_is_the_stationary_state_of_a_detector(
    p_fire: float, hold_off_slots: int, p_afterpulse: float
) -> None:
    """Solve the chain of one detector slot by slot and compare with the closed form.

    States: live without and with a charge, then ``hold_off_slots`` asleep without and with a charge.
    """
    kept, size = math.exp(-1 / 3.0), hold_off_slots + 1
    chain = np.zeros((2 * size, 2 * size))
    for charged in (0, 1):
        p_release = (1 - kept) * charged
        p_click = 1 - (1 - p_fire) * (1 - p_release)
        chain[charged * size, charged * size] += 1 - p_click
        for leaves, odds in ((0, 1 - p_afterpulse), (1, p_afterpulse)):
            chain[charged * size, leaves * size + hold_off_slots] += p_click * odds
        for asleep in range(1, size):
            chain[charged * size + asleep, charged * size + asleep - 1] = 1
    stationary = np.linalg.matrix_power(chain, 8192)[0]
    memory = DetectorMemory.alike(hold_off_slots=hold_off_slots, p_afterpulse=p_afterpulse, decay_slots=3.0)
    live, charge = renewal(np.full(4, p_fire), memory)
    assert live[0] == pytest.approx(stationary[0] + stationary[size], rel=1e-9)
    assert charge[0] == pytest.approx(stationary[size] * (1 - kept), rel=1e-9)


def test_a_detector_that_never_fires_is_always_live() -> None:
    live, charge = renewal(np.zeros(4), DetectorMemory.alike(hold_off_slots=9, p_afterpulse=0.1))
    assert (live.tolist(), charge.tolist()) == ([1.0] * 4, [0.0] * 4)


def test_hold_off_scales_a_live_fraction_from_the_clicks_themselves() -> None:
    model = link_model(without_afterpulses(), loss_db=10.3)
    assert model.live_fraction == pytest.approx(1 / (1 + 625 * model.p_fire))
    bare = link_model(without_memory(), loss_db=10.3)
    assert bare.live_fraction == pytest.approx(1)
    ratio = model.gains[0] / bare.gains[0]
    assert np.allclose(ratio, model.live_fraction[0], rtol=2e-3)  # double clicks aside


def test_noise_is_wrong_half_of_the_time() -> None:
    model = link_model(BACKBONE_625, loss_db=16.0)
    assert model.qber(2) == pytest.approx(0.5)


@pytest.mark.parametrize("extra_error", [0.0, 0.03, 0.5])
def test_an_extra_error_flips_photons(extra_error: float) -> None:
    model = link_model(without_afterpulses(), loss_db=10.3, extra_error=extra_error)
    flipped = OPTICAL_ERROR + extra_error * (1 - 2 * OPTICAL_ERROR)
    assert model.qber(0) == pytest.approx(flipped, abs=5e-4)


@pytest.mark.parametrize("extra_error", [-0.1, 0.6])
def test_an_extra_error_beyond_a_half_is_a_slip(extra_error: float) -> None:
    with pytest.raises(ValueError, match="extra_error"):
        detected_photons(BACKBONE_625, loss_db=10.3, extra_error=extra_error)


def stated_response(loss_db: float) -> np.ndarray:
    """The record's scalar error written out as shares of the light, state by detector."""
    error = BACKBONE_625.receiver.optical_error
    shares = np.full((4, 4), 0.25)
    shares[:2, :2] = shares[2:, 2:] = np.array([[1 - error, error], [error, 1 - error]]) / 2
    return shares * eta(loss_db)


@pytest.mark.parametrize("extra_error", [0.0, 0.03])
def test_a_response_of_the_stated_error_gives_the_stated_odds(extra_error: float) -> None:
    stated = cell_odds(BACKBONE_625, loss_db=16.0, extra_error=extra_error)
    response = stated_response(16.0)
    assert cell_odds(BACKBONE_625, loss_db=16.0, extra_error=extra_error, response=response) == pytest.approx(
        stated, rel=1e-12
    )


def test_a_response_says_of_each_state_and_detector_what_light_it_gets() -> None:
    """Sixteen different numbers: none may land in another's place."""
    response = np.arange(1.0, 17.0).reshape(4, 4) * 1e-4
    photons = detected_photons(BACKBONE_625, loss_db=99.0, response=response)
    for k, mu in enumerate(BACKBONE_625.source.mean_photon_numbers):
        for basis, bit in np.ndindex(2, 2):
            assert photons[k, basis, bit] == pytest.approx(mu * response[2 * basis + bit])
    flipped = detected_photons(BACKBONE_625, loss_db=0.0, extra_error=0.5, response=response)
    assert flipped[0, 0, 0] == pytest.approx(flipped[0, 0, 1])
    assert flipped[0, 1, 0] == pytest.approx(0.3 * (response[2] + response[3]))


@pytest.mark.parametrize("name", SYSTEMS)
def test_errors_are_those_of_the_optics_and_half_of_the_noise(name: str) -> None:
    """e (events - noise) + noise / 2, the rule by which a link knows its optical error, within 0.5 % at 9 dB."""
    model = link_model(SYSTEMS[name], loss_db=9.0)
    events, noise = model.sifted_per_pulse()[0], model.noise_per_pulse(0)
    optical_errors = (model.sifted_errors_per_pulse()[0] - noise / 2) / (events - noise)
    assert optical_errors == pytest.approx(SYSTEMS[name].receiver.optical_error, rel=0.005)
    assert (noise > 0).all()
