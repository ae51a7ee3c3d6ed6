"""What a planner wants to know of a network before it runs: what is in it, what its links will give, what is weak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from statistics import fmean

import networkx as nx

from qanat.control.routing import key_routes
from qanat.ground.constants import QBER_ABORT
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Link, Network
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS, link_forecast

SLOW_BLOCK_S = 600.0
"""A link whose block takes more light than this is one to warn of."""


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
    """Sites and links that are counted together; ``name`` is empty for the whole network."""

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
class Concern:
    """Something that a valid network had better not have."""

    code: str
    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class NetworkReview:
    """All of it. ``cut_sites``: sites without which the network falls apart."""

    network: Network
    links: tuple[LinkReview, ...]
    headings: tuple[Heading, ...]
    systems: Mapping[str, int]
    routes: tuple[RouteReview, ...]
    cut_sites: tuple[NodeId, ...]
    warnings: tuple[Concern, ...]

    @property
    def weakest(self) -> LinkReview:
        """The link with the least forecast."""
        return min(self.links, key=lambda row: (row.forecast.secret_rate_bits_per_s, row.link.name))

    @property
    def rates_bits_per_s(self) -> dict[LinkId, float]:
        return {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in self.links}


def review(network: Network) -> NetworkReview:
    """Return what the rate functions and the graph say of a valid network whose systems are known."""
    links = tuple(LinkReview(link, link_forecast(link.system, loss_db=link.loss_db)) for link in network.links)
    routes = tuple(_routes(network, {row.link.link_id: row.forecast.secret_rate_bits_per_s for row in links}))
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links])
    cut_sites = tuple(node for node in network.nodes if node in set(nx.articulation_points(graph)))
    return NetworkReview(
        network=network,
        links=links,
        headings=tuple(_headings(network, links)),
        systems=Counter(link.system for link in network.links),
        routes=routes,
        cut_sites=cut_sites,
        warnings=(
            *_link_warnings(links),
            *_application_warnings(network, routes),
            *_unreached(network, graph),
            *_cuts(network, graph, cut_sites),
        ),
    )


def _headings(network: Network, links: tuple[LinkReview, ...]) -> Iterator[Heading]:
    """Yield the whole network first, then every heading of ``counted_as`` in the order of the file."""
    named = [site.counted_as for site in network.sites] + [link.counted_as for link in network.links]
    for name in dict.fromkeys(["", *named]):
        rows = [row for row in links if name in ("", row.link.counted_as)]
        yield Heading(
            name=name,
            num_sites=sum(name in ("", site.counted_as) for site in network.sites),
            num_links=len(rows),
            total_km=sum(row.link.length_km for row in rows),
            loss_db=Spread.of(row.link.loss_db for row in rows) if rows else None,
            length_km=Spread.of(row.link.length_km for row in rows) if rows else None,
            secret_rate_bits_per_s=Spread.of(row.forecast.secret_rate_bits_per_s for row in rows) if rows else None,
        )


def _routes(network: Network, rates: Mapping[LinkId, float]) -> Iterator[RouteReview]:
    """Yield the route that the controller would take for every two applications at different sites."""
    ways = {
        node: key_routes(network, node, rates_bits_per_s=rates)
        for node in {NodeId(app.site) for app in network.applications}
    }
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


def _link_warnings(links: tuple[LinkReview, ...]) -> Iterator[Concern]:
    joined: dict[frozenset[NodeId], str] = {}
    for row in links:
        first = joined.setdefault(frozenset(row.link.ends), row.link.name)
        if first != row.link.name:
            yield Concern(
                "parallel-link",
                f"links {first!r} and {row.link.name!r} join the same two sites; keys are relayed over the first alone",
                "keep one of the two, or count on the first alone",
            )
        name, forecast = row.link.name, row.forecast
        if forecast.secret_bits_per_block == 0:
            yield Concern(
                "no-key",
                f"link {name!r} can give no key: {row.link.loss_db:g} dB is too much for {row.link.system}, "
                f"whatever the block up to {MOST_BLOCKS * RECONCILIATION_BITS:.0e} bits",
                "put a trusted relay between its ends, or take a system with better detectors",
            )
        elif forecast.block_time_s > SLOW_BLOCK_S:
            yield Concern(
                "slow-block",
                f"link {name!r} gives its first key after {forecast.block_time_s / 60:.0f} minutes of light: at "
                f"{row.link.loss_db:g} dB a block takes so long to fill",
                "put a trusted relay between its ends, or let keys be prepared in idle time",
            )
        if row.link.disturbance > 0:
            yield Concern(
                "disturbed",
                f"link {name!r} rehearses an attack: the line flips {row.link.disturbance:.1%} of the photons' bits, "
                + ("so it gives no key" if row.link.disturbance >= QBER_ABORT else "which the forecast leaves out"),
                "remove 'disturbance' for a network in service",
            )


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
    for route in routes:
        if not route.nodes:
            one, other = route.applications
            yield Concern(
                "no-route",
                f"no chain of trusted relays joins the applications {one!r} and {other!r}",
                "make a site between them a relay, or add a link",
            )


def _unreached(network: Network, graph: nx.Graph[NodeId]) -> Iterator[Concern]:
    """Users whom no chain of trusted relays joins (a way through a third user is none).

    Pairs that both have applications are left out: their routes say it.
    """
    users = [site.node for site in network.sites if site.kind == "user"]
    with_application = {NodeId(app.site) for app in network.applications}
    reached = {user: {user, *graph[user]} for user in users}
    for relays in nx.connected_components(graph.subgraph(set(graph) - set(users))):
        around = set(users) & {node for relay in relays for node in graph[relay]}
        for user in around:
            reached[user] |= around
    for place, user in enumerate(users):
        apart = [other for other in users[place + 1 :] if other not in reached[user]]
        told = [other for other in apart if not with_application.issuperset((user, other))]
        if told:
            yield Concern(
                "unreached",
                f"no chain of trusted relays leads from user {user!r} to {_listed(told)}",
                "make a user's site between them a relay, or add a link",
            )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _cuts(network: Network, graph: nx.Graph[NodeId], cut_sites: tuple[NodeId, ...]) -> Iterator[Concern]:
    """One warning for all sites whose loss would part applications that now have a way."""
    sites = {NodeId(app.site) for app in network.applications}
    parting = []
    for node in cut_sites:
        rest = graph.subgraph(other for other in graph if other != node)
        if sum(bool(sites & part) for part in map(set, nx.connected_components(rest))) > 1:
            parting.append(node)
    if parting:
        whose = "a single site parts" if len(parting) == 1 else f"each of {len(parting)} sites parts"
        yield Concern(
            "single-point-of-failure",
            f"{whose} applications when it fails: {_listed(parting)}",
            "lay a second way around, for example a ring",
        )
