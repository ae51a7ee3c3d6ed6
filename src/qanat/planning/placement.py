"""Which relays and which spans at least cost: along a straight way, or among the sites of a network.

Two ends take a shortest path over the candidates, where a span costs its pairs of devices and its fibre, and a
candidate that is passed costs a relay. More ends take a tree: the exact programme of Dreyfus and Wagner (Networks 1,
195, 1972) over all subsets of the ends, with what a relay costs at each vertex. Every span carries the wanted rate.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from qanat.ground.errors import BadParameter, NoRoute
from qanat.ground.identifiers import NodeId
from qanat.ground.network import Network
from qanat.ground.network.building import DETOUR, LOSS_DB_PER_KM
from qanat.ground.network.description import great_circle_km
from qanat.planning.direct import refuse_ends
from qanat.planning.prices import Prices
from qanat.planning.spans import check_rate, pairs_for_rate, span_rate

MOST_ENDS = 6
MOST_CANDIDATES = 2000
LOSS_STEP_DB = 0.1
"""Losses are rounded up to a whole number of these, so that few rates are worked out; what is built is no worse."""

Edges: TypeAlias = Sequence[Mapping[int, float]]
"""By vertex: neighbour -> what the span to it costs."""


@dataclass(frozen=True, slots=True)
class Span:
    """A span to be built: from where to where, its fibre, and the pairs of devices on it; what was wanted of it, and
    what these pairs give."""

    ends: tuple[str, str]
    length_km: float
    loss_db: float
    pairs: int
    wanted_bits_per_s: float
    gives_bits_per_s: float
    cost: float


@dataclass(frozen=True, slots=True)
class Placement:
    """What to build: relays (at so many km along a way, or by name), spans, and what all of it costs."""

    relays: tuple[str, ...]
    spans: tuple[Span, ...]
    cost: float
    candidates: int

    @property
    def pairs(self) -> int:
        return sum(span.pairs for span in self.spans)


@dataclass(frozen=True, slots=True)
class Wish:
    """What every span must give, of which devices, and what things cost."""

    rate_bits_per_s: float
    system: str
    prices: Prices

    def span(self, ends: tuple[str, str], *, length_km: float, loss_db: float) -> Span | None:
        """Return the cheapest span of a fibre that gives the rate; None where none does."""
        counted_db = math.ceil(round(loss_db / LOSS_STEP_DB, 6)) * LOSS_STEP_DB
        pairs = pairs_for_rate(self.system, loss_db=counted_db, rate_bits_per_s=self.rate_bits_per_s)
        if pairs is None:
            return None
        cost = pairs * self.prices.pair(self.system) + length_km * self.prices.fibre_km
        gives = span_rate(self.system, loss_db=counted_db, pairs=pairs)
        return Span(ends, length_km, loss_db, pairs, self.rate_bits_per_s, gives, cost)


def along_a_way(
    wish: Wish, *, length_km: float, every_km: float = 5.0, loss_db_per_km: float = LOSS_DB_PER_KM
) -> Placement:
    """Return the relays along a way of so much fibre, at whole multiples of ``every_km``, of the least cost.

    Raises BadParameter for figures of no way; NoRoute when even relays at every place would not do.
    """
    check_rate(wish.rate_bits_per_s)
    _check_way(length_km, every_km, loss_db_per_km)
    steps = math.ceil(round(length_km / every_km, 9))
    places = [round(step * every_km, 6) for step in range(steps)] + [length_km]
    names = [f"{place:g} km" for place in places]
    farthest = _farthest_km(wish, loss_db_per_km)

    def span(one: int, other: int) -> Span | None:
        km = places[other] - places[one]
        return (
            None if km > farthest else wish.span((names[one], names[other]), length_km=km, loss_db=km * loss_db_per_km)
        )

    spans: dict[tuple[int, int], Span] = {}
    for one in range(len(places)):
        for other in range(one + 1, len(places)):
            if places[other] - places[one] > farthest:
                break
            if (found := span(one, other)) is not None:
                spans[one, other] = found
    ends, nearer = (0, len(places) - 1), "offer nearer places (--every-km)"
    return _placed(wish, names, spans, ends=ends, passing=range(len(places)), nearer=nearer)


def among_sites(
    network: Network, wish: Wish, ends: Sequence[NodeId], *, loss_db_per_km: float = LOSS_DB_PER_KM
) -> Placement:
    """Return which relays of a network join ``ends`` at least cost, if everything were built anew.

    A span may join any two sites that are near enough: over the fibre between them where the network has one, otherwise
    over 1.3 times the straight way. Users pass nothing on. Raises UnknownNode; NoDirectLink for an end that takes
    direct keys only; BadParameter for too few or too many ends; NoRoute when no relays between them make the rate.
    """
    check_rate(wish.rate_bits_per_s)
    wanted = [network.site(node) for node in dict.fromkeys(ends)]
    if not 2 <= len(wanted) <= MOST_ENDS:
        raise BadParameter(f"{len(wanted)} ends", remedy=f"name 2 to {MOST_ENDS} different sites")
    refuse_ends(network, [site.node for site in wanted])
    sites = [*wanted, *(site for site in network.sites if site.kind == "relay" and site not in wanted)]
    if len(sites) > MOST_CANDIDATES:
        raise BadParameter(f"{len(sites)} candidate sites", remedy=f"take a network of at most {MOST_CANDIDATES}")
    number = {site.name: place for place, site in enumerate(sites)}
    known: dict[tuple[int, int], tuple[float, float]] = {}
    for link in network.described_links:
        if all(end in number for end in link.ends):
            one, other = sorted(number[end] for end in link.ends)
            known[one, other] = min(known.get((one, other), (math.inf, 0.0)), (link.loss_db, link.length_km))
    farthest = _farthest_km(wish, loss_db_per_km)
    spans: dict[tuple[int, int], Span] = {}
    for one, here in enumerate(sites):
        for other in range(one + 1, len(sites)):
            there = sites[other]
            km = DETOUR * great_circle_km(here, there)
            loss_db, length_km = known.get((one, other), (km * loss_db_per_km, km))
            if (one, other) not in known and km > farthest:
                continue
            found = wish.span((here.name, there.name), length_km=max(length_km, 0.01), loss_db=loss_db)
            if found is not None:
                spans[one, other] = found
    passing = [place for place, site in enumerate(sites) if site.kind == "relay"]
    names, nearer = [site.name for site in sites], "add relays between far sites to the network file"
    return _placed(wish, names, spans, ends=range(len(wanted)), passing=passing, nearer=nearer)


def _check_way(length_km: float, every_km: float, loss_db_per_km: float) -> None:
    if not 0 < length_km <= 40_000:
        raise BadParameter(f"a way of {length_km:g} km", remedy="give more than 0 km, up to 40,000")
    if not 0.01 <= loss_db_per_km <= 10:
        raise BadParameter(f"fibre of {loss_db_per_km:g} dB per km", remedy="give 0.01 to 10 dB per km")
    if not (every_km > 0 and length_km / every_km <= MOST_CANDIDATES):
        raise BadParameter(
            f"places at every {every_km:g} km of {length_km:g} km",
            remedy=f"give a longer step: at most {MOST_CANDIDATES} places are looked at",
        )


def _farthest_km(wish: Wish, loss_db_per_km: float) -> float:
    """Return how long a span may be at most: where 16 pairs give the rate no more."""
    low, high = 0, 1000
    while high - low > 1:
        middle = (low + high) // 2
        pairs = pairs_for_rate(wish.system, loss_db=middle * LOSS_STEP_DB, rate_bits_per_s=wish.rate_bits_per_s)
        low, high = (middle, high) if pairs is not None else (low, middle)
    return low * LOSS_STEP_DB / loss_db_per_km * (1 + 1e-9)


def _placed(
    wish: Wish,
    names: Sequence[str],
    spans: Mapping[tuple[int, int], Span],
    *,
    ends: Sequence[int],
    passing: Sequence[int],
    nearer: str,
) -> Placement:
    """``nearer``: how more places could be offered, for the remedy."""
    edges: list[dict[int, float]] = [{} for _ in names]
    for (one, other), span in spans.items():
        edges[one][other] = edges[other][one] = span.cost
    relay_cost = [0.0 if place in ends else wish.prices.relay for place in range(len(names))]
    chosen = cheapest_tree(edges, relay_cost, ends, set(passing))
    if chosen is None:
        raise NoRoute(
            f"no relays at these {len(names)} places join {' and '.join(names[end] for end in ends)} at "
            f"{wish.rate_bits_per_s / 1e3:g} kbit/s",
            remedy=f"ask for less, {nearer}, or take a system with better detectors (--system)",
        )
    used = sorted({vertex for edge in chosen for vertex in edge} - set(ends))
    built = tuple(spans[edge] for edge in sorted(chosen))
    cost = math.fsum([span.cost for span in built] + [wish.prices.relay] * len(used))
    return Placement(tuple(names[place] for place in used), built, cost, len(names))


def cheapest_tree(
    edges: Edges, vertex_cost: Sequence[float], ends: Sequence[int], passing: set[int]
) -> set[tuple[int, int]] | None:
    """Return the edges of the tree of the least cost that joins ``ends``; None where none does.

    vertex_cost: of each vertex that is in the tree. passing: vertices that may have more than one edge.
    """
    root, first = ends[-1], ends[:-1]
    programme = _Programme(edges, vertex_cost, passing, root=root, ends=set(ends))
    for mask in range(1, 1 << len(first)):
        programme.solve(mask, [end for place, end in enumerate(first) if mask == 1 << place])
    whole = (1 << len(first)) - 1
    return programme.tree(whole, root) if root in programme.costs[whole] else None


_Origin: TypeAlias = tuple[int, int] | int | None
"""How a state came about: two sets of ends that met, or the vertex that the tree was grown from."""


class _Programme:
    """``costs[mask][v]``: of the cheapest tree that joins the ends of ``mask`` and v, whose own cost is in it."""

    def __init__(
        self, edges: Edges, vertex_cost: Sequence[float], passing: set[int], *, root: int, ends: set[int]
    ) -> None:
        self._edges, self._vertex_cost, self._passing = edges, vertex_cost, passing
        self._root, self._leaves = root, ends - passing
        self.costs: dict[int, dict[int, float]] = {}
        self._origin: dict[tuple[int, int], _Origin] = {}

    def solve(self, mask: int, starts: Sequence[int]) -> None:
        """Find all states of a set of ends; those of all its subsets are known. starts: its only end, if it has one."""
        costs = {start: self._vertex_cost[start] for start in starts}
        self._origin.update({(mask, start): None for start in starts})
        part = (mask - 1) & mask
        while part > mask ^ part:
            self._meet(mask, part, costs)
            part = (part - 1) & mask
        self._grow(mask, costs, set(starts))
        self.costs[mask] = costs

    def _meet(self, mask: int, part: int, costs: dict[int, float]) -> None:
        one, other = self.costs[part], self.costs[mask ^ part]
        for vertex in one.keys() & other.keys() & self._passing:
            cost = one[vertex] + other[vertex] - self._vertex_cost[vertex]
            if cost < costs.get(vertex, math.inf):
                costs[vertex] = cost
                self._origin[mask, vertex] = (part, mask ^ part)

    def _grow(self, mask: int, costs: dict[int, float], starts: set[int]) -> None:
        """Grow trees edge by edge (Dijkstra's algorithm). Who passes nothing on is a leaf: there trees begin or end."""
        queue = [(cost, vertex) for vertex, cost in costs.items()]
        heapq.heapify(queue)
        while queue:
            cost, here = heapq.heappop(queue)
            if cost > costs[here] or not (here in self._passing or here in starts):
                continue
            for there, length in self._edges[here].items():
                total = cost + length + self._vertex_cost[there]
                may_enter = there in self._passing or there == self._root
                if may_enter and total < costs.get(there, math.inf):
                    costs[there] = total
                    self._origin[mask, there] = here
                    heapq.heappush(queue, (total, there))

    def tree(self, mask: int, vertex: int) -> set[tuple[int, int]]:
        """Return the edges of a state's tree, the lower vertex first."""
        found: set[tuple[int, int]] = set()
        open_states = [(mask, vertex)]
        while open_states:
            mask, vertex = open_states.pop()
            origin = self._origin[mask, vertex]
            if isinstance(origin, tuple):
                open_states += [(part, vertex) for part in origin]
            elif origin is not None:
                found.add((min(origin, vertex), max(origin, vertex)))
                open_states.append((mask, origin))
        return found
