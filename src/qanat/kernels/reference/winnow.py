"""Winnow on lists of bits: what ``kernels.winnow`` computes for many frames at once."""

from __future__ import annotations

from collections.abc import Sequence


def block_syndrome(bits: Sequence[int], places: Sequence[int]) -> tuple[int, int]:
    """Return parity and syndrome of a block: the exclusive-or of the numbers, in the block, of the ones."""
    parity, syndrome = 0, 0
    for number, place in enumerate(places):
        if bits[place]:
            parity, syndrome = parity ^ 1, syndrome ^ number
    return parity, syndrome


def correct(alice: Sequence[int], bob: list[int], order: Sequence[int], *, log_block: int) -> None:
    """Run one pass of Winnow over one frame of ``bob``, in place."""
    size = 1 << log_block
    for start in range(0, len(order), size):
        places = order[start : start + size]
        (their_parity, theirs), (our_parity, ours) = block_syndrome(alice, places), block_syndrome(bob, places)
        if their_parity != our_parity:
            bob[places[theirs ^ ours]] ^= 1
