"""Sites, links and applications of a QKD network, as they are described, and the questions everybody asks of them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import (
    MAX_ID_CHARACTERS,
    KmeId,
    LinkId,
    NodeId,
    SaeId,
    is_name,
    kme_id,
    sae_id,
)
from qanat.ground.network.modules import Modules
from qanat.ground.network.part import Part, fault_of_field

EARTH_RADIUS_KM = 6371.0088
"""Mean radius (IUGG)."""

K = TypeVar("K", bound=str)
V = TypeVar("V")
Name = Annotated[str, Field(max_length=MAX_ID_CHARACTERS)]


class Site(Part):
    """A place with a key manager: a user's node, or a trusted relay."""

    name: Name
    kind: Literal["user", "relay"]
    title: str = ""
    latitude_deg: float = Field(ge=-90, le=90)
    longitude_deg: float = Field(ge=-180, le=180)
    counted_as: str = Field(default="", max_length=MAX_ID_CHARACTERS)
    """Under which heading of a table the site is counted, such as ``backbone``; empty: under none."""

    @property
    def node(self) -> NodeId:
        return NodeId(self.name)

    @field_validator("name")
    @classmethod
    def _checked_name(cls, name: str) -> str:
        return checked_name(name)


class Link(Part):
    """A QKD link: a transmitter, a receiver, the system they are of, and the fibre between them."""

    name: Name
    transmitter: str
    receiver: str
    system: str
    loss_db: float = Field(ge=0, le=100)
    length_km: float = Field(gt=0, le=1000)
    disturbance: float = Field(default=0.0, ge=0, le=0.5)
    """Odds that somebody on the line flips a photon's bit; for rehearsals of an attack. Twins only."""
    counted_as: str = Field(default="", max_length=MAX_ID_CHARACTERS)
    """As a site's."""
    modules: Modules | None = None
    """What stands at its ends; None: a twin. Then ``system`` and ``loss_db`` only say what to expect."""

    @property
    def link_id(self) -> LinkId:
        return LinkId(self.name)

    @property
    def ends(self) -> tuple[NodeId, NodeId]:
        """Transmitter's and receiver's node."""
        return NodeId(self.transmitter), NodeId(self.receiver)

    def peer_of(self, node: NodeId) -> NodeId:
        """Return the other end; raises UnknownNode when ``node`` is at neither."""
        if node not in self.ends:
            raise UnknownNode(f"{node!r} is no end of link {self.name!r}, which joins {' and '.join(self.ends)}")
        return self.ends[1] if node == self.ends[0] else self.ends[0]

    @field_validator("name")
    @classmethod
    def _checked_name(cls, name: str) -> str:
        return checked_name(name)

    @model_validator(mode="after")
    def _two_ends(self) -> Link:
        if self.transmitter == self.receiver:
            raise fault_of_field(
                "transmitter and receiver are the same site; a link joins two",
                remedy="name the other site as one of them",
            )
        if self.modules is not None and self.disturbance:
            raise fault_of_field(
                "a disturbance can be set of a twin only, and devices stand at the ends of this link",
                remedy="remove it, or the modules",
            )
        return self


class Application(Part):
    """A secure application entity (SAE) at a site."""

    name: Name
    site: str
    priority: int = Field(default=0, ge=0, le=9)
    """Where key is short, the demands of a master with a higher priority are met first."""

    @field_validator("name")
    @classmethod
    def _checked_name(cls, name: str) -> str:
        return checked_name(name)


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
    links: tuple[Link, ...] = Field(min_length=1, strict=False)
    applications: tuple[Application, ...] = Field(default=(), strict=False)
    prepared_keys: tuple[PreparedKeys, ...] = Field(default=(), strict=False)
    stock: Stock = Stock()

    @field_validator("name")
    @classmethod
    def _checked_name(cls, name: str) -> str:
        return checked_name(name)

    @cached_property
    def _sites_by_node(self) -> dict[NodeId, Site]:
        return {site.node: site for site in self.sites}

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

    @property
    def nodes(self) -> tuple[NodeId, ...]:
        return tuple(self._sites_by_node)

    def priority(self, sae: SaeId) -> int:
        """Return the priority of an application; raises UnknownNode."""
        return _look_up(self._priorities, sae, "application")

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

    def span_km(self, link: Link) -> float:
        """Return the distance of a link's ends along the ground (great circle, haversine formula)."""
        return great_circle_km(*(self.site(end) for end in link.ends))


def checked_name(name: str) -> str:
    """Return ``name``; raises a fault that pydantic reports when it cannot stand in an id or a file name."""
    if not is_name(name):
        raise fault_of_field(f"{name!r} is no name", remedy="use lower-case letters, digits, and '.', '_', '-' inside")
    return name


def great_circle_km(one: Site, other: Site) -> float:
    """Return the distance of two sites along the ground."""
    lat1, lon1, lat2, lon2 = map(
        math.radians, (one.latitude_deg, one.longitude_deg, other.latitude_deg, other.longitude_deg)
    )
    chord = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(chord))


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy that lists the names most like ``name``."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names[:8]
    return f"did you mean {', '.join(close)}?" if close else "there are none"


def _look_up(table: Mapping[K, V], key: K, what: str) -> V:
    try:
        return table[key]
    except KeyError:
        raise UnknownNode(f"no {what} {key!r} in this network", remedy=nearest(key, table)) from None
