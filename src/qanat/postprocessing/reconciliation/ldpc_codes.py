"""The codes of one-way error correction: drawn from a seed, the same at both parties, and split when more is needed.

A *row* stands for 64 parity checks (``kernels.ldpc``). A code begins with ``num_rows`` rows. To reveal more, rows are
split one after the other: the parities of one half of a row's edges are told, and those of the other half follow. So
each further bit is new, no bit of the first message is lost, and a code of ``r`` rows goes up to ``2 r`` (the idea of
Varodayan, Aaron, Girod, Signal Process. 86, 3123, 2006, on rows in place of accumulated bits).

Degrees are irregular: some columns of degree 2, most of degree 3, a share of degree 4 to 7, and one of degree 8 to 20.
The mixtures come from trials of our own decoder (frames of 2^16 bits, 12 to 16 frames for each of 36 to 60 mixtures at
error rates of 0.2 to 8 %, with so few checks that a third of the frames fail), not from the asymptotic theory.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qanat.kernels import ldpc

IndexArray = NDArray[np.int64]

CODE_SEED: Final = 0x51A7
"""Any number does; it is part of the wire format, for both parties draw the same codes from it."""
MIN_ROWS: Final = 4


class _Mixture(NamedTuple):
    """Degrees of columns for codes of up to so many rows per column.

    ``pairs_per_row``: columns of degree 2 for each row, below 1, so that they form a chain without a cycle. ``middle``,
    ``highest``: a middle degree and the highest, with the share of columns that have it. All others have ``usual``.
    """

    rows_per_column: float
    pairs_per_row: float
    usual: int
    middle: tuple[int, float]
    highest: tuple[int, float]


_MIXTURES: Final = (
    _Mixture(0.043, 0.7, 4, (5, 0.0), (20, 0.246)),
    _Mixture(0.06, 0.5, 3, (7, 0.2), (18, 0.196)),
    _Mixture(0.13, 0.9, 3, (7, 0.2), (17, 0.17)),
    _Mixture(0.19, 0.9, 3, (5, 0.3), (20, 0.153)),
    _Mixture(0.27, 0.9, 3, (5, 0.1), (17, 0.188)),
    _Mixture(0.38, 0.9, 3, (4, 0.2), (17, 0.144)),
    _Mixture(1.0, 0.9, 3, (4, 0.1), (17, 0.137)),
)


@dataclass(frozen=True, slots=True)
class Code:
    """Edges row by row, all of a row's first half before its second; see ``kernels.ldpc``.

    ``half_starts``: where each half row begins, shape (2 num_rows + 1,).
    """

    num_columns: int
    num_rows: int
    columns: IndexArray
    turns: IndexArray
    steps: IndexArray
    half_starts: IndexArray

    def starts(self, num_split: int) -> IndexArray:
        """Return where each row begins when the first ``num_split`` rows are split."""
        split = self.half_starts[: 2 * num_split]
        return np.concatenate((split, self.half_starts[2 * num_split :: 2]))

    @property
    def most_edges(self) -> int:
        """The most edges of a row."""
        return int(np.diff(self.half_starts[::2]).max())


@functools.lru_cache(maxsize=32)
def draw_code(num_columns: int, num_rows: int) -> Code:
    """Return the code of so many words per frame and rows; the same on every machine."""
    degrees = _degrees(num_columns, num_rows)
    rows, turns = np.empty((2, int(degrees.sum())), dtype=np.int64)
    ldpc.place_edges(degrees, num_rows, np.uint64(CODE_SEED), rows, turns)
    columns = np.repeat(np.arange(num_columns), degrees)
    order = np.argsort(rows, kind="stable")
    starts = np.searchsorted(rows[order], np.arange(num_rows + 1))
    edges, half_starts = [], [0]
    for first, stop in itertools.pairwise(starts):
        edges += [order[first:stop:2], order[first + 1 : stop : 2]]  # columns ascend by degree: both halves get alike
        half_starts += [half_starts[-1] + edges[-2].size, half_starts[-1] + edges[-2].size + edges[-1].size]
    chosen = np.concatenate(edges)
    columns, turns = columns[chosen], turns[chosen]
    steps = ldpc.turn_steps(columns, turns, num_columns)
    return Code(num_columns, num_rows, columns, turns, steps, np.array(half_starts, dtype=np.int64))


def _degrees(num_columns: int, num_rows: int) -> IndexArray:
    mixture = next(one for one in _MIXTURES if num_rows <= one.rows_per_column * num_columns)
    num_middle, num_high = (round(share * num_columns) for _, share in (mixture.middle, mixture.highest))
    num_pairs = min(int(mixture.pairs_per_row * num_rows), num_columns - num_high - num_middle)
    counts = (num_pairs, num_columns - num_pairs - num_middle - num_high, num_middle, num_high)
    degrees = (2, mixture.usual, mixture.middle[0], mixture.highest[0])
    wished = np.repeat(np.array(degrees, dtype=np.int64), counts)
    return np.minimum(wished, num_rows)
