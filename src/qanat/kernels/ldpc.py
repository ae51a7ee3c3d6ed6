# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Quasi-cyclic LDPC codes: construction, syndromes, and layered decoding of an error pattern from its syndrome.

A frame is ``num_columns`` words of 64 bits. A code has rows of *edges*, each a column and a *turn*; row r stands for 64
parity checks at once: the exclusive-or of its columns' words, each rotated to the right by its turn. One loop over 64
lanes then does 64 checks, and the compiler makes vector instructions of it.

The decoder is belief propagation in layers: rows one after the other, each with the newest beliefs. Beliefs are
logarithms (base 2) of the odds that a bit is right. What a check tells a bit is exactly ``2 artanh prod tanh(x / 2)``
over the others' beliefs x. Here it is ``-log2 sum 2^-|x|``, with the product of the signs: the same to first order in
``2^-|x|``, and without a table, because a float's bits are its own logarithm up to 0.09 (Schraudolph, Neural Comput.
11, 853, 1999), in both directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from qanat.kernels.bitarrays import popcount
from qanat.kernels.intrinsics import intrinsic

LANES = 64
PART = 16
PARTS = range(LANES // PART)
"""Lanes that are written at once; the compiler cuts them to the width of the processor's registers."""
MOST_BELIEF = 24.0
"""Beliefs of messages are cut here: odds of 1 to 17 million."""
ONE_BITS = 127 << 23
"""The bits of the float 1.0."""
BELIEF_UNIT = 2.0**23
"""One in the exponent of a float."""
PATIENCE = 4
LEAST_PROGRESS = 0.95
"""After PATIENCE rounds there must be fewer wrong checks than this share of those before. A frame that decodes halves
them in that time; one that has too few checks soon stands still."""
FLOATS = ir.VectorType(ir.FloatType(), PART)
INTS = ir.VectorType(ir.IntType(32), PART)
HALVES = ir.VectorType(ir.IntType(16), PART)
"""Upper halves of floats: sign, exponent and seven bits more. Kept so, a frame's beliefs stay in a near cache."""


def _splat(kind: ir.VectorType, value: float) -> Any:
    return ir.Constant(kind, [value] * PART)


def _least(builder: ir.IRBuilder, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered("<", first, second), first, second)


def _greatest(builder: ir.IRBuilder, first: Any, second: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", first, second), first, second)


def _load(builder: ir.IRBuilder, kind: Any, base: Any, offset: Any) -> Any:
    return builder.load(builder.inttoptr(builder.add(base, offset), kind.as_pointer()), align=2)


def _store(builder: ir.IRBuilder, value: Any, base: Any, offset: Any) -> None:
    builder.store(value, builder.inttoptr(builder.add(base, offset), value.type.as_pointer()), align=2)


def _word(value: int) -> Any:
    return ir.Constant(ir.IntType(64), value)


def _place(builder: ir.IRBuilder, edge: Any, part: int, *, num_bytes: int) -> Any:
    """Emit where a part of an edge's 64 numbers lies, in bytes from the row's first on."""
    return builder.add(builder.mul(edge, _word(num_bytes * LANES)), _word(num_bytes * PART * part))


def _emit_doubt(builder: ir.IRBuilder, other: Any) -> Any:
    """Emit ``2^-|other|``: the exponent of a float, and its bits, are a logarithm."""
    size = builder.bitcast(builder.and_(builder.bitcast(other, INTS), _splat(INTS, 2**31 - 1)), FLOATS)
    size = _least(builder, size, _splat(FLOATS, MOST_BELIEF))
    scaled = builder.fmul(size, _splat(FLOATS, BELIEF_UNIT), flags=("contract",))
    bits = builder.fptosi(builder.fsub(_splat(FLOATS, float(ONE_BITS)), scaled, flags=("contract",)), INTS)
    return builder.bitcast(bits, FLOATS)


def _emit_size(builder: ir.IRBuilder, doubt: Any) -> Any:
    """Emit ``-log2(doubt)`` between 0 and MOST_BELIEF."""
    bits = builder.sitofp(builder.bitcast(doubt, INTS), FLOATS)
    scaled = builder.fmul(bits, _splat(FLOATS, 1 / BELIEF_UNIT), flags=("contract",))
    size = builder.fsub(_splat(FLOATS, ONE_BITS / BELIEF_UNIT), scaled, flags=("contract",))
    return _least(builder, _greatest(builder, size, _splat(FLOATS, 0.0)), _splat(FLOATS, MOST_BELIEF))


def _emit_gather(builder: ir.IRBuilder, arguments: Any) -> list[tuple[Any, Any]]:
    """Emit the loop that takes back what the checks told their columns; return doubts and signs added up, by part.

    What the columns believe without it goes to ``scratch``.
    """
    check, reads, _, num_edges, beliefs, messages, scratch = arguments
    totals = []
    for part in PARTS:
        bits = builder.trunc(builder.lshr(check, _word(PART * part)), ir.IntType(PART))
        lanes = builder.sext(builder.bitcast(bits, ir.VectorType(ir.IntType(1), PART)), INTS)
        sums = cgutils.alloca_once_value(builder, _splat(FLOATS, 0.0))
        signs = cgutils.alloca_once_value(builder, lanes)
        totals.append((sums, signs))
    with cgutils.for_range(builder, num_edges) as loop:
        read = _load(builder, ir.IntType(64), reads, builder.mul(loop.index, _word(8)))
        for part, (sums, signs) in zip(PARTS, totals, strict=True):
            belief = _load(builder, FLOATS, beliefs, builder.add(read, _word(4 * PART * part)))
            at = _place(builder, loop.index, part, num_bytes=2)
            message = builder.shl(builder.zext(_load(builder, HALVES, messages, at), INTS), _splat(INTS, 16))
            other = builder.fsub(belief, builder.bitcast(message, FLOATS))
            _store(builder, other, scratch, _place(builder, loop.index, part, num_bytes=4))
            builder.store(builder.fadd(builder.load(sums), _emit_doubt(builder, other)), sums)
            builder.store(builder.xor(builder.load(signs), builder.bitcast(other, INTS)), signs)
    return [(builder.load(sums), builder.load(signs)) for sums, signs in totals]


def _emit_scatter(builder: ir.IRBuilder, totals: list[tuple[Any, Any]], arguments: Any) -> None:
    """Emit the loop that tells each column what the others say of its bits, and what it is to believe.

    Beliefs are written twice, 64 apart, so that any turn of them can be read in one piece.
    """
    _, _, writes, num_edges, beliefs, messages, scratch = arguments
    with cgutils.for_range(builder, num_edges) as loop:
        write = _load(builder, ir.IntType(64), writes, builder.mul(loop.index, _word(8)))
        for part, (sums, signs) in zip(PARTS, totals, strict=True):
            other = _load(builder, FLOATS, scratch, _place(builder, loop.index, part, num_bytes=4))
            size = _emit_size(builder, builder.fsub(sums, _emit_doubt(builder, other)))
            sign = builder.and_(builder.xor(signs, builder.bitcast(other, INTS)), _splat(INTS, -(2**31)))
            upper = builder.and_(builder.or_(builder.bitcast(size, INTS), sign), _splat(INTS, -(2**16)))
            half = builder.trunc(builder.lshr(upper, _splat(INTS, 16)), HALVES)
            _store(builder, half, messages, _place(builder, loop.index, part, num_bytes=2))
            belief = builder.fadd(other, builder.bitcast(upper, FLOATS))
            for copy in range(2):
                _store(builder, belief, beliefs, builder.add(write, _word(4 * (PART * part + LANES * copy))))


@intrinsic
def _update_row(
    typing_context: Any, check: Any, reads: Any, writes: Any, num_edges: Any, beliefs: Any, messages: Any, scratch: Any
) -> Any:
    """Let 64 checks tell their bits what they know.

    check: the 64 parities. Addresses: reads, writes, of the first of ``num_edges`` int64, where a column's beliefs lie
    (bytes from ``beliefs`` on; ``reads`` counts its turn too); messages, of the first edge's 64 halves of floats;
    scratch, of room for ``num_edges`` * 64 floats.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        totals = _emit_gather(builder, arguments)  # all is read before anything is written
        _emit_scatter(builder, totals, arguments)
        return context.get_dummy_value()

    return types.void(types.uint64, *[types.int64] * 6), generate


@intrinsic
def _negative_lanes(typing_context: Any, beliefs: Any) -> Any:
    """Return which of the 64 floats at an address are below zero, a bit each."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        word = _word(0)
        for part in PARTS:
            belief = _load(builder, FLOATS, arguments[0], _word(4 * PART * part))
            below = builder.fcmp_ordered("<", belief, _splat(FLOATS, 0.0))
            bits = builder.zext(builder.bitcast(below, ir.IntType(PART)), ir.IntType(64))
            word = builder.or_(word, builder.shl(bits, _word(PART * part)))
        return word

    return types.uint64(types.int64), generate


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
            best_row, best_turn, is_clean = -1, np.int64(0), False
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
def masked_parities(frame: np.ndarray, masks: np.ndarray) -> int:
    """Return the parities of the bits that each mask selects, the first mask's lowest.

    frame: uint64, shape (num_columns,). masks: uint64, shape (up to 64, num_columns).
    """
    parities = np.uint64(0)
    for number in range(masks.shape[0]):
        total = np.uint64(0)
        for column in range(frame.size):
            total ^= frame[column] & masks[number, column]
        parities |= (popcount(total) & np.uint64(1)) << np.uint64(number)
    return parities  # type: ignore[return-value]  # an int outside


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
    most_rounds: over all rows. Overwritten: beliefs, float32, shape (num_columns, 128); messages, uint16, shape
    (num_edges, 64), upper halves of floats; scratch, float32, shape (most edges of a row, 64). errors: uint64, shape
    (num_columns,), filled.
    Returns the rounds it took, or -1 when none was found, or when the checks that are wrong did not become fewer for
    PATIENCE rounds; ``errors`` is then of no use.
    """
    beliefs[:] = belief
    messages[:] = np.uint16(0)
    writes = columns * (8 * LANES)
    reads = writes + 4 * steps
    last_turns = np.zeros(errors.size, dtype=np.int64)
    for edge in range(columns.size):
        last_turns[columns[edge]] = turns[edge]
    found = np.empty(checks.size, dtype=np.uint64)
    wrong_before = np.int64(2**62)
    for number in range(most_rounds):
        for row in range(checks.size):
            first = starts[row]
            _update_row(
                checks[row],
                reads.ctypes.data + 8 * first,
                writes.ctypes.data + 8 * first,
                starts[row + 1] - first,
                beliefs.ctypes.data,
                messages.ctypes.data + 2 * LANES * first,
                scratch.ctypes.data,
            )
        _harden(beliefs, last_turns, errors)
        syndrome(errors, starts, columns, turns, found)
        wrong = _count_differences(found, checks)
        if wrong == 0:
            return number + 1
        if number % PATIENCE == PATIENCE - 1:
            if wrong > LEAST_PROGRESS * wrong_before:
                return -1
            wrong_before = wrong
    return -1


@njit(cache=True, nogil=True)
def _count_differences(first, second):  # type: ignore[no-untyped-def]
    total = np.uint64(0)
    for i in range(first.size):
        total += popcount(first[i] ^ second[i])
    return np.int64(total)


@njit(cache=True, nogil=True)
def _harden(beliefs, last_turns, errors):  # type: ignore[no-untyped-def]
    """Pack the bits that are believed wrong; columns lie as their last edge left them."""
    for column in range(errors.size):
        word = _negative_lanes(beliefs.ctypes.data + 8 * LANES * column)
        turn = np.uint64(last_turns[column])
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
