"""Plain twins of ``kernels.photon_sampling``: the same clicks one by one, and the same law slot by slot.

``sample_clicks`` follows the same stream of random words with Python's whole numbers and gives the identical output.
``sample_every_slot`` knows nothing of tables and gaps: it prepares every pulse, counts its photons, sends each one to a
detector and lets detectors fire, sleep, and fire again by a charge left behind.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.kernels.click_law import NUM_DETECTORS, THRESHOLD_BITS, ClickTable, DetectorMemory
from qanat.kernels.photon_sampling import NEVER, UNIFORM_STEP

_WORD = (1 << 64) - 1


def random_words(state: Sequence[int]) -> Iterator[int]:
    """Yield the 64-bit words of xoshiro256++ from a state of four words.

    Source: Blackman and Vigna, ACM Trans. Math. Softw. 47, 36 (2021).
    """
    s0, s1, s2, s3 = state
    while True:
        yield (_rotate_left((s0 + s3) & _WORD, 23) + s0) & _WORD
        shifted = (s1 << 17) & _WORD
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= shifted
        s3 = _rotate_left(s3, 45)


def _rotate_left(word: int, count: int) -> int:
    return ((word << count) | (word >> (64 - count))) & _WORD


def sample_clicks(
    table: ClickTable,
    *,
    num_slots: int,
    memory: DetectorMemory,
    seed_words: Sequence[int],
    renewals: Sequence[tuple[int, ClickTable]] = (),
) -> tuple[list[int], list[int]]:
    """Return slots and cells of the clicks in ``num_slots`` slots, as ``ClickSampler.sample`` does.

    renewals: slots from which another table holds, in order, as ``ClickSampler.renew`` sets it there.
    """
    words = random_words([int(word) for word in np.random.SeedSequence(seed_words).generate_state(4, np.uint64)])
    candidate = _gap(next(words), table.inverse_log_silent)
    charges = _Charges(memory, words)
    live_from = [0] * NUM_DETECTORS
    slots, cells = [], []
    coming = deque(renewals)
    while True:
        slot = min([candidate, *charges.release.values()])
        if coming and slot >= coming[0][0]:
            first_slot, table = coming.popleft()
            candidate = first_slot + _gap(next(words), table.inverse_log_silent)
            continue
        if slot >= num_slots:
            break
        cell = _cell(next(words), table) if slot == candidate else _silent_cell(next(words), table)
        fired = [j for j in range(NUM_DETECTORS) if cell >> j & 1 and slot >= live_from[j]]
        clicked = sorted({*fired, *(j for j, due in charges.release.items() if due == slot)})
        for detector in clicked:
            live_from[detector] = slot + 1 + memory.hold_off_slots[detector]
            charges.release.pop(detector, None)
        for detector in clicked:
            charges.count_click(detector, slot)
        if clicked:
            slots.append(slot)
            cells.append((cell & 0xF0) + sum(1 << detector for detector in clicked))
        if slot == candidate:
            candidate += 1 + _gap(next(words), table.inverse_log_silent)
    return slots, cells


class _Charges:
    """The charges on their way: ``release`` has the slot of each detector that has one."""

    def __init__(self, memory: DetectorMemory, words: Iterator[int]) -> None:
        self.release: dict[int, int] = {}
        self._memory = memory
        self._words = words
        self._p_most = max(memory.p_afterpulse)
        self._countdown = self._drawn_countdown()

    def count_click(self, detector: int, slot: int) -> None:
        """Note a click, and leave a charge when it is this one's turn and the detector's share of it is met."""
        self._countdown -= 1
        if self._countdown:
            return
        memory = self._memory
        share = int(memory.p_afterpulse[detector] / self._p_most * (1 << THRESHOLD_BITS))
        if next(self._words) >> (64 - THRESHOLD_BITS) < share:
            delay = _gap(next(self._words), -memory.decay_slots[detector])
            self.release[detector] = slot + 1 + memory.hold_off_slots[detector] + delay
        self._countdown = self._drawn_countdown()

    def _drawn_countdown(self) -> int:
        return 1 + _gap(next(self._words), 1.0 / math.log1p(-self._p_most)) if self._p_most else NEVER


def _gap(word: int, inverse_log: float) -> int:
    uniform = ((word >> 11) + 1) * UNIFORM_STEP
    return int(math.log(uniform) * inverse_log)


def _cell(word: int, table: ClickTable) -> int:
    column = word & 255
    is_own = word >> (64 - THRESHOLD_BITS) < int(table.thresholds[column])
    return column if is_own else int(table.aliases[column])


def _silent_cell(word: int, table: ClickTable) -> int:
    draw = word >> (64 - THRESHOLD_BITS)
    return next(16 * k for k, threshold in enumerate(table.silent.tolist()) if draw < threshold)


def sample_every_slot(
    photons: NDArray[np.float64],
    p_preparations: NDArray[np.float64],
    *,
    p_dark: Sequence[float],
    num_slots: int,
    memory: DetectorMemory,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw every slot: preparation, photons per detector, dark counts, hold-off, after-pulses.

    photons: float64, shape (12, 4): mean detected photons per preparation and detector. p_preparations: float64, shape
    (12,). p_dark: odds of a dark count per gate and detector. Returns slots and cells of the clicks (int64, shape
    (n,)). Memory: about 60 bytes per slot.
    """
    preparations = generator.choice(p_preparations.size, size=num_slots, p=p_preparations)
    mean_photons = photons.sum(axis=1)
    # All photons of a pulse are counted first, then each is sent to one detector.
    counts = generator.poisson(mean_photons[preparations])
    fired = generator.random((num_slots, NUM_DETECTORS)) < np.asarray(p_dark)
    for slot in np.flatnonzero(counts):
        shares = photons[preparations[slot]] / mean_photons[preparations[slot]]
        fired[slot] |= generator.multinomial(counts[slot], shares) > 0
    for detector in range(NUM_DETECTORS):
        _remember(fired[:, detector], memory, detector, generator)
    slots = np.flatnonzero(fired.any(axis=1))
    patterns = fired[slots] @ (1 << np.arange(NUM_DETECTORS))
    return slots, 16 * preparations[slots] + patterns


def _remember(fired: NDArray[np.bool_], memory: DetectorMemory, detector: int, generator: np.random.Generator) -> None:
    """Turn, in place, one detector's firing into its clicks; fired: bool, shape (num_slots,).

    Slot by slot: a live detector clicks when light or dark counts fire it, or when a charge is released. In each live
    slot a charge is released with odds 1 - exp(-1 / decay_slots).
    """
    p_release = -math.expm1(-1 / memory.decay_slots[detector])
    sleeps, is_charged = 0, False
    for slot, fires in enumerate(fired.tolist()):
        if sleeps:
            sleeps -= 1
            fired[slot] = False
            continue
        if is_charged and generator.random() < p_release:
            fires = True
        fired[slot] = fires
        if fires:
            sleeps = memory.hold_off_slots[detector]
            is_charged = generator.random() < memory.p_afterpulse[detector]
