"""Light of calibrated optics against the analytic model given the same optics, and new tables that change nothing.

All seeds are fixed; bounds are those of ``test_photon_statistics``: Poisson and binomial tails at five sigma, safe
because hold-off makes counts vary less.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qanat.ground.randomness import SeededChance
from qanat.kernels.click_law import DetectorMemory
from qanat.kernels.photon_sampling import ClickSampler
from qanat.physics.analytic import LinkModel, link_model
from qanat.physics.clicks import cell_odds, preparation_odds
from qanat.physics.systems import BACKBONE_625
from qanat.quantum_layer.device_twin.settings import TwinSettings
from qanat.quantum_layer.link_optics import LinkOptics
from qanat.quantum_layer.nature import Nature
from statistics_support import FIVE_SIGMA, RepeatableEntropy, p_binomial, p_poisson

NUM_CHUNKS, CHUNK_SLOTS = 20, 100_000_000


def light_of(loss_db: float, *, seed: int, disturbance: float = 0.0) -> tuple[np.ndarray, np.ndarray, LinkModel]:
    """Calibrate a link and run its light.

    Returns events [intensity, Alice's basis, Bob's basis], wrong ones [intensity, basis], and the model of the very
    same optics.
    """
    optics = LinkOptics(TwinSettings("backbone-625", loss_db, seed), disturbance=disturbance)
    optics.calibrate()
    light = Nature(
        BACKBONE_625,
        loss_db=loss_db,
        chance=SeededChance(seed),
        entropy=RepeatableEntropy(seed),
        slots_per_chunk=CHUNK_SLOTS,
        odds=optics.odds,
    )
    events, wrong = np.zeros((3, 2, 2), np.int64), np.zeros((3, 2), np.int64)
    for _ in range(NUM_CHUNKS):
        seen = light.detections.next_chunk()
        sent = light.preparations.reveal(seen.slots)
        np.add.at(events, (sent.intensities, sent.bases, seen.bases), 1)
        is_wrong = (sent.bases == seen.bases) & (sent.bits != seen.bits)
        np.add.at(wrong, (sent.intensities[is_wrong], seen.bases[is_wrong]), 1)
    model = link_model(BACKBONE_625, loss_db=loss_db, extra_error=disturbance, response=optics.response())
    return events, wrong, model


@pytest.mark.slow
@pytest.mark.parametrize(("loss_db", "seed", "disturbance"), [(10.3, 1, 0.0), (16.0, 2, 0.0), (16.0, 3, 0.03)])
def test_gains_and_errors_of_a_calibrated_link_are_those_of_the_model(
    loss_db: float, seed: int, disturbance: float
) -> None:
    """12 gains and 6 error rates each: false alarm below 18 x 5.7e-7. That the optics are not the record's is seen."""
    events, wrong, model = light_of(loss_db, seed=seed, disturbance=disturbance)
    expected = NUM_CHUNKS * CHUNK_SLOTS * preparation_odds(BACKBONE_625).sum(axis=-1)[:, :, None] * model.gains
    for place in np.ndindex(3, 2, 2):
        assert p_poisson(int(events[place]), float(expected[place])) > FIVE_SIGMA, (place, events[place])
    for k, basis in np.ndindex(3, 2):
        qber = float(model.errors[k, basis] / model.gains[k, basis, basis])
        assert p_binomial(int(wrong[k, basis]), int(events[k, basis, basis]), qber) > FIVE_SIGMA, (k, basis)
    stated = link_model(BACKBONE_625, loss_db=loss_db, extra_error=disturbance)
    stated_qber = float(stated.errors[0, 0] / stated.gains[0, 0, 0])
    assert p_binomial(int(wrong[0, 0]), int(events[0, 0, 0]), stated_qber) < 1e-4


STRONG = DetectorMemory.alike(hold_off_slots=6, p_afterpulse=0.2, decay_slots=4.0)
BRIGHT = cell_odds(BACKBONE_625, loss_db=0.0)


@pytest.mark.slow
def test_new_tables_of_the_same_odds_change_nothing() -> None:
    """Every cell as often with a new table every 500 slots as without: 192 comparisons, false alarm below 1.1e-4."""
    num_slots = 2_000_000
    _, cells = ClickSampler(BRIGHT, memory=STRONG, seed_words=(1,)).sample(num_slots)
    renewed, parts = ClickSampler(BRIGHT, memory=STRONG, seed_words=(2,)), []
    while renewed.next_slot < num_slots:
        renewed.renew(BRIGHT)
        parts.append(renewed.sample(500)[1])
    one, other = np.bincount(cells, minlength=192), np.bincount(np.concatenate(parts), minlength=192)
    rare = one + other < 20
    pairs = [*zip(one[~rare], other[~rare], strict=True), (one[rare].sum(), other[rare].sum())]
    assert len(pairs) > 20
    for a, b in pairs:
        assert abs(int(a) - int(b)) < 5 * math.sqrt(a + b + 1)


@pytest.mark.slow
def test_the_slots_next_to_a_new_table_are_like_all_others() -> None:
    """Clicks by their place between two tables, 20 slots apart, chi-square of 19 degrees; 5 sigma one-sided.

    A slip of one slot would leave the first or the last place empty, or give it twice its share.
    """
    free = DetectorMemory.alike(hold_off_slots=0)
    sampler, places = ClickSampler(BRIGHT, memory=free, seed_words=(3,)), np.zeros(20, dtype=np.int64)
    for _ in range(8_000):
        start = sampler.next_slot
        sampler.renew(BRIGHT)
        slots, _ = sampler.sample(20)
        places[slots.astype(np.int64) - start] += 1
    p_click = 1 - BRIGHT[::16].sum()
    expected = 8_000 * p_click
    variance = expected * (1 - p_click)
    assert expected > 160
    chi_square = float(((places - expected) ** 2 / variance).sum())
    assert stats.chi2.sf(chi_square, 20) > FIVE_SIGMA / 2
