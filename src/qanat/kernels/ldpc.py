# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Quasi-cyclic LDPC codes: construction, syndromes, and layered decoding of an error pattern from its syndrome.

A frame is ``num_columns`` words of 64 bits. A code has rows of *edges*, each a column and a *turn*; row r stands for 64
parity checks at once: the exclusive-or of its columns' words, each rotated to the right by its turn. One loop over 64
lanes then does 64 checks, and the compiler makes vector instructions of it.

The decoder is belief propagation in layers: rows one after the other, each with the newest beliefs. Beliefs are
logarithms (base 2) of the odds that a bit is right. What a check tells a bit is exactly ``2 artanh prod tanh(x / 2)``
over the others' beliefs x. Here it is ``-log2 sum 2^-|x|``, with the product of the signs: the same to first order in
``2^-|x|``, and without a table, because a float's bits are its own logarithm up to 0.09 (Schraudolph, Neural Comput. 11,
853, 1999), in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 64
PART = 16
"""Lanes that are written at once; the compiler cuts them to the width of the processor's registers."""
MOST_BELIEF = 24.0
"""Beliefs of messages are cut here: odds of 1 to 17 million."""
ONE_BITS = 127 << 23
"""The bits of the float 1.0."""
BELIEF_UNIT = 2.0**23
"""One in the exponent of a float."""
FLOATS = ir.VectorType(ir.FloatType(), PART)
INTS = ir.VectorType(ir.IntType(32), PART)
HALVES = ir.VectorType(ir.IntType(16), PART)
"""Upper halves of floats: sign, exponent and seven bits more. Kept so, a frame's beliefs stay in a near cache."""


def _parts(builder: ir.IRBuilder, addresses: Any) -> Iterator[tuple[Any, Any]]:
    """Yield functions that load from and store to the given addresses, once for every part of 16 lanes."""
    for part in range(LANES // PART):

        def address(number: int, kind: ir.VectorType, *, part: int = part, above: int = 0) -> Any:
            num_bytes = 2 if kind == HALVES else 4
            offset = ir.Constant(ir.IntType(64), num_bytes * (part * PART + above))
            return builder.inttoptr(builder.add(addresses[number], offset), kind.as_pointer())

        def load(number: int, kind: ir.VectorType) -> Any:
            return builder.load(address(number, kind), align=2)

        def store(value: Any, number: int, *, above: int = 0) -> None:
            builder.store(value, address(number, value.type, above=above), align=2)

        yield load, store


def _widen(builder: ir.IRBuilder, halves: Any) -> Any:
    return builder.bitcast(builder.shl(builder.zext(halves, INTS), _splat(INTS, 16)), FLOATS)


def _narrow(builder: ir.IRBuilder, floats: Any) -> Any:
    return builder.trunc(builder.lshr(builder.bitcast(floats, INTS), _splat(INTS, 16)), HALVES)


def _least(builder: ir.IRBuilder, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", first, second), first, second)


def _greatest(builder: ir.IRBuilder, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", first, second), first, second)


def _splat(kind: ir.VectorType, value: float) -> Any:
    return ir.Constant(kind, [value] * PART)


@intrinsic
def _gather(
    typing_context: Any, beliefs: Any, messages: Any, others: Any, doubts: Any, sums: Any, signs: Any
) -> Any:
    """Take back what a check told a column, and add up how much its bits are in doubt.

    All are addresses of 64 numbers of 32 bits. For each lane: ``other = belief - message``; ``doubt = 2^-|other|``;
    the doubt is added to ``sums``, and the bits of ``other`` to ``signs`` (exclusive-or, of which the sign counts).
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        for load, store in _parts(builder, arguments):
            other = builder.fsub(load(0, FLOATS), _widen(builder, load(1, HALVES)))
            bits = builder.bitcast(other, INTS)
            size = builder.bitcast(builder.and_(bits, _splat(INTS, 2**31 - 1)), FLOATS)
            size = _least(builder, size, _splat(FLOATS, MOST_BELIEF))
            exponent = builder.fptosi(builder.fmul(size, _splat(FLOATS, BELIEF_UNIT)), INTS)
            doubt = builder.bitcast(builder.sub(_splat(INTS, ONE_BITS), exponent), FLOATS)
            store(other, 2)
            store(doubt, 3)
            store(builder.fadd(load(4, FLOATS), doubt), 4)
            store(builder.xor(load(5, INTS), bits), 5)
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 6), generate


@intrinsic
def _scatter(
    typing_context: Any, others: Any, doubts: Any, sums: Any, signs: Any, beliefs: Any, messages: Any
) -> Any:
    """Tell a column what the other columns of a check say of its bits.

    All are addresses of 64 numbers of 32 bits, ``beliefs`` of 128: what is written there stands twice, so that any turn
    of it can be read in one piece. For each lane: ``message = -log2(sum - doubt)``, not below 0, with the sign of all
    others; ``belief = other + message``.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        for load, store in _parts(builder, arguments):
            other = load(0, FLOATS)
            rest = builder.bitcast(builder.fsub(load(2, FLOATS), load(1, FLOATS)), INTS)
            exponent = builder.sitofp(builder.sub(_splat(INTS, ONE_BITS), rest), FLOATS)
            size = builder.fmul(exponent, _splat(FLOATS, 1 / BELIEF_UNIT))
            size = _least(builder, _greatest(builder, size, _splat(FLOATS, 0.0)), _splat(FLOATS, MOST_BELIEF))
            sign = builder.and_(builder.xor(load(3, INTS), builder.bitcast(other, INTS)), _splat(INTS, -(2**31)))
            signed = builder.bitcast(builder.or_(builder.bitcast(size, INTS), sign), FLOATS)
            message = _narrow(builder, signed)
            belief = builder.fadd(other, _widen(builder, message))
            store(message, 5)
            store(belief, 4)
            store(belief, 4, above=LANES)
        return context.get_dummy_value()

    return types.void(*[types.uint64] * 6), generate


@intrinsic
def _negative_lanes(typing_context: Any, beliefs: Any) -> Any:
    """Return which of the 64 floats at an address are below zero, a bit each."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        word = ir.Constant(ir.IntType(64), 0)
        for part, (load, _) in enumerate(_parts(builder, arguments)):
            below = builder.fcmp_ordered("<", load(0, FLOATS), _splat(FLOATS, 0.0))
            bits = builder.zext(builder.bitcast(below, ir.IntType(PART)), ir.IntType(64))
            word = builder.or_(word, builder.shl(bits, ir.Constant(ir.IntType(64), PART * part)))
        return word

    return types.uint64(types.uint64), generate


@njit(cache=True, nogil=True)
def _next_word(state):  # type: ignore[no-untyped-def]
    """Advance a splitmix64 generator (Steele, Lea, Flood, OOPSLA 2014): a new state, and 32 random bits."""
    state += np.uint64(0x9E3779B97F4A7C15)
    word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, (word ^ (word >> np.uint64(31))) >> np.uint64(32)


@njit(cache=True, nogil=True)
def place_edges(degrees: np.ndarray, num_rows: int, seed: np.uint64, rows: np.ndarray, turns: np.ndarray) -> int:
    """Draw a code: give each column its edges, so that rows have equally many and cycles of four edges are avoided.

    degrees: int64, shape (num_columns,), ascending, none above ``num_rows``. rows, turns: int64, shape
    (degrees.sum(),), filled column by column. Columns of degree 2 form one chain through all rows, so that they make
    no short cycle. Each other edge goes to the emptiest row (the draw decides between equals), with a turn that makes
    no cycle of four where one of a few draws does. Returns how many edges made one nevertheless.
    """
    used = np.zeros((num_rows, num_rows), dtype=np.uint64)  # differences of turns between two rows, a bit each
    loads = np.zeros(num_rows, dtype=np.int64)
    state, start, link, failures = np.uint64(seed), 0, 0, 0
    for column in range(degrees.size):
        for number in range(degrees[column]):
            edge = start + number
            best_row, best_turn, is_clean = -1, 0, False
            for attempt in range(32):
                state, word = _next_word(state)
                if degrees[column] == 2:
                    row = (link + number) % num_rows
                else:
                    row = _emptiest_row(loads, rows[start:edge], np.int64(word >> np.uint64(6)), attempt // 8)
                turn = np.int64(word & np.uint64(63))
                is_clean = _makes_no_square(used, rows[start:edge], turns[start:edge], row, turn)
                best_row, best_turn = row, turn
                if is_clean:
                    break
            failures += not is_clean
            rows[edge], turns[edge] = best_row, best_turn
            loads[best_row] += 1
            for other in range(start, edge):
                _note_difference(used, rows[other], turns[other], best_row, best_turn)
        link += degrees[column] == 2
        start += degrees[column]
    return failures


@njit(cache=True, nogil=True)
def _emptiest_row(loads, taken, first, slack):  # type: ignore[no-untyped-def]
    """Return a row of the least load that the column has not yet, looking from row ``first`` on.

    ``slack``: how much fuller than that it may be.
    """
    least = 2**62
    for row in range(loads.size):
        if loads[row] < least and not (taken == row).any():
            least = loads[row]
    for step in range(loads.size):
        row = (first + step) % loads.size
        if loads[row] <= least + slack and not (taken == row).any():
            return row
    return -1


@njit(cache=True, nogil=True)
def _makes_no_square(used, rows, turns, row, turn):  # type: ignore[no-untyped-def]
    for other in range(rows.size):
        difference = np.uint64((turn - turns[other]) & 63)
        if (used[rows[other], row] >> difference) & np.uint64(1):
            return False
    return True


@njit(cache=True, nogil=True)
def _note_difference(used, first, first_turn, second, second_turn):  # type: ignore[no-untyped-def]
    used[first, second] |= np.uint64(1) << np.uint64((second_turn - first_turn) & 63)
    used[second, first] |= np.uint64(1) << np.uint64((first_turn - second_turn) & 63)


@njit(cache=True, nogil=True)
def syndrome(frame: np.ndarray, starts: np.ndarray, columns: np.ndarray, turns: np.ndarray, checks: np.ndarray) -> None:
    """Compute the parity checks of a frame.

    frame: uint64, shape (num_columns,). starts: int64, shape (num_rows + 1,), where each row's edges begin; columns,
    turns: int64, shape (num_edges,), turns from 0 to 63. checks: uint64, shape (num_rows,), overwritten.
    """
    for row in range(starts.size - 1):
        total = np.uint64(0)
        for edge in range(starts[row], starts[row + 1]):
            word, turn = frame[columns[edge]], np.uint64(turns[edge])
            total ^= (word >> turn) | (word << ((np.uint64(64) - turn) & np.uint64(63)))
        checks[row] = total


@njit(cache=True, nogil=True)
def decode(
    checks: np.ndarray,
    starts: np.ndarray,
    columns: np.ndarray,
    turns: np.ndarray,
    steps: np.ndarray,
    belief: np.float32,
    most_rounds: int,
    beliefs: np.ndarray,
    messages: np.ndarray,
    scratch: np.ndarray,
    errors: np.ndarray,
) -> int:
    """Find the likeliest error pattern with these checks.

    checks: uint64, shape (num_rows,). starts, columns, turns: as in ``syndrome``. steps: int64, shape (num_edges,), how
    far a column has turned since its edge before, cyclically (mod 64). belief: of each bit in being right, beforehand.
    most_rounds: over all rows. beliefs: float32, shape (num_columns, 128), messages: float32, shape (num_edges, 64),
    scratch: float32, shape (2, most edges of a row, 64): overwritten. errors: uint64, shape (num_columns,), filled.
    Returns the rounds it took, or -1 when none was found; ``errors`` is then of no use.
    """
    beliefs[:] = belief
    messages[:] = np.uint16(0)
    last_turns = np.zeros(errors.size, dtype=np.int64)
    for edge in range(columns.size):
        last_turns[columns[edge]] = turns[edge]
    sums = np.empty(LANES, dtype=np.float32)
    signs = np.empty(LANES, dtype=np.int32)
    found = np.empty(checks.size, dtype=np.uint64)
    for number in range(most_rounds):
        for row in range(checks.size):
            _update_row(checks[row], starts[row], starts[row + 1], columns, steps, beliefs, messages, scratch, sums, signs)
        _harden(beliefs, last_turns, errors)
        syndrome(errors, starts, columns, turns, found)
        if (found == checks).all():
            return number + 1
    return -1


@njit(cache=True, nogil=True)
def _update_row(check, first, stop, columns, steps, beliefs, messages, scratch, sums, signs):  # type: ignore[no-untyped-def]
    """Let 64 checks tell their bits what they know."""
    for lane in range(LANES):
        sums[lane] = np.float32(0)
        signs[lane] = -np.int32((check >> np.uint64(lane)) & np.uint64(1))
    block, half = np.uint64(4 * LANES), np.uint64(2 * LANES)
    others, doubts = np.uint64(scratch[0].ctypes.data), np.uint64(scratch[1].ctypes.data)
    belief, message = np.uint64(beliefs.ctypes.data), np.uint64(messages.ctypes.data)
    sum_, sign = np.uint64(sums.ctypes.data), np.uint64(signs.ctypes.data)
    for edge in range(first, stop):
        at = block * np.uint64(edge - first)
        column = belief + np.uint64(2) * block * np.uint64(columns[edge])
        turned = column + np.uint64(4 * steps[edge])
        _gather(turned, message + half * np.uint64(edge), others + at, doubts + at, sum_, sign)
    for edge in range(first, stop):
        at = block * np.uint64(edge - first)
        column = belief + np.uint64(2) * block * np.uint64(columns[edge])
        _scatter(others + at, doubts + at, sum_, sign, column, message + half * np.uint64(edge))


@njit(cache=True, nogil=True)
def _harden(beliefs, last_turns, errors):  # type: ignore[no-untyped-def]
    """Pack the bits that are believed wrong; columns lie as their last edge left them."""
    start = np.uint64(beliefs.ctypes.data)
    for column in range(errors.size):
        word, turn = _negative_lanes(start + np.uint64(8 * LANES * column)), np.uint64(last_turns[column])
        errors[column] = (word << turn) | (word >> ((np.uint64(64) - turn) & np.uint64(63)))


@njit(cache=True, nogil=True)
def turn_steps(columns: np.ndarray, turns: np.ndarray, num_columns: int) -> np.ndarray:
    """Return how far each edge's column has turned since its edge before, cyclically (``steps`` of ``decode``)."""
    last = np.zeros(num_columns, dtype=np.int64)
    steps = np.empty(columns.size, dtype=np.int64)
    for edge in range(columns.size):
        last[columns[edge]] = turns[edge]
    for edge in range(columns.size):
        steps[edge] = (turns[edge] - last[columns[edge]]) & 63
        last[columns[edge]] = turns[edge]
    return steps


@njit(cache=True, nogil=True)
def split_frames(spread: np.ndarray, frames: np.ndarray) -> None:
    """Turn frames that lie side by side into frames of words, one after the other.

    spread: uint64, shape (num_groups, n), n a multiple of 64. frames: uint64, shape (num_frames, n / 64), overwritten.
    """
    square = np.empty(LANES, dtype=np.uint64)
    for group in range(spread.shape[0]):
        for word in range(frames.shape[1]):
            for i in range(LANES):
                square[i] = spread[group, LANES * word + i]
            _transpose(square)
            for lane in range(min(LANES, frames.shape[0] - LANES * group)):
                frames[LANES * group + lane, word] = square[lane]


@njit(cache=True, nogil=True)
def merge_frames(frames: np.ndarray, spread: np.ndarray) -> None:
    """Undo ``split_frames``; lanes beyond the number of frames become zero."""
    square = np.empty(LANES, dtype=np.uint64)
    for group in range(spread.shape[0]):
        for word in range(frames.shape[1]):
            for lane in range(LANES):
                frame = LANES * group + lane
                square[lane] = frames[frame, word] if frame < frames.shape[0] else np.uint64(0)
            _transpose(square)
            for i in range(LANES):
                spread[group, LANES * word + i] = square[i]


@njit(cache=True, nogil=True)
def _transpose(square):  # type: ignore[no-untyped-def]
    """Transpose 64 x 64 bits in place, quarter by quarter."""
    width, mask = 32, np.uint64(0xFFFFFFFF)
    while width:
        for i in range(LANES):
            if not i & width:
                moved = ((square[i] >> np.uint64(width)) ^ square[i + width]) & mask
                square[i + width] ^= moved
                square[i] ^= moved << np.uint64(width)
        width >>= 1
        mask ^= mask << np.uint64(width)
