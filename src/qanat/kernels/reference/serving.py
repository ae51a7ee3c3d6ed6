"""Requests served from counts of bits: what ``kernels.serving`` does, request by request."""

from __future__ import annotations

from collections.abc import Sequence


def serve(
    requests: Sequence[tuple[float, int]],
    *,
    until_s: float,
    ways: Sequence[Sequence[int]],
    needed_bits: int,
    stock: list[int],
) -> tuple[list[int], list[int], list[int]]:
    """Serve requests (time, slot) in order until one finds too little or its time is not before ``until_s``.

    Returns the slots that were served, those refused for want of a way, and the hops that fell below ``needed_bits``,
    all in order; ``stock`` is changed in place.
    """
    served, refused, crossed = list[int](), list[int](), list[int]()
    for time_s, slot in requests:
        hops = ways[slot]
        if time_s >= until_s or any(stock[hop] < needed_bits for hop in hops):
            break
        for hop in hops:
            stock[hop] -= needed_bits
        crossed += [hop for hop in hops if stock[hop] < needed_bits]
        (served if hops else refused).append(slot)
    return served, refused, crossed
