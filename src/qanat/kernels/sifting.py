# ruff: noqa: ARG001 - the signatures of intrinsics are numba's
"""Sifting's inner loops: gaps between detections, and events sorted into packed strings, 64 at a time.

A *plane* is a packed string of bits, lowest first, in words (uint64) with at least one spare word at the end; what lies
beyond its bits is zero. Of n detections some have equal bases (matched), and of these some are signal:

    matches   one bit per detection            told: four planes of one bit per disclosed event (decoy, vacuum,
    signals   one bit per matched event              chosen signal): its bit, its basis, is it signal, is it decoy
    decoys    one bit per matched event        key:  two planes of one bit per undisclosed signal event, appended:
              that is no signal                      its bit, its basis
    chosen    one bit per signal event         clicks: events counted by cell, ``3 * basis + intensity``
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils

from qanat.kernels.bit_selection import compress, expand
from qanat.kernels.bitarrays import append_bits, bits_at, popcount
from qanat.kernels.intrinsics import intrinsic

NUM_CELLS = 6
BIT, BASIS, IS_SIGNAL, IS_DECOY = range(4)
"""Rows of ``told``; the first two are those of ``key``."""
DRAW_BYTES = 4
UNDECIDED = 255
LANES = 8
"""Slots that are summed up side by side."""

_WORD, _INDEX = ir.IntType(64), ir.IntType(32)

_ALL, _ONE = np.uint64(2**64 - 1), np.uint64(1)


@njit(cache=True, nogil=True)
def gaps_as_numbers(slots: np.ndarray, first_slot: int, numbers: np.ndarray) -> int:
    """Write gaps between slots (uint64, increasing), the first counted from ``first_slot``, into ``numbers``.

    numbers: unsigned integers, shape of ``slots``. Returns all gaps or-ed together: when that is more than such a
    number holds, ``numbers`` is of no use.
    """
    combined = np.uint64(0)
    if slots.size:
        combined = slots[0] - np.uint64(first_slot)
        numbers[0] = combined
    for i in range(1, slots.size):
        gap = slots[i] - slots[i - 1]
        combined |= gap
        numbers[i] = gap
    return combined  # type: ignore[return-value]  # an int outside


@intrinsic
def running_sums(typing_context: Any, numbers: Any, count: Any, before: Any, sums: Any) -> Any:
    """Write running sums of the first ``LANES * count`` ``numbers`` into ``sums`` (uint64) and return the last.

    They begin at ``before``. Eight at a time: within a vector the sums reach 1, 2 and 4 places, and only the addition
    of what came before waits for the vectors before it.
    """
    result = types.uint64(numbers, types.int64, types.uint64, sums)
    return result, _running_sums


def _running_sums(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
    source, target = (context.make_array(signature.args[k])(context, builder, arguments[k]).data for k in (0, 3))
    number = context.get_data_type(signature.args[0].dtype)
    vector, index = ir.VectorType(_WORD, LANES), ir.VectorType(_INDEX, LANES)
    nothing, undefined = ir.Constant(vector, [0] * LANES), ir.Constant(vector, ir.Undefined)

    def everywhere(row: Any, lane: int) -> Any:
        return builder.shuffle_vector(row, undefined, ir.Constant(index, [lane] * LANES))

    first = builder.insert_element(undefined, arguments[2], ir.Constant(_INDEX, 0))
    total = cgutils.alloca_once_value(builder, everywhere(first, 0))
    with cgutils.for_range(builder, arguments[1]) as loop:
        place = builder.mul(loop.index, ir.Constant(_WORD, LANES))
        address = builder.bitcast(builder.gep(source, [place]), ir.VectorType(number, LANES).as_pointer())
        row = builder.load(address, align=number.width // 8)
        row = builder.zext(row, vector) if number.width < _WORD.width else row
        for reach in (1, 2, 4):
            moved = [LANES if lane < reach else lane - reach for lane in range(LANES)]
            row = builder.add(row, builder.shuffle_vector(row, nothing, ir.Constant(index, moved)))
        before = builder.load(total)
        address = builder.bitcast(builder.gep(target, [place]), vector.as_pointer())
        builder.store(builder.add(row, before), address, align=_WORD.width // 8)
        builder.store(builder.add(everywhere(row, LANES - 1), before), total)
    return builder.extract_element(builder.load(total), ir.Constant(_INDEX, 0))


@njit(cache=True, nogil=True)
def slots_of_numbers(numbers: np.ndarray, first_slot: int, num_slots: int, slots: np.ndarray) -> bool:
    """Undo ``gaps_as_numbers``; return whether slots increase strictly and stay below ``first_slot + num_slots``.

    Fewer than 2^23 gaps of less than 2^40 each, so that no sum overflows.
    """
    is_repeated = False
    for i in range(1, numbers.size):
        is_repeated |= numbers[i] == 0
    if is_repeated:
        return False
    whole = numbers.size // LANES
    total = running_sums(numbers, whole, first_slot, slots)
    for i in range(LANES * whole, numbers.size):
        total += np.uint64(numbers[i])
        slots[i] = total
    return numbers.size == 0 or total - np.uint64(first_slot) < np.uint64(num_slots)


@njit(cache=True, nogil=True)
def choose(
    draws: np.ndarray, survival: np.ndarray, guide: np.ndarray, place: int, stop: int, chosen: np.ndarray
) -> int:
    """Choose events at random from ``place`` on, by the gaps between them; return the place reached.

    draws: uint8, uniform: the highest byte of a draw of DRAW_BYTES, and the others only where the highest does not
    decide. survival: uint64, shape (g + 1,): ``survival[k] / 256^DRAW_BYTES`` is the probability that k events in a row
    are not chosen. A draw below the last entry passes over g events and chooses none. guide: uint8, shape (2, 256):
    what a highest byte decides, UNDECIDED where it does not; how many events it passes over at least. chosen: a plane,
    filled up to ``stop`` at most.
    """
    longest = survival.size - 1
    i = 0
    while place < stop and i + DRAW_BYTES <= draws.size:
        gap = int(guide[0, draws[i]])
        if gap == UNDECIDED:
            gap = int(guide[1, draws[i]])
            draw = np.uint64(0)
            for byte in range(DRAW_BYTES):
                draw = (draw << np.uint64(8)) | np.uint64(draws[i + byte])
            i += DRAW_BYTES - 1
            while gap < longest and draw < survival[gap + 1]:
                gap += 1
        i += 1
        place += gap
        if place < stop:
            chosen[place >> 6] |= np.uint64(gap < longest) << np.uint64(place & 63)
        place += int(gap < longest)
    return min(place, stop)


@njit(cache=True, nogil=True)
def count_matched(bases: np.ndarray, peer_bases: np.ndarray, signals: np.ndarray) -> int:
    """Return how many signal events have equal bases. All planes; ``signals`` is zero beyond the events."""
    total = np.uint64(0)
    for w in range(signals.size):
        total += popcount(signals[w] & ~(bases[w] ^ peer_bases[w]))
    return int(total)


@njit(cache=True, nogil=True)
def _sort(bits, bases, match, signal, decoy, chosen, told, num_told, key, num_key, clicks):  # type: ignore[no-untyped-def]
    """Append 64 events to what is told and to the key, and count them; the masks lie within each other."""
    is_told = (match ^ signal) | chosen
    is_key = signal ^ chosen
    append_bits(told[BIT], num_told, compress(bits, is_told))
    append_bits(told[BASIS], num_told, compress(bases, is_told))
    append_bits(told[IS_SIGNAL], num_told, compress(signal, is_told))
    append_bits(told[IS_DECOY], num_told, compress(decoy, is_told))
    append_bits(key[BIT], num_key, compress(bits, is_key))
    append_bits(key[BASIS], num_key, compress(bases, is_key))
    _count(bases, match, signal, decoy, clicks)


@njit(cache=True, nogil=True)
def _count(bases, events, signal, decoy, counts):  # type: ignore[no-untyped-def]
    """Add up those of 64 events that ``events`` selects, cell by cell."""
    for basis in range(2):
        own = events & (bases if basis else ~bases)
        counts[3 * basis] += popcount(own & signal)
        counts[3 * basis + 1] += popcount(own & decoy)
        counts[3 * basis + 2] += popcount(own & ~(signal | decoy))


@njit(cache=True, nogil=True)
def sift_events(
    num_events: int,
    bases: np.ndarray,
    bits: np.ndarray,
    is_signal: np.ndarray,
    is_decoy: np.ndarray,
    peer_bases: np.ndarray,
    chosen: np.ndarray,
    matches: np.ndarray,
    signals: np.ndarray,
    decoys: np.ndarray,
    told: np.ndarray,
    key: np.ndarray,
    key_start: int,
    key_stop: int,
    clicks: np.ndarray,
) -> tuple[int, int, int, int, int]:
    """Alice's part: compare bases, disclose what is not signal and the signal that ``chosen`` says, fill the planes.

    bases, bits, is_signal, is_decoy: planes of hers, a bit per event. peer_bases: a plane. chosen: a bit per matched
    signal event. matches, signals, decoys, told: zeros, filled. key: filled from ``key_start`` on, zero there.
    clicks: int64, shape (NUM_CELLS,), added to.
    Stops when the key reaches ``key_stop``. Returns the numbers of detections used, of matched, signal and told
    events, and the end of the key.
    """
    num_matched = num_signal = num_told = used = 0
    num_key = key_start
    for w in range((num_events + 63) >> 6):
        if num_key == key_stop:
            break
        size = min(64, num_events - 64 * w)
        match = ~(bases[w] ^ peer_bases[w]) & (_ALL >> np.uint64(64 - size))
        told_signal = expand(bits_at(chosen, num_signal), is_signal[w] & match)
        is_key = (is_signal[w] & match) ^ told_signal
        room = key_stop - num_key
        if popcount(is_key) >= np.uint64(room):
            last = expand(_ONE << np.uint64(room - 1), is_key)
            size = 64 if last >> np.uint64(63) else int(popcount(last - _ONE)) + 1
            match &= _ALL >> np.uint64(64 - size)
        signal = is_signal[w] & match
        decoy = is_decoy[w] & (match ^ signal)
        told_signal &= match
        matches[w] = match
        append_bits(signals, num_matched, compress(signal, match))
        append_bits(decoys, num_matched - num_signal, compress(decoy, match ^ signal))
        _sort(bits[w], bases[w], match, signal, decoy, told_signal, told, num_told, key, num_key, clicks)
        used += size
        num_matched += int(popcount(match))
        num_signal += int(popcount(signal))
        num_told += int(popcount((match ^ signal) | told_signal))
        num_key += int(popcount(signal ^ told_signal))
    return used, num_matched, num_signal, num_told, num_key


@njit(cache=True, nogil=True)
def read_events(
    num_used: int,
    bases: np.ndarray,
    bits: np.ndarray,
    matches: np.ndarray,
    signals: np.ndarray,
    decoys: np.ndarray,
    chosen: np.ndarray,
    told: np.ndarray,
    key: np.ndarray,
    key_start: int,
    clicks: np.ndarray,
) -> int:
    """Bob's part: sort his own events by the planes that Alice told; return the end of the key.

    The planes must agree with each other in their numbers of events, and the key must have room.
    """
    num_matched = num_signal = num_told = 0
    num_key = key_start
    for w in range((num_used + 63) >> 6):
        match = matches[w]
        signal = expand(bits_at(signals, num_matched), match)
        decoy = expand(bits_at(decoys, num_matched - num_signal), match ^ signal)
        told_signal = expand(bits_at(chosen, num_signal), signal)
        _sort(bits[w], bases[w], match, signal, decoy, told_signal, told, num_told, key, num_key, clicks)
        num_matched += int(popcount(match))
        num_signal += int(popcount(signal))
        num_told += int(popcount((match ^ signal) | told_signal))
        num_key += int(popcount(signal ^ told_signal))
    return num_key


@njit(cache=True, nogil=True)
def count_told(num_told: int, told: np.ndarray, theirs: np.ndarray, counts: np.ndarray, errors: np.ndarray) -> None:
    """Add up disclosed events, and those whose bits differ, cell by cell (int64, shape (NUM_CELLS,)).

    theirs: the other party's bits of the events, a plane.
    """
    for w in range((num_told + 63) >> 6):
        events = _ALL >> np.uint64(64 - min(64, num_told - 64 * w))
        _count(told[BASIS, w], events, told[IS_SIGNAL, w], told[IS_DECOY, w], counts)
        differing = events & (told[BIT, w] ^ theirs[w])
        _count(told[BASIS, w], differing, told[IS_SIGNAL, w], told[IS_DECOY, w], errors)
