"""Passes that are foretold, as forecasts of the links that depend on them.

A downlink gives what its passes give, and nothing in between. Two stations share key when the satellite holds key with
both and is seen again: after each pass it announces what it has of both. So the link between them gives, in a pass, the
lesser of what is stored for the two by its end, less what was announced before; in between it is out, and what is to be
spent until the next pass must lie ready.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Link, Network
from qanat.ground.orders import LinkForecast, PassForecast


def forecasts_of_passes(
    network: Network, passes: Iterable[PassForecast], *, from_utc_s: float, until_utc_s: float
) -> list[LinkForecast]:
    """Return what the passes of a span of time mean for a network's downlinks, and for the links between stations.

    passes: all that are foretold for the span; others are left out. Links of satellites without any are out.
    """
    ordered = sorted(passes, key=lambda one: (one.rise_utc_s, one.station))
    within = [one for one in ordered if from_utc_s <= one.rise_utc_s and one.set_utc_s <= until_utc_s]
    span = (from_utc_s, until_utc_s)
    forecasts: list[LinkForecast] = []
    for link in network.links:
        if link.kind == "downlink":
            own = [one for one in within if (one.satellite, one.station) == link.ends]
            given = [(one, one.expected_bits) for one in own]
        elif link.kind == "announced":
            own = [one for one in within if one.satellite == link.satellite and one.station in link.ends]
            given = list(_announced(link, own))
        else:
            continue
        forecasts += _with_gaps(link.link_id, given, *span)
    return forecasts


def _announced(link: Link, passes: Sequence[PassForecast]) -> Iterator[tuple[PassForecast, int]]:
    """Yield with each pass what the satellite can announce in it."""
    stored, announced = defaultdict[NodeId, int](int), 0
    for one in passes:
        stored[one.station] += sum(block_shares(max(0, one.expected_bits) // 8 * 8)[1:])
        able = min(stored[end] for end in link.ends) - announced
        announced += able
        yield one, able


def _with_gaps(
    link_id: LinkId, given: Sequence[tuple[PassForecast, int]], from_utc_s: float, until_utc_s: float
) -> Iterator[LinkForecast]:
    """Yield the passes that give something, and the times between in which the link gives nothing."""
    spans = [(one.rise_utc_s, one.set_utc_s, bits) for one, bits in given if bits > 0]
    edges = [(from_utc_s, from_utc_s, 0), *spans, (until_utc_s, until_utc_s, 0)]
    for (_, begin_s, _), (end_s, until_s, bits) in pairwise(edges):
        if begin_s < end_s:
            yield LinkForecast(link_id, begin_s, end_s, 0)
        if bits:
            yield LinkForecast(link_id, max(begin_s, end_s), until_s, bits)
