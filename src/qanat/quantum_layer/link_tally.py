"""What an onlooker counts of a run: error rates by parts of the time. Neither party knows what stands here."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qanat.physics.clicks import CELL_ALICE_BASIS, CELL_INTENSITY
from qanat.postprocessing.records import ByteArray
from qanat.protocols.decoy import SIGNAL

NUM_PARTS: Final = 10
"""The error rate is told for each tenth of the run, so that a drift shows."""

STEP_S: Final = 1.0
MOST_STEPS: Final = 2000
"""The curve has a point per second of light, and at most so many."""

SAMPLED: Final = 10
"""One event in so many is what the parties would disclose."""


class Tally:
    """Counts signal events with equal bases, and the wrong ones, by parts of the run.

    num_pulses: of the run. slots_per_chunk: of the light between two calls of ``watch``.
    """

    def __init__(self, *, num_pulses: int, slots_per_chunk: int, pulse_rate_hz: float) -> None:
        self._num_pulses = num_pulses
        self._slots_per_chunk = slots_per_chunk
        self._slots_seen = 0
        num_chunks = math.ceil(num_pulses / slots_per_chunk)
        step_chunks = max(round(STEP_S * pulse_rate_hz / slots_per_chunk), math.ceil(num_chunks / MOST_STEPS), 1)
        self._slots_per_step = step_chunks * slots_per_chunk
        self.step_s = self._slots_per_step / pulse_rate_hz
        """Seconds of light to a point of the curve; the last point has what is over besides."""
        num_steps = max(1, num_pulses // self._slots_per_step)
        last_s = (num_pulses - (num_steps - 1) * self._slots_per_step) / pulse_rate_hz
        self._step_lengths_s = np.array([self.step_s] * (num_steps - 1) + [last_s])
        self._clicks = np.zeros(num_steps, dtype=np.int64)
        self.parts = np.zeros((2, NUM_PARTS), dtype=np.int64)
        self.steps = np.zeros((2, num_steps), dtype=np.int64)
        """Events and wrong ones; int64, shape (2, n)."""
        self.last_sample = np.zeros((2, 2), dtype=np.int64)
        """Of the last chunk, one event in ten: events and wrong ones of each basis; int64, shape (2, 2)."""

    def watch(self, cells: ByteArray, alice_bits: ByteArray, bases: ByteArray, bits: ByteArray) -> None:
        """Take the clicks of the next chunk, as ``nature.Watch`` gives them."""
        part = min(NUM_PARTS - 1, self._slots_seen * NUM_PARTS // self._num_pulses)
        step = min(self.steps.shape[1] - 1, self._slots_seen // self._slots_per_step)
        self._slots_seen += self._slots_per_chunk
        sifted = np.flatnonzero((CELL_INTENSITY[cells] == SIGNAL) & (CELL_ALICE_BASIS[cells] == bases))
        is_wrong = alice_bits[sifted] != bits[sifted]
        counts = (sifted.size, int(np.count_nonzero(is_wrong)))
        self.parts[:, part] += counts
        self.steps[:, step] += counts
        self._clicks[step] += cells.size
        told, wrong = bases[sifted[::SAMPLED]], is_wrong[::SAMPLED]
        self.last_sample = np.array([np.bincount(told, minlength=2), np.bincount(told[wrong], minlength=2)])

    @property
    def clicks_per_s(self) -> tuple[float, ...]:
        """Detections per second of light, for each point of the curve."""
        return tuple((self._clicks / self._step_lengths_s).tolist())

    @property
    def totals(self) -> tuple[int, int]:
        """Events and wrong ones of the whole run."""
        events, wrong = self.parts.sum(axis=1).tolist()
        return events, wrong


def rates(counts: NDArray[np.int64]) -> tuple[float | None, ...]:
    """Return the error rates of events and wrong ones, int64, shape (2, n); None where there were no events."""
    pairs = zip(*counts.tolist(), strict=True)
    return tuple(wrong / events if events else None for events, wrong in pairs)
