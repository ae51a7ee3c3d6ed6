"""A pass at photon level: drawn clicks against the expected light, and both ends' keys by the proof of keys."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.ground.randomness import SeededChance
from qanat.orbits.circular import circular_track
from qanat.orbits.downlink import link_budget
from qanat.orbits.nature2021 import downlink, figure_3a
from qanat.orbits.pass_light import PassLight, expected_light
from qanat.physics.micius import MICIUS
from qanat.protocols.decoy import SecurityParameters
from qanat.protocols.finite_key import secret_length
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.pass_run import PassFigures, block_bits_of, run_pass
from qanat.simulation.entropy import SimulationEntropy


def run(*, duration_s: float, seed: int = 4) -> tuple[PassFigures, PassLight]:
    track = circular_track(altitude_km=500, max_elevation_deg=80, duration_s=duration_s)
    budget = link_budget(track, downlink(), MICIUS)
    light, chance = expected_light(MICIUS, budget), SeededChance(seed)
    return run_pass(light, budget, chance=chance, entropy=SimulationEntropy(chance.child("entropy"))), light


@pytest.mark.slow
def test_a_pass_of_half_a_minute_makes_the_same_key_at_both_ends_by_the_proof_of_keys() -> None:
    """The middle of a pass: eleven million sifted bits of biased bases. 5 sigma of the sifted bits, of all seconds and
    of each; the seed is fixed. The loss of every second shows: the least rate is 5 per cent below the greatest."""
    made, light = run(duration_s=32.0)
    expected = light.sifted_bits
    assert made.all_held
    assert made.keys_identical is True
    assert abs(made.sifted_bits - expected) < 5 * expected**0.5
    assert sum(made.sifted_by_step) == made.sifted_bits
    rates = light.sifted_rate_bits_per_s
    assert np.all(np.abs(np.array(made.sifted_by_step) - rates) < 5 * np.sqrt(rates))
    assert rates.min() < 0.96 * rates.max()
    assert made.key is not None
    counts = made.key.counts
    assert counts.rectilinear.key_bits > 30 * counts.diagonal.key_bits > 0
    again = secret_length(counts, protocol_of(MICIUS), SecurityParameters(), leaked_bits=made.leaked_bits)
    assert again.num_bits // 16 * 16 == made.secret_bits > 0


def test_a_pass_too_short_for_a_block_says_so_and_makes_nothing() -> None:
    made, light = run(duration_s=2.0)
    assert light.sifted_bits < 2**20
    assert made.alarms[0].code in ("TooShort", "NoSecretKey")
    assert made.secret_bits == 0
    assert not made.all_held


def test_a_block_is_whole_and_leaves_room_for_chance() -> None:
    track = circular_track(altitude_km=500, max_elevation_deg=80)
    light = expected_light(MICIUS, link_budget(track, downlink(), MICIUS))
    bits = block_bits_of(light)
    assert bits % 2**18 == 0
    assert 0.98 * 0.9 * light.sifted_bits < bits < 0.9 * light.sifted_bits


@pytest.mark.campaign
def test_the_whole_pass_of_the_paper_is_distilled_at_both_ends() -> None:
    """58.1 Mbit sifted, half a minute on one core."""
    paper, chance = figure_3a(), SeededChance(1)
    made = run_pass(paper.light, paper.budget, chance=chance, entropy=SimulationEntropy(chance.child("entropy")))
    assert made.all_held
    assert abs(made.sifted_bits - 58.1e6) < 5 * 58.1e6**0.5
    assert made.qber == pytest.approx(0.0050, abs=5 * (0.005 / 58.1e6) ** 0.5)
    assert made.secret_bits > 17.4e6
