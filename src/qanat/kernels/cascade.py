"""Cascade's inner loops: binary searches in many frames, in lockstep.

Cascade (Brassard, Salvail, EUROCRYPT '93, LNCS 765, 410) cuts a permuted frame into blocks, compares their parities,
and halves each odd block until an error stands alone; the correction turns blocks of other passes odd again. Parities
that were heard once are used for ever ("sub-block reuse", Martinez-Mateo et al., Quantum Inf. Comput. 15, 453, 2015).

Passes are binary trees (``kernels.parity_trees``). A *question* asks Alice for the parity of the left half of a node:
``slot << 17 | node``. Slots 0 to 2 are the passes with a permutation. In slot 3, HALVES, the tree compares only those
places that are in a random half of the frame; it is used anew for each half that differs.

Bob's *states* hold four bits per node, sixteen nodes to a word: uint64, shape (num_frames, SLOTS, 2 n / 16). Invariant:
the KNOWN nodes cut each pass into intervals whose parity Alice has told; ODD says that Bob's differs. The search is
over when none is odd.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from qanat.kernels.bitarrays import one_per_nibble, popcount
from qanat.kernels.parity_trees import found, permuted

SLOTS = 4
HALVES = 3
SLOT_SHIFT = 17
NODE_MASK = 2**SLOT_SHIFT - 1
MAX_LOG_FRAME = 16
"""Places of a frame fit 16 bits."""

OWN, KNOWN, ODD, ASKED = (np.uint64(1 << bit) for bit in range(4))
"""OWN: the parity of Bob's bits. ASKED: a question about the node is under way."""
BOTH_KNOWN = KNOWN | (KNOWN << np.uint64(4))
RIGHT_ODD = ODD << np.uint64(4)

CONTRADICTION, OVERFLOW = -1, -2
"""Parities that no frame has; more questions at once than any honest run asks."""

_ONE = np.uint64(1)


@njit(cache=True, nogil=True)
def answer(
    trees: np.ndarray, num_begun: int, may_halve: bool, questions: np.ndarray, counts: np.ndarray, answers: np.ndarray
) -> bool:
    """Alice's part: the parity of the left half of each node asked about; False when there is no such node, or when
    the questions are not as many as ``counts`` says.

    trees: uint64, shape (num_frames, SLOTS, 2 n / 64). num_begun: passes that have begun. may_halve: whether nodes of
    HALVES may be asked about. questions: uint32, by frame; counts: uint32, shape (num_frames,), how many of them each
    frame has. answers: uint8 zeros, shape (ceil(num_questions / 8),), filled lowest bit first: secret until sent,
    leaked afterwards.
    """
    places = 32 * trees.shape[2]
    begun = min(num_begun, SLOTS if may_halve else HALVES)
    asked = 0
    for frame in range(counts.size):
        if counts[frame] > questions.size - asked:
            return False
        for _ in range(counts[frame]):
            slot, node = int(questions[asked]) >> SLOT_SHIFT, int(questions[asked]) & NODE_MASK
            if slot >= begun or node < 1 or node >= places:
                return False
            parity = (trees[frame, slot, node >> 5] >> np.uint64((2 * node) & 63)) & _ONE
            answers[asked >> 3] |= np.uint8(parity << np.uint64(asked & 7))
            asked += 1
    return asked == questions.size


@njit(cache=True, nogil=True)
def note_own(tree: np.ndarray, states: np.ndarray) -> None:
    """Bob's part: take the parities of his own bits over; nothing is known of Alice's yet.

    tree: uint64, shape (2 n / 64,). states: uint64, shape (2 n / 16,), one pass of a frame, overwritten.
    """
    for w in range(tree.size):
        for part in range(4):
            states[4 * w + part] = one_per_nibble(tree[w] >> np.uint64(16 * part))


@njit(cache=True, nogil=True)
def note_all(trees: np.ndarray, slot: int, states: np.ndarray) -> None:
    """Take over the parities of one pass of all frames. trees: uint64, shape (num_frames, 2 n / 64)."""
    for frame in range(trees.shape[0]):
        note_own(trees[frame], states[frame, slot])


@njit(cache=True, nogil=True)
def open_pass(
    theirs: np.ndarray,
    count: int,
    slot: int,
    num_blocks: int,
    states: np.ndarray,
    questions: np.ndarray,
    counts: np.ndarray,
) -> int:
    """Bob's part: begin a pass with the blocks whose parities differ.

    theirs: uint64, Alice's parities of the first ``count`` blocks of each frame, frame by frame, in a row. When the
    last is not among them, the two parities of the whole frame are equal. questions: uint32, filled; counts: uint32,
    shape (num_frames,), overwritten. Returns the number of questions, or OVERFLOW.
    """
    asked = 0
    for frame in range(counts.size):
        own = states[frame, slot]
        first, total = asked, _ONE - _ONE
        for block in range(num_blocks):
            node = num_blocks + block
            word, shift = node >> 4, np.uint64(4 * (node & 15))
            odd = total
            if block < count:
                bit = frame * count + block
                odd = ((theirs[bit >> 6] >> np.uint64(bit & 63)) ^ (own[word] >> shift)) & _ONE
            total ^= odd
            own[word] |= (KNOWN | (odd * (ODD | ASKED))) << shift
            if asked < questions.size:
                questions[asked] = slot << SLOT_SHIFT | node
            elif odd:
                return OVERFLOW
            asked += int(odd)
        counts[frame] = asked - first
    return asked


@njit(cache=True, nogil=True)
def open_half(states: np.ndarray, odd_frames: np.ndarray, questions: np.ndarray, counts: np.ndarray) -> int:
    """Bob's part: begin the search of a half in the frames (int64) in which it differs; as ``open_pass``."""
    counts[:] = 0
    if odd_frames.size > questions.size:
        return OVERFLOW
    for i in range(odd_frames.size):
        states[odd_frames[i], HALVES, 0] |= (KNOWN | ODD | ASKED) << np.uint64(4)
        questions[i] = HALVES << SLOT_SHIFT | 1
        counts[odd_frames[i]] = 1
    return int(odd_frames.size)


@njit(cache=True, nogil=True)
def look_ahead(
    questions: np.ndarray, counts: np.ndarray, depth: int, places: int, more: np.ndarray, more_counts: np.ndarray
) -> int:
    """Ask about the next ``depth`` levels below each node at once; return the number of questions, or OVERFLOW.

    A node comes before its halves. questions, counts: as ``answer`` takes them. more, more_counts: overwritten.
    """
    asked = written = 0
    for frame in range(counts.size):
        first = written
        for _ in range(counts[frame]):
            slot, node = int(questions[asked]) >> SLOT_SHIFT, int(questions[asked]) & NODE_MASK
            asked += 1
            if written + (1 << depth) > more.size:
                return OVERFLOW
            for level in range(depth):
                if (node << level) >= places:
                    break
                for number in range(1 << level):
                    more[written] = slot << SLOT_SHIFT | ((node << level) + number)
                    written += 1
        more_counts[frame] = written - first
    return written


@njit(cache=True, nogil=True)
def absorb(
    lanes: np.ndarray,
    factors: np.ndarray,
    inverses: np.ndarray,
    num_blocks: np.ndarray,
    mask: np.ndarray,
    states: np.ndarray,
    questions: np.ndarray,
    counts: np.ndarray,
    answers: np.ndarray,
    queue: np.ndarray,
    next_questions: np.ndarray,
    next_counts: np.ndarray,
) -> int:
    """Bob's part: take Alice's answers, correct what stands alone, and say what to ask next.

    lanes: uint8, side by side, shape (ceil(num_frames / 8), n): Bob's bits, corrected in place.
    factors, inverses: int64, shape (HALVES, ROUNDS): of the orders of the passes. num_blocks: int64, shape (SLOTS,), 0
    for a pass that has not begun.
    mask: uint64, shape (n / 64,), the half that HALVES compares. states: see above.
    questions, counts, answers: as in ``answer``; a node comes before its halves. queue: uint32 scratch.
    next_questions, next_counts: filled like questions and counts.
    Returns the number of questions, CONTRADICTION or OVERFLOW.
    """
    places = lanes.shape[1]
    asked = written = 0
    for frame in range(counts.size):
        stop = asked + int(counts[frame])
        length = _split_nodes(
            *(frame, questions, asked, stop, answers),
            *(lanes, factors, inverses, num_blocks, mask, states, queue),
        )
        if length < 0:
            return OVERFLOW
        asked = stop
        first = written
        for i in range(length):
            slot, node = int(queue[i]) >> SLOT_SHIFT, int(queue[i]) & NODE_MASK
            shift = np.uint64(4 * (node & 15))
            state = states[frame, slot, node >> 4] >> shift
            if state & (KNOWN | ODD | ASKED) != KNOWN | ODD:
                continue
            if node >= places:
                return CONTRADICTION
            if written == next_questions.size:
                return OVERFLOW
            states[frame, slot, node >> 4] |= ASKED << shift
            next_questions[written] = queue[i]
            written += 1
        next_counts[frame] = written - first
    return written


@njit(cache=True, nogil=True)
def _split_nodes(  # type: ignore[no-untyped-def]
    frame, questions, first, stop, answers, lanes, factors, inverses, num_blocks, mask, states, queue
):
    """Split the nodes asked about in one frame; list halves that are odd, correct single places.

    Returns the length of the list, nodes that became even since or stand in it twice included; -1 when it is full.
    """
    places = lanes.shape[1]
    all_states = states.reshape(-1)
    length = 0
    for asked in range(first, stop):
        if length + 2 * (SLOTS + 1) > queue.size:
            return -1
        question = int(questions[asked])
        slot, node = question >> SLOT_SHIFT, question & NODE_MASK
        row = (frame * SLOTS + slot) * states.shape[2]
        word, shift = row + (node >> 4), np.uint64(4 * (node & 15))
        odd = (all_states[word] >> (shift + np.uint64(2))) & _ONE
        all_states[word] &= ~((KNOWN | ODD | ASKED) << shift)
        child = 2 * node
        word, shift = row + (child >> 4), np.uint64(4 * (child & 15))
        left = (np.uint64(answers[asked >> 3] >> np.uint8(asked & 7)) ^ (all_states[word] >> shift)) & _ONE
        right = left ^ odd
        all_states[word] |= (BOTH_KNOWN | (left * ODD) | (right * RIGHT_ODD)) << shift
        if child < places:  # nothing here branches on a parity: it would be guessed wrong every other time
            queue[length] = question + node
            length += int(left)
            queue[length] = question + node + 1
            length += int(right)
            continue
        num_errors = _ONE if odd else left << _ONE
        for where in range(child - places + int(odd & right), child - places + int((odd & right) + num_errors)):
            length = _correct(frame, slot, where, lanes, factors, inverses, num_blocks, mask, all_states, queue, length)
    return length


@njit(cache=True, nogil=True, inline="always")
def _correct(  # type: ignore[no-untyped-def]
    frame, slot, where, lanes, factors, inverses, num_blocks, mask, all_states, queue, length
):
    """Turn the bit that is ``where`` in a pass; list the nodes that become odd by it; return the list's new length."""
    places = np.int64(lanes.shape[1])
    log_places = np.int64(popcount(np.uint64(places - 1)))
    place = np.int64(where) if slot == HALVES else permuted(where, factors[slot], log_places)
    lanes[frame >> 3, place] ^= np.uint8(1 << (frame & 7))
    for other in range(SLOTS):
        outside = other == HALVES and not (mask[place >> 6] >> np.uint64(place & 63)) & _ONE
        if num_blocks[other] == 0 or outside:
            continue
        row = (frame * SLOTS + other) * (places >> 3)
        node = places + (place if other == HALVES else found(place, inverses[other], log_places))
        while node > 0:
            word, shift = row + (node >> 4), np.uint64(4 * (node & 15))
            state = all_states[word] ^ (OWN << shift)
            if (state >> shift) & KNOWN:
                state ^= ODD << shift
                queue[length] = other << SLOT_SHIFT | node
                length += int((state >> (shift + np.uint64(2))) & _ONE)
                node = 0
            all_states[word] = state
            node >>= 1
    return length
