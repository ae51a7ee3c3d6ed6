"""What routes keep away from: links that fail and a while longer, none that is its site's only one, and lost sites."""

from __future__ import annotations

from typing import Any, cast

import pytest

from qanat.apps.networks import load_network
from qanat.control.books import Books, OrderFault
from qanat.control.graph import RouteGraph
from qanat.control.outages import AVOIDED_S, Outages
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.key_management.wire import LinkReport

TRIES = 3


class Told:
    """Hears alarms."""

    def __init__(self) -> None:
        self.alarms: list[str] = []
        self.words = "", ""

    def alarm(self, code: str, text: str, remedy: str = "", **__: object) -> None:
        assert text
        self.words = text, remedy
        self.alarms.append(code)

    def alarm_over(self, code: str, about: str) -> None:
        self.alarms.append(f"{code} over: {about}")


class Scene:
    """The outages of a packaged network, one of whose links may fail."""

    def __init__(self, name: str) -> None:
        self.network: Network = load_network(name)
        self.books = Books(self.network)
        self.told = Told()
        self.outages = Outages(self.network, self.books, cast(Any, self.told), tries=TRIES)
        self.graph = RouteGraph.of_keys(self.network)

    def fail(self, link_id: LinkId, *, until_s: float) -> None:
        book = self.books.links[link_id]
        book.failures_in_a_row += TRIES
        book.rests_until_s, book.last_fault = until_s, OrderFault("somebody listens", by_module=True)

    def look(self, now_s: float, *, lost: tuple[NodeId, ...] = ()) -> bool:
        return self.outages.look(lost, now_s=now_s)

    @property
    def avoided(self) -> frozenset[LinkId]:
        return self.outages.links_out(self.graph)


def a_link(network: Network, *, of_ring: bool) -> LinkId:
    """A link both of whose ends have others, or one that is the only one of its site."""
    graph = RouteGraph.of_keys(network)
    least = {link.link_id: min(len(graph.hops[graph.number[end]]) for end in link.ends) for link in graph.links}
    return next(link_id for link_id, number in least.items() if (number > 1) == of_ring)


def test_routes_keep_away_from_a_link_between_its_tries_and_change_once() -> None:
    scene = Scene("five-site-ring")
    link_id = a_link(scene.network, of_ring=True)
    scene.fail(link_id, until_s=11.0)
    assert scene.look(10.0)
    assert scene.avoided == {link_id}
    assert not scene.look(12.0), "it is to be tried, and nothing says that it works"
    scene.fail(link_id, until_s=14.5)
    assert not scene.look(12.5)
    assert scene.avoided == {link_id}
    assert scene.told.alarms == ["link-failing"] * 2, "each of its failures is told"


def test_a_link_that_makes_key_again_is_taken_at_once_and_one_that_nobody_tries_in_a_while() -> None:
    scene = Scene("five-site-ring")
    link_id = a_link(scene.network, of_ring=True)
    for is_mended in (True, False):
        begun_s = 10.0 if is_mended else 1000.0
        scene.fail(link_id, until_s=begun_s + 1.0)
        assert scene.look(begun_s)
        if is_mended:
            scene.books.links[link_id].failures_in_a_row = 0
            scene.outages.order_succeeded(link_id)
            assert scene.look(begun_s + 2.0)
        else:
            assert not scene.look(begun_s + AVOIDED_S - 1.0)
            assert scene.look(begun_s + AVOIDED_S + 1.0)
        assert not scene.avoided


def test_no_table_changes_for_the_only_link_of_a_site_since_there_is_no_choice() -> None:
    scene = Scene("three-nodes")
    link_id = a_link(scene.network, of_ring=False)
    scene.fail(link_id, until_s=11.0)
    assert not scene.look(10.0)
    assert scene.avoided == frozenset()
    assert scene.told.alarms == ["link-failing"], "it is told all the same"
    assert scene.outages.has_out(link_id, scene.books.links[link_id].ends)


def test_a_lost_site_is_told_with_its_last_word_on_its_own_certificate() -> None:
    scene = Scene("three-nodes")
    node = scene.network.nodes[1]
    scene.look(10.0, lost=(node,))
    assert scene.told.words == (f"{node} does not answer the controller", "")
    scene.look(11.0)
    (link, *_) = scene.network.links_of(node)
    report, words = LinkReport(link.link_id, 0, 0.0, "twin", None), f"the certificate of {node} was revoked"
    scene.books.note_report(node, report, certificate_ended=words)
    scene.look(12.0, lost=(node,))
    text, remedy = scene.told.words
    assert text == f"{words}, so {node} does not answer the controller"
    assert "qanat pki renew" in remedy


@pytest.mark.parametrize("name", ["three-nodes", "five-site-ring"])
def test_a_lost_site_is_told_with_all_its_links(name: str) -> None:
    scene = Scene(name)
    node = scene.network.nodes[1]
    assert scene.look(10.0, lost=(node,))
    assert scene.outages.lost_nodes == (node,)
    assert scene.avoided == {link.link_id for link in scene.network.links_of(node)}
    assert scene.look(11.0)
    assert not scene.avoided
