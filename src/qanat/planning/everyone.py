"""What every pair of users can have when all ask at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.planning.allowed import Allowed, allowed_between, choosy
from qanat.planning.flow import Flow, rise
from qanat.planning.limits import limited
from qanat.planning.reach import Reach
from qanat.planning.ways import Barred, Demands

MOST_PLACES = 300
"""Between more places than these it is not worked out."""


@dataclass(frozen=True, slots=True)
class Everyone:
    """All pairs of places at once, each with the same rate (``flow.level_bits_per_s``).

    pairs: so many that some way joins. left_out: places that take direct keys only, where others are.
    """

    pairs: int
    left_out: tuple[NodeId, ...]
    flow: Flow


def everyone(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> Everyone | None:
    """Return what every pair can have; None in a network of more than ``MOST_PLACES`` places.

    Users of direct keys only are left out, unless all are: what relays may carry for the others is not theirs.
    """
    reach = Reach(network, rates_bits_per_s)
    direct = tuple(site.node for site in network.sites if site.direct_keys_only)
    left_out = () if len(direct) == len(reach.places) else direct
    asking = [node for node in reach.places if node not in left_out]
    if len(asking) > MOST_PLACES:
        return None
    masks = reach.masks()
    bit = {node: 1 << place for place, node in enumerate(reach.places)}
    demands = {
        one: {other: 1.0 for other in asking[place + 1 :] if masks[one] & bit[other]}
        for place, one in enumerate(asking)
    }
    wanted = {one: others for one, others in demands.items() if others}
    able = limited(network, rates_bits_per_s)
    if direct and not left_out:
        able = replace(able, relays=frozenset())  # nobody is left whose keys may pass one
    pairs = sum(len(others) for others in wanted.values())
    return Everyone(pairs, left_out, rise(able, wanted, barred=_barred(network, wanted, able.relays)))


def _barred(network: Network, demands: Demands, relays: frozenset[NodeId]) -> Barred:
    """Return the relays that the sites at the ends of a demand would not have their keys pass."""
    regions, sites = network.regions, choosy(network)
    barred: dict[Allowed, frozenset[NodeId]] = {}
    found: dict[tuple[NodeId, NodeId], frozenset[NodeId]] = {}
    for one, others in demands.items():
        for other in others if one in sites else sites.intersection(others):
            if (allowed := allowed_between(network, one, other)) is not None:
                if allowed not in barred:
                    barred[allowed] = frozenset(node for node in relays if not allowed.has(node, regions))
                found[one, other] = barred[allowed]
    return found
