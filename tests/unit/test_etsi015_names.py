"""ETSI GS QKD 015: the same names in every process, and the structure of its YANG module."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest

from qanat.apps.networks import load_network
from qanat.doors.etsi015.names import app_id, qkdi_id, qkdl_id, qkdn_id, route_qkdl_id
from qanat.doors.etsi015.notifications import NOT_TOLD, OF_KIND, Notification, notification_of
from qanat.doors.etsi015.records import LinkState, node_record
from qanat.ground.alarms import ALARMS
from qanat.ground.errors import UnknownNode
from qanat.ground.events import Event, EventKind, Json
from qanat.ground.identifiers import CONTROLLER, EventId, NodeId, SaePair
from qanat.ground.network import PreparedKeys

RING = load_network("five-site-ring")
SITE = RING.nodes[0]
LINK = RING.links_of(SITE)[0]
PREPARED = PreparedKeys(master="alice", slave="bob", count=3, size_bits=256)
WITH_PREPARED = load_network("three-nodes").model_copy(update={"prepared_keys": (PREPARED,)})
FROZEN_NODE = "45c340f7-8dfb-525b-ab0f-66e9b279b212"
FROZEN_LINK = "0842b552-9867-5e7e-86ea-3ca53b73eea1"


def event(kind: EventKind, node: NodeId = SITE, **data: Json) -> Event:
    return Event(EventId("e"), None, None, node, 0.0, 0.0, kind, data)


def test_names_are_uuids_that_never_change() -> None:
    """The figures are of the first version that named things so: who stored them finds them again."""
    three = load_network("three-nodes")
    found = qkdn_id(three, NodeId("suzhou")), qkdl_id(three, three.links[0].link_id)
    assert found == (FROZEN_NODE, FROZEN_LINK)
    assert {uuid.UUID(name).version for name in found} == {5}


def test_different_parts_have_different_names() -> None:
    names = [qkdn_id(RING, node) for node in RING.nodes] + [qkdl_id(RING, link.link_id) for link in RING.links]
    pairs = [SaePair(one, other) for one in RING.saes for other in RING.saes if one != other]
    names += [app_id(RING, pair) for pair in pairs] + [route_qkdl_id(RING, RING.nodes[:3])]
    assert len(set(names)) == len(names) > 10


def test_a_route_has_one_name_from_either_end() -> None:
    route = RING.nodes[:3]
    assert route_qkdl_id(RING, route) == route_qkdl_id(RING, route[::-1])
    assert route_qkdl_id(RING, LINK.ends) == route_qkdl_id(RING, LINK.ends[::-1]) == qkdl_id(RING, LINK.link_id)
    with pytest.raises(UnknownNode):
        route_qkdl_id(RING, (*route, NodeId("nowhere")))


def test_the_record_of_a_site_has_the_fields_of_the_standard() -> None:
    """Names as in module etsi-qkd-sdn-node of V2.1.1."""
    record = node_record(RING, SITE)
    assert record.keys() == {
        *("qkdn_id", "qkdn_location_id", "qkdn_capabilities", "qkd_applications", "qkd_interfaces", "qkd_links")
    }
    links, interfaces = record["qkd_links"]["qkd_link"], record["qkd_interfaces"]["qkd_interface"]
    assert [row["qkdi_id"] for row in interfaces] == [row["qkdl_local"]["qkdi_id"] for row in links] == [1, 2]
    assert {row["qkdl_status"] for row in links} == {"etsi-qkd-node-types:PASSIVE"}


def test_both_ends_of_a_link_tell_the_same_of_it() -> None:
    for link in RING.links:
        here, there = (
            next(
                row
                for row in node_record(RING, node)["qkd_links"]["qkd_link"]
                if row["qkdl_id"] == qkdl_id(RING, link.link_id)
            )
            for node in link.ends
        )
        assert (here["qkdl_local"], here["qkdl_remote"]) == (there["qkdl_remote"], there["qkdl_local"])
        assert {here["phys_qkd_role"], there["phys_qkd_role"]} == {
            "etsi-qkd-node-types:TRANSMITTER",
            "etsi-qkd-node-types:RECEIVER",
        }


def test_the_state_of_a_link_is_one_of_the_standards_four() -> None:
    states = [LinkState(), LinkState(has_order=True), LinkState(is_failing=True), LinkState(is_out=True)]
    assert [state.status for state in states] == ["PASSIVE", "ACTIVE", "PENDING", "OFF"]
    state = LinkState(has_order=True, secret_rate_bits_per_s=28_100.4, qber=0.011)
    row = node_record(RING, SITE, states={LINK.link_id: state})["qkd_links"]["qkd_link"][0]
    assert row["qkdl_performance"]["skr"] == 28_100
    assert row["qkdl_performance"]["phys_perf"][0]["value"] == 0.011


def test_an_alarm_is_told_under_the_name_of_its_row_and_its_end_as_an_event() -> None:
    row = ALARMS["link-failing"]
    told = event(EventKind.ALARM, CONTROLLER, code=row.code, etsi015=row.etsi015, link_id=LINK.link_id, text="x")
    found = notification_of(RING, told)
    assert found is not None
    assert (found[0], found[1]["qkdl_id"]) == (Notification.LINK_DOWN, qkdl_id(RING, LINK.link_id))
    assert "qkdn_id" not in found[1]
    over = notification_of(RING, event(EventKind.ALARM, code=row.code, etsi015=row.etsi015, cleared=True))
    assert over is not None
    assert over[0] is Notification.EVENT


def test_the_quality_of_a_link_is_a_performance_update_and_steps_of_a_key_are_nobodys_business() -> None:
    found = notification_of(RING, event(EventKind.LINK_QUALITY, link_id=LINK.link_id, qber=0.01))
    assert found is not None
    assert (found[0], found[1]["qber"], found[1]["qkdi_id"]) == (Notification.LINK_PERFORMANCE, 0.01, 1)
    assert notification_of(RING, event(EventKind.KEYS_DELIVERED)) is None


def test_a_module_has_a_number_at_its_node_only() -> None:
    stranger = next(node for node in RING.nodes if node not in LINK.ends)
    with pytest.raises(UnknownNode):
        qkdi_id(RING, stranger, LINK.link_id)


# --- beside the standard's own words ---

NOTIFICATIONS = {
    "application": ("new", "qos_update", "disconnected"),
    "interface": ("new", "down", "out"),
    "link": ("down", "perf_update", "overloaded"),
}
"""ETSI GS QKD 015 V2.1.1: eleven, these nine and a plain alarm and a plain event."""
WORDS = {
    "qkdl_status": {"ACTIVE", "PASSIVE", "PENDING", "OFF"},
    "qkdl_type": {"PHYS", "VIRT"},
    "app_status": {"ON", "DISCONNECTED", "OUT-OF-TIME", "ZOMBIE"},
    "app_type": {"CLIENT", "INTERNAL"},
    "qkdi_type": {"CV-QKD", "DV-QKD", "DV-QKD-COW", "DV-QKD-2Ws"},
}
"""The words that a field may have."""


def test_the_notifications_are_the_standards_eleven() -> None:
    expected = {f"sdqkdn_{what}_{how}" for what, words in NOTIFICATIONS.items() for how in words} | {"alarm", "event"}
    assert {one.value for one in Notification} == expected
    assert len(expected) == 11


def test_every_row_of_the_alarm_table_is_told_under_one_of_them_about_such_a_thing() -> None:
    for row in ALARMS.values():
        told = Notification(row.etsi015)
        if told is Notification.ALARM:
            continue
        assert told.value.rpartition("_")[2] in {"down", "out", "overloaded"}, f"{row.code} is no news, but trouble"
        assert row.about in {"link", "module", "run of a command"}, f"{row.code} is about no link or interface"


def test_of_every_kind_of_event_it_is_decided_whether_it_is_told() -> None:
    assert OF_KIND.keys() & NOT_TOLD == set()
    assert {*OF_KIND, *NOT_TOLD, EventKind.ALARM} == set(EventKind)
    for kind in EventKind:
        found = notification_of(RING, event(kind))
        assert (found is None) == (kind in NOT_TOLD), kind


def test_fields_whose_words_the_standard_lists_have_no_others() -> None:
    """In every packaged network's trees; those of links in all states, and of pairs that keys are prepared for."""
    found: dict[str, set[str]] = {name: set() for name in WORDS}
    states = [LinkState(), LinkState(has_order=True), LinkState(is_failing=True), LinkState(is_out=True)]
    for network in (RING, load_network("three-nodes"), load_network("one-switch"), WITH_PREPARED):
        for node in network.nodes:
            for state in states:
                record = node_record(network, node, states=dict.fromkeys((one.link_id for one in network.links), state))
                collect(record, found)
    assert all(found[name] for name in WORDS), "or nothing was looked at"
    assert {name: words - WORDS[name] for name, words in found.items()} == {name: set() for name in WORDS}
    assert found["qkdl_status"] == WORDS["qkdl_status"]


def collect(tree: object, found: dict[str, set[str]]) -> None:
    """Add the words of the fields that are looked for, wherever they stand."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            if name in found:
                found[name].add(str(value).removeprefix("etsi-qkd-node-types:"))
            collect(value, found)
    elif isinstance(tree, list):
        for one in tree:
            collect(one, found)
