"""Toeplitz hashing by additive Fourier transforms, made of products of bytes in GF(2^8).

Key and matrix are cut into square tiles. Every tile of the key and every diagonal of tiles is transformed once, sums of
products are formed point by point, and every row of tiles is transformed back (``kernels.additive_transform``).
"""

from __future__ import annotations

import math

import numpy as np

from qanat.kernels import byte_fields
from qanat.kernels.additive_tables import conversion_steps, packed_maps
from qanat.kernels.additive_transform import (
    STRIP,
    multiply_spectra,
    transform_keys,
    transform_sums,
    transform_windows,
)
from qanat.kernels.byte_emitter import Products, way_to_multiply
from qanat.kernels.packed_words import WordArray, place_bits

MIN_LOG_POINTS = 3
MAX_LOG_POINTS = 16
"""The field has no more points."""
LINE_WORDS = 8
SMALL_WORDS = 2**17
LARGE_PAGES_FROM_WORDS = 2**19


def hash_by_bytes(
    key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int, log_points: int | None = None
) -> bytes:
    """Return the hash; see ``kernels.toeplitz``. ``log_points``: transforms have 2^log_points points, tiles half of
    that in words.

    With the key filled up with zeros to whole strips of tiles and reversed, output bit i is the sum over q of key bit q
    and seed bit ``i + q``, the seed moved up by as many places as the key has been filled up by.
    """
    if log_points is None:
        log_points = choose_log_points(num_key_bits, num_output_bits)
    tile_bits = 64 << (log_points - 1)
    num_columns = STRIP * -(-num_key_bits // (STRIP * tile_bits))
    num_rows = -(-num_output_bits // tile_bits)
    output = hash_words(
        place_bits(key, shift=0),
        place_bits(seed, shift=num_columns * tile_bits - num_key_bits),
        num_columns=num_columns,
        num_rows=num_rows,
        log_points=log_points,
    )
    packed = output.reshape(-1).view(np.uint8)[: (num_output_bits + 7) // 8]
    packed[-1] &= 0xFF >> (8 * packed.size - num_output_bits)
    return packed.tobytes()


def choose_log_points(num_key_bits: int, num_output_bits: int) -> int:
    """Return the logarithm of the number of points that takes the least time.

    Weights are nanoseconds per point, measured on one core of an AMD EPYC of 2024: of transforms per strip, and of
    products per vector of 64 bytes.
    """
    scale, product_ns = (2.2, 25.0) if way_to_multiply() is Products.LOOKUP_256 else (1.0, 1.0)

    def time_ns(log_points: int) -> float:
        strip_bits = STRIP * 64 << (log_points - 1)
        columns, rows = -(-num_key_bits // strip_bits), -(-num_output_bits // strip_bits)
        transforms = scale * (49 * columns + 45 * rows) * (6 + log_points) / 15
        return (transforms + product_ns * STRIP * rows * (columns + 1)) * (1 << log_points)

    return min(range(MIN_LOG_POINTS, MAX_LOG_POINTS + 1), key=time_ns)


def hash_words(key: WordArray, seed: WordArray, *, num_columns: int, num_rows: int, log_points: int) -> WordArray:
    """Return the output words, shape (num_rows, tile), of a Toeplitz matrix of tiles.

    key: words of the key. seed: diagonals, so shifted that output bit i is the sum over q of seed bit ``i + q`` and bit
    q of the key reversed, after it is filled up with zeros to ``num_columns`` tiles of ``2^(log_points - 1)`` words.
    num_columns: a multiple of STRIP.
    """
    size = 1 << log_points
    steps, half_steps = conversion_steps(log_points), conversion_steps(log_points - 1)
    twiddles = byte_fields.twiddles(log_points - 1)
    key_map, window_map, output_map = packed_maps()
    column_strips, row_strips = num_columns // STRIP, -(-num_rows // STRIP)
    keys, windows, sums, rows, raw, constant = reserve(
        (size, column_strips, 2 * STRIP),
        (size, 2, STRIP * (column_strips + row_strips)),
        (row_strips, size, 2 * STRIP),
        (size, 2 * STRIP),
        (size // 2, STRIP),
        (STRIP,),
    )
    constant[:] = byte_fields.byte_chain()[7] * 0x0101010101010101
    transform_keys(key, keys, raw, rows, key_map, half_steps, twiddles)
    transform_windows(seed, windows, rows, window_map, steps, twiddles)
    multiply_spectra(windows, keys, sums, constant)
    output = np.empty((num_rows, size // 2), dtype=np.uint64)
    transform_sums(sums, output, raw, output_map, half_steps, twiddles)
    return output


def reserve(*shapes: tuple[int, ...]) -> list[WordArray]:
    """Return arrays of words of these shapes, each at the beginning of a line of the cache, in one piece of memory.

    NumPy asks for large pages from 4 MiB on, which is several times faster where the piece is new.
    """
    sizes = [-(-math.prod(shape) // LINE_WORDS) * LINE_WORDS for shape in shapes]
    total = sum(sizes) + LINE_WORDS
    piece = np.empty(max(total, LARGE_PAGES_FROM_WORDS) if total > SMALL_WORDS else total, dtype=np.uint64)
    at = -(piece.ctypes.data // 8) % LINE_WORDS
    arrays = []
    for shape, size in zip(shapes, sizes, strict=True):
        arrays.append(piece[at : at + math.prod(shape)].reshape(shape))
        at += size
    return arrays
