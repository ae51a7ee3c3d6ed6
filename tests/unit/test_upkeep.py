"""When a link stops to be aligned: not on noise, surely when 100:1 is lost, and when its counts have fallen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from qanat.quantum_layer.calibration.upkeep import ENOUGH_EVENTS, LOST_ABOVE, AlignmentWatch, CountsWatch, Sample


def windows(
    errors: tuple[float, float], *, events: int = 1000, noise_share: float = 0.0, seed: int = 1
) -> Iterator[Sample]:
    """Yield windows of 50 ms of a link with these optical errors, and noise that is wrong half of the time."""
    generator = np.random.default_rng(seed)
    p_wrong = np.array(errors) * (1 - noise_share) + noise_share / 2
    while True:
        seen = generator.poisson(events, 2)
        wrong = generator.binomial(seen, p_wrong)
        yield Sample(0.05, seen.astype(float), wrong.astype(float), noise_share * seen)


def seconds_to_loss(source: Iterator[Sample], *, most_s: float) -> float | None:
    watch = AlignmentWatch()
    for number in range(round(most_s / 0.05)):
        watch.add(next(source))
        if watch.has_lost:
            return (number + 1) * 0.05
    return None


@pytest.mark.parametrize("errors", [(0.004, 0.004), (0.008, 0.003), (0.003, 0.008)])
def test_a_link_above_100_to_1_is_left_alone_for_ten_minutes(errors: tuple[float, float]) -> None:
    """12,000 looks at 20,000 events; 0.8 % is six standard errors and more from where the link would stop."""
    assert seconds_to_loss(windows(errors), most_s=600) is None


@pytest.mark.parametrize("errors", [(0.013, 0.003), (0.003, 0.013), (0.03, 0.03)])
def test_one_basis_that_has_lost_it_is_enough_and_a_whole_second_is_waited_for(errors: tuple[float, float]) -> None:
    lost_s = seconds_to_loss(windows(errors), most_s=10)
    assert lost_s is not None
    assert 1.0 <= lost_s < 3.0


@pytest.mark.parametrize("noise_share", [0.002, 0.02])
def test_dark_clicks_are_not_taken_for_the_optics(noise_share: float) -> None:
    """2 % of noise gives 1 % of errors by itself, which would be 100:1 lost."""
    assert seconds_to_loss(windows((0.005, 0.005), noise_share=noise_share), most_s=300) is None
    watch = AlignmentWatch()
    for _, sample in zip(range(400), windows((0.005, 0.007), noise_share=noise_share, events=10_000), strict=False):
        watch.add(sample)
    sigma = np.sqrt(0.02 / 200_000)
    assert watch.total.optical_errors == pytest.approx([0.005, 0.007], abs=5 * sigma)
    assert watch.total.qber > watch.total.optical_error + 0.4 * noise_share


def test_a_sparse_link_is_looked_at_for_as_long_as_it_takes() -> None:
    """100 events in a window are 2,000 a second: the last ten thousand count, not the last second."""
    watch, source = AlignmentWatch(), windows((0.005, 0.005), events=100)
    for _ in range(400):
        watch.add(next(source))
    assert 4.5 < watch.total.duration_s < 6
    assert watch.total.events.min() >= ENOUGH_EVENTS
    assert seconds_to_loss(windows((0.009, 0.009), events=100), most_s=300) is None
    assert seconds_to_loss(windows((0.02, 0.005), events=100), most_s=30) is not None


def test_a_watch_that_forgets_waits_for_a_whole_second_again() -> None:
    watch, source = AlignmentWatch(), windows((0.05, 0.05))
    for _ in range(20):
        watch.add(next(source))
    assert watch.has_lost
    watch.forget()
    watch.add(next(source))
    assert not watch.is_full
    assert not watch.has_lost


def test_100_to_1_is_a_wrong_share_of_one_in_101() -> None:
    assert pytest.approx(1 / 101) == LOST_ABOVE


@pytest.mark.parametrize(("rate", "falls"), [(1.0, False), (0.92, False), (0.88, True), (0.0, True)])
def test_counts_have_fallen_below_nine_tenths_or_they_have_not(rate: float, falls: bool) -> None:
    generator, watch = np.random.default_rng(5), CountsWatch()
    for _ in range(8):
        watch.add(0.25, int(generator.poisson(100_000)))
    seen = []
    for _ in range(80):
        watch.add(0.25, int(generator.poisson(100_000 * rate)))
        seen.append(watch.has_fallen)
    assert all(seen[4:]) if falls else not any(seen)


def test_few_counts_do_not_fall_by_chance() -> None:
    """Fifty clicks a second vary by 14 %; a fall is told only when it is five sigma."""
    generator, watch = np.random.default_rng(6), CountsWatch()
    for _ in range(4000):
        watch.add(0.25, int(generator.poisson(12)))
        assert not watch.has_fallen


def test_after_a_scan_the_next_second_is_the_measure() -> None:
    watch = CountsWatch()
    for clicks in (1000, 1000, 1000, 1000, 500, 500, 500, 500):
        watch.add(0.25, clicks)
    assert watch.has_fallen
    watch.forget()
    for _ in range(8):
        watch.add(0.25, 500)
    assert not watch.has_fallen
