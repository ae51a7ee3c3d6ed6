"""Beams through free space, air, and telescopes: closed forms against integrals and printed figures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import dblquad, quad

from qanat.ground.errors import ConfigurationError
from qanat.physics.atmosphere import CLEAR_AIR_850_NM, Air, Turbulence, air_mass, clear_air_loss_db
from qanat.physics.free_space import captured_share, pointing_share, seen_share, share_db
from qanat.physics.telescope import NANSHAN, XINGLONG, XINGLONG_2017, SpaceTelescope, ground_telescope


def share(range_km: float, diameter_m: float, divergence_urad: float, shape: str = "gaussian") -> float:
    found = captured_share(
        np.array([range_km]),
        divergence_urad=divergence_urad,
        diameter_m=diameter_m,
        shape=shape,  # type: ignore[arg-type]
    )
    return float(found[0])


@pytest.mark.parametrize(("range_km", "diameter_m"), [(508.0, 1.2), (2043.0, 1.0), (20.0, 1.2)])
def test_a_gaussian_beam_gives_an_aperture_the_integral_of_its_intensity(range_km: float, diameter_m: float) -> None:
    waist_m = range_km * 1e3 * 10e-6 / 2
    inside, _ = quad(lambda r: 4 * r / waist_m**2 * math.exp(-2 * r**2 / waist_m**2), 0, diameter_m / 2)
    assert share(range_km, diameter_m, 10.0) == pytest.approx(inside, rel=1e-9)


def test_far_away_a_gaussian_beam_gives_twice_what_a_top_hat_of_the_same_width_gives() -> None:
    assert share(36_000.0, 2.0, 3.0) == pytest.approx(2 * share(36_000.0, 2.0, 3.0, "top-hat"), rel=1e-3)


def test_a_wide_aperture_takes_all_and_no_more() -> None:
    assert share(1.0, 10.0, 10.0) == pytest.approx(1.0)
    assert share(1.0, 10.0, 10.0, "top-hat") == 1.0


def test_pointing_jitter_leaves_the_mean_of_the_beam_over_it() -> None:
    """Against the double integral over two Gaussian angles."""
    sigma, half_urad = 1.7, 5.0

    def weighed(x: float, y: float) -> float:
        density = math.exp(-(x * x + y * y) / (2 * sigma**2)) / (2 * math.pi * sigma**2)
        return density * math.exp(-2 * (x * x + y * y) / half_urad**2)

    mean, _ = dblquad(weighed, -15, 15, -15, 15)
    assert pointing_share(jitter_urad=sigma, divergence_urad=10.0) == pytest.approx(mean, rel=1e-6)
    assert pointing_share(jitter_urad=2.5, divergence_urad=10.0) == pytest.approx(0.5)  # Extended Data Table 3


def test_half_of_a_gaussian_image_lies_within_its_own_width() -> None:
    assert float(seen_share(field_of_view_urad=8.0, blur_urad=np.array(8.0))) == pytest.approx(0.5)


def test_the_table_of_clear_air_is_met_at_its_entries_and_falls_towards_the_horizon() -> None:
    angles, shares = np.array(CLEAR_AIR_850_NM).T
    assert clear_air_loss_db(angles) == pytest.approx(share_db(shares), abs=1e-12)
    between = clear_air_loss_db(np.linspace(0, 90, 901))
    assert np.all(np.diff(between) < 1e-5)  # flat to the fifth digit at the zenith


@pytest.mark.parametrize(
    ("elevation_deg", "mass"), [(90.0, 1.0), (30.0, 1.994), (10.0, 5.60), (5.0, 10.4), (0.0, 38.0)]
)
def test_air_masses_are_those_of_published_tables(elevation_deg: float, mass: float) -> None:
    """Kasten and Young's revised table: about 38 at the horizon, 10.3 at 5 degrees, 5.6 at 10."""
    assert float(air_mass(elevation_deg)) == pytest.approx(mass, rel=0.01)


@pytest.mark.parametrize("elevation_deg", [-0.1, 90.1, math.nan])
def test_there_is_no_air_mass_below_the_horizon(elevation_deg: float) -> None:
    with pytest.raises(ValueError, match="0 and 90"):
        air_mass(elevation_deg)


def test_the_description_that_rules_is_the_one_that_counts_and_both_can_be_had() -> None:
    heights = np.array([5.0, 90.0])
    table, fitted = Air(rule="table", fitted_db=0.7), Air(rule="fitted", fitted_db=0.7)
    assert table.loss_db(heights) == pytest.approx(clear_air_loss_db(heights))
    assert fitted.loss_db(heights) == pytest.approx(0.7 * air_mass(heights))
    assert table.fitted_loss_db(heights) == pytest.approx(fitted.loss_db(heights))


def test_turbulence_takes_more_near_the_horizon_and_from_a_narrower_field() -> None:
    blur = Turbulence(fried_length_m=0.05)
    low, high = blur.loss_db(np.array([5.0, 90.0]), field_of_view_urad=30.0)
    assert low > high > 0
    assert blur.loss_db(np.array([5.0]), field_of_view_urad=100.0)[0] < low
    assert float(blur.blur_urad(np.array([90.0]))[0]) == pytest.approx(0.98 * 0.85 / 0.05, rel=1e-3)


def test_the_field_of_view_lets_in_the_sky_and_the_filter_keeps_it_out() -> None:
    """1,500 to 450 times is 11.1 times the sky; a filter of half the width halves it."""
    assert XINGLONG.background_ratio(XINGLONG_2017) == pytest.approx((1500 / 450) ** 2 / 2)
    assert NANSHAN.background_ratio(XINGLONG) == pytest.approx(1.44)


def test_receiving_optics_are_those_of_the_table_and_stations_are_found_by_name() -> None:
    assert NANSHAN.receiving_share == pytest.approx(0.30)  # Extended Data Table 3
    assert sum(part.insertion_loss_db for part in NANSHAN.components) == pytest.approx(-10 * math.log10(0.30))
    assert ground_telescope("Nanshan") is NANSHAN
    with pytest.raises(ConfigurationError, match="known stations: nanshan"):
        ground_telescope("mars")


@pytest.mark.parametrize(
    "wrong", [{"divergence_urad": 0.0}, {"pointing_efficiency": 0.0}, {"pointing_efficiency": 1.1}]
)
def test_telescopes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError):
        SpaceTelescope(**wrong)  # type: ignore[arg-type]
