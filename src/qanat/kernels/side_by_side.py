"""Frames of a long key side by side: one exclusive-or of 64-bit words serves 64 frames.

*Side by side* means an array of words of shape (num_groups, n): bit ``f`` of word ``[g, i]`` is bit ``i`` of frame
``64 g + f``. Frame ``f`` takes every ``num_frames``-th bit of the key, so that a burst of errors is spread over all.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 64
"""Frames that share a word."""


@njit(cache=True, nogil=True)
def spread_frames(stream: np.ndarray, num_frames: int, frames: np.ndarray) -> None:
    """Set the bits of ``stream`` side by side: bit ``i * num_frames + f`` becomes bit ``i`` of frame ``f``.

    stream: uint64, shape (ceil(n * num_frames / 64),), lowest bit first.
    frames: uint64, shape (ceil(num_frames / 64), n), overwritten; lanes beyond ``num_frames`` become zero.
    """
    for place in range(frames.shape[1]):
        for group in range(frames.shape[0]):
            bit = place * num_frames + LANES * group
            lanes = min(LANES, num_frames - LANES * group)
            word, shift = bit >> 6, bit & 63
            value = stream[word] >> np.uint64(shift)
            if shift + lanes > LANES:
                value |= stream[word + 1] << np.uint64(LANES - shift)
            if lanes < LANES:
                value &= (np.uint64(1) << np.uint64(lanes)) - np.uint64(1)
            frames[group, place] = value


@njit(cache=True, nogil=True)
def join_frames(frames: np.ndarray, num_frames: int, stream: np.ndarray) -> None:
    """Undo ``spread_frames``. Lanes beyond ``num_frames`` must be zero; ``stream`` must be zeros and is filled."""
    for place in range(frames.shape[1]):
        for group in range(frames.shape[0]):
            bit = place * num_frames + LANES * group
            lanes = min(LANES, num_frames - LANES * group)
            word, shift = bit >> 6, bit & 63
            stream[word] |= frames[group, place] << np.uint64(shift)
            if shift + lanes > LANES:
                stream[word + 1] |= frames[group, place] >> np.uint64(LANES - shift)


@njit(cache=True, nogil=True)
def shuffle(seed: np.uint64, order: np.ndarray) -> None:
    """Fill ``order`` with a permutation drawn from ``seed``.

    order: uint16, shape (n,), n <= 65,536. The generator is splitmix64 (Steele, Lea, Flood, OOPSLA 2014), the
    shuffle is Fisher and Yates's; both parties get the same whatever library versions they run.
    """
    for i in range(order.size):
        order[i] = i
    state = seed
    for i in range(order.size - 1, 0, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
        j = ((word >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32)
        order[i], order[j] = order[j], order[i]


@njit(cache=True, nogil=True)
def masked_parities(frames: np.ndarray, masks: np.ndarray, parities: np.ndarray) -> None:
    """Add up the places that each mask selects.

    frames: uint64, side by side, shape (num_groups, n). masks: uint64, shape (num_masks, n / 64).
    parities: uint64, shape (num_groups, num_masks), overwritten.
    """
    for group in range(frames.shape[0]):
        for number in range(masks.shape[0]):
            total = np.uint64(0)
            for word in range(masks.shape[1]):
                mask = masks[number, word]
                for bit in range(64):
                    chosen = (mask >> np.uint64(bit)) & np.uint64(1)
                    total ^= frames[group, 64 * word + bit] & (np.uint64(0) - chosen)
            parities[group, number] = total
