"""The compiled loop over a day's requests does what its plain twin does."""

from __future__ import annotations

import numpy as np
import pytest

from qanat.kernels import serving
from qanat.kernels.reference import serving as plain

NUM_HOPS, NEEDED_BITS = 12, 100


@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_serves_refuses_and_stops_as_the_plain_twin_does(seed: int) -> None:
    generator = np.random.default_rng(seed)
    ways = [generator.permutation(NUM_HOPS)[: generator.integers(0, 5)].tolist() for _ in range(6)]
    times_s = np.sort(generator.random(60))
    slots = generator.integers(0, len(ways), size=60)
    stock = generator.integers(0, 20 * NEEDED_BITS, size=NUM_HOPS)
    until_s = 0.8

    expected_stock = stock.tolist()
    requests = list(zip(times_s.tolist(), slots.tolist(), strict=True))
    served, refused, crossed = plain.serve(
        requests, until_s=until_s, ways=ways, needed_bits=NEEDED_BITS, stock=expected_stock
    )

    first_hop = np.cumsum([0, *map(len, ways)])
    hops = np.array([hop for way in ways for hop in way], dtype=np.int64)
    counts, refusals = np.zeros((2, len(ways)), dtype=np.int64)
    first_served, fell = np.full(len(ways), -1), np.zeros(NUM_HOPS, dtype=np.int64)
    place, sequence, num_fell = serving.serve(
        *(times_s, slots, 0, len(slots), until_s, first_hop, hops, NEEDED_BITS),
        *(stock, counts, refusals, first_served, 0, fell),
    )
    assert place == len(served) + len(refused)
    assert sequence == len(served)
    assert stock.tolist() == expected_stock
    assert counts.tolist() == [served.count(slot) for slot in range(len(ways))]
    assert refusals.tolist() == [refused.count(slot) for slot in range(len(ways))]
    assert first_served.tolist() == [served.index(slot) if slot in served else -1 for slot in range(len(ways))]
    assert fell[:num_fell].tolist() == crossed
