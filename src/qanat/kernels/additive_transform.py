"""Products of Toeplitz tiles and keys by additive Fourier transforms over the field of 2^16 elements.

Words of 64 bits are coefficients of a polynomial in y; each is a polynomial in x of its own, told by its values at
eight elements (``byte_fields.channel_points``). So a tile of bits is eight polynomials in y over the field, evaluated
at the sums of ``v_0 .. v_(m-1)`` in the basis of Lin, Chung and Han (FOCS 2014), where a transform of 2^m points is m
layers of butterflies whose twiddles are bytes in all but a few layers.

A product with a Toeplitz matrix is the transpose of a product of polynomials (Hanrot, Quercia, Zimmermann, AAECC 14,
415, 2004): windows of two tiles go through the transpose of interpolation, sums of products through the transpose of
evaluation, and transforms need as many points as a window has words, where a product has half as many more. Eight tiles
go side by side, so that every step is one of whole vectors.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels import byte_fields, byte_vectors
from qanat.kernels.byte_vectors import ROW_BYTES

STRIP = 8
"""Tiles side by side."""


@njit(cache=True, nogil=True)
def convert(rows: np.ndarray, steps: np.ndarray) -> None:
    """Take rows (size, vectors of 8 words) to the other basis by the steps of ``conversion_steps``."""
    width = rows.shape[1] // 8
    row = 8 * rows.shape[1]
    for s in range(steps.shape[0]):
        block, half, offset = steps[s]
        for first in range(0, rows.shape[0], block):
            low = rows.ctypes.data + row * first
            high = low + row * half
            byte_vectors.add_vectors(high, high + row * (half - offset), width * offset)
            byte_vectors.add_vectors(low + row * offset, high, width * (half - offset))


@njit(cache=True, nogil=True)
def convert_inverse_transposed(rows: np.ndarray, steps: np.ndarray) -> None:
    """The inverse of the transpose of ``convert``."""
    width = rows.shape[1] // 8
    row = 8 * rows.shape[1]
    for s in range(steps.shape[0]):
        block, half, offset = steps[s]
        for first in range(0, rows.shape[0], block):
            low = rows.ctypes.data + row * first
            high = low + row * half
            byte_vectors.add_vectors(high + row * (half - offset), high, width * offset)
            byte_vectors.add_vectors(high, low + row * offset, width * (half - offset))


@njit(cache=True, nogil=True)
def convert_transposed(rows: np.ndarray, steps: np.ndarray) -> None:
    """The transpose of ``convert``."""
    width = rows.shape[1] // 8
    row = 8 * rows.shape[1]
    for s in range(steps.shape[0] - 1, -1, -1):
        block, half, offset = steps[s]
        for first in range(0, rows.shape[0], block):
            low = rows.ctypes.data + row * first
            high = low + row * half
            byte_vectors.add_vectors(high, low + row * offset, width * (half - offset))
            byte_vectors.add_vectors(high + row * (half - offset), high, width * offset)


@njit(cache=True, nogil=True)
def evaluate(rows: np.ndarray, twiddles: np.ndarray) -> None:
    """Evaluate polynomials of which the upper half is zero; rows (2^m, 16 words), in place."""
    size = rows.shape[0]
    base, table = rows.ctypes.data, twiddles.ctypes.data
    quarter = size // 4
    is_odd = quarter & 0x5555555555555555 == 0  # an odd number of layers: the first one copies
    for k in range(size // 2):
        for word in range(2 * STRIP):
            rows[size // 2 + k, word] = rows[k, word] if is_odd else np.uint64(0)
    if is_odd:
        quarter //= 2
    while quarter:
        step = ROW_BYTES * quarter
        for block in range(size // (4 * quarter)):
            if 2 * block + 1 < byte_fields.SMALL_TWIDDLES:
                byte_vectors.evaluate_small(base + 4 * step * block, step, quarter, table, block)
            else:
                byte_vectors.evaluate_large(base + 4 * step * block, step, quarter, table, block)
        quarter //= 4


@njit(cache=True, nogil=True)
def interpolate_transposed(rows: np.ndarray, twiddles: np.ndarray) -> None:
    """Apply the transpose of interpolation to rows (2^m, 16 words), in place."""
    size = rows.shape[0]
    base, table = rows.ctypes.data, twiddles.ctypes.data
    quarter = size // 4
    if quarter & 0x5555555555555555 == 0:
        byte_vectors.add_vectors(base, base + ROW_BYTES * (size // 2), size)
        quarter //= 2
    while quarter:
        step = ROW_BYTES * quarter
        for block in range(size // (4 * quarter)):
            if 2 * block + 1 < byte_fields.SMALL_TWIDDLES:
                byte_vectors.interpolate_transposed_small(base + 4 * step * block, step, quarter, table, block)
            else:
                byte_vectors.interpolate_transposed_large(base + 4 * step * block, step, quarter, table, block)
        quarter //= 4


@njit(cache=True, nogil=True)
def evaluate_transposed(rows: np.ndarray, twiddles: np.ndarray) -> None:
    """Apply the transpose of evaluation to rows (2^m, 16 words), in place; only the lower half is whole."""
    size = rows.shape[0]
    base, table = rows.ctypes.data, twiddles.ctypes.data
    quarter = 1
    while 4 * quarter <= size:
        step = ROW_BYTES * quarter
        for block in range(size // (4 * quarter)):
            if 2 * block + 1 < byte_fields.SMALL_TWIDDLES:
                byte_vectors.evaluate_transposed_small(base + 4 * step * block, step, quarter, table, block)
            else:
                byte_vectors.evaluate_transposed_large(base + 4 * step * block, step, quarter, table, block)
        quarter *= 4
    if 2 * quarter == size:
        byte_vectors.add_vectors(base, base + ROW_BYTES * (size // 2), size)


@njit(cache=True, nogil=True)
def transform_keys(
    words: np.ndarray,
    spectra: np.ndarray,
    raw: np.ndarray,
    rows: np.ndarray,
    key_map: np.ndarray,
    steps: np.ndarray,
    twiddles: np.ndarray,
) -> None:
    """Transform key tiles.

    words: the key. spectra: uint64, shape (points, strips, 16), overwritten. Tile c is the c-th from the end of the
    key filled up with zeros, last word first.
    """
    size, num_strips = spectra.shape[0], spectra.shape[1]
    tile = size // 2
    last = num_strips * STRIP * tile - 1
    for strip in range(num_strips):
        for lane in range(STRIP):
            first = last - (STRIP * strip + lane) * tile
            for k in range(tile):
                place = first - k
                raw[k, lane] = words[place] if place < words.size else np.uint64(0)
        convert(raw, steps)
        byte_vectors.map_key(raw.ctypes.data, rows.ctypes.data, tile, key_map.ctypes.data)
        evaluate(rows, twiddles)
        for point in range(size):
            for word in range(2 * STRIP):
                spectra[point, strip, word] = rows[point, word]


@njit(cache=True, nogil=True)
def transform_windows(
    words: np.ndarray,
    spectra: np.ndarray,
    rows: np.ndarray,
    window_map: np.ndarray,
    steps: np.ndarray,
    twiddles: np.ndarray,
) -> None:
    """Transform windows of two tiles, one at every tile of the seed.

    words: the seed, with a word to spare. spectra: uint64, shape (points, 2, 8 strips), low bytes and high bytes,
    overwritten.
    """
    size = spectra.shape[0]
    tile = size // 2
    for strip in range(spectra.shape[2] // STRIP):
        for lane in range(STRIP):
            first = (STRIP * strip + lane) * tile
            for k in range(size):
                place = first + k
                rows[k, lane] = words[place] if place < words.size else np.uint64(0)
                rows[k, STRIP + lane] = words[place + 1] if place + 1 < words.size else np.uint64(0)
        convert_inverse_transposed(rows, steps)
        byte_vectors.map_window(rows.ctypes.data, rows.ctypes.data, size, window_map.ctypes.data)
        interpolate_transposed(rows, twiddles)
        for point in range(size):
            for word in range(STRIP):
                spectra[point, 0, STRIP * strip + word] = rows[point, word]
                spectra[point, 1, STRIP * strip + word] = rows[point, STRIP + word]


@njit(cache=True, nogil=True)
def multiply_spectra(windows: np.ndarray, keys: np.ndarray, sums: np.ndarray, constant: np.ndarray) -> None:
    """Add up, for every row of tiles, the products of its windows with the keys.

    windows, keys: as above. sums: uint64, shape (strips, points, 16), overwritten. constant: uint64, 8 words of ``c``.
    """
    num_strips = keys.shape[1]
    low_bytes = 8 * windows.shape[2]
    for point in range(keys.shape[0]):
        for strip in range(sums.shape[0]):
            window = windows.ctypes.data + 2 * low_bytes * point + 8 * STRIP * strip
            key = keys.ctypes.data + ROW_BYTES * num_strips * point
            target = sums.ctypes.data + ROW_BYTES * (keys.shape[0] * strip + point)
            for lane in range(STRIP):
                byte_vectors.sum_products(
                    window + 8 * lane,
                    window + low_bytes + 8 * lane,
                    key,
                    num_strips,
                    constant.ctypes.data,
                    target + 8 * lane,
                    target + 64 + 8 * lane,
                )


@njit(cache=True, nogil=True)
def transform_sums(
    sums: np.ndarray,
    output: np.ndarray,
    raw: np.ndarray,
    output_map: np.ndarray,
    steps: np.ndarray,
    twiddles: np.ndarray,
) -> None:
    """Transform sums back to words of output; ``sums`` is used up. output: uint64, shape (tiles, words of a tile)."""
    tile = sums.shape[1] // 2
    for strip in range(sums.shape[0]):
        evaluate_transposed(sums[strip], twiddles)
        byte_vectors.map_output(sums[strip].ctypes.data, raw.ctypes.data, tile, output_map.ctypes.data)
        convert_transposed(raw, steps)
        for lane in range(min(STRIP, output.shape[0] - STRIP * strip)):
            for k in range(tile):
                output[STRIP * strip + lane, k] = raw[k, lane]
