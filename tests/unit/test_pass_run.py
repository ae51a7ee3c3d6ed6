"""A pass at photon level: drawn clicks against the expected light, and both ends' keys by the proof of keys."""

from __future__ import annotations

import pytest

from qanat.ground.randomness import SeededChance
from qanat.orbits.circular import circular_track
from qanat.orbits.downlink import link_budget
from qanat.orbits.nature2021 import downlink
from qanat.orbits.pass_light import expected_light
from qanat.physics.micius import MICIUS
from qanat.protocols.decoy import SecurityParameters
from qanat.protocols.finite_key import secret_length
from qanat.protocols.prediction import protocol_of
from qanat.quantum_layer.pass_run import PassFigures, block_bits_of, run_pass
from qanat.simulation.entropy import SimulationEntropy


def run(*, duration_s: float, seed: int = 4) -> tuple[PassFigures, float]:
    track = circular_track(altitude_km=500, max_elevation_deg=80, duration_s=duration_s)
    budget = link_budget(track, downlink(), MICIUS)
    light, chance = expected_light(MICIUS, budget), SeededChance(seed)
    return run_pass(light, budget, chance=chance, entropy=SimulationEntropy(chance.child("entropy"))), light.sifted_bits


@pytest.mark.slow
def test_a_pass_of_half_a_minute_makes_the_same_key_at_both_ends_by_the_proof_of_keys() -> None:
    """The middle of a pass: eleven million sifted bits of biased bases; 5 sigma of the sifted bits, the seed fixed."""
    made, expected = run(duration_s=32.0)
    assert made.all_held
    assert made.keys_identical is True
    assert abs(made.sifted_bits - expected) < 5 * expected**0.5
    assert sum(made.sifted_by_step) == made.sifted_bits
    assert made.key is not None
    counts = made.key.counts
    assert counts.rectilinear.key_bits > 30 * counts.diagonal.key_bits > 0
    again = secret_length(counts, protocol_of(MICIUS), SecurityParameters(), leaked_bits=made.leaked_bits)
    assert again.num_bits // 16 * 16 == made.secret_bits > 0


def test_a_pass_too_short_for_a_block_says_so_and_makes_nothing() -> None:
    made, expected = run(duration_s=2.0)
    assert expected < 2**20
    assert made.alarms[0].code in ("TooShort", "NoSecretKey")
    assert made.secret_bits == 0
    assert not made.all_held


def test_a_block_is_whole_and_leaves_room_for_chance() -> None:
    track = circular_track(altitude_km=500, max_elevation_deg=80)
    light = expected_light(MICIUS, link_budget(track, downlink(), MICIUS))
    bits = block_bits_of(light)
    assert bits % 2**18 == 0
    assert 0.98 * 0.9 * light.sifted_bits < bits < 0.9 * light.sifted_bits
