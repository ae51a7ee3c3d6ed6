"""Toeplitz hashing of packed bits: the product of a key and a Toeplitz matrix over GF(2).

``y[i] = xor over j of seed[i - j + n - 1] & key[j]`` for n key bits and l output bits; the seed has n + l - 1 bits, one
per diagonal. Bits are packed lowest first. Three ways to the same bits, chosen by what the processor can do:

- carry-less multiplication in 512-bit or 128-bit registers, on tiles that are split three ways (``hash_by_products``);
- fast Fourier transforms in double precision, everywhere (``hash_by_transform``).

Splitting (Fan, Hasan, IEEE Trans. Comput. 56, 224, 2007): with a Toeplitz matrix of quarters ``T1 T0 / T2 T1``, the
products ``P0 = (T0 + T1) x1``, ``P1 = (T1 + T2) x0`` and ``P2 = T1 (x0 + x1)`` give ``y0 = P0 + P2``, ``y1 = P1 + P2``:
three of half the size in place of four. Every tile depends on its diagonal only, so each diagonal and each key tile is
split once, and sums over tiles are formed before the parts are put together again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from qanat.kernels import carryless

MAX_KEY_BITS = 2**31
TRANSFORM_TILE_BITS = 2**17
MAX_ROUNDING_ERROR = 0.25
MAX_SPLITS = 10
CACHE_BYTES = 2**20
"""What is split breadth first must fit the processor's second-level cache."""

WordArray = NDArray[np.uint64]
LeafProducts = Callable[[WordArray, WordArray, WordArray], None]


def toeplitz_hash(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> bytes:
    """Return the Toeplitz hash of a key: ``num_output_bits`` bits, packed.

    key: ``num_key_bits`` packed bits, secret. seed: ``num_key_bits + num_output_bits - 1`` packed bits, public. Unused
    bits of a last byte must be zero. Raises ValueError when sizes do not fit, ArithmeticError when the machine's
    floating point fails a check.
    """
    check_sizes(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)
    leaf_products = find_leaf_products()
    if leaf_products is None:
        return hash_by_transform(key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits)
    return hash_by_products(
        key, seed, num_key_bits=num_key_bits, num_output_bits=num_output_bits, leaf_products=leaf_products
    )


def find_leaf_products() -> LeafProducts | None:
    """Return the fastest carry-less kernel that this processor runs, or None."""
    kernels: dict[int, LeafProducts] = {512: carryless.leaf_products_512, 128: carryless.leaf_products_128}
    return kernels.get(carryless.widest_registers())


def check_sizes(key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int) -> None:
    """Raise ValueError unless key and seed have just the bits that they should have."""
    if not 1 <= num_key_bits <= MAX_KEY_BITS or not 1 <= num_output_bits <= MAX_KEY_BITS:
        raise ValueError(f"key and output have 1 to 2^31 bits, got {num_key_bits} and {num_output_bits}")
    for name, data, num_bits in (("key", key, num_key_bits), ("seed", seed, num_key_bits + num_output_bits - 1)):
        if len(data) != (num_bits + 7) // 8:
            raise ValueError(f"a {name} of {num_bits} bits has {(num_bits + 7) // 8} bytes, got {len(data)}")
        if num_bits % 8 and data[-1] >> (num_bits % 8):
            raise ValueError(f"the unused bits of the {name}'s last byte are not zero")


def hash_by_products(
    key: bytes,
    seed: bytes,
    *,
    num_key_bits: int,
    num_output_bits: int,
    leaf_products: LeafProducts,
    splits: int | None = None,
) -> bytes:
    """Return the hash by carry-less multiplication; see ``toeplitz_hash``. ``splits``: how often a tile is halved.

    Key and output are filled up to whole tiles with zeros. The seed is shifted accordingly, and one bit more, so that
    word ``I`` of the output is word ``I + columns * tile`` of the product of seed and key.
    """
    key_words, output_words = -(-num_key_bits // 64), -(-num_output_bits // 64)
    if splits is None:
        splits = choose_splits(key_words, output_words)
    tile = carryless.LEAF_WORDS << splits
    columns, rows = -(-key_words // tile), -(-output_words // tile)
    shift = 64 * columns * tile - num_key_bits + 1
    diagonals = _words(seed, shift, (rows + columns) * tile).reshape(rows + columns, tile)
    windows = np.concatenate((diagonals[:-1], diagonals[1:]), axis=1)
    output = _multiply(windows, _words(key, 0, columns * tile).reshape(columns, tile), splits, leaf_products)
    packed = output.reshape(-1).astype("<u8", copy=False).tobytes()[: (num_output_bits + 7) // 8]
    spare = 8 * len(packed) - num_output_bits
    return packed[:-1] + bytes([packed[-1] & (0xFF >> spare)])


def choose_splits(key_words: int, output_words: int) -> int:
    """Return the number of halvings with the least work: products of leaves against words to split and join."""

    def work(splits: int) -> float:
        tile = carryless.LEAF_WORDS << splits
        columns, rows = -(-key_words // tile), -(-output_words // tile)
        products = rows * columns * 3**splits * carryless.LEAF_WORDS * carryless.NUM_SUMS / 4
        return products + 3 * (3 * columns + 3 * rows) * tile * 1.5**splits

    return min(range(MAX_SPLITS + 1), key=work)


def _words(packed: bytes, shift: int, num_words: int) -> WordArray:
    """Return packed bits, moved up by ``shift`` places, as words; what lies beyond is dropped."""
    number = int.from_bytes(packed, "little") << shift
    data = bytearray(number.to_bytes(max(8 * num_words, (number.bit_length() + 7) // 8), "little"))
    return np.frombuffer(data, dtype="<u8", count=num_words).astype(np.uint64, copy=False)


def _multiply(windows: WordArray, keys: WordArray, splits: int, leaf_products: LeafProducts) -> WordArray:
    """Return the output tiles, shape (rows, tile), of windows (rows + columns - 1, 2 tile) and keys (columns, tile).

    Large problems go depth first, so that what is split stays in the cache until it is used.
    """
    if splits and windows.nbytes * 1.5**splits > CACHE_BYTES:
        thirds = zip(_halve_windows(windows[None]), _halve_keys(keys[None]), strict=True)
        outputs = [_multiply(window, key, splits - 1, leaf_products) for window, key in thirds]
        return _join(np.stack(outputs))[0]
    parts, columns = windows[None], keys[None]
    for _ in range(splits):
        parts, columns = _halve_windows(parts), _halve_keys(columns)
    rows = windows.shape[0] - keys.shape[0] + 1
    output = np.empty((parts.shape[0], rows, carryless.LEAF_WORDS), dtype=np.uint64)
    leaf_products(np.ascontiguousarray(parts), np.ascontiguousarray(columns[..., ::-1]), output)
    for _ in range(splits):
        output = _join(output)
    return output[0]


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


def hash_by_transform(
    key: bytes, seed: bytes, *, num_key_bits: int, num_output_bits: int, tile_bits: int = TRANSFORM_TILE_BITS
) -> bytes:
    """Return the hash by Fourier transforms of some ``2 * tile_bits`` points; see ``toeplitz_hash``.

    Exactness: a sum counts at most n ones. In double precision its error is some ``2^-53 log2(tile_bits) n``, below
    1e-6 at n = 10^8, far from the 1/2 that rounding needs; it is checked all the same.
    """
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
