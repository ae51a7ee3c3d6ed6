"""Passes that are foretold, as forecasts of the links that depend on them.

A downlink gives what its passes give, and nothing in between. Two stations share key when the satellite holds key with
both and is seen again: after each pass it announces what it has of both, of more stations the portions of each two. So
the link between them gives, in a pass, the lesser of what is stored for the two by its end; in between it is out, and
what is to be spent until the next pass must lie ready.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TypeAlias

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Link, Network
from qanat.ground.orders import LinkForecast, PassForecast
from qanat.key_management.portions import Portions

_Holder: TypeAlias = tuple[NodeId, NodeId]
"""A satellite, and a station that it has key with."""


def forecasts_of_passes(
    network: Network, passes: Iterable[PassForecast], *, from_utc_s: float, until_utc_s: float
) -> list[LinkForecast]:
    """Return what the passes of a span of time mean for a network's downlinks, and for the links between stations.

    passes: all that are foretold for the span; of others those that were before count for what they have left aboard.
    Links of satellites without any are out.
    """
    ordered = sorted(passes, key=lambda one: (one.rise_utc_s, one.station))
    within = [one for one in ordered if from_utc_s <= one.rise_utc_s and one.set_utc_s <= until_utc_s]
    span = (from_utc_s, until_utc_s)
    store, announced = SatelliteStore(network), defaultdict[LinkId, list[tuple[PassForecast, int]]](list)
    for one in ordered:
        if one.set_utc_s <= from_utc_s:
            deque(store.after(one), maxlen=0)
    for one in within:
        for link_id, bits in store.after(one):
            announced[link_id].append((one, bits))
    forecasts: list[LinkForecast] = []
    for link in network.links:
        if link.kind == "downlink":
            own = [one for one in within if (one.satellite, one.station) == link.ends]
            given = [(one, one.expected_bits) for one in own]
        elif link.kind == "announced":
            given = announced[link.link_id]
        else:
            continue
        forecasts += _with_gaps(link.link_id, given, *span)
    return forecasts


class SatelliteStore:
    """What satellites have stored with stations, and announce of it, pass after pass."""

    def __init__(self, network: Network) -> None:
        self._links = [link for link in network.relayed_links if link.kind == "announced"]
        shared_by = defaultdict[_Holder, list[LinkId]](list)
        for link in self._links:
            for holder in _holders(link):
                shared_by[holder].append(link.link_id)
        self._portions = Portions(shared_by)
        self._held = Counter[_Holder]()

    def after(self, one: PassForecast) -> Iterator[tuple[LinkId, int]]:
        """Yield, when a pass has given what is expected, each link whose ends share key then, and how many bits."""
        own = [link for link in self._links if link.satellite == one.satellite and one.station in link.ends]
        if not own:
            return
        seen = (one.satellite, one.station)
        self._held[seen] += sum(block_shares(max(0, one.expected_bits) // 8 * 8)[1:])
        self._portions.note(seen, self._held[seen])
        for link in own:
            holders = _holders(link)
            bits = min(self._portions.of(holder, link.link_id) for holder in holders) // 8 * 8
            for holder in holders:
                self._portions.take(holder, link.link_id, bits)
                self._held[holder] -= bits
            if bits:
                yield link.link_id, bits


def _holders(link: Link) -> list[_Holder]:
    return [(NodeId(link.satellite), end) for end in link.ends]


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
