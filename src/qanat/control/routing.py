"""Routes: the widest, the cheapest or the freshest for keys, the shortest for messages; and all others.

A key route passes trusted relays only, and its width is that of its weakest link (the expected secret key rate). Ties
fall by the number of links, then by names. All links that satellites announce are alike (``link_widths``), so that two
stations of one satellite share key by it at once, and not by way of a third. Messages need no trust on their way, and
are routed in a graph of their own.

Besides the widest route, key managers hear of all others between nodes with applications: the most that share no relay,
for keys of which no relay may know anything, and detours round single relays, for the day when one of them is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from qanat.control.apart import routes_apart
from qanat.control.disjoint import DisjointRoutes
from qanat.control.graph import Route, RouteGraph
from qanat.control.searches import NOWHERE, bottlenecks, fewest_hops, least_cost
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.network.satellites import COMPARED_AS_BITS_PER_S
from qanat.ground.requirements import MAX_DISJOINT_ROUTES
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy
from qanat.ground.units import transmittance
from qanat.key_management.wire import RouteChoices

NO_POLICIES: Mapping[NodeId, RoutePolicy] = MappingProxyType({})
NOWHERE_STATED: Mapping[NodeId, str] = MappingProxyType({})
LEAST_BITS_PER_S = 1e-6
"""A link of a satellite that gives no more than this gives nothing: it is the last choice."""
HOP_COST = 1000
"""In choosing disjoint routes, a hop more weighs as much as the difference of the widest link to a closed one."""


# --- one route ---


def widest(graph: RouteGraph, source: NodeId, target: NodeId, policy: RoutePolicy = ANY_ROUTE) -> Route | None:
    """Return the route whose narrowest link is the widest, or None; raises UnknownNode."""
    return _by_bottleneck(graph, graph.width, source, target, policy)


def freshest(graph: RouteGraph, source: NodeId, target: NodeId, policy: RoutePolicy = ANY_ROUTE) -> Route | None:
    """Return the route whose oldest stock is the youngest, or None; raises UnknownNode."""
    return _by_bottleneck(graph, graph.freshness, source, target, policy)


def cheapest(graph: RouteGraph, source: NodeId, target: NodeId, policy: RoutePolicy = ANY_ROUTE) -> Route | None:
    """Return the route of the least total cost (of hops, where each costs 1; of bits), or None; raises UnknownNode."""
    start, end = graph.number_of(source), graph.number_of(target)
    if start == end or not graph.may_end(policy, start, end):
        return None
    way = least_cost(graph, start, end, passes=graph.passes(policy, start))
    return tuple(graph.nodes[place] for place in way) or None


def shortest(graph: RouteGraph, source: NodeId, target: NodeId, policy: RoutePolicy = ANY_ROUTE) -> Route | None:
    """Return the route of the fewest hops whatever they cost, or None; raises UnknownNode."""
    start, end = graph.number_of(source), graph.number_of(target)
    if start == end or not graph.may_end(policy, start, end):
        return None
    return _traced(graph, fewest_hops(graph, start, passes=graph.passes(policy, start), until=end), start, end)


def _by_bottleneck(
    graph: RouteGraph, values: Sequence[float], source: NodeId, target: NodeId, policy: RoutePolicy
) -> Route | None:
    start, end = graph.number_of(source), graph.number_of(target)
    if start == end or not graph.may_end(policy, start, end):
        return None
    passes = graph.passes(policy, start)
    value = bottlenecks(graph, values, start, passes=passes, until=end)[end]
    if value == float("-inf"):
        return None
    return _traced(
        graph, fewest_hops(graph, start, passes=passes, values=values, at_least=value, until=end), start, end
    )


def _traced(graph: RouteGraph, before: Sequence[int], start: int, end: int) -> Route | None:
    """Return the way to ``end`` from the site before each."""
    if before[end] == NOWHERE:
        return None
    way = [end]
    while way[-1] != start:
        way.append(before[way[-1]])
    return tuple(graph.nodes[place] for place in reversed(way))


# --- the routes from one site to all others ---


def widest_from(graph: RouteGraph, source: NodeId, policy: RoutePolicy = ANY_ROUTE) -> dict[NodeId, Route]:
    """Return the widest route to every site that has one, as ``widest`` would; raises UnknownNode."""
    start = graph.number_of(source)
    found = _Widest(graph, start, policy)
    routes = ((graph.nodes[end], found.to(end)) for end in sorted(range(len(graph.nodes)), key=found.rank))
    return {node: route for node, route in routes if route is not None}


class _Widest:
    """The widest routes from one site, each searched for when it is asked for."""

    def __init__(self, graph: RouteGraph, start: int, policy: RoutePolicy) -> None:
        self._graph, self._start, self._policy = graph, start, policy
        self._passes = graph.passes(policy, start)
        self._values = bottlenecks(graph, graph.width, start, passes=self._passes)
        self._before: dict[float, list[int]] = {}

    def rank(self, end: int) -> float:
        """Return what sorts ends, those with the widest routes first."""
        return -self._values[end]

    def to(self, end: int) -> Route | None:
        """Return the widest route to a site, of those the one with the fewest hops; None where there is none."""
        value, graph = self._values[end], self._graph
        if end == self._start or value == float("-inf") or not graph.may_end(self._policy, self._start, end):
            return None
        if value not in self._before:
            self._before[value] = fewest_hops(
                graph, self._start, passes=self._passes, values=graph.width, at_least=value
            )
        return _traced(graph, self._before[value], self._start, end)


def shortest_from(graph: RouteGraph, source: NodeId) -> dict[NodeId, Route]:
    """Return the route of the fewest hops to every site that has one; raises UnknownNode."""
    start = graph.number_of(source)
    before = fewest_hops(graph, start, passes=graph.passes(ANY_ROUTE, start))
    return _all_traced(graph, before, start, range(len(graph.nodes)))


def _all_traced(graph: RouteGraph, before: Sequence[int], start: int, ends: Sequence[int]) -> dict[NodeId, Route]:
    found = ((graph.nodes[end], _traced(graph, before, start, end)) for end in ends)
    return {node: route for node, route in found if route is not None}


# --- what sites ask of the way ---


def policies_of_sites(network: Network) -> dict[NodeId, RoutePolicy]:
    """Return what holds for every route that begins or ends at a site, where it asks for anything."""
    return dict(network.site_policies)


def policy_between(policies: Mapping[NodeId, RoutePolicy], one: NodeId, other: NodeId) -> RoutePolicy:
    """Return what two sites together ask of the way between them."""
    return policies.get(one, ANY_ROUTE).joined(policies.get(other, ANY_ROUTE))


def ends_allow(
    route: Route, policies: Mapping[NodeId, RoutePolicy], *, regions: Mapping[NodeId, str] = NOWHERE_STATED
) -> bool:
    """Return whether the sites at a route's ends would have their keys go that way. ``regions``: where sites are stated
    to be."""
    return policy_between(policies, route[0], route[-1]).allows(route, regions=regions)


def widest_allowed_from(
    graph: RouteGraph, source: NodeId, policies: Mapping[NodeId, RoutePolicy]
) -> dict[NodeId, Route]:
    """Return what ``widest_from`` does, every route as the sites at both its ends have it; raises UnknownNode."""
    own = policies.get(source, ANY_ROUTE)
    routes = widest_from(graph, source, own)
    for target, policy in policies.items():
        if target in routes and own.joined(policy) != own:
            route = widest(graph, source, target, own.joined(policy))
            if route is None:
                del routes[target]
            else:
                routes[target] = route
    return routes


# --- what a network's links are compared by ---


def set_widths(graph: RouteGraph, network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> None:
    """Note the widths of all links (``link_widths``)."""
    width = link_widths(network, rates_bits_per_s)
    for link in network.relayed_links:
        graph.set_link(link.link_id, width=width(link))


def link_widths(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> Callable[[Link], float]:
    """Return what links are compared by: their rates where those of all fibres are known, else their transmittance, so
    that like is compared with like.

    A satellite's links count as one input each, whatever their passes give in the mean: means of a week differ by what
    is left over at its end, and a way by a third station, which would win by that, costs the satellite twice the key
    and a relay's trust. One whose rate is known to be nothing counts for LEAST_BITS_PER_S.
    """
    fibres = [link for link in network.relayed_links if link.makes_key_on_order]
    if not all(rates_bits_per_s.get(link.link_id, 0.0) > 0 for link in fibres):
        return lambda link: transmittance(loss_db=link.loss_db)
    by_satellite = {
        link.link_id: COMPARED_AS_BITS_PER_S
        if rates_bits_per_s.get(link.link_id, COMPARED_AS_BITS_PER_S) > LEAST_BITS_PER_S
        else LEAST_BITS_PER_S
        for link in network.relayed_links
        if not link.makes_key_on_order
    }
    return lambda link: by_satellite.get(link.link_id) or rates_bits_per_s[link.link_id]


def key_graph(network: Network, rates_bits_per_s: Mapping[LinkId, float]) -> RouteGraph:
    """Return a network's graph for keys with the widths of its links."""
    graph = RouteGraph.of_keys(network)
    set_widths(graph, network, rates_bits_per_s)
    return graph


def classical_routes(network: Network, source: NodeId) -> dict[NodeId, Route]:
    """Return the way of messages with the fewest lines from ``source`` to every other site, ends included."""
    sites, graph = set(network.nodes), RouteGraph.of_messages(network)
    return {node: route for node, route in shortest_from(graph, source).items() if node in sites}


# --- all others ---


def places_of_applications(network: Network) -> tuple[NodeId, ...]:
    """Return the nodes with applications, in the order of the network's description."""
    places = {app.site for app in network.applications}
    return tuple(node for node in network.nodes if node in places)


def choices_from(
    graph: RouteGraph,
    source: NodeId,
    *,
    places: Sequence[NodeId],
    policies: Mapping[NodeId, RoutePolicy] = NO_POLICIES,
) -> tuple[RouteChoices, ...]:
    """Return all ways from ``source`` to every other of ``places``; none when it is none of them.

    Where ``policies`` of the ends ask for anything of the way, no detours are looked for: such as would do are rare.
    """
    if source not in places:
        return ()
    own = policies.get(source, ANY_ROUTE)
    finder = None if own != ANY_ROUTE else _Choices(graph, source)
    choices = []
    for place in places:
        policy = policy_between(policies, source, place)
        if finder is not None and policy == ANY_ROUTE:
            choices += [finder.to(place)] if place in finder.widest else []
        elif routes := disjoint(graph, source, place, policy).routes:
            choices.append(RouteChoices(place, routes, (), ()))
    return tuple(choices)


def disjoint(
    graph: RouteGraph,
    source: NodeId,
    target: NodeId,
    policy: RoutePolicy = ANY_ROUTE,
    *,
    at_most: int = MAX_DISJOINT_ROUTES,
) -> DisjointRoutes:
    """Return the most routes that have no site but their ends in common, nor a satellite that has announced key of
    both, of the fewest hops and the widest links."""
    return _Apart(graph, source, policy).to(target, at_most=at_most)


class _Apart:
    """Finds routes from one node that have no site but their ends in common. The graph between relays is built once."""

    def __init__(self, graph: RouteGraph, source: NodeId, policy: RoutePolicy = ANY_ROUTE) -> None:
        self._graph, self._source, self._policy = graph, source, policy
        self._start = graph.number_of(source)
        self._passes = graph.passes(policy, self._start)
        self._highest = max(graph.width, default=1.0) or 1.0
        self._between_relays = {
            graph.nodes[here]: {
                graph.nodes[there]: self._cost(link)
                for there, link in peers
                if there != self._start and self._passes[there] and graph.link_is_up[link]
            }
            for here, peers in enumerate(graph.hops)
            if self._passes[here] or here == self._start
        }

    def to(self, target: NodeId, *, at_most: int = MAX_DISJOINT_ROUTES) -> DisjointRoutes:
        """Return the most routes to a site, as ``disjoint`` does; raises UnknownNode."""
        graph, end = self._graph, self._graph.number_of(target)
        if self._start == end or not graph.may_end(self._policy, self._start, end):
            return DisjointRoutes((), ())
        passable = self._between_relays.copy()
        passable.pop(target, None)
        for here, link in graph.hops[end]:
            if (row := passable.get(graph.nodes[here])) is not None and graph.link_is_up[link]:
                passable[graph.nodes[here]] = {**row, target: self._cost(link)}
        known_to = {hop: who for hop, who in graph.known_to.items() if hop[1] in passable.get(hop[0], {})}
        return routes_apart(passable, known_to, self._source, target, at_most=at_most)

    def _cost(self, link: int) -> int:
        """Return what a hop costs: a thousand for its length, up to a thousand more the narrower its link is."""
        return HOP_COST + round(HOP_COST * (1 - self._graph.width[link] / self._highest))


class _Choices:
    """Finds the ways from one node."""

    def __init__(self, graph: RouteGraph, source: NodeId) -> None:
        self._graph, self._source = graph, source
        self._passes = graph.passes(ANY_ROUTE, graph.number_of(source))
        self._apart = _Apart(graph, source)
        self._round: dict[NodeId, _Widest] = {}
        self._reached: dict[NodeId, Sequence[int]] = {}
        self.widest = widest_from(graph, source)

    def to(self, target: NodeId) -> RouteChoices:
        widest = self.widest[target]
        found = self._disjoint(target, widest)
        known, musts = list(dict.fromkeys((widest, *found.routes))), list[NodeId]()
        for relay in widest[1:-1]:
            if all(relay in route for route in known):
                detour = self._detour(target, without=relay)
                known += [detour] if detour is not None else []
                musts += [relay] if detour is None else []
        cut = tuple(musts) or found.cut if len(found.routes) == 1 else found.cut
        detours = tuple(route for route in known[1:] if route not in found.routes)
        return RouteChoices(target, found.routes, detours, cut)

    def _disjoint(self, target: NodeId, widest: Route) -> DisjointRoutes:
        by_satellite = {widest[:2], widest[-2:]} & self._graph.known_to.keys()  # it may be all that is in the way
        if not by_satellite and min(self._ways_out(self._source, target), self._ways_out(target, self._source)) == 1:
            return DisjointRoutes((widest,), ())  # a user on one access relay: most users, so no search for each
        return self._apart.to(target)

    def _ways_out(self, node: NodeId, other: NodeId) -> int:
        """Return to how many nodes a key between the two may go from ``node``."""
        graph = self._graph
        end = graph.number[other]
        return sum(
            graph.link_is_up[link] and (peer == end or self._passes[peer])
            for peer, link in graph.hops[graph.number[node]]
        )

    def _is_reached(self, target: NodeId, *, without: NodeId) -> bool:
        """Return whether any way avoids a relay: on a line none does, and this is found fast."""
        if without not in self._reached:
            graph, start = self._graph, self._graph.number[self._source]
            passes = graph.passes(RoutePolicy(avoid=frozenset({without})), start)
            self._reached[without] = fewest_hops(graph, start, passes=passes)
        return self._reached[without][self._graph.number[target]] != NOWHERE

    def _detour(self, target: NodeId, *, without: NodeId) -> Route | None:
        """Return the widest route that avoids a relay, if there is any."""
        if not self._is_reached(target, without=without):
            return None
        if without not in self._round:
            start, policy = self._graph.number[self._source], RoutePolicy(avoid=frozenset({without}))
            self._round[without] = _Widest(self._graph, start, policy)
        return self._round[without].to(self._graph.number[target])
