"""What each way may carry of the shares of those who send on it: a rate of its own, as the shares were found.

Who is within his share may be on a way that has carried its part already, since another one is short. What he takes
there others have shares of, so it counts as beyond his share.

Batches are whole, and go over several ways in turn (``spreading``): a way that is passed over must keep what it could
have carried for the two batches in a row that come for it later. So a part holds one batch at least, however thin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qanat.ground.identifiers import NodeId
from qanat.ground.ports import Stopwatch
from qanat.key_management.buckets import SHARE_BURST_S, Bucket
from qanat.key_management.wire import Route, Routes, WeightedWays


class Parts:
    """The parts of the ways that begin at one node. To where no shares are told every way is free."""

    def __init__(self, clock: Stopwatch) -> None:
        self._clock = clock
        self._buckets: dict[NodeId, dict[Route, Bucket]] = {}
        self._gone: dict[Route, Bucket] = {}

    def learn(self, spreads: Sequence[WeightedWays]) -> None:
        """Take new parts in place of all before.

        A way that drops out and comes back before time has filled its bucket finds it as full as time has made it.
        """
        now_s, known = self._clock.monotonic_s(), dict(self._gone)
        for parts in self._buckets.values():
            known |= parts
        self._buckets = {}
        for row in spreads:
            here = self._buckets.setdefault(row.target, {})
            for way, weight in zip(row.ways, row.weights, strict=False):
                if weight > 0:
                    part = known.pop(way, None) or Bucket.full(weight, burst_s=SHARE_BURST_S, now_s=now_s)
                    part.set_rate(weight, now_s=now_s)
                    here[way] = part
        self._gone = {way: part for way, part in known.items() if not part.is_full(now_s)}

    def are_left(self, ways: Routes) -> bool:
        """Return whether a batch on these ways keeps within their parts. Several ways at once are taken as they come,
        since each of them is taken anyway."""
        if len(ways) != 1 or not (parts := self._buckets.get(ways[0][-1])):
            return True
        part = parts.get(ways[0])
        return part is not None and part.level(self._clock.monotonic_s()) > 0

    def wait_s(self, way: Route) -> float:
        """Return in how many seconds a way may carry something again; infinite for one that has no part."""
        part = self._buckets.get(way[-1], {}).get(way)
        return math.inf if part is None else part.wait_s(self._clock.monotonic_s())

    def pay(self, ways: Routes, num_bits: int) -> None:
        """Count a batch; less than zero gives it back."""
        for way in ways if len(ways) == 1 else ():
            if (part := self._buckets.get(way[-1], {}).get(way)) is not None:
                part.level(self._clock.monotonic_s())
                part.bits -= num_bits
                part.room_bits = abs(num_bits)
