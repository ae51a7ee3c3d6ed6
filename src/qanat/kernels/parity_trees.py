"""Parity trees of many frames: what both parties of Cascade sum up at the beginning of a pass.

A pass is a binary tree over a frame of ``n = 2**m`` places: node 1 is the frame, ``2 v`` and ``2 v + 1`` are the halves
of ``v``, node ``n + i`` is place ``i`` of the pass's order. A *tree* holds the parity of node ``v`` as bit ``v``:
uint64, shape (2 n / 64,), n at least 128; bit 0 means nothing.

The *order* of a pass is a permutation drawn anew each time by ROUNDS odd numbers: place ``i`` is multiplied by one
modulo n, its high half is added to its low half without carry, and so on. Both steps can be undone, and neither needs
a table. It mixes well enough to part errors, which is all that Cascade asks of it; since it is drawn after the errors
are there, nobody can aim at blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels.bitarrays import LANES, append_bits, bits_at, bytes_with, pair_parities, popcount

ROUNDS = 3
"""Multiplications of an order."""
PIECE = 4096
"""Places that are permuted at a time, so that they stay in the nearest cache."""

_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def next_random(state):  # type: ignore[no-untyped-def]
    """Return the next state of splitmix64 and its word (Steele, Lea, Flood, OOPSLA 2014)."""
    state += np.uint64(0x9E3779B97F4A7C15)
    word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, word ^ (word >> np.uint64(31))


@njit(cache=True, nogil=True)
def random_words(seed: np.uint64, words: np.ndarray) -> None:
    """Fill ``words`` (uint64) with splitmix64 from ``seed``: the same whatever library versions the parties run."""
    state = np.uint64(seed)
    for i in range(words.size):
        state, words[i] = next_random(state)


@njit(cache=True, nogil=True)
def permuted(place, factors, log_places):  # type: ignore[no-untyped-def]
    """Return which place of a frame is ``place`` of a pass's order. factors: int64, shape (ROUNDS,), odd."""
    mask, half = (np.int64(1) << log_places) - 1, (log_places + 1) >> 1
    place = np.int64(place)
    for number in range(ROUNDS):
        place = (place * factors[number]) & mask
        place ^= place >> half
    return place


@njit(cache=True, nogil=True)
def found(place, inverses, log_places):  # type: ignore[no-untyped-def]
    """Undo ``permuted``. inverses: int64, shape (ROUNDS,): of the factors, modulo n."""
    mask, half = (np.int64(1) << log_places) - 1, (log_places + 1) >> 1
    place = np.int64(place)
    for number in range(ROUNDS - 1, -1, -1):
        place ^= place >> half
        place = (place * inverses[number]) & mask
    return place


@njit(cache=True, nogil=True)
def draw_order(factors: np.ndarray, log_places: int, first: int, order: np.ndarray) -> None:
    """Write ``permuted`` of the places from ``first`` on into ``order`` (uint16, shape (m,))."""
    mask, half = np.uint16((1 << log_places) - 1), np.uint16((log_places + 1) >> 1)
    one, two, three = np.uint16(factors[0]), np.uint16(factors[1]), np.uint16(factors[2])
    for i in range(order.size):
        place = np.uint16(np.uint16(first + i) * one) & mask
        place = np.uint16(np.uint16(place ^ (place >> half)) * two) & mask
        place = np.uint16(np.uint16(place ^ (place >> half)) * three) & mask
        order[i] = place ^ (place >> half)


@njit(cache=True, nogil=True)
def gather(lanes: np.ndarray, factors: np.ndarray, leaves: np.ndarray) -> None:
    """Permute frames and set each apart.

    lanes: uint8, frames side by side, shape (ceil(num_frames / 8), n), n a power of two from 128 to 2^16. factors:
    int64, shape (ROUNDS,), odd. leaves: uint8, shape (num_frames, n / 8), overwritten: packed.
    """
    places = lanes.shape[1]
    log_places = int(popcount(np.uint64(places - 1)))
    size = min(PIECE, places)
    order, piece = np.empty(size, dtype=np.uint16), np.empty(size, dtype=np.uint8)
    words = leaves.view(np.uint64)
    for start in range(0, places, size):
        draw_order(factors, log_places, start, order)
        for group in range(lanes.shape[0]):
            own = lanes[group]
            for i in range(size):
                piece[i] = own[order[i]]
            _set_apart(piece, words[LANES * group : LANES * (group + 1), start >> 6 :])


@njit(cache=True, nogil=True)
def set_apart(lanes: np.ndarray, leaves: np.ndarray) -> None:
    """Set each frame apart in its own order; arguments as for ``gather``."""
    words = leaves.view(np.uint64)
    for group in range(lanes.shape[0]):
        _set_apart(lanes[group], words[LANES * group : LANES * (group + 1)])


@njit(cache=True, nogil=True)
def _set_apart(piece, words):  # type: ignore[no-untyped-def]
    """Turn bytes of eight lanes into a word of 64 places for each lane."""
    for w in range(piece.size >> 6):
        for lane in range(words.shape[0]):
            words[lane, w] = bytes_with(piece, w << 6, 1 << lane)


@njit(cache=True, nogil=True)
def grow(tree: np.ndarray) -> None:
    """Sum up a tree whose leaves are in place."""
    words = tree.size >> 1
    while words > 1:
        words >>= 1
        for w in range(words, 2 * words):
            tree[w] = pair_parities(tree[2 * w]) | (pair_parities(tree[2 * w + 1]) << np.uint64(32))
    top = pair_parities(tree[1]) << np.uint64(32)
    size = 32
    while size > 1:
        nodes = (top >> np.uint64(size)) & ((_ONE << np.uint64(size)) - _ONE)
        top |= pair_parities(nodes) << np.uint64(size >> 1)
        size >>= 1
    tree[0] = top


@njit(cache=True, nogil=True)
def grow_all(trees: np.ndarray, slot: int) -> None:
    """Sum up the trees of one pass, ``trees[frame, slot]``, whose leaves are in place."""
    for frame in range(trees.shape[0]):
        grow(trees[frame, slot])


@njit(cache=True, nogil=True)
def grow_half(leaves: np.ndarray, mask: np.ndarray, tree: np.ndarray) -> None:
    """Sum up those places of a frame, in their own order, that ``mask`` selects; both uint64, shape (n / 64,)."""
    for w in range(mask.size):
        tree[mask.size + w] = leaves[w] & mask[w]
    grow(tree)


@njit(cache=True, nogil=True)
def block_parities(trees: np.ndarray, slot: int, num_blocks: int, count: int, told: np.ndarray) -> None:
    """Write the parities of the first ``count`` of ``num_blocks`` blocks of every frame, frame by frame, in a row.

    told: uint64 zeros, with a spare word.
    """
    for frame in range(trees.shape[0]):
        for first in range(0, count, 64):
            left = min(64, count - first)
            bits = bits_at(trees[frame, slot], num_blocks + first) & (~np.uint64(0) >> np.uint64(64 - left))
            append_bits(told, frame * count + first, bits)


@njit(cache=True, nogil=True)
def half_parities(leaves: np.ndarray, masks: np.ndarray, told: np.ndarray) -> None:
    """Write the parities of the halves of every frame, frame by frame, in a row.

    leaves: uint64, shape (num_frames, n / 64). masks: uint64, shape (num_masks, n / 64). told: uint64 zeros, with a
    spare word.
    """
    for frame in range(leaves.shape[0]):
        for number in range(masks.shape[0]):
            total = np.uint64(0)
            for w in range(masks.shape[1]):
                total ^= leaves[frame, w] & masks[number, w]
            append_bits(told, frame * masks.shape[0] + number, popcount(total) & _ONE)
