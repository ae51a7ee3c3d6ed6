"""Who asks for keys in a day, and when: pairs of applications near and far, in bursts, all from one seed.

A pair asks for as many bits a minute as is said, on the whole (the paper supposes a 128-bit key per minute). It does so
in bursts that begin at any time of the day alike: a burst is BURST_REQUESTS requests on the average (their number is
geometric), a minute apart, of KEYS_PER_REQUEST keys each; either of the two may ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal, TypeAlias

import numpy as np

from qanat.control.routing import key_graph, widest, widest_from
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.description import great_circle_km
from qanat.ground.ports import Chance
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy
from qanat.simulation.day.plan import DAY_S

PairClass: TypeAlias = Literal["near", "far"]
NEAR_KM = 100.0
"""Sites that are at most so far apart are near: those of one city."""
BURST_REQUESTS = 6
KEYS_PER_REQUEST = 10
REQUEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Demand:
    """How much is asked: ``num_pairs`` pairs, ``near_share`` of them near, each for so many bits a minute."""

    num_pairs: int = 1000
    near_share: float = 0.5
    bits_per_minute: float = 128.0
    key_bits: int = 128
    keys_per_request: int = KEYS_PER_REQUEST

    def __post_init__(self) -> None:
        if self.num_pairs < 1 or not 0 <= self.near_share <= 1:
            raise ConfigurationError(
                f"{self.num_pairs} pairs, {self.near_share:g} of them near",
                remedy="give 1 pair or more, a share of 0 to 1",
            )
        if not 0 < self.bits_per_minute <= 1e6 or self.key_bits % 8 or not 64 <= self.key_bits <= 4096:
            raise ConfigurationError(
                f"{self.bits_per_minute:g} bits a minute in keys of {self.key_bits} bits",
                remedy="give more than 0 and up to a million a minute, keys of 64 to 4096 bits, a multiple of 8",
            )


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sites with applications that ask each other for keys."""

    one: NodeId
    other: NodeId
    kind: PairClass
    policy: RoutePolicy = ANY_ROUTE


@dataclass(frozen=True, slots=True)
class Requests:
    """All requests of a run in the order of their times (s): by which pair (its number), and whether backwards."""

    pairs: Sequence[Pair]
    times_s: Sequence[float] = field(repr=False)
    pair_numbers: Sequence[int] = field(repr=False)
    backwards: Sequence[bool] = field(repr=False)


def draw_pairs(
    network: Network, demand: Demand, *, rates_bits_per_s: Mapping[LinkId, float], chance: Chance
) -> tuple[Pair, ...]:
    """Return the pairs that ask: of those that some route joins in the whole network, as many as there are at most.

    Where one class has too few, the other makes up for it. Raises ConfigurationError where no route joins any two.
    """
    pools: dict[PairClass, list[Pair]] = {"near": [], "far": []}
    for pair in joined_pairs(network, rates_bits_per_s=rates_bits_per_s):
        pools[pair.kind].append(pair)
    if not any(pools.values()):
        raise ConfigurationError(
            f"no two sites with applications of {network.name!r} are joined by trusted relays",
            remedy="look at it with `qanat network check`",
        )
    generator = _generator(chance.child("pairs"))
    wanted_near = round(demand.num_pairs * demand.near_share)
    num_near = min(max(wanted_near, demand.num_pairs - len(pools["far"])), len(pools["near"]))
    num_far = min(demand.num_pairs - num_near, len(pools["far"]))
    chosen: list[Pair] = []
    for pool, count in ((pools["near"], num_near), (pools["far"], num_far)):
        places = generator.permutation(len(pool))[:count]
        chosen += [pool[place] for place in sorted(places.tolist())]
    return tuple(chosen)


def joined_pairs(network: Network, *, rates_bits_per_s: Mapping[LinkId, float]) -> list[Pair]:
    """Return all pairs of sites with applications that a route joins, none of them failed."""
    sites = {app.site: network.site(NodeId(app.site)) for app in network.applications}
    ordered = sorted(sites.values(), key=lambda site: site.name)
    graph = key_graph(network, rates_bits_per_s)
    reached = {site.node: widest_from(graph, site.node).keys() for site in ordered}
    pairs = []
    for one, other in combinations(ordered, 2):
        policy = network.policy_between(one.node, other.node)
        is_joined = other.node in reached[one.node]
        if policy != ANY_ROUTE:
            is_joined = widest(graph, one.node, other.node, policy) is not None
        if is_joined:
            kind: PairClass = "near" if great_circle_km(one, other) <= NEAR_KM else "far"
            pairs.append(Pair(one.node, other.node, kind, policy))
    return pairs


def draw_requests(pairs: Sequence[Pair], demand: Demand, *, num_days: int, chance: Chance) -> Requests:
    """Return what the pairs ask for in ``num_days`` days."""
    generator = _generator(chance.child("requests"))
    per_day = demand.bits_per_minute * 1440 / demand.key_bits / demand.keys_per_request
    num_bursts = generator.poisson(per_day / BURST_REQUESTS * num_days, size=len(pairs))
    of_pair = np.repeat(np.arange(len(pairs)), num_bursts)
    starts = generator.random(len(of_pair)) * num_days * DAY_S
    lengths = generator.geometric(1 / BURST_REQUESTS, size=len(of_pair))
    burst = np.repeat(np.arange(len(of_pair)), lengths)
    place = np.arange(len(burst)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    times = starts[burst] + REQUEST_PAUSE_S * place
    backwards = generator.random(len(burst)) < 0.5
    order = np.argsort(times, kind="stable")
    order = order[times[order] < num_days * DAY_S]
    return Requests(
        pairs=pairs,
        times_s=times[order].tolist(),
        pair_numbers=of_pair[burst][order].tolist(),
        backwards=backwards[order].tolist(),
    )


def _generator(chance: Chance) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(chance.seed_words())))
