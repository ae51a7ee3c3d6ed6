"""Which pulse clicked where: draws detector clicks of billions of pulses, paying only for those that click.

A *cell* is everything that one slot can be: what Alice prepared and which of Bob's four detectors fired. In one byte::

    cell = 16 * preparation + pattern        preparation = 4 * intensity + 2 * basis + bit

with ``pattern`` one bit per detector: 1 and 2 rectilinear (bit 0, bit 1), 4 and 8 diagonal. Slots are independent as
long as every detector is live. So the gap to the next slot in which at least one would fire is geometric, its cell
comes from one table (Walker's alias method), and the hold-off of each detector then takes away the clicks that it
slept through. This is the exact law of drawing every slot, at the price of the clicks alone.

The generator is xoshiro256++ (Blackman and Vigna, ACM Trans. Math. Softw. 47, 36, 2021), two draws per candidate. All
state lives in arrays, so a run may stop at any slot and go on later with the same outcome.
The plain twin, equal click for click, is ``kernels.reference.photon_sampling``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

NUM_DETECTORS: Final = 4
NUM_PATTERNS: Final = 16
NUM_PREPARATIONS: Final = 12
NUM_CELLS: Final = NUM_PREPARATIONS * NUM_PATTERNS
ALIAS_COLUMNS: Final = 256
THRESHOLD_BITS: Final = 56
"""An alias draw takes one 64-bit word: 8 bits choose the column, 56 choose between its two cells."""

UNIFORM_STEP: Final = 2.0**-53

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ClickTable:
    """Odds of the cells of a slot in which some detector fires, ready to draw from.

    thresholds: uint64, shape (256,): column c gives cell c when its 56 bits are below, else ``aliases[c]``.
    aliases: uint8, shape (256,). inverse_log_silent: 1 / ln(odds that no detector fires), negative.
    """

    thresholds: Words
    aliases: NDArray[np.uint8]
    inverse_log_silent: float


def click_table(cell_odds: NDArray[np.float64]) -> ClickTable:
    """Prepare the draw of clicks.

    cell_odds: float64, shape (192,): joint odds of each cell in one slot; cells with pattern 0 are not read, the others
    must sum to more than 0 and less than 1.
    Source: Walker, Electron. Lett. 10, 127 (1974), in the form of Vose, IEEE Trans. Softw. Eng. 17, 972 (1991).
    """
    odds = np.zeros(ALIAS_COLUMNS)
    odds[:NUM_CELLS] = cell_odds
    odds[:NUM_CELLS:NUM_PATTERNS] = 0.0
    p_click = float(odds.sum())
    if not 0 < p_click < 1 or odds.min() < 0:
        raise ValueError(f"cell odds must be positive and sum to less than 1, got a sum of {p_click}")
    share = odds * (ALIAS_COLUMNS / p_click)
    thresholds = np.full(ALIAS_COLUMNS, 1 << THRESHOLD_BITS, dtype=np.uint64)
    aliases = np.arange(ALIAS_COLUMNS, dtype=np.uint8)
    small = [column for column in range(ALIAS_COLUMNS) if share[column] < 1]
    large = [column for column in range(ALIAS_COLUMNS) if share[column] >= 1]
    while small and large:
        column, donor = small.pop(), large[-1]
        thresholds[column] = int(share[column] * (1 << THRESHOLD_BITS))
        aliases[column] = donor
        share[donor] -= 1.0 - share[column]
        if share[donor] < 1:
            small.append(large.pop())
    _close_impossible(small, odds, thresholds, aliases)
    return ClickTable(thresholds, aliases, 1.0 / math.log1p(-p_click))


def _close_impossible(
    left_over: Sequence[int], odds: NDArray[np.float64], thresholds: Words, aliases: NDArray[np.uint8]
) -> None:
    """Columns that rounding left over keep their own cell, unless that cell cannot happen."""
    for column in left_over:
        if odds[column] == 0:
            thresholds[column] = 0
            aliases[column] = int(odds.argmax())


class ClickSampler:
    """A stream of clicks that may be drawn in chunks of any size, with the same outcome.

    seed_words: 32-bit words of the generator's seed. hold_off_slots: slots after a click in which that detector is
    dead. Memory is bounded by the chunk's expected number of clicks.
    """

    def __init__(self, cell_odds: NDArray[np.float64], *, hold_off_slots: int, seed_words: Sequence[int]) -> None:
        if hold_off_slots < 0:
            raise ValueError(f"hold_off_slots must be zero or more, got {hold_off_slots}")
        self._table = click_table(cell_odds)
        self._p_click = -math.expm1(1.0 / self._table.inverse_log_silent)
        self._hold_off_slots = hold_off_slots
        self._generator = np.random.SeedSequence(seed_words).generate_state(4, np.uint64).astype(np.uint64)
        self._live_from = np.zeros(NUM_DETECTORS, dtype=np.uint64)
        self._candidate = np.zeros(1, dtype=np.uint64)
        self.next_slot = 0
        """The first slot that has not been drawn."""
        first_gap(self._generator, self._candidate, self._table.inverse_log_silent)

    def sample(self, num_slots: int) -> tuple[Words, NDArray[np.uint8]]:
        """Draw the next ``num_slots`` slots.

        Returns the slots with a click (uint64, increasing, shape (n,)) and their cells (uint8, shape (n,)); a cell's
        pattern holds the clicks that happened, without those lost to hold-off.
        """
        if num_slots < 1:
            raise ValueError(f"num_slots must be positive, got {num_slots}")
        end = self.next_slot + num_slots
        expected = num_slots * self._p_click
        capacity = int(expected + 6 * math.sqrt(expected)) + 16
        parts: list[tuple[Words, NDArray[np.uint8]]] = []
        while int(self._candidate[0]) < end:
            slots = np.empty(capacity, dtype=np.uint64)
            cells = np.empty(capacity, dtype=np.uint8)
            count = sample_clicks(
                self._generator,
                self._candidate,
                self._live_from,
                end,
                self._hold_off_slots,
                self._table.inverse_log_silent,
                self._table.thresholds,
                self._table.aliases,
                slots,
                cells,
            )
            parts.append((slots[:count], cells[:count]))
        self.next_slot = end
        return _joined(parts)


def _joined(parts: list[tuple[Words, NDArray[np.uint8]]]) -> tuple[Words, NDArray[np.uint8]]:
    if len(parts) == 1:
        return parts[0]
    slots = [np.empty(0, dtype=np.uint64), *(part[0] for part in parts)]
    cells = [np.empty(0, dtype=np.uint8), *(part[1] for part in parts)]
    return np.concatenate(slots), np.concatenate(cells)


@njit(inline="always")
def _rotate_left(word: np.uint64, count: np.uint64) -> np.uint64:
    return (word << count) | (word >> (np.uint64(64) - count))


@njit(inline="always")
def _next_word(
    s0: np.uint64, s1: np.uint64, s2: np.uint64, s3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """One step of xoshiro256++: the output word and the new state."""
    word = _rotate_left(s0 + s3, np.uint64(23)) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = _rotate_left(s3, np.uint64(45))
    return word, s0, s1, s2, s3


@njit(inline="always")
def _gap(word: np.uint64, inverse_log_silent: float) -> np.uint64:
    """Silent slots before the next candidate: P(gap >= g) = (odds of silence)^g."""
    uniform = (np.float64(word >> np.uint64(11)) + 1.0) * UNIFORM_STEP
    return np.uint64(math.log(uniform) * inverse_log_silent)


@njit(cache=True, nogil=True)
def first_gap(generator: Words, candidate: Words, inverse_log_silent: float) -> None:
    """Move ``candidate`` (uint64, shape (1,)) from the first slot to the first slot with a click."""
    word, s0, s1, s2, s3 = _next_word(generator[0], generator[1], generator[2], generator[3])
    generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
    candidate[0] += _gap(word, inverse_log_silent)


@njit(cache=True, nogil=True)
def sample_clicks(
    generator: Words,
    candidate: Words,
    live_from: Words,
    end_slot: int,
    hold_off_slots: int,
    inverse_log_silent: float,
    thresholds: Words,
    aliases: NDArray[np.uint8],
    out_slots: Words,
    out_cells: NDArray[np.uint8],
) -> int:
    """Draw clicks up to ``end_slot`` (exclusive), or until the output is full; return how many were written.

    generator: uint64, shape (4,), updated. candidate: uint64, shape (1,): the next slot in which some detector would
    fire, updated; at or past ``end_slot`` when done. live_from: uint64, shape (4,): each detector's first live slot,
    updated. thresholds, aliases: of a ClickTable. out_slots: uint64, out_cells: uint8, same shape, written.
    """
    s0, s1, s2, s3 = generator[0], generator[1], generator[2], generator[3]
    live_0, live_1, live_2, live_3 = live_from[0], live_from[1], live_from[2], live_from[3]
    slot, end = candidate[0], np.uint64(end_slot)
    dead_time = np.uint64(hold_off_slots) + np.uint64(1)
    capacity, count = out_slots.size, 0
    while slot < end and count < capacity:
        word, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        column = word & np.uint64(255)
        cell = np.uint64(aliases[column])
        if (word >> np.uint64(8)) < thresholds[column]:
            cell = column
        live = np.uint64(slot >= live_0) | np.uint64(slot >= live_1) << np.uint64(1)
        live |= np.uint64(slot >= live_2) << np.uint64(2) | np.uint64(slot >= live_3) << np.uint64(3)
        cell &= np.uint64(0xF0) | live
        # Written always, kept only if some detector clicked: no branch to predict.
        out_slots[count] = slot
        out_cells[count] = np.uint8(cell)
        count += int((cell & np.uint64(15)) != np.uint64(0))
        back = slot + dead_time
        live_0 = back if cell & np.uint64(1) else live_0
        live_1 = back if cell & np.uint64(2) else live_1
        live_2 = back if cell & np.uint64(4) else live_2
        live_3 = back if cell & np.uint64(8) else live_3
        word, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
        slot += np.uint64(1) + _gap(word, inverse_log_silent)
    generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
    live_from[0], live_from[1], live_from[2], live_from[3] = live_0, live_1, live_2, live_3
    candidate[0] = slot
    return count
