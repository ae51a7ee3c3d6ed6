"""Tables of routes are looked for once, ahead where there is time, and again only when something is different."""

from __future__ import annotations

from typing import Any, cast

import pytest

from qanat.apps.networks import load_network
from qanat.control.books import Books
from qanat.control.outages import Outages
from qanat.control.tables import PUSHED_AGAIN_S, Tables
from qanat.ground.errors import UnknownNode
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
        self.tables = Tables(network, self.books)
        self.links = [link.link_id for link in network.links]
        self.here, self.there = (network.site_of(app).node for app in network.saes[:2])
        for link_id in self.links:
            self.hear(link_id, FAST)
        self.tables.renew(self.outages)

    def hear(self, link_id: LinkId, rate_bits_per_s: float, origin: Origin = "twin") -> None:
        for node in self.books.links[link_id].ends:
            self.books.note_report(node, LinkReport(link_id, 0, rate_bits_per_s, origin, None))

    @property
    def route(self) -> tuple[NodeId, ...]:
        told = self.tables.pushed(self.here, Epoch(1)).key_routes
        return next(route for route in told if route[-1] == self.there)

    def is_looked_for_anew(self) -> bool:
        version, _ = self.tables.version, self.tables.make_ahead(self.here)
        self.tables.renew(self.outages)
        assert self.tables.version == version + 1
        return self.tables.make_ahead(self.here)


@pytest.fixture
def known() -> Controlled:
    return Controlled()


def test_what_is_made_ahead_is_left_to_do_once(known: Controlled) -> None:
    assert known.tables.make_ahead(known.here)
    assert not known.tables.make_ahead(known.here)
    assert known.tables.make_ahead(known.there)


def test_no_table_is_made_for_a_stranger(known: Controlled) -> None:
    with pytest.raises(UnknownNode):
        known.tables.make_ahead(NodeId("nobody"))


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
