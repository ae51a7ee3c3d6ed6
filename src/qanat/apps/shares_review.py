"""What a network's declared sharing would give when all that it names ask at once, from the forecasts of its links."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice

from qanat.control.claims import DIRECTIONS, Claim, Claims
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
    those before it, in bit/s of the master's keys. ``pair``, ``sites`` and ``applications`` as in ``ShareReview``."""

    pair: str
    sites: tuple[NodeId, NodeId]
    applications: tuple[str, str] | None
    guaranteed_bits_per_s: float
    is_admitted: bool
    possible_bits_per_s: float


@dataclass(frozen=True, slots=True)
class ShareReview:
    """What a pair has in each direction, and over which ways. ``pair`` names it for people. ``applications``: those
    that the file declares, each at the site of the same place; None for all others of the two sites."""

    pair: str
    sites: tuple[NodeId, NodeId]
    applications: tuple[str, str] | None
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
    return tuple(_promises(network, *_settled(network, network.sharing, rates_bits_per_s, with_others=False)))


def shares_of(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> SharesReview:
    """Return the shares when all declared pairs, and every two sites with applications, ask at once."""
    rules = network.sharing or SharingRules()
    settled, claims = _settled(network, rules, rates_bits_per_s, with_others=True)
    return SharesReview(
        alpha=rules.alpha,
        is_declared=network.sharing is not None,
        gap=settled.sharing.gap,
        jain_index=settled.sharing.jain_index,
        promises=tuple(_promises(network, settled, claims)),
        shares=tuple(
            ShareReview(
                share.demand_id,
                *_pair_of(network, claim),
                share.rate_bits_per_s / DIRECTIONS,
                tuple((route, rate / DIRECTIONS) for route, rate in told_routes(share)),
            )
            for claim, share in zip(claims, settled.sharing.shares, strict=True)
        ),
        pairs_left_out=max(0, math.comb(len({app.site for app in network.applications}), 2) - MOST_PAIRS),
    )


def _settled(
    network: Network, rules: SharingRules, rates_bits_per_s: Mapping[LinkId, float], *, with_others: bool
) -> tuple[Settled, tuple[Claim, ...]]:
    """Return the shares when all that are declared ask, and all others if they are to; and whose they are."""
    posing = Posing(network, rules, turning_share=Policy().turning_share)
    for word in _asking_all(network, posing.claims, with_others=with_others):
        posing.claims.note(word, now_s=0.0)
    for link in posing.graph.links:
        posing.note_rate(link.link_id, usable_rate(rates_bits_per_s[link.link_id], 0))
    problem, claims = posing.now(0.0)
    return settle(problem), claims


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


def _pair_of(network: Network, claim: Claim) -> tuple[tuple[NodeId, NodeId], tuple[str, str] | None]:
    """Return the sites of a claim, and the applications whose it is where it is of two."""
    sites = (claim.demand.source, claim.demand.target)
    if not claim.agreement:
        return sites, None
    names = {app.site: app.name for app in network.applications if app.name in claim.agreement.split()}
    return sites, (names[sites[0]], names[sites[1]])


def _promises(network: Network, settled: Settled, claims: Sequence[Claim]) -> Iterator[PromiseReview]:
    whose = {claim.demand.demand_id: claim for claim in claims}
    for promise in settled.promises:
        admission = promise.admission
        yield PromiseReview(
            promise.demand_id,
            *_pair_of(network, whose[promise.demand_id]),
            promise.asked_bits_per_s / DIRECTIONS,
            admission.is_admitted,
            admission.possible_bits_per_s / DIRECTIONS,
        )
