"""A sheet with the whole network, and under it the parts that are too small to be seen there, or too far away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import networkx as nx

from qanat.apps.pictures.geography import Box, Frame
from qanat.apps.pictures.map_body import Naming
from qanat.apps.pictures.map_plan import CROWDED_FRAME, Plan, crowded_plan, plan_of
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.network import Network
from qanat.ground.network.description import Placed
from qanat.ground.network.extracts import by_heading, extract_of

Rates: TypeAlias = Mapping[LinkId, float]
LEAST_SITES = 10
"""A heading of fewer sites is not drawn apart."""
MOST_SHARE = 0.2
"""Nor is one that takes more than this of the whole map's width or height."""
COLUMNS = 2
GAP = 20.0
TITLE = 34.0
"""Height of an inset's title."""
INSET_HEIGHT = 430.0
LEAST_FRAME = 12.0
MOST_USERS_NAMED = 8
MOST_ISLANDS = 4


@dataclass(frozen=True, slots=True)
class Inset:
    """A part of the network drawn apart at (left, top); ``frame``: where it lies on the whole map, if it does."""

    title: str
    subtitle: str
    plan: Plan
    left: float
    top: float
    frame: Box | None

    @property
    def names(self) -> Naming:
        """Whose names have room."""
        users = sum(site.kind == "user" for site in self.plan.network.sites)
        return "all" if users <= MOST_USERS_NAMED else "relays"


@dataclass(frozen=True)
class Atlas:
    """The whole map with what is drawn apart; ``network`` is all of it, ``main`` what the whole map shows."""

    network: Network
    main: Plan
    insets: tuple[Inset, ...]

    @property
    def width(self) -> float:
        return self.main.projection.width

    @cached_property
    def height(self) -> float:
        """Without the legend."""
        return max([self.main.projection.height, *(inset.top + INSET_HEIGHT for inset in self.insets)])


def atlas_of(network: Network, rates_bits_per_s: Rates) -> Atlas:
    """Return the sheet of a network; one without small crowded parts and islands is a map and nothing else."""
    islands = _islands(network)
    far = {node for nodes in islands.values() for node in nodes}
    near = extract_of(network, [node for node in network.nodes if node not in far]) if far else network
    whole = plan_of(near, rates_bits_per_s)
    crowded = {} if whole.is_roomy else _crowded(whole)
    if not (crowded or islands):
        return Atlas(network, whole, ())
    apart = {node for nodes in crowded.values() for node in nodes}
    gates = {node for node in apart if _leads_out(near, node, crowded)}
    rest = [node for node in near.nodes if node not in apart or node in gates]
    main = crowded_plan(extract_of(near, rest), rates_bits_per_s, CROWDED_FRAME)
    insets = _insets(network, main, {**crowded, **islands}, rates_bits_per_s, far)
    return Atlas(network, main, tuple(insets))


def _islands(network: Network) -> dict[str, tuple[NodeId, ...]]:
    """Return all but the largest of the parts that no link joins, by a heading or a name; none where they are many."""
    graph: nx.Graph[NodeId] = nx.Graph([link.ends for link in network.links])
    graph.add_nodes_from(network.nodes)
    parts: Sequence[set[NodeId]] = sorted(nx.connected_components(graph), key=len)
    islands = {}
    for part in parts[:-1]:
        nodes = tuple(node for node in network.nodes if node in part)
        islands[network.site(nodes[0]).counted_as or nodes[0]] = nodes
    is_told_apart = len(islands) == len(parts) - 1 <= MOST_ISLANDS and all(len(part) > 1 for part in parts)
    return islands if is_told_apart else {}


def _crowded(whole: Plan) -> dict[str, tuple[NodeId, ...]]:
    """Return the headings whose sites stand too close together to be told apart."""
    found = {}
    for heading, nodes in by_heading(whole.network).items():
        xs, ys = zip(*(whole.projection.place(whole.network.site(node)) for node in nodes), strict=True)
        share = max((max(xs) - min(xs)) / whole.projection.width, (max(ys) - min(ys)) / whole.projection.height)
        if len(nodes) >= LEAST_SITES and share <= MOST_SHARE:
            found[heading] = nodes
    return found if len({node for nodes in found.values() for node in nodes}) < len(whole.network.sites) else {}


def _leads_out(network: Network, node: NodeId, crowded: Mapping[str, tuple[NodeId, ...]]) -> bool:
    """Return whether a site has a link out of its own crowd."""
    own = next(nodes for nodes in crowded.values() if node in nodes)
    return any(link.peer_of(node) not in own for link in network.links_of(node))


def _insets(
    network: Network, main: Plan, apart: Mapping[str, tuple[NodeId, ...]], rates_bits_per_s: Rates, far: set[NodeId]
) -> Iterator[Inset]:
    """Yield what is drawn apart; ``far``: sites that the main map does not reach."""
    width = (main.projection.width - (COLUMNS - 1) * GAP) / COLUMNS
    frame = Frame(width, INSET_HEIGHT, INSET_HEIGHT, margin_x=46.0, margin_y=36.0)
    for number, (heading, nodes) in enumerate(apart.items()):
        part = extract_of(network, nodes)
        row, column = divmod(number, COLUMNS)
        yield Inset(
            title=heading.capitalize(),
            subtitle=_subtitle(part),
            plan=crowded_plan(part, rates_bits_per_s, frame),
            left=column * (width + GAP),
            top=main.projection.height + TITLE + row * (INSET_HEIGHT + TITLE),
            frame=None if far.issuperset(nodes) else _frame(main, part),
        )


def _subtitle(part: Network) -> str:
    kinds = [site.kind for site in part.sites]
    switches = f"{len(part.switches)} switch{'' if len(part.switches) == 1 else 'es'}, " if part.switches else ""
    relays, users = (kinds.count(kind) for kind in ("relay", "user"))
    return (
        f"{relays} relay{'' if relays == 1 else 's'}, {users} user node{'' if users == 1 else 's'}, "
        f"{switches}{len(part.links)} links"
    )


def _frame(main: Plan, part: Network) -> Box:
    """Return where a part lies on the whole map, large enough to be seen."""
    placed: list[Placed] = [*part.sites, *part.switches]
    xs, ys = zip(*map(main.projection.place, placed), strict=True)
    across, along = (max(0.0, LEAST_FRAME - (max(values) - min(values))) / 2 + 3 for values in (xs, ys))
    return Box(min(xs) - across, min(ys) - along, max(xs) + across, max(ys) + along)
