"""Continuous health tests of a noise source: NIST SP 800-90B, section 4.4.

Both know the source by one number, its claimed min-entropy H per sample, and raise false alarms with odds of at most
``P_FALSE_ALARM`` per test: the repetition count test (4.4.1) sees a source that sticks, the adaptive proportion test
(4.4.2) one whose most frequent value has become too frequent.

Samples can be taken one by one or, some fifty times as fast, many at once: the verdict is the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

P_FALSE_ALARM: Final = 2.0**-20
WINDOW_BINARY: Final = 1024
WINDOW_OTHER: Final = 512


def repetition_cutoff(min_entropy_bits: float, *, p_false_alarm: float = P_FALSE_ALARM) -> int:
    """Return how many equal samples in a row are too many: 1 + ceil(-log2(alpha) / H), section 4.4.1."""
    return 1 + math.ceil(-math.log2(p_false_alarm) / min_entropy_bits)


def proportion_cutoff(min_entropy_bits: float, *, window: int, p_false_alarm: float = P_FALSE_ALARM) -> int:
    """Return how often the first sample of a window may not occur in it: 1 + CRITBINOM(W, 2^-H, 1 - alpha).

    Section 4.4.2. At most ``window``: a test has to be able to fail.
    """
    return min(window, 1 + critical_binomial(window, 2.0**-min_entropy_bits, p_false_alarm))


def critical_binomial(num_trials: int, p_success: float, p_above: float) -> int:
    """Return the smallest k such that more than k successes have odds of at most ``p_above``.

    The upper tail is summed from its far end, where it is small: no cancellation.
    """
    tail = 0.0
    for successes in range(num_trials, 0, -1):
        log_odds = (
            math.lgamma(num_trials + 1)
            - math.lgamma(successes + 1)
            - math.lgamma(num_trials - successes + 1)
            + successes * math.log(p_success)
            + ((num_trials - successes) * math.log1p(-p_success) if successes < num_trials else 0.0)
        )
        tail += math.exp(log_odds)
        if tail > p_above:
            return successes
    return 0


@dataclass(slots=True)
class HealthTests:
    """Both tests over one stream of samples. ``sample_bits``: 1 for a binary source, up to 8 otherwise.

    p_false_alarm: odds that a source as good as claimed fails, per sample (repetition) and per window (proportion).
    """

    min_entropy_bits: float
    sample_bits: int = 8
    p_false_alarm: float = P_FALSE_ALARM
    repetition_limit: int = field(init=False)
    proportion_limit: int = field(init=False)
    window: int = field(init=False)
    _last: int = field(init=False, default=-1)
    _repeated: int = field(init=False, default=0)
    _first: int = field(init=False, default=-1)
    _seen: int = field(init=False, default=0)
    _equal: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if not 0 < self.min_entropy_bits <= self.sample_bits <= 8:
            raise ValueError(f"{self.min_entropy_bits} bits of min-entropy in a sample of {self.sample_bits} bits")
        self.window = WINDOW_BINARY if self.sample_bits == 1 else WINDOW_OTHER
        self.repetition_limit = repetition_cutoff(self.min_entropy_bits, p_false_alarm=self.p_false_alarm)
        self.proportion_limit = proportion_cutoff(
            self.min_entropy_bits, window=self.window, p_false_alarm=self.p_false_alarm
        )

    def take(self, sample: int) -> str | None:
        """Take the next sample; returns what is wrong with the source, or None."""
        self._repeated = self._repeated + 1 if sample == self._last else 1
        self._last = sample
        if self._seen == 0:
            self._first, self._equal = sample, 1
        elif sample == self._first:
            self._equal += 1
        self._seen = (self._seen + 1) % self.window
        if self._repeated >= self.repetition_limit:
            return f"the same sample came {self._repeated} times in a row (repetition count test)"
        if self._equal >= self.proportion_limit:
            return f"one value came {self._equal} times within {self.window} samples (adaptive proportion test)"
        return None

    def take_all(self, samples: bytes) -> str | None:
        """Take many samples; returns what ``take`` would have said of the first bad one, or None.

        After a verdict the state of the tests is that at the bad sample: a source that failed is not gone on with.
        """
        if not samples:
            return None
        if self._repeats(samples) or self._is_too_frequent(samples):
            return next((verdict for verdict in map(self.take, samples) if verdict is not None), None)
        self._pass_over(samples)
        return None

    def _repeats(self, samples: bytes) -> bool:
        """Return whether a run of equal samples, begun before these perhaps, reaches the limit."""
        begun = bytes([self._last]) * self._repeated if self._last >= 0 else b""
        data = begun + samples
        later = int.from_bytes(data[1:], "little")
        changes = (later ^ int.from_bytes(data[:-1], "little")).to_bytes(len(data) - 1, "little")
        return bytes(self.repetition_limit - 1) in changes

    def _is_too_frequent(self, samples: bytes) -> bool:
        """Return whether the first value of a window comes too often in it, in any window that these reach into."""
        rest = min(len(samples), (self.window - self._seen) % self.window)
        if rest and self._equal + samples.count(self._first, 0, rest) >= self.proportion_limit:
            return True
        return any(
            samples.count(samples[start], start, start + self.window) >= self.proportion_limit
            for start in range(rest, len(samples), self.window)
        )

    def _pass_over(self, samples: bytes) -> None:
        """Leave the state that good samples leave behind when they are taken one by one."""
        same = len(samples) - len(samples.rstrip(samples[-1:]))
        goes_on = same == len(samples) and samples[-1] == self._last
        self._repeated = self._repeated + same if goes_on else same
        self._last = samples[-1]
        rest = min(len(samples), (self.window - self._seen) % self.window)
        if rest < len(samples):
            start = rest + (len(samples) - rest - 1) // self.window * self.window
            self._first, self._equal = samples[start], samples.count(samples[start], start)
        elif rest:
            self._equal += samples.count(self._first)
        self._seen = (self._seen + len(samples)) % self.window
