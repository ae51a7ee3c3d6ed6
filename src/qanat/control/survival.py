"""What becomes of routes when links and sites fail, and come back: only those that are touched are looked for anew.

A demand that has lost its route is given the next best one in the same graph, changed in place. One for which there is
none is told why: which failures cut it off, and the fewest that would have to be undone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Literal, TypeAlias

from qanat.control.graph import Route, RouteGraph
from qanat.control.routing import widest
from qanat.ground.errors import UnknownNode
from qanat.ground.identifiers import LinkId, NodeId
from qanat.ground.route_policy import ANY_ROUTE, RoutePolicy

Part: TypeAlias = tuple[Literal["link", "site"], str]
"""Links and sites may have the same names."""


class Fault(Enum):
    """Why a link or a site is out, in words for people."""

    LINK_DOWN = "the link is down"
    QBER_ALARM = "its error rate is above the threshold: misalignment, or somebody listens"
    POOL_DRY = "its stock of key is used up"
    NODE_LOST = "the site does not answer"


@dataclass(frozen=True, slots=True)
class Outage:
    """A failed part. ``link_id`` or ``node``: one of the two."""

    fault: Fault
    link_id: LinkId | None = None
    node: NodeId | None = None

    def __post_init__(self) -> None:
        if (self.link_id is None) == (self.node is None) or (self.node is not None) != (self.fault is Fault.NODE_LOST):
            raise ValueError(f"{self.fault.name} is of a link, or NODE_LOST of a site, and of one: {self}")

    @property
    def part(self) -> Part:
        """What is out."""
        return ("link", self.link_id) if self.link_id is not None else ("site", self.node or "")

    def __str__(self) -> str:
        return f"{' '.join(self.part)}: {self.fault.value}"


@dataclass(frozen=True, slots=True)
class RoutedPair:
    """A pair of sites that wants a route under a policy."""

    source: NodeId
    target: NodeId
    policy: RoutePolicy = ANY_ROUTE


@dataclass(frozen=True, slots=True)
class CutOff:
    """A pair without a route.

    ``cut``: the failures that bound what its source can still reach; without any of them mended nothing changes.
    ``mend``: the fewest that give it a route again. Both empty where even the whole network has none.
    """

    pair: RoutedPair
    cut: tuple[Outage, ...]
    mend: tuple[Outage, ...]

    @property
    def reason(self) -> str:
        """In words, with the remedy."""
        ends = f"{self.pair.source!r} and {self.pair.target!r}"
        if not self.mend:
            return f"no chain of trusted nodes joins {ends} under what is asked of the way, with all links up"
        cut, mend = ("; ".join(map(str, outages)) for outages in (self.cut, self.mend))
        return f"nothing joins {ends} now ({cut}); enough would be to mend {mend}"


@dataclass(frozen=True, slots=True)
class Rerouted:
    """What a failure or a repair has changed: new routes, and who is without one now (``Survivor.why`` says why)."""

    routes: Mapping[str, Route]
    cut_off: tuple[str, ...]


class Survivor:
    """Keeps the routes of demands over failures. The graph is the caller's: widths are read from it as they are."""

    def __init__(self, graph: RouteGraph, demands: Mapping[str, RoutedPair]) -> None:
        """Look for the route of each demand, by its id; raises UnknownNode."""
        self._graph = graph
        self._demands = dict(demands)
        self._outages: dict[Part, dict[Fault, Outage]] = {}
        self.routes: dict[str, Route] = {}
        self._over: dict[Part, set[str]] = {}
        self._strayed: set[str] = set()
        self._find(sorted(self._demands))

    @property
    def cut_off(self) -> dict[str, CutOff]:
        """All demands that have no route now, and why."""
        return {name: self.why(name) for name in sorted(self._demands.keys() - self.routes.keys())}

    def why(self, name: str) -> CutOff:
        """Return why a demand that has no route now has none."""
        pair = self._demands[name]
        faults = {part: tuple(faults.values()) for part, faults in self._outages.items()}
        return CutOff(pair, *_Failures(self._graph, faults).between(pair))

    def fail(self, *outages: Outage) -> Rerouted:
        """Take parts out, and give those who went over them their next best way; raises UnknownNode."""
        touched: set[str] = set()
        for outage in outages:
            self._set(outage, is_up=False)
            self._outages.setdefault(outage.part, {})[outage.fault] = outage
            touched |= self._over.get(outage.part, set())
        self._strayed |= touched
        return self._changed(sorted(touched))

    def mend(self, *outages: Outage) -> Rerouted:
        """Put parts back, unless another fault of one lasts; those who are not on their best way look for it again."""
        back = [outage for outage in outages if self._is_last(outage)]
        for outage in back:
            del self._outages[outage.part]
            self._set(outage, is_up=True)
        return self._changed(sorted(self._strayed | (self._demands.keys() - self.routes.keys())) if back else ())

    def _is_last(self, outage: Outage) -> bool:
        """Take a fault of a part away; return whether it was there and no other lasts."""
        faults = self._outages.get(outage.part, {})
        return faults.pop(outage.fault, None) is not None and not faults

    def _set(self, outage: Outage, *, is_up: bool) -> None:
        if outage.node is not None:
            self._graph.set_node(outage.node, is_up=is_up)
        elif outage.link_id in self._graph.link_number:
            self._graph.set_link(outage.link_id, is_up=is_up)
        else:
            raise UnknownNode(f"no link {outage.link_id!r} in this network")

    def _changed(self, names: Iterable[str]) -> Rerouted:
        before = {name: self.routes.get(name) for name in names}
        self._find(before)
        if not self._outages:
            self._strayed.clear()
        routes = {name: self.routes[name] for name in before if self.routes.get(name) not in (None, before[name])}
        lost = tuple(name for name in before if before[name] is not None and name not in self.routes)
        return Rerouted(routes, lost)

    def _find(self, names: Iterable[str]) -> None:
        """Look for the routes of these demands, and note which parts each goes over."""
        for name in names:
            for part in self._parts(self.routes.pop(name, ())):
                self._over[part].discard(name)
            pair = self._demands[name]
            if (route := widest(self._graph, pair.source, pair.target, pair.policy)) is None:
                continue
            self.routes[name] = route
            for part in self._parts(route):
                self._over.setdefault(part, set()).add(name)

    def _parts(self, route: Route) -> tuple[Part, ...]:
        sites: list[Part] = [("site", node) for node in route]
        return (*sites, *(("link", link_id) for link_id in self._graph.links_along(route)))


class _Failures:
    """Looks at the network as it would be without these failures, and counts those that a route would meet."""

    def __init__(self, graph: RouteGraph, outages: Mapping[Part, tuple[Outage, ...]]) -> None:
        self._graph, self._outages = graph, outages

    def between(self, pair: RoutedPair) -> tuple[tuple[Outage, ...], tuple[Outage, ...]]:
        """Return the failures at the border of what the source reaches, and the fewest on any way to the target."""
        graph = self._graph
        start, end = graph.number[pair.source], graph.number[pair.target]
        if not graph.may_end(pair.policy, start, end, when_whole=True):
            return (), ()
        own = self._of_site(start)
        met = self._met(pair.policy, start, end)
        costs, before = _fewest(met, start)
        if end not in costs:
            return (), ()
        way = [end]
        while way[-1] != start:
            way.append(before[way[-1]])
        mend = [outage for here, there in pairwise(reversed(way)) for outage in met[here][there]]
        border = [met[here][there] for here in met if costs.get(here) == 0 for there in met[here] if costs[there] > 0]
        cut = own or sorted({outage for outages in border for outage in outages}, key=str)
        return tuple(cut), tuple(dict.fromkeys((*own, *mend)))

    def _met(self, policy: RoutePolicy, start: int, end: int) -> dict[int, dict[int, tuple[Outage, ...]]]:
        """Return the hops that a key could take if these failures were mended, with the failures of each: of its link
        and of the site that it leads to."""
        graph = self._graph
        passes = graph.passes(policy, start, when_whole=True)
        met: dict[int, dict[int, tuple[Outage, ...]]] = {}
        for here, peers in enumerate(graph.hops):
            if not (passes[here] or here == start):
                continue
            for there, link in peers:
                of_link = self._outages.get(("link", graph.links[link].link_id), ())
                of_site = self._of_site(there)
                is_mendable = (graph.link_is_up[link] or of_link) and (graph.node_is_up[there] or of_site)
                if is_mendable and (passes[there] or there == end):
                    met.setdefault(here, {})[there] = (*of_link, *of_site)
        return met

    def _of_site(self, place: int) -> tuple[Outage, ...]:
        return self._outages.get(("site", self._graph.nodes[place]), ())


def _fewest(met: Mapping[int, Mapping[int, tuple[Outage, ...]]], start: int) -> tuple[dict[int, int], dict[int, int]]:
    """Return the fewest failures on a way to each site, and the site before it (Dijkstra's algorithm)."""
    costs, before = {start: 0}, dict[int, int]()
    queue = [(0, start)]
    while queue:
        cost, here = heapq.heappop(queue)
        if cost > costs[here]:
            continue
        for there, outages in met.get(here, {}).items():
            total = cost + len(outages)
            if there not in costs or total < costs[there]:
                costs[there], before[there] = total, here
                heapq.heappush(queue, (total, there))
    return costs, before
