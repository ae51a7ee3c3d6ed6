"""Which of the signal events are disclosed: drawn at random, by the gaps between them."""

from __future__ import annotations

import functools
import math
from typing import Protocol

import numpy as np

from qanat.ground.ports import Entropy
from qanat.kernels import sifting as kernel
from qanat.postprocessing.planes import WordArray, packed_bytes, plane_of_column, plane_of_zeros
from qanat.postprocessing.records import ByteArray

MAX_GAP = 254
MIN_SURVIVAL = 1 / 8
"""A gap between disclosed events is drawn in one go while it is at least so probable, and never one above MAX_GAP."""


class SignalChoice(Protocol):
    """Says which of the next ``num_events`` signal events are disclosed, a plane; a party's ``choose``."""

    def __call__(self, num_events: int, /, *, p_disclosed: float, entropy: Entropy) -> WordArray: ...


class ExactChoice:
    """Discloses ``num_disclosed`` of ``num_events`` signal events, no more and no fewer: any such choice as likely.

    For a record that ends: what is not disclosed fills the key to the bit, and no event is left over. Drawn when it is
    first asked for, over all events; later calls give the choice of the events that follow.
    """

    def __init__(self, num_events: int, num_disclosed: int) -> None:
        """Raises ValueError unless some events are disclosed, and some are not."""
        if not 0 < num_disclosed < num_events:
            raise ValueError(f"{num_disclosed} of {num_events} events cannot be disclosed")
        self._num_events, self._num_disclosed = num_events, num_disclosed
        self._chosen: ByteArray | None = None
        self._next = 0

    def __call__(self, num_events: int, /, *, p_disclosed: float, entropy: Entropy) -> WordArray:  # noqa: ARG002
        if self._chosen is None:
            self._chosen = self._draw(entropy)
        part = self._chosen[self._next : self._next + num_events]
        if part.size < num_events:
            raise ValueError(f"{num_events} more events than the {self._num_events} that were to be chosen from")
        self._next += num_events
        return plane_of_column(part)

    def _draw(self, entropy: Entropy) -> ByteArray:
        """Draw each event by itself, then correct the number at random places: all events fare alike."""
        size = self._num_events
        plane = choose_signal(size, p_disclosed=self._num_disclosed / size, entropy=entropy)
        chosen = np.unpackbits(np.frombuffer(packed_bytes(plane, size), dtype=np.uint8), count=size, bitorder="little")
        surplus = int(np.count_nonzero(chosen)) - self._num_disclosed
        wrong = np.uint8(surplus > 0)
        left = abs(surplus)
        while left:
            places = np.frombuffer(entropy.public_bytes(64 * 8), dtype="<u8") % np.uint64(size)  # bias 2^-37 or less
            for place in places:
                if left and chosen[place] == wrong:
                    chosen[place] ^= 1
                    left -= 1
        return chosen


def choose_signal(num_events: int, /, *, p_disclosed: float, entropy: Entropy) -> WordArray:
    """Return which of so many signal events are disclosed, a plane: each with ``p_disclosed``, whatever the others.

    Drawn by the gaps between them, which takes a tenth of the random bits that a draw per event takes. Probabilities
    of gaps are multiples of 2^-32 and none is below 1/8, so the probability of any choice differs from that of
    independent draws by a factor of about ``1 + num_events * 2^-28``.
    """
    survival, guide = _gap_law(p_disclosed)
    chosen = plane_of_zeros(num_events)
    mean_gap = int(survival[:-1].sum(dtype=np.uint64)) / 256**kernel.DRAW_BYTES
    mean_bytes = 1 + (kernel.DRAW_BYTES - 1) * float((guide[0] == kernel.UNDECIDED).mean())
    place = 0
    while place < num_events:
        expected = (num_events - place) / mean_gap
        draws = entropy.public_bytes(int(mean_bytes * (expected + 4 * math.sqrt(expected))) + 64)
        place = kernel.choose(np.frombuffer(draws, dtype=np.uint8), survival, guide, place, num_events, chosen)
    return chosen


@functools.lru_cache(maxsize=16)
def _gap_law(p_disclosed: float) -> tuple[WordArray, ByteArray]:
    """Return ``survival`` and ``guide`` of ``kernels.sifting.choose``."""
    longest = 1
    while longest < MAX_GAP and (1 - p_disclosed) ** (longest + 1) >= MIN_SURVIVAL:
        longest += 1
    scale = 256**kernel.DRAW_BYTES
    survival = np.array([round(scale * (1 - p_disclosed) ** k) for k in range(longest + 1)], dtype=np.uint64)
    lowest = np.arange(256, dtype=np.uint64) * np.uint64(scale // 256)
    highest = lowest + np.uint64(scale // 256 - 1)
    passed, at_least = ((draws[:, np.newaxis] < survival[1:]).sum(axis=1) for draws in (lowest, highest))
    return survival, np.array([np.where(passed == at_least, passed, kernel.UNDECIDED), at_least], dtype=np.uint8)
