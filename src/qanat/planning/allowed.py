"""Where keys of two sites may go, by what the sites themselves ask of all their keys in the network file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network


@dataclass(frozen=True, slots=True)
class Allowed:
    """The sites that keys of a pair may pass, its ends included: none of ``avoid``, and where ``region`` is not None
    only those that are stated to be there."""

    avoid: frozenset[NodeId]
    region: str | None

    def has(self, node: NodeId, regions: Mapping[NodeId, str]) -> bool:
        """Return whether keys may pass, begin or end at a site."""
        return node not in self.avoid and (self.region is None or regions.get(node, "") == self.region)


def allowed_between(network: Network, one: NodeId, other: NodeId) -> Allowed | None:
    """Return where keys of two sites may go; None for everywhere. That they take direct keys only is told elsewhere
    (``planning.direct``)."""
    policy = network.policy_between(one, other)
    if not policy.avoid and not policy.domestic_only:
        return None
    return Allowed(policy.avoid, network.regions.get(one, "") if policy.domestic_only else None)


def choosy(network: Network) -> frozenset[NodeId]:
    """Return the sites whose keys may not go everywhere."""
    policies = network.site_policies
    return frozenset(node for node, policy in policies.items() if policy.avoid or policy.domestic_only)


def links_allowed(network: Network, links: Iterable[Link], pair: frozenset[NodeId]) -> Iterator[Link]:
    """Yield those of some links that keys of a pair may pass."""
    allowed, regions = allowed_between(network, *sorted(pair)), network.regions
    for link in links:
        passed = network.trusted_route(link.ends)  # with the satellite that knows an announced link's key
        if allowed is None or all(allowed.has(node, regions) for node in passed):
            yield link
