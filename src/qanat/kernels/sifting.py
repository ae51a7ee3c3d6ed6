"""Sifting's inner loops: gaps between detections, and events sorted into packed strings without a branch per event.

A *plane* is a packed string of bits, lowest first. For n detections, of which some have equal bases (matched), of
which some are signal:

    matches   one bit per detection            told_bits   one bit per disclosed event (decoy, vacuum, chosen signal)
    signals   one bit per matched event        told_cells  a byte per disclosed event: 3 * basis + intensity
    decoys    one bit per matched event        key_bits    one bit per undisclosed signal event, appended
              that is no signal                key_bases   the same events' bases, appended
    chosen    one bit per signal event

Every plane has a spare byte at its end. Appended planes are zero from where the writing starts.
"""

from __future__ import annotations

import numpy as np
from numba import njit

NUM_CELLS = 6


@njit(cache=True, nogil=True)
def widest_gap(slots: np.ndarray, first_slot: int) -> int:
    """Return the largest gap between slots (uint64, increasing), the first counted from ``first_slot``; 0 for none."""
    widest = np.uint64(0)
    last = np.uint64(first_slot)
    for slot in slots:
        widest = max(widest, slot - last)
        last = slot
    return int(widest)


@njit(cache=True, nogil=True)
def pack_gaps(slots: np.ndarray, first_slot: int, width: int, body: np.ndarray) -> None:
    """Write gaps as little-endian numbers of ``width`` bytes into ``body`` (uint8, shape (slots.size * width,))."""
    last = np.uint64(first_slot)
    for i in range(slots.size):
        gap = slots[i] - last
        last = slots[i]
        for byte in range(width):
            body[i * width + byte] = np.uint8((gap >> np.uint64(8 * byte)) & np.uint64(255))


@njit(cache=True, nogil=True)
def unpack_gaps(body: np.ndarray, width: int, first_slot: int, num_slots: int, slots: np.ndarray) -> bool:
    """Undo ``pack_gaps``; return whether slots increase strictly and stay below ``first_slot + num_slots``."""
    offset = np.uint64(0)
    for i in range(slots.size):
        gap = np.uint64(0)
        for byte in range(width):
            gap |= np.uint64(body[i * width + byte]) << np.uint64(8 * byte)
        offset += gap
        if offset >= np.uint64(num_slots) or (i > 0 and gap == np.uint64(0)):
            return False
        slots[i] = np.uint64(first_slot) + offset
    return True


@njit(cache=True, nogil=True)
def sift_events(
    bases: np.ndarray,
    bits: np.ndarray,
    intensities: np.ndarray,
    peer_bases: np.ndarray,
    draws: np.ndarray,
    threshold: int,
    matches: np.ndarray,
    signals: np.ndarray,
    decoys: np.ndarray,
    chosen: np.ndarray,
    told_bits: np.ndarray,
    told_cells: np.ndarray,
    key_bits: np.ndarray,
    key_bases: np.ndarray,
    key_start: int,
    key_stop: int,
    clicks: np.ndarray,
) -> tuple[int, int, int, int, int]:
    """Alice's part: compare bases, disclose the signal events whose draw is below ``threshold``, fill the planes.

    bases, bits, intensities: uint8, shape (n,), hers. peer_bases: a plane. draws: uint16, one per matched event.
    clicks: int64, shape (NUM_CELLS + 1,), added to; the last is for what does not match.
    Stops when the key reaches ``key_stop``. Returns the numbers of detections used, of matched, signal and told
    events, and the end of the key.
    """
    matched = signal = told = used = 0
    key = key_start
    for i in range(bases.size):
        if key == key_stop:
            break
        used += 1
        basis, intensity, bit = int(bases[i]), int(intensities[i]), int(bits[i])
        match = 1 ^ basis ^ (int(peer_bases[i >> 3]) >> (i & 7) & 1)
        is_signal = int(intensity == 0) & match
        is_other = match ^ is_signal
        is_chosen = is_signal & int(int(draws[matched]) < threshold)
        is_told, is_key = is_other | is_chosen, is_signal ^ is_chosen
        other = matched - signal
        matches[i >> 3] |= np.uint8(match << (i & 7))
        signals[matched >> 3] |= np.uint8(is_signal << (matched & 7))
        decoys[other >> 3] |= np.uint8((int(intensity == 1) & is_other) << (other & 7))
        chosen[signal >> 3] |= np.uint8(is_chosen << (signal & 7))
        told_bits[told >> 3] |= np.uint8((bit & is_told) << (told & 7))
        told_cells[told] = 3 * basis + intensity
        key_bits[key >> 3] |= np.uint8((bit & is_key) << (key & 7))
        key_bases[key >> 3] |= np.uint8((basis & is_key) << (key & 7))
        clicks[(3 * basis + intensity) * match + NUM_CELLS * (1 - match)] += 1
        matched += match
        signal += is_signal
        told += is_told
        key += is_key
    return used, matched, signal, told, key


@njit(cache=True, nogil=True)
def read_events(
    bases: np.ndarray,
    bits: np.ndarray,
    used: int,
    matches: np.ndarray,
    signals: np.ndarray,
    decoys: np.ndarray,
    chosen: np.ndarray,
    told_bits: np.ndarray,
    told_cells: np.ndarray,
    key_bits: np.ndarray,
    key_bases: np.ndarray,
    key_start: int,
    clicks: np.ndarray,
) -> int:
    """Bob's part: sort his own events by the planes that Alice told; return the end of the key.

    The planes must agree with each other in their numbers of events, and the key must have room.
    """
    matched = signal = told = 0
    key = key_start
    for i in range(used):
        basis, bit = int(bases[i]), int(bits[i])
        match = int(matches[i >> 3]) >> (i & 7) & 1
        other = matched - signal
        is_signal = int(signals[matched >> 3]) >> (matched & 7) & match
        is_other = match ^ is_signal
        is_decoy = int(decoys[other >> 3]) >> (other & 7) & is_other
        is_chosen = int(chosen[signal >> 3]) >> (signal & 7) & is_signal
        is_told, is_key = is_other | is_chosen, is_signal ^ is_chosen
        cell = 3 * basis + 2 * is_other - is_decoy
        told_bits[told >> 3] |= np.uint8((bit & is_told) << (told & 7))
        told_cells[told] = cell
        key_bits[key >> 3] |= np.uint8((bit & is_key) << (key & 7))
        key_bases[key >> 3] |= np.uint8((basis & is_key) << (key & 7))
        clicks[cell * match + NUM_CELLS * (1 - match)] += 1
        matched += match
        signal += is_signal
        told += is_told
        key += is_key
    return key


@njit(cache=True, nogil=True)
def count_errors(told_cells: np.ndarray, ours: np.ndarray, theirs: np.ndarray, errors: np.ndarray) -> None:
    """Add up differing disclosed bits: ``errors[cell]`` (int64, shape (NUM_CELLS,)). ours, theirs: planes."""
    for i in range(told_cells.size):
        errors[told_cells[i]] += int(ours[i >> 3] ^ theirs[i >> 3]) >> (i & 7) & 1
