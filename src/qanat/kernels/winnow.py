"""Winnow's inner loops: Hamming syndromes of many blocks at once, and what follows from those that differ.

Winnow (Buttler, Lamoreaux, Torgerson, Nickel, Donahue, Peterson, Phys. Rev. A 67, 052303, 2003) cuts a permuted frame
into blocks of ``2**k`` places, compares their parities, and where they differ compares Hamming syndromes: syndrome bit
j of a block is the parity of the places whose number in the block has bit j. Where one place is wrong, the exclusive-or
of both parties' syndromes is its number; where three or more are wrong, it names some other place.

Frames lie side by side (``kernels.side_by_side``): one exclusive-or serves 64 frames.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels.bitarrays import popcount


@njit(cache=True, nogil=True)
def block_syndromes(frames: np.ndarray, order: np.ndarray, log_block: int, syndromes: np.ndarray) -> None:
    """Compute parity and syndrome of each block.

    frames: uint64, side by side, shape (num_groups, n). order: uint16, shape (n,), the places block by block.
    syndromes: uint64, shape (num_groups, n >> log_block, log_block + 1), overwritten: syndrome bits, lowest first, and
    last the parity.
    """
    size = 1 << log_block
    sums = np.empty(size, dtype=np.uint64)
    for group in range(frames.shape[0]):
        for block in range(syndromes.shape[1]):
            for i in range(size):
                sums[i] = frames[group, order[block * size + i]]
            width = size
            for bit in range(log_block):
                width >>= 1
                odd = np.uint64(0)
                for i in range(width):
                    odd ^= sums[2 * i + 1]
                    sums[i] = sums[2 * i] ^ sums[2 * i + 1]
                syndromes[group, block, bit] = odd
            syndromes[group, block, log_block] = sums[0]


@njit(cache=True, nogil=True)
def pick_syndromes(syndromes: np.ndarray, chosen: np.ndarray, picked: np.ndarray) -> None:
    """Write down the syndromes of the blocks chosen: block by block, in a block frame by frame, lowest bit first.

    syndromes: as above. chosen: uint64, shape (num_groups, num_blocks), a bit per frame. picked: uint8 zeros, shape
    (ceil(number of chosen * log_block / 8),), filled lowest bit first.
    """
    log_block = syndromes.shape[2] - 1
    at = 0
    for block in range(chosen.shape[1]):
        for group in range(chosen.shape[0]):
            left = chosen[group, block]
            while left:
                lowest = left & (~left + np.uint64(1))
                left ^= lowest
                for bit in range(log_block):
                    if syndromes[group, block, bit] & lowest:
                        picked[at >> 3] |= np.uint8(1 << (at & 7))
                    at += 1


@njit(cache=True, nogil=True)
def correct(
    frames: np.ndarray, order: np.ndarray, syndromes: np.ndarray, chosen: np.ndarray, picked: np.ndarray
) -> None:
    """Turn the place that both parties' syndromes name in each block chosen.

    frames: corrected in place; syndromes: Bob's, of ``frames``; picked: Alice's, as ``pick_syndromes`` writes them;
    the rest as above.
    """
    log_block = syndromes.shape[2] - 1
    at = 0
    for block in range(chosen.shape[1]):
        for group in range(chosen.shape[0]):
            left = chosen[group, block]
            while left:
                lowest = left & (~left + np.uint64(1))
                left ^= lowest
                number = 0
                for bit in range(log_block):
                    theirs = (picked[at >> 3] >> np.uint8(at & 7)) & 1
                    ours = 1 if syndromes[group, block, bit] & lowest else 0
                    number |= int(theirs ^ ours) << bit
                    at += 1
                frames[group, order[(block << log_block) + number]] ^= lowest


@njit(cache=True, nogil=True)
def count_ones(words: np.ndarray) -> int:
    """Count the ones of uint64 words, shape (num_groups, num_blocks)."""
    total = np.uint64(0)
    for group in range(words.shape[0]):
        for block in range(words.shape[1]):
            total += popcount(words[group, block])
    return np.int64(total)  # type: ignore[return-value]  # an int outside
