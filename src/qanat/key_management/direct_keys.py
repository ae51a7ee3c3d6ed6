"""What sites state for all keys of theirs, in the network file: that these pass no relay (direct keys of one QKD link,
through optical switches at most), that they avoid sites, or that they stay in a region.

The controller gives them no other routes, and no key manager, theirs or a relay's, takes part in a relay of their keys
on any other way, whatever it is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from qanat.ground.errors import BadParameter, NoDirectLink, PeerProtocolError, RequirementUnmet
from qanat.ground.identifiers import NodeId, SaePair, members_of
from qanat.ground.network import Network
from qanat.ground.route_policy import ANY_ROUTE
from qanat.key_management.obstacles import require_way
from qanat.key_management.wire import Routes


def require_link(network: Network, one: NodeId, other: NodeId) -> None:
    """Raise NoDirectLink where keys of two sites may pass no relay and no link joins them; BadParameter where no way
    that the network has is as the two have all their keys go; UnknownNode."""
    own = [link for link in network.links_of(one) if link.kind != "announced"]  # a satellite knows the key of such
    if network.needs_direct_key(one, other) and not any(link.peer_of(one) == other for link in own):
        wary = [site.name for site in (network.site(one), network.site(other)) if site.direct_keys_only]
        raise NoDirectLink(
            f"no QKD link joins {one!r} and {other!r}, and {' and '.join(map(repr, wary))} "
            f"take{'s' if len(wary) == 1 else ''} keys over no relay",
            remedy="name a slave that a link or an optical switch joins to the master's site, or have both sites put on"
            " one switch",
        )
    policy = network.policy_between(one, other)
    if policy.avoid or policy.domestic_only:
        try:
            require_way(network, one, other, policy)
        except RequirementUnmet as fault:
            reason, _, remedy = fault.remedy.partition(": ")
            if policy.avoid & {one, other}:
                remedy = "ask for keys with another site, or let the network file say otherwise of these sites' keys"
            raise BadParameter(
                f"no way from {one!r} to {other!r} is as these sites have all their keys go",
                remedy=f"{reason}: {remedy}",
            ) from None


def require_ways_of_all(network: Network, source: NodeId, targets: Sequence[NodeId]) -> None:
    """Raise BadParameter where a key that several sites are to have cannot go to each of them as all of them have their
    keys go; UnknownNode."""
    nodes = tuple(dict.fromkeys((source, *targets)))
    policy = network.policy_among(nodes)
    for target in targets:
        try:
            require_way(network, source, target, policy)
        except RequirementUnmet as fault:
            wary = ", ".join(map(repr, _who_forbid(network, source, target, nodes)))
            raise BadParameter(
                f"keys for several slaves would go to {target!r} on a way on which {wary} would not have them known "
                f"({fault.message})",
                remedy="ask for keys with each of these slaves by itself",
            ) from None


def _who_forbid(network: Network, source: NodeId, target: NodeId, nodes: Sequence[NodeId]) -> list[NodeId]:
    """Return which of some sites leave no way between two by what they state; all that state anything where it takes
    several of them."""
    stating, alone = [node for node in nodes if node in network.site_policies], []
    for node in stating:
        try:
            require_way(network, source, target, network.site_policies[node])
        except RequirementUnmet:
            alone.append(node)
    return alone or stating


def as_ends_have_it(network: Network, ways: Routes) -> Routes:
    """Return those of some ways between two sites that their ends allow."""
    return tuple(way for way in ways if _allows(network, way))


def refuse_relay(network: Network, route: tuple[NodeId, ...], pair: SaePair) -> None:
    """Raise PeerProtocolError for a batch on a way that its ends, or the sites of others who get the same keys, would
    not have it go; UnknownNode."""
    ends = {route[0], route[-1], *(network.site_of(sae).node for sae in (pair.master, *members_of(pair.slave)))}
    knowing = network.trusted_route(route)
    policy = network.policy_among(ends) if len(ends) > 1 else ANY_ROUTE
    if not policy.allows(knowing, regions=network.regions):
        told, relays = ", ".join(map(repr, sorted(ends))), ", ".join(knowing[1:-1])
        wish = "takes direct keys only" if policy.direct_only else "would not have its keys go there"
        raise PeerProtocolError(
            f"keys of {told} came on a way over relays, {relays}, and one of them {wish}",
            remedy="give all sites the same network file",
        )


def _allows(network: Network, way: tuple[NodeId, ...]) -> bool:
    """Return whether both ends have their keys go a way; a satellite that announced a hop's key is on it."""
    return network.policy_between(way[0], way[-1]).allows(network.trusted_route(way), regions=network.regions)
