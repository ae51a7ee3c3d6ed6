"""The field of 2^16 elements over that of 2^8, and the constants of transforms over it.

An element is ``low + high u`` with bytes low and high: bit i of a number below 2^16 is bit i of the low byte, bit 8 + i
that of the high byte. Bytes multiply modulo ``x^8 + x^4 + x^3 + x + 1``, as the processor's instruction does, and
``u^2 = u + c``. The *chain* ``v_0 = 1, v_i^2 + v_i = v_(i-1)`` (Cantor, J. Comb. Theory A 50, 285, 1989) is a basis
over GF(2); its first eight elements span the bytes, ``c`` is the eighth and ``u`` the ninth.

Matrices over GF(2) are lists of columns; a column is an integer whose bit i is row i.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

ELEMENT_BITS: Final = 16
BYTE_MODULUS: Final = 0x11B
SEGMENT_BITS: Final = 64
"""Bits of a polynomial over GF(2) that become one coefficient."""
CHANNELS: Final = 2 * SEGMENT_BITS // ELEMENT_BITS
"""Elements at which a segment is evaluated; as many as tell a product of two segments."""
SMALL_TWIDDLES: Final = 128
"""Twiddles of a lower index are bytes."""

Matrix = list[int]


def multiply_bytes(left: int, right: int) -> int:
    """Return the product of two bytes."""
    product = 0
    for bit in range(8):
        if right >> bit & 1:
            product ^= left << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= BYTE_MODULUS << (bit - 8)
    return product


@functools.cache
def byte_chain() -> tuple[int, ...]:
    """Return ``v_0`` to ``v_7``."""
    chain = [1]
    while len(chain) < 8:
        chain.append(next(x for x in range(2, 256) if multiply_bytes(x, x) ^ x == chain[-1]))
    return tuple(chain)


def multiply(left: int, right: int) -> int:
    """Return the product of two elements."""
    low, high = multiply_bytes(left & 255, right & 255), multiply_bytes(left >> 8, right >> 8)
    both = multiply_bytes(left & 255 ^ left >> 8, right & 255 ^ right >> 8)
    return low ^ multiply_bytes(high, byte_chain()[7]) | (both ^ low) << 8


@functools.cache
def chain() -> tuple[int, ...]:
    """Return ``v_0`` to ``v_15``, each the solution of a linear equation: squaring is linear over GF(2)."""
    columns = [multiply(1 << bit, 1 << bit) ^ 1 << bit for bit in range(ELEMENT_BITS)]
    elements = [*byte_chain()]
    while len(elements) < ELEMENT_BITS:
        elements.append(0x100 if len(elements) == 8 else _solve(columns, elements[-1]))
    return tuple(elements)


def _solve(columns: Sequence[int], target: int) -> int:
    """Return a set of columns, as bits, whose sum is the target; ValueError when there is none."""
    reduced: dict[int, tuple[int, int]] = {}
    chosen = 0
    for index, column in enumerate(columns):
        rest, used = column, 1 << index
        while rest and rest.bit_length() in reduced:
            pivot, pivot_used = reduced[rest.bit_length()]
            rest, used = rest ^ pivot, used ^ pivot_used
        if rest:
            reduced[rest.bit_length()] = (rest, used)
    while target:
        pivot, pivot_used = reduced.get(target.bit_length(), (0, 0))
        if not pivot:
            raise ValueError("the equation has no solution")
        target, chosen = target ^ pivot, chosen ^ pivot_used
    return chosen


@functools.cache
def channel_points() -> tuple[int, ...]:
    """Return CHANNELS elements of degree 16 over GF(2), no two of them conjugate.

    A polynomial over GF(2) of degree below ``16 CHANNELS`` is told by its values there: conjugates give conjugates.
    """
    points: list[int] = []
    seen: set[int] = set()
    candidate = 0x100
    while len(points) < CHANNELS:
        orbit = [candidate]
        while (square := multiply(orbit[-1], orbit[-1])) != candidate:
            orbit.append(square)
        if len(orbit) == ELEMENT_BITS and candidate not in seen:
            points.append(candidate)
            seen.update(orbit)
        candidate += 1
    return tuple(points)


@functools.cache
def twiddles(log_size: int) -> NDArray[np.uint32]:
    """Return constants to multiply by ``w_B``, the sum of ``v_(t+1)`` over the bits t of B; shape (2^log_size, 4).

    A row has the bytes ``w0, w1, c w1, w0 + w1`` of ``w = w0 + w1 u``, each four times in a word: the product with
    ``low + high u`` is ``w0 low + c w1 high`` and ``w1 low + (w0 + w1) high``.
    """
    rows = np.zeros((1, 4), dtype=np.uint32)
    for element in chain()[1 : log_size + 1]:
        low, high = element & 255, element >> 8
        row = np.array([low, high, multiply_bytes(high, byte_chain()[7]), low ^ high], dtype=np.uint32)
        rows = np.concatenate((rows, rows ^ row * np.uint32(0x01010101)))
    return rows


def half_byte_products() -> bytes:
    """Return, for each byte, its products with 0 to 15 and with 0, 16, 32 to 240."""
    return bytes(multiply_bytes(byte, half << shift) for byte in range(256) for shift in (0, 4) for half in range(16))


@functools.cache
def evaluation() -> Matrix:
    """Return the values at the channel points, 16 bits each, of the powers of x below ``2 SEGMENT_BITS``."""
    columns, powers = [], [1] * CHANNELS
    for _ in range(2 * SEGMENT_BITS):
        columns.append(sum(value << ELEMENT_BITS * j for j, value in enumerate(powers)))
        powers = [multiply(value, point) for value, point in zip(powers, channel_points(), strict=True)]
    return columns


def trace_form() -> Matrix:
    """Return the matrix of the trace of products, channel by channel."""
    traced = sum(_trace(1 << bit) << bit for bit in range(ELEMENT_BITS))
    block = [
        sum(((multiply(1 << i, 1 << j) & traced).bit_count() & 1) << j for j in range(ELEMENT_BITS))
        for i in range(ELEMENT_BITS)
    ]
    return [column << ELEMENT_BITS * channel for channel in range(CHANNELS) for column in block]


def _trace(value: int) -> int:
    total = 0
    for _ in range(ELEMENT_BITS):
        total, value = total ^ value, multiply(value, value)
    return total


def apply(matrix: Sequence[int], vector: int) -> int:
    """Return matrix times vector."""
    total = 0
    while vector:
        bit = vector & -vector
        total, vector = total ^ matrix[bit.bit_length() - 1], vector ^ bit
    return total


def transpose(matrix: Sequence[int], *, num_rows: int) -> Matrix:
    """Return the transpose of a matrix."""
    return [sum((column >> i & 1) << j for j, column in enumerate(matrix)) for i in range(num_rows)]


def inverse(matrix: Sequence[int]) -> Matrix:
    """Return the inverse of a square matrix; ValueError when it has none."""
    size = len(matrix)
    rows = [column | 1 << (size + j) for j, column in enumerate(matrix)]  # work on columns: the transpose's rows
    for i in range(size):
        pivot = next((j for j in range(i, size) if rows[j] >> i & 1), None)
        if pivot is None:
            raise ValueError("the matrix has no inverse")
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows = [row ^ rows[i] if j != i and row >> i & 1 else row for j, row in enumerate(rows)]
    return [row >> size for row in rows]


def product(left: Sequence[int], right: Sequence[int]) -> Matrix:
    """Return the product of two matrices."""
    return [apply(left, column) for column in right]


@functools.cache
def key_map() -> Matrix:
    """Return the map of 64 key bits, last bit first, to the values of their polynomial."""
    return evaluation()[SEGMENT_BITS - 1 :: -1]


@functools.cache
def window_map() -> Matrix:
    """Return the transpose of interpolation, 128 bits to 128.

    A matrix of multiplication, transposed, is that matrix again between the trace form and its inverse, so one kernel
    serves a transform and its transpose, and the trace forms go into the maps at the two ends.
    """
    transposed = transpose(inverse(evaluation()), num_rows=2 * SEGMENT_BITS)
    return product(inverse(trace_form()), transposed)


@functools.cache
def output_map() -> Matrix:
    """Return the transpose of evaluation, 128 bits to 64."""
    mixed = product(trace_form(), evaluation()[:SEGMENT_BITS])  # the form is symmetric: E^T G = (G E)^T
    return transpose(mixed, num_rows=2 * SEGMENT_BITS)
