"""All routes that begin at a node, looked for in one go: what a key manager's table is made of. Pure work on what links
give now, so that another process can do it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qanat.control.graph import GraphState, Route, RouteGraph
from qanat.control.routing import (
    choices_from,
    disjoint,
    ends_allow,
    places_of_applications,
    policies_of_sites,
    policy_between,
    shortest_from,
    widest,
    widest_allowed_from,
)
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network
from qanat.ground.route_policy import RoutePolicy
from qanat.key_management.wire import RouteChoices, Routes


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes that begin at a node."""

    key_routes: Routes
    classical_routes: Routes
    choices: tuple[RouteChoices, ...]


class RouteFinder:
    """Looks for routes over one network. ``graph``: of keys, with what its links give."""

    def __init__(self, network: Network) -> None:
        self.graph = RouteGraph.of_keys(network, regions=network.regions)
        self.policies = policies_of_sites(network)
        self._network = network
        self._message_graph = RouteGraph.of_messages(network)
        self._announced = [link for link in network.relayed_links if link.kind == "announced"]
        """Their key is known to a satellite, which is no site of a way."""
        self._places = places_of_applications(network)

    def table(self, node: NodeId) -> RouteTable:
        """Return all routes from a node; raises UnknownNode."""
        routes = widest_allowed_from(self.graph, node, self.policies)
        choices = choices_from(self.graph, node, places=self._places, policies=self.policies)
        if self._announced and self.policies:
            routes, choices = self._as_ends_have_it(node, routes, choices)
        return RouteTable(tuple(routes.values()), self._classical_from(node), choices)

    def table_when(self, state: GraphState, node: NodeId) -> RouteTable:
        """Return the same for links and nodes in another state, which the graph has from then on."""
        self.graph.take_state(state)
        return self.table(node)

    @contextmanager
    def shut(self, policy: RoutePolicy) -> Iterator[None]:
        """Look for routes as if there were no links that satellites announce key for which a policy rules out."""
        graph = self.graph
        shut = [
            link.link_id
            for link in self._announced
            if (policy.direct_only or link.satellite in policy.avoid)
            or (policy.domestic_only and not self._is_home(link))
        ]
        were_up = [graph.link_is_up[graph.link_number[link_id]] for link_id in shut]
        for link_id in shut:
            graph.set_link(link_id, is_up=False)
        try:
            yield
        finally:
            for link_id, was_up in zip(shut, were_up, strict=True):
                graph.set_link(link_id, is_up=bool(was_up))

    def is_allowed(self, route: Route) -> bool:
        """Return whether the sites at a route's ends have their keys go that way; a satellite that announced a hop's
        key is on it."""
        return ends_allow(self._network.trusted_route(route), self.policies, regions=self._network.regions)

    def _is_home(self, link: Link) -> bool:
        """Return whether a satellite that announces a link's key counts as of its stations' region."""
        return self._network.regions.get(NodeId(link.satellite)) == self._network.regions.get(link.ends[0], "")

    def _as_ends_have_it(
        self, node: NodeId, routes: dict[NodeId, Route], choices: tuple[RouteChoices, ...]
    ) -> tuple[dict[NodeId, Route], tuple[RouteChoices, ...]]:
        """Return the same without what goes by satellites that its ends would not have know their keys."""
        ways: dict[NodeId, list[Route]] = {target: [route] for target, route in routes.items()}
        for row in choices:
            ways.setdefault(row.target, []).extend((*row.disjoint, *row.detours))
        others = {row.target: row for row in choices}
        for target in [target for target, found in ways.items() if not all(map(self.is_allowed, found))]:
            policy = policy_between(self.policies, node, target)
            with self.shut(policy):
                best = widest(self.graph, node, target, policy)
                apart = disjoint(self.graph, node, target, policy).routes
            routes.pop(target, None)
            if best is not None:
                routes[target] = best
            if others.pop(target, None) is not None and apart:
                others[target] = RouteChoices(target, apart, (), ())
        return routes, tuple(others.values())

    def _classical_from(self, node: NodeId) -> Routes:
        """Return the ways of messages from a node to every other site: routers are on ways, none ends at one."""
        found = shortest_from(self._message_graph, node)
        return tuple(route for end, route in found.items() if self._network.find_site(end) is not None)
