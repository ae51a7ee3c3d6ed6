"""Whether any way at all fulfils what is asked of it, by the description of the network, and what stands in the way.

What never can be is refused, with the reason; whether a way that there is can be gone now is another question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from qanat.ground.errors import RequirementUnmet, UnknownNode
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

NAMED_SITES = 3
"""So many sites are named in a refusal; a cut may have many."""


def require_way(network: Network, source: NodeId, target: NodeId, policy: RoutePolicy) -> None:
    """Raise RequirementUnmet where no way over trusted relays between two sites can fulfil a policy, or where its
    words mean nothing in this network.

    ``source`` and ``target`` may be one site. Where no way joins the two whatever is asked, none is as it was asked to
    be. A door of a standard passes on the remedy alone, so the reason stands there too.
    """
    if policy == ANY_ROUTE:
        return
    _require_known(network, policy.avoid)
    if ends := policy.avoid & {source, target}:
        raise _unmet(network, source, target, f"{_named(ends)} is an end of the way", "name sites between the ends")
    if policy.domestic_only:
        _require_home(network, source, target)
    if source == target:
        return
    if policy.direct_only:
        links = [link for link in network.links_of(source) if link.kind != "announced"]  # a satellite knows its key
        if not any(link.peer_of(source) == target for link in links):
            raise _unmet(
                network, source, target, "no QKD link joins the two", "ask for keys over relays, or join the two"
            )
        return
    may_pass = _passes(network, policy, home=network.regions.get(source, ""))
    if not _way(network, source, target, may_pass):
        _refuse(network, source, target, may_pass)


def require_joined(network: Network, source: NodeId, target: NodeId) -> tuple[NodeId, ...]:
    """Return a way over trusted relays between two sites; raises RequirementUnmet where the network has none at all."""
    if not (way := _way(network, source, target, lambda node: _is_trusted(network, node))):
        reason, remedy = "no chain of trusted relays joins the two", "join them by links in the network file"
        raise _unmet(network, source, target, reason, remedy)
    return way


def is_way(network: Network, way: Sequence[NodeId], policy: RoutePolicy) -> bool:
    """Return whether this is a way over links and trusted relays that fulfils a policy."""
    is_joined = all(any(link.peer_of(one) == other for link in network.links_of(one)) for one, other in pairwise(way))
    is_trusted = all(network.site(node).kind == "relay" for node in way[1:-1]) if is_joined else False
    return (
        is_trusted
        and len(set(way)) == len(way) >= 2
        and policy.allows(network.trusted_route(way), regions=network.regions)
    )


def _require_known(network: Network, sites: Iterable[NodeId]) -> None:
    for node in sorted(sites):
        try:
            network.site(node)
        except UnknownNode as fault:  # a name misspelt: the site that was meant would not be avoided
            raise RequirementUnmet(
                f"keys were asked to avoid {node!r}: {fault.message}",
                remedy=f"no site {node!r} is in this network: {fault.remedy}",
            ) from None


def _require_home(network: Network, source: NodeId, target: NodeId) -> None:
    """Raise RequirementUnmet where the two are not stated to be in one region."""
    regions = network.regions
    if unstated := {source, target} - regions.keys():
        raise _unmet(
            network,
            source,
            target,
            f"no region is stated of {_named(unstated)}",
            "state 'region' of the sites in the network file",
        )
    if regions[source] != regions[target]:
        where = f"{source!r} is in {regions[source]!r}, {target!r} in {regions[target]!r}"
        raise _unmet(
            network, source, target, where, "ask for a slave in the master's region, or for keys over a border"
        )


def _refuse(network: Network, source: NodeId, target: NodeId, may_pass: Callable[[NodeId], bool]) -> None:
    """Raise RequirementUnmet naming what stands in the way."""
    anyhow = require_joined(network, source, target)
    forbidden = [node for node in anyhow[1:-1] if not may_pass(node)]
    musts = [node for node in forbidden if not _way(network, source, target, _all_but(network, node))]
    if musts:
        reason = f"every way passes {_told(network, musts)}"
    else:
        reason = f"every way passes one of {_told(network, _border(network, source, may_pass))}"
    raise _unmet(
        network, source, target, reason, "allow what stands in the way, or join the two by links that go round"
    )


def _passes(network: Network, policy: RoutePolicy, *, home: str) -> Callable[[NodeId], bool]:
    """Return what says of a site whether a key may pass it."""
    regions = network.regions

    def may_pass(node: NodeId) -> bool:
        is_home = not policy.domestic_only or regions.get(node, "") == home
        return _is_trusted(network, node) and node not in policy.avoid and is_home

    return may_pass


def _is_trusted(network: Network, node: NodeId) -> bool:
    """Return whether a site passes keys on, or lets others share key that it knows, as a satellite does."""
    return network.site(node).kind != "user"


def _all_but(network: Network, missing: NodeId) -> Callable[[NodeId], bool]:
    return lambda node: node != missing and _is_trusted(network, node)


def _way(network: Network, source: NodeId, target: NodeId, may_pass: Callable[[NodeId], bool]) -> tuple[NodeId, ...]:
    """Return a way of the fewest links over sites that a key may pass, or nothing."""
    before = _reached(network, source, may_pass, until=target)
    if target not in before:
        return ()
    way = [target]
    while way[-1] != source:
        way.append(before[way[-1]])
    return tuple(reversed(way))


def _reached(
    network: Network, source: NodeId, may_pass: Callable[[NodeId], bool], *, until: NodeId | None = None
) -> dict[NodeId, NodeId]:
    """Return the sites that a key can get to, each with the one before it; others are searched until one is found."""
    before = {source: source}
    waiting = deque([source])
    while waiting and until not in before:
        here = waiting.popleft()
        for link in network.links_of(here):
            there = link.peer_of(here)
            if there not in before and link.kind != "announced":  # such key has come by way of a satellite
                before[there] = here
                if may_pass(there):
                    waiting.append(there)
    return before


def _border(network: Network, source: NodeId, may_pass: Callable[[NodeId], bool]) -> list[NodeId]:
    """Return the relays that are reached from ``source`` and may not be passed: together they cut it off."""
    reached = _reached(network, source, may_pass)
    return sorted(node for node in reached if _is_trusted(network, node) and not may_pass(node))


def _told(network: Network, nodes: Sequence[NodeId]) -> str:
    """Return sites by name, each with where it is stated to be, where that is stated of any."""
    regions = network.regions
    texts = [repr(node) + (f" ({regions.get(node, 'no region stated')})" if regions else "") for node in nodes]
    more = f" and {len(texts) - NAMED_SITES} more" if len(texts) > NAMED_SITES else ""
    return ", ".join(texts[:NAMED_SITES]) + more


def _named(nodes: Iterable[NodeId]) -> str:
    return " and ".join(map(repr, sorted(nodes)))


def _unmet(network: Network, source: NodeId, target: NodeId, reason: str, remedy: str) -> RequirementUnmet:
    where = f"from {source!r} to {target!r}" if source != target else f"within {source!r}"
    return RequirementUnmet(
        f"no way {where} in network {network.name!r} is as the keys' way was asked to be", remedy=f"{reason}: {remedy}"
    )
