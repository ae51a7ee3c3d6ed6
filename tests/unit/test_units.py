"""Decibels, and figures as people print them."""

from __future__ import annotations

import math

import pytest

from qanat.ground.units import format_rate, format_size, loss_db, transmittance


@pytest.mark.parametrize(("loss", "fraction"), [(0, 1.0), (10, 0.1), (20, 0.01), (3.0103, 0.5), (16.0, 0.025118864)])
def test_decibels_are_tenths_of_powers_of_ten(loss: float, fraction: float) -> None:
    assert transmittance(loss_db=loss) == pytest.approx(fraction, rel=1e-5)
    assert loss_db(transmittance=fraction) == pytest.approx(loss, rel=1e-5, abs=1e-12)


@pytest.mark.parametrize("loss", [0.0, 0.01, 1.5, 10.3, 16.0, 20.5, 60.0])
def test_there_and_back(loss: float) -> None:
    assert loss_db(transmittance=transmittance(loss_db=loss)) == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("loss", [-0.1, math.nan, -math.inf])
def test_gain_is_no_loss(loss: float) -> None:
    with pytest.raises(ValueError, match="zero or more"):
        transmittance(loss_db=loss)


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.0000001, math.nan, math.inf])
def test_a_fraction_lies_between_zero_and_one(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"\(0, 1\]"):
        loss_db(transmittance=fraction)


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0, "0.0 bit/s"),
        (999, "999.0 bit/s"),
        (1000, "1.0 kbit/s"),
        (235_400, "235.4 kbit/s"),
        (-79_300, "-79.3 kbit/s"),
        (999_960, "1.0 Mbit/s"),
        (2_500_000, "2.5 Mbit/s"),
        (1e9, "1.0 Gbit/s"),
    ],
)
def test_rates_are_printed_with_their_unit(rate: float, text: str) -> None:
    assert format_rate(rate) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (321, "321 bytes"), (1000, "1.0 kB"), (10_000_000, "10.0 MB"), (2e9, "2.0 GB")]
)
def test_sizes_are_decimal(size: float, text: str) -> None:
    assert format_size(size) == text
