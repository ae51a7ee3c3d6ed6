"""Light that knows nothing of Alice, and detectors that differ: drawn clicks against formulas. All seeds are fixed.

Counts are compared by Poisson and binomial tails: hold-off makes a count vary less than that. "5 sigma" is a false
alarm below 6e-7 per comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from scipy import stats

from qanat.kernels.photon_sampling import ClickSampler
from qanat.physics.analytic import link_model
from qanat.physics.channels import with_steady_light, with_stray_light
from qanat.physics.clicks import (
    CELL_ALICE_BASIS,
    CELL_INTENSITY,
    cell_odds,
    dark_odds,
    firing_odds,
    preparation_odds,
)
from qanat.physics.raman import ClassicalLight, Span, classical_noise
from qanat.physics.system_record import FourDetectors
from qanat.physics.systems import BACKBONE_625, BACKBONE_625_UPCONVERSION, METRO_40_I, SYSTEMS, QKDSystem
from qanat.quantum_layer.nature import masked_records

FIVE_SIGMA: Final = 2 * float(stats.norm.sf(5))


def p_binomial(count: int, trials: int, p: float) -> float:
    return min(1.0, 2 * float(min(stats.binom.cdf(count, trials, p), stats.binom.sf(count - 1, trials, p))))


def p_poisson(count: int, mean: float) -> float:
    return min(1.0, 2 * float(min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))))


def draw(system: QKDSystem, loss_db: float, num_pulses: int, seed: Sequence[int]) -> np.ndarray:
    """Return the cells of all slots with a click."""
    sampler = ClickSampler(cell_odds(system, loss_db=loss_db), memory=system.memory, seed_words=seed)
    return sampler.sample(num_pulses)[1]


def sifted(cells: np.ndarray, intensity: int) -> tuple[int, int]:
    """Return how many events of an intensity had equal bases, and how many of these were wrong."""
    masks = np.random.default_rng(1).integers(0, 256, cells.size, dtype=np.uint8)
    alice_bits, bases, bits = masked_records(cells, masks)
    kept = (CELL_INTENSITY[cells] == intensity) & (CELL_ALICE_BASIS[cells] == bases)
    return int(kept.sum()), int((alice_bits != bits)[kept].sum())


def mismatched(system: QKDSystem) -> QKDSystem:
    """The system with four detectors of other efficiencies, dark counts, dead times and after-pulses."""
    one = system.receiver.detector
    four: FourDetectors = (
        replace(one, efficiency=0.8 * one.efficiency),
        replace(one, p_dark_per_gate=3 * one.p_dark_per_gate),
        replace(one, efficiency=1.1 * one.efficiency, hold_off_s=2 * one.hold_off_s),
        replace(one, efficiency=0.5 * one.efficiency, p_afterpulse=0.02),
    )
    return replace(system, receiver=replace(system.receiver, individual=four))


def lit(system: QKDSystem) -> QKDSystem:
    """The system beside four data channels of -20 dBm each way, and with a neighbour's pulses at 1e-4 per pulse."""
    noise = classical_noise(ClassicalLight(-20.0, 4, "both"), Span(10.0, 40.0), filter_nm=0.8)
    return with_stray_light(with_steady_light(system, photons_per_s=noise.total_per_s), photons_per_pulse=1e-4)


@pytest.mark.parametrize(
    "change", [mismatched, lit, lambda system: lit(mismatched(system))], ids=["unlike", "lit", "both"]
)
@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_sifted_events_and_errors_are_those_of_the_model(system: QKDSystem, change) -> None:  # type: ignore[no-untyped-def]
    """Signal, decoy and vacuum, over every system of the table: 72 comparisons, false alarm below 5e-5 in all."""
    changed, num_pulses = change(system), 200_000_000
    cells = draw(changed, 10.0, num_pulses, seed=(20, 26))
    model = link_model(changed, loss_db=10.0)
    for intensity in range(3):
        events, wrong = sifted(cells, intensity)
        mean = float(model.sifted_per_pulse()[intensity].sum()) * num_pulses
        assert events > 50
        assert p_poisson(events, mean) > FIVE_SIGMA, (intensity, events, mean)
        assert p_binomial(wrong, events, model.qber(intensity)) > FIVE_SIGMA, (intensity, wrong / events)


def test_each_of_four_unlike_detectors_clicks_as_often_as_the_model_says() -> None:
    """Per detector, intensity, basis and bit, at 10 dB: 48 comparisons, false alarm below 3e-5 in all.

    A click is live' p + charge (1 - p) with the detector's own live fraction, see ``physics.analytic``.
    """
    system, num_pulses = mismatched(BACKBONE_625), 1_000_000_000
    cells = draw(system, 10.0, num_pulses, seed=(1913,))
    model = link_model(system, loss_db=10.0)
    preparations = cells >> 4
    p_click = firing_odds(system, loss_db=10.0) * (model.live_fraction - model.p_charge) + model.p_charge
    prepared = preparation_odds(system)
    for place in np.ndindex(3, 2, 2):
        these = cells[preparations == 4 * place[0] + 2 * place[1] + place[2]]
        for detector in range(4):
            clicks = int(((these >> detector) & 1).sum())
            mean = float(prepared[place] * p_click[(*place, detector)]) * num_pulses
            assert p_poisson(clicks, mean) > FIVE_SIGMA, (place, detector, clicks, mean)


def test_unlike_detectors_make_bits_uneven_as_the_model_says() -> None:
    """0.8 to 1 in one basis: a proof that takes both as alike is fed with 4 zeros on 5 ones; false alarm 6e-7.

    The odds are those of all slots together; Alice's basis moves them by the optical error alone, for both alike.
    """
    one = BACKBONE_625.receiver.detector
    weak = replace(one, efficiency=0.8 * one.efficiency)
    system = replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, individual=(weak, one, weak, one)))
    cells = draw(system, 16.0, 1_000_000_000, seed=(5,))
    single = cells[np.isin(cells & 15, (1, 2)) & (CELL_ALICE_BASIS[cells] == 0)]
    zeros, model = int(((single & 15) == 1).sum()), link_model(system, loss_db=16.0)
    share = model.p_fire[0] * model.live_fraction[0]
    share /= share + model.p_fire[1] * model.live_fraction[1]
    assert 4 / 9 < share < 0.452  # the better detector is dead more often, which gives a little back
    assert p_binomial(zeros, single.size, share) > FIVE_SIGMA


@pytest.mark.parametrize(
    "system", [BACKBONE_625, BACKBONE_625_UPCONVERSION, METRO_40_I], ids=lambda system: system.name
)
def test_steady_light_drawn_photon_by_photon_gives_the_odds_of_the_record(system: QKDSystem) -> None:
    """Photons come at any time of a slot; those in gate and window are registered with the efficiency.

    Nothing here is taken from the formula: times are uniform, arms and efficiency are drawn. 4 detectors, three
    systems: 12 comparisons, false alarm below 8e-6 in all.
    """
    slot_s, receiver = 1 / system.source.pulse_rate_hz, system.receiver
    rate_per_s, num_slots = 2 / slot_s, 2_000_000
    generator = np.random.default_rng(8)
    num_photons = generator.poisson(rate_per_s * slot_s * num_slots)
    slots = generator.integers(0, num_slots, num_photons)
    offsets_s = (generator.random(num_photons) - 0.5) * slot_s
    passes = generator.random(num_photons) < 10 ** (-receiver.loss_db / 10)
    arms = generator.integers(0, 4, num_photons)
    for detector, record in enumerate(receiver.detectors):
        width_s = min(x for x in (slot_s, record.gate_width_s, record.coincidence_window_s) if x is not None)
        seen = passes & (arms == detector) & (np.abs(offsets_s) < width_s / 2)
        seen &= generator.random(num_photons) < record.efficiency
        fired = generator.random(num_slots) < record.p_dark_per_gate
        fired[slots[seen]] = True
        expected = float(dark_odds(with_steady_light(system, photons_per_s=rate_per_s))[detector])
        assert p_binomial(int(fired.sum()), num_slots, expected) > FIVE_SIGMA, (fired.mean(), expected)
