"""The problem of sharing as it is now, and what follows from its answer: pure, so that the controller and the simulated
day pose the same problems and tell the same shares.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from qanat.control.claims import DIRECTIONS, Claim, Claims, alpha_of
from qanat.control.graph import RouteGraph
from qanat.control.sharing import Settled, Share, SharingProblem
from qanat.control.turn_shares import kept_ports, turn_shares
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.keys import block_shares
from qanat.ground.network import Network, SharingRules
from qanat.key_management.wire import Ration, Route, SharesPushed, WeightedWays

USABLE = 0.95
"""Such a part of what links give, less what goes into their reserves, is shared: an order takes time to begin."""
LEAST_PART, MOST_LEFT_OUT = 0.02, 0.025
"""Of a share the thinnest routes are not used, those that carry a smaller part than the first, as long as all of them
carry no more than the second: the others carry that, which is less than what ``USABLE`` leaves on any link."""
NOTABLE = 0.02
"""A link's rate that has changed by a smaller part is the same to the shares."""


class Posing:
    """Who wants key of a network now, and what its links give."""

    def __init__(self, network: Network, rules: SharingRules, *, turning_share: float) -> None:
        """``turning_share``: as in ``Policy``."""
        self.graph = RouteGraph.of_keys(network)
        self.claims = Claims(network, rules)
        self._alpha = alpha_of(rules)
        self._regions = tuple(network.regions.items())
        self._relays = tuple(site.node for site in network.sites if site.kind == "relay")
        self._others = tuple(site.node for site in network.sites if site.kind != "relay")
        self._kept = kept_ports(network)
        self._turning_share = turning_share
        self._rates: dict[LinkId, float] = {}

    def note_rate(self, link_id: LinkId, bits_per_s: float) -> None:
        """Take down what is shared of a link (``usable_rate``; 0: it gives nothing), where that has notably changed."""
        before = self._rates.get(link_id, 0.0)
        if abs(bits_per_s - before) > NOTABLE * before:
            self._rates[link_id] = bits_per_s

    def now(self, now_s: float) -> tuple[SharingProblem, tuple[Claim, ...]]:
        """Return the problem, and the claims that its demands are of."""
        claims = self.claims.now(now_s)
        able = [link for link in self.graph.links if self._rates.get(link.link_id, 0.0) > 0]
        demands = tuple(claim.demand for claim in claims)
        turns = turn_shares(able, self._kept, demands, relays=self._relays, turning_share=self._turning_share)
        problem = SharingProblem(
            links=tuple(able),
            rates_bits_per_s=tuple(self._rates[link.link_id] * turns.get(link.link_id, 1.0) for link in able),
            relays=self._relays,
            others=self._others,
            demands=demands,
            alpha=self._alpha,
            regions=self._regions,
        )
        return problem, claims

    def sharers(self, settled: Settled, claims: Sequence[Claim]) -> Counter[LinkId]:
        """Return how many of those that ask now have shares of each link; links that none has are left out."""
        return Counter(self._carrying(settled, claims))

    def _carrying(self, settled: Settled, claims: Sequence[Claim]) -> Iterator[LinkId]:
        for claim, share in zip(claims, settled.sharing.shares, strict=True):
            routes = told_routes(share) if claim.is_awake else ()
            yield from {link_id for route, _ in routes for link_id in self.graph.links_along(route)}


def usable_rate(rate_bits_per_s: float, block_bits: int) -> float:
    """Return what is shared of a link that gives so much in blocks of ``block_bits`` (0: not known yet)."""
    reserve_bits = block_shares(block_bits)[0] if block_bits else 0
    return USABLE * rate_bits_per_s * (1 - reserve_bits / max(1, block_bits))


def set_aside_bits(block_bits: int) -> int:
    """Return what of each end's stock of a link that several pairs share is not for those beyond their share: half of
    what is held ahead, so that there is key for the others while the next block is made."""
    return block_bits // 2


def told_routes(share: Share) -> tuple[tuple[Route, float], ...]:
    """Return the routes of a share that key managers are told, with what each carries; together they carry all of it.

    A solver spreads over all routes that cost the same, some of which carry next to nothing. A batch cannot be divided,
    and takes as much of every hop as such a route is to carry in minutes or hours: where hundreds of them cross a link,
    one batch on each is more than the link gives for a long time.
    """
    left_out_bits_per_s = 0.0
    kept = sorted(share.routes, key=lambda one: (-one[1], one[0]))
    while kept and kept[-1][1] < LEAST_PART * share.rate_bits_per_s:
        if left_out_bits_per_s + kept[-1][1] > MOST_LEFT_OUT * share.rate_bits_per_s:
            break
        left_out_bits_per_s += kept.pop()[1]
    kept_bits_per_s = math.fsum(rate for _, rate in kept)
    return tuple((route, rate * share.rate_bits_per_s / kept_bits_per_s) for route, rate in kept)


def words_of(settled: Settled, claims: Sequence[Claim]) -> dict[NodeId, SharesPushed]:
    """Return what each key manager is to hear, without epoch and version: both ends of a pair hear the same."""
    kept = {one.demand_id for one in settled.promises if one.admission.is_admitted}
    rations: dict[NodeId, list[Ration]] = {}
    ways: dict[tuple[NodeId, NodeId], dict[Route, float]] = {}
    for claim, share in zip(claims, settled.sharing.shares, strict=True):
        demand = claim.demand
        guaranteed = demand.guaranteed_bits_per_s if demand.demand_id in kept else 0.0
        for here, there in ((demand.source, demand.target), (demand.target, demand.source)):
            rate = share.rate_bits_per_s / DIRECTIONS
            rations.setdefault(here, []).append(Ration(claim.agreement, there, rate, guaranteed / DIRECTIONS))
            for route, part in _from(here, share):
                known = ways.setdefault((here, there), {})
                known[route] = known.get(route, 0.0) + part / DIRECTIONS
    spreads: dict[NodeId, list[WeightedWays]] = {}
    for (here, there), parts in ways.items():
        routes = sorted(parts, key=lambda route: (-parts[route], route))
        weights = tuple(parts[route] for route in routes)
        spreads.setdefault(here, []).append(WeightedWays(there, tuple(routes), weights))
    return {node: SharesPushed(0, 0, tuple(spreads.get(node, ())), tuple(rows)) for node, rows in rations.items()}


def _from(here: NodeId, share: Share) -> Iterator[tuple[Route, float]]:
    for route, rate in told_routes(share):
        yield (route if route[0] == here else route[::-1]), rate
