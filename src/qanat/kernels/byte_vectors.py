# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Arithmetic in the field of 2^16 elements on 64 of them at a time, by the processor's products of bytes.

A *row* is 64 low bytes and then 64 high bytes of elements ``low + high u`` (``kernels.byte_fields``): eight channels of
eight tiles, channel by channel within a tile. Numba has no vector types, so the inner loops are written with LLVM's
builder. All of them take addresses and check nothing.

Numba's cache does not see a change of this file or of ``byte_emitter.py``: touch ``additive_transform.py`` after one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils

from qanat.kernels.byte_emitter import BYTE, LANES, WORD, WORDS, Element, Emitter, Products
from qanat.kernels.intrinsics import intrinsic

ROW_BYTES = 2 * LANES

_TRANSPOSED = [8 * (lane % 8) + lane // 8 for lane in range(LANES)]

Butterfly = Callable[[Emitter, Element, Element, list[Any]], tuple[Element, Element]]


def _evaluate(emitter: Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
    """Return ``a + w b`` and ``a + w b + b``: values of a polynomial at two neighbours."""
    first = emitter.add(a, emitter.scale(b, w))
    return first, emitter.add(first, b)


def _interpolate_transposed(emitter: Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
    """Return ``w a + b + a`` and ``w a + b``: the transpose of what undoes ``_evaluate``."""
    second = emitter.add(b, emitter.scale(a, w))
    return emitter.add(second, a), second


def _evaluate_transposed(emitter: Emitter, a: Element, b: Element, w: list[Any]) -> tuple[Element, Element]:
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
        emitter = Emitter(builder)
        twice = builder.add(index, index)
        outer = emitter.constants(table, index, small=small)
        inner = [emitter.constants(table, emitter.at(twice, k), small=small) for k in range(2)]
        places = [block]
        for _ in range(3):
            places.append(emitter.at(places[-1], quarter))
        with cgutils.for_range(builder, num_rows) as loop:
            offset = builder.mul(loop.index, ir.Constant(WORD, ROW_BYTES))
            addresses = [emitter.at(place, offset) for place in places]
            for part in emitter.parts():
                rows = [emitter.load_row(address, part) for address in addresses]
                for is_inner in (rising, not rising):
                    if is_inner:
                        rows[0], rows[1] = butterfly(emitter, rows[0], rows[1], inner[0])
                        rows[2], rows[3] = butterfly(emitter, rows[2], rows[3], inner[1])
                    else:
                        rows[0], rows[2] = butterfly(emitter, rows[0], rows[2], outer)
                        rows[1], rows[3] = butterfly(emitter, rows[1], rows[3], outer)
                for row, address in zip(rows, addresses, strict=True):
                    emitter.store_row(row, address, part)

    def declare(typing_context: Any, block: Any, quarter: Any, num_rows: Any, table: Any, index: Any) -> Any:
        return types.void(*[types.int64] * 5), generate

    return intrinsic(declare)


evaluate_small = _two_layers(_evaluate, small=True, rising=False)
evaluate_large = _two_layers(_evaluate, small=False, rising=False)
interpolate_transposed_small = _two_layers(_interpolate_transposed, small=True, rising=False)
interpolate_transposed_large = _two_layers(_interpolate_transposed, small=False, rising=False)
evaluate_transposed_small = _two_layers(_evaluate_transposed, small=True, rising=True)
evaluate_transposed_large = _two_layers(_evaluate_transposed, small=False, rising=True)


def _bit_map(*, num_inputs: int, num_outputs: int, is_secret: bool) -> Any:
    """Return an intrinsic that applies one map over GF(2) to eight lanes of a row of ``num_inputs`` times 64 bytes.

    Its arguments: source, target, number of rows, address of the map (``kernels.additive_tables``). Source and
    target may be the same when rows do not grow. ``is_secret``: no address depends on what is mapped.
    """
    without_products = _map_by_columns if is_secret else _map_by_tables

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        source, target, num_rows, packed = arguments
        emitter = Emitter(builder)
        emit = without_products if emitter.way is Products.LOOKUP_256 else _map_by_matrices
        with cgutils.for_range(builder, num_rows) as loop:
            place = emitter.at(source, builder.mul(loop.index, ir.Constant(WORD, LANES * num_inputs)))
            result = emitter.at(target, builder.mul(loop.index, ir.Constant(WORD, LANES * num_outputs)))
            emit(emitter, place, result, packed, num_inputs, num_outputs)

    def declare(typing_context: Any, source: Any, target: Any, num_rows: Any, packed: Any) -> Any:
        return types.void(*[types.int64] * 4), generate

    return intrinsic(declare)


def _map_by_matrices(
    emitter: Emitter, place: Any, result: Any, matrices: Any, num_inputs: int, num_outputs: int
) -> None:
    """Emit a map of one row; bytes of one group are brought together first, and parted again."""
    inputs = [emitter.shuffle(emitter.load(place, LANES * k), _TRANSPOSED) for k in range(num_inputs)]
    totals: list[Any] = [None] * num_outputs
    at = 0
    for value in inputs:
        for turn in range(8):
            turned = emitter.rotate_words(value, turn)
            for k in range(num_outputs):
                part = emitter.apply_bits(turned, emitter.load(matrices, LANES * at))
                totals[k] = part if totals[k] is None else emitter.builder.xor(totals[k], part)
                at += 1
    for k, total in enumerate(totals):
        emitter.store(emitter.shuffle(total, _TRANSPOSED), result, LANES * k)


def _map_by_tables(emitter: Emitter, place: Any, result: Any, tables: Any, num_inputs: int, num_outputs: int) -> None:
    """Emit a map of one row, lane by lane: a table's entry for every byte."""
    builder = emitter.builder
    kind = ir.VectorType(WORD, num_outputs)
    with cgutils.for_range(builder, ir.Constant(WORD, LANES // 8)) as loop:
        lane = builder.mul(loop.index, ir.Constant(WORD, 8))
        total: Any = ir.Constant(kind, None)
        for k in range(num_inputs):
            address = emitter.at(emitter.at(place, lane), LANES * k)
            for group in range(8):
                pointer = builder.inttoptr(emitter.at(address, group), BYTE.as_pointer())
                entry = builder.zext(builder.load(pointer), WORD)
                first = emitter.at(tables, 8 * num_outputs * 256 * (8 * k + group))
                offset = builder.mul(entry, ir.Constant(WORD, 8 * num_outputs))
                pointer = builder.inttoptr(builder.add(first, offset), kind.as_pointer())
                total = builder.xor(total, builder.load(pointer, align=8))
        for k in range(num_outputs):
            word = builder.extract_element(total, ir.Constant(ir.IntType(32), k))
            emitter.store(word, emitter.at(result, lane), LANES * k)


def _map_by_columns(emitter: Emitter, place: Any, result: Any, tables: Any, num_inputs: int, num_outputs: int) -> None:
    """Emit a map of one row, bit by bit for eight lanes at once: the entries of single bits, where they are set."""
    builder = emitter.builder
    zero = ir.Constant(WORDS, None)
    totals: list[Any] = [zero] * num_outputs
    for k in range(num_inputs):
        rest = builder.bitcast(emitter.load(place, LANES * k), WORDS)
        for bit in range(63, -1, -1):
            is_set = builder.sext(builder.icmp_signed("<", rest, zero), WORDS)
            entry = 256 * (8 * k + bit // 8) + (1 << bit % 8)
            for target in range(num_outputs):
                column = emitter.fill_words(tables, 8 * (num_outputs * entry + target))
                totals[target] = builder.xor(totals[target], builder.and_(is_set, column))
            rest = builder.add(rest, rest)
    for k, total in enumerate(totals):
        emitter.store(total, result, LANES * k)


map_key = _bit_map(num_inputs=1, num_outputs=2, is_secret=True)
map_window = _bit_map(num_inputs=2, num_outputs=2, is_secret=False)
map_output = _bit_map(num_inputs=2, num_outputs=1, is_secret=True)


@intrinsic
def add_vectors(typing_context: Any, target: Any, source: Any, num_vectors: Any) -> Any:
    """Add vectors of 64 bytes at source to those at target."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        emitter = Emitter(builder)
        with cgutils.for_range(builder, arguments[2]) as loop:
            offset = builder.mul(loop.index, ir.Constant(WORD, LANES))
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
        emitter = Emitter(builder)
        register = ir.VectorType(BYTE, emitter.width)
        totals = [cgutils.alloca_once_value(builder, ir.Constant(register, None)) for _ in range(3)]
        with cgutils.for_range(builder, count) as loop:
            offset = builder.mul(loop.index, ir.Constant(WORD, LANES))
            bases = [emitter.at(base, offset) for base in (window_lows, window_highs)]
            row = emitter.at(keys_at, builder.add(offset, offset))
            for part in emitter.parts():
                a = [emitter.load(base, part, width=emitter.width) for base in bases]
                b = emitter.load_row(row, part)
                factors = (a[0], b[0]), (a[1], b[1]), (builder.xor(*a), builder.xor(*b))
                for total, (left, right) in zip(totals, factors, strict=True):
                    builder.store(builder.xor(builder.load(total), emitter.multiply_bytes(left, right)), total)
        low, high, both = (builder.load(total) for total in totals)
        constant_value = emitter.load(constant_at, width=emitter.width)
        reduced = builder.xor(low, emitter.multiply_bytes(high, constant_value))
        emitter.store(_fold(emitter, reduced), low_at)
        emitter.store(_fold(emitter, builder.xor(both, low)), high_at)

    return types.void(*[types.int64] * 7), generate


def _fold(emitter: Emitter, value: Any) -> Any:
    """Emit the exclusive-or of all words of a vector."""
    size = emitter.width // 8
    folded = emitter.builder.bitcast(value, ir.VectorType(WORD, size))
    while size > 1:
        size //= 2
        halves = (emitter.shuffle(folded, range(at, at + size)) for at in (0, size))
        folded = emitter.builder.xor(*halves)
    return folded
