"""A physical generator: cutoffs of the standard, health tests that fire, conditioning, accounting, no falling back."""

from __future__ import annotations

import hashlib
import hmac
import os
import pickle
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from scipy.stats import binom

from qanat.adapters.noise_health import (
    P_FALSE_ALARM,
    HealthTests,
    critical_binomial,
    proportion_cutoff,
    repetition_cutoff,
)
from qanat.adapters.physical_entropy import (
    CONDITIONING_KEY,
    STARTUP_SAMPLES,
    EntropySource,
    PhysicalEntropy,
    conditioned,
)
from qanat.ground.errors import ConfigurationError, EntropyFailed, QuantumLayerError
from qanat.ground.ports import Entropy
from qanat.ground.randomness import SeededChance
from qanat.physics.systems import BACKBONE_625
from qanat.quantum_layer.nature import Nature

LINUX_CUTOFFS = (325, 422, 459, 477, 488, 494, 499, 502, 505, 507, 508, 509, 510, 511, 512)
"""Of the Linux kernel's jitter entropy (crypto/jitterentropy.c): windows of 512, H = 1/n bits, alpha = 2^-30. There the
first sample of a window counts as seen, so their form is 2 + CRITBINOM(511, ...)."""


def noise(num_samples: int, *, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).bytes(num_samples)


Opener: TypeAlias = Callable[..., PhysicalEntropy]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Opener]:
    """Opens sources of given raw samples and closes them."""
    opened: list[PhysicalEntropy] = []

    def open_source(raw: bytes, *, min_entropy_bits: float = 6.0) -> PhysicalEntropy:
        (tmp_path / "noise").write_bytes(raw)
        (tmp_path / "noise").chmod(0o600)
        opened.append(PhysicalEntropy(tmp_path / "noise", min_entropy_bits=min_entropy_bits))
        return opened[-1]

    yield open_source
    for each in opened:
        each.close()


@pytest.mark.parametrize(("min_entropy_bits", "expected"), [(1.0, 21), (8.0, 4), (2.0, 11), (0.5, 41), (0.3, 68)])
def test_repetition_cutoffs_are_the_standards(min_entropy_bits: float, expected: int) -> None:
    """1 + ceil(20 / H): the formula of 4.4.1 at alpha = 2^-20, by hand."""
    assert repetition_cutoff(min_entropy_bits) == expected


def test_critical_values_are_those_of_linux() -> None:
    for number, cutoff in enumerate(LINUX_CUTOFFS, start=1):
        assert 2 + critical_binomial(511, 2.0 ** (-1 / number), 2.0**-30) == cutoff


@pytest.mark.parametrize("window", [512, 1024])
@pytest.mark.parametrize("min_entropy_bits", [0.1, 0.5, 1.0, 2.0, 4.0, 7.5, 8.0])
def test_proportion_cutoffs_are_the_standards(min_entropy_bits: float, window: int) -> None:
    """1 + CRITBINOM(W, 2^-H, 1 - alpha), the quantile taken from SciPy."""
    expected = 1 + int(binom.isf(P_FALSE_ALARM, window, 2.0**-min_entropy_bits))
    assert proportion_cutoff(min_entropy_bits, window=window) == min(window, expected)


def test_a_binary_source_of_full_entropy_has_the_well_known_cutoff() -> None:
    tests = HealthTests(1.0, sample_bits=1)
    assert (tests.window, tests.repetition_limit, tests.proportion_limit) == (1024, 21, 589)


def test_the_repetition_test_fires_at_its_cutoff_and_not_before() -> None:
    tests = HealthTests(8.0)
    assert [tests.take(7) is None for _ in range(4)] == [True, True, True, False]


def test_the_proportion_test_fires_at_its_cutoff_and_not_before() -> None:
    """The value of the first sample comes every other time, so that nothing repeats."""
    tests = HealthTests(4.0)
    verdicts = [tests.take(3 if place % 2 == 0 else 100 + place % 50) for place in range(512)]
    alarm = next(place for place, verdict in enumerate(verdicts) if verdict)
    assert alarm == 2 * (tests.proportion_limit - 1)
    assert "adaptive proportion" in str(verdicts[alarm])


def test_windows_start_anew() -> None:
    """A value common in one window and absent in the next is not summed over both."""
    tests = HealthTests(4.0)
    limit = tests.proportion_limit
    filler = [10 + place % 200 for place in range(512)]
    one = [3, 9] * (limit - 1) + filler
    assert all(tests.take(sample) is None for sample in one[:512])
    assert all(tests.take(sample) is None for sample in [*filler[:300], *([3, 9] * (limit - 1))][:512])


def test_good_noise_raises_no_alarm() -> None:
    """200,000 uniform bytes at a claim of 7 bits: odds of an alarm far below 1 in 1,000. Fixed seed."""
    tests = HealthTests(7.0)
    assert all(tests.take(sample) is None for sample in noise(200_000))


@pytest.mark.parametrize("min_entropy_bits", [0.4, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("num_values", [2, 3, 5, 17, 256])
def test_samples_taken_at_once_are_judged_as_one_by_one(min_entropy_bits: float, num_values: int) -> None:
    """Sources better and worse than claimed, cut anyhow: the same verdict at the same sample, the same state after."""
    dice = np.random.default_rng(num_values)
    raw = dice.integers(0, num_values, 20_000, dtype=np.uint8).tobytes()
    one_by_one, at_once = HealthTests(min_entropy_bits), HealthTests(min_entropy_bits)
    start = 0
    while start < len(raw):
        part = raw[start : start + int(dice.choice([0, 1, 2, 3, 100, 511, 512, 513, 4000]))]
        verdict = next((word for word in map(one_by_one.take, part) if word is not None), None)
        assert at_once.take_all(part) == verdict
        if verdict is not None:
            break
        assert at_once == one_by_one or "window is over" in why_unlike(at_once, one_by_one)
        start += len(part)


def why_unlike(one: HealthTests, other: HealthTests) -> str:
    """Two states mean the same, although they differ, where both begin a window next: its count is not yet begun."""
    same = copy(one)
    same._first, same._equal = other._first, other._equal
    return "the window is over" if same == other and other._seen == 0 else "unlike"


def test_conditioning_is_hmac_sha_256() -> None:
    for size in (0, 1, 54, 64, 200):
        raw = noise(size)
        assert conditioned(raw) == hmac.new(CONDITIONING_KEY, raw, hashlib.sha256).digest()


def test_a_source_exactly_as_good_as_claimed_lives_through_a_demonstration(source: Opener) -> None:
    """52 million samples make a small demonstration; at 2^-20 four equal ones stop it, and uniform bytes have three
    such runs among them. The limits are those of 2^-40."""
    tests = source(noise(2000), min_entropy_bits=8.0)._health
    assert tests.repetition_limit == repetition_cutoff(8.0, p_false_alarm=2.0**-40) == 6
    assert tests.proportion_limit == proportion_cutoff(8.0, window=512, p_false_alarm=2.0**-40)


def test_bytes_are_the_conditioned_samples_after_the_start(source: Opener) -> None:
    """54 samples of 6 bits are the first count that holds 320 bits; the start's 1,024 are thrown away."""
    raw = noise(4096)
    entropy: Entropy = source(raw)
    blocks = [
        hmac.new(CONDITIONING_KEY, raw[start : start + 54], hashlib.sha256).digest()
        for start in (STARTUP_SAMPLES, STARTUP_SAMPLES + 54)
    ]
    assert entropy.public_bytes(20) + entropy.secret_bytes(44).take() == b"".join(blocks)


def test_the_account_never_gives_more_than_was_claimed(source: Opener) -> None:
    entropy = source(noise(100_000), min_entropy_bits=2.5)
    for num_bytes in (1, 31, 32, 33, 500):
        entropy.public_bytes(num_bytes)
    claimed = entropy.claimed_bits_read - 2.5 * STARTUP_SAMPLES
    assert entropy.bytes_given == 597
    assert claimed >= 8 * 597 * 320 / 256


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (bytes(2000), "repetition count"),
        (bytes(range(256)) * 2, "it ended"),
        (bytes([1, 2] * 1000), "adaptive proportion"),
    ],
)
def test_a_bad_source_does_not_start(source: Opener, raw: bytes, words: str) -> None:
    with pytest.raises(EntropyFailed, match=words) as caught:
        source(raw)
    assert "no key is made" in caught.value.remedy


@pytest.mark.parametrize(("bad", "words"), [(bytes(64), "repetition count"), (b"", "it ended")])
def test_a_source_that_fails_stays_failed_and_nothing_stands_in(source: Opener, bad: bytes, words: str) -> None:
    entropy = source(noise(STARTUP_SAMPLES + 54) + bad)
    entropy.public_bytes(16)
    for _ in range(3):
        with pytest.raises(QuantumLayerError, match=words):
            entropy.secret_bytes(64)
    with pytest.raises(QuantumLayerError, match=words):
        entropy.public_bytes(1)


def test_a_failing_source_stops_the_light_of_a_link(source: Opener) -> None:
    """Nature masks every click with entropy: the chunk in which the source fails gives no detections."""
    entropy = source(noise(2000))
    nature = Nature(BACKBONE_625, loss_db=16.0, chance=SeededChance(1), entropy=entropy, slots_per_chunk=10_000_000)
    with pytest.raises(QuantumLayerError, match="entropy source"):
        nature.detections.next_chunk()


def test_a_source_stays_in_its_process(source: Opener) -> None:
    with pytest.raises(TypeError, match="stays in the process"):
        pickle.dumps(source(noise(2000)))


def test_what_cannot_be_opened_or_claimed_is_a_matter_of_configuration(tmp_path: Path, source: Opener) -> None:
    with pytest.raises(ConfigurationError, match="cannot read"):
        PhysicalEntropy(tmp_path / "absent", min_entropy_bits=6.0)
    with pytest.raises(ConfigurationError, match="min-entropy"):
        source(noise(2000), min_entropy_bits=9.0)


def test_what_is_not_given_is_wiped(source: Opener) -> None:
    entropy = source(noise(4096))
    entropy.public_bytes(16)
    ready = entropy._ready
    assert len(ready) == 16
    entropy.close()
    assert not any(ready)


def test_what_others_could_read_or_choose_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "samples").write_bytes(noise(2000))
    (tmp_path / "samples").chmod(0o640)
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "fifo").chmod(0o622)
    for name, words in (("samples", "other users can read"), ("fifo", "other users can write into"), ("", "cannot be")):
        with pytest.raises(ConfigurationError, match=words):
            EntropySource(tmp_path / name)
