"""Sifting with lists: what ``kernels.sifting`` sorts events into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Planes:
    """Bits and cells in order, one list entry each."""

    matches: list[int] = field(default_factory=list)
    signals: list[int] = field(default_factory=list)
    decoys: list[int] = field(default_factory=list)
    chosen: list[int] = field(default_factory=list)
    told_bits: list[int] = field(default_factory=list)
    told_cells: list[int] = field(default_factory=list)
    key_bits: list[int] = field(default_factory=list)
    key_bases: list[int] = field(default_factory=list)
    clicks: list[int] = field(default_factory=lambda: [0] * 6)


def sift_events(
    bases: Sequence[int],
    bits: Sequence[int],
    intensities: Sequence[int],
    peer_bases: Sequence[int],
    chosen: Sequence[int],
    *,
    key_room: int,
) -> Planes:
    """Return the planes of Alice's events, up to the one that fills the key."""
    planes = Planes()
    for basis, bit, intensity, peer_basis in zip(bases, bits, intensities, peer_bases, strict=True):
        if len(planes.key_bits) == key_room:
            break
        planes.matches.append(int(basis == peer_basis))
        if basis != peer_basis:
            continue
        is_chosen = intensity == 0 and chosen[len(planes.chosen)] == 1
        planes.signals.append(int(intensity == 0))
        planes.clicks[3 * basis + intensity] += 1
        if intensity == 0:
            planes.chosen.append(int(is_chosen))
        else:
            planes.decoys.append(int(intensity == 1))
        if intensity == 0 and not is_chosen:
            planes.key_bits.append(bit)
            planes.key_bases.append(basis)
        else:
            planes.told_bits.append(bit)
            planes.told_cells.append(3 * basis + intensity)
    return planes


def choose(draws: Sequence[int], survival: Sequence[int], *, num_events: int) -> list[int]:
    """Return which events the gaps drawn choose, as far as the draws reach: four bytes each, highest first.

    The other three follow only where the highest does not decide.
    """
    chosen: list[int] = []
    left = list(draws)
    while len(left) > 3:
        lowest, highest = left[0] << 24, (left[0] << 24) + 2**24 - 1
        passed, at_least = (sum(draw < probability for probability in survival[1:]) for draw in (lowest, highest))
        taken, left = (left[:1], left[1:]) if passed == at_least else (left[:4], left[4:])
        if len(taken) == 4:
            draw = int.from_bytes(bytes(taken), "big")
            passed = sum(draw < probability for probability in survival[1:])
        chosen += [0] * passed
        if passed < len(survival) - 1:
            chosen.append(1)
    return chosen[:num_events]
