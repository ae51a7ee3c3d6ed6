"""Events of a network as the notifications of ETSI GS QKD 015, eleven in number."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from qanat.doors.etsi015.names import app_id, qkdi_id, qkdl_id, qkdn_id
from qanat.ground.errors import UnknownNode
from qanat.ground.events import Event, EventKind
from qanat.ground.identifiers import LinkId, NodeId, SaeId, SaePair
from qanat.ground.network import Network

MODULE: Final = "etsi-qkd-sdn-node"
"""The standard's YANG module, which qualifies the names of notifications."""


class Notification(StrEnum):
    """The names in the standard's YANG module."""

    APPLICATION_NEW = "sdqkdn_application_new"
    APPLICATION_QOS_UPDATE = "sdqkdn_application_qos_update"
    APPLICATION_DISCONNECTED = "sdqkdn_application_disconnected"
    INTERFACE_NEW = "sdqkdn_interface_new"
    INTERFACE_DOWN = "sdqkdn_interface_down"
    INTERFACE_OUT = "sdqkdn_interface_out"
    LINK_DOWN = "sdqkdn_link_down"
    LINK_PERFORMANCE = "sdqkdn_link_perf_update"
    LINK_OVERLOADED = "sdqkdn_link_overloaded"
    ALARM = "alarm"
    EVENT = "event"


OF_KIND: Mapping[EventKind, Notification] = {
    EventKind.LINK_QUALITY: Notification.LINK_PERFORMANCE,
    EventKind.KEY_ASKED: Notification.APPLICATION_NEW,
    EventKind.REQUESTS_LIMITED: Notification.EVENT,
    EventKind.NODE_STARTED: Notification.EVENT,
    EventKind.STORE_RESTORED: Notification.EVENT,
    EventKind.STORE_ZEROIZED: Notification.EVENT,
    EventKind.CERTIFICATES_CHANGED: Notification.EVENT,
    EventKind.SETTINGS_CHANGED: Notification.EVENT,
    EventKind.STOCK_EXPIRED: Notification.EVENT,
    EventKind.KEYS_VOIDED: Notification.EVENT,
    EventKind.VERDICTS_CAME_ROUND: Notification.EVENT,
    EventKind.SWITCH_TURNED: Notification.EVENT,
    EventKind.CONTROLLER_RULES: Notification.EVENT,
    EventKind.CONTROLLER_STANDS_BY: Notification.EVENT,
    EventKind.ENTROPY_AWAITED: Notification.EVENT,
    EventKind.SATELLITE_ROSE: Notification.EVENT,
    EventKind.SATELLITE_SET: Notification.EVENT,
    EventKind.SATELLITE_CLOUDED: Notification.EVENT,
    EventKind.ANNOUNCEMENT_LOST: Notification.EVENT,
}
"""Kinds of events that a controller above is told; an alarm's is that of its row."""

NOT_TOLD: Final = frozenset(
    {
        # the life of single requests, keys and blocks, which the key managers settle among themselves
        EventKind.REQUEST,
        EventKind.CLASSICAL_ROUTE_FOUND,
        EventKind.KEY_GIVEN,
        EventKind.GENERATION_ASKED,
        EventKind.GENERATION_ROUTE_FOUND,
        EventKind.GENERATION_ORDERED,
        EventKind.KEY_STORED,
        EventKind.MESSAGE_ENCODED,
        EventKind.MESSAGE_DELIVERED,
        EventKind.BLOCK_DISTILLED,
        EventKind.BLOCK_STORED,
        EventKind.BLOCK_DROPPED,
        EventKind.ORDER_ENDED,
        EventKind.POOL_FILLING,
        EventKind.KEYS_RELAYED,
        EventKind.KEYS_REFUSED,
        EventKind.KEYS_REPEATED,
        EventKind.KEYS_DELIVERED,
        EventKind.RELAY_FAILED,
        EventKind.KEY_SHARED,
        EventKind.KEY_ANNOUNCED,
        EventKind.ANNOUNCEMENT_OPENED,
        # a caller at a door, whom nobody else need know of
        EventKind.CALLER_REFUSED,
    }
)
"""Kinds that stay in the log."""


def notification_of(network: Network, event: Event) -> tuple[Notification, dict[str, Any]] | None:
    """Return the name and the content of an event's notification; None for one that the standard has nothing for.

    Of an alarm that is over the standard has no notification of its own: it is told as an ``event``.
    """
    data = event.data
    if event.kind is EventKind.ALARM:
        name = Notification(str(data.get("etsi015", Notification.ALARM)))
        name = Notification.EVENT if data.get("cleared") else name
    elif event.kind in OF_KIND:
        name = OF_KIND[event.kind]
    else:
        return None
    content: dict[str, Any] = {"event_id": event.id, "kind": event.kind.value, **_place(network, event.node)}
    content |= _about_link(network, event.node, str(data.get("link_id") or data.get("about") or ""))
    content |= _about_application(network, data.get("master"), data.get("slave"))
    names = ("code", "severity", "text", "remedy", "cleared", "qber", "secret_rate_bits_per_s", "master", "slave")
    return name, content | {key: data[key] for key in names if data.get(key) is not None}


def _about_application(network: Network, master: object, slave: object) -> dict[str, Any]:
    """Return the names of who asks for keys with whom."""
    if not isinstance(master, str) or not isinstance(slave, str):
        return {}
    return {"app_id": app_id(network, SaePair(SaeId(master), SaeId(slave)))}


def _place(network: Network, node: NodeId) -> dict[str, Any]:
    """Return the node of an event; the controller is none of the standard's nodes."""
    return {} if network.find_site(node) is None else {"qkdn_id": qkdn_id(network, node)}


def _about_link(network: Network, node: NodeId, link: str) -> dict[str, Any]:
    try:
        found = network.link(LinkId(link))
    except UnknownNode:
        return {}
    content: dict[str, Any] = {"qkdl_id": qkdl_id(network, found.link_id)}
    return content | ({"qkdi_id": qkdi_id(network, node, found.link_id)} if node in found.ends else {})
