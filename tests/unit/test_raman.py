"""Classical light beside quantum light: Raman scattering against an integration along the fibre; figures by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from qanat.ground.errors import ConfigurationError
from qanat.physics.channels import with_steady_light, with_stray_light
from qanat.physics.clicks import dark_odds
from qanat.physics.detectors import UP_CONVERSION
from qanat.physics.raman import (
    RAMAN_PER_NM_KM,
    ClassicalLight,
    Span,
    backward_share,
    classical_noise,
    clock_noise,
    forward_share,
    photons_per_s,
    raman_coefficient,
    receiver_band_nm,
    watts,
)
from qanat.physics.systems import BACKBONE_625, BACKBONE_625_UPCONVERSION, METRO_40_I, METRO_40_II, QKDSystem
from qanat.quantum_layer.coexistence import coexistence, greatest, launch_that_leaves
from qanat.quantum_layer.shared_fibre import pair_rate

SPAN = Span(16.0, 63.8)
PAPERS = (BACKBONE_625, BACKBONE_625_UPCONVERSION, METRO_40_I, METRO_40_II)


@pytest.mark.parametrize("span", [Span(1.0, 5.0), SPAN, Span(40.0, 200.0), Span(10.0, 50.0)], ids=str)
def test_both_formulas_are_the_sum_over_all_points_of_the_fibre(span: Span) -> None:
    """Light weakens to the point where it scatters, and what is scattered weakens from there to either end."""
    alpha, length = span.alpha_per_km, span.length_km
    with_it, _ = quad(lambda z: math.exp(-alpha * z) * math.exp(-alpha * (length - z)), 0, length)
    against_it, _ = quad(lambda z: math.exp(-alpha * z) * math.exp(-alpha * z), 0, length)
    assert forward_share(span) == pytest.approx(with_it, rel=1e-9)
    assert backward_share(span) == pytest.approx(against_it, rel=1e-9)


def test_forward_light_is_greatest_where_the_fibre_has_lost_a_factor_e_and_backward_light_saturates() -> None:
    at_e_db = 10 / math.log(10)
    shares = [forward_share(Span(loss_db, loss_db / 0.2)) for loss_db in (at_e_db - 0.1, at_e_db, at_e_db + 0.1)]
    assert max(shares) == shares[1]
    assert backward_share(Span(60.0, 300.0)) == pytest.approx(1 / (2 * Span(60.0, 300.0).alpha_per_km))
    assert forward_share(Span(0.02, 0.1)) == pytest.approx(backward_share(Span(0.02, 0.1)), rel=1e-4)


def test_a_milliwatt_is_eight_times_ten_to_the_fifteen_photons() -> None:
    """h c / lambda at 1,550 nm is 1.2816e-19 J (0.79990 eV, as 1,239.842 eV nm says)."""
    assert watts(0.0) == 1e-3
    assert watts(-30.0) == pytest.approx(1e-6)
    assert photons_per_s(1.0) == pytest.approx(1 / (1239.841984 / 1550 * 1.602176634e-19), rel=1e-9)


def test_the_noise_of_one_channel_by_hand() -> None:
    """0 dBm at 16 dB and 63.8 km into 0.8 nm: 1 mW x 0.02512 x 63.8 km x 3e-9 x 0.8 = 3.846 pW."""
    noise = classical_noise(ClassicalLight(0.0), SPAN, filter_nm=0.8)
    assert noise.forward_per_s == pytest.approx(3.846e-12 / 1.2816e-19, rel=1e-3)
    assert noise.backward_per_s == 0
    assert noise.leaked_per_s == pytest.approx(1e-3 * 10**-11.6 / 1.2816e-19, rel=1e-3)
    back = classical_noise(ClassicalLight(0.0, direction="counter"), SPAN, filter_nm=0.8)
    assert (back.forward_per_s, back.leaked_per_s) == (0, 0)
    both = classical_noise(ClassicalLight(0.0, direction="both"), SPAN, filter_nm=0.8)
    assert both.total_per_s == pytest.approx(noise.total_per_s + back.total_per_s)


def test_noise_is_in_proportion_to_channels_power_coefficient_and_band() -> None:
    one = classical_noise(ClassicalLight(-20.0, direction="both"), SPAN, filter_nm=0.4)
    more = ClassicalLight(-17.0, num_channels=3, direction="both", coefficient_per_nm_km=2 * RAMAN_PER_NM_KM)
    found = classical_noise(more, SPAN, filter_nm=0.8)
    factor = 3 * 10**0.3
    assert found.forward_per_s == pytest.approx(one.forward_per_s * factor * 4)
    assert found.backward_per_s == pytest.approx(one.backward_per_s * factor * 4)
    assert found.leaked_per_s == pytest.approx(one.leaked_per_s * factor)


@pytest.mark.parametrize(("shift_thz", "gain_per_w_km"), [(1.0, 0.0348), (2.0, 0.0807), (3.0, 0.1105), (4.0, 0.1247)])
def test_the_coefficient_is_of_the_size_that_the_raman_gain_of_standard_fibre_gives(
    shift_thz: float, gain_per_w_km: float
) -> None:
    """Gains: the standard profile of the open planning tool GNPy (oopt-gnpy), at shifts within the C band.

    Within a factor of 2.5 on the blue side, and of 3.2 on the red one; red to blue as exp(h nu / k T) says.
    """
    blue = raman_coefficient(gain_per_w_km=gain_per_w_km, shift_hz=shift_thz * 1e12)
    red = raman_coefficient(gain_per_w_km=gain_per_w_km, shift_hz=-shift_thz * 1e12)
    assert red / blue == pytest.approx(math.exp(shift_thz * 1e12 * 6.62607015e-34 / (1.380649e-23 * 293)))
    assert RAMAN_PER_NM_KM / 2.5 < blue < 2.5 * RAMAN_PER_NM_KM
    assert RAMAN_PER_NM_KM / 3.2 < red < 3.2 * RAMAN_PER_NM_KM


@pytest.mark.parametrize("system", PAPERS, ids=lambda system: system.name)
def test_the_clock_takes_about_one_per_cent_of_the_rate_at_most_where_a_system_works(system: QKDSystem) -> None:
    """At 16 dB for 625 MHz, at 5.8 dB for 40 MHz: the mean losses of the paper's backbone, of Jinan and Hefei."""
    loss_db = 16.0 if system.source.pulse_rate_hz > 1e8 else 5.8
    clock = clock_noise(system, Span(loss_db, loss_db / 0.25), filter_nm=receiver_band_nm(system))
    assert clock is not None
    assert (clock.backward_per_s > 0) == system.is_transceiver
    assert 0 < coexistence(system, clock, loss_db=loss_db).cost < 0.013


def test_the_clocks_light_by_hand() -> None:
    """5.01 nW x 63.8 km x 9.3e-9 x 0.80 nm = 2.39 fW, 18,600 photons per second; a fifth of the dark counts."""
    clock = clock_noise(BACKBONE_625, SPAN, filter_nm=receiver_band_nm(BACKBONE_625))
    assert clock is not None
    assert clock.total_per_s == pytest.approx(18_600, rel=0.01)
    seen = coexistence(BACKBONE_625, clock, loss_db=16.0)
    assert seen.counted_s == 180e-12
    assert seen.odds_per_slot / seen.dark_per_slot == pytest.approx(0.218, abs=0.002)
    assert clock_noise(replace(BACKBONE_625, synchronization=None), SPAN, filter_nm=0.8) is None


@pytest.mark.parametrize(
    ("system", "counted_s"), [(BACKBONE_625, 180e-12), (METRO_40_I, 400e-12)], ids=lambda one: getattr(one, "name", "")
)
def test_steady_light_counts_in_gate_and_window_alone(system: QKDSystem, counted_s: float) -> None:
    """By hand: rate x time x optics x a quarter x efficiency, beside the dark counts."""
    detector = system.receiver.detector
    photons = 1e6 * counted_s * 10 ** (-system.receiver.loss_db / 10) / 4 * detector.efficiency
    expected = 1 - (1 - detector.p_dark_per_gate) * np.exp(-photons)
    assert dark_odds(with_steady_light(system, photons_per_s=1e6)) == pytest.approx([expected] * 4, rel=1e-9)


def test_a_free_running_detector_without_a_window_counts_through_the_whole_slot() -> None:
    free = replace(UP_CONVERSION, coincidence_window_s=None)
    assert free.counted_time_s(slot_s=1.6e-9) == 1.6e-9
    assert UP_CONVERSION.counted_time_s(slot_s=1.6e-9) == 400e-12


def test_light_of_several_kinds_adds_up() -> None:
    twice = with_steady_light(with_steady_light(BACKBONE_625, photons_per_s=2e5), photons_per_s=3e5)
    assert dark_odds(twice) == pytest.approx(dark_odds(with_steady_light(BACKBONE_625, photons_per_s=5e5)))
    mixed = with_steady_light(with_stray_light(BACKBONE_625, photons_per_pulse=1e-4), photons_per_s=1e-4 / 180e-12)
    assert dark_odds(mixed) == pytest.approx(dark_odds(with_stray_light(BACKBONE_625, photons_per_pulse=2e-4)))


def test_the_launch_power_told_is_the_greatest_that_leaves_so_much() -> None:
    light = ClassicalLight(0.0, num_channels=4, direction="counter")
    for share in (0.9, 0.5, 0.0):
        dbm = launch_that_leaves(share, BACKBONE_625, light, SPAN, filter_nm=0.8)
        assert dbm is not None
        left = []
        for power in (dbm, dbm + 0.01):
            noise = classical_noise(replace(light, launch_dbm=power), SPAN, filter_nm=0.8)
            left.append(1 - coexistence(BACKBONE_625, noise, loss_db=16.0).cost)
        assert left[0] > share >= left[1]
    assert launch_that_leaves(0.5, BACKBONE_625, light, Span(50.0, 200.0), filter_nm=0.8) is None
    assert pair_rate(BACKBONE_625, loss_db=50.0).secret_rate_bits_per_s == 0


def test_a_search_ends_where_it_is_told() -> None:
    assert greatest(lambda x: x <= 3.3, low=0.0, high=10.0, step=0.5) == 3.0
    assert greatest(lambda x: True, low=0.0, high=10.0, step=0.5) == 10.0
    assert greatest(lambda x: False, low=0.0, high=10.0, step=0.5) is None


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: Span(16.0, 0.0), "kilometres, above zero"),
        (lambda: Span(16.0, math.nan), "kilometres, above zero"),
        (lambda: Span(16.0, 200.0), "at most 123.1 km"),
        (lambda: Span(math.nan, 20.0), "the loss of the longer fibre"),
        (lambda: ClassicalLight(math.nan), "launch power per channel"),
        (lambda: ClassicalLight(math.inf), "launch power per channel"),
        (lambda: ClassicalLight(27.0), "at most 0.5 W"),
        (lambda: ClassicalLight(10.0, num_channels=51), "at most 0.5 W"),
        (lambda: ClassicalLight(0.0, num_channels=0), "one or more"),
        (lambda: ClassicalLight(0.0, direction="up"), "co, counter, both"),  # type: ignore[arg-type]
        (lambda: ClassicalLight(0.0, coefficient_per_nm_km=0.0), "such as 3e-09"),
        (lambda: ClassicalLight(0.0, coefficient_per_nm_km=math.nan), "such as 3e-09"),
        (lambda: ClassicalLight(0.0, isolation_db=-1.0), "from 0 to 300"),
        (lambda: classical_noise(ClassicalLight(0.0), SPAN, filter_nm=0.0), "above 0 and at most 100 nm"),
        (lambda: classical_noise(ClassicalLight(0.0), SPAN, filter_nm=math.nan), "above 0 and at most 100 nm"),
        (lambda: with_steady_light(BACKBONE_625, photons_per_s=math.nan), "zero or more"),
        (lambda: with_stray_light(BACKBONE_625, photons_per_pulse=math.inf), "zero or more"),
        (
            lambda: receiver_band_nm(replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, optics=()))),
            "width of its filter",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(make: Callable[[], object], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(remedy)):
        make()
