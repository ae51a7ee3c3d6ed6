"""A network in figures that can be compared: what it costs, whom its users must trust, what it gives."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.planning.everyone import everyone
from qanat.planning.flow import most_between
from qanat.planning.limits import limited, link_rates
from qanat.planning.prices import Bill, Prices, bill
from qanat.planning.reach import Part, Reach
from qanat.planning.shapes import MOST_DIRECT_USERS, SHAPES, Plan, switch_alone


@dataclass(frozen=True, slots=True)
class Trust:
    """How many relays know a key of two users, on the way with the fewest: mean over the pairs, and most."""

    mean: float
    most: int


@dataclass(frozen=True, slots=True)
class Measured:
    """A network in figures.

    pairs: of users that can have keys. relay_loss, switch_loss: pairs of others that lose their way with the worst
    relay or switch. each_bits_per_s: what every pair has when all ask at once. alone_bits_per_s: what one pair, of the
    first user and the one half-way round, has when nobody else asks.
    """

    bill: Bill
    pairs: int
    trust: Trust
    relay_loss: int
    switch_loss: int
    each_bits_per_s: float
    alone_bits_per_s: float

    @property
    def total_bits_per_s(self) -> float:
        """What all pairs have together when all ask at once."""
        return self.pairs * self.each_bits_per_s


def measured(network: Network, prices: Prices) -> Measured:
    """Return a network's figures; it has users. Raises ConfigurationError for an unknown system."""
    rates = link_rates(network)
    reach = Reach(network, rates)
    relays = [Part("site", site.name) for site in network.sites if site.kind == "relay"]
    switches = [Part("switch", switch.name) for switch in network.switches]
    together = everyone(network, rates)
    return Measured(
        bill=bill(network, prices),
        pairs=reach.pairs(),
        trust=trust(network, rates, reach),
        relay_loss=max((loss.pairs_lost for loss in reach.losses(relays)), default=0),
        switch_loss=max((loss.pairs_lost for loss in reach.losses(switches)), default=0),
        each_bits_per_s=together.flow.level_bits_per_s if together else 0.0,
        alone_bits_per_s=_alone(network, rates, reach),
    )


def trust(network: Network, rates_bits_per_s: Mapping[LinkId, float], reach: Reach) -> Trust:
    """Return how many relays know a key: those between two users on the way with the fewest."""
    relays = {site.node for site in network.sites if site.kind == "relay"}
    direct = {site.node for site in network.sites if site.direct_keys_only}
    beside: dict[NodeId, set[NodeId]] = {node: set() for node in network.nodes}
    for link in network.relayed_links:
        if rates_bits_per_s[link.link_id] > 0:
            one, other = link.ends
            beside[one].add(other)
            beside[other].add(one)
    counts = [
        between
        for place, start in enumerate(reach.places)
        for end, between in _relays_between(beside, relays, start).items()
        if end in reach.places[place + 1 :] and (not between or direct.isdisjoint((start, end)))
    ]
    return Trust(sum(counts) / len(counts), max(counts)) if counts else Trust(0.0, 0)


def _relays_between(beside: Mapping[NodeId, set[NodeId]], relays: set[NodeId], start: NodeId) -> dict[NodeId, int]:
    found, queue = {start: -1}, deque([start])
    while queue:
        here = queue.popleft()
        if here != start and here not in relays:
            continue
        for there in beside[here]:
            if there not in found:
                found[there] = found[here] + 1
                queue.append(there)
    return found


def _alone(network: Network, rates_bits_per_s: Mapping[LinkId, float], reach: Reach) -> float:
    one, other = reach.places[0], reach.places[len(reach.places) // 2]
    return most_between(limited(network, rates_bits_per_s, ends=(one, other)), one, other).level_bits_per_s


def side_by_side(plan: Plan, prices: Prices) -> dict[str, Measured | None]:
    """Return all shapes measured for the same users; None where a shape cannot hold so many."""
    return {
        name: None if shape is switch_alone and plan.num_users > MOST_DIRECT_USERS else measured(shape(plan), prices)
        for name, shape in SHAPES.items()
    }
