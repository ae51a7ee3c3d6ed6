"""Several pairs on one fibre, and switches that join fibres without lengthening anybody's reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from qanat.ground.errors import ConfigurationError
from qanat.ground.units import transmittance
from qanat.physics.analytic import link_model
from qanat.physics.channels import ALL_PASS_16, DWDM_16, OpticalSwitch, with_stray_light
from qanat.physics.clicks import dark_odds
from qanat.physics.systems import BACKBONE_625, SYSTEMS, QKDSystem
from qanat.protocols.prediction import expected_rate
from qanat.quantum_layer.shared_fibre import BLOCK_BITS, pairs_for, shared_fibre


def rate(system: QKDSystem, loss_db: float) -> float:
    return expected_rate(system, loss_db=loss_db, block_bits=BLOCK_BITS).secret_rate_bits_per_s


def test_one_decibel_costs_a_fifth_at_the_mean_loss_of_the_backbone() -> None:
    assert 1 - rate(BACKBONE_625, 17.0) / rate(BACKBONE_625, 16.0) == pytest.approx(0.19, abs=0.005)


def test_five_times_the_rate_takes_seven_pairs() -> None:
    """Six would do without loss by multiplexers to spare: 6 x 0.81 = 4.9."""
    found = pairs_for(BACKBONE_625, DWDM_16, loss_db=16.0, times_rate=5.0)
    assert found.num_pairs == 7
    assert found.gain > 5
    six = shared_fibre(BACKBONE_625, DWDM_16, loss_db=16.0, num_pairs=6)
    assert six.gain < 5
    assert six.pair_rate_bits_per_s < rate(BACKBONE_625, 16.99)  # cross-talk


def test_crosstalk_adds_the_neighbours_and_the_others() -> None:
    assert DWDM_16.crosstalk(1) == 0
    assert DWDM_16.crosstalk(2) == pytest.approx(1e-3)
    assert DWDM_16.crosstalk(3) == pytest.approx(2e-3)
    assert DWDM_16.crosstalk(7) == pytest.approx(2e-3 + 4e-4)


def test_more_crosstalk_never_raises_a_pairs_rate() -> None:
    rates = [
        shared_fibre(BACKBONE_625, DWDM_16, loss_db=16.0, num_pairs=number).pair_rate_bits_per_s
        for number in range(1, 8)
    ]
    assert rates == sorted(rates, reverse=True)


def test_stray_light_is_what_every_detector_sees_of_it() -> None:
    """By hand: a photon per 1,000 pulses, 1.5 dB of optics, a quarter of it at each detector, 11 %."""
    lit = with_stray_light(BACKBONE_625, photons_per_pulse=1e-3)
    expected = 1 - (1 - 3e-7) * np.exp(-1e-3 * 10**-0.15 / 4 * 0.11)
    assert dark_odds(lit) == pytest.approx([expected] * 4, rel=1e-9)
    assert dark_odds(with_stray_light(BACKBONE_625, photons_per_pulse=0.0)) == pytest.approx([3e-7] * 4, rel=1e-9)


def test_crosstalk_shows_in_the_error_rate_as_half_its_share() -> None:
    loss_db, share = 16.0, 0.02
    mean = 0.475 * transmittance(loss_db=loss_db) * share
    plain, lit = BACKBONE_625, with_stray_light(BACKBONE_625, photons_per_pulse=mean)
    rise = link_model(lit, loss_db=loss_db).qber(0) - link_model(plain, loss_db=loss_db).qber(0)
    assert rise == pytest.approx(share * 0.475 / 0.6 / 2, rel=0.05)


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_a_switch_never_extends_reach(system: QKDSystem) -> None:
    """Through the switch there is never more key than on the same fibres spliced, wherever it stands between them."""
    for total_db in np.arange(0.0, 40.0, 2.0):
        for first_db in (0.0, total_db / 2, total_db):
            through = ALL_PASS_16.path_loss_db(first_db, total_db - first_db)
            assert through >= total_db
            assert rate(system, through) <= rate(system, total_db)
    lossless = OpticalSwitch(16, 0.0, 0.0)
    assert lossless.path_loss_db(3.0, 4.0) == 7.0


def test_a_switch_that_turns_costs_time() -> None:
    assert ALL_PASS_16.num_links_at_once == 8
    assert ALL_PASS_16.duty(dwell_s=2.0) == pytest.approx(0.99)
    assert ALL_PASS_16.duty(dwell_s=0.01) == 0


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: OpticalSwitch(17, 1.0, 0.02), "2 to 16 ports"),
        (lambda: OpticalSwitch(1, 1.0, 0.02), "2 to 16 ports"),
        (lambda: OpticalSwitch(8, -1.0, 0.02), "zero or more"),
        (lambda: OpticalSwitch(8, 1.0, float("inf")), "zero or more"),
        (lambda: ALL_PASS_16.duty(dwell_s=0.0), "more than zero"),
        (lambda: replace(DWDM_16, num_channels=0), "one channel or more"),
        (lambda: replace(DWDM_16, insertion_loss_db=1.0), "less than 1 dB"),
        (lambda: replace(DWDM_16, adjacent_isolation_db=50.0), "positive decibels"),
        (lambda: DWDM_16.crosstalk(17), "more channels"),
        (lambda: pairs_for(BACKBONE_625, DWDM_16, loss_db=16.0, times_rate=20.0), "more channels"),
        (lambda: with_stray_light(BACKBONE_625, photons_per_pulse=-1.0), "zero or more"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(make: Callable[[], object], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(remedy)):
        make()
