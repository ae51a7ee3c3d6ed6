"""What a valid network had better not have: links without key, users without a way, single points of failure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import networkx as nx

from qanat.apps.shares_review import PromiseReview
from qanat.ground.constants import QBER_ABORT
from qanat.ground.errors import RequirementUnmet
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Link, Network, Site
from qanat.ground.units import format_rate
from qanat.key_management.obstacles import require_way
from qanat.protocols.prediction import ExpectedRate
from qanat.quantum_layer.forecast import MOST_BLOCKS, RECONCILIATION_BITS

SLOW_BLOCK_S = 600.0
"""A link whose block takes more light than this is one to warn of."""
LEAST_DB_PER_KM = 0.14
"""No fibre with a core of glass has less: the best had 0.1419 at 1560 nm (Y. Tamura et al., J. Lightwave Technol. 36,
44, 2018). A fibre with a hollow core may."""
MUCH_DB_PER_KM = 1.0
"""More than four times what installed fibre has: over MANY_KM no connectors explain it."""
MANY_KM = 5.0
ROUNDED_DB = 0.05
"""Losses are often written with one decimal."""
MOST_TOLD = 6
"""So many warnings of one kind are given one by one; more become one with their number."""
MOST_USERS_COMPARED = 2000
"""Among more users, each is not compared with every other."""


@dataclass(frozen=True, slots=True)
class Concern:
    """Something that a valid network had better not have."""

    code: str
    text: str
    remedy: str


def link_concerns(links: Sequence[tuple[Link, ExpectedRate]]) -> Iterator[Concern]:
    """Yield what is odd about links with their forecasts."""
    joined: dict[frozenset[NodeId], str] = {}
    for link, forecast in links:
        yield from _odd_loss(link)
        first = joined.setdefault(frozenset(link.ends), link.name)
        if first != link.name:
            yield Concern(
                "parallel-link",
                f"links {first!r} and {link.name!r} join the same two sites; keys are relayed over the first alone",
                f"give {first!r} as many 'pairs' as modules stand on the span"
                + (
                    ", and count on no link through a switch there" if link.through else f", and take {link.name!r} out"
                ),
            )
        if forecast.secret_bits_per_block == 0:
            yield Concern(
                "no-key",
                f"link {link.name!r} can give no key: {link.loss_db:g} dB is too much for {link.system}, "
                f"whatever the block up to {MOST_BLOCKS * RECONCILIATION_BITS:.0e} bits",
                "put a trusted relay between its ends, or take a system with better detectors",
            )
        elif forecast.block_time_s > SLOW_BLOCK_S:
            yield Concern(
                "slow-block",
                f"link {link.name!r} gives its first key after {forecast.block_time_s / 60:.0f} minutes of light: at "
                f"{link.loss_db:g} dB a block takes so long to fill",
                "put a trusted relay between its ends, or let keys be prepared in idle time",
            )
        if link.disturbance > 0:
            yield Concern(
                "disturbed",
                f"link {link.name!r} rehearses an attack: the line flips {link.disturbance:.1%} of the photons' bits, "
                + ("so it gives no key" if link.disturbance >= QBER_ABORT else "which the forecast leaves out"),
                "remove 'disturbance' for a network in service",
            )


def _odd_loss(link: Link) -> Iterator[Concern]:
    """Yield that a fibre's loss and length do not fit together; a link through switches has both from its ports."""
    if link.through:
        return
    per_km = link.loss_db / link.length_km
    told = f"link {link.name!r} has {link.loss_db:g} dB over {link.length_km:g} km, {per_km:.3g} dB/km"
    if link.loss_db + ROUNDED_DB < LEAST_DB_PER_KM * link.length_km:
        yield Concern(
            "loss-too-low",
            f"{told}: no fibre with a core of glass has less than {LEAST_DB_PER_KM:g}",
            "look at both figures for a slip, such as 1.6 for 16; leave them if the fibre has a hollow core",
        )
    elif link.length_km > MANY_KM and link.loss_db > MUCH_DB_PER_KM * link.length_km:
        yield Concern(
            "loss-too-high",
            f"{told}: installed fibre has about a quarter of a decibel",
            "look at both figures for a slip, and at metres taken for kilometres; or measure the fibre again",
        )


def unkept(promises: Iterable[PromiseReview]) -> Iterator[Concern]:
    """Yield the guarantees that the links cannot keep."""
    for promise in promises:
        if not promise.is_admitted:
            asked, most = format_rate(promise.guaranteed_bits_per_s), format_rate(promise.possible_bits_per_s)
            yield Concern(
                "guarantee-not-admitted",
                f"{promise.pair}: {asked} cannot be promised beside the guarantees before it; {most} could be "
                "(predicted)",
                "lower it or one before it, or add links",
            )


def few(concerns: Iterator[Concern], noun: str) -> Iterator[Concern]:
    """Yield concerns; of a kind that has many, the first stands for all."""
    by_code: dict[str, list[Concern]] = {}
    for concern in concerns:
        by_code.setdefault(concern.code, []).append(concern)
    for told in by_code.values():
        if len(told) <= MOST_TOLD:
            yield from told
        else:
            first = told[0]
            yield Concern(first.code, f"{len(told)} {noun}, the first: {first.text}", first.remedy)


def missing_routes(network: Network, without: Sequence[tuple[str, str]]) -> Iterator[Concern]:
    """Yield why pairs of applications have no route."""
    sites = {app.name: network.site(NodeId(app.site)) for app in network.applications}
    island = _islands(network)
    by_satellite = []
    for one, other in without:
        here, there = sites[one], sites[other]
        direct = here if here.direct_keys_only else there
        if {island[here.node], island[there.node]} <= _with_stations(network, island) and (
            island[here.node] != island[there.node]
        ):
            by_satellite.append((one, other))
        elif (remedy := _kept_out(network, here, there)) is not None:
            yield Concern(
                "keys-kept-out",
                f"no way between the applications {one!r} and {other!r} is as {here.name!r} and {there.name!r} have"
                " all their keys go",
                remedy,
            )
        elif direct.direct_keys_only:
            yield Concern(
                "direct-keys-only",
                f"no link joins the applications {one!r} and {other!r}, and {direct.name!r} takes direct keys only",
                "put both on switches that trunks join, or let the site take relayed keys",
            )
        else:
            yield Concern(
                "no-route",
                f"no chain of trusted relays joins the applications {one!r} and {other!r}",
                "make a site between them a relay, or add a link",
            )
    if by_satellite:
        stations = sorted(site.name for site in network.sites if site.ground_station)
        yield Concern(
            "satellite-only",
            f"{len(by_satellite)} pairs of applications have no way on the ground, such as "
            f"{' and '.join(by_satellite[0])}: theirs leads over the ground stations {', '.join(stations)}",
            "plan keys for them by satellite, or lay fibre between the stations",
        )


def _kept_out(network: Network, here: Site, there: Site) -> str | None:
    """Return what stands in the way where two sites state sites that their keys avoid, or a region that they stay in,
    and no way is such; None where that is not the reason."""
    policy = network.policy_between(here.node, there.node)
    if policy.avoid or policy.domestic_only:
        try:
            require_way(network, here.node, there.node, policy)
        except RequirementUnmet as fault:
            return fault.remedy
    return None


def _islands(network: Network) -> dict[NodeId, int]:
    """Return which sites hang together by links: the number of each one's island."""
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links])
    return {node: number for number, nodes in enumerate(nx.connected_components(graph)) for node in nodes}


def _with_stations(network: Network, island: dict[NodeId, int]) -> set[int]:
    return {island[site.node] for site in network.sites if site.ground_station}


def unreached(network: Network, graph: nx.Graph[NodeId]) -> Iterator[Concern]:
    """Yield users whom no chain of trusted relays joins (a way through a third user is none).

    Left out are pairs that both have applications, whose routes say it, and pairs on islands of their own, since
    only a satellite joins those.
    """
    users = [site.node for site in network.sites if site.kind == "user"]
    around, groups = _groups(graph, users)
    if any(len(group) == len(users) for group in groups):
        return
    if len(users) > MOST_USERS_COMPARED:
        yield Concern(
            "unreached",
            f"no group of trusted relays reaches all {len(users)} users, who are too many to be compared one by one",
            "join the groups of relays, or check a part of the network",
        )
        return
    with_application = {NodeId(app.site) for app in network.applications}
    island = _islands(network)
    for place, user in enumerate(users):
        reached = {user, *graph[user]}.union(*(groups[number] for number in around[user]))
        apart = [other for other in users[place + 1 :] if other not in reached and island[other] == island[user]]
        told = [other for other in apart if not with_application.issuperset((user, other))]
        if told:
            yield Concern(
                "unreached",
                f"no chain of trusted relays leads from user {user!r} to {listed(told)}",
                "make a user's site between them a relay, or add a link",
            )


def _groups(graph: nx.Graph[NodeId], users: Sequence[NodeId]) -> tuple[dict[NodeId, list[int]], list[set[NodeId]]]:
    """Return the users around every group of relays that hang together, and in which of these each user is."""
    known = set(users)
    groups: list[set[NodeId]] = []
    around: dict[NodeId, list[int]] = {user: [] for user in users}
    for relays in nx.connected_components(graph.subgraph(set(graph) - known)):
        group = known & {node for relay in relays for node in graph[relay]}
        for user in group:
            around[user].append(len(groups))
        groups.append(group)
    return around, groups


def cut_sites(graph: nx.Graph[NodeId], sites: set[NodeId]) -> tuple[set[NodeId], set[NodeId]]:
    """Return the sites without which the network falls apart, and those of them that part ``sites`` by it.

    Blocks (parts without such a site) and the sites between them make a tree; below each of its vertices the number of
    ``sites`` is counted once.
    """
    cuts = set(nx.articulation_points(graph))
    tree: nx.Graph[NodeId | int] = nx.Graph()
    weight: dict[NodeId | int, int] = {node: int(node in sites) for node in cuts}
    blocks: Iterator[set[NodeId]] = nx.biconnected_components(graph)  # type: ignore[assignment]  # their stub errs
    for number, block in enumerate(blocks):
        weight[number] = len((block - cuts) & sites)
        tree.add_node(number)
        tree.add_edges_from((number, node) for node in block & cuts)
    parting: set[NodeId] = set()
    for part in nx.connected_components(tree):
        parting |= _parting(tree, weight, cuts, next(iter(part)))
    return cuts, parting


def _parting(
    tree: nx.Graph[NodeId | int], weight: dict[NodeId | int, int], cuts: set[NodeId], root: NodeId | int
) -> set[NodeId]:
    order = list(nx.dfs_preorder_nodes(tree, root))
    above = nx.dfs_predecessors(tree, root)
    below = dict(weight)
    for vertex in reversed(order[1:]):
        below[above[vertex]] += below[vertex]
    total = below[root]
    parting = set()
    for node in cuts.intersection(order):
        branches = [below[child] for child in tree[node] if child != above.get(node)]
        rest = total - sum(branches) - weight[node]
        if sum(num > 0 for num in (*branches, rest)) > 1:
            parting.add(node)
    return parting


def listed(names: Sequence[str]) -> str:
    """Return names with commas between; of many the first six."""
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
