"""What sites ask of the way of all their keys holds of satellites too: those know the key that they have announced."""

from __future__ import annotations

from typing import Any, cast

import pytest

from interop.satellite_house import TEXT
from qanat.control.books import Books
from qanat.control.outages import Outages
from qanat.control.tables import Tables
from qanat.ground.errors import BadParameter, NoDirectLink, PeerProtocolError
from qanat.ground.identifiers import Epoch, LinkId, NodeId, SaePair
from qanat.ground.network import Network, parse_network
from qanat.key_management.direct_keys import as_ends_have_it, refuse_relay, require_link
from qanat.key_management.wire import GenerationRequest, RouteQuestion

NANSHAN, XINGLONG, EAST = map(NodeId, ("nanshan", "xinglong", "far-east"))
BY_SATELLITE, BY_HUT = (NANSHAN, XINGLONG), (NANSHAN, NodeId("hut"), NodeId("shed"), XINGLONG)
PAIR = LinkId("nanshan-xinglong-by-micius")
HUTS = """  - {name: hut, kind: relay, latitude_deg: 43, longitude_deg: 97}
  - {name: shed, kind: relay, latitude_deg: 42, longitude_deg: 107.5}
links:
"""
HUT_LINKS = """  - {name: hut-1, transmitter: nanshan, receiver: hut, system: backbone-625, loss_db: 9, length_km: 999}
  - {name: hut-2, transmitter: hut, receiver: shed, system: backbone-625, loss_db: 9, length_km: 999}
  - {name: hut-3, transmitter: shed, receiver: xinglong, system: backbone-625, loss_db: 9, length_km: 999}
downlinks:
"""


def network(wish: str, *, has_hut: bool = False) -> Network:
    """Two stations with an application each; Nanshan wishes something of the way of its keys; perhaps a longer way."""
    text = TEXT.replace("name: nanshan, kind: relay,", f"name: nanshan, kind: relay, {wish}")
    text = text.replace("site: west", "site: nanshan").replace("site: east", "site: xinglong")
    if has_hut:
        text = text.replace("links:\n", HUTS, 1).replace("downlinks:\n", HUT_LINKS, 1)
    return parse_network(text, source="test")


def tables_of(one: Network) -> Tables:
    tables = Tables(one, Books(one))
    tables.renew(outages_of(one))
    return tables


def outages_of(one: Network) -> Outages:
    return Outages(one, Books(one), cast(Any, None), tries=3)


def routes_between(tables: Tables, here: NodeId, there: NodeId) -> set[tuple[NodeId, ...]]:
    """All ways from one to the other that a key manager is told in its table."""
    told = tables.pushed(here, Epoch(1))
    rows = [row for row in told.choices if row.target == there]
    found = {route for route in told.key_routes if route[-1] == there}
    return found | {route for row in rows for route in (*row.disjoint, *row.detours)}


WISHES = ["direct_keys_only: true,", "keys_avoid: [micius],", "region: home, domestic_keys_only: true,"]


def test_without_a_wish_the_table_leads_over_the_satellite() -> None:
    assert routes_between(tables_of(network("")), NANSHAN, XINGLONG) == {BY_SATELLITE}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("ends", [(NANSHAN, XINGLONG), (XINGLONG, NANSHAN), (NANSHAN, EAST)])
def test_standing_tables_have_no_way_over_a_satellite_that_either_end_rules_out(
    wish: str, ends: tuple[NodeId, NodeId]
) -> None:
    one = network(wish)
    tables = tables_of(one)
    assert not routes_between(tables, *ends)
    assert not tables.own_routes(_demand(*ends))
    assert not tables.are_allowed((BY_SATELLITE,))
    question = RouteQuestion(ends[1], (), domestic_only=False, direct_only=False, measure="widest")
    assert not tables.answer(question, ends[0], outages_of(one), Epoch(1)).ways
    assert routes_between(tables, XINGLONG, EAST) == {(XINGLONG, EAST)}, "ways of others are as they were"
    assert tables.key_graph.link_is_up[tables.key_graph.link_number[PAIR]]


def test_where_another_way_is_there_the_table_leads_over_that() -> None:
    tables = tables_of(network("keys_avoid: [micius],", has_hut=True))
    assert routes_between(tables, NANSHAN, XINGLONG) == {BY_HUT}
    assert tables.own_routes(_demand(NANSHAN, XINGLONG)) == (BY_HUT,)
    assert tables.are_allowed((BY_HUT,))
    both = routes_between(tables_of(network("", has_hut=True)), NANSHAN, XINGLONG)
    assert both == {BY_SATELLITE, BY_HUT}


@pytest.mark.parametrize("wish", WISHES)
def test_no_key_manager_goes_or_passes_such_a_way_whatever_it_is_told(wish: str) -> None:
    one = network(wish)
    assert not as_ends_have_it(one, (BY_SATELLITE, (NANSHAN, XINGLONG, EAST)))
    with pytest.raises(PeerProtocolError, match="micius"):
        refuse_relay(one, BY_SATELLITE, SaePair(*one.saes[:2]))
    with pytest.raises((NoDirectLink, BadParameter)):
        require_link(one, NANSHAN, XINGLONG)
    assert as_ends_have_it(network(""), (BY_SATELLITE,)) == (BY_SATELLITE,)


def _demand(source: NodeId, target: NodeId) -> GenerationRequest:
    return GenerationRequest("demand", source, target, 1024, (), None)
