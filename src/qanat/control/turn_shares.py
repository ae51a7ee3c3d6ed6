"""What links through all-pass switches can be counted on for, when several are wanted at one port.

Of links that keep the same port or trunk only one runs at a time (``switching``). So the time of each port is divided
alike among the links there that some claim could use, less what turning may take; a link has the least that any of its
ports leaves it. All can have so much at once, whatever the order of turns; turns go by need, so a link that is asked
for more has more while the others are asked for less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from qanat.control.graph import GraphLink
from qanat.control.sharing import Demand
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network


def kept_ports(network: Network) -> Mapping[LinkId, frozenset[str]]:
    """Return the ports and trunks that each link through switches keeps while it runs; other links are left out."""
    kept = {link.link_id: network.kept_by(link) for link in network.relayed_links}
    return {link_id: ports for link_id, ports in kept.items() if ports}


def turn_shares(
    links: Sequence[GraphLink],
    kept: Mapping[LinkId, frozenset[str]],
    demands: Iterable[Demand],
    *,
    relays: Iterable[NodeId],
    turning_share: float,
) -> Mapping[LinkId, float]:
    """Return which part of its time each wanted link through switches may run; others are left out, and run always.

    ``turning_share``: so much of a port's time may go into turning where it has several links.
    """
    if not kept:
        return {}
    wanted = [link.link_id for link in _wanted(links, kept, tuple(demands), frozenset(relays))]
    at_port = Counter(port for link_id in wanted for port in kept[link_id])
    most = {link_id: max(at_port[port] for port in kept[link_id]) for link_id in wanted}
    return {link_id: (1 - turning_share) / number if number > 1 else 1.0 for link_id, number in most.items()}


def _wanted(
    links: Sequence[GraphLink],
    kept: Mapping[LinkId, frozenset[str]],
    demands: Sequence[Demand],
    relays: frozenset[NodeId],
) -> Iterable[GraphLink]:
    """Yield the links that a way of some demand could pass: over relays, from and to its own ends."""
    pairs = {frozenset((demand.source, demand.target)) for demand in demands}
    over_relays = [demand for demand in demands if not demand.policy.direct_only]
    passing = relays.union(*((demand.source, demand.target) for demand in over_relays)) if over_relays else frozenset()
    for link in links:
        if link.link_id not in kept:
            continue
        others = [end for end in link.ends if end not in relays]
        if frozenset(link.ends) in pairs or (len(others) < len(link.ends) and passing.issuperset(link.ends)):
            yield link
