"""What the loops of ``additive_transform`` are told: the additions of a change of basis, and maps of bits to values."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.kernels import byte_fields
from qanat.kernels.byte_emitter import Products, way_to_multiply


@functools.cache
def conversion_steps(log_size: int) -> NDArray[np.int64]:
    """Return the additions that take a polynomial of 2^log_size coefficients to the basis of Lin, Chung and Han.

    Rows of ``block, half, offset``: in every block of so many coefficients, from the last one down, coefficient i of
    the upper half is added to ``i - half + offset``. That is a division by ``x^(2^k) + x`` to a power of two.
    """
    steps: list[tuple[int, int, int]] = []

    def convert(log_part: int, stride: int) -> None:
        if log_part < 2:
            return
        k = 1 << (log_part - 1).bit_length() - 1
        for r in range(log_part, k, -1):
            steps.append((stride << r, stride << (r - 1), stride << (r - 1 - k)))
        convert(k, stride)
        convert(log_part - k, stride << k)

    convert(log_size, 1)
    return np.array(steps, dtype=np.int64).reshape(-1, 3)


def pack_map(
    matrix: Sequence[int], inputs: Callable[[int, int], int], outputs: Callable[[int, int], int]
) -> NDArray[np.uint64]:
    """Return a map over GF(2) as ``byte_vectors`` wants it: shape (inputs, turns, outputs, 8 matrices of 8 x 8 bits).

    ``inputs(vector, group)``: the first of eight columns; ``outputs`` likewise for rows.
    """
    num_inputs, num_rows = len(matrix) // 64, max(column.bit_length() for column in matrix)
    num_outputs = -(-num_rows // 64)
    packed = np.zeros((num_inputs, 8, num_outputs, 8), dtype=np.uint64)
    for vector, turn, target, group in np.ndindex(*packed.shape):
        first = inputs(vector, (group + turn) % 8)
        columns = [matrix[first + j] >> outputs(target, group) & 255 for j in range(8)]
        rows = byte_fields.transpose(columns, num_rows=8)
        packed[vector, turn, target, group] = sum(row << 8 * (7 - i) for i, row in enumerate(rows))
    return packed


def _word_bytes(vector: int, group: int) -> int:
    return 64 * vector + 8 * group


def _element_bytes(vector: int, group: int) -> int:
    return 16 * group + 8 * vector


def pack_tables(
    matrix: Sequence[int], inputs: Callable[[int, int], int], outputs: Callable[[int, int], int]
) -> NDArray[np.uint64]:
    """Return a map as ``byte_vectors`` wants it where bits are looked up: shape (inputs, groups, 256, outputs)."""
    num_inputs, num_rows = len(matrix) // 64, max(column.bit_length() for column in matrix)
    num_outputs = -(-num_rows // 64)
    tables = np.zeros((num_inputs, 8, 256, num_outputs), dtype=np.uint64)
    for vector, group, j in np.ndindex(num_inputs, 8, 8):
        column = matrix[inputs(vector, group) + j]
        words = [sum((column >> outputs(k, g) & 255) << 8 * g for g in range(8)) for k in range(num_outputs)]
        known = tables[vector, group]
        known[1 << j : 2 << j] = known[: 1 << j] ^ np.array(words, dtype=np.uint64)
    return tables


@functools.cache
def packed_maps() -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the maps of keys, windows and outputs."""
    pack = pack_tables if way_to_multiply() is Products.LOOKUP_256 else pack_map
    return (
        pack(byte_fields.key_map(), _word_bytes, _element_bytes),
        pack(byte_fields.window_map(), _word_bytes, _element_bytes),
        pack(byte_fields.output_map(), _element_bytes, _word_bytes),
    )
