"""Sites, links and applications of a QKD network, as they are described, and the questions everybody asks of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, Protocol, Self, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import KmeId, LinkId, NodeId, SaeId, kme_id, sae_id
from qanat.ground.network.classical import ClassicalLink, Router
from qanat.ground.network.links import Link, first_of_each_pair
from qanat.ground.network.names import Heading, Name, Region, nearest
from qanat.ground.network.part import Part, fault_of_field
from qanat.ground.network.satellites import Downlink, Odds, links_of_satellites
from qanat.ground.network.shares import SharingRules
from qanat.ground.network.switched import Equipment, SwitchJoin, joins_of, kept_by, switched_links
from qanat.ground.network.switches import Switch, Trunk
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

__all__ = [
    "Application",
    "Link",
    "Network",
    "PreparedKeys",
    "Site",
    "Stock",
    "StockOfPair",
    "great_circle_km",
]

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""

_PLACE = ("latitude_deg", "longitude_deg")

K = TypeVar("K", bound=str)
V = TypeVar("V")


class Placed(Protocol):
    """Whatever has a place on the map: a site, a switch, a router."""

    @property
    def latitude_deg(self) -> float: ...

    @property
    def longitude_deg(self) -> float: ...


class Site(Part):
    """A place with a key manager: a user's node, or a trusted relay; or a satellite, which has no place of its own and
    is shown amid its stations."""

    name: Name
    kind: Literal["user", "relay", "satellite"]
    title: str = ""
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=180)
    counted_as: Heading = ""
    equipment: Equipment = "both"
    """What its modules have. Light flows from a transmitter to a receiver, whose detectors are the dear part."""
    direct_keys_only: bool = False
    """A user who takes no key that a relay has known: only keys of links of its own, such as through a switch."""
    keys_avoid: tuple[str, ...] = Field(default=(), strict=False, max_length=64)
    """Sites that none of its keys may pass, whoever asks for them."""
    domestic_keys_only: bool = False
    """Whether none of its keys may leave the region that it is in."""
    region: Region = ""
    """The province, state or union that it is in, by whatever division the file keeps to: keys may be asked to stay in
    one. Empty: not stated, so that no key that passes it counts as having stayed in any."""
    ground_station: bool = False
    """Whether a satellite can join it to other stations; its key then needs no fibre to get there."""
    router: str = ""
    """The router that its classical traffic passes first; empty: none is described."""
    assumed: bool = False
    """Whether its place was made up by a rule that the file states, for want of a source."""
    elements: str = ""
    """Of a satellite: two-line elements, or the name of a set that comes with the package, or of a file of one, by its
    whole path or from the folder of the network file."""
    p_clear: Odds = ()
    """Of a ground station: the odds of a clear sky, one share or twelve from January on (UTC); empty: always clear."""
    mean_clear_h: float = Field(default=24.0, gt=0)
    """The mean length of a clear spell, where odds are given."""

    @model_validator(mode="before")
    @classmethod
    def _satellite_without_place(cls, said: Any) -> Any:
        if not isinstance(said, dict) or said.get("kind") != "satellite":
            return said
        if not said.get("elements"):
            raise fault_of_field("a satellite has no elements", remedy="add 'elements': two-line elements, or 'micius'")
        if said.get("p_clear"):
            raise fault_of_field("a satellite has no sky of its own", remedy="give 'p_clear' of its stations")
        if placed := [field for field in _PLACE if field in said]:
            raise fault_of_field(
                "a satellite has no place on the ground: it is where its elements have it",
                remedy=f"remove {' and '.join(placed)}",
            )
        return {**dict.fromkeys(_PLACE, 0.0), **said}

    @model_serializer(mode="wrap")
    def _written_without_place(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where a satellite is drawn is for maps alone, and no figure of the network."""
        said: dict[str, Any] = written(self)
        if self.kind == "satellite":
            for field in _PLACE:
                said.pop(field, None)
        return said

    @property
    def node(self) -> NodeId:
        return NodeId(self.name)

    @property
    def policy(self) -> RoutePolicy:
        """What holds of the way of all its keys."""
        avoid = frozenset(map(NodeId, self.keys_avoid))
        return RoutePolicy(avoid, domestic_only=self.domestic_keys_only, direct_only=self.direct_keys_only)


class Application(Part):
    """A secure application entity (SAE) at a site."""

    name: Name
    site: str
    priority: int = Field(default=0, ge=0, le=9)
    """Where key is short, the demands of a master with a higher priority are met first."""


class PreparedKeys(Part):
    """Keys that are to lie ready between two applications: idle time fills this end-to-end pool."""

    master: str
    slave: str
    count: int = Field(gt=0, le=100_000)
    size_bits: int = Field(default=256, ge=64, le=4096, multiple_of=8)


class StockOfPair(Part):
    """What holds for the keys of two applications in place of what holds for all."""

    master: str
    slave: str
    time_to_live_s: float | None = Field(default=None, gt=0)
    max_keys: int | None = Field(default=None, gt=0)


class Stock(Part):
    """How old stock may grow, and how much of it may lie. Without a time to live it never expires."""

    link_key_time_to_live_s: float | None = Field(default=None, gt=0)
    """Of link key, but for the authentication reserve, which never expires."""
    key_time_to_live_s: float | None = Field(default=None, gt=0)
    """Of keys of applications."""
    link_key_idle_bits: int = Field(default=0, ge=0, le=64_000_000)
    """In idle time every link is brought to so much key that each of its ends may send under, though nobody asks for
    any; 0: links make what is asked for."""
    max_keys_per_pair: int = Field(default=100_000, gt=0)
    """So many keys of two applications may wait at a node."""
    max_keys_per_application: int = Field(default=400_000, gt=0)
    """So many keys of all pairs of one application may."""
    pairs: tuple[StockOfPair, ...] = Field(default=(), strict=False)


class Network(Part):
    """A whole network. Whoever holds one knows that it is consistent: names are unique and every reference holds."""

    format: Literal["qanat-network/1"]
    name: Name
    title: str = ""
    sites: tuple[Site, ...] = Field(min_length=2, strict=False)
    links: tuple[Link, ...] = Field(default=(), strict=False)
    """Links of the file, then those that the switches can join: these follow from ``switches`` and ``trunks``."""
    switches: tuple[Switch, ...] = Field(default=(), strict=False)
    trunks: tuple[Trunk, ...] = Field(default=(), strict=False)
    routers: tuple[Router, ...] = Field(default=(), strict=False)
    classical_links: tuple[ClassicalLink, ...] = Field(default=(), strict=False)
    downlinks: tuple[Downlink, ...] = Field(default=(), strict=False)
    """From satellites to ground stations; their links stand last among ``links``."""
    applications: tuple[Application, ...] = Field(default=(), strict=False)
    prepared_keys: tuple[PreparedKeys, ...] = Field(default=(), strict=False)
    stock: Stock = Stock()
    sharing: SharingRules | None = None
    """How key is shared where it is short; None: keys go the widest way, and first come, first served."""

    @model_validator(mode="after")
    def _with_switched_links(self) -> Network:
        """Put the links through switches after the others; those of an earlier time must be among them."""
        through = switched_links(self.switches, self.trunks, {site.name: site.equipment for site in self.sites})
        switched = tuple(through)
        if odd := {link for link in self.links if link.through} - set(switched):
            raise fault_of_field(
                f"link {min(link.name for link in odd)!r} goes through switches, but not as their ports have it",
                remedy="leave such links out of 'links': they follow from 'switches' and 'trunks'",
            )
        # the model is frozen for everybody else
        self.__dict__["links"] = (*self.described_links, *switched, *self._links_of_satellites())
        return self

    def _links_of_satellites(self) -> tuple[Link, ...]:
        """Put each satellite amid its stations, and return the links that follow from the downlinks."""
        if self.downlinks:
            sites = {site.name: site for site in self.sites}
            self.__dict__["sites"] = tuple(self._amid_stations(site, sites) for site in self.sites)
        return tuple(links_of_satellites(self.downlinks))

    def _amid_stations(self, site: Site, sites: Mapping[str, Site]) -> Site:
        """Return a satellite with the mean of its stations' places, other sites as they are."""
        own = [sites[one.station] for one in self.downlinks if one.satellite == site.name and one.station in sites]
        if site.kind != "satellite" or not own:
            return site
        place = {
            "latitude_deg": sum(one.latitude_deg for one in own) / len(own),
            "longitude_deg": sum(one.longitude_deg for one in own) / len(own),
        }
        return site.model_copy(update=place)

    @property
    def described_links(self) -> tuple[Link, ...]:
        """The links that stand in the file: those through no switch and of no satellite."""
        return tuple(link for link in self.links if not link.through and link.makes_key_on_order)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; what was worked out of the parts of this one is not taken over to one with other parts."""
        copied = super().model_copy(update=update, deep=deep)
        for name in [name for name in copied.__dict__ if isinstance(getattr(Network, name, None), cached_property)]:
            del copied.__dict__[name]
        return copied

    @cached_property
    def relayed_links(self) -> tuple[Link, ...]:
        """The links that keys go over: of several between the same two sites the first alone. More modules on a span
        are its link's ``pairs``. A satellite passes nothing on, so its downlinks are none of them."""
        return first_of_each_pair(link for link in self.links if link.kind != "downlink")

    @property
    def satellites(self) -> tuple[Site, ...]:
        """The sites that are satellites."""
        return tuple(site for site in self.sites if site.kind == "satellite")

    def downlink(self, link_id: LinkId) -> Downlink:
        """Return what is described of a satellite's link to a station; raises UnknownNode."""
        return _look_up({one.link_id: one for one in self.downlinks}, link_id, "downlink")

    def trusted_route(self, route: Sequence[NodeId]) -> tuple[NodeId, ...]:
        """Return a route with every node that knows what goes over it: a satellite that announced a hop's key too."""
        nodes = list(route[:1])
        for here, there in pairwise(route):
            satellite = self._announced_by.get(frozenset((here, there)))
            nodes += [there] if satellite is None else [satellite, there]
        return tuple(nodes)

    @cached_property
    def _announced_by(self) -> dict[frozenset[NodeId], NodeId]:
        """Who knows the key of the hops that satellites have announced."""
        return {frozenset(link.ends): NodeId(link.satellite) for link in self.relayed_links if link.kind == "announced"}

    @cached_property
    def _sites_by_node(self) -> dict[NodeId, Site]:
        return {site.node: site for site in self.sites}

    @cached_property
    def switches_by_name(self) -> Mapping[str, Switch]:
        """Switches by their names."""
        return {switch.name: switch for switch in self.switches}

    @cached_property
    def _links_by_id(self) -> dict[LinkId, Link]:
        return {link.link_id: link for link in self.links}

    @cached_property
    def _sites_by_sae(self) -> dict[SaeId, Site]:
        return {self.sae(app.name): self.site(NodeId(app.site)) for app in self.applications}

    @cached_property
    def _links_by_node(self) -> dict[NodeId, tuple[Link, ...]]:
        links: dict[NodeId, list[Link]] = {}
        for link in self.links:
            for end in link.ends:
                links.setdefault(end, []).append(link)
        return {node: tuple(ending) for node, ending in links.items()}

    @cached_property
    def _priorities(self) -> dict[SaeId, int]:
        return {self.sae(app.name): app.priority for app in self.applications}

    @cached_property
    def regions(self) -> Mapping[NodeId, str]:
        """Where sites are, of those of which it is stated."""
        return {site.node: site.region for site in self.sites if site.region}

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(self._sites_by_node)

    def priority(self, sae: SaeId) -> int:
        """Return the priority of an application; raises UnknownNode."""
        return _look_up(self._priorities, sae, "application")

    def find_site(self, node: NodeId) -> Site | None:
        """Return a site, or None where there is none of that name."""
        return self._sites_by_node.get(node)

    def site(self, node: NodeId) -> Site:
        """Return a site; raises UnknownNode with the nearest names."""
        return _look_up(self._sites_by_node, node, "site")

    def link(self, link_id: LinkId) -> Link:
        """Return a link; raises UnknownNode."""
        return _look_up(self._links_by_id, link_id, "link")

    def links_of(self, node: NodeId) -> tuple[Link, ...]:
        """Return the links that end at ``node``."""
        return self._links_by_node.get(node, ())

    def link_between(self, one: NodeId, other: NodeId) -> Link:
        """Return the first link that joins two nodes; raises UnknownNode."""
        for link in self.links_of(one):
            if link.peer_of(one) == other:
                return link
        raise UnknownNode(f"no link joins {one!r} and {other!r}", remedy="name two neighbours of this network")

    def needs_direct_key(self, one: NodeId, other: NodeId) -> bool:
        """Return whether keys of two sites may pass no relay, since one of them takes direct keys only; raises
        UnknownNode."""
        return one != other and (self.site(one).direct_keys_only or self.site(other).direct_keys_only)

    @cached_property
    def site_policies(self) -> Mapping[NodeId, RoutePolicy]:
        """What holds for the way of every key that begins or ends at a site, where it asks for anything."""
        return {site.node: site.policy for site in self.sites if site.policy != ANY_ROUTE}

    def policy_between(self, one: NodeId, other: NodeId) -> RoutePolicy:
        """Return what two sites together ask of the way between them; anything goes between a site and itself."""
        policies = self.site_policies
        if not policies or one == other:
            return ANY_ROUTE
        return policies.get(one, ANY_ROUTE).joined(policies.get(other, ANY_ROUTE))

    def policy_among(self, nodes: Iterable[NodeId]) -> RoutePolicy:
        """Return what several sites together ask of each way that a key of all of them goes: who knows it on the way to
        one knows what the others have."""
        policy = ANY_ROUTE
        for node in nodes:
            policy = policy.joined(self.site_policies.get(node, ANY_ROUTE))
        return policy

    def sae(self, name: str) -> SaeId:
        """Return the SAE id of an application's name."""
        return sae_id(network=self.name, name=name)

    def kme(self, node: NodeId) -> KmeId:
        """Return the KME id of a site's key manager."""
        return kme_id(network=self.name, name=node)

    @property
    def saes(self) -> tuple[SaeId, ...]:
        return tuple(self._sites_by_sae)

    def site_of(self, sae: SaeId) -> Site:
        """Return where an SAE is; raises UnknownNode."""
        return _look_up(self._sites_by_sae, sae, "SAE")

    def kept_by(self, link: Link) -> frozenset[str]:
        """Return the ports and trunks that a link through switches keeps while it runs; empty for other links."""
        return kept_by(link, self.trunks)

    def joins_of(self, link: Link) -> tuple[SwitchJoin, ...]:
        """Return what each switch on a link's way must join while it runs; nothing for other links."""
        return joins_of(link, self.switches_by_name, self.trunks)

    def span_km(self, link: Link) -> float:
        """Return the distance of a link's ends along the ground (great circle, haversine formula)."""
        return great_circle_km(*(self.site(end) for end in link.ends))


def great_circle_km(one: Placed, other: Placed) -> float:
    """Return the distance of two places along the ground (haversine formula)."""
    lat1, lon1, lat2, lon2 = map(
        math.radians, (one.latitude_deg, one.longitude_deg, other.latitude_deg, other.longitude_deg)
    )
    chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(chord))


def _look_up(table: Mapping[K, V], key: K, what: str) -> V:
    try:
        return table[key]
    except KeyError:
        raise UnknownNode(f"no {what} {key!r} in this network", remedy=nearest(key, table)) from None
