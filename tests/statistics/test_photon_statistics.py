"""Sampled light against the analytic model and against the plain law of every slot. All seeds are fixed.

How sigma is computed: the sifted events of one kind are clicks of two detectors, each a renewal process, so the number
of clicks of a detector varies *less* than a Poisson number of the same mean; kinds of events are drawn independently
at each click. A Poisson tail is therefore a safe bound: each comparison below fails by chance with odds below
5.7e-7 (5 sigma, two-sided), and fewer still because of the hold-off. Tails are those of Poisson and binomial laws
themselves where numbers are small.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np
import pytest

from qanat.ground.randomness import SeededChance
from qanat.kernels.photon_sampling import ClickSampler
from qanat.kernels.reference.photon_sampling import sample_every_slot
from qanat.physics.analytic import link_model
from qanat.physics.clicks import cell_odds, dark_odds, detected_photons, preparation_odds
from qanat.physics.systems import BACKBONE_625, QKDSystem
from qanat.quantum_layer.nature import Nature
from statistics_support import FIVE_SIGMA, RepeatableEntropy, p_binomial, p_poisson

NUM_PULSES: Final = 4_000_000_000
LOSSES_DB: Final = (10.3, 16.0, 20.5)


def counts_of(loss_db: float, *, extra_error: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Run nature; return events [intensity, Alice's basis, Bob's basis] and wrong ones [intensity, basis]."""
    light = Nature(
        BACKBONE_625,
        loss_db=loss_db,
        chance=SeededChance(20210106),
        entropy=RepeatableEntropy(7),
        slots_per_chunk=NUM_PULSES // 4,
        extra_error=extra_error,
    )
    events, wrong = np.zeros((3, 2, 2), np.int64), np.zeros((3, 2), np.int64)
    for _ in range(4):
        seen = light.detections.next_chunk()
        sent = light.preparations.reveal(seen.slots)
        np.add.at(events, (sent.intensities, sent.bases, seen.bases), 1)
        is_wrong = (sent.bases == seen.bases) & (sent.bits != seen.bits)
        np.add.at(wrong, (sent.intensities[is_wrong], seen.bases[is_wrong]), 1)
    return events, wrong


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_gains_and_errors_are_those_of_the_model(loss_db: float) -> None:
    """12 gains (3 intensities, both bases, matched or not) and 6 error rates: false alarm below 18 x 5.7e-7."""
    events, wrong = counts_of(loss_db)
    model = link_model(BACKBONE_625, loss_db=loss_db)
    p_prepared = preparation_odds(BACKBONE_625).sum(axis=-1)
    expected = NUM_PULSES * p_prepared[:, :, None] * model.gains
    for place in np.ndindex(3, 2, 2):
        assert p_poisson(int(events[place]), float(expected[place])) > FIVE_SIGMA, (place, events[place])
    for k, basis in np.ndindex(3, 2):
        qber = model.errors[k, basis] / model.gains[k, basis, basis]
        total = int(events[k, basis, basis])
        assert p_binomial(int(wrong[k, basis]), total, float(qber)) > FIVE_SIGMA, (k, basis)


def test_somebody_on_the_line_shows_in_the_error_rate() -> None:
    """2 comparisons of the signal: false alarm below 1.2e-6; and the rate stays what it was."""
    events, wrong = counts_of(20.5, extra_error=0.08)
    model = link_model(BACKBONE_625, loss_db=20.5, extra_error=0.08)
    assert model.qber(0) > 0.08
    for basis in (0, 1):
        qber = model.errors[0, basis] / model.gains[0, basis, basis]
        assert p_binomial(int(wrong[0, basis]), int(events[0, basis, basis]), float(qber)) > FIVE_SIGMA


@pytest.mark.parametrize("loss_db", LOSSES_DB)
def test_each_detector_clicks_as_often_as_the_renewal_law_says(loss_db: float) -> None:
    """N slots hold N / (D + 1/p) clicks, variance N s^2 / m^3 with m = D + 1/p and s^2 = (1 - p) / p^2.

    4 comparisons: false alarm below 2.3e-6. The first clicks come early by half a hold-off; that is less than 1.
    """
    memory = replace(BACKBONE_625.memory, p_afterpulse=(0.0,) * 4)  # those have a test of their own
    sampler = ClickSampler(
        cell_odds(BACKBONE_625, loss_db=loss_db), memory=memory, seed_words=SeededChance(5).seed_words()
    )
    _, cells = sampler.sample(NUM_PULSES)
    p = link_model(BACKBONE_625, loss_db=loss_db).p_fire
    for detector in range(4):
        clicks = int(((cells >> detector) & 1).sum())
        cycle = 625 + 1 / p[detector]
        sigma = math.sqrt(NUM_PULSES * (1 - p[detector]) / p[detector] ** 2 / cycle**3)
        assert abs(clicks - NUM_PULSES / cycle) < 5 * sigma + 1


BRIGHT: Final = replace(
    BACKBONE_625,
    receiver=replace(
        BACKBONE_625.receiver,
        optical_error=0.1,
        p_rectilinear=0.6,
        detector=replace(
            BACKBONE_625.receiver.detector,
            efficiency=0.9,
            p_dark_per_gate=0.02,
            hold_off_s=6 / 625e6,
            p_afterpulse=0.2,
            afterpulse_decay_s=4 / 625e6,
        ),
    ),
)
"""Light, noise and hold-off strong enough that every pattern of detectors is seen."""


@pytest.mark.parametrize(("system", "num_slots"), [(BRIGHT, 150_000), (BACKBONE_625, 2_000_000)], ids=["bright", "dim"])
def test_the_table_draws_the_law_of_single_photons(system: QKDSystem, num_slots: int) -> None:
    """Two samples, one of them photon by photon, agree in every cell: 192 comparisons, false alarm below 1.1e-4.

    sigma^2 of a difference is the sum of both counts (Poisson), safe as above; cells seen fewer than 20 times in both
    are lumped together.
    """
    compiled = ClickSampler(cell_odds(system, loss_db=0.0), memory=system.memory, seed_words=(2,))
    _, cells = compiled.sample(num_slots)
    _, plain_cells = sample_every_slot(
        detected_photons(system, loss_db=0.0).reshape(12, 4),
        preparation_odds(system).ravel(),
        p_dark=dark_odds(system).tolist(),
        num_slots=num_slots,
        memory=system.memory,
        generator=np.random.default_rng(3),
    )
    one, other = np.bincount(cells, minlength=192), np.bincount(plain_cells, minlength=192)
    rare = one + other < 20
    pairs = [*zip(one[~rare], other[~rare], strict=True), (one[rare].sum(), other[rare].sum())]
    assert len(pairs) > 20
    for a, b in pairs:
        assert abs(int(a) - int(b)) < 5 * math.sqrt(a + b + 1)


@pytest.mark.slow
def test_bits_and_bases_are_balanced_and_tell_nothing_of_each_other() -> None:
    """n about 9 million events, sigma = sqrt(n) / 2 for each of 9 balances: false alarm below 5.2e-6."""
    light = Nature(
        BACKBONE_625, loss_db=10.3, chance=SeededChance(8), entropy=RepeatableEntropy(9), slots_per_chunk=NUM_PULSES
    )
    seen = light.detections.next_chunk()
    sent = light.preparations.reveal(seen.slots)
    neighbours = sent.bits[1:] ^ sent.bits[:-1]
    crossed = sent.bases != seen.bases
    balances = {
        "Alice's bits": sent.bits,
        "Bob's bits": seen.bits,
        "Alice's bases": sent.bases,
        "Bob's bases": seen.bases,
        "both bases": sent.bases ^ seen.bases,
        "bit and basis": sent.bits ^ sent.bases,
        "bit and parity of the slot": sent.bits ^ (seen.slots & np.uint64(1)).astype(np.uint8),
        "neighbouring bits": neighbours,
        "bits in crossed bases": (sent.bits ^ seen.bits)[crossed],
    }
    for name, values in balances.items():
        assert abs(int(values.sum()) - values.size / 2) < 5 * math.sqrt(values.size) / 2, name
