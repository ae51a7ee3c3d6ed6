"""Winnow's told bits: to charge them and to throw as many bits away come to the same length, to the bit.

The parities and Hamming syndromes of a block are linear, so what Eve lacks of a block is a rank: if she knows the bits
at some places (multi-photon pulses) and nothing of the others, and hears parities, she lacks as many bits as places
less the rank of the parities on them. All her knowledge here is of that kind; for any other the argument is the same
one-to-one map (docs/explanation/reconciliation.md).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest

from qanat.kernels import side_by_side, winnow
from qanat.postprocessing.reconciliation.frames import spread_key
from qanat.postprocessing.reconciliation.port import FrameShape


def told_of(log_block: int, *, with_syndrome: bool) -> list[int]:
    """Return what is told of a block as masks over its places: its parity, and the Hamming code's ``log_block``."""
    size = 1 << log_block
    whole = (1 << size) - 1
    code = [sum(1 << place for place in range(size) if place >> bit & 1) for bit in range(log_block)]
    return [whole, *code] if with_syndrome else [whole]


def thrown_away(log_block: int, *, with_syndrome: bool) -> int:
    """Return the mask of Buttler et al.: one place for the parity, places 2^j for the code, so that no two go twice."""
    places = {0} | ({1 << bit for bit in range(log_block)} if with_syndrome else set())
    return sum(1 << place for place in places)


def rank(masks: Iterable[int]) -> int:
    found: list[int] = []
    for mask in masks:
        for pivot in found:
            mask = min(mask, mask ^ pivot)
        if mask:
            found.append(mask)
    return len(found)


def lacks(places: int, told: list[int], *, known: int) -> int:
    """Return what Eve lacks of the bits at some places when she knows those at ``known`` and what was told.

    Of all she lacks, less what she would still lack if she were given these places too.
    """
    every = told[0]

    def lacks_all(given: int) -> int:
        unknown = every & ~given
        return unknown.bit_count() - rank(mask & unknown for mask in told)

    return lacks_all(known) - lacks_all(known | places)


@pytest.mark.parametrize("with_syndrome", [False, True])
def test_a_block_of_which_bits_were_thrown_away_hides_just_what_the_whole_block_hides(with_syndrome: bool) -> None:
    """All 256 sets of places that Eve may know, in a block of eight."""
    told = told_of(3, with_syndrome=with_syndrome)
    kept = told[0] & ~thrown_away(3, with_syndrome=with_syndrome)
    assert told[0].bit_count() - kept.bit_count() == len(told), "a bit is thrown away for each bit told"
    for known in range(256):
        whole = lacks(told[0], told, known=known)
        assert lacks(kept, told, known=known) == whole
        assert whole >= (told[0] & ~known).bit_count() - len(told), "charging grants as much, and no more is safe"


def test_to_throw_bits_away_and_charge_nothing_would_grant_too_much() -> None:
    """Eve knows half of each block of eight. By shares, four bits told and four thrown away would leave 2 of the 4 bits
    that she lacks. There are 0.4 of a bit in the mean over all such halves, and none at all in most."""
    told = told_of(3, with_syndrome=True)
    kept = told[0] & ~thrown_away(3, with_syndrome=True)
    halves = [sum(1 << place for place in places) for places in itertools.combinations(range(8), 4)]
    left = [lacks(kept, told, known=known) for known in halves]
    by_shares = 4 * kept.bit_count() / 8
    assert by_shares == 2
    assert np.mean(left) < 0.5
    assert sorted(set(left)) == [0, 1]
    assert left.count(0) > len(left) / 2


@pytest.mark.parametrize("log_block", [3, 4, 5])
def test_what_is_told_of_a_block_is_what_these_masks_say(log_block: int) -> None:
    """The masks above are the kernel's own parities and syndromes, and the places thrown away determine them."""
    size = 1 << log_block
    shape = FrameShape(1, 256)
    draw = np.random.default_rng(log_block)
    bits = draw.integers(0, 2, 256, dtype=np.uint8)
    frames = spread_key(np.packbits(bits, bitorder="little").tobytes(), shape)
    order = np.empty(256, dtype=np.uint16)
    side_by_side.shuffle(np.uint64(1), order)
    syndromes = np.empty((1, 256 // size, log_block + 1), dtype=np.uint64)
    winnow.block_syndromes(frames, order, log_block, syndromes)
    masks = told_of(log_block, with_syndrome=True)
    for block, said in enumerate(syndromes[0].tolist()):
        places = bits[order[block * size : (block + 1) * size]]
        word = sum(int(bit) << place for place, bit in enumerate(places))
        parity, code = said[log_block], said[:log_block]
        assert [parity, *code] == [(word & mask).bit_count() & 1 for mask in masks]
    away = thrown_away(log_block, with_syndrome=True)
    assert rank(mask & away for mask in masks) == len(masks) == away.bit_count()
