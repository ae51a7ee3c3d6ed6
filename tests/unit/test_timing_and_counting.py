"""Gate and pulse in time; the law of counts under dead time against detectors drawn click by click."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qanat.kernels.click_law import NUM_CELLS, DetectorMemory
from qanat.kernels.photon_sampling import ClickSampler
from qanat.kernels.reference.photon_sampling import sample_every_slot
from qanat.physics.analytic import renewal
from qanat.physics.counting import (
    LEAST_LEAP,
    count_survival,
    draw_counts,
    draw_counts_with_charges,
    fired_odds,
    share_by_charges,
)
from qanat.physics.timing import GateTiming, circular_distance, histogram

TIMING = GateTiming(gate_period_s=800e-12, gate_width_s=180e-12, pulse_width_s=70e-12, jitter_s=100e-12)
BOX = GateTiming(gate_period_s=25e-9, gate_width_s=1.6e-9, pulse_width_s=70e-12, jitter_s=200e-12, shape="rectangular")


def test_the_curve_has_the_width_of_pulse_and_gate_together() -> None:
    width_s = math.hypot(180e-12, 70e-12)
    curve = TIMING.relative_efficiency(np.array([0.0, width_s / 2, -width_s / 2, 800e-12, 400e-12]))
    assert curve == pytest.approx([1, 0.5, 0.5, 1, 0], abs=1e-4)


def test_the_curve_is_the_overlap_of_pulse_and_gate() -> None:
    """Against the integral of pulse times gate, summed on a grid of 0.1 ps."""
    grid = np.arange(-800, 800, 0.1) * 1e-12
    pulse = np.exp(-4 * math.log(2) * (grid / 70e-12) ** 2)
    overlap = [(pulse * np.exp(-4 * math.log(2) * ((grid - at) / 180e-12) ** 2)).sum() for at in (0.0, 50e-12, 120e-12)]
    expected = np.array(overlap) / overlap[0]
    assert TIMING.relative_efficiency(np.array([0.0, 50e-12, 120e-12])) == pytest.approx(expected, rel=1e-3)


def test_a_rectangular_gate_has_a_plateau_between_two_rises() -> None:
    """Against photons drawn one by one, pulse and jitter apart: the share that falls into the box, 5 sigma of 100,000.

    Half of the light passes where pulse and edge coincide, on both sides and in the next gate.
    """
    generator = np.random.default_rng(1)
    late = generator.normal(0, 70e-12 / 2.3548, 100_000) + generator.normal(0, 200e-12 / 2.3548, 100_000)
    for offset_s in (0.0, 400e-12, 700e-12, 800e-12, 900e-12, 1.2e-9, 24.3e-9):
        nearest_s = offset_s - 25e-9 * round(offset_s / 25e-9)
        share = float(np.mean(np.abs(late + nearest_s) < 800e-12))
        sigma = math.sqrt(max(share * (1 - share), 1e-5) / late.size)
        assert BOX.relative_efficiency(np.array([offset_s]))[0] == pytest.approx(share, abs=5 * sigma)
    edges = BOX.relative_efficiency(np.array([-0.8e-9, 0.8e-9, 24.2e-9, -300e-12, 300e-12, 12.5e-9]))
    assert edges == pytest.approx([0.5, 0.5, 0.5, 1, 1, 0], abs=1e-6)


def test_without_a_gate_every_pulse_is_met_and_the_whole_pulse_seen() -> None:
    free = GateTiming(1.6e-9, 1.6e-9, 70e-12, 150e-12, shape="none")
    assert free.relative_efficiency(np.array([0.0, 0.8e-9, 77.7])).tolist() == [1, 1, 1]
    assert free.arrival_sigma_s == pytest.approx(math.hypot(70e-12, 150e-12) / 2.3548, rel=1e-4)


def test_arrival_times_spread_as_the_product_of_pulse_and_gate_and_the_jitter() -> None:
    """Photons of a pulse that a gate accepts, drawn one by one: 5 sigma of 60,000."""
    generator = np.random.default_rng(1)
    at = generator.normal(0, 70 / 2.3548, 60_000)
    accepted = at[generator.random(at.size) < np.exp(-4 * math.log(2) * (at / 180) ** 2)]
    seen = accepted + generator.normal(0, 100 / 2.3548, accepted.size)
    expected_ps = TIMING.arrival_sigma_s * 1e12
    assert seen.std() == pytest.approx(expected_ps, abs=5 * expected_ps / math.sqrt(2 * seen.size))


def test_a_histogram_counts_every_click_once() -> None:
    counts = histogram(np.array([0, 89, 90, 999]), bin_ps=90, period_ps=1000)
    assert counts.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert circular_distance(1.0, 9.0, period=10.0) == pytest.approx(2.0)


def brute_survival(num_slots: int, p_fire: float, dead_slots: int) -> list[float]:
    """Odds of at least n clicks by dynamic programming over slots: the law from its definition."""
    ways = {(0, 0): 1.0}  # (clicks, slots still dead) -> odds
    for _ in range(num_slots):
        after: dict[tuple[int, int], float] = {}
        for (clicks, dead), odds in ways.items():
            steps = (
                [((clicks, dead - 1), 1.0)] if dead else [((clicks, 0), 1 - p_fire), ((clicks + 1, dead_slots), p_fire)]
            )
            for state, share in steps:
                after[state] = after.get(state, 0.0) + odds * share
        ways = after
    most = max(clicks for clicks, _ in ways)
    return [sum(odds for (clicks, _), odds in ways.items() if clicks >= n) for n in range(most + 2)]


@pytest.mark.parametrize(("num_slots", "p_fire", "dead_slots"), [(30, 0.2, 0), (40, 0.3, 4), (37, 0.9, 5), (5, 0.1, 9)])
def test_the_law_of_counts_is_exact(num_slots: int, p_fire: float, dead_slots: int) -> None:
    expected = brute_survival(num_slots, p_fire, dead_slots)
    law = count_survival(np.arange(len(expected)), num_slots=num_slots, p_fire=np.array(p_fire), dead_slots=dead_slots)
    assert law == pytest.approx(expected, abs=1e-12)


@pytest.mark.slow
def test_draws_follow_detectors_sampled_click_by_click() -> None:
    """Two independent ways to the same counts: windows of the compiled sampler, each from a live start, and the law.

    Mean and variance of 400 windows within 5 sigma of those of 40,000 draws. Fixed seeds.
    """
    num_slots, dead_slots, p_fire = 20_000, 625, 4e-3
    odds = np.zeros(NUM_CELLS)
    odds[0], odds[1] = 1 - p_fire, p_fire
    clicked = np.array(
        [
            ClickSampler(odds, memory=DetectorMemory.alike(hold_off_slots=dead_slots), seed_words=[seed])
            .sample(num_slots)[0]
            .size
            for seed in range(400)
        ]
    )
    drawn = draw_counts(
        np.random.default_rng(2), num_slots=num_slots, p_fire=np.full(40_000, p_fire), dead_slots=dead_slots
    )
    assert clicked.mean() == pytest.approx(drawn.mean(), abs=5 * drawn.std() / math.sqrt(400))
    assert clicked.var() == pytest.approx(drawn.var(), rel=5 * math.sqrt(2 / 400))
    # not a Poisson law: dead time makes counts regular
    assert drawn.var() < 0.5 * drawn.mean()


def test_draws_follow_photons_counted_one_by_one() -> None:
    """The plain twin that prepares every pulse and counts its photons: mean within 5 sigma over 60 windows."""
    photons = np.array([[0.02, 0.01, 0.0, 0.0]])
    counts = []
    for seed in range(60):
        _, cells = sample_every_slot(
            photons,
            np.ones(1),
            p_dark=(1e-4,) * 4,
            num_slots=4000,
            memory=DetectorMemory.alike(hold_off_slots=50),
            generator=np.random.default_rng(seed),
        )
        counts.append([int((cells & 1).sum()), int((cells >> 1 & 1).sum())])
    p_fire = 1 - (1 - 1e-4) * np.exp(-photons[0, :2])
    drawn = draw_counts(np.random.default_rng(3), num_slots=4000, p_fire=np.tile(p_fire, (20_000, 1)), dead_slots=50)
    errors = drawn.std(axis=0) / math.sqrt(60)
    assert np.all(np.abs(np.mean(counts, axis=0) - drawn.mean(axis=0)) < 5 * errors)


@pytest.mark.parametrize("p_fire", [0.0, 1e-9, 1.0])
def test_draws_at_the_ends_of_the_range(p_fire: float) -> None:
    counts = draw_counts(np.random.default_rng(1), num_slots=1000, p_fire=np.full(4, p_fire), dead_slots=9)
    assert counts.tolist() == [100 if p_fire == 1 else 0] * 4


def test_what_dead_time_hides_is_put_back() -> None:
    """From 1 % to 97 % asleep: the odds of firing come back within 5 standard errors, raw counts would not."""
    p_fire = np.array([2e-5, 1e-3, 1e-2, 5e-2])
    counts = draw_counts(np.random.default_rng(5), num_slots=31_250_000, p_fire=p_fire, dead_slots=625)
    found = fired_odds(counts, num_slots=31_250_000, dead_slots=625)
    assert np.all(np.abs(found / p_fire - 1) < 5 / np.sqrt(counts))
    assert counts[-1] / 31_250_000 < 0.04 * p_fire[-1]


def brute_counts_with_charges(num_slots: int, p_fire: float, dead_slots: int, q: float, kept: float) -> list[float]:
    """Odds of n clicks of a detector with after-pulses, slot by slot, from what a charge is defined to do."""
    ways = {(0, 0, False): 1.0}  # (clicks, slots still dead, charge on its way) -> odds
    for _ in range(num_slots):
        after: dict[tuple[int, int, bool], float] = {}
        for (clicks, dead, charged), odds in ways.items():
            p_click = 0.0 if dead else 1 - (1 - p_fire) * (kept if charged else 1.0)
            steps = [((clicks, max(dead - 1, 0), charged), 1 - p_click)]
            steps += [
                ((clicks + 1, dead_slots, True), p_click * q),
                ((clicks + 1, dead_slots, False), p_click * (1 - q)),
            ]
            for state, share in steps:
                after[state] = after.get(state, 0.0) + odds * share
        ways = after
    most = max(clicks for clicks, _, _ in ways)
    return [sum(odds for (clicks, *_), odds in ways.items() if clicks == n) for n in range(most + 1)]


@pytest.mark.parametrize(("num_slots", "p_fire", "dead_slots", "decay"), [(60, 0.1, 3, 4.0), (40, 0.3, 0, 2.0)])
def test_counts_with_charges_follow_their_definition(
    num_slots: int, p_fire: float, dead_slots: int, decay: float
) -> None:
    """The odds of each number of clicks, drawn 40,000 times, within 5 sigma of those summed over all ways."""
    expected = np.array(brute_counts_with_charges(num_slots, p_fire, dead_slots, 0.3, math.exp(-1 / decay)))
    drawn = draw_counts_with_charges(
        np.random.default_rng(1),
        num_slots=num_slots,
        p_fire=np.full(40_000, p_fire),
        dead_slots=dead_slots,
        p_afterpulse=0.3,
        decay_slots=decay,
    )
    shares = np.bincount(drawn, minlength=expected.size) / drawn.size
    assert shares.size == expected.size
    assert np.all(np.abs(shares - expected) <= 5 * np.sqrt(expected * (1 - expected) / drawn.size) + 1 / drawn.size)


@pytest.mark.slow
def test_counts_with_charges_follow_clicks_drawn_one_by_one() -> None:
    """Windows of 400 and more clicks, which are drawn in leaps, against the compiled sampler: mean within 5 sigma,
    variance too. 2,000 windows against 8,000 draws; what after-pulses add is 20 times the error."""
    num_slots, dead_slots, p_fire, q, decay = 300_000, 200, 1.7e-3, 0.1, 80.0
    odds = np.zeros(NUM_CELLS)
    odds[0], odds[1] = 1 - p_fire, p_fire
    memory = DetectorMemory.alike(hold_off_slots=dead_slots, p_afterpulse=q, decay_slots=decay)
    clicked = np.array(
        [ClickSampler(odds, memory=memory, seed_words=[seed]).sample(num_slots)[0].size for seed in range(2000)]
    )
    law = {"num_slots": num_slots, "p_fire": np.full(8000, p_fire), "dead_slots": dead_slots}
    generator = np.random.default_rng(2)
    drawn = draw_counts_with_charges(generator, **law, p_afterpulse=q, decay_slots=decay)  # type: ignore[arg-type]
    without = draw_counts(generator, **law)  # type: ignore[arg-type]
    error = math.hypot(clicked.std() / math.sqrt(2000), drawn.std() / math.sqrt(8000))
    assert drawn.mean() > 2 * LEAST_LEAP
    assert clicked.mean() == pytest.approx(drawn.mean(), abs=5 * error)
    assert clicked.var() == pytest.approx(drawn.var(), rel=5 * math.sqrt(2 / 2000 + 2 / 8000))
    assert drawn.mean() - without.mean() > 20 * error


def test_the_share_of_charges_is_that_of_the_analytic_model() -> None:
    """Two derivations: per click here, per slot there."""
    p_fire = np.array([1e-5, 1e-3, 5e-2, 0.3])
    memory = DetectorMemory.alike(hold_off_slots=200, p_afterpulse=0.02, decay_slots=80.0)
    live, charge = renewal(p_fire, memory)
    clicks = p_fire * (live - charge) + charge
    assert share_by_charges(p_fire, p_afterpulse=0.02, decay_slots=80.0) == pytest.approx(charge / clicks, rel=1e-9)


@pytest.mark.parametrize("p_fire", [0.0, 1e-9, 1.0])
def test_draws_with_charges_at_the_ends_of_the_range(p_fire: float) -> None:
    counts = draw_counts_with_charges(
        np.random.default_rng(1),
        num_slots=100_000,
        p_fire=np.full(4, p_fire),
        dead_slots=9,
        p_afterpulse=0.5,
        decay_slots=3.0,
    )
    assert counts.tolist() == [10_000 if p_fire == 1 else 0] * 4
