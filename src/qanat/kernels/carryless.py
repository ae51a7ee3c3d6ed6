# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Products of polynomials over GF(2) by the processor's carry-less multiplication.

A *leaf* is a Toeplitz matrix of LEAF_WORDS x LEAF_WORDS words of 64 bits. Its *window* holds its diagonals in
``2 * LEAF_WORDS`` words W; with key words X, output word ``a`` is the exclusive-or over b of the low half of
``W[a - b + LEAF_WORDS] X[b]`` and the high half of ``W[a - b + LEAF_WORDS - 1] X[b]``.

Numba has no vector types, so the innermost loop is written with LLVM's builder, once per register width. Which widths
the processor has is asked before any is compiled.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from qanat.kernels.intrinsics import intrinsic
from qanat.kernels.processor import instruction_sets

LEAF_WORDS = 16
NUM_SUMS = LEAF_WORDS + 1
LEAF_BYTES = 8 * LEAF_WORDS


@functools.cache
def widest_registers() -> int:
    """Return the widest registers in bits that multiply without carry here: 512, 128, or 0 for none."""
    features = instruction_sets()
    if features.get("vpclmulqdq") and features.get("avx512f"):
        return 512
    return 128 if features.get("pclmul") else 0


def _emit_row(builder: ir.IRBuilder, arguments: Any, *, lanes: int, name: str, sums_at_once: int) -> None:
    """Emit the product of one row of leaves with a column of keys; see ``_row_512``.

    ``lanes``: 64-bit words per register. ``sums_at_once``: sums that stay in registers during the loop over leaves.
    """
    windows, keys, num_leaves, sums = arguments
    word = ir.IntType(64)
    vector = ir.VectorType(word, lanes)
    multiply = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector, vector, ir.IntType(8)]), name
    )

    def load(base: Any, offset_bytes: int) -> Any:
        address = builder.add(base, ir.Constant(word, offset_bytes))
        return builder.load(builder.inttoptr(address, vector.as_pointer()), align=8)

    for first in range(0, NUM_SUMS, sums_at_once):
        group = range(first, min(first + sums_at_once, NUM_SUMS))
        totals = {k: cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for k in group}
        with cgutils.for_range(builder, num_leaves) as loop:
            window = builder.sub(windows, builder.mul(loop.index, ir.Constant(word, 2 * LEAF_BYTES)))
            key = builder.add(keys, builder.mul(loop.index, ir.Constant(word, LEAF_BYTES)))
            for part in range(0, LEAF_WORDS, lanes):
                factor = load(key, 8 * part)
                for k in group:
                    diagonal = load(window, 8 * (k + part))
                    total = builder.load(totals[k])
                    for half in (0x00, 0x11):
                        product = builder.call(multiply, [diagonal, factor, ir.Constant(ir.IntType(8), half)])
                        total = builder.xor(total, product)
                    builder.store(total, totals[k])
        for k in group:
            pair = _fold(builder, builder.load(totals[k]), lanes)
            target = builder.add(sums, ir.Constant(word, 16 * k))
            builder.store(pair, builder.inttoptr(target, pair.type.as_pointer()), align=8)


def _fold(builder: ir.IRBuilder, value: Any, lanes: int) -> Any:
    """Emit the exclusive-or of all 128-bit parts of a register."""
    while lanes > 2:
        lanes //= 2
        low = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes)))
        high = ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes, 2 * lanes)))
        value = builder.xor(builder.shuffle_vector(value, value, low), builder.shuffle_vector(value, value, high))
    return value


_ROW_SIGNATURE = types.void(types.int64, types.int64, types.int64, types.int64)


@intrinsic
def _row_512(typing_context: Any, windows: Any, keys: Any, num_leaves: Any, sums: Any) -> Any:
    """Sum up a row of leaves: ``sums[k]`` is the exclusive-or of the 128-bit products ``W[k + u] X[u]``.

    Addresses: windows, of the first leaf's window (the next leaf's lies before it); keys, of the first leaf's key,
    words reversed (the next follows); sums, of NUM_SUMS pairs of words, overwritten.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit_row(builder, arguments, lanes=8, name="llvm.x86.pclmulqdq.512", sums_at_once=NUM_SUMS)

    return _ROW_SIGNATURE, generate


@intrinsic
def _row_128(typing_context: Any, windows: Any, keys: Any, num_leaves: Any, sums: Any) -> Any:
    """The same with 128-bit registers."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        _emit_row(builder, arguments, lanes=2, name="llvm.x86.pclmulqdq", sums_at_once=9)

    return _ROW_SIGNATURE, generate


@njit(cache=True, nogil=True)
def leaf_products_512(windows: np.ndarray, keys: np.ndarray, outputs: np.ndarray) -> None:
    """Multiply, for each leaf position, a Toeplitz matrix of leaves with a column of keys.

    windows: uint64, shape (num_positions, rows + columns - 1, 2 LEAF_WORDS): the leaf in row i and column j has
    window ``i - j + columns - 1``. keys: uint64, shape (num_positions, columns, LEAF_WORDS), words of each leaf in
    reverse. outputs: uint64, shape (num_positions, rows, LEAF_WORDS), overwritten. All contiguous.
    """
    sums = np.empty((NUM_SUMS, 2), dtype=np.uint64)
    for position in range(outputs.shape[0]):
        for row in range(outputs.shape[1]):
            diagonal = position * windows.shape[1] + row + keys.shape[1] - 1
            window = windows.ctypes.data + 2 * LEAF_BYTES * diagonal
            key = keys.ctypes.data + LEAF_BYTES * keys.shape[1] * position
            _row_512(window, key, keys.shape[1], sums.ctypes.data)
            for a in range(LEAF_WORDS):
                outputs[position, row, a] = sums[a + 1, 0] ^ sums[a, 1]


@njit(cache=True, nogil=True)
def leaf_products_128(windows: np.ndarray, keys: np.ndarray, outputs: np.ndarray) -> None:
    """The same as ``leaf_products_512`` for processors with 128-bit registers."""
    sums = np.empty((NUM_SUMS, 2), dtype=np.uint64)
    for position in range(outputs.shape[0]):
        for row in range(outputs.shape[1]):
            diagonal = position * windows.shape[1] + row + keys.shape[1] - 1
            window = windows.ctypes.data + 2 * LEAF_BYTES * diagonal
            key = keys.ctypes.data + LEAF_BYTES * keys.shape[1] * position
            _row_128(window, key, keys.shape[1], sums.ctypes.data)
            for a in range(LEAF_WORDS):
                outputs[position, row, a] = sums[a + 1, 0] ^ sums[a, 1]
