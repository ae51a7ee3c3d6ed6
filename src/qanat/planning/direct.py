"""Ends that take direct keys only: between them only the QKD links that join the two count, as key managers have it."""

from __future__ import annotations

from collections.abc import Iterable

from qanat.ground.errors import NoDirectLink
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network
from qanat.planning.allowed import links_allowed


def links_for(network: Network, ends: Iterable[NodeId]) -> tuple[Link, ...]:
    """Return the links that keys of a pair may pass: all that keys are relayed over and that lead where both ends would
    have their keys go, or the one between the two where one takes direct keys only, unless it is a satellite's, which
    knows its key.

    Ends that are not in the network, and other numbers of them than two, forbid nothing.
    """
    pair = frozenset(ends)
    if len(pair) != 2:
        return network.relayed_links
    links = tuple(links_allowed(network, network.relayed_links, pair))
    if not wary_of(network, pair):
        return links
    return tuple(link for link in links if pair.issuperset(link.ends) and link.kind != "announced")


def wary_of(network: Network, ends: Iterable[NodeId]) -> tuple[NodeId, ...]:
    """Return those of some sites that take direct keys only."""
    found = (network.find_site(end) for end in dict.fromkeys(ends))
    return tuple(site.node for site in found if site is not None and site.direct_keys_only)


def require_link(network: Network, one: NodeId, other: NodeId) -> None:
    """Raise NoDirectLink where keys of two sites may pass no relay and no link joins them; UnknownNode."""
    if network.needs_direct_key(one, other) and not links_for(network, (one, other)):
        raise NoDirectLink(
            f"no QKD link joins {one!r} and {other!r}, and {_take(wary_of(network, (one, other)))} keys over no relay",
            remedy="name a site that a link or an optical switch joins to it, or put both sites on one switch in the "
            "network file",
        )


def refuse_ends(network: Network, ends: Iterable[NodeId]) -> None:
    """Raise NoDirectLink where relays are to join sites of which one takes keys over none."""
    if wary := wary_of(network, ends):
        raise NoDirectLink(
            f"relays are to join the ends, and {_take(wary)} keys over no relay",
            remedy="name ends whose keys may pass relays, or put such sites on one optical switch in the network file",
        )


def _take(wary: tuple[NodeId, ...]) -> str:
    return f"{' and '.join(map(repr, wary))} take{'s' if len(wary) == 1 else ''}"
