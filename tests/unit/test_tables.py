"""Tables of routes are looked for once, ahead where there is time, and again only when something is different."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from qanat.adapters.process_pool import Packed
from qanat.apps.networks import load_network
from qanat.apps.routes_elsewhere import tables_of
from qanat.control.books import Books
from qanat.control.graph import GraphState
from qanat.control.outages import Outages
from qanat.control.route_tables import RouteTable
from qanat.control.tables import MOST_TRIES, PUSHED_AGAIN_S, Tables
from qanat.ground.errors import QuantumLayerError, UnknownNode
from qanat.ground.identifiers import Epoch, LinkId, NodeId
from qanat.ground.keys import Origin
from qanat.key_management.wire import Announce, LinkReport

FAST, SLOW = 1000.0, 10.0


class Told:
    """Hears alarms, and does nothing about them."""

    def alarm(self, *_: object, **__: object) -> None: ...

    def alarm_over(self, *_: object) -> None: ...


class Controlled:
    """What the controller of a ring of five sites knows, all of which have spoken."""

    def __init__(self) -> None:
        network = load_network("five-site-ring")
        self.books = Books(network)
        self.outages = Outages(network, self.books, cast(Any, Told()), tries=3)
        self.asked: list[tuple[tuple[NodeId, ...], bool]] = []
        self.network = network
        self.finding: Callable[[], None] = lambda: None
        self.tables = Tables(network, self.books, find=self.find)
        self.links = [link.link_id for link in network.links]
        self.here, self.there = (network.site_of(app).node for app in network.saes[:2])
        for link_id in self.links:
            self.hear(link_id, FAST)
        self.tables.renew(self.outages)

    def hear(self, link_id: LinkId, rate_bits_per_s: float, origin: Origin = "twin") -> None:
        for node in self.books.links[link_id].ends:
            self.books.note_report(node, LinkReport(link_id, 0, rate_bits_per_s, origin, None))

    async def find(self, state: GraphState, nodes: Sequence[NodeId], is_awaited: bool) -> list[RouteTable]:
        """Find tables as a worker does; what ``finding`` does happens meanwhile."""
        self.asked.append((tuple(nodes), is_awaited))
        self.finding()
        return tables_of(Packed.of(self.network), state, nodes)

    def make(self, *nodes: NodeId) -> bool:
        return asyncio.run(self.tables.make(nodes))

    @property
    def route(self) -> tuple[NodeId, ...]:
        told = self.tables.pushed(self.here, Epoch(1)).key_routes
        return next(route for route in told if route[-1] == self.there)

    def is_looked_for_anew(self) -> bool:
        version, _ = self.tables.version, self.tables.pushed(self.here, Epoch(1))
        self.tables.renew(self.outages)
        assert self.tables.version == version + 1
        return not self.tables.is_at_hand(self.here)


@pytest.fixture
def known() -> Controlled:
    return Controlled()


def test_what_is_made_ahead_is_at_hand_and_is_what_would_have_been_found_here(known: Controlled) -> None:
    known.hear(known.tables.key_graph.links_along(known.route)[0], SLOW)
    known.tables.renew(known.outages)
    assert not known.tables.is_at_hand(known.here)
    assert known.make(known.here, known.there)
    assert known.asked == [((known.here, known.there), False)]
    without = Tables(known.network, known.books)
    without.renew(known.outages)
    for node in (known.here, known.there):
        assert known.tables.is_at_hand(node)
        found = known.tables.pushed(node, Epoch(1))
        assert found == replace(without.pushed(node, Epoch(1)), table_version=found.table_version)


def test_no_table_is_at_hand_for_a_stranger(known: Controlled) -> None:
    with pytest.raises(UnknownNode):
        known.tables.is_at_hand(NodeId("nobody"))


def test_tables_that_were_out_of_date_when_they_came_are_looked_for_again_and_not_for_ever(known: Controlled) -> None:
    rates = iter((SLOW, None))

    def changes_once() -> None:
        if (rate_bits_per_s := next(rates)) is not None:
            known.hear(known.links[0], rate_bits_per_s)
            known.tables.renew(known.outages)

    known.finding = changes_once
    assert known.make(known.here)
    assert len(known.asked) == 2
    changes = itertools.count(100.0)

    def changes_always() -> None:
        known.hear(known.links[0], next(changes))
        known.tables.renew(known.outages)

    known.finding = changes_always
    assert not known.make(known.there)
    assert len(known.asked) == 2 + MOST_TRIES
    assert known.tables.pushed(known.there, Epoch(1)).key_routes, "then they are looked for here"


def test_where_no_worker_can_be_had_tables_are_looked_for_here(known: Controlled) -> None:
    def fails() -> None:
        raise QuantumLayerError("no worker", remedy="none")

    known.finding = fails
    assert not known.make(known.here)
    assert known.route


def test_no_route_is_looked_for_anew_where_a_site_says_what_was_known_of_it(known: Controlled) -> None:
    known.hear(known.links[0], FAST)
    assert not known.is_looked_for_anew()


def test_routes_are_looked_for_anew_each_time_that_a_link_gives_something_else(known: Controlled) -> None:
    first = known.route
    on_it = known.tables.key_graph.links_along(first)[0]
    known.hear(on_it, SLOW)
    assert known.is_looked_for_anew()
    other = known.route
    assert set(other[1:-1]).isdisjoint(first[1:-1])
    known.hear(on_it, FAST)
    assert known.is_looked_for_anew()
    assert known.route == first


def test_a_device_in_place_of_a_twin_is_told_to_all(known: Controlled) -> None:
    link_id = known.links[0]
    assert link_id in known.tables.pushed(known.here, Epoch(1)).twin_links
    known.hear(link_id, FAST, origin="device")
    assert not known.is_looked_for_anew()
    assert link_id not in known.tables.pushed(known.here, Epoch(1)).twin_links


def test_routes_are_looked_for_anew_when_a_site_is_silent_and_when_it_is_back(known: Controlled) -> None:
    first = known.route
    assert known.outages.look([first[1]], now_s=0.0)
    assert known.is_looked_for_anew()
    assert known.route != first
    assert known.tables.pushed(known.here, Epoch(1)).lost_nodes == (first[1],)
    assert known.outages.look([], now_s=1.0)
    assert known.is_looked_for_anew()
    assert known.route == first


def test_a_site_that_announces_itself_again_and_again_is_told_its_routes_once_and_again_after_a_while() -> None:
    one = Controlled()
    tables, epoch, nothing = one.tables, Epoch(7), Announce(0, 0, ())
    assert tables.is_to_push(one.here, nothing, epoch, now_s=10.0)
    assert not tables.is_to_push(one.here, nothing, epoch, now_s=10.5)
    assert tables.is_to_push(one.there, nothing, epoch, now_s=10.5), "another one has not been told"
    assert tables.is_to_push(one.here, nothing, epoch, now_s=10.0 + PUSHED_AGAIN_S), "it may have been lost"
    assert not tables.is_to_push(one.here, Announce(7, tables.version, ()), epoch, now_s=60.0), "it has it"
    assert tables.is_to_push(one.here, Announce(6, tables.version, ()), epoch, now_s=60.0), "of another controller"
    tables.renew(one.outages)
    assert tables.is_to_push(one.here, nothing, epoch, now_s=60.1), "these are other routes"
