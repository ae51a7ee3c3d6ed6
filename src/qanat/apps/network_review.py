"""What a planner wants to know of a network before it runs: what is in it, what its links will give, what is weak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from itertools import combinations, pairwise
from operator import attrgetter
from statistics import fmean

import networkx as nx

from qanat.apps.network_concerns import (
    Concern,
    cut_sites,
    few,
    link_concerns,
    listed,
    missing_routes,
    unkept,
    unreached,
)
from qanat.apps.network_islands import in_islands
from qanat.apps.paper_table import Row, compared_rows
from qanat.apps.satellite_review import DownlinkReview
from qanat.apps.shares_review import PromiseReview, promises_of
from qanat.control.routing import key_graph, policies_of_sites, widest_allowed_from
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.ground.network.satellites import COMPARED_AS_BITS_PER_S
from qanat.physics.systems import SYSTEMS
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.forecast import link_forecast


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, mean and greatest of some values."""

    least: float
    mean: float
    greatest: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of one value or more."""
        listed = list(values)
        return cls(min(listed), fmean(listed), max(listed))


@dataclass(frozen=True, slots=True)
class LinkReview:
    """A link and its forecast at the block that the proof chooses for it."""

    link: Link
    forecast: ExpectedRate


@dataclass(frozen=True, slots=True)
class Heading:
    """Sites and links that are counted together; ``name`` is empty for the whole network. Lengths, losses and rates are
    of fibres: those of a satellite's links change from second to second."""

    name: str
    num_sites: int
    num_links: int
    total_km: float
    loss_db: Spread | None
    length_km: Spread | None
    secret_rate_bits_per_s: Spread | None


@dataclass(frozen=True, slots=True)
class RouteReview:
    """The way of keys between two applications at different sites; no nodes where trusted relays leave no way."""

    applications: tuple[str, str]
    nodes: tuple[NodeId, ...]
    rate_bits_per_s: float
    weakest: LinkId | None


@dataclass(frozen=True, slots=True)
class NetworkReview:
    """All of it. ``cut_sites``: sites without which the network falls apart. ``downlinks``: where somebody has looked
    at the passes of satellites."""

    network: Network
    links: tuple[LinkReview, ...]
    headings: tuple[Heading, ...]
    systems: Mapping[str, int]
    routes: tuple[RouteReview, ...]
    cut_sites: tuple[NodeId, ...]
    warnings: tuple[Concern, ...]
    promises: tuple[PromiseReview, ...] = ()
    downlinks: tuple[DownlinkReview, ...] = ()

    @property
    def weakest(self) -> LinkReview | None:
        """The link with the least forecast; None where satellites alone make key, of which there is none."""
        rate = attrgetter("forecast.secret_rate_bits_per_s", "link.name")
        return min(self.links, key=rate, default=None)

    @property
    def table(self) -> tuple[Row, ...]:
        """The paper's Table 1 beside this network's figures, if it is of this network."""
        return compared_rows(self.network, self.rates_bits_per_s, self.downlinks)

    @property
    def rates_bits_per_s(self) -> dict[LinkId, float]:
        rates = {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in self.links}
        return rates | _of_satellites(self.network)


def _of_satellites(network: Network) -> dict[LinkId, float]:
    """Return what the paper's satellite gave in the mean over a week, for each link of a satellite: what routes are
    compared by where nobody has looked at its passes."""
    return {link.link_id: COMPARED_AS_BITS_PER_S for link in network.links if not link.makes_key_on_order}


def review(network: Network, *, of_satellites: Mapping[LinkId, float] | None = None) -> NetworkReview:
    """Return what the rate functions and the graph say of a valid network whose systems are known. of_satellites: the
    mean rates (bit/s) of satellites' links, by their passes."""
    links = tuple(
        LinkReview(link, link_forecast(link.system, loss_db=link.loss_db))
        for link in network.links
        if link.makes_key_on_order
    )
    rates = {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in links}
    rates |= {**_of_satellites(network), **(of_satellites or {})}
    routes = tuple(_routes(network, rates))
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links if link.kind != "announced"])
    cuts, parting = cut_sites(graph, {NodeId(app.site) for app in network.applications})
    promises = promises_of(network, rates)
    without = [route.applications for route in routes if not route.nodes]
    return NetworkReview(
        network=network,
        links=links,
        headings=tuple(_headings(network, links)),
        systems=Counter(link.system for link in network.links if link.kind != "announced"),
        routes=routes,
        cut_sites=tuple(node for node in network.nodes if node in cuts),
        warnings=(
            *in_islands(network),
            *few(link_concerns([(row.link, row.forecast) for row in links]), "links"),
            *few(_application_warnings(network, routes), "applications"),
            *few(missing_routes(network, without), "pairs of applications"),
            *few(unreached(network, graph), "users"),
            *_cuts(network, parting),
            *unkept(promises),
        ),
        promises=promises,
    )


def counted_alone(network: Network) -> NetworkReview:
    """Return what can be counted of a network that does not hold: its parts, and what links of known systems give."""
    links = tuple(
        LinkReview(link, link_forecast(link.system, loss_db=link.loss_db))
        for link in network.links
        if link.makes_key_on_order and link.system in SYSTEMS
    )
    systems = Counter(link.system for link in network.links if link.kind != "announced")
    return NetworkReview(
        network, links, tuple(_headings(network, links)), systems, routes=(), cut_sites=(), warnings=()
    )


def _headings(network: Network, links: tuple[LinkReview, ...]) -> Iterator[Heading]:
    """Yield the whole network first, then every heading of ``counted_as`` in the order of the file."""
    named = [site.counted_as for site in network.sites] + [link.counted_as for link in network.links]
    for name in dict.fromkeys(["", *named]):
        rows = [row for row in links if name in ("", row.link.counted_as)]
        yield Heading(
            name=name,
            num_sites=sum(name in ("", site.counted_as) for site in network.sites),
            num_links=sum(name in ("", link.counted_as) for link in network.links),
            total_km=sum(row.link.length_km for row in rows),
            loss_db=Spread.of(row.link.loss_db for row in rows) if rows else None,
            length_km=Spread.of(row.link.length_km for row in rows) if rows else None,
            secret_rate_bits_per_s=Spread.of(row.forecast.secret_rate_bits_per_s for row in rows) if rows else None,
        )


def _routes(network: Network, rates: Mapping[LinkId, float]) -> Iterator[RouteReview]:
    """Yield the route that the controller would take for every two applications at different sites."""
    graph, policies = key_graph(network, rates), policies_of_sites(network)
    sites = {NodeId(app.site) for app in network.applications}
    ways = {node: widest_allowed_from(graph, node, policies) for node in sites}
    used: dict[frozenset[NodeId], LinkId] = {}
    for link in network.links:
        used.setdefault(frozenset(link.ends), link.link_id)  # relays use the first link between two sites
    for one, other in combinations(network.applications, 2):
        if one.site == other.site:
            continue
        nodes = ways[NodeId(one.site)].get(NodeId(other.site), ())
        on_the_way = [used[frozenset(pair)] for pair in pairwise(nodes)]
        weakest = min(on_the_way, key=lambda link_id: rates[link_id], default=None)
        rate = 0.0 if weakest is None else rates[weakest]
        yield RouteReview((one.name, other.name), nodes, rate, weakest)


def _application_warnings(network: Network, routes: tuple[RouteReview, ...]) -> Iterator[Concern]:
    if not network.applications:
        yield Concern("no-applications", "no application uses this network", "add two under 'applications'")
    served = {name for route in routes if route.rate_bits_per_s > 0 for name in route.applications}
    for app in network.applications:
        if app.name not in served:
            yield Concern(
                "no-peer",
                f"application {app.name!r} at {app.site} has no peer that keys from links could reach",
                "add an application at another site, or the links and relays that lead to one",
            )


def _cuts(network: Network, parting: Set[NodeId]) -> Iterator[Concern]:
    """One warning for all sites whose loss would part applications that now have a way."""
    if parting:
        names = [node for node in network.nodes if node in parting]
        whose = "a single site parts" if len(names) == 1 else f"each of {len(names)} sites parts"
        aloft = {NodeId(name) for one in network.downlinks for name in (one.satellite, one.station)}
        ways = ["lay a second way around, for example a ring"] if parting - aloft else []
        if parting & aloft:
            ways.append(
                "put a second station, of another satellite too, with a fibre to those behind it, "
                "beside each; or lay a fibre around both"
            )
        yield Concern(
            "single-point-of-failure", f"{whose} applications when it fails: {listed(names)}", "; ".join(ways)
        )
