"""The bounds of the proof against a truth that only a simulation knows: how many photons each click came from."""

from __future__ import annotations

from typing import Final

import numpy as np
import pytest

from qanat.protocols.decoy import BASIS_NAMES, BasisCounts, DecoyCounts, DecoyProtocol, SecurityParameters
from qanat.protocols.finite_key import Deviation, PhaseErrors, secret_length

PROTOCOL: Final = DecoyProtocol()
NUM_TRIALS: Final = 200
NUM_PULSES: Final = 100_000_000
ETA: Final = 0.004
P_NOISE: Final = 1e-5
P_FLIP: Final = 0.01


def draw_basis(generator: np.random.Generator) -> tuple[BasisCounts, int, int, int]:
    """Draw one basis; return its counts, one-photon and vacuum events in the key, and one-photon errors of all."""
    clicks, errors = np.zeros((3, 3), np.int64), np.zeros((3, 3), np.int64)
    for k, mu in enumerate(PROTOCOL.intensities):
        pulses = generator.binomial(NUM_PULSES, PROTOCOL.p_intensities[k])
        p_photons = np.array([np.exp(-mu), mu * np.exp(-mu)])
        by_photons = generator.multinomial(pulses, [*p_photons, 1 - p_photons.sum()])
        p_click = P_NOISE + np.array([0.0, ETA, 2.2 * ETA])  # two photons or more: 2.2 on average, near enough
        clicks[k] = generator.binomial(by_photons, p_click)
        errors[k] = generator.binomial(clicks[k], (P_NOISE / 2 + P_FLIP * (p_click - P_NOISE)) / p_click)
    undisclosed = round(0.9 * int(clicks[0].sum()))
    key = generator.multivariate_hypergeometric(clicks[0], undisclosed)
    counts = BasisCounts(tuple(clicks.sum(axis=1).tolist()), tuple(errors.sum(axis=1).tolist()), undisclosed)
    return counts, int(key[1]), int(key[0]), int(errors[:, 1].sum())


def test_the_bounds_hold_where_the_truth_is_known() -> None:
    """200 trials at error terms of 1 %: Hoeffding's allowance is about 5 sigma of what is drawn here.

    So 1,600 comparisons give a false alarm with odds below 1e-3. That the test can fail is shown by the next one.
    """
    generator = np.random.default_rng(11)
    security = SecurityParameters(eps_sec=0.5)
    tightness = []
    for _ in range(NUM_TRIALS):
        drawn = [draw_basis(generator) for _ in (0, 1)]
        counts = DecoyCounts(drawn[0][0], drawn[1][0])
        for phase_errors in PhaseErrors:
            result = secret_length(counts, PROTOCOL, security, leaked_bits=0, phase_errors=phase_errors)
            for basis in (0, 1):
                _, single, vacuum, _ = drawn[basis]
                assert result.single_photon_lower[basis] <= single
                assert result.vacuum_lower[basis] <= vacuum
                phase_errors_drawn = generator.binomial(single, P_FLIP + (0.5 - P_FLIP) * P_NOISE / (ETA + P_NOISE))
                assert phase_errors_drawn <= result.phase_error_upper[basis] * single
                assert drawn[1 - basis][3] <= result.terms[f"single_photon_errors_upper_{BASIS_NAMES[1 - basis]}"]
                tightness.append(result.single_photon_lower[basis] / single)
    assert np.mean(tightness) > 0.6


def test_without_an_allowance_for_chance_they_do_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Hoeffding's allowance, among 60 draws the vacuum bound fails about 7 times, never with odds 4e-4."""
    monkeypatch.setattr(Deviation, "hoeffding", lambda *_: 0.0)
    generator = np.random.default_rng(12)
    failures = 0
    for _ in range(30):
        drawn = [draw_basis(generator) for _ in (0, 1)]
        counts = DecoyCounts(drawn[0][0], drawn[1][0])
        result = secret_length(counts, PROTOCOL, SecurityParameters(eps_sec=0.5), leaked_bits=0)
        failures += sum(result.vacuum_lower[basis] > drawn[basis][2] for basis in (0, 1))
    assert failures > 0
