"""A site as ETSI GS QKD 015 describes it: the tree under ``qkd_node``, as JSON has it.

What only a running network knows (rates, status, what was consumed) is handed in; without it links are PASSIVE, which
is what a link of ours is while it has no order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from qanat.doors.etsi015.names import app_id, qkdi_id, qkdl_id, qkdn_id
from qanat.ground.identifiers import LinkId, NodeId, SaePair
from qanat.ground.network import Link, Network

LinkStatus: TypeAlias = Literal["ACTIVE", "PASSIVE", "PENDING", "OFF"]
TYPES = "etsi-qkd-node-types"
"""The YANG module of the standard that qualifies its words for states and kinds."""


@dataclass(frozen=True, slots=True)
class LinkState:
    """What a running network knows of a link now. ``qber``: a share, not a percentage."""

    has_order: bool = False
    is_failing: bool = False
    is_out: bool = False
    secret_rate_bits_per_s: float | None = None
    qber: float | None = None

    @property
    def status(self) -> LinkStatus:
        """OFF while a site at an end is lost, PENDING while orders fail, ACTIVE while key is made, else PASSIVE."""
        if self.is_out:
            return "OFF"
        if self.is_failing:
            return "PENDING"
        return "ACTIVE" if self.has_order else "PASSIVE"


def node_record(network: Network, node: NodeId, *, states: Mapping[LinkId, LinkState] | None = None) -> dict[str, Any]:
    """Return the description of one site; raises UnknownNode."""
    site, known = network.site(node), states or {}
    links = network.links_of(node)
    return {
        "qkdn_id": qkdn_id(network, node),
        "qkdn_location_id": site.title or site.name,
        "qkdn_capabilities": {
            "link_stats_support": True,
            "application_stats_support": True,
            "key_relay_mode_enable": site.kind == "relay",
        },
        "qkd_applications": {"qkd_app": list(_applications(network, node))},
        "qkd_interfaces": {"qkd_interface": [_interface(network, node, link) for link in links]},
        "qkd_links": {"qkd_link": [_link(network, node, link, known.get(link.link_id, LinkState())) for link in links]},
    }


def _applications(network: Network, node: NodeId) -> Iterator[dict[str, Any]]:
    """Yield the pairs of applications that the file says keys are prepared for; others are known once they ask."""
    for prepared in network.prepared_keys:
        pair = SaePair(network.sae(prepared.master), network.sae(prepared.slave))
        ends = network.site_of(pair.master).node, network.site_of(pair.slave).node
        if node in ends:
            yield {
                "app_id": app_id(network, pair),
                "app_type": f"{TYPES}:CLIENT",
                "app_status": f"{TYPES}:ON",
                "server_app_id": pair.master,
                "client_app_id": [pair.slave],
                "app_priority": network.priority(pair.master),
                "local_qkdn_id": qkdn_id(network, node),
                "remote_qkdn_id": qkdn_id(network, ends[1] if node == ends[0] else ends[0]),
            }


def _interface(network: Network, node: NodeId, link: Link) -> dict[str, Any]:
    return {
        "qkdi_id": qkdi_id(network, node, link.link_id),
        "qkdi_model": link.system,
        "qkdi_type": f"{TYPES}:DV-QKD",
        "qkdi_capabilities": {"role_support": _role(node, link)},
    }


def _link(network: Network, node: NodeId, link: Link, state: LinkState) -> dict[str, Any]:
    peer = link.peer_of(node)
    performance: dict[str, Any] = {}
    if state.secret_rate_bits_per_s is not None:
        performance["skr"] = round(state.secret_rate_bits_per_s)
    if state.qber is not None:
        performance["phys_perf"] = [{"perf_type": f"{TYPES}:QBER", "value": state.qber}]
    return {
        "qkdl_id": qkdl_id(network, link.link_id),
        "qkdl_enable": True,
        "qkdl_status": f"{TYPES}:{state.status}",
        "qkdl_type": f"{TYPES}:PHYS",
        "qkdl_local": {"qkdn_id": qkdn_id(network, node), "qkdi_id": qkdi_id(network, node, link.link_id)},
        "qkdl_remote": {"qkdn_id": qkdn_id(network, peer), "qkdi_id": qkdi_id(network, peer, link.link_id)},
        **({"phys_channel_att": link.loss_db} if link.kind == "fibre" else {}),
        "phys_qkd_role": _role(node, link),
        "qkdl_performance": performance,
    }


def _role(node: NodeId, link: Link) -> str:
    return f"{TYPES}:{'TRANSMITTER' if node == link.ends[0] else 'RECEIVER'}"
