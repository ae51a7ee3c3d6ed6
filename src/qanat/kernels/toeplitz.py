"""Toeplitz hashing of packed bits: the product of a key and a Toeplitz matrix over GF(2).

``y[i] = xor over j of seed[i - j + n - 1] & key[j]`` for n key bits and l output bits; the seed has n + l - 1 bits, one
per diagonal. That is the middle of the product of two polynomials. Bits are packed lowest first.

This tier multiplies by fast Fourier transforms. Key and output are cut into tiles of TILE_BITS; each tile of the
matrix depends on its diagonal only, so every key tile and every diagonal is transformed once, and sums are formed
before the way back. Exactness: a sum counts at most n ones. In double precision its error is some
``2^-53 log2(TILE_BITS) n``, below 1e-6 at n = 10^8, far from the 1/2 that rounding needs; it is checked all the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft

TILE_BITS = 2**18
MAX_ROUNDING_ERROR = 0.25
MAX_KEY_BITS = 2**31
"""Beyond, rounding is no longer far from its limit."""


def toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return the Toeplitz hash of a key: ``num_output_bits`` bits, packed.

    key: ``num_key_bits`` packed bits, secret. seed: ``num_key_bits + num_output_bits - 1`` packed bits, public. Unused
    bits of a last byte must be zero. Raises ValueError when sizes do not fit, ArithmeticError when the machine's
    floating point fails the check.
    """
    check_sizes(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)
    return hash_by_transform(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)


def check_sizes(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> None:
    """Raise ValueError unless key and seed have just the bits that they should have."""
    if not 1 <= num_key_bits <= MAX_KEY_BITS or not 1 <= num_output_bits <= MAX_KEY_BITS:
        raise ValueError(f"key and output have 1 to 2^31 bits, got {num_key_bits} and {num_output_bits}")
    for name, data, num_bits in (("key", key, num_key_bits), ("seed", seed, num_key_bits + num_output_bits - 1)):
        if len(data) != (num_bits + 7) // 8:
            raise ValueError(f"a {name} of {num_bits} bits has {(num_bits + 7) // 8} bytes, got {len(data)}")
        if num_bits % 8 and data[-1] >> (num_bits % 8):
            raise ValueError(f"the unused bits of the {name}'s last byte are not zero")


def hash_by_transform(
    key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int, tile_bits: int = TILE_BITS
) -> bytes:
    """Return the hash by Fourier transforms of twice ``tile_bits`` points; see ``toeplitz_hash``."""
    tile = min(tile_bits, max(num_key_bits, num_output_bits))
    columns, rows = -(-num_key_bits // tile), -(-num_output_bits // tile)
    points = fft.next_fast_len(2 * tile - 1, real=True)
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
    transformed: NDArray[np.complex128] = fft.rfft(bits.astype(np.float64), points)
    return transformed


def _parities(total: NDArray[np.complex128], points: int, tile: int) -> NDArray[np.uint8]:
    """Return the parities of one tile of output: places tile - 1 to 2 tile - 2 of the product, never wrapped."""
    product = fft.irfft(total, points)[tile - 1 : 2 * tile - 1]
    counts = np.rint(product)
    if float(np.abs(product - counts).max()) > MAX_ROUNDING_ERROR:
        raise ArithmeticError("a Fourier transform lost more than a quarter: floating point does not work as it should")
    return (counts.astype(np.int64) & 1).astype(np.uint8)
