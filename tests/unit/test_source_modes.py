"""The satellite's source: its lasers, its modes, and the table from old random numbers to new odds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from qanat.ground.errors import ConfigurationError
from qanat.physics.micius import MICIUS, micius_system
from qanat.physics.source_modes import (
    SOURCE_MODES,
    STANDARD_2017,
    STATES,
    THIS_WORK,
    diode_for,
    number_map,
    source_mode,
)
from qanat.physics.systems import SYSTEMS, system_named
from qanat.physics.telescope import XINGLONG_2017


@pytest.mark.parametrize("mode", SOURCE_MODES.values(), ids=SOURCE_MODES)
def test_every_mode_is_a_source_with_eight_lasers_that_says_where_its_numbers_are_from(mode) -> None:  # type: ignore[no-untyped-def]
    assert mode.odds.sum() == pytest.approx(1)
    assert len(mode.diodes) == 8
    assert mode.source().pulse_rate_hz == mode.pulse_rate_hz
    assert set(mode.provenance) == {
        f"source.{name}" for name in ("pulse_rate_hz", "mean_photon_numbers", "p_intensities", "p_rectilinear")
    }


def test_every_pulse_has_a_laser_and_vacuum_has_none() -> None:
    for mode in (THIS_WORK, STANDARD_2017):
        for state, name in enumerate(STATES):
            for intensity in (0, 1):
                found = diode_for(mode, pulse=3, intensity=intensity, state=state)
                assert found is not None
                assert found.state == name
            assert diode_for(mode, pulse=3, intensity=2, state=state) is None


def test_by_default_signal_and_decoy_have_lasers_of_their_own_and_in_the_backup_mode_two_take_turns() -> None:
    signal, decoy = (diode_for(STANDARD_2017, pulse=5, intensity=k, state=0) for k in (0, 1))
    assert signal is not None and decoy is not None  # noqa: PT018
    assert (signal.name, decoy.name) == ("LD1", "LD2")
    turns = [diode_for(THIS_WORK, pulse=pulse, intensity=0, state=0) for pulse in range(4)]
    assert [one.name for one in turns if one] == ["LD1", "LD2", "LD1", "LD2"]


@pytest.mark.parametrize("num_bits", [4, 8, 16])
def test_a_table_of_random_numbers_is_within_its_own_step_of_the_odds(num_bits: int) -> None:
    found = number_map(THIS_WORK.odds, num_bits=num_bits)
    assert found.table.size == 2**num_bits
    assert np.abs(found.odds - THIS_WORK.odds).max() < 2.0**-num_bits


def test_numbers_that_come_evenly_are_sent_with_the_new_odds() -> None:
    """Chi-square of a million numbers over 12 cells; the seed is fixed, a false alarm has odds below 1e-6."""
    found = number_map(THIS_WORK.odds, num_bits=16)
    numbers = np.random.default_rng(5).integers(0, 2**16, 1_000_000, dtype=np.uint32)
    intensities, states = found.look_up(numbers)
    seen = np.bincount(4 * intensities + states, minlength=12)
    expected = THIS_WORK.odds.ravel() * numbers.size
    assert stats.chisquare(seen, expected).pvalue > 1e-6


@pytest.mark.parametrize("num_bits", [0, 25])
def test_tables_that_are_too_small_or_too_large_are_refused(num_bits: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be made"):
        number_map(THIS_WORK.odds, num_bits=num_bits)


def test_odds_that_are_none_and_modes_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="add up to 1"):
        number_map(THIS_WORK.odds / 2, num_bits=8)
    with pytest.raises(ConfigurationError, match="known modes: this-work"):
        source_mode("laser-pointer")


def test_the_satellites_system_is_found_by_name_and_is_none_of_the_fibres() -> None:
    assert system_named("micius") is MICIUS
    assert "micius" not in SYSTEMS


def test_light_of_the_sky_is_shared_like_the_signal_and_follows_the_receivers_field() -> None:
    z_dark, _, x_dark, _ = (one.p_dark_per_gate for one in MICIUS.receiver.detectors)
    assert z_dark > 5 * x_dark
    before = micius_system(STANDARD_2017, XINGLONG_2017)
    assert before.receiver.detector.p_dark_per_gate < MICIUS.receiver.detector.p_dark_per_gate / 3
    assert set(MICIUS.fitted) == {"receiver.optical_error", "receiver.detector.p_dark_per_gate"}
