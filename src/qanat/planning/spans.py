"""How many pairs of devices a span takes for a rate, and which spans of a network take more for a demand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import networkx as nx

from qanat.ground.errors import BadParameter, NoRoute
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.network.links import MOST_PAIRS
from qanat.physics.channels import DWDM_16
from qanat.physics.systems import system_named
from qanat.planning.direct import links_for, require_link
from qanat.quantum_layer.forecast import link_forecast
from qanat.quantum_layer.shared_fibre import shared_fibre

MOST_RATE_BITS_PER_S = 1e12


@lru_cache(maxsize=4096)
def span_rate(system: str, *, loss_db: float, pairs: int) -> float:
    """Return the rate of a fibre with so many pairs on it, in bit/s. Several take multiplexers, whose loss comes on top
    (0.99 dB), and disturb each other a little. Raises ConfigurationError for an unknown system."""
    alone = link_forecast(system, loss_db=loss_db).secret_rate_bits_per_s
    if pairs == 1:
        return alone
    return alone * shared_fibre(system_named(system), DWDM_16, loss_db=loss_db, num_pairs=pairs).gain


@lru_cache(maxsize=4096)
def pairs_for_rate(system: str, *, loss_db: float, rate_bits_per_s: float) -> int | None:
    """Return the fewest pairs on a fibre that give a rate; None when 16 do not. Raises as ``span_rate`` does."""
    alone = span_rate(system, loss_db=loss_db, pairs=1)
    if alone >= rate_bits_per_s:
        return 1
    if alone * DWDM_16.num_channels < rate_bits_per_s:  # no pair gives more than one alone does
        return None
    for pairs in range(2, DWDM_16.num_channels + 1):
        if span_rate(system, loss_db=loss_db, pairs=pairs) >= rate_bits_per_s:
            return pairs
    return None


def check_rate(rate_bits_per_s: float) -> float:
    """Return a rate that can be wanted; raises BadParameter for others."""
    if not 0 < rate_bits_per_s <= MOST_RATE_BITS_PER_S:
        raise BadParameter(f"a wanted rate of {rate_bits_per_s / 1e3:g} kbit/s", remedy="give kbit/s, more than zero")
    return rate_bits_per_s


@dataclass(frozen=True, slots=True)
class SpanNeed:
    """A link on the way of a demand: pairs that it has and pairs that it needs."""

    link: Link
    rate_bits_per_s: float
    pairs_needed: int

    @property
    def more(self) -> int:
        return max(0, self.pairs_needed - self.link.pairs)


def needs_for(
    network: Network, rates_bits_per_s: Mapping[LinkId, float], one: NodeId, other: NodeId, *, rate_bits_per_s: float
) -> tuple[SpanNeed, ...]:
    """Return the way of a demand that takes the fewest pairs more, of those the one of the fewest links.

    One way carries the whole demand. Links through switches take no further pairs. Where an end takes direct keys only,
    the way is a link between the two. Raises UnknownNode; NoDirectLink where there is none such; NoRoute when no way
    can be made wide enough; BadParameter for a rate that is none.
    """
    wanted = check_rate(rate_bits_per_s)
    ends = {network.site(one).node, network.site(other).node}
    require_link(network, one, other)
    passing = ends.union(site.node for site in network.sites if site.kind == "relay")
    graph: nx.Graph[NodeId] = nx.Graph()
    for link in links_for(network, ends):
        needed = _needed(link, wanted, rates_bits_per_s[link.link_id])
        if needed is None or not passing.issuperset(link.ends):
            continue
        need = SpanNeed(link, rates_bits_per_s[link.link_id], needed)
        cost = need.more + 1 / (2 * len(network.links) + 2)  # links count only among ways of as many pairs
        graph.add_edge(*link.ends, cost=cost, need=need)
    try:
        way = nx.dijkstra_path(graph, one, other, weight="cost")
    except (nx.NetworkXNoPath, nx.NodeNotFound):
        more = (
            "another link between the two" if network.needs_direct_key(one, other) else "spans, or relays on long ones,"
        )
        raise NoRoute(
            f"no way from {one!r} to {other!r} carries {wanted / 1e3:g} kbit/s, however many pairs its spans have",
            remedy=f"ask for less, or add {more} to the network file",
        ) from None
    return tuple(graph.edges[hop]["need"] for hop in pairwise(way))


def _needed(link: Link, wanted: float, rate_bits_per_s: float) -> int | None:
    """Return the pairs that a link needs for a rate, None where no number is enough. Where several are, their loss
    stays as it is, however many."""
    if rate_bits_per_s >= wanted:
        return link.pairs
    if link.through:
        return None
    if link.pairs == 1:
        return pairs_for_rate(link.system, loss_db=link.loss_db, rate_bits_per_s=wanted)
    each = span_rate(link.system, loss_db=link.loss_db, pairs=1)
    return next((number for number in range(link.pairs, MOST_PAIRS + 1) if number * each >= wanted), None)
