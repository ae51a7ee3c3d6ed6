"""Frames side by side, bit by bit: what ``kernels.bitarrays`` computes."""

from __future__ import annotations


def spread_frames(stream: int, num_frames: int, num_places: int) -> list[list[int]]:
    """Return bits [frame][place] of a key held as an integer, lowest bit first: bit ``i * num_frames + f``."""
    return [[stream >> (i * num_frames + f) & 1 for i in range(num_places)] for f in range(num_frames)]


def join_frames(frames: list[list[int]]) -> int:
    """Undo ``spread_frames``."""
    return sum(bit << (i * len(frames) + f) for f, frame in enumerate(frames) for i, bit in enumerate(frame))
