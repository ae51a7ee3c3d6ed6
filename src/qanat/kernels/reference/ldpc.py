"""Sparse codes on lists of edges, lane by lane: what ``kernels.ldpc`` computes with vectors and turned words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LANES = 64
MOST_BELIEF = np.float32(24)
ONE_BITS = 127 << 23
PATIENCE = 4
LEAST_PROGRESS = 0.95

Edge = tuple[int, int]
"""Column and turn."""


def syndrome(bits: Sequence[int], rows: Sequence[Sequence[Edge]]) -> list[int]:
    """Return 64 parities per row: check ``lane`` of a row holds bit ``lane + turn`` (mod 64) of each of its columns."""
    return [
        sum(bits[LANES * column + (lane + turn) % LANES] for column, turn in row) % 2
        for row in rows
        for lane in range(LANES)
    ]


def doubt(belief: np.float32) -> np.float32:
    """Return ``2^-|belief|`` as a float's own bits give it."""
    size = min(abs(belief), MOST_BELIEF)
    return np.int32(np.float32(ONE_BITS) - size * np.float32(2**23)).view(np.float32)


def belief_of(doubts: np.float32) -> np.float32:
    """Return ``-log2(doubts)``, the inverse, between 0 and MOST_BELIEF, with the precision that is kept of it."""
    size = np.float32(127) - np.float32(doubts.view(np.int32)) * np.float32(2**-23)
    return (np.clip(size, np.float32(0), MOST_BELIEF).view(np.int32) & np.int32(-(2**16))).view(np.float32)


def decode(
    checks: Sequence[int], rows: Sequence[Sequence[Edge]], num_columns: int, belief: float, most_rounds: int
) -> tuple[list[int], int]:
    """Return the error pattern with these checks and the rounds it took; -1 rounds when none was found."""
    beliefs: NDArray[np.float32] = np.full(LANES * num_columns, belief, dtype=np.float32)
    wrong_before = 2**62
    messages: dict[tuple[int, int, int], np.float32] = {}
    for number in range(most_rounds):
        for row, edges in enumerate(rows):
            for lane in range(LANES):
                places = [LANES * column + (lane + turn) % LANES for column, turn in edges]
                others = [
                    beliefs[place] - messages.get((row, lane, i), np.float32(0)) for i, place in enumerate(places)
                ]
                total, negative = np.float32(0), checks[LANES * row + lane]
                for other in others:
                    total, negative = total + doubt(other), negative ^ int(np.signbit(other))
                for i, (place, other) in enumerate(zip(places, others, strict=True)):
                    size = belief_of(total - doubt(other))
                    messages[row, lane, i] = -size if negative ^ int(np.signbit(other)) else size
                    beliefs[place] = other + messages[row, lane, i]
        errors = [int(value < 0) for value in beliefs]
        wrong = sum(found != check for found, check in zip(syndrome(errors, rows), checks, strict=True))
        if wrong == 0:
            return errors, number + 1
        if number % PATIENCE == PATIENCE - 1:
            if wrong > LEAST_PROGRESS * wrong_before:
                return errors, -1
            wrong_before = wrong
    return errors, -1
