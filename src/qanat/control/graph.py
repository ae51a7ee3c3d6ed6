"""The network as routes are looked for in it: sites and links by number, and what is known of each link now.

Sites are numbered in the order of their names, so that the lower number is the earlier name and ties fall the same way
in every process. A link's state is changed in place; nothing is worked out before somebody asks for a route.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.links import first_of_each_pair
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

Route: TypeAlias = tuple[NodeId, ...]
Hop: TypeAlias = tuple[int, int]
"""The number of a neighbour, and that of the link to it."""


@dataclass(frozen=True, slots=True)
class GraphLink:
    """A link between two sites. ``known_to``: the satellite that has announced its key."""

    link_id: LinkId
    ends: tuple[NodeId, NodeId]
    known_to: NodeId | None = None


@dataclass(frozen=True, slots=True)
class GraphState:
    """What is known of links, by number, and of nodes: all that widest and disjoint routes depend on."""

    width: tuple[float, ...]
    link_is_up: bytes
    node_is_up: bytes


class RouteGraph:
    """Sites, links and their state.

    ``width``, ``freshness`` (the age less than nothing) and ``cost`` are by number of a link, as searches read them.
    """

    def __init__(
        self,
        links: Sequence[GraphLink],
        *,
        relays: Iterable[NodeId],
        others: Iterable[NodeId] = (),
        regions: Mapping[NodeId, str] | None = None,
    ) -> None:
        """Take the sites (``others`` pass nothing on) and links; of several between two sites the first is used.

        Raises UnknownNode for a link that ends at no site. ``regions``: where a site is stated to be.
        """
        passing = set(relays)
        self.nodes: tuple[NodeId, ...] = tuple(sorted(passing.union(others)))
        self.number = {node: place for place, node in enumerate(self.nodes)}
        self.links = first_of_each_pair(links)
        self.link_number = {link.link_id: place for place, link in enumerate(self.links)}
        self.hops = self._neighbours()
        ends = [(link.ends, place) for place, link in enumerate(self.links)]
        self._between = {way: place for (one, other), place in ends for way in ((one, other), (other, one))}
        self.known_to = {
            way: link.known_to
            for link in self.links
            if link.known_to is not None
            for way in (link.ends, (link.ends[1], link.ends[0]))
        }
        """By hop, in both directions: the satellite that has announced its key."""
        self.width = [1.0] * len(self.links)
        self.freshness = [0.0] * len(self.links)
        self.cost = [1] * len(self.links)
        self.link_is_up = bytearray(b"\1" * len(self.links))
        self.node_is_up = bytearray(b"\1" * len(self.nodes))
        self._is_relay = bytes(node in passing for node in self.nodes)
        self._passes = bytearray(self._is_relay)
        self._regions = [(regions or {}).get(node, "") for node in self.nodes]

    @classmethod
    def of_keys(cls, network: Network, *, regions: Mapping[NodeId, str] | None = None) -> RouteGraph:
        """Return the graph that keys are routed in: relays pass them on, users do not. ``regions``: by default where
        the network's file states sites to be."""
        users = [site.node for site in network.sites if site.kind != "relay"]
        relays = [site.node for site in network.sites if site.kind == "relay"]
        return cls(
            _links(network), relays=relays, others=users, regions=network.regions if regions is None else regions
        )

    @classmethod
    def of_messages(cls, network: Network) -> RouteGraph:
        """Return the graph that classical messages are routed in: over the classical network that the file describes.

        A site with a router reaches others by it alone, over the lines between routers, which are nodes here, called
        ``router:NAME``. One without goes by its fibres, which every site passes messages on over, trusted or not; one
        that makes no key carries messages still, so the state of this graph is apart from that of the graph of keys.
        """
        by_router = {site.node: _router_node(site.router) for site in network.sites if site.router}
        links = [link for link in _links(network) if not by_router.keys() >= set(link.ends)]
        links += [GraphLink(LinkId(f"{router}/{node}"), (node, router)) for node, router in by_router.items()]
        for line in network.classical_links:
            one, other = map(_router_node, line.routers)
            links.append(GraphLink(LinkId(f"line:{line.name}"), (one, other)))
        routers = [_router_node(router.name) for router in network.routers]
        return cls(links, relays=[*network.nodes, *routers])

    # --- what changes ---

    def set_link(
        self,
        link_id: LinkId,
        *,
        width: float | None = None,
        age_s: float | None = None,
        cost: int | None = None,
        is_up: bool | None = None,
    ) -> None:
        """Note what is known of a link now; what is not given stays. Nothing happens for a link that is not used.

        width: what routes are compared by, such as its secret key rate in bit/s. age_s: of its stock. cost: of one use,
        in whole units such as bits, not negative.
        """
        place = self.link_number.get(link_id)
        if place is None:
            return
        if cost is not None and cost < 0:
            raise ValueError(f"a cost is not negative: {cost}")
        self.width[place] = self.width[place] if width is None else width
        self.freshness[place] = self.freshness[place] if age_s is None else -age_s
        self.cost[place] = self.cost[place] if cost is None else cost
        self.link_is_up[place] = self.link_is_up[place] if is_up is None else is_up

    def set_node(self, node: NodeId, *, is_up: bool) -> None:
        """Note whether a site is there; no route begins at, ends at or passes one that is not."""
        place = self.number_of(node)
        self.node_is_up[place] = is_up
        self._passes[place] = is_up and self._is_relay[place]

    def take_state(self, state: GraphState) -> None:
        """Note all that another process knows of the same network's links and nodes."""
        self.width[:] = state.width
        self.link_is_up[:] = state.link_is_up
        for node, is_up in zip(self.nodes, state.node_is_up, strict=True):
            self.set_node(node, is_up=bool(is_up))

    # --- what is asked ---

    def state(self) -> GraphState:
        """Return what is known now, for another process."""
        return GraphState(tuple(self.width), bytes(self.link_is_up), bytes(self.node_is_up))

    def number_of(self, node: NodeId) -> int:
        """Return a site's number; raises UnknownNode."""
        if node not in self.number:
            raise UnknownNode(f"no site {node!r} in this network")
        return self.number[node]

    def passes(self, policy: RoutePolicy, source: int, *, when_whole: bool = False) -> bytes | bytearray:
        """Return, by number, which sites a key from ``source`` may pass under a policy.

        ``when_whole``: as if all sites were there.
        """
        now = self._is_relay if when_whole else self._passes
        if policy == ANY_ROUTE:
            return now
        if policy.direct_only:
            return bytes(len(self.nodes))
        passes = bytearray(now)
        for node in policy.avoid & self.number.keys():
            passes[self.number[node]] = 0
        if policy.domestic_only:
            home = self._regions[source]
            passes = bytearray(may and region == home for may, region in zip(passes, self._regions, strict=True))
        return passes

    def may_end(self, policy: RoutePolicy, source: int, target: int, *, when_whole: bool = False) -> bool:
        """Return whether routes may join the two at all: both are there, and the policy does not rule one out."""
        ends = (source, target)
        if any(self.nodes[end] in policy.avoid for end in ends):
            return False
        if not when_whole and not all(self.node_is_up[end] for end in ends):
            return False
        home = self._regions[source]
        return not policy.domestic_only or (bool(home) and home == self._regions[target])

    def links_along(self, route: Route) -> tuple[LinkId, ...]:
        """Return the links of a route in order; raises UnknownNode for hops that are none."""
        return tuple(self.links[self.link_between(here, there)].link_id for here, there in pairwise(route))

    def link_between(self, one: NodeId, other: NodeId) -> int:
        """Return the number of the link that joins two sites; raises UnknownNode."""
        if (link := self._between.get((one, other))) is not None:
            return link
        self.number_of(one), self.number_of(other)  # raise for what is no site
        raise UnknownNode(f"no link joins {one!r} and {other!r}")

    def _neighbours(self) -> tuple[tuple[Hop, ...], ...]:
        hops: list[list[Hop]] = [[] for _ in self.nodes]
        for place, link in enumerate(self.links):
            one, other = (self.number_of(end) for end in link.ends)
            hops[one].append((other, place))
            hops[other].append((one, place))
        return tuple(tuple(sorted(peers)) for peers in hops)


def _router_node(name: str) -> NodeId:
    """Return what a router is called among sites, one of which may have its name."""
    return NodeId(f"router:{name}")


def _links(network: Network) -> list[GraphLink]:
    """Return the links that something is passed on over: a satellite passes nothing on."""
    return [
        GraphLink(link.link_id, link.ends, NodeId(link.satellite) if link.kind == "announced" else None)
        for link in network.links
        if link.kind != "downlink"
    ]
