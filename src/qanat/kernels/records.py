"""Nature's bookkeeping: clicks turned into two parties' records, and announced slots found among the clicks.

The plain twins, equal bit for bit, are in ``kernels.reference.records``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels.click_law import BOTH_BASES


@njit(cache=True, nogil=True)
def mask_records(
    cells: np.ndarray,
    masks: np.ndarray,
    pattern_bases: np.ndarray,
    alice_bases: np.ndarray,
    alice_true_bits: np.ndarray,
    alice_bits: np.ndarray,
    bases: np.ndarray,
    bits: np.ndarray,
) -> None:
    """Write Alice's bits, Bob's bases and Bob's bits of each click.

    cells, masks: uint8, shape (n,). pattern_bases: uint8, shape (16,): basis of a detector pattern, BOTH_BASES where
    both clicked. alice_bases, alice_true_bits: uint8, shape (256,), by cell. alice_bits, bases, bits: uint8, shape
    (n,), written. Bits 0, 1 and 2 of a mask are Alice's bit, a random bit for Bob, and a random basis.
    """
    for i in range(cells.size):
        cell, mask = cells[i], masks[i]
        pattern = cell & 15
        basis = pattern_bases[pattern]
        if basis == BOTH_BASES:
            basis = (mask >> 2) & 1
        pair = (pattern >> (2 * basis)) & 3
        own = mask & 1
        is_wrong = (pair >> 1) ^ alice_true_bits[cell]
        follows = (basis == alice_bases[cell]) & (pair != 3)
        alice_bits[i] = own
        bases[i] = basis
        bits[i] = (own ^ is_wrong) if follows else ((mask >> 1) & 1)


@njit(cache=True, nogil=True)
def find_open(known: np.ndarray, is_open: np.ndarray, wanted: np.ndarray, positions: np.ndarray) -> int:
    """Write where each wanted slot stands among the known ones; return the first that is not there, or -1.

    known, wanted: uint64, strictly increasing. is_open: bool, shape of ``known``: only open ones count. positions:
    int64, shape of ``wanted``, written.
    """
    place = 0
    for i in range(wanted.size):
        while place < known.size and known[place] < wanted[i]:
            place += 1
        if place == known.size or known[place] != wanted[i] or not is_open[place]:
            return i
        positions[i] = place
    return -1
