"""The second backbone of the paper's outlook: another chain of relays from end to end, so that the two close a ring.

"In future, another backbone will be built from Beijing to Shanghai to form a large circle-type backbone QKD network. In
so doing, the whole network will be able to maintain operation even when one trusted relay of the backbone fails"
(Nature 589, 214). The paper prints no more of it. All that is put here is made up by the rules below, and ``assumed``:

- The backbone is what is ``counted_as`` "backbone": one line of relays. Its stops are its two ends, and the relays that
  a city's network is joined to by fibre: a city begins with a relay beside the backbone's, whatever it is counted as.
  Where several stand there, the first link to one that is counted as something leads to the city, or else the first.
- At each stop stands a relay of the second chain. In a city it has a joint of its own, with the relay of that city (at
  most CITY_KM away) that is the most links away from the first joint, by name where several are: so neither joint, nor
  what stands at its ends, is the only way into a city. Where there is no city it is joined to the end of the backbone.
- From stop to stop go as few spans of equal length as keep each at most MEAN_SPAN_KM long, over fibre of its own, 1.3
  times the straight way and 0.25 dB per km; their relays stand on a bow beside it. MEAN_PAIRS pairs on each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import networkx as nx

from qanat.ground.errors import ConfigurationError
from qanat.ground.identifiers import NodeId
from qanat.ground.network.building import DETOUR, LOSS_DB_PER_KM
from qanat.ground.network.description import Network, Site, great_circle_km
from qanat.ground.network.links import Link

BACKBONE = "backbone"
SECOND_BACKBONE = "second-backbone"
SECOND_JOINTS = "second-joints"

MEAN_SPAN_KM = 63.8
"""Mean length of the backbone's spans in the paper (Table 1)."""
MEAN_PAIRS = 4
"""Pairs of modules per span: 135 links on 31 spans are 4.35 (Table 1)."""
CITY_KM = 50.0
BOW = 0.1
"""How far the bow leaves the straight way in its middle, by the way's length."""


def backbone_line(network: Network) -> tuple[Site, ...]:
    """Return the relays of the backbone from end to end; raises ConfigurationError where they are no line.

    The line begins at the end that stands first in the description.
    """
    sites = {site.node: site for site in network.sites if site.counted_as == BACKBONE}
    beside = {node: sorted(_neighbours(network, node) & sites.keys()) for node in sites}
    ends = [node for node in sites if len(beside[node]) == 1]
    if len(ends) != 2 or any(len(peers) > 2 for peers in beside.values()):
        raise _no_line(network)
    line = [ends[0]]
    while onward := [node for node in beside[line[-1]] if node not in line[-2:]]:
        line.append(onward[0])
    if len(line) != len(sites):
        raise _no_line(network)
    return tuple(sites[node] for node in line)


def with_second_backbone(network: Network) -> Network:
    """Return the network with a second backbone, as the rules of this module have it.

    Raises ConfigurationError for a network without a backbone, and for one that has a second already.
    """
    line = backbone_line(network)
    if any(site.counted_as == SECOND_BACKBONE for site in network.sites):
        raise ConfigurationError(
            f"{network.name!r} has a second backbone already", remedy="leave --second-backbone out"
        )
    stops = [
        stop for place, site in enumerate(line) if (stop := _stop(network, site, is_end=place in (0, len(line) - 1)))
    ]
    system = network.link_between(line[0].node, line[1].node).system
    sites, links = _chain(stops, system)
    joints = [_joint(stop, relay) for stop, relay in zip(stops, _at_stops(sites), strict=True)]
    parts = {name: getattr(network, name) for name in Network.model_fields}
    parts["sites"] = (*network.sites, *(site for site, _ in sites))
    parts["links"] = (*network.described_links, *links, *joints)
    parts["title"] = f"{network.title or network.name}, with a second backbone (assumed)"
    return Network(**parts)


def relays_that_part(network: Network) -> tuple[NodeId, ...]:
    """Return the relays of both backbones whose loss still parts others, where a second backbone is: it has no joint of
    its own with all that hangs on each. Others are users, and sites with applications, that links of their own or
    trusted relays join to each other while the relay is there, and that do not hang on it alone."""
    asking = {app.site for app in network.applications} | {site.name for site in network.sites if site.kind == "user"}
    places = {NodeId(name) for name in asking if not network.site(NodeId(name)).direct_keys_only}
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.relayed_links])
    graph.add_nodes_from(network.nodes)
    relays = {site.node for site in network.sites if site.kind == "relay"}
    both = [site.node for site in network.sites if site.counted_as in (BACKBONE, SECOND_BACKBONE)]
    return tuple(node for node in both if _parts_others(graph, relays, places, node))


def _parts_others(graph: nx.Graph[NodeId], relays: set[NodeId], places: set[NodeId], lost: NodeId) -> bool:
    """Return whether places that a relay's group joins are in several groups without it."""
    whole = nx.node_connected_component(graph.subgraph(relays), lost)
    groups = [
        places & (part.union(*(graph[node] for node in part)) - {lost})
        for part in nx.connected_components(graph.subgraph(whole - {lost}))
    ]
    return len(set().union(*groups)) > max(map(len, groups), default=0)


@dataclass(frozen=True, slots=True)
class _Stop:
    """Where the second chain stops: the site it is joined to, and what loss and length the joint has."""

    joined_to: Site
    loss_db: float
    length_km: float
    system: str


def _stop(network: Network, relay: Site, *, is_end: bool) -> _Stop | None:
    """Return the stop at a relay of the backbone; None where it has no city and is no end."""
    beside = [(link, network.site(link.peer_of(relay.node))) for link in network.links_of(relay.node)]
    cities = [
        (link, site)
        for link, site in beside
        if link.makes_key_on_order and site.kind == "relay" and site.counted_as != BACKBONE
    ]
    if cities:
        link, city = min(cities, key=lambda one: one[1].counted_as == "")
        return _Stop(_far_side(network, city), link.loss_db, link.length_km, link.system)
    system = network.links_of(relay.node)[0].system
    return _Stop(relay, 1.0, 0.1, system) if is_end else None


def _far_side(network: Network, first: Site) -> Site:
    """Return the relay of the same city that is the most links away from its ``first`` one."""
    level, last, seen = [first.node], first.node, {first.node}
    while level:
        last = level[0]
        following = {
            node
            for here in level
            for node in _neighbours(network, here) - seen
            if _is_in_city(network.site(node), first)
        }
        seen |= following
        level = sorted(following)
    return network.site(last)


def _is_in_city(site: Site, first: Site) -> bool:
    return site.kind == "relay" and site.counted_as != BACKBONE and great_circle_km(site, first) <= CITY_KM


def _neighbours(network: Network, node: NodeId) -> set[NodeId]:
    return {link.peer_of(node) for link in network.links_of(node)}


def _chain(stops: Sequence[_Stop], system: str) -> tuple[list[tuple[Site, bool]], list[Link]]:
    """Return the relays of the chain in order, each with whether it stands at a stop, and the spans between them."""
    places = list(_places(stops))
    digits = len(str(len(places)))
    sites = [
        (
            Site(
                name=f"second-{number:0{digits}}",
                kind="relay",
                title=f"Second backbone {number}",
                latitude_deg=round(latitude, 4),
                longitude_deg=round(longitude, 4),
                counted_as=SECOND_BACKBONE,
                router=router,
                assumed=True,
            ),
            at_stop,
        )
        for number, (latitude, longitude, at_stop, router) in enumerate(places, 1)
    ]
    links = [
        link
        for part, stage in zip(_stages(sites), pairwise(stops), strict=True)
        for link in _spans(part, stage, system)
    ]
    return sites, links


def _places(stops: Sequence[_Stop]) -> Iterator[tuple[float, float, bool, str]]:
    """Yield latitude, longitude, whether it is a stop, and the router, of each relay of the chain."""
    for stage in pairwise(stops):
        here, there = (stop.joined_to for stop in stage)
        num_spans = _num_spans(stage)
        shrink = math.cos(math.radians((here.latitude_deg + there.latitude_deg) / 2))
        north, east = there.latitude_deg - here.latitude_deg, (there.longitude_deg - here.longitude_deg) * shrink
        for k in range(num_spans):
            share = k / num_spans
            aside = BOW * 4 * share * (1 - share)  # a parabola, to the right of the way
            latitude = here.latitude_deg + share * north - aside * east
            longitude = here.longitude_deg + (share * east + aside * north) / shrink
            yield latitude, longitude, k == 0, (here if share < 0.5 else there).router
    last = stops[-1].joined_to
    yield last.latitude_deg, last.longitude_deg, True, last.router


def _num_spans(stage: tuple[_Stop, _Stop]) -> int:
    return max(1, math.ceil(_fibre_km(stage) / MEAN_SPAN_KM))


def _fibre_km(stage: tuple[_Stop, _Stop]) -> float:
    return DETOUR * great_circle_km(stage[0].joined_to, stage[1].joined_to)


def _stages(sites: Sequence[tuple[Site, bool]]) -> Iterator[list[Site]]:
    """Yield the relays from each stop to the next, both included."""
    stops = [place for place, (_, at_stop) in enumerate(sites) if at_stop]
    for first, last in pairwise(stops):
        yield [site for site, _ in sites[first : last + 1]]


def _spans(relays: Sequence[Site], stage: tuple[_Stop, _Stop], system: str) -> Iterator[Link]:
    length_km = max(0.01, _fibre_km(stage) / (len(relays) - 1))
    for one, other in pairwise(relays):
        yield Link(
            name=f"{one.name}-{other.name}",
            transmitter=one.name,
            receiver=other.name,
            system=system,
            loss_db=round(LOSS_DB_PER_KM * length_km, 2),
            length_km=round(length_km, 2),
            pairs=MEAN_PAIRS,
            counted_as=SECOND_BACKBONE,
            assumed=True,
        )


def _at_stops(sites: Sequence[tuple[Site, bool]]) -> list[Site]:
    return [site for site, at_stop in sites if at_stop]


def _joint(stop: _Stop, relay: Site) -> Link:
    return Link(
        name=f"joint-{relay.name}",
        transmitter=relay.name,
        receiver=stop.joined_to.name,
        system=stop.system,
        loss_db=stop.loss_db,
        length_km=stop.length_km,
        counted_as=SECOND_JOINTS,
        assumed=True,
    )


def _no_line(network: Network) -> ConfigurationError:
    return ConfigurationError(
        f"{network.name!r} has no backbone that could be closed to a ring",
        remedy=f"count the relays of one line, and no other sites, as {BACKBONE!r} in its file",
    )
