"""Toeplitz hashing by carry-less multiplication, on tiles that are split three ways.

Splitting (Fan, Hasan, IEEE Trans. Comput. 56, 224, 2007): with a Toeplitz matrix of quarters ``T1 T0 / T2 T1``, the
products ``P0 = (T0 + T1) x1``, ``P1 = (T1 + T2) x0`` and ``P2 = T1 (x0 + x1)`` give ``y0 = P0 + P2``, ``y1 = P1 + P2``:
three of half the size in place of four. Every tile depends on its diagonal only, so each diagonal and each key tile is
split once, and sums over tiles are formed before the parts are put together again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from qanat.kernels import carryless
from qanat.kernels.packed_words import WordArray, place_bits

MAX_SPLITS = 10
CACHE_BYTES = 2**20
"""What is split breadth first must fit the processor's second-level cache."""

LeafProducts = Callable[[WordArray, WordArray, WordArray], None]


def hash_by_products(
    key: bytes,
    seed: bytes,
    *,
    num_key_bits: int,
    num_output_bits: int,
    leaf_products: LeafProducts,
    splits: int | None = None,
) -> bytes:
    """Return the hash by carry-less multiplication; see ``kernels.toeplitz``. ``splits``: how often a tile is halved.

    Key and output are filled up to whole tiles with zeros. The seed is shifted accordingly, and one bit more, so that
    word ``I`` of the output is word ``I + columns * tile`` of the product of seed and key.
    """
    key_words, output_words = -(-num_key_bits // 64), -(-num_output_bits // 64)
    if splits is None:
        splits = choose_splits(key_words, output_words)
    tile = carryless.LEAF_WORDS << splits
    columns, rows = -(-key_words // tile), -(-output_words // tile)
    shift = 64 * columns * tile - num_key_bits + 1
    diagonals = place_bits(seed, shift=shift, num_words=(rows + columns) * tile).reshape(rows + columns, tile)
    windows = np.concatenate((diagonals[:-1], diagonals[1:]), axis=1)
    output = _multiply(
        windows, place_bits(key, shift=0, num_words=columns * tile).reshape(columns, tile), splits, leaf_products
    )
    packed = output.reshape(-1).astype("<u8", copy=False).tobytes()[: (num_output_bits + 7) // 8]
    spare = 8 * len(packed) - num_output_bits
    return packed[:-1] + bytes([packed[-1] & (0xFF >> spare)])


def choose_splits(key_words: int, output_words: int) -> int:
    """Return the number of halvings with the least work: products of leaves against words to split and join."""

    def work(splits: int) -> float:
        tile = carryless.LEAF_WORDS << splits
        columns, rows = -(-key_words // tile), -(-output_words // tile)
        products: float = rows * columns * 3**splits * carryless.LEAF_WORDS * carryless.NUM_SUMS / 4
        return products + 3 * (3 * columns + 3 * rows) * tile * 1.5**splits

    return min(range(MAX_SPLITS + 1), key=work)


def _multiply(windows: WordArray, keys: WordArray, splits: int, leaf_products: LeafProducts) -> WordArray:
    """Return the output tiles, shape (rows, tile), of windows (rows + columns - 1, 2 tile) and keys (columns, tile).

    Large problems go depth first, so that what is split stays in the cache until it is used.
    """
    if splits and windows.nbytes * 1.5**splits > CACHE_BYTES:
        thirds = zip(_halve_windows(windows[None]), _halve_keys(keys[None]), strict=True)
        outputs = [_multiply(window, key, splits - 1, leaf_products) for window, key in thirds]
        joined: WordArray = _join(np.stack(outputs))[0]
        return joined
    parts, columns = windows[None], keys[None]
    for _ in range(splits):
        parts, columns = _halve_windows(parts), _halve_keys(columns)
    rows = windows.shape[0] - keys.shape[0] + 1
    output = np.empty((parts.shape[0], rows, carryless.LEAF_WORDS), dtype=np.uint64)
    leaf_products(np.ascontiguousarray(parts), np.ascontiguousarray(columns[..., ::-1]), output)
    for _ in range(splits):
        output = _join(output)
    tiles: WordArray = output[0]
    return tiles


def _halve_windows(windows: WordArray) -> WordArray:
    """Split windows (parts, number, 2 tile) into those of tiles of half the size, (3 parts, number, tile)."""
    parts, number, size = windows.shape
    quarter = size // 4
    upper, middle, lower = (windows[..., at : at + 2 * quarter] for at in (0, quarter, 2 * quarter))
    thirds = np.empty((parts, 3, number, 2 * quarter), dtype=np.uint64)
    np.bitwise_xor(upper, middle, out=thirds[:, 0])
    np.bitwise_xor(middle, lower, out=thirds[:, 1])
    thirds[:, 2] = middle
    return thirds.reshape(3 * parts, number, 2 * quarter)


def _halve_keys(keys: WordArray) -> WordArray:
    """Split key tiles (parts, columns, tile) into (3 parts, columns, tile / 2)."""
    parts, columns, size = keys.shape
    first, second = keys[..., : size // 2], keys[..., size // 2 :]
    return np.stack((second, first, first ^ second), axis=1).reshape(3 * parts, columns, size // 2)


def _join(outputs: WordArray) -> WordArray:
    """Join outputs (3 parts, rows, tile / 2) to (parts, rows, tile)."""
    thirds = outputs.reshape(-1, 3, *outputs.shape[1:])
    return np.concatenate((thirds[:, 0] ^ thirds[:, 2], thirds[:, 1] ^ thirds[:, 2]), axis=2)
