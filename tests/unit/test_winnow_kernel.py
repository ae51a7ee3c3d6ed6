"""The compiled loops of Winnow against their plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import winnow
from qanat.kernels.reference import winnow as plain


def side_by_side(bits: np.ndarray) -> np.ndarray:
    """Bits of shape (num_frames, n) as uint64 of shape (num_groups, n)."""
    num_frames, places = bits.shape
    frames = np.zeros((-(-num_frames // 64), places), dtype=np.uint64)
    for frame in range(num_frames):
        frames[frame // 64] |= bits[frame].astype(np.uint64) << np.uint64(frame % 64)
    return frames


@pytest.mark.parametrize("num_frames", [1, 3, 63, 64, 65])
@pytest.mark.parametrize("log_block", [3, 5, 7])
def test_a_pass_corrects_what_the_twin_corrects(num_frames: int, log_block: int) -> None:
    draw = np.random.default_rng(num_frames)
    places = 128
    alice = draw.integers(0, 2, (num_frames, places))
    bob = alice ^ (draw.random((num_frames, places)) < 0.04)
    order = draw.permutation(places).astype(np.uint16)
    words = [side_by_side(bits) for bits in (alice, bob)]
    syndromes = [np.empty((frames.shape[0], places >> log_block, log_block + 1), np.uint64) for frames in words]
    for frames, computed in zip(words, syndromes, strict=True):
        winnow.block_syndromes(frames, order, log_block, computed)
    chosen = np.ascontiguousarray((syndromes[0] ^ syndromes[1])[:, :, log_block])
    num_bits = winnow.count_ones(chosen) * log_block
    picked = np.zeros((num_bits + 7) // 8, dtype=np.uint8)
    winnow.pick_syndromes(syndromes[0], chosen, picked)
    winnow.correct(words[1], order, syndromes[1], chosen, picked)
    twin = bob.tolist()
    for frame in range(num_frames):
        plain.correct(alice[frame].tolist(), twin[frame], order.tolist(), log_block=log_block)
    assert (words[1] == side_by_side(np.array(twin))).all()


def test_one_error_in_a_block_is_found_wherever_it_is() -> None:
    alice = [0, 1, 1, 0, 1, 0, 0, 1]
    for place in range(8):
        bob = list(alice)
        bob[place] ^= 1
        plain.correct(alice, bob, range(8), log_block=3)
        assert bob == alice


def test_two_errors_stay_and_three_become_four() -> None:
    alice = [0] * 8
    for errors, left in (((1, 6), 2), ((0, 3, 5), 4)):
        bob = [int(place in errors) for place in range(8)]
        plain.correct(alice, bob, range(8), log_block=3)
        assert sum(bob) == left


def test_nothing_chosen_is_nothing_told() -> None:
    syndromes = np.zeros((1, 4, 4), dtype=np.uint64)
    chosen, picked = np.zeros((1, 4), dtype=np.uint64), np.zeros(0, dtype=np.uint8)
    winnow.pick_syndromes(syndromes, chosen, picked)
    assert winnow.count_ones(chosen) == 0
