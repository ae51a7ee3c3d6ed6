"""Cascade's inner loops: parities of many frames at once, and binary searches in lockstep.

Cascade (Brassard, Salvail, EUROCRYPT '93, LNCS 765, 410) cuts a permuted frame into blocks, compares their parities,
and halves each odd block until an error stands alone; the correction turns blocks of other passes odd again. Parities
that were heard once are used for ever ("sub-block reuse", Martinez-Mateo et al., Quantum Inf. Comput. 15, 453, 2015).

Each pass is a binary tree over a frame of ``n = 2**m`` places: node 1 is the frame, ``2 v`` and ``2 v + 1`` are the
halves of ``v``, node ``n + i`` is place ``i``. A *question* asks Alice for the parity of the left half of a node:
``slot << 17 | node``. Slots 0 to 2 are the passes with a permutation. In slot 3, HALVES, the tree compares only those
places that are in a random half of the frame; it is used anew for each half that differs.

Invariant: the nodes that are not split but whose parent is (or that are blocks) cut each pass into intervals whose
parity Alice has told; ODD says that Bob's differs. The search is over when none is odd.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels.bitarrays import leading_zeros, popcount

SLOTS = 4
HALVES = 3
SLOT_SHIFT = 17
NODE_MASK = 2**SLOT_SHIFT - 1
MAX_LOG_FRAME = 16
"""Places of a frame fit 16 bits."""

SPLIT = np.uint8(1)
ODD = np.uint8(2)
WAITING = np.uint8(4)
"""In the list of nodes to ask about: a node enters it once, however often its parity turns."""

DONE, CONTRADICTION, OVERFLOW = 0, 1, 2
"""What ``absorb`` says: fine; parities that no frame has; more questions at once than any honest run asks."""


@njit(cache=True, nogil=True)
def shuffle(seed: np.uint64, order: np.ndarray, inverse: np.ndarray) -> None:
    """Fill ``order`` with a permutation drawn from ``seed``, and ``inverse`` with its inverse.

    order, inverse: uint16, shape (n,), n <= 65,536. The generator is splitmix64 (Steele, Lea, Flood, OOPSLA 2014), the
    shuffle is Fisher and Yates's; both parties get the same whatever library versions they run.
    """
    for i in range(order.size):
        order[i] = i
    state = seed
    for i in range(order.size - 1, 0, -1):
        state += np.uint64(0x9E3779B97F4A7C15)
        word = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
        j = ((word >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32)
        order[i], order[j] = order[j], order[i]
    for i in range(order.size):
        inverse[order[i]] = i


@njit(cache=True, nogil=True)
def prefix_parities(frames: np.ndarray, order: np.ndarray, prefix: np.ndarray) -> None:
    """Sum up frames in a permuted order: the parity of places a to b - 1 is ``prefix[:, b] ^ prefix[:, a]``.

    frames: uint64, side by side, shape (num_groups, n). order: uint16, shape (n,).
    prefix: uint64, shape (num_groups, n + 1), overwritten.
    """
    for group in range(frames.shape[0]):
        total = np.uint64(0)
        prefix[group, 0] = total
        for i in range(order.size):
            total ^= frames[group, order[i]]
            prefix[group, i + 1] = total


@njit(cache=True, nogil=True)
def masked_prefix_parities(frames: np.ndarray, mask: np.ndarray, prefix: np.ndarray) -> None:
    """Sum up the places that ``mask`` (uint64, shape (n / 64,)) selects, in their own order; see above."""
    for group in range(frames.shape[0]):
        total = np.uint64(0)
        prefix[group, 0] = total
        for i in range(frames.shape[1]):
            chosen = (mask[i >> 6] >> np.uint64(i & 63)) & np.uint64(1)
            total ^= frames[group, i] & (np.uint64(0) - chosen)
            prefix[group, i + 1] = total


@njit(cache=True, nogil=True)
def masked_parities(frames: np.ndarray, masks: np.ndarray, parities: np.ndarray) -> None:
    """Add up the places that each mask selects.

    frames: uint64, side by side, shape (num_groups, n). masks: uint64, shape (num_masks, n / 64).
    parities: uint64, shape (num_groups, num_masks), overwritten.
    """
    for group in range(frames.shape[0]):
        for number in range(masks.shape[0]):
            total = np.uint64(0)
            for word in range(masks.shape[1]):
                mask = masks[number, word]
                for bit in range(64):
                    chosen = (mask >> np.uint64(bit)) & np.uint64(1)
                    total ^= frames[group, 64 * word + bit] & (np.uint64(0) - chosen)
            parities[group, number] = total


@njit(cache=True, nogil=True)
def answer(prefixes: np.ndarray, questions: np.ndarray, counts: np.ndarray, answers: np.ndarray) -> None:
    """Alice's part: the parity of the left half of each node asked about.

    prefixes: uint64, shape (SLOTS, num_groups, n + 1). questions: uint32, by frame; counts: uint32, shape
    (num_frames,), how many of them each frame has. answers: uint8 zeros, shape (ceil(num_questions / 8),), filled
    lowest bit first: secret until sent, leaked afterwards.
    """
    places = prefixes.shape[2] - 1
    asked = 0
    for frame in range(counts.size):
        group, lane = frame >> 6, np.uint64(frame & 63)
        for _ in range(counts[frame]):
            slot, node = questions[asked] >> SLOT_SHIFT, questions[asked] & NODE_MASK
            start, size = _left_half(node, places)
            parity = (prefixes[slot, group, start + size] ^ prefixes[slot, group, start]) >> lane
            answers[asked >> 3] |= np.uint8((parity & np.uint64(1)) << np.uint64(asked & 7))
            asked += 1


@njit(cache=True, nogil=True)
def open_pass(
    odd: np.ndarray, slot: int, nodes: np.ndarray, next_questions: np.ndarray, next_counts: np.ndarray
) -> int:
    """Bob's part: begin a pass with the blocks whose parities differ.

    odd: uint64, shape (num_groups, num_blocks), a bit per frame. nodes: uint8, shape (num_frames, SLOTS, 2 n), zero
    in this slot. next_questions: uint32, filled; next_counts: uint32, shape (num_frames,), overwritten.
    Returns DONE or OVERFLOW.
    """
    num_blocks = odd.shape[1]
    asked = 0
    for frame in range(next_counts.size):
        group, lane = frame >> 6, np.uint64(frame & 63)
        first = asked
        for block in range(num_blocks):
            if (odd[group, block] >> lane) & np.uint64(1):
                if asked == next_questions.size:
                    return OVERFLOW
                nodes[frame, slot, num_blocks + block] = ODD | WAITING
                next_questions[asked] = slot << SLOT_SHIFT | (num_blocks + block)
                asked += 1
        next_counts[frame] = asked - first
    return DONE


@njit(cache=True, nogil=True)
def absorb(
    frames: np.ndarray,
    prefixes: np.ndarray,
    orders: np.ndarray,
    inverses: np.ndarray,
    num_blocks: np.ndarray,
    mask: np.ndarray,
    moved: np.ndarray,
    nodes: np.ndarray,
    questions: np.ndarray,
    counts: np.ndarray,
    answers: np.ndarray,
    queue: np.ndarray,
    next_questions: np.ndarray,
    next_counts: np.ndarray,
) -> int:
    """Bob's part: take Alice's answers, correct what stands alone, and say what to ask next.

    frames: uint64, side by side, shape (num_groups, n): Bob's bits, corrected in place.
    prefixes: as of the beginning of each pass; moved: uint64, shape (num_frames, SLOTS, n / 64), places corrected
    since, in the order of that pass.
    orders, inverses: uint16, shape (SLOTS, n). num_blocks: int64, shape (SLOTS,), 0 for a pass that has not begun.
    mask: uint64, shape (n / 64,), the half that HALVES compares. nodes: uint8, shape (num_frames, SLOTS, 2 n).
    questions, counts, answers: as in ``answer``. queue: uint32 scratch, shape (SLOTS * n,).
    next_questions, next_counts: filled like questions and counts.
    Returns DONE, CONTRADICTION or OVERFLOW.
    """
    asked = 0
    written = 0
    for frame in range(counts.size):
        length = _split_nodes(
            *(frame, questions, asked, asked + counts[frame], answers),
            *(frames, prefixes, orders, inverses, num_blocks, mask, moved, nodes, queue),
        )
        asked += counts[frame]
        first = written
        for i in range(length):
            slot, node = int(queue[i] >> SLOT_SHIFT), int(queue[i] & NODE_MASK)
            if nodes[frame, slot, node] & ODD:
                if node >= frames.shape[1]:
                    return CONTRADICTION
                if written == next_questions.size:
                    return OVERFLOW
                next_questions[written] = queue[i]
                written += 1
            else:
                nodes[frame, slot, node] &= ~WAITING
        next_counts[frame] = written - first
    return DONE


@njit(cache=True, nogil=True)
def _split_nodes(  # type: ignore[no-untyped-def]
    frame, questions, first, stop, answers, frames, prefixes, orders, inverses, num_blocks, mask, moved, nodes, queue
):
    """Split the nodes asked about in one frame; list halves that are odd, correct single places.

    Returns the length of the list, nodes that became even since included.
    """
    places = frames.shape[1]
    group, lane = frame >> 6, np.uint64(frame & 63)
    length = 0
    for asked in range(first, stop):
        slot, node = int(questions[asked] >> SLOT_SHIFT), int(questions[asked] & NODE_MASK)
        start, size = _left_half(node, places)
        theirs = np.uint64(answers[asked >> 3] >> np.uint8(asked & 7))
        ours = (prefixes[slot, group, start + size] ^ prefixes[slot, group, start]) >> lane
        ours ^= _parity_moved(moved[frame, slot], start, size)
        left = np.uint8((theirs ^ ours) & np.uint64(1)) * ODD
        right = left ^ (nodes[frame, slot, node] & ODD)
        nodes[frame, slot, node] = SPLIT
        nodes[frame, slot, 2 * node], nodes[frame, slot, 2 * node + 1] = left, right
        for child, odd in ((2 * node, left), (2 * node + 1, right)):
            if odd and size > 1:
                nodes[frame, slot, child] = ODD | WAITING
                queue[length] = slot << SLOT_SHIFT | child
                length += 1
            elif odd:
                place = orders[slot, child - places]
                length = _correct(frame, place, frames, inverses, num_blocks, mask, moved, nodes, queue, length)
    return length


@njit(cache=True, nogil=True)
def _correct(frame, place, frames, inverses, num_blocks, mask, moved, nodes, queue, length):  # type: ignore[no-untyped-def]
    """Turn one bit; list the nodes that become odd by it; return the new length of the list."""
    places = frames.shape[1]
    frames[frame >> 6, place] ^= np.uint64(1) << np.uint64(frame & 63)
    for slot in range(SLOTS):
        outside = slot == HALVES and not (mask[place >> 6] >> np.uint64(place & 63)) & np.uint64(1)
        if num_blocks[slot] == 0 or outside:
            continue
        where = int(inverses[slot, place])
        moved[frame, slot, where >> 6] ^= np.uint64(1) << np.uint64(where & 63)
        depth = _floor_log2(places) - _floor_log2(num_blocks[slot])
        node = (places + where) >> depth
        while nodes[frame, slot, node] & SPLIT:
            depth -= 1
            node = (places + where) >> depth
        state = nodes[frame, slot, node] ^ ODD
        if state & ODD and not state & WAITING:
            state |= WAITING
            queue[length] = slot << SLOT_SHIFT | node
            length += 1
        nodes[frame, slot, node] = state
    return length


@njit(cache=True, nogil=True)
def _left_half(node, places):  # type: ignore[no-untyped-def]
    """Return first place and number of places of the left half of a node."""
    level = _floor_log2(node) + 1
    size = places >> level
    return (2 * int(node) - (1 << level)) * size, size


@njit(cache=True, nogil=True)
def _parity_moved(moved, start, size):  # type: ignore[no-untyped-def]
    """Return, in bit 0, the parity of the places ``start`` to ``start + size - 1`` of a packed map."""
    if size < 64:
        chosen = ((np.uint64(1) << np.uint64(size)) - np.uint64(1)) << np.uint64(start & 63)
        return popcount(moved[start >> 6] & chosen)
    total = np.uint64(0)
    for i in range(start >> 6, (start + size) >> 6):
        total ^= moved[i]
    return popcount(total)


@njit(cache=True, nogil=True)
def _floor_log2(value):  # type: ignore[no-untyped-def]
    return 63 - int(leading_zeros(np.uint64(value)))
