"""Planes: packed strings of bits as the kernels of sifting take them."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qanat.kernels import bitarrays
from qanat.postprocessing.records import ByteArray

WordArray: TypeAlias = NDArray[np.uint64]
"""A plane: lowest bit first, with a spare word or two at the end; zero beyond its bits."""


def planes_of_zeros(number: int, num_bits: int) -> WordArray:
    """Return so many planes of zeros, one per row."""
    return np.zeros((number, num_bits // 64 + 2), dtype=np.uint64)


def plane_of_zeros(num_bits: int) -> WordArray:
    return np.zeros(num_bits // 64 + 2, dtype=np.uint64)


def plane_of_bytes(packed: ByteArray) -> WordArray:
    """Return packed bits as a plane."""
    plane = plane_of_zeros(8 * packed.size)
    plane.view(np.uint8)[: packed.size] = packed
    return plane


def plane_of_column(column: NDArray[Any]) -> WordArray:
    """Return a column of zeros and ones as a plane."""
    plane = plane_of_zeros(column.size)
    bitarrays.pack_column(_plain(column), plane)
    return plane


def plane_of_equal(column: NDArray[Any], value: int) -> WordArray:
    """Return which entries of a column of bytes equal ``value``, as a plane."""
    plane = plane_of_zeros(column.size)
    bitarrays.pack_equal(_plain(column), value, plane)
    return plane


def _plain(column: NDArray[Any]) -> ByteArray:
    """Return a column as its kernels take it: bytes in a row, writable, so that they are compiled once."""
    return np.require(column, np.uint8, ["C", "W"])


def packed_bytes(plane: WordArray, num_bits: int) -> bytes:
    """Return the bits of a plane, packed."""
    return plane.view(np.uint8)[: (num_bits + 7) // 8].tobytes()


def clear_from(plane: WordArray, num_bits: int) -> None:
    """Set the bits of a plane from ``num_bits`` on to zero."""
    plane[num_bits >> 6] &= np.uint64((1 << (num_bits & 63)) - 1)
    plane[(num_bits >> 6) + 1 :] = 0
