"""What is taken out of a network for a day, or for a part of it: sites, links, switches, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from qanat.control.survival import Fault, Outage
from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.cut_sites import sites_that_part
from qanat.ground.network.names import nearest
from qanat.ground.network.second_backbone import BACKBONE, SECOND_BACKBONE
from qanat.simulation.day.plan import DayPlan

MOST_RELAYS = 100
"""So many relays that are on no ring and of no backbone are taken out in turn: each is a day to be run."""


@dataclass(frozen=True, slots=True)
class Removal:
    """A part that is out from ``at_s`` on, for ``for_s`` seconds; None: to the end."""

    name: str
    at_s: float = 0.0
    for_s: float | None = None

    def __post_init__(self) -> None:
        if self.at_s < 0 or (self.for_s is not None and self.for_s <= 0):
            raise ConfigurationError(
                f"{self.name!r} would be out from {self.at_s:g} s on, for {self.for_s} s",
                remedy="give a time of the run, and a time above zero",
            )


def outages_of(network: Network, name: str) -> tuple[Outage, ...]:
    """Return what fails with the part of that name: a site, a link, or a switch, with all links through it.

    Raises ConfigurationError for a name that is none, is of a site and of a link, or of the classical network alone.
    """
    is_site = network.find_site(NodeId(name)) is not None
    is_link = any(link.name == name for link in network.links)
    is_switch = name in network.switches_by_name
    if is_site + is_link + is_switch > 1:
        raise ConfigurationError(f"{name!r} is the name of several parts", remedy="give the parts names of their own")
    if is_site:
        return (Outage(Fault.NODE_LOST, node=NodeId(name)),)
    if is_link:
        return (Outage(Fault.LINK_DOWN, link_id=LinkId(name)),)
    if is_switch:
        through = (link for link in network.links if name in link.through)
        return tuple(Outage(Fault.LINK_DOWN, link_id=link.link_id) for link in through)
    refuse_classical(network, name)
    known = [*network.nodes, *(link.name for link in network.links), *network.switches_by_name]
    raise ConfigurationError(f"no site, link or switch {name!r} in {network.name!r}", remedy=nearest(name, known))


def refuse_classical(network: Network, name: str) -> None:
    """Raise ConfigurationError for a router or a line: a day as if it had failed would be the day as it is."""
    kinds = {router.name: "router" for router in network.routers}
    kinds |= {line.name: "line" for line in network.classical_links}
    if (kind := kinds.get(name)) is not None:
        raise ConfigurationError(
            f"{name!r} is a {kind} of the classical network, which messages go over: a simulated day counts keys, "
            "and these need no router",
            remedy="name a site, a QKD link or a switch; to see messages go another way, bring up a copy of the "
            f"network file without {name!r}, where step 3 of each request says which (`qanat up`)",
        )


def own_users(network: Network, names: Sequence[str]) -> frozenset[NodeId]:
    """Return the sites whose own key cannot survive without these parts: those that are among them, and users all of
    whose links that keys go over end at one of them, go through one, or are one."""
    removed, relayed = set(names), {link.link_id for link in network.relayed_links}
    own = {node for node in network.nodes if node in removed}
    for site in network.sites:
        links = [link for link in network.links_of(site.node) if link.link_id in relayed]
        if site.kind == "user" and links and all(removed & {link.name, *link.ends, *link.through} for link in links):
            own.add(site.node)
    return frozenset(own)


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be removed in turn. ``kind``: "ring node", "switch", "backbone relay", "second backbone" or "relay"."""

    kind: str
    name: str


def parts_in_turn(network: Network) -> tuple[Part, ...]:
    """Return each ring node, switch and relay of a backbone; where no relay is counted as one, the other relays too.

    Relays of backbones are counted as such in the file. A ring node is any other relay that stands on a ring of direct
    links. Of other relays, ``MOST_RELAYS`` at most: first those without which the network falls apart.
    """
    backbone = [Part("backbone relay", site.name) for site in network.sites if site.counted_as == BACKBONE]
    second = [Part("second backbone", site.name) for site in network.sites if site.counted_as == SECOND_BACKBONE]
    rings = [Part("ring node", name) for name in _on_rings(network)]
    switches = [Part("switch", switch.name) for switch in network.switches]
    others = () if backbone or second else _by_weight(network, _elsewhere(network))[:MOST_RELAYS]
    return (*rings, *switches, *backbone, *second, *(Part("relay", name) for name in others))


def relays_not_in_turn(network: Network) -> tuple[str, ...]:
    """Return the relays that ``parts_in_turn`` leaves out, in the order of the file."""
    tried = {part.name for part in parts_in_turn(network)}
    return tuple(site.name for site in network.sites if site.kind == "relay" and site.name not in tried)


def _elsewhere(network: Network) -> Sequence[str]:
    """Return the relays that are on no ring and of no backbone."""
    elsewhere = {site.name for site in network.sites if site.counted_as not in (BACKBONE, SECOND_BACKBONE)}
    elsewhere -= set(_on_rings(network))
    return [site.name for site in network.sites if site.kind == "relay" and site.name in elsewhere]


def _by_weight(network: Network, names: Sequence[str]) -> Sequence[str]:
    """Return relays without which the network falls apart before others, each kind in its order."""
    parting = sites_that_part(network)
    return sorted(names, key=lambda name: name not in parting)


def _on_rings(network: Network) -> Iterator[str]:
    """Yield the relays that stay joined to one of their neighbours, backbones left out, when the link to it is cut."""
    beside: dict[str, set[str]] = {
        site.name: set() for site in network.sites if site.counted_as not in (BACKBONE, SECOND_BACKBONE)
    }
    for link in network.described_links:
        if link.transmitter in beside and link.receiver in beside:
            beside[link.transmitter].add(link.receiver)
            beside[link.receiver].add(link.transmitter)
    for name, peers in beside.items():
        is_relay = network.site(NodeId(name)).kind == "relay"
        if is_relay and any(_is_joined_without(beside, name, peer) for peer in peers):
            yield name


def _is_joined_without(beside: dict[str, set[str]], one: str, other: str) -> bool:
    """Return whether two neighbours are joined by another way than their link."""
    seen, frontier = {one}, [peer for peer in beside[one] if peer != other]
    while frontier:
        here = frontier.pop()
        if here == other:
            return True
        if here not in seen:
            seen.add(here)
            frontier += beside[here] - seen
    return False


def links_of(outage: Outage, plan: DayPlan) -> list[int]:
    """Return the numbers of the links that fail with a site or a link."""
    if outage.node is not None:
        ids = [link.link_id for link in plan.network.links_of(outage.node)]
    else:
        ids = [outage.link_id] if outage.link_id is not None else []
    return [plan.number[link_id] for link_id in ids if link_id in plan.number]
