"""The odds of clicks, ready to draw from: what the compiled sampler of ``kernels.photon_sampling`` reads.

A table holds the joint odds of a slot's cell given that some detector fires (Walker's alias method) and the odds of
silence; a memory holds what a click does to its detector afterwards. Cells are coded as ``kernels.photon_sampling``
says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BOTH_BASES: Final = 2
"""Entry of a table of the bases of patterns, for patterns with clicks in both bases."""
NUM_DETECTORS: Final = 4
NUM_PATTERNS: Final = 16
NUM_PREPARATIONS: Final = 12
NUM_CELLS: Final = NUM_PREPARATIONS * NUM_PATTERNS
ALIAS_COLUMNS: Final = 256
THRESHOLD_BITS: Final = 56
"""An alias draw takes one 64-bit word: 8 bits choose the column, 56 choose between its two cells."""

Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class ClickTable:
    """Odds of the cells of a slot in which some detector fires, ready to draw from.

    thresholds: uint64, shape (256,): column c gives cell c when its 56 bits are below, else ``aliases[c]``.
    aliases: uint8, shape (256,). inverse_log_silent: 1 / ln(odds that no detector fires), negative.
    silent: uint64, shape (12,): a slot in which no detector fires holds the first preparation whose entry is above the
    upper 56 bits of a random word.
    """

    thresholds: Words
    aliases: NDArray[np.uint8]
    inverse_log_silent: float
    silent: Words


def click_table(cell_odds: NDArray[np.float64]) -> ClickTable:
    """Prepare the draw of clicks.

    cell_odds: float64, shape (192,): joint odds of each cell in one slot; cells with pattern 0 are read only for what
    Alice prepares in silence, the others must sum to more than 0 and less than 1.
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
    silent = _silent_thresholds(np.asarray(cell_odds[::NUM_PATTERNS], dtype=np.float64))
    return ClickTable(thresholds, aliases, 1.0 / math.log1p(-p_click), silent)


def _silent_thresholds(silent_odds: NDArray[np.float64]) -> Words:
    """Cumulative odds of the preparations in silent slots, in units of 2^-56; equal ones when there are none."""
    odds = silent_odds if silent_odds.sum() > 0 else np.ones(NUM_PREPARATIONS)
    cumulative = np.cumsum(odds) / odds.sum() * (1 << THRESHOLD_BITS)
    thresholds: Words = cumulative.astype(np.uint64)
    last = int(np.flatnonzero(odds)[-1])
    thresholds[last:] = 1 << THRESHOLD_BITS
    return thresholds


def _close_impossible(
    left_over: Sequence[int], odds: NDArray[np.float64], thresholds: Words, aliases: NDArray[np.uint8]
) -> None:
    """Columns that rounding left over keep their own cell, unless that cell cannot happen."""
    for column in left_over:
        if odds[column] == 0:
            thresholds[column] = 0
            aliases[column] = int(odds.argmax())


@dataclass(frozen=True, slots=True)
class DetectorMemory:
    """What a click does to its detector's future, one entry per detector.

    hold_off_slots: slots after a click in which it is dead. p_afterpulse: odds, below 1, that a click leaves a charge.
    decay_slots: mean time, in slots, after which a charge goes once the hold-off has ended.
    """

    hold_off_slots: tuple[int, int, int, int]
    p_afterpulse: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    decay_slots: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if min(self.hold_off_slots) < 0:
            raise ValueError(f"hold_off_slots must be zero or more, got {self.hold_off_slots}")
        if not all(0 <= p < 1 for p in self.p_afterpulse):
            raise ValueError(f"p_afterpulse are odds below 1, got {self.p_afterpulse}")
        if not all(decay > 0 for decay in self.decay_slots):
            raise ValueError(f"decay_slots must be positive, got {self.decay_slots}")

    @classmethod
    def alike(cls, *, hold_off_slots: int, p_afterpulse: float = 0.0, decay_slots: float = 1.0) -> DetectorMemory:
        """Return the memory of four equal detectors."""
        return cls((hold_off_slots,) * 4, (p_afterpulse,) * 4, (decay_slots,) * 4)


class ClickLaw(NamedTuple):
    """All odds that the compiled loop reads.

    inverse_log_silent, thresholds, aliases, silent: of a ClickTable. dead_slots: uint64, shape (4,): slots from a click
    to the first in which its detector may click again. inverse_log_uncharged: 1 / ln(1 - p) with p the greatest
    after-pulse odds of a detector, 0.0 when none has any. charge_thresholds: uint64, shape (4,): a click chosen at odds
    p leaves a charge when the upper 56 bits of a word are below. decay_slots: float64, shape (4,).
    """

    inverse_log_silent: float
    thresholds: Words
    aliases: NDArray[np.uint8]
    silent: Words
    dead_slots: Words
    inverse_log_uncharged: float
    charge_thresholds: Words
    decay_slots: NDArray[np.float64]


def click_law(table: ClickTable, memory: DetectorMemory) -> ClickLaw:
    """Return the law of clicks of a table and of detectors that remember."""
    p_most = max(memory.p_afterpulse)
    shares = [p / p_most if p_most > 0 else 0.0 for p in memory.p_afterpulse]
    return ClickLaw(
        inverse_log_silent=table.inverse_log_silent,
        thresholds=table.thresholds,
        aliases=table.aliases,
        silent=table.silent,
        dead_slots=np.array(memory.hold_off_slots, dtype=np.uint64) + np.uint64(1),
        inverse_log_uncharged=1.0 / math.log1p(-p_most) if p_most > 0 else 0.0,
        charge_thresholds=np.array([int(share * (1 << THRESHOLD_BITS)) for share in shares], dtype=np.uint64),
        decay_slots=np.array(memory.decay_slots, dtype=np.float64),
    )
