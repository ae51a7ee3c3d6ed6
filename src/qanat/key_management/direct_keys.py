"""Users who take direct keys only: keys of one QKD link, through optical switches at most, that no relay has known.

The network file names them. The controller gives them no other routes, and no key manager, theirs or a relay's, takes
part in a relay of their keys whatever it is told.
"""

from __future__ import annotations

from qanat.ground.errors import NoDirectLink, PeerProtocolError
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.key_management.wire import Routes


def require_link(network: Network, one: NodeId, other: NodeId) -> None:
    """Raise NoDirectLink where keys of two sites may pass no relay and no link joins them; UnknownNode."""
    joined = any(link.peer_of(one) == other for link in network.links_of(one))
    if network.needs_direct_key(one, other) and not joined:
        wary = [site.name for site in (network.site(one), network.site(other)) if site.direct_keys_only]
        raise NoDirectLink(
            f"no QKD link joins {one!r} and {other!r}, and {' and '.join(map(repr, wary))} "
            f"take{'s' if len(wary) == 1 else ''} keys over no relay",
            remedy="name a slave that a link or an optical switch joins to the master's site, or have both sites put on"
            " one switch",
        )


def without_relays(network: Network, ways: Routes) -> Routes:
    """Return those of some ways between two sites that their ends allow."""
    return tuple(way for way in ways if len(way) <= 2 or not network.needs_direct_key(way[0], way[-1]))


def refuse_relay(network: Network, route: tuple[NodeId, ...]) -> None:
    """Raise PeerProtocolError for a batch on its way over relays whose ends would have it pass none; UnknownNode."""
    if len(route) > 2 and network.needs_direct_key(route[0], route[-1]):
        raise PeerProtocolError(
            f"keys of {route[0]!r} and {route[-1]!r} came on a way over relays, and one of them takes direct keys only",
            remedy="give all sites the same network file",
        )
