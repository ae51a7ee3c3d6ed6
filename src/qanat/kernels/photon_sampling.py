"""Which pulse clicked where: draws detector clicks of billions of pulses, paying only for those that click.

A *cell* is everything that one slot can be: what Alice prepared and which of Bob's four detectors fired. In one byte::

    cell = 16 * preparation + pattern        preparation = 4 * intensity + 2 * basis + bit

with ``pattern`` one bit per detector: 1 and 2 rectilinear (bit 0, bit 1), 4 and 8 diagonal. Slots are independent as
long as every detector is live. So the gap to the next slot in which at least one would fire is geometric, its cell
comes from one table (Walker's alias method), and the hold-off of each detector then takes away the clicks that it
slept through. This is the exact law of drawing every slot, at the price of the clicks alone.

**After-pulses.** Every click leaves, with the after-pulse odds of its detector, one charge behind. It is released a
geometric number of slots (an exponential decay, seen at whole slots) after the hold-off has ended, and is then a click
like any other: it starts a hold-off and may leave a charge. A click of the same detector that comes first takes the
charge with it. So the clicks of one detector are a renewal process, and at most one charge per detector is on its way.
Which clicks leave charges is drawn as the number of clicks until the next that does (geometric), so a click costs one
subtraction, and what is rare is done out of line. A slot in which nothing but a charge makes a click gets what Alice
prepared there from its odds given that no light and no dark count was registered.

The generator is xoshiro256++ (Blackman and Vigna, ACM Trans. Math. Softw. 47, 36, 2021), two draws per candidate and
four per after-pulse. All state lives in arrays, so a run may stop at any slot and go on later with the same outcome.

**Drift** is a new table now and then (``ClickSampler.renew``). Hold-off, charges and the count to the next charge stay
as they are: they are the detectors' past. Only the candidate is drawn anew, from the first slot that has not been
drawn; a geometric gap has no memory, so this is the exact law of slots whose odds change there, and no slot is lost.
The plain twin, equal click for click, is ``kernels.reference.photon_sampling``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from qanat.kernels.click_law import (
    NUM_DETECTORS,
    NUM_PATTERNS,
    ClickLaw,
    DetectorMemory,
    Words,
    click_law,
    click_table,
)

UNIFORM_STEP: Final = 2.0**-53

NEVER: Final = 1 << 63
"""A slot that no run reaches, and a count that never runs out."""

CLICKS_OF_PATTERNS: Final = sum(pattern.bit_count() << (4 * pattern) for pattern in range(NUM_PATTERNS))
"""Four bits per pattern: how many detectors click in it."""


class ClickState(NamedTuple):
    """All that the compiled loop changes.

    generator: uint64, shape (4,). candidate: uint64, shape (1,): the next slot in which some detector would fire.
    live_from: uint64, shape (4,): each detector's first live slot. release: uint64, shape (4,): when each detector's
    charge makes it click, or NEVER. countdown: int64, shape (1,): the how-manieth click from here leaves a charge.
    """

    generator: Words
    candidate: Words
    live_from: Words
    release: Words
    countdown: NDArray[np.int64]


def first_state(law: ClickLaw, seed_words: Sequence[int]) -> ClickState:
    """Return the state before the first slot: all detectors live, no charges."""
    state = ClickState(
        generator=np.random.SeedSequence(seed_words).generate_state(4, np.uint64).astype(np.uint64),
        candidate=np.zeros(1, dtype=np.uint64),
        live_from=np.zeros(NUM_DETECTORS, dtype=np.uint64),
        release=np.full(NUM_DETECTORS, NEVER, dtype=np.uint64),
        countdown=np.zeros(1, dtype=np.int64),
    )
    draw_first(state, law)
    return state


class ClickSampler:
    """A stream of clicks that may be drawn in chunks of any size, with the same outcome.

    seed_words: 32-bit words of the generator's seed. Memory is bounded by the chunk's expected number of clicks.
    """

    def __init__(self, cell_odds: NDArray[np.float64], *, memory: DetectorMemory, seed_words: Sequence[int]) -> None:
        self._memory = memory
        self._law = click_law(click_table(cell_odds), memory)
        self._state = first_state(self._law, seed_words)
        self.next_slot = 0
        """The first slot that has not been drawn."""

    def renew(self, cell_odds: NDArray[np.float64]) -> None:
        """Draw the slots from ``next_slot`` on from these odds; float64, shape (192,), as at the start."""
        self._law = click_law(click_table(cell_odds), self._memory)
        self._state.candidate[0] = self.next_slot
        draw_candidate(self._state, self._law)

    def sample(self, num_slots: int) -> tuple[Words, NDArray[np.uint8]]:
        """Draw the next ``num_slots`` slots.

        Returns the slots with a click (uint64, increasing, shape (n,)) and their cells (uint8, shape (n,)); a cell's
        pattern holds the clicks that happened: those lost to hold-off are not in it, after-pulses are.
        """
        if num_slots < 1:
            raise ValueError(f"num_slots must be positive, got {num_slots}")
        end = self.next_slot + num_slots
        expected = num_slots * min(1.0, self._p_click())
        capacity = int(expected + 6 * math.sqrt(expected)) + 16
        parts: list[tuple[Words, NDArray[np.uint8]]] = []
        while self._next_event() < end:
            slots = np.empty(capacity, dtype=np.uint64)
            cells = np.empty(capacity, dtype=np.uint8)
            count = sample_clicks(self._state, self._law, end, slots, cells)
            parts.append((slots[:count], cells[:count]))
        self.next_slot = end
        return _joined(parts)

    def _p_click(self) -> float:
        """An upper bound of the odds that a slot holds a click, after-pulses included."""
        return -math.expm1(1.0 / self._law.inverse_log_silent) / (1 - max(self._memory.p_afterpulse))

    def _next_event(self) -> int:
        return min(int(self._state.candidate[0]), int(self._state.release.min()))


def _joined(parts: list[tuple[Words, NDArray[np.uint8]]]) -> tuple[Words, NDArray[np.uint8]]:
    if len(parts) == 1:
        return parts[0]
    slots = [np.empty(0, dtype=np.uint64), *(part[0] for part in parts)]
    cells = [np.empty(0, dtype=np.uint8), *(part[1] for part in parts)]
    return np.concatenate(slots), np.concatenate(cells)


@njit(inline="always")
def _rotate_left(word: np.uint64, count: np.uint64) -> np.uint64:
    return (word << count) | (word >> (np.uint64(64) - count))


@njit(inline="always")
def _next_word(
    s0: np.uint64, s1: np.uint64, s2: np.uint64, s3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64, np.uint64]:
    """One step of xoshiro256++: the output word and the new state."""
    word = _rotate_left(s0 + s3, np.uint64(23)) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    s1 ^= s2
    s0 ^= s3
    s2 ^= shifted
    s3 = _rotate_left(s3, np.uint64(45))
    return word, s0, s1, s2, s3


@njit(inline="always")
def _gap(word: np.uint64, inverse_log_silent: float) -> np.uint64:
    """Silent slots before the next candidate: P(gap >= g) = (odds of silence)^g."""
    uniform = (np.float64(word >> np.uint64(11)) + 1.0) * UNIFORM_STEP
    return np.uint64(math.log(uniform) * inverse_log_silent)


@njit(inline="always")
def _draw(generator: Words) -> np.uint64:
    """One word, with the generator's state in its array: for what is rare."""
    word, s0, s1, s2, s3 = _next_word(generator[0], generator[1], generator[2], generator[3])
    generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
    return word


@njit(cache=True, nogil=True)
def draw_candidate(state: ClickState, law: ClickLaw) -> None:
    """Move the candidate from the slot where it stands to the next one in which some detector would fire."""
    state.candidate[0] += _gap(_draw(state.generator), law.inverse_log_silent)


@njit(cache=True, nogil=True)
def draw_first(state: ClickState, law: ClickLaw) -> None:
    """Move the candidate from the first slot to the first with a click, and draw the first click with a charge."""
    draw_candidate(state, law)
    _draw_countdown(state, law)


@njit(nogil=True)
def _draw_countdown(state: ClickState, law: ClickLaw) -> None:
    if law.inverse_log_uncharged == 0.0:
        state.countdown[0] = np.int64(NEVER - 1)
    else:
        state.countdown[0] = np.int64(1) + np.int64(_gap(_draw(state.generator), law.inverse_log_uncharged))


@njit(nogil=True)
def _leave_charge(state: ClickState, law: ClickLaw, slot: np.uint64, cell: np.uint64) -> None:
    """Count the clicks of this slot, detector by detector, and leave the charges that fall due.

    ``state.countdown`` is what it was before the slot.
    """
    for detector in range(NUM_DETECTORS):
        if (cell >> np.uint64(detector)) & np.uint64(1):
            state.countdown[0] -= 1
            if state.countdown[0] == 0:
                if (_draw(state.generator) >> np.uint64(8)) < law.charge_thresholds[detector]:
                    delay = _gap(_draw(state.generator), -law.decay_slots[detector])
                    state.release[detector] = slot + law.dead_slots[detector] + delay
                _draw_countdown(state, law)


@njit(nogil=True)
def _earliest(release: Words) -> np.uint64:
    return min(min(release[0], release[1]), min(release[2], release[3]))


@njit(nogil=True)
def _released(state: ClickState, slot: np.uint64) -> np.uint64:
    """The detectors whose charge goes in this slot."""
    pattern = np.uint64(0)
    for detector in range(NUM_DETECTORS):
        if state.release[detector] == slot:
            pattern |= np.uint64(1) << np.uint64(detector)
    return pattern


@njit(nogil=True)
def _forget_charges(state: ClickState, cell: np.uint64) -> None:
    """A detector that clicks loses the charge that was on its way."""
    for detector in range(NUM_DETECTORS):
        if (cell >> np.uint64(detector)) & np.uint64(1):
            state.release[detector] = np.uint64(NEVER)


@njit(nogil=True)
def _silent_preparation(state: ClickState, law: ClickLaw) -> np.uint64:
    """The cell, without clicks, of a slot in which no light and no dark count is registered."""
    draw = _draw(state.generator) >> np.uint64(8)
    preparation = 0
    while draw >= law.silent[preparation]:
        preparation += 1
    return np.uint64(preparation) << np.uint64(4)


@njit(cache=True, nogil=True)
def sample_clicks(
    state: ClickState, law: ClickLaw, end_slot: int, out_slots: Words, out_cells: NDArray[np.uint8]
) -> int:
    """Draw clicks up to ``end_slot`` (exclusive), or until the output is full; return how many were written.

    state: updated; the candidate and all releases are at or past ``end_slot`` when done. out_slots: uint64, out_cells:
    uint8, same shape, written.
    """
    generator = state.generator
    s0, s1, s2, s3 = generator[0], generator[1], generator[2], generator[3]
    live_0, live_1, live_2, live_3 = state.live_from[0], state.live_from[1], state.live_from[2], state.live_from[3]
    dead_0, dead_1, dead_2, dead_3 = law.dead_slots[0], law.dead_slots[1], law.dead_slots[2], law.dead_slots[3]
    candidate, release, countdown = state.candidate[0], _earliest(state.release), state.countdown[0]
    end, capacity, count = np.uint64(end_slot), out_slots.size, 0
    while count < capacity:
        slot = min(candidate, release)
        if slot >= end:
            break
        if slot == candidate:
            word, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
            column = word & np.uint64(255)
            cell = np.uint64(law.aliases[column])
            if (word >> np.uint64(8)) < law.thresholds[column]:
                cell = column
            live = np.uint64(slot >= live_0) | np.uint64(slot >= live_1) << np.uint64(1)
            live |= np.uint64(slot >= live_2) << np.uint64(2) | np.uint64(slot >= live_3) << np.uint64(3)
            cell &= np.uint64(0xF0) | live
        else:
            generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
            cell = _silent_preparation(state, law)
            s0, s1, s2, s3 = generator[0], generator[1], generator[2], generator[3]
        if release != np.uint64(NEVER):
            cell |= _released(state, slot)
            _forget_charges(state, cell)
            release = _earliest(state.release)
        # Written always, kept only if some detector clicked: no branch to predict.
        out_slots[count] = slot
        out_cells[count] = np.uint8(cell)
        count += int((cell & np.uint64(15)) != np.uint64(0))
        live_0 = slot + dead_0 if cell & np.uint64(1) else live_0
        live_1 = slot + dead_1 if cell & np.uint64(2) else live_1
        live_2 = slot + dead_2 if cell & np.uint64(4) else live_2
        live_3 = slot + dead_3 if cell & np.uint64(8) else live_3
        clicks = np.int64((np.uint64(CLICKS_OF_PATTERNS) >> ((cell & np.uint64(15)) << np.uint64(2))) & np.uint64(15))
        if countdown > clicks:
            countdown -= clicks
        else:
            generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
            state.countdown[0] = countdown
            _leave_charge(state, law, slot, cell)
            s0, s1, s2, s3 = generator[0], generator[1], generator[2], generator[3]
            countdown, release = state.countdown[0], _earliest(state.release)
        if slot == candidate:
            word, s0, s1, s2, s3 = _next_word(s0, s1, s2, s3)
            candidate += np.uint64(1) + _gap(word, law.inverse_log_silent)
    generator[0], generator[1], generator[2], generator[3] = s0, s1, s2, s3
    state.live_from[0], state.live_from[1], state.live_from[2], state.live_from[3] = live_0, live_1, live_2, live_3
    state.candidate[0], state.countdown[0] = candidate, countdown
    return count
