"""The plain twins of ``kernels.records``: whole arrays at a time, slower and easier to believe."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from qanat.kernels.click_law import BOTH_BASES

ByteArray = NDArray[np.uint8]


def mask_records(
    cells: ByteArray,
    masks: ByteArray,
    pattern_bases: ByteArray,
    alice_bases: ByteArray,
    alice_true_bits: ByteArray,
) -> tuple[ByteArray, ByteArray, ByteArray]:
    """Return Alice's bits, Bob's bases and Bob's bits of each click; arguments as the kernel's."""
    pattern = cells & 15
    bases = pattern_bases[pattern]
    bases = np.where(bases == BOTH_BASES, (masks >> 2) & 1, bases)
    pair = (pattern >> (2 * bases)) & 3
    alice_bits = masks & 1
    is_wrong = (pair >> 1) ^ alice_true_bits[cells]
    follows_alice = (bases == alice_bases[cells]) & (pair != 3)
    bits = np.where(follows_alice, alice_bits ^ is_wrong, (masks >> 1) & 1)
    return alice_bits.astype(np.uint8), bases.astype(np.uint8), bits.astype(np.uint8)


def find_open(known: NDArray[np.uint64], is_open: NDArray[np.bool_], wanted: NDArray[np.uint64]) -> list[int]:
    """Return where the wanted slots stand among the known and open ones, up to the first that is not there."""
    places = {int(slot): place for place, slot in enumerate(known) if is_open[place]}
    positions: list[int] = []
    for slot in wanted:
        if int(slot) not in places:
            break
        positions.append(places[int(slot)])
    return positions
