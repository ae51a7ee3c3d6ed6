"""Requests for key served one after the other from counts of bits, to the first that finds too little."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@njit(cache=True, nogil=True)
def serve(
    times_s: NDArray[np.float64],
    slots: Whole,
    place: int,
    end: int,
    until_s: float,
    first_hop: Whole,
    hops: Whole,
    needed_bits: int,
    stock: Whole,
    served: Whole,
    refused: Whole,
    first_served: Whole,
    sequence: int,
    crossed: Whole,
) -> tuple[int, int, int]:
    """Serve requests from number ``place`` to before ``end``, all before ``until_s``, or to one that finds too little.

    A request is of a slot, whose hops are ``hops[first_hop[slot] : first_hop[slot + 1]]``, each no more than once; of
    one without hops it is refused. One that is served takes ``needed_bits`` of ``stock`` on each.
    served, refused: by slot, counted up. first_served: by slot, the number in the sequence of all that were served,
    where it is negative. crossed: filled with the hops that fell below ``needed_bits``; as long as ``stock``.
    Returns the number of the first request that was not dealt with, that in the sequence, and how many hops crossed.
    """
    num_crossed = 0
    while place < end and times_s[place] < until_s:
        slot = slots[place]
        first, last = first_hop[slot], first_hop[slot + 1]
        for k in range(first, last):
            if stock[hops[k]] < needed_bits:
                return place, sequence, num_crossed
        place += 1
        if first == last:
            refused[slot] += 1
            continue
        for k in range(first, last):
            hop = hops[k]
            stock[hop] -= needed_bits
            if stock[hop] < needed_bits:
                crossed[num_crossed] = hop
                num_crossed += 1
        served[slot] += 1
        if first_served[slot] < 0:
            first_served[slot] = sequence
        sequence += 1
    return place, sequence, num_crossed
