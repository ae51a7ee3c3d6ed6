"""The tables of routes that key managers are given, worked out for each when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qanat.control.books import Books
from qanat.control.graph import Route, RouteGraph
from qanat.control.outages import Outages
from qanat.control.routing import (
    choices_from,
    disjoint,
    ends_allow,
    places_of_applications,
    policies_of_sites,
    policy_between,
    set_widths,
    shortest_from,
    widest,
    widest_allowed_from,
)
from qanat.control.wished import answer, note_ages_and_costs
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import Epoch, LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy
from qanat.key_management.wire import (
    Announce,
    GenerationRequest,
    RouteAnswer,
    RouteChoices,
    RouteQuestion,
    Routes,
    RoutesPushed,
)

PUSHED_AGAIN_S = 2.0
"""What was lost on its way to a key manager, or was told to its life before, is told again after so long."""


@dataclass(frozen=True, slots=True)
class _Table:
    """All routes that begin at a node."""

    key_routes: Routes
    classical_routes: Routes
    choices: tuple[RouteChoices, ...]


class Tables:
    """Routes over one network, by what its links give now. ``version`` grows with each change."""

    def __init__(self, network: Network, books: Books) -> None:
        self.version = 1
        self.key_graph = RouteGraph.of_keys(network, regions=network.regions)
        self._network = network
        self._books = books
        self._message_graph = RouteGraph.of_messages(network)
        self._announced = [link for link in network.relayed_links if link.kind == "announced"]
        """Their key is known to a satellite, which is no site of a way."""
        self._places = places_of_applications(network)
        self._policies = policies_of_sites(network)
        self._tables: dict[NodeId, _Table] = {}
        self._away_links: tuple[LinkId, ...] = ()
        self._lost_nodes: tuple[NodeId, ...] = ()
        self._pushed: dict[NodeId, tuple[tuple[Epoch, int], float]] = {}
        """Which table a key manager was told when it last said that it has another one."""

    def renew(self, outages: Outages) -> None:
        """Take note of what links give now; key managers' tables are out of date."""
        self.version += 1
        self.note_widths(outages)

    def note_widths(self, outages: Outages) -> None:
        """Note what links give now; where that is something else, routes are looked for anew when they are next asked
        for."""
        before = list(self.key_graph.width)
        rates = {link_id: book.rate_bits_per_s for link_id, book in self._books.links.items()}
        set_widths(self.key_graph, self._network, rates)
        outages.narrow(self.key_graph)
        self._away_links, self._lost_nodes = outages.away_links, outages.lost_nodes
        if before != self.key_graph.width:
            self._tables.clear()

    def make_ahead(self, node: NodeId) -> bool:
        """Look for all routes from a node before they are asked for; return whether that was left to do. Raises
        UnknownNode."""
        is_new = node not in self._tables
        self._of(node)
        return is_new

    def own_routes(self, word: GenerationRequest) -> Routes:
        """Return the table's route for a demand that names none."""
        try:
            policy = policy_between(self._policies, word.source, word.target)
            with self._shut(policy):
                route = widest(self.key_graph, word.source, word.target, policy)
        except UnknownNode:  # of another network, or of an earlier description of this one
            return ()
        return () if route is None else (route,)

    def are_allowed(self, routes: Routes) -> bool:
        """Return whether the sites at the ends of all these would have their keys go that way."""
        return all(self._is_allowed(route) for route in routes)

    def why_none(self, word: GenerationRequest, routes: Routes) -> str:
        """Return why none of these routes will do for a demand."""
        policy = policy_between(self._policies, word.source, word.target)
        if not routes:
            asked = "" if policy == ANY_ROUTE else " as the sites at its ends have their keys go"
            return f"no chain of trusted nodes joins the two{asked}"
        return "no QKD link joins the two" if policy.direct_only else "its ends would not have their keys go that way"

    def choices(self, node: NodeId) -> tuple[RouteChoices, ...]:
        """Return all ways from a node to others with applications; raises UnknownNode."""
        return self._of(node).choices

    def is_to_push(self, node: NodeId, word: Announce, epoch: Epoch, *, now_s: float) -> bool:
        """Return whether a key manager that announces itself is to be told its routes: those that it has are not these,
        and these are not on their way to it. It announces itself several times as it starts, and may take its time."""
        stamp = (epoch, self.version)
        told, at_s = self._pushed.get(node, (None, 0.0))
        if (word.table_epoch, word.table_version) == stamp or (told == stamp and now_s < at_s + PUSHED_AGAIN_S):
            return False
        self._pushed[node] = stamp, now_s
        return True

    def pushed(self, node: NodeId, epoch: Epoch) -> RoutesPushed:
        """Return the word that tells a key manager the routes that begin at it; raises UnknownNode for a stranger."""
        table = self._of(node)
        return RoutesPushed(
            table_epoch=epoch,
            table_version=self.version,
            key_routes=table.key_routes,
            classical_routes=table.classical_routes,
            twin_links=tuple(link_id for link_id, book in self._books.links.items() if book.origin == "twin"),
            choices=table.choices,
            away_links=self._away_links,
            lost_nodes=self._lost_nodes,
        )

    def answer(self, word: RouteQuestion, source: NodeId, outages: Outages, epoch: Epoch) -> RouteAnswer:
        """Return what a key manager hears who asks for other ways than its table's; raises UnknownNode."""
        note_ages_and_costs(self.key_graph, self._books, failing=outages.links_out(self.key_graph))
        stamp = (int(epoch), self.version)
        policy = RoutePolicy(frozenset(word.avoid), word.domestic_only, word.direct_only)
        with self._shut(policy.joined(policy_between(self._policies, source, word.target))):
            return answer(word, source, graph=self.key_graph, policies=self._policies, stamp=stamp)

    @contextmanager
    def _shut(self, policy: RoutePolicy) -> Iterator[None]:
        """Look for routes as if there were no links that satellites announce key for which a policy rules out."""
        graph = self.key_graph
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

    def _is_allowed(self, route: Route) -> bool:
        """Return whether the sites at a route's ends have their keys go that way; a satellite that announced a hop's
        key is on it."""
        return ends_allow(self._network.trusted_route(route), self._policies, regions=self._network.regions)

    def _is_home(self, link: Link) -> bool:
        """Return whether a satellite that announces a link's key counts as of its stations' region."""
        return self._network.regions.get(NodeId(link.satellite)) == self._network.regions.get(link.ends[0], "")

    def _of(self, node: NodeId) -> _Table:
        """Return all routes from a node, looked for when they are first asked for: a large network has many."""
        if node not in self._tables:
            routes = widest_allowed_from(self.key_graph, node, self._policies)
            choices = choices_from(self.key_graph, node, places=self._places, policies=self._policies)
            if self._announced and self._policies:
                routes, choices = self._as_ends_have_it(node, routes, choices)
            self._tables[node] = _Table(tuple(routes.values()), self._classical_from(node), choices)
        return self._tables[node]

    def _as_ends_have_it(
        self, node: NodeId, routes: dict[NodeId, Route], choices: tuple[RouteChoices, ...]
    ) -> tuple[dict[NodeId, Route], tuple[RouteChoices, ...]]:
        """Return the same without what goes by satellites that its ends would not have know their keys."""
        ways: dict[NodeId, list[Route]] = {target: [route] for target, route in routes.items()}
        for row in choices:
            ways.setdefault(row.target, []).extend((*row.disjoint, *row.detours))
        others = {row.target: row for row in choices}
        for target in [target for target, found in ways.items() if not all(map(self._is_allowed, found))]:
            policy = policy_between(self._policies, node, target)
            with self._shut(policy):
                best = widest(self.key_graph, node, target, policy)
                apart = disjoint(self.key_graph, node, target, policy).routes
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
