"""Plain twins of ``kernels.photon_sampling``: the same clicks one by one, and the same law slot by slot.

``sample_clicks`` follows the same stream of random words with Python's whole numbers and gives the identical output.
``sample_every_slot`` knows nothing of tables and gaps: it prepares every pulse, counts its photons, sends each one to a
detector and lets detectors fire and sleep.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from qanat.kernels.photon_sampling import NUM_DETECTORS, THRESHOLD_BITS, UNIFORM_STEP, ClickTable

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
    table: ClickTable, *, num_slots: int, hold_off_slots: int, seed_words: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return slots and cells of the clicks in ``num_slots`` slots, as ``ClickSampler.sample`` does."""
    words = random_words([int(word) for word in np.random.SeedSequence(seed_words).generate_state(4, np.uint64)])
    live_from = [0] * NUM_DETECTORS
    slots, cells = [], []
    slot = _gap(next(words), table)
    while slot < num_slots:
        cell = _cell(next(words), table)
        clicked = [j for j in range(NUM_DETECTORS) if cell >> j & 1 and slot >= live_from[j]]
        for detector in clicked:
            live_from[detector] = slot + 1 + hold_off_slots
        if clicked:
            slots.append(slot)
            cells.append((cell & 0xF0) + sum(1 << detector for detector in clicked))
        slot += 1 + _gap(next(words), table)
    return slots, cells


def _gap(word: int, table: ClickTable) -> int:
    uniform = ((word >> 11) + 1) * UNIFORM_STEP
    return int(math.log(uniform) * table.inverse_log_silent)


def _cell(word: int, table: ClickTable) -> int:
    column = word & 255
    is_own = word >> (64 - THRESHOLD_BITS) < int(table.thresholds[column])
    return column if is_own else int(table.aliases[column])


def sample_every_slot(
    photons: NDArray[np.float64],
    p_preparations: NDArray[np.float64],
    *,
    p_dark: float,
    num_slots: int,
    hold_off_slots: int,
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw every slot: preparation, photons per detector, dark counts, hold-off.

    photons: float64, shape (12, 4): mean detected photons per preparation and detector. p_preparations: float64, shape
    (12,). p_dark: odds of a dark count per gate. Returns slots and cells of the clicks (int64, shape (n,)).
    Memory: about 60 bytes per slot.
    """
    preparations = generator.choice(p_preparations.size, size=num_slots, p=p_preparations)
    mean_photons = photons.sum(axis=1)
    # All photons of a pulse are counted first, then each is sent to one detector.
    counts = generator.poisson(mean_photons[preparations])
    fired = generator.random((num_slots, NUM_DETECTORS)) < p_dark
    for slot in np.flatnonzero(counts):
        shares = photons[preparations[slot]] / mean_photons[preparations[slot]]
        fired[slot] |= generator.multinomial(counts[slot], shares) > 0
    for detector in range(NUM_DETECTORS):
        _sleep(fired[:, detector], hold_off_slots)
    slots = np.flatnonzero(fired.any(axis=1))
    patterns = fired[slots] @ (1 << np.arange(NUM_DETECTORS))
    return slots, 16 * preparations[slots] + patterns


def _sleep(fired: NDArray[np.bool_], hold_off_slots: int) -> None:
    """Take away, in place, the clicks of one detector that fall into its hold-off; fired: bool, shape (num_slots,)."""
    live_from = 0
    for slot in np.flatnonzero(fired).tolist():
        if slot < live_from:
            fired[slot] = False
        else:
            live_from = slot + 1 + hold_off_slots
