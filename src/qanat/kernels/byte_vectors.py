# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Arithmetic in the field of 2^16 elements on 64 of them at a time, by the processor's products of bytes.

A *row* is 64 low bytes and then 64 high bytes of elements ``low + high u`` (``kernels.byte_fields``): eight channels of
eight tiles, channel by channel within a tile. Numba has no vector types, so the inner loops are written with LLVM's
builder. All of them take addresses and check nothing.

Numba's cache does not see a change of this file: touch ``additive_transform.py`` after one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 64
ROW_BYTES = 2 * LANES

_WORD = ir.IntType(64)
_BYTES = ir.VectorType(ir.IntType(8), LANES)
_WORDS = ir.VectorType(_WORD, LANES // 8)
_TRANSPOSED = [8 * (lane % 8) + lane // 8 for lane in range(LANES)]

Element = tuple[Any, Any]
"""Low and high bytes of 64 elements, as values of LLVM."""


@functools.cache
def are_available() -> bool:
    """Return whether this processor multiplies 64 bytes at a time."""
    if config.CPU_NAME or config.CPU_FEATURES:  # compiled for another processor than this one
        return False
    features = binding.get_host_cpu_features()
    return all(features.get(name) for name in ("gfni", "avx512f", "avx512bw"))


class _Emitter:
    """Emits what the loops below share."""

    def __init__(self, builder: ir.IRBuilder) -> None:
        self.builder = builder

    def at(self, base: Any, offset: Any) -> Any:
        """Return an address moved on by an offset in bytes: an int, or a value."""
        return self.builder.add(base, ir.Constant(_WORD, offset) if isinstance(offset, int) else offset)

    def load(self, address: Any, offset: int = 0) -> Any:
        return self.builder.load(self.builder.inttoptr(self.at(address, offset), _BYTES.as_pointer()), align=1)

    def store(self, value: Any, address: Any, offset: int = 0) -> None:
        pointer = self.builder.inttoptr(self.at(address, offset), value.type.as_pointer())
        self.builder.store(value, pointer, align=1)

    def load_row(self, address: Any) -> Element:
        return self.load(address), self.load(address, LANES)

    def store_row(self, row: Element, address: Any) -> None:
        self.store(row[0], address)
        self.store(row[1], address, LANES)

    def add(self, left: Element, right: Element) -> Element:
        return self.builder.xor(left[0], right[0]), self.builder.xor(left[1], right[1])

    def multiply_bytes(self, left: Any, right: Any) -> Any:
        kind = ir.FunctionType(_BYTES, [_BYTES, _BYTES])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.x86.vgf2p8mulb.512")
        return self.builder.call(function, [left, right])

    def apply_bits(self, data: Any, matrices: Any) -> Any:
        kind = ir.FunctionType(_BYTES, [_BYTES, _BYTES, ir.IntType(8)])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.x86.vgf2p8affineqb.512")
        return self.builder.call(function, [data, matrices, ir.Constant(ir.IntType(8), 0)])

    def constants(self, address: Any, index: Any, *, small: bool) -> list[Any]:
        """Return the constants of a twiddle in registers: four, or one when it is a byte."""
        place = self.at(address, self.builder.mul(index, ir.Constant(_WORD, 16)))
        loaded = []
        for k in range(1 if small else 4):
            four = self.builder.load(self.builder.inttoptr(self.at(place, 4 * k), ir.IntType(32).as_pointer()), align=4)
            vector = ir.VectorType(ir.IntType(32), LANES // 4)
            filled = self.builder.insert_element(
                ir.Constant(vector, ir.Undefined), four, ir.Constant(ir.IntType(32), 0)
            )
            same = ir.Constant(ir.VectorType(ir.IntType(32), LANES // 4), None)
            loaded.append(self.builder.bitcast(self.builder.shuffle_vector(filled, filled, same), _BYTES))
        return loaded

    def scale(self, row: Element, constants: Sequence[Any]) -> Element:
        """Multiply a row by a twiddle."""
        if len(constants) == 1:
            return self.multiply_bytes(row[0], constants[0]), self.multiply_bytes(row[1], constants[0])
        low, high, high_c, both = constants
        return (
            self.builder.xor(self.multiply_bytes(row[0], low), self.multiply_bytes(row[1], high_c)),
            self.builder.xor(self.multiply_bytes(row[0], high), self.multiply_bytes(row[1], both)),
        )

    def shuffle(self, value: Any, places: Sequence[int]) -> Any:
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places))
        return self.builder.shuffle_vector(value, value, mask)

    def rotate_words(self, value: Any, places: int) -> Any:
        words = self.builder.bitcast(value, _WORDS)
        return self.builder.bitcast(self.shuffle(words, [(k + places) % 8 for k in range(8)]), _BYTES)


Butterfly = Callable[[_Emitter, Element, Element, list[Any]], tuple[Element, Element]]


def _evaluate(emitter: _Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
    """Return ``a + w b`` and ``a + w b + b``: values of a polynomial at two neighbours."""
    first = emitter.add(a, emitter.scale(b, w))
    return first, emitter.add(first, b)


def _interpolate_transposed(emitter: _Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
    """Return ``w a + b + a`` and ``w a + b``: the transpose of what undoes ``_evaluate``."""
    second = emitter.add(b, emitter.scale(a, w))
    return emitter.add(second, a), second


def _evaluate_transposed(emitter: _Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
    """Return ``a + b`` and ``w (a + b) + b``."""
    first = emitter.add(a, b)
    return first, emitter.add(emitter.scale(first, w), b)


def _two_layers(butterfly: Butterfly, *, small: bool, rising: bool) -> Any:
    """Return an intrinsic that takes four quarters of a block through two layers.

    Its arguments: address of the block, bytes of a quarter, rows of a quarter, address of the twiddles, index of the
    block. ``small``: twiddles are bytes. ``rising``: the layer of shorter distance comes first.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        block, quarter, num_rows, table, index = arguments
        emitter = _Emitter(builder)
        twice = builder.add(index, index)
        outer = emitter.constants(table, index, small=small)
        inner = [emitter.constants(table, emitter.at(twice, k), small=small) for k in range(2)]
        places = [block]
        for _ in range(3):
            places.append(emitter.at(places[-1], quarter))
        with cgutils.for_range(builder, num_rows) as loop:
            offset = builder.mul(loop.index, ir.Constant(_WORD, ROW_BYTES))
            addresses = [emitter.at(place, offset) for place in places]
            rows = [emitter.load_row(address) for address in addresses]
            for is_inner in (rising, not rising):
                if is_inner:
                    rows[0], rows[1] = butterfly(emitter, rows[0], rows[1], inner[0])
                    rows[2], rows[3] = butterfly(emitter, rows[2], rows[3], inner[1])
                else:
                    rows[0], rows[2] = butterfly(emitter, rows[0], rows[2], outer)
                    rows[1], rows[3] = butterfly(emitter, rows[1], rows[3], outer)
            for row, address in zip(rows, addresses, strict=True):
                emitter.store_row(row, address)

    def declare(typing_context: Any, block: Any, quarter: Any, num_rows: Any, table: Any, index: Any) -> Any:
        return types.void(*[types.int64] * 5), generate

    return intrinsic(declare)


evaluate_small = _two_layers(_evaluate, small=True, rising=False)
evaluate_large = _two_layers(_evaluate, small=False, rising=False)
interpolate_transposed_small = _two_layers(_interpolate_transposed, small=True, rising=False)
interpolate_transposed_large = _two_layers(_interpolate_transposed, small=False, rising=False)
evaluate_transposed_small = _two_layers(_evaluate_transposed, small=True, rising=True)
evaluate_transposed_large = _two_layers(_evaluate_transposed, small=False, rising=True)


def _bit_map(*, num_inputs: int, num_outputs: int) -> Any:
    """Return an intrinsic that applies one map over GF(2) to eight lanes of a row of ``num_inputs`` times 64 bytes.

    Its arguments: source, target, number of rows, address of the matrices (``pack_map``). Source and target may be the
    same when rows do not grow. Bytes that belong to one channel are brought together first, and parted again.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source, target, num_rows, matrices = arguments
        emitter = _Emitter(builder)
        with cgutils.for_range(builder, num_rows) as loop:
            place = emitter.at(source, builder.mul(loop.index, ir.Constant(_WORD, LANES * num_inputs)))
            inputs = [emitter.shuffle(emitter.load(place, LANES * k), _TRANSPOSED) for k in range(num_inputs)]
            totals: list[Any] = [None] * num_outputs
            at = 0
            for value in inputs:
                for turn in range(8):
                    turned = emitter.rotate_words(value, turn)
                    for k in range(num_outputs):
                        part = emitter.apply_bits(turned, emitter.load(matrices, LANES * at))
                        totals[k] = part if totals[k] is None else builder.xor(totals[k], part)
                        at += 1
            place = emitter.at(target, builder.mul(loop.index, ir.Constant(_WORD, LANES * num_outputs)))
            for k, total in enumerate(totals):
                emitter.store(emitter.shuffle(total, _TRANSPOSED), place, LANES * k)

    def declare(typing_context: Any, source: Any, target: Any, num_rows: Any, matrices: Any) -> Any:
        return types.void(*[types.int64] * 4), generate

    return intrinsic(declare)


map_key = _bit_map(num_inputs=1, num_outputs=2)
map_window = _bit_map(num_inputs=2, num_outputs=2)
map_output = _bit_map(num_inputs=2, num_outputs=1)


@intrinsic
def add_vectors(typing_context: Any, target: Any, source: Any, num_vectors: Any) -> Any:
    """Add vectors of 64 bytes at source to those at target."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emitter = _Emitter(builder)
        with cgutils.for_range(builder, arguments[2]) as loop:
            offset = builder.mul(loop.index, ir.Constant(_WORD, LANES))
            target, source = (emitter.at(base, offset) for base in arguments[:2])
            emitter.store(builder.xor(emitter.load(target), emitter.load(source)), target)

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def sum_products(
    typing_context: Any, lows: Any, highs: Any, keys: Any, num_vectors: Any, constant: Any, low: Any, high: Any
) -> Any:
    """Multiply vectors of windows and of keys element by element and add up all products of a channel.

    Addresses: lows and highs of the windows, 64 bytes each after the other; rows of keys; of the byte ``c``, 64 times;
    of 8 bytes each for the low and high bytes of the sums.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        window_lows, window_highs, keys_at, count, constant_at, low_at, high_at = arguments
        emitter = _Emitter(builder)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(_BYTES, None)) for _ in range(3)]
        with cgutils.for_range(builder, count) as loop:
            offset = builder.mul(loop.index, ir.Constant(_WORD, LANES))
            a = emitter.load(emitter.at(window_lows, offset)), emitter.load(emitter.at(window_highs, offset))
            b = emitter.load_row(emitter.at(keys_at, builder.add(offset, offset)))
            factors = (a[0], b[0]), (a[1], b[1]), (builder.xor(*a), builder.xor(*b))
            for total, (left, right) in zip(totals, factors, strict=True):
                builder.store(builder.xor(builder.load(total), emitter.multiply_bytes(left, right)), total)
        low, high, both = (builder.load(total) for total in totals)
        reduced = builder.xor(low, emitter.multiply_bytes(high, emitter.load(constant_at)))
        emitter.store(_fold(emitter, reduced), low_at)
        emitter.store(_fold(emitter, builder.xor(both, low)), high_at)

    return types.void(*[types.int64] * 7), generate


def _fold(emitter: _Emitter, value: Any) -> Any:
    """Emit the exclusive-or of all words of a vector."""
    folded = emitter.builder.bitcast(value, _WORDS)
    size = 8
    while size > 1:
        size //= 2
        halves = (emitter.shuffle(folded, range(at, at + size)) for at in (0, size))
        folded = emitter.builder.xor(*halves)
    return folded
