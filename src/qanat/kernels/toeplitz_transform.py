"""Toeplitz hashing by Fourier transforms in double precision, which every machine can do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRANSFORM_TILE_BITS = 2**17
MAX_ROUNDING_ERROR = 0.25


def hash_by_transform(
    key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int, tile_bits: int = TRANSFORM_TILE_BITS
) -> bytes:
    """Return the hash by Fourier transforms of some ``2 * tile_bits`` points; see ``kernels.toeplitz``.

    Exactness: a transform of N points changes a vector by at most ``7e-16 log2(N)`` of its length (Higham, Accuracy and
    Stability of Numerical Algorithms, 2nd ed., theorem 24.2, with twiddles good to the last place). Three transforms of
    tiles of zeros and ones err by at most ``3 * 7e-16 * 18 * 1.5 n`` in a sum: 6e-6 at n = 10^8, 2e-4 at 2^31, far from
    the 1/2 that rounding needs. It is checked all the same: a result further than 1/4 from a whole number is refused.
    """
    tile = min(tile_bits, max(num_key_bits, num_output_bits))
    columns, rows = -(-num_key_bits // tile), -(-num_output_bits // tile)
    points = _quick_size(2 * tile - 1)
    key_parts = [_spectrum(_slice(key, j * tile, (j + 1) * tile, num_key_bits), points) for j in range(columns)]
    sums = [np.zeros(points // 2 + 1, dtype=np.complex128) for _ in range(rows)]
    for diagonal in range(1 - columns, rows):
        first = num_key_bits + (diagonal - 1) * tile
        window = _slice(seed, first, first + 2 * tile - 1, num_key_bits + num_output_bits - 1)
        part = _spectrum(window, points)
        for row in range(max(0, diagonal), min(rows, columns + diagonal)):
            sums[row] += part * key_parts[row - diagonal]
    bits = np.concatenate([_parities(total, points, tile) for total in sums])[:num_output_bits]
    return np.packbits(bits, bitorder="little").tobytes()


def _quick_size(least: int) -> int:
    """Return an even number of points from ``least`` on that a transform splits into twos, threes and fives."""
    return min(odd << max(1, (-(-least // odd) - 1).bit_length()) for odd in (1, 3, 5, 9, 15))


def _slice(packed: bytes, start: int, stop: int, num_bits: int) -> NDArray[np.uint8]:
    """Return bits ``start`` to ``stop`` - 1 of a packed string, zero where it has none; uint8, 0 or 1."""
    low, high = max(start, 0), min(stop, num_bits)
    out = np.zeros(stop - start, dtype=np.uint8)
    if low < high:
        section = np.frombuffer(packed, dtype=np.uint8)[low // 8 : (high + 7) // 8]
        bits = np.unpackbits(section, bitorder="little")
        out[low - start : high - start] = bits[low % 8 : low % 8 + high - low]
    return out


def _spectrum(bits: NDArray[np.uint8], points: int) -> NDArray[np.complex128]:
    transformed: NDArray[np.complex128] = np.fft.rfft(bits.astype(np.float64), points)
    return transformed


def _parities(total: NDArray[np.complex128], points: int, tile: int) -> NDArray[np.uint8]:
    """Return the parities of one tile of output: places tile - 1 to 2 tile - 2 of the product, never wrapped."""
    product = np.fft.irfft(total, points)[tile - 1 : 2 * tile - 1]
    counts = np.rint(product)
    if float(np.abs(product - counts).max()) > MAX_ROUNDING_ERROR:
        raise ArithmeticError("a Fourier transform lost more than a quarter: floating point does not work as it should")
    return (counts.astype(np.int64) & 1).astype(np.uint8)
