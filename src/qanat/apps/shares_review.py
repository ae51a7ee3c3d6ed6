"""What a network's declared sharing would give when all that it names ask at once, from the forecasts of its links."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice

from qanat.control.claims import DIRECTIONS, Claims
from qanat.control.posing import Posing, told_routes, usable_rate
from qanat.control.sharing import Settled
from qanat.control.solvers.by_name import settle
from qanat.control.views import Policy
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network, SharingRules
from qanat.key_management.wire import GenerationRequest

MOST_PAIRS = 10_000
"""Of more pairs of sites with applications the first ones share: three seconds of a core."""


@dataclass(frozen=True, slots=True)
class PromiseReview:
    """A guarantee of the file, in its order: whether it is admitted, and the most that could be promised to it beside
    those before it, in bit/s of the master's keys."""

    pair: str
    guaranteed_bits_per_s: float
    is_admitted: bool
    possible_bits_per_s: float


@dataclass(frozen=True, slots=True)
class ShareReview:
    """What a pair has in each direction, and over which ways."""

    pair: str
    bits_per_s: float
    ways: tuple[tuple[tuple[NodeId, ...], float], ...]


@dataclass(frozen=True, slots=True)
class SharesReview:
    """Shares and guarantees of one network. ``is_declared``: the file has rules; otherwise these are the default's.
    ``pairs_left_out``: so many that could ask are not among these."""

    alpha: float | str
    is_declared: bool
    gap: float
    jain_index: float
    promises: tuple[PromiseReview, ...]
    shares: tuple[ShareReview, ...]
    pairs_left_out: int


def promises_of(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> tuple[PromiseReview, ...]:
    """Return what becomes of each guarantee of a network file when nobody else asks for key."""
    if network.sharing is None or not any(pair.guaranteed_bits_per_s for pair in network.sharing.pairs):
        return ()
    return tuple(_promises(_settled(network, network.sharing, rates_bits_per_s, with_others=False)))


def shares_of(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> SharesReview:
    """Return the shares when all declared pairs, and every two sites with applications, ask at once."""
    rules = network.sharing or SharingRules()
    settled = _settled(network, rules, rates_bits_per_s, with_others=True)
    return SharesReview(
        alpha=rules.alpha,
        is_declared=network.sharing is not None,
        gap=settled.sharing.gap,
        jain_index=settled.sharing.jain_index,
        promises=tuple(_promises(settled)),
        shares=tuple(
            ShareReview(
                share.demand_id,
                share.rate_bits_per_s / DIRECTIONS,
                tuple((route, rate / DIRECTIONS) for route, rate in told_routes(share)),
            )
            for share in settled.sharing.shares
        ),
        pairs_left_out=max(0, math.comb(len({app.site for app in network.applications}), 2) - MOST_PAIRS),
    )


def _settled(
    network: Network, rules: SharingRules, rates_bits_per_s: Mapping[LinkId, float], *, with_others: bool
) -> Settled:
    """Return the shares when all that are declared ask, and all others if they are to."""
    posing = Posing(network, rules, turning_share=Policy().turning_share)
    for word in _asking_all(network, posing.claims, with_others=with_others):
        posing.claims.note(word, now_s=0.0)
    for link in posing.graph.links:
        posing.note_rate(link.link_id, usable_rate(rates_bits_per_s[link.link_id], 0))
    return settle(posing.now(0.0)[0])


def _asking_all(network: Network, claims: Claims, *, with_others: bool) -> Iterator[GenerationRequest]:
    """Yield a word of each pair that asks; two sites whose applications are declared ask as these alone."""
    taken = {frozenset((claim.demand.source, claim.demand.target)) for claim in claims.declared.values()}
    for claim in claims.declared.values():
        yield _asking(claim.demand.source, claim.demand.target, claim.agreement)
    sites = dict.fromkeys(NodeId(app.site) for app in network.applications)
    for ends in islice(combinations(sites, 2), MOST_PAIRS) if with_others else ():
        if frozenset(ends) not in taken:
            yield _asking(*ends, "")


def _asking(source: NodeId, target: NodeId, agreement: str) -> GenerationRequest:
    return GenerationRequest("", source, target, 0, (), None, agreement=agreement)


def _promises(settled: Settled) -> Iterator[PromiseReview]:
    for promise in settled.promises:
        admission = promise.admission
        yield PromiseReview(
            promise.demand_id,
            promise.asked_bits_per_s / DIRECTIONS,
            admission.is_admitted,
            admission.possible_bits_per_s / DIRECTIONS,
        )
