"""Frames that share words against their plain twin."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import side_by_side
from qanat.kernels.reference import side_by_side as plain


@pytest.mark.parametrize("num_frames", [1, 3, 63, 64, 65, 130])
@pytest.mark.parametrize("size", [1, 63, 64, 65])
def test_frames_are_spread_as_by_the_twin_and_joined_again(num_frames: int, size: int) -> None:
    num_words = -(-num_frames * size // 64)
    stream = int.from_bytes(np.random.default_rng(size).bytes(8 * num_words), "little") % 2 ** (num_frames * size)
    words = np.frombuffer(bytearray(stream.to_bytes(8 * num_words, "little")), dtype=np.uint64)
    frames = np.empty((-(-num_frames // 64), size), dtype=np.uint64)
    side_by_side.spread_frames(words, num_frames, frames)
    bits = [[int(frames[f // 64, i]) >> f % 64 & 1 for i in range(size)] for f in range(num_frames)]
    assert bits == plain.spread_frames(stream, num_frames, size)
    joined = np.zeros(num_words, dtype=np.uint64)
    side_by_side.join_frames(frames, num_frames, joined)
    assert (joined == words).all()


@pytest.mark.parametrize("size", [1, 2, 256, 65536])
def test_a_shuffle_is_the_twins(size: int) -> None:
    order = np.empty(size, dtype=np.uint16)
    side_by_side.shuffle(np.uint64(2**64 - 3), order)
    assert order.tolist() == plain.shuffle(2**64 - 3, size)
    assert sorted(order.tolist()) == list(range(size))


@pytest.mark.parametrize("num_masks", [0, 1, 16])
def test_parities_of_masks_are_the_twins(num_masks: int) -> None:
    draw = np.random.default_rng(num_masks)
    frames, masks = draw.integers(0, 2**64, (2, 128), np.uint64), draw.integers(0, 2**64, (num_masks, 2), np.uint64)
    parities = np.empty((2, num_masks), dtype=np.uint64)
    side_by_side.masked_parities(frames, masks, parities)
    for frame in (0, 63, 64, 127):
        bits = [int(word) >> frame % 64 & 1 for word in frames[frame // 64]]
        numbers = [int(low) | int(high) << 64 for low, high in masks]
        told = [int(parities[frame // 64, i]) >> frame % 64 & 1 for i in range(num_masks)]
        assert told == [plain.masked_parity(bits, mask) for mask in numbers]
