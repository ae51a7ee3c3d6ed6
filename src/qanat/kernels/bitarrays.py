# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Packed bits: counting them, and setting frames of a long key side by side.

Cascade works on frames of ``n`` bits. *Side by side* means an array of bytes of shape (num_groups, n): bit ``f`` of
byte ``[g, i]`` is bit ``i`` of frame ``8 g + f``. One look-up then permutes eight frames. Frame ``f`` takes every
``num_frames``-th bit of the key, so that a burst of errors is spread over all frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types

from qanat.kernels.bit_selection import are_instructions_available, compress, expand
from qanat.kernels.intrinsics import intrinsic

LANES = 8
"""Frames that share a byte."""

_ROW = ir.VectorType(ir.IntType(8), 64)
_ONE = np.uint64(1)
_EVEN_BITS, _EVEN_PAIRS, _EVEN_NIBBLES, _EVEN_BYTES, _EVEN_SHORTS = (
    np.uint64(0x5555555555555555),
    np.uint64(0x3333333333333333),
    np.uint64(0x0F0F0F0F0F0F0F0F),
    np.uint64(0x00FF00FF00FF00FF),
    np.uint64(0x0000FFFF0000FFFF),
)
_EACH_BYTE = np.uint64(0x0101010101010101)


@intrinsic
def popcount(typing_context: Any, word: Any) -> Any:
    """Return the number of ones in a 64-bit word; one instruction where the processor has it."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def equal_bytes(typing_context: Any, column: Any, place: Any, value: Any) -> Any:
    """Return as a word which of the 64 bytes of ``column`` (uint8, contiguous) from ``place`` on equal ``value``.

    One comparison where the processor has vectors of 64 bytes. Nothing checks that the bytes are there.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        row, values = _row_and_value(context, builder, signature, arguments)
        return builder.bitcast(builder.icmp_unsigned("==", row, values), ir.IntType(64))

    return types.uint64(column, types.int64, types.uint8), generate


@intrinsic
def bytes_with(typing_context: Any, column: Any, place: Any, mask: Any) -> Any:
    """Return as a word which of the 64 bytes of ``column`` from ``place`` on have a bit of ``mask``; see above."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        row, masks = _row_and_value(context, builder, signature, arguments)
        nothing = ir.Constant(_ROW, [0] * 64)
        return builder.bitcast(builder.icmp_unsigned("!=", builder.and_(row, masks), nothing), ir.IntType(64))

    return types.uint64(column, types.int64, types.uint8), generate


def _row_and_value(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> tuple[Any, Any]:
    """Load the 64 bytes, and the value into each of 64 bytes."""
    index, undefined = ir.IntType(32), ir.Constant(_ROW, ir.Undefined)
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    source = builder.bitcast(builder.gep(array.data, [arguments[1]]), _ROW.as_pointer())
    first = builder.insert_element(undefined, arguments[2], ir.Constant(index, 0))
    values = builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, 64), [0] * 64))
    return builder.load(source, align=1), values


@njit(cache=True, nogil=True)
def pack_column(column: np.ndarray, plane: np.ndarray) -> None:
    """Set bit i of ``plane`` (uint64 zeros) where entry i of ``column`` (uint8) is not zero."""
    whole = column.size >> 6
    for w in range(whole):
        plane[w] = ~equal_bytes(column, w << 6, 0)
    for i in range(whole << 6, column.size):
        plane[whole] |= np.uint64(column[i] != 0) << np.uint64(i & 63)


@njit(cache=True, nogil=True)
def pack_equal(column: np.ndarray, value: int, plane: np.ndarray) -> None:
    """Set bit i of ``plane`` (uint64 zeros) where entry i of ``column`` (uint8) equals ``value``."""
    whole = column.size >> 6
    for w in range(whole):
        plane[w] = equal_bytes(column, w << 6, value)
    for i in range(whole << 6, column.size):
        plane[whole] |= np.uint64(column[i] == value) << np.uint64(i & 63)


@njit(cache=True, nogil=True)
def count_ones(packed: np.ndarray) -> int:
    """Return how many bits of ``packed`` (uint8) are one."""
    whole = packed.size // 8
    words = packed[: 8 * whole].view(np.uint64)
    total = np.uint64(0)
    for i in range(whole):
        total += popcount(words[i])
    for i in range(8 * whole, packed.size):
        total += popcount(np.uint64(packed[i]))
    return total  # type: ignore[return-value]  # an int outside


@njit(cache=True, nogil=True)
def append_bits(stream, place, bits):  # type: ignore[no-untyped-def]
    """Write a word of bits into ``stream`` (uint64, a spare word at the end) from bit ``place`` on.

    Bits beyond those meant must be zero, and so must the stream from ``place`` on.
    """
    stream[place >> 6] |= bits << np.uint64(place & 63)
    stream[(place >> 6) + 1] |= (bits >> _ONE) >> np.uint64(63 - (place & 63))


@njit(cache=True, nogil=True)
def bits_at(stream, place):  # type: ignore[no-untyped-def]
    """Return 64 bits of ``stream`` (uint64, a spare word at the end) from bit ``place`` on."""
    low = stream[place >> 6] >> np.uint64(place & 63)
    return low | ((stream[(place >> 6) + 1] << _ONE) << np.uint64(63 - (place & 63)))


@njit(cache=True, nogil=True)
def pair_parities_by_instruction(word):  # type: ignore[no-untyped-def]
    """Return, in 32 bits, the parities of a word's pairs of neighbouring bits, by PEXT."""
    return compress(word ^ (word >> np.uint64(1)), _EVEN_BITS)


@njit(cache=True, nogil=True)
def pair_parities_by_shifts(word):  # type: ignore[no-untyped-def]
    """The same by shifts."""
    word = (word ^ (word >> np.uint64(1))) & _EVEN_BITS
    word = (word | (word >> np.uint64(1))) & _EVEN_PAIRS
    word = (word | (word >> np.uint64(2))) & _EVEN_NIBBLES
    word = (word | (word >> np.uint64(4))) & _EVEN_BYTES
    word = (word | (word >> np.uint64(8))) & _EVEN_SHORTS
    return (word | (word >> np.uint64(16))) & np.uint64(0xFFFFFFFF)


pair_parities = pair_parities_by_instruction if are_instructions_available() else pair_parities_by_shifts


@njit(cache=True, nogil=True)
def one_per_nibble(bits):  # type: ignore[no-untyped-def]
    """Return the low 16 bits of a word, each as the lowest of four."""
    bits &= np.uint64(0xFFFF)
    bits = (bits | (bits << np.uint64(24))) & np.uint64(0x000000FF000000FF)
    bits = (bits | (bits << np.uint64(12))) & np.uint64(0x000F000F000F000F)
    bits = (bits | (bits << np.uint64(6))) & np.uint64(0x0303030303030303)
    return (bits | (bits << np.uint64(3))) & np.uint64(0x1111111111111111)


@njit(cache=True, nogil=True)
def spread_frames(stream: np.ndarray, num_frames: int, lanes: np.ndarray) -> None:
    """Set the bits of ``stream`` side by side: bit ``i * num_frames + f`` becomes bit ``i`` of frame ``f``.

    stream: uint64, lowest bit first, with a spare word at the end.
    lanes: uint8, shape (ceil(num_frames / 8), n), n a multiple of 8, overwritten; unused bits become zero.
    """
    if num_frames <= LANES:  # eight places in a row are bits in a row
        words = lanes[0].view(np.uint64)
        mask = _EACH_BYTE * ((_ONE << np.uint64(num_frames)) - _ONE)
        for i in range(words.size):
            words[i] = expand(bits_at(stream, 8 * i * num_frames), mask)
        return
    for group in range(lanes.shape[0]):
        mask = (_ONE << np.uint64(min(LANES, num_frames - LANES * group))) - _ONE
        for place in range(lanes.shape[1]):
            lanes[group, place] = np.uint8(bits_at(stream, place * num_frames + LANES * group) & mask)


@njit(cache=True, nogil=True)
def join_frames(lanes: np.ndarray, num_frames: int, stream: np.ndarray) -> None:
    """Undo ``spread_frames``. Unused bits must be zero; ``stream`` (a spare word more) must be zeros and is filled."""
    if num_frames <= LANES:
        words = lanes[0].view(np.uint64)
        mask = _EACH_BYTE * ((_ONE << np.uint64(num_frames)) - _ONE)
        for i in range(words.size):
            append_bits(stream, 8 * i * num_frames, compress(words[i], mask))
        return
    for group in range(lanes.shape[0]):
        for place in range(lanes.shape[1]):
            append_bits(stream, place * num_frames + LANES * group, np.uint64(lanes[group, place]))
