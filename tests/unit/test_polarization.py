"""Polarization: rotations of the sphere against Jones calculus, drift against its closed form."""

from __future__ import annotations

import cmath
import math

import numpy as np
import pytest

from qanat.physics.polarization import (
    NUM_SQUEEZERS,
    SQUEEZER_AXES,
    STATES,
    controller_rotation,
    detector_shares,
    drift_step,
    leak_of,
    optical_errors,
    port_shares,
    prepared_states,
    random_rotation,
    rotation,
)

PAULI = np.array([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]]], dtype=complex)


def stokes(jones: np.ndarray) -> np.ndarray:
    """Stokes vector of a normalized Jones vector, by expectation of the Pauli matrices in the order s1, s2, s3."""
    return np.array([(jones.conj() @ pauli @ jones).real for pauli in PAULI])


def jones_retarder(angle_rad: float, retardance_rad: float) -> np.ndarray:
    """Jones matrix of a linear retarder whose fast axis stands at ``angle_rad``, from its definition."""
    turn = np.array([[math.cos(angle_rad), -math.sin(angle_rad)], [math.sin(angle_rad), math.cos(angle_rad)]])
    delays = np.diag([cmath.exp(-0.5j * retardance_rad), cmath.exp(0.5j * retardance_rad)])
    return turn @ delays @ turn.T


def test_squeezers_turn_the_sphere_as_retarders_turn_jones_vectors() -> None:
    """Squeezers at 0, 45, 0, 45 degrees; the outside authority is the algebra of 2 x 2 matrices."""
    generator = np.random.default_rng(1)
    for _ in range(20):
        turns = generator.uniform(0, 2 * math.pi, NUM_SQUEEZERS)
        jones = generator.standard_normal(2) + 1j * generator.standard_normal(2)
        jones /= np.linalg.norm(jones)
        expected = jones
        for place, turn in enumerate(turns):
            expected = jones_retarder(math.pi / 4 * (place % 2), turn) @ expected
        assert controller_rotation(list(turns)) @ stokes(jones) == pytest.approx(stokes(expected), abs=1e-12)


def test_a_rotation_keeps_lengths_and_hands() -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        turned = random_rotation(generator)
        assert turned @ turned.T == pytest.approx(np.eye(3), abs=1e-12)
        assert np.linalg.det(turned) == pytest.approx(1.0)
    assert rotation(np.array([1.0, 0, 0]), math.pi / 2) @ np.array([0, 1.0, 0]) == pytest.approx([0, 0, 1])


def test_random_fibres_are_uniform() -> None:
    """Each component of what becomes of H has mean 0 and mean square 1/3: 5 sigma of 4,000 draws, seed fixed."""
    generator = np.random.default_rng(3)
    ends = np.array([random_rotation(generator) @ STATES[0] for _ in range(4000)])
    assert np.abs(ends.mean(axis=0)).max() < 5 * math.sqrt(1 / 3 / 4000)
    assert np.abs((ends**2).mean(axis=0) - 1 / 3).max() < 5 * math.sqrt(4 / 45 / 4000)


@pytest.mark.slow
def test_drift_follows_brownian_motion_on_the_sphere() -> None:
    """Mean cosine exp(-D^2 t) after 40 steps of 0.5 s at 0.15 rad: 5 sigma of 2,000 walks (spread at most 1)."""
    generator = np.random.default_rng(4)
    cosines = []
    for _ in range(2000):
        state = STATES[0]
        for _ in range(40):
            state = drift_step(generator, drift_rad_per_sqrt_s=0.15, duration_s=0.5) @ state
        cosines.append(state[0])
    assert np.mean(cosines) == pytest.approx(math.exp(-(0.15**2) * 20), abs=5 * np.std(cosines) / math.sqrt(2000))


def test_the_splitter_has_the_extinction_it_says() -> None:
    shares = port_shares(STATES, leak=leak_of(20.0))
    assert shares[0, 0] / shares[0, 1] == pytest.approx(100.0)
    assert shares[1, 1] / shares[1, 0] == pytest.approx(100.0)
    assert shares[2:] == pytest.approx(np.full((2, 2), 0.5))


def test_an_aligned_link_has_the_splitters_leak_as_its_error() -> None:
    """A quarter turn about s3 takes + to H: two squeezers do it, and what is left is the leak."""
    to_h = np.linalg.inv(rotation(np.array([0.0, 0, 1]), math.pi / 2))
    leak = leak_of(25.0)
    shares = detector_shares(STATES, fibre=np.eye(3), controllers=[np.eye(3), to_h], leak=leak, p_rectilinear=0.5)
    assert shares.sum(axis=1) == pytest.approx(np.ones(4))
    assert optical_errors(shares) == pytest.approx((leak, leak))


def test_a_transmitter_that_misses_its_states_cannot_be_aligned_away() -> None:
    """Two states that are not opposite: the mean error of any fibre is at least sin^2 of a quarter of the angle."""
    states = prepared_states(error_rad=0.2)
    assert states[0] @ states[1] == pytest.approx(-math.cos(0.2))
    generator = np.random.default_rng(5)
    best = min(
        optical_errors(
            detector_shares(
                states, fibre=random_rotation(generator), controllers=[np.eye(3)] * 2, leak=0.0, p_rectilinear=0.5
            )
        )[0]
        for _ in range(3000)
    )
    assert best >= math.sin(0.05) ** 2


def test_the_last_squeezer_acts_at_a_splitter_for_h_and_v() -> None:
    assert SQUEEZER_AXES[-1] @ STATES[0] == 0
