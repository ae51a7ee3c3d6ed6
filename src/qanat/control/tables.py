"""The tables of routes that key managers are given, worked out for each when it is first asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from qanat.control.books import Books
from qanat.control.graph import GraphState
from qanat.control.outages import Outages
from qanat.control.route_tables import RouteFinder, RouteTable
from qanat.control.routing import policy_between, set_widths, widest
from qanat.control.wished import answer, note_ages_and_costs
from qanat.ground.errors import QanatError, UnknownNode
from qanat.ground.identifiers import Epoch, LinkId, NodeId
from qanat.ground.network import Network
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


FindTables: TypeAlias = Callable[[GraphState, Sequence[NodeId], bool], Awaitable[Sequence[RouteTable]]]
"""Finds the tables of nodes, somewhere else, for links and nodes in this state; and whether somebody waits for them.
Raises QanatError when it cannot."""


MOST_TRIES = 3
"""So often tables are looked for again that were out of date when they were found."""


class Tables:
    """Routes over one network, by what its links give now. ``version`` grows with each change."""

    def __init__(self, network: Network, books: Books, *, find: FindTables | None = None) -> None:
        """``find``: where tables are looked for ahead of need; None: here, when they are asked for."""
        self.version = 1
        self._finder = RouteFinder(network)
        self.key_graph = self._finder.graph
        self._policies = self._finder.policies
        self._network = network
        self._books = books
        self._find = find
        self._num_changes = 0
        self._tables: dict[NodeId, RouteTable] = {}
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
            self._num_changes += 1

    def is_at_hand(self, node: NodeId) -> bool:
        """Return whether a node's table can be told without a pause; raises UnknownNode."""
        self.key_graph.number_of(node)
        return self._find is None or node in self._tables

    async def make(self, nodes: Sequence[NodeId], *, is_awaited: bool = False) -> bool:
        """Have all routes from nodes looked for elsewhere, before they are asked for; where that cannot be, or what
        links give changes all the while, they are looked for here, when they are. Return whether they are at hand."""
        if self._find is None:
            return True
        with contextlib.suppress(QanatError):
            for _ in range(MOST_TRIES):
                before = self._num_changes
                found = await self._find(self.key_graph.state(), nodes, is_awaited)
                if self._num_changes == before:
                    self._tables.update(zip(nodes, found, strict=True))
                    return True
        return False

    def own_routes(self, word: GenerationRequest) -> Routes:
        """Return the table's route for a demand that names none."""
        try:
            policy = policy_between(self._policies, word.source, word.target)
            with self._finder.shut(policy):
                route = widest(self.key_graph, word.source, word.target, policy)
        except UnknownNode:  # of another network, or of an earlier description of this one
            return ()
        return () if route is None else (route,)

    def are_allowed(self, routes: Routes) -> bool:
        """Return whether the sites at the ends of all these would have their keys go that way."""
        return all(self._finder.is_allowed(route) for route in routes)

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
        with self._finder.shut(policy.joined(policy_between(self._policies, source, word.target))):
            return answer(word, source, graph=self.key_graph, policies=self._policies, stamp=stamp)

    def _of(self, node: NodeId) -> RouteTable:
        """Return all routes from a node, looked for when they are first asked for: a large network has many."""
        if node not in self._tables:
            self._tables[node] = self._finder.table(node)
        return self._tables[node]
