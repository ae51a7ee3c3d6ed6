"""After-pulses and hold-off at photon level, against what they were told to be and against the analytic model.

Seeds are fixed. Counts are compared by Poisson and binomial tails: a renewal process with hold-off varies less than a
Poisson process; after-pulses add pairs of clicks, at most 1 % of them here, which widens a count's sigma by less than
1 %. So "5 sigma" is a false alarm below 6e-7 per comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import pytest
from scipy import stats

from qanat.kernels.click_law import DetectorMemory
from qanat.kernels.photon_sampling import ClickSampler
from qanat.physics.analytic import link_model
from qanat.physics.clicks import CELL_ALICE_BASIS, CELL_ALICE_BIT, CELL_INTENSITY, cell_odds
from qanat.physics.systems import BACKBONE_625, METRO_40_I, METRO_40_II, SYSTEMS, QKDSystem
from qanat.quantum_layer.nature import masked_records

FIVE_SIGMA: Final = 2 * float(stats.norm.sf(5))
POINTS: Final = (
    *((BACKBONE_625, loss_db, 1_500_000_000) for loss_db in (5.0, 10.3, 16.0, 20.5)),
    *((METRO_40_I, loss_db, 400_000_000) for loss_db in (2.1, 5.8, 9.3, 13.5)),
    *((METRO_40_II, loss_db, 400_000_000) for loss_db in (3.0, 5.8, 9.8, 12.5)),
)
"""Twelve points over the three systems, hold-off and after-pulses as recorded."""


def p_binomial(count: int, trials: int, p: float) -> float:
    return min(1.0, 2 * float(min(stats.binom.cdf(count, trials, p), stats.binom.sf(count - 1, trials, p))))


def p_poisson(count: int, mean: float) -> float:
    return min(1.0, 2 * float(min(stats.poisson.cdf(count, mean), stats.poisson.sf(count - 1, mean))))


def sifted_signal(system: QKDSystem, loss_db: float, num_pulses: int, seed: Sequence[int]) -> tuple[int, int]:
    """Return how many signal events had equal bases, and how many of these were wrong."""
    sampler = ClickSampler(cell_odds(system, loss_db=loss_db), memory=system.memory, seed_words=seed)
    _, cells = sampler.sample(num_pulses)
    masks = np.random.default_rng(seed).integers(0, 256, cells.size, dtype=np.uint8)
    alice_bits, bases, bits = masked_records(cells, masks)
    sifted = (CELL_INTENSITY[cells] == 0) & (CELL_ALICE_BASIS[cells] == bases)
    return int(sifted.sum()), int((alice_bits != bits)[sifted].sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("system", "loss_db", "num_pulses"), POINTS, ids=lambda value: getattr(value, "name", str(value))
)
def test_sifted_rate_and_qber_are_those_of_the_model(system: QKDSystem, loss_db: float, num_pulses: int) -> None:
    """24 comparisons in all: false alarm below 1.4e-5."""
    events, wrong = sifted_signal(system, loss_db, num_pulses, seed=(round(10 * loss_db), 12))
    model = link_model(system, loss_db=loss_db)
    mean = model.sifted_rate_per_s(0) * num_pulses / system.source.pulse_rate_hz
    assert events > 30_000
    assert p_poisson(events, mean) > FIVE_SIGMA, (events, mean)
    assert p_binomial(wrong, events, model.qber(0)) > FIVE_SIGMA, (wrong / events, model.qber(0))


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=lambda system: system.name)
def test_every_system_agrees_with_the_model_on_a_short_run(system: QKDSystem) -> None:
    """Runs over the table of systems, so that a new record has this test: false alarm below 1.2e-6 each."""
    events, wrong = sifted_signal(system, 8.0, 50_000_000, seed=(5,))
    model = link_model(system, loss_db=8.0)
    assert p_poisson(events, model.sifted_per_pulse()[0].sum() * 50_000_000) > FIVE_SIGMA
    assert p_binomial(wrong, events, model.qber(0)) > FIVE_SIGMA


def dark_clicks(memory: DetectorMemory, num_slots: int) -> list[np.ndarray]:
    """Clicks of each detector with dark counts alone, odds 1e-5 a slot."""
    receiver = BACKBONE_625.receiver
    dark = replace(receiver.detector, efficiency=0.0, p_dark_per_gate=1e-5)
    odds = cell_odds(replace(BACKBONE_625, receiver=replace(receiver, detector=dark)), loss_db=0.0)
    slots, cells = ClickSampler(odds, memory=memory, seed_words=(77,)).sample(num_slots)
    return [slots[(cells >> detector) & 1 == 1] for detector in range(4)]


def test_the_odds_and_the_time_of_after_pulses_are_those_of_the_record() -> None:
    """Intervals of each detector's clicks, less the hold-off, follow the law of the first of light and charge.

    Four detectors with odds 0, 1, 3 and 20 %. The share of intervals with up to 5 decay times is
    1 - (1 - p)^n (1 - q + q r^n); the same with one decay time: 8 comparisons, false alarm below 5e-6.
    """
    odds, decay, hold_off = (0.0, 0.01, 0.03, 0.2), 100.0, 625
    memory = DetectorMemory((hold_off,) * 4, odds, (decay,) * 4)
    for clicks, q in zip(dark_clicks(memory, 2_000_000_000), odds, strict=True):
        waits = np.diff(clicks).astype(np.int64) - hold_off
        assert waits.min() >= 1
        for num_slots in (round(decay), round(5 * decay)):
            expected = 1 - (1 - 1e-5) ** num_slots * (1 - q + q * np.exp(-num_slots / decay))
            within = int((waits <= num_slots).sum())
            assert p_binomial(within, waits.size, float(expected)) > FIVE_SIGMA, (q, within / waits.size, expected)


def test_after_pulses_are_wrong_half_of_the_time_and_raise_the_qber_by_what_the_model_says() -> None:
    """With 3 % after-pulses at 16 dB the QBER is about a percent and a half higher: false alarm below 1.2e-6."""
    detector = replace(BACKBONE_625.receiver.detector, p_afterpulse=0.03)
    noisy = replace(BACKBONE_625, receiver=replace(BACKBONE_625.receiver, detector=detector))
    events, wrong = sifted_signal(noisy, 16.0, 1_500_000_000, seed=(3,))
    plain, model = link_model(BACKBONE_625, loss_db=16.0), link_model(noisy, loss_db=16.0)
    assert 0.008 < model.qber(0) - plain.qber(0) < 0.02
    assert p_binomial(wrong, events, model.qber(0)) > FIVE_SIGMA
    assert p_binomial(wrong, events, plain.qber(0)) < 1e-12


def test_an_after_pulse_knows_nothing_of_what_alice_sends() -> None:
    """Two detectors of each kind: bits that after-pulses show are even; n > 20,000, false alarm below 6e-7."""
    receiver = BACKBONE_625.receiver
    pulsing = replace(receiver.detector, p_afterpulse=0.5)
    four = (pulsing, receiver.detector, receiver.detector, receiver.detector)
    system = replace(BACKBONE_625, receiver=replace(receiver, individual=four))
    slots, cells = ClickSampler(cell_odds(system, loss_db=20.0), memory=system.memory, seed_words=(4,)).sample(10**9)
    zero = (cells & 1) == 1
    gaps = np.diff(slots[zero]).astype(np.int64)
    early = cells[zero][1:][gaps < 625 + 100]  # nearly all of them after-pulses
    bits = CELL_ALICE_BIT[early]
    assert early.size > 5_000
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(early.size) + 0.01  # a few are light
